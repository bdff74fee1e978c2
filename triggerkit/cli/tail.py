"""`triggerkit tail`: reads a stream without any lease, so it disturbs no worker."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import (
    access_flags,
    config_of_dev_flag,
    flag,
    lines_flag,
    source_argument,
    switch,
    typed_switch,
)


@click.command(
    "tail",
    epilog="""\b
Examples:
  triggerkit tail orders                              (a table of the running dev)
  triggerkit tail orders --from-start -n 10
  triggerkit tail orders --since 10m --key o-1
  triggerkit tail orders --since 14:30 --key '{"id":"o-1"}' -o text
  triggerkit tail orders -o json | jq .dynamodb.Keys
  triggerkit tail orders --aws --region eu-west-1""",
)
@source_argument("source")
@switch("--from-start", help="From the trim horizon, not from now on.")
@flag("--since", metavar="WHEN", help="From 90s, 10m, 2h ago; or a time, as 14:30, in UTC.")
@lines_flag("Stop after so many records.")
@flag("--key", metavar="KEY", help="Only this item: its key as JSON, or one value of it.")
@flag(
    "--output",
    "-o",
    type=click.Choice(("text", "json")),
    help="Default: text in a terminal, JSON lines elsewhere.",
)
@switch("--json", "as_json", help="The same as -o json.")
@switch("--as-event", help="One event with all records, at the end: what `invoke` reads.")
@typed_switch("--aws", help="From AWS, with your credentials, and not from the running `dev`.")
@config_of_dev_flag
@access_flags
def command(source: str, **given: Any) -> None:
    """Print the records of SOURCE as they come, until interrupted.

    SOURCE is a table's name, a locator or an ARN. It is read from the running `dev`; from AWS with --aws
    or another flag about AWS, from another endpoint with --endpoint-url or AWS_ENDPOINT_URL.

    As text a line is a digest: time (UTC), what happened, keys, and what changed, as old -> new. As JSON
    it is a record, whole, as a handler gets it.
    """
    from triggerkit.commands.tail import tail
    from triggerkit.dev.link import access_through_dev

    tail(source, given, access_through_dev(given, source))
