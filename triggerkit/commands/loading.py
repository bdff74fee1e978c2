"""From flags to what will run. All that can be wrong is found before anything is touched.

What the user's module prints while it is imported goes to stderr: stdout is for what was asked for. Functions take
`given`, the parameters of a command by their names.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triggerkit.configuration import Configuration, apply_env_file, load_configuration
from triggerkit.errors import NoTriggersError, UsageError
from triggerkit.invokers.capture import capturing_import
from triggerkit.invokers.environment import offered
from triggerkit.ports import Runner, Services, Source
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.handlers import callable_of, variables_of
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.opening import Pools, open_adapters
from triggerkit.runtime.pools import ThreadRunner
from triggerkit.runtime.signals import guarding_signal_handlers
from triggerkit.runtime.tables import check_tables
from triggerkit.runtime.target import load_target
from triggerkit.settings import Flags, Settings, build_settings
from triggerkit.triggers import Triggers

CONTROL_PLANE_THREADS = 4
"""Of a command that asks for streams and shards and ends; a worker has more."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the flags lead to. `access` are the keys that every locator falls back to."""

    settings: Settings
    configuration: Configuration
    declared: frozenset[str]
    access: Mapping[str, str]


def access_of(given: Mapping[str, Any]) -> dict[str, str]:
    """How AWS is reached, as far as the flags say."""
    return {key: given[key] for key in ("profile", "region", "endpoint_url") if given.get(key)}


def read_configuration(given: Mapping[str, Any]) -> Configuration:
    """The configuration that `--config` and `--env` name. Raises UsageError."""
    return load_configuration(given.get("config"), folder=Path.cwd(), env=given.get("env", ""))


def load(given: Mapping[str, Any], *, needs_target: bool = True) -> Loaded:
    """Read the configuration, import the target and settle every option.

    Raises:
        UsageError, TargetError, OptionError, LocatorError, NoTriggersError: before anything is touched.
    """
    if given.get("env_file"):
        apply_env_file(Path(given["env_file"]), os.environ)
    configuration, access = read_configuration(given), access_of(given)
    said, app = given.get("target"), given.get("app")
    triggers = None
    if needs_target:
        with guarding_signal_handlers(), capturing_import():
            triggers = import_target(said, configuration, app, access)
    flags = Flags(
        app=app,
        state=given.get("state"),
        target=said,
        select=given.get("trigger", ()),
        exclude=given.get("exclude", ()),
        overrides=given.get("set_", ()),
    )
    settings = build_settings(triggers, configuration, flags, os.environ)
    for note in settings.notes:
        get_logger().warning("configuration_left_out", message=note)
    if triggers is None:
        return Loaded(settings, configuration, frozenset(), access)
    offered.offer(variables_of(settings.mappings, settings.app), os.environ)
    declared = frozenset(trigger.name for trigger in triggers.triggers)
    return Loaded(settings, configuration, declared, access)


def import_target(
    said: str | None,
    configuration: Configuration,
    app: str | None = None,
    access: Mapping[str, str] | None = None,
) -> Triggers[Any]:
    """Import TARGET, with Lambda's environment variables set.

    Its triggers are not known yet: the function's name is the application's, or else the module's.

    Args:
        said: TARGET of the command line, if any.
        configuration: names TARGET where the command line does not.
        app: the application's name, as far as the command line says it.
        access: the flags for AWS.

    Raises:
        UsageError: no TARGET is named. TargetError: it cannot be imported.
    """
    target = find_target(said, configuration)
    # relative to where the user stands when the user said it, else to the file that says it
    folder = Path.cwd() if said else configuration.folder
    name = app or configuration.app or target.partition(":")[0]
    code = {"LAMBDA_TASK_ROOT": str(folder), "_HANDLER": target.replace(":", ".")}
    offered.offer({**variables_of((), name), **code, **_region(access or {})}, os.environ)
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


def load_to_run(given: Mapping[str, Any], *, some_enabled: bool = True) -> Loaded:
    """Load the target and refuse what could not be started, and where no trigger is enabled (`some_enabled`).

    Raises:
        UsageError, TargetError, OptionError, LocatorError, HandlerSignatureError, NoTriggersError: naming
            what is wrong; nothing was touched.
    """
    loaded = load(given)
    check_tables(loaded.configuration, os.environ)
    if some_enabled and not any(plan.options.enabled for plan in loaded.settings.mappings):
        raise NoTriggersError(
            "every selected trigger is disabled", hint="set enabled = true on one"
        )
    asyncio.run(_open_and_close(loaded))
    return loaded


async def open_all(loaded: Loaded, run: Runner, closing: AsyncExitStack) -> dict[str, Source]:
    """Open every adapter, which reads its locator, and build every handler's types.

    Returns:
        The sources by the texts of their locators.

    Raises:
        LocatorError, OptionError, HandlerSignatureError: the first that cannot be used.
    """
    settings = loaded.settings
    for plan in settings.mappings:
        callable_of(plan.trigger)
    services = Services(run, SystemClock(), loaded.access, settings.base_path)
    return open_adapters(settings.mappings, services, Pools(run, run, run), closing).sources


async def _open_and_close(loaded: Loaded) -> None:
    run = ThreadRunner("validating", 1)
    async with AsyncExitStack() as closing:
        closing.callback(run.close)
        await open_all(loaded, run, closing)


def _region(access: Mapping[str, str]) -> dict[str, str]:
    """AWS_REGION, which Lambda always sets; boto3 reads AWS_DEFAULT_REGION and profiles instead."""
    region = access.get("region") or os.environ.get("AWS_DEFAULT_REGION")
    if not region and "AWS_REGION" not in os.environ:
        from botocore.exceptions import BotoCoreError  # heavy, and seldom needed
        from botocore.session import Session

        with suppress(BotoCoreError):  # no such profile: an error where a client is made
            region = Session(profile=access.get("profile")).get_config_variable("region")
    return {"AWS_REGION": region} if region else {}
