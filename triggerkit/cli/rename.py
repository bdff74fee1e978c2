"""`triggerkit rename`. Rule: state moves whole or not at all, and never under a running worker."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from triggerkit.cli.flags import configuration_flags, load, read_flags
from triggerkit.cli.output import print_json
from triggerkit.errors import StateError
from triggerkit.ports import LeaseStore, Services
from triggerkit.registry import open_lease_store
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.pools import ThreadRunner
from triggerkit.settings import Settings
from triggerkit.triggers import check_name


@click.command(
    "rename",
    epilog="""\b
Examples:
  triggerkit rename old_name new_name --app orders
  triggerkit rename old_name new_name --app orders --state sqlite:////var/lib/orders/state.db""",
)
@click.argument("old")
@click.argument("new")
@configuration_flags
@click.option("--dry-run", is_flag=True, help="Say what would be moved, and move nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(old: str, new: str, *, dry_run: bool, yes: bool, as_json: bool, **given: Any) -> None:
    """Move the state of trigger OLD to the name NEW; needs no code of the user's, only --app and --state."""
    settings = load(read_flags(given), needs_target=False).settings
    check_name(new, what="trigger")
    moved = asyncio.run(rename(settings, old, new, really=not dry_run, ask=not (yes or dry_run)))
    if as_json:
        print_json({"old": old, "new": new, "leases": moved, "dry_run": dry_run})
    else:
        click.echo(f"{'would move' if dry_run else 'moved'} {moved} leases from {old} to {new}")


async def rename(settings: Settings, old: str, new: str, *, really: bool, ask: bool) -> int:
    """Move the rows; how many.

    Raises:
        StateError: nothing is stored under `old`, a worker holds a row, or `new` has rows already.
    """
    run = ThreadRunner("lease-store", 1)
    services = Services(run, SystemClock(), base_path=settings.base_path)
    store: LeaseStore = open_lease_store(settings.state, services)
    try:
        await store.prepare()
        old_prefix, new_prefix = (f"{settings.namespace}:{name}:" for name in (old, new))
        leases = await store.read(old_prefix)
        if not leases:
            known = {
                lease.key.removeprefix(f"{settings.namespace}:").split(":", 1)[0]
                for lease in await store.read(f"{settings.namespace}:")
            }
            names = ", ".join(sorted(known)) or "nothing"
            raise StateError(
                f"{settings.state} has no state of trigger {old!r} in app {settings.namespace!r}",
                hint=f"it has: {names}; say --app and --env as the worker does",
            )
        if not really:
            return len(leases)
        if ask:
            click.confirm(f"Move {len(leases)} leases from {old} to {new}?", abort=True, err=True)
        return await store.rename(old_prefix, new_prefix)
    finally:
        await store.close()
        run.close()
