"""`triggerkit rename`. Rule: state moves whole or not at all, and never under a running worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from triggerkit.cli.flags import change_flags, json_flag, state_flags
from triggerkit.commands.flags import read_flags
from triggerkit.commands.output import confirm, print_json, say
from triggerkit.core.words import counted
from triggerkit.errors import StateError, UsageError

if TYPE_CHECKING:
    from triggerkit.ports import LeaseStore
    from triggerkit.settings import Settings

T = TypeVar("T")


@click.command(
    "rename",
    epilog="""\b
Examples:
  triggerkit rename old_name new_name --app orders
  triggerkit rename old_name new_name --app orders --state sqlite:////var/lib/orders/state.db
  triggerkit rename NAME:OLD_SOURCE NAME:NEW_SOURCE --app orders""",
)
@click.argument("old")
@click.argument("new")
@state_flags
@change_flags
@json_flag
def command(old: str, new: str, *, dry_run: bool, yes: bool, as_json: bool, **given: Any) -> None:
    """Move the state of trigger OLD to the name NEW.

    Needs no code of yours, only --app and --state as the worker has them. Names may be
    TRIGGER:SOURCE, as errors of a start print them, to move the state on one source alone.
    """
    import asyncio

    from triggerkit.commands.loading import load
    from triggerkit.triggers import check_name

    settings = load(read_flags(given), needs_target=False).settings
    for name in (old, new) if ":" in old else (new,):
        check_name(name.partition(":")[0] if ":" in old else name, what="trigger")
    if (":" in old) != (":" in new):
        raise UsageError(
            f"{old!r} is the state on one source and {new!r} on all",
            hint="write both as TRIGGER:SOURCE, or neither",
        )
    if old == new:
        raise UsageError(f"{old!r} has that name already", hint="give the new name")
    count = asyncio.run(with_store(settings, lambda store: count_leases(settings, store, old)))
    if not dry_run:
        if not yes:
            place = f"of app {settings.namespace} in {settings.state}"
            confirm(f"Move {counted(count, 'lease')} {place} from {old} to {new}?")
        move = (f"{settings.namespace}:{old}:", f"{settings.namespace}:{new}:")
        count = asyncio.run(with_store(settings, lambda store: store.rename((move,))))
    if as_json:
        print_json({"old": old, "new": new, "leases": count, "dry_run": dry_run})
    else:
        say(f"{'would move' if dry_run else 'moved'} {counted(count, 'lease')} from {old} to {new}")


async def with_store(settings: Settings, use: Callable[[LeaseStore], Awaitable[T]]) -> T:
    """Open the state that exists, use it and close it.

    Raises:
        StateError: there is none, or it cannot be used.
    """
    from triggerkit.ports import Services
    from triggerkit.registry import open_lease_store
    from triggerkit.runtime.clock import SystemClock
    from triggerkit.runtime.pools import ThreadRunner

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
        return await use(store)
    finally:
        await store.close()
        run.close()


async def count_leases(settings: Settings, store: LeaseStore, name: str) -> int:
    """How many leases trigger `name` has. Raises StateError: none."""
    from triggerkit.runtime.state_names import known_triggers

    leases = await store.read(f"{settings.namespace}:{name}:")
    if leases:
        return len(leases)
    known = {trigger for trigger, _ in await known_triggers(store, settings.namespace)}
    raise StateError(
        f"{settings.state} has no state of trigger {name!r} in app {settings.namespace!r}",
        hint=f"it knows: {', '.join(sorted(known)) or 'nothing of that app'}; "
        "say --app and --env as the worker does",
    )
