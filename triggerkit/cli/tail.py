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
  triggerkit tail dynamodb://orders --since 10m --key o-1
  triggerkit tail dynamodb://orders --since 14:30 --key '{"id":"o-1"}' -o text
  triggerkit tail dynamodb://orders -o json | jq .dynamodb.Keys""",
)
@click.argument("source")
@switch("--from-start", help="From the trim horizon, not from now on.")
@flag("--since", metavar="WHEN", help="From 90s, 10m, 2h ago; or a time, as 14:30, in UTC.")
@flag("--count", "-n", type=click.IntRange(min=1), metavar="N", help="Stop after so many records.")
@flag("--key", metavar="KEY", help="Only this item: its key as JSON, or one value of it.")
@flag(
    "--output",
    "-o",
    type=click.Choice(("text", "json")),
    help="Default: text in a terminal, JSON lines elsewhere.",
)
@switch("--json", "as_json", help="The same as -o json.")
@switch("--as-event", help="One event with all records, at the end: what `invoke` reads.")
@typed_switch("--aws", help="From AWS, although a `dev` runs in this folder.")
@access_flags
def command(source: str, **given: Any) -> None:
    """Print the records of SOURCE as they come, until interrupted.

    As text a line is a digest: time (UTC), what happened, keys, and what changed, as old -> new. As JSON
    it is a record, whole, as a handler gets it.
    """
    from triggerkit.cli.dev_link import access_through_dev
    from triggerkit.cli.following import read_shown, tail

    shown = read_shown(given)
    tail(source, shown, access_through_dev(given, source))
