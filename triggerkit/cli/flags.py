"""Flags that several commands share. Rule: a flag is spelled once, and has a `TRIGGERKIT_*` variable.

The variable of a flag is the flag in capitals behind `TRIGGERKIT_`, for every command the same:
`--log-level` is `TRIGGERKIT_LOG_LEVEL`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from triggerkit.configuration import Configuration, apply_env_file, load_configuration
from triggerkit.errors import UsageError
from triggerkit.settings import Flags, Settings, build_settings
from triggerkit.triggers import Triggers

F = TypeVar("F", bound=Callable[..., Any])


def variable(flag: str) -> str:
    """The environment variable of a flag such as `--log-level`."""
    return "TRIGGERKIT_" + flag.lstrip("-").replace("-", "_").upper()


def flag(name: str, *more: str, **settings: Any) -> Callable[[F], F]:
    """A click option with its variable."""
    return click.option(name, *more, envvar=variable(name), show_envvar=True, **settings)


@dataclass(frozen=True, slots=True)
class ConfigurationFlags:
    """Where the configuration and the code are."""

    target: str | None = None
    env: str = ""
    env_file: str | None = None
    config: str | None = None
    app: str | None = None
    state: str | None = None
    trigger: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    set_: tuple[str, ...] = ()
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the flags lead to. `locator_defaults` are the keys that every locator falls back to."""

    triggers: Triggers[Any] | None
    configuration: Configuration
    settings: Settings
    declared: frozenset[str] = field(default_factory=frozenset)
    locator_defaults: Mapping[str, str] = field(default_factory=dict)


_FLAGS: tuple[Callable[[F], F], ...] = (
    flag("--env", default="", help="The environment: an overlay of the configuration."),
    flag("--env-file", type=click.Path(), help="Read environment variables from this file."),
    flag("--config", type=click.Path(), help="The configuration file."),
    flag("--app", help="The application's name: begins the names of its state."),
    flag("--state", help="Where state lives: memory:, sqlite:///FILE."),
    flag("--trigger", "-t", multiple=True, metavar="GLOB", help="Only these triggers."),
    flag("--exclude", multiple=True, metavar="GLOB", help="Not these triggers."),
    click.option(
        "--set",
        "set_",
        multiple=True,
        metavar="NAME.OPTION=VALUE",
        help="Set one option of one trigger.  [env var: TRIGGERKIT_SET]",
    ),
    flag("--profile", help="The AWS profile."),
    flag("--region", help="The AWS Region."),
    flag("--endpoint-url", help="Another endpoint, such as http://127.0.0.1:8000."),
)


def configuration_flags(command: F) -> F:
    """Give a command TARGET and the flags above; it gets them as `**configuration`."""
    for decorate in reversed(_FLAGS):
        command = decorate(command)
    return command


def target_argument(command: F) -> F:
    """TARGET as an optional argument."""
    return click.argument("target", required=False, envvar=variable("--target"))(command)


def read_flags(given: Mapping[str, Any]) -> ConfigurationFlags:
    """Pick the configuration flags out of a command's parameters."""
    names = {item.name for item in fields(ConfigurationFlags)}
    return ConfigurationFlags(**{name: given[name] for name in names & given.keys()})


def load(flags: ConfigurationFlags, *, needs_target: bool = True) -> Loaded:
    """Read the configuration, import the target and settle every option.

    Raises:
        UsageError, TargetError, OptionError, LocatorError, NoTriggersError: before anything is touched.
    """
    from triggerkit.runtime.target import load_target

    if flags.env_file:
        apply_env_file(Path(flags.env_file), os.environ)
    configuration = load_configuration(flags.config, folder=Path.cwd(), env=flags.env)
    triggers: Triggers[Any] | None = None
    if needs_target:
        target = flags.target or configuration.target
        if not target:
            raise UsageError(
                "no TARGET",
                hint='name one, such as app:handlers, or set target = "app:handlers" '
                "under [tool.triggerkit]",
            )
        triggers = load_target(target, folder=configuration.folder)
    said = Flags(
        app=flags.app,
        state=flags.state,
        target=flags.target,
        select=flags.trigger,
        exclude=flags.exclude,
        overrides=flags.set_,
    )
    settings = build_settings(triggers, configuration, said, os.environ)
    defaults = {
        "profile": flags.profile,
        "region": flags.region,
        "endpoint_url": flags.endpoint_url,
    }
    return Loaded(
        triggers=triggers,
        configuration=configuration,
        settings=settings,
        declared=frozenset(t.name for t in triggers.triggers) if triggers else frozenset(),
        locator_defaults={key: value for key, value in defaults.items() if value},
    )
