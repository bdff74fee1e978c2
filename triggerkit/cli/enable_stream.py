"""`triggerkit enable-stream`: the one command that changes a table; a worker needs no UpdateTable."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import (
    access_flags,
    change_flags,
    source_argument,
)
from triggerkit.commands.output import confirm, say
from triggerkit.core.changes import VIEW_TYPES


@click.command(
    "enable-stream",
    epilog="""\b
Examples:
  triggerkit enable-stream orders NEW_AND_OLD_IMAGES
  triggerkit enable-stream dynamodb://orders KEYS_ONLY --region eu-west-1 --yes""",
)
@source_argument("table")
@click.argument("view_type", type=click.Choice(VIEW_TYPES))
@access_flags
@change_flags
def command(table: str, view_type: str, *, dry_run: bool, yes: bool, **given: Any) -> None:
    """Turn the stream of TABLE on, and print its ARN.

    A stream that is on already with that view type is fine.
    """
    import asyncio

    from triggerkit.commands.loading import access_of
    from triggerkit.core.locators import parse
    from triggerkit.errors import LocatorError
    from triggerkit.ports import Services
    from triggerkit.runtime.clock import SystemClock
    from triggerkit.runtime.pools import ThreadRunner
    from triggerkit.sources.dynamodb.source import enable_stream, find_table_place

    locator = parse(table)
    if locator.scheme != "dynamodb":
        raise LocatorError(
            f"{table!r} is no DynamoDB table", hint="write its name or dynamodb://NAME"
        )
    services = Services(ThreadRunner("control-plane", 1), SystemClock(), access_of(given))
    place = asyncio.run(find_table_place(locator, services))
    if dry_run:
        state = f"is on already with {place.view_type}" if place.view_type else "would be turned on"
        say(f"the stream of {place} {state}")
        return
    if not (yes or place.view_type):  # one that is on stays as it is
        confirm(f"Turn on the stream of {place} with {view_type}?")
    say(asyncio.run(enable_stream(locator, services, view_type)))
