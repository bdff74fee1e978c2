"""`triggerkit generate-event`: a DynamoDB event is what the emulator's stream makes of a real write."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import SuggestingGroup, flag
from triggerkit.core.changes import VIEW_TYPES

ACTIONS = ("insert", "modify", "remove", "ttl")
_DEFAULT_KEYS = '{"id": "101"}'
_DEFAULT_OLD = '{"status": "new", "total": 9.95}'
_DEFAULT_NEW = '{"status": "paid", "total": 9.95}'


@click.group(
    "generate-event",
    cls=SuggestingGroup,
    epilog="""\b
Examples:
  triggerkit generate-event dynamodb insert | triggerkit invoke app:handlers -e -
  triggerkit generate-event dynamodb modify --keys '{"id": "7"}' --old '{"n": 1}' --new '{"n": 2}'""",
)
def command() -> None:
    """Print an event as Lambda gets it, for `invoke` and for tests."""


@command.command(
    "dynamodb",
    epilog="""\b
Examples:
  triggerkit generate-event dynamodb ttl
  triggerkit generate-event dynamodb insert --keys '{"id":"7"}' --new '{"total":9.95}'
  triggerkit generate-event dynamodb modify --view-type KEYS_ONLY --table users""",
)
@click.argument("action", type=click.Choice(ACTIONS))
@flag("--keys", metavar="JSON", help=f"The item's key.  [default: {_DEFAULT_KEYS}]")
@flag("--new", metavar="JSON", help="The new image, without the key.")
@flag("--old", metavar="JSON", help="The old image, without the key.")
@flag(
    "--view-type",
    type=click.Choice(VIEW_TYPES),
    default="NEW_AND_OLD_IMAGES",
    show_default=True,
    help="Which images the stream carries.",
)
@flag("--table", metavar="NAME", default="orders", show_default=True, help="The table.")
@flag("--region", metavar="NAME", default="us-east-1", show_default=True, help="The AWS Region.")
def dynamodb(
    action: str,
    *,
    keys: str | None,
    new: str | None,
    old: str | None,
    view_type: str,
    table: str,
    region: str,
) -> None:
    """Print an event of a DynamoDB stream with one record.

    JSON is plain, or DynamoDB JSON where each value has its type; --new and --old may repeat the key.
    """
    from triggerkit.commands.output import print_json
    from triggerkit.emulator import Emulator
    from triggerkit.errors import UsageError
    from triggerkit.runtime.tables import DevTable
    from triggerkit.testing.events import ACCOUNT, record_of_change

    key, *images = _read_images(action, keys, new, old)
    emulator = Emulator(region=region, account=ACCOUNT)
    described = DevTable(table, key, view_type)
    try:
        record = record_of_change(emulator, described, *images, expired=action == "ttl")
    except UsageError as error:
        hint = "correct --keys, --new, --old or --table"
        raise UsageError(error.message, hint=hint) from None
    print_json({"Records": [record]})


@command.command(
    "kinesis",
    epilog="""\b
Examples:
  triggerkit generate-event kinesis
  triggerkit generate-event kinesis --payload '{"page":"/"}' --partition-key visitor-7""",
)
@flag("--payload", metavar="TEXT", default='{"id": "101"}', show_default=True, help="The payload.")
@flag("--partition-key", metavar="KEY", default="101", show_default=True, help="Its key.")
@flag("--stream", metavar="NAME", default="orders", show_default=True, help="The stream.")
@flag("--region", metavar="NAME", default="us-east-1", show_default=True, help="The AWS Region.")
def kinesis(*, payload: str, partition_key: str, stream: str, region: str) -> None:
    """Print an event of a Kinesis stream with one record; source: lambda-contract 2.2."""
    import base64

    from triggerkit.commands.output import print_json
    from triggerkit.runtime.clock import SystemClock
    from triggerkit.testing.events import ACCOUNT

    now_seconds = round(SystemClock().now().service_seconds, 3)
    sequence = "49590338271490256608559692538361571095921575989136588898"
    arn = f"arn:aws:kinesis:{region}:{ACCOUNT}:stream/{stream}"
    record = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": partition_key,
            "sequenceNumber": sequence,
            "data": base64.b64encode(payload.encode()).decode(),
            "approximateArrivalTimestamp": now_seconds,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000000:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": f"arn:aws:iam::{ACCOUNT}:role/lambda",
        "awsRegion": region,
        "eventSourceARN": arn,
    }
    print_json({"Records": [record]})


def _read_images(
    action: str, keys: str | None, new: str | None, old: str | None
) -> tuple[tuple[tuple[str, str], ...], dict[str, Any] | None, dict[str, Any] | None]:
    """Names and types of the key, the old item and the new one. Raises UsageError."""
    from triggerkit.errors import UsageError
    from triggerkit.runtime.item_json import read_item, to_wire

    if action == "insert" and old is not None:
        raise UsageError("an insert has no old image", hint="leave --old out, or say modify")
    if action in ("remove", "ttl") and new is not None:
        raise UsageError("a removed item has no new image", hint="leave --new out, or say modify")
    key = to_wire(read_item(keys or _DEFAULT_KEYS, "--keys"))
    if len(key) > 2:
        raise UsageError("--keys has more than two attributes", hint="a key has one or two")

    def image(text: str, what: str) -> dict[str, Any]:
        item = {} if text.strip() == "{}" else to_wire(read_item(text, what))
        for name, value in key.items():
            if item.get(name, value) != value:
                raise UsageError(
                    f"{what}: {name} is not that of --keys", hint="a key never changes"
                )
        return {**key, **item}

    return (
        tuple((name, next(iter(value))) for name, value in key.items()),
        None if action == "insert" else image(old or _DEFAULT_OLD, "--old"),
        image(new or _DEFAULT_NEW, "--new") if action in ("insert", "modify") else None,
    )
