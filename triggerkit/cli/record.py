"""`triggerkit record`: reads a stream as `tail` does, into one file."""

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
    "record",
    epilog="""\b
Examples:
  triggerkit record orders -o orders.jsonl.gz
  triggerkit record orders -o orders.jsonl.gz --redact email,address
  triggerkit record orders -o orders.jsonl.gz --redact-all-but status,total
  triggerkit record orders -o orders.jsonl.gz --for 10m
  triggerkit record orders -o one.jsonl.gz --since 2h --key o-1
  triggerkit record orders -o orders.jsonl.gz --aws --region eu-west-1

\b
Exit codes:
  0 recorded   2 usage, a file that is there or cannot be written   3 stream""",
)
@source_argument("source")
@click.option(  # without a variable: that of `tail -o` is a form, not a file
    "--output",
    "-o",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help="The cassette, as orders.jsonl.gz.",
)
@switch("--from-start", help="From the trim horizon, also with --for and --follow.")
@flag("--since", metavar="WHEN", help="From 90s, 10m, 2h ago; or a time, as 14:30, in UTC.")
@flag("--for", "for_", metavar="DURATION", help="From now on, for so long: 90s, 10m, 2h.")
@switch("--follow", "-f", help="From now on, until Ctrl-C.")
@lines_flag("Stop after so many records.")
@flag("--key", metavar="KEY", help="Only this item: its key as JSON, or one value of it.")
@flag(
    "--redact",
    multiple=True,
    metavar="PATHS",
    help="Replace these values, as email,address.street; keys, too.",
)
@flag(
    "--redact-all-but",
    multiple=True,
    metavar="PATHS",
    help="Replace every value but these; name the keys to keep them.",
)
@flag(
    "--keep-prefix",
    multiple=True,
    metavar="TEXTS",
    help="What redacted texts keep when they begin with it, as USER#,ORDER#.",
)
@typed_switch("--force", help="Replace FILE.")
@typed_switch("--aws", help="From AWS, with your credentials, and not from the running `dev`.")
@config_of_dev_flag
@access_flags
def command(source: str, **given: Any) -> None:
    """Record the stream of SOURCE in a file that tests replay.

    SOURCE is a table's name, a locator or an ARN, of the running `dev`, or with --aws of AWS.

    Everything that is there now is recorded, and the command ends; with --for or --follow it is what comes
    from now on. Ctrl-C ends it, too: the file is whole. Values that are redacted never reach the disk.
    """
    from triggerkit.commands.record import read_wanted, record
    from triggerkit.dev.link import access_through_dev

    wanted = read_wanted(given)
    record(source, wanted, access_through_dev(given, source))
