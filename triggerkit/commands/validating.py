"""What `check`, `run` and `dev` refuse with the same words, before a connection is made or a file is written."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

from triggerkit.commands.flags import ConfigurationFlags
from triggerkit.commands.loading import Loaded, load
from triggerkit.errors import NoTriggersError
from triggerkit.ports import Runner, Services, Source
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.dev_tables import check_tables
from triggerkit.runtime.handlers import callable_of
from triggerkit.runtime.opening import Pools, open_adapters
from triggerkit.runtime.pools import ThreadRunner


def load_to_run(flags: ConfigurationFlags, *, some_enabled: bool = True) -> Loaded:
    """Load the target and refuse what could not be started, triggers that are disabled among it.

    Args:
        flags: what the command line says.
        some_enabled: one trigger at least must be enabled.

    Raises:
        UsageError, TargetError, OptionError, LocatorError, HandlerSignatureError, NoTriggersError: naming
            what is wrong; nothing was touched.
    """
    loaded = load(flags)
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
    services = Services(run, SystemClock(), loaded.locator_defaults, settings.base_path)
    return open_adapters(settings.mappings, services, Pools(run, run, run), closing).sources


async def _open_and_close(loaded: Loaded) -> None:
    run = ThreadRunner("validating", 1)
    async with AsyncExitStack() as closing:
        closing.callback(run.close)
        await open_all(loaded, run, closing)
