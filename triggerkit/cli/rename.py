"""`triggerkit rename`."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import change_flags, json_flag, state_flags
from triggerkit.commands.output import confirm, print_json, say


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
    from triggerkit.commands.rename import check_names, count_leases, move_leases
    from triggerkit.core.words import counted

    settings = load(given, needs_target=False).settings
    check_names(old, new)
    count = asyncio.run(count_leases(settings, old))
    if not dry_run:
        if not yes:
            place = f"of app {settings.namespace} in {settings.state}"
            confirm(f"Move {counted(count, 'lease')} {place} from {old} to {new}?")
        count = asyncio.run(move_leases(settings, old, new))
    if as_json:
        print_json({"old": old, "new": new, "leases": count, "dry_run": dry_run})
    else:
        done = "would move" if dry_run else "moved"
        say(f"{done} {counted(count, 'lease')} from {old} to {new}")
