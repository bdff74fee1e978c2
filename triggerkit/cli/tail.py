"""`triggerkit tail`. Rule: it reads a stream without any lease, so it disturbs no worker's position."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import access_flags, flag, switch, typed_switch


@click.command(
    "tail",
    epilog="""\b
Examples:
  triggerkit tail dynamodb://orders
  triggerkit tail dynamodb://orders --from-start -n 10
  triggerkit tail dynamodb://orders --json | jq .dynamodb.Keys""",
)
@click.argument("source")
@switch("--from-start", help="From the trim horizon, not from now on.")
@flag("--count", "-n", type=click.IntRange(min=1), metavar="N", help="Stop after so many records.")
@switch("--json", "as_json", help="One record a line, whole, as a handler gets it.")
@switch("--as-event", help="One event with all records, at the end: what `invoke` reads.")
@typed_switch("--aws", help="From AWS, although a `dev` runs in this folder.")
@access_flags
def command(source: str, **given: Any) -> None:
    """Print the records of SOURCE as they come, until interrupted.

    In a terminal a line is a digest: time, what happened, keys, and what changed. Elsewhere it is JSON.
    """
    from triggerkit.cli.dev_link import access_through_dev
    from triggerkit.cli.following import Shown, tail

    shown = Shown(
        count=given["count"],
        from_start=given["from_start"],
        as_json=given["as_json"],
        as_event=given["as_event"],
    )
    tail(source, shown, access_through_dev(given, source))
