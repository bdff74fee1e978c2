"""From flags to settings: all that can be wrong is found here, before anything is touched.

What the user's module prints while it is imported goes to stderr: stdout is for what was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triggerkit.commands.flags import ConfigurationFlags
from triggerkit.configuration import Configuration, apply_env_file, load_configuration
from triggerkit.errors import UsageError
from triggerkit.invokers.capture import capturing_import
from triggerkit.invokers.environment import offered
from triggerkit.runtime.handlers import variables_of
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.signals import guarding_signal_handlers
from triggerkit.runtime.target import load_target
from triggerkit.settings import Flags, Settings, build_settings
from triggerkit.triggers import Triggers


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the flags lead to. `locator_defaults` are the keys that every locator falls back to."""

    settings: Settings
    configuration: Configuration
    declared: frozenset[str] = field(default_factory=frozenset)
    locator_defaults: Mapping[str, str] = field(default_factory=dict)


def load(flags: ConfigurationFlags, *, needs_target: bool = True) -> Loaded:
    """Read the configuration, import the target and settle every option.

    Raises:
        UsageError, TargetError, OptionError, LocatorError, NoTriggersError: before anything is touched.
    """
    if flags.env_file:
        apply_env_file(Path(flags.env_file), os.environ)
    configuration = load_configuration(flags.config, folder=Path.cwd(), env=flags.env)
    triggers = _import_target(flags, configuration) if needs_target else None
    said = Flags(
        app=flags.app,
        state=flags.state,
        target=flags.target,
        select=flags.trigger,
        exclude=flags.exclude,
        overrides=flags.set_,
    )
    settings = build_settings(triggers, configuration, said, os.environ)
    for note in settings.notes:
        get_logger().warning("configuration_left_out", message=note)
    if needs_target:
        offered.offer(variables_of(settings.mappings, settings.app), os.environ)
    return Loaded(
        settings=settings,
        configuration=configuration,
        declared=frozenset(t.name for t in triggers.triggers) if triggers else frozenset(),
        locator_defaults=flags.access or {},
    )


def _import_target(flags: ConfigurationFlags, configuration: Configuration) -> Triggers[Any]:
    target = find_target(flags.target, configuration)
    # relative to where the user stands when the user said it, else to the file that says it
    folder = Path.cwd() if flags.target else configuration.folder
    offer_variables(target, flags.app or configuration.app, folder, flags.access or {})
    with guarding_signal_handlers(), capturing_import():
        return load_target(target, folder=folder, project=configuration.folder)


def find_target(said: str | None, configuration: Configuration) -> str:
    """TARGET of the command line, else of the configuration. Raises UsageError: neither names one."""
    target = said or configuration.target
    if not target:
        raise UsageError(
            "no TARGET",
            hint='name one, such as app:handlers, or set target = "app:handlers" '
            "under [tool.triggerkit]",
        )
    return target


def offer_variables(target: str, app: str | None, folder: Path, access: Mapping[str, str]) -> None:
    """Set Lambda's environment variables for a module that is about to be imported.

    Its triggers are not known yet: the function is called like the application, or like the module.

    Args:
        target: TARGET.
        app: the application's name, as far as it is said outside of the module.
        folder: the one that TARGET is relative to.
        access: the flags for AWS.
    """
    name = app or target.partition(":")[0]
    code = {"LAMBDA_TASK_ROOT": str(folder), "_HANDLER": target.replace(":", ".")}
    offered.offer({**variables_of((), name), **code, **_region(access)}, os.environ)


def _region(access: Mapping[str, str]) -> dict[str, str]:
    """AWS_REGION, which Lambda always sets; boto3 reads AWS_DEFAULT_REGION and profiles instead."""
    region = access.get("region") or os.environ.get("AWS_DEFAULT_REGION")
    if not region and "AWS_REGION" not in os.environ:
        from botocore.exceptions import BotoCoreError  # heavy, and seldom needed
        from botocore.session import Session

        with suppress(BotoCoreError):  # no such profile: told where a client is made
            region = Session(profile=access.get("profile")).get_config_variable("region")
    return {"AWS_REGION": region} if region else {}
