"""`triggerkit rename`: state moves whole or not at all, and never under a running worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from triggerkit.errors import StateError, UsageError
from triggerkit.ports import LeaseStore, Services
from triggerkit.registry import open_lease_store
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.pools import ThreadRunner
from triggerkit.runtime.state_names import known_triggers
from triggerkit.settings import Settings
from triggerkit.triggers import check_name


def check_names(old: str, new: str) -> None:
    """Both are TRIGGER, or both are TRIGGER:SOURCE. Raises UsageError."""
    for name in (old, new) if ":" in old else (new,):
        check_name(name.partition(":")[0] if ":" in old else name, what="trigger")
    if (":" in old) != (":" in new):
        raise UsageError(
            f"{old!r} is the state on one source and {new!r} on all",
            hint="write both as TRIGGER:SOURCE, or neither",
        )
    if old == new:
        raise UsageError(f"{old!r} has that name already", hint="give the new name")


async def count_leases(settings: Settings, name: str) -> int:
    """How many leases trigger `name` has. Raises StateError: none, or the state cannot be used."""
    async with _existing_store(settings) as store:
        if leases := await store.read(f"{settings.namespace}:{name}:"):
            return len(leases)
        known = {trigger for trigger, _ in await known_triggers(store, settings.namespace)}
    raise StateError(
        f"{settings.state} has no state of trigger {name!r} in app {settings.namespace!r}",
        hint=f"it knows: {', '.join(sorted(known)) or 'nothing of that app'}; "
        "say --app and --env as the worker does",
    )


async def move_leases(settings: Settings, old: str, new: str) -> int:
    """Move all leases of `old` to `new`; how many. Raises StateError."""
    async with _existing_store(settings) as store:
        return await store.rename(
            ((f"{settings.namespace}:{old}:", f"{settings.namespace}:{new}:"),)
        )


@asynccontextmanager
async def _existing_store(settings: Settings) -> AsyncIterator[LeaseStore]:
    run = ThreadRunner("lease-store", 1)
    services = Services(run, SystemClock(), base_path=settings.base_path)
    store = open_lease_store(settings.state, services)
    if settings.state.scheme == "sqlite":
        file = Path(settings.base_path, settings.state.name[1:])
        if not file.exists():  # opening would create it
            raise StateError(
                f"{settings.state}: there is no file {file}", hint="say --state as the worker does"
            )
    try:
        await store.prepare()
        yield store
    finally:
        await store.close()
        run.close()
