"""`triggerkit enable-stream`: the one command that changes a table; a worker needs no UpdateTable."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import (
    access_flags,
    change_flags,
    source_argument,
    typed_switch,
)
from triggerkit.commands.output import confirm, say
from triggerkit.core.changes import VIEW_TYPES


@click.command(
    "enable-stream",
    epilog="""\b
Examples:
  triggerkit enable-stream orders NEW_AND_OLD_IMAGES
  triggerkit enable-stream dynamodb://orders KEYS_ONLY --region eu-west-1 --yes
  triggerkit enable-stream orders --off      (its records can be read for another day)""",
)
@source_argument("table")
@click.argument("view_type", metavar="[VIEW]", required=False, type=click.Choice(VIEW_TYPES))
@typed_switch("--off", help="Turn the stream off.")
@access_flags
@change_flags
def command(
    table: str, view_type: str | None, *, off: bool, dry_run: bool, yes: bool, **given: Any
) -> None:
    """Turn the stream of TABLE on with the view type VIEW and print its ARN, or turn it off.

    A stream that is on already with that view type, or off already, is fine.
    """
    import asyncio

    from triggerkit.commands.loading import access_of
    from triggerkit.core.locators import parse
    from triggerkit.errors import LocatorError, UsageError
    from triggerkit.ports import Services
    from triggerkit.runtime.clock import SystemClock
    from triggerkit.runtime.pools import ThreadRunner
    from triggerkit.sources.dynamodb.source import disable_stream, enable_stream, find_table_place

    if (view_type is None) != off:
        raise UsageError(
            "VIEW and --off contradict each other" if off else "no VIEW and no --off",
            hint=f"give --off or one of {', '.join(VIEW_TYPES)}",
        )
    locator = parse(table)
    if locator.scheme != "dynamodb":
        raise LocatorError(
            f"{table!r} is not a DynamoDB table", hint="write its name or dynamodb://NAME"
        )
    services = Services(ThreadRunner("control-plane", 1), SystemClock(), access_of(given))
    place = asyncio.run(find_table_place(locator, services, view_type))
    is_done = bool(place.view_type) != off
    if dry_run:
        now = f"on already with {place.view_type}" if place.view_type else "off already"
        state = f"is {now}" if is_done else f"would be turned {'off' if off else 'on'}"
        say(f"the stream of {place} {state}")
        return
    if not (yes or is_done):
        change = (
            f"off the stream of {place}" if off else f"on the stream of {place} with {view_type}"
        )
        confirm(f"Turn {change}?")
    if view_type is not None:
        say(asyncio.run(enable_stream(locator, services, view_type)))
    else:
        asyncio.run(disable_stream(locator, services))
        say(f"the stream of {place} is off")
