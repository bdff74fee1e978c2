"""`triggerkit generate-event`. Rule: an event is what the emulator's own stream makes of a real write.

So it has the shape, the order of fields, the sizes and the images that a handler meets, and the ones that
no stream makes (a change that changes nothing) cannot be had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from triggerkit.cli.flags import VIEW_TYPES, flag
from triggerkit.cli.groups import SuggestingGroup

if TYPE_CHECKING:
    from triggerkit.emulator import Emulator

ACTIONS = ("insert", "modify", "remove", "ttl")
ACCOUNT = "123456789012"
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
    action: str, *, keys: str | None, new: str | None, old: str | None, **given: Any
) -> None:
    """Print an event of a DynamoDB stream with one record.

    JSON is plain, or DynamoDB JSON where each value has its type; --new and --old may repeat the key.
    """
    from triggerkit.commands.output import print_json

    _refuse_unused(action, new, old)
    change = _read_change(action, keys, new, old)
    print_json({"Records": [_record(change, **given)]})


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
    from triggerkit.emulator import RealClock

    now_seconds = round(RealClock().now_seconds(), 3)
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


@dataclass(frozen=True, slots=True)
class Change:
    """One change, in DynamoDB JSON; an image is None where there is no item."""

    keys: Mapping[str, Any]
    new: Mapping[str, Any] | None
    old: Mapping[str, Any] | None
    expires: bool


def _refuse_unused(action: str, new: str | None, old: str | None) -> None:
    from triggerkit.errors import UsageError

    if action == "insert" and old is not None:
        raise UsageError("an insert has no old image", hint="leave --old out, or say modify")
    if action in ("remove", "ttl") and new is not None:
        raise UsageError("a removed item has no new image", hint="leave --new out, or say modify")


def _read_change(action: str, keys: str | None, new: str | None, old: str | None) -> Change:
    from triggerkit.errors import UsageError
    from triggerkit.runtime.item_json import read_item, to_wire

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

    has_new, has_old = action in ("insert", "modify"), action != "insert"
    return Change(
        key,
        image(new or _DEFAULT_NEW, "--new") if has_new else None,
        image(old or _DEFAULT_OLD, "--old") if has_old else None,
        expires=action == "ttl",
    )


def _record(change: Change, *, view_type: str, table: str, region: str) -> dict[str, Any]:
    """The record that a stream has of that change. Raises UsageError: no such item or table."""
    import json

    from triggerkit.emulator import Emulator, EmulatorError
    from triggerkit.errors import UsageError
    from triggerkit.sources.dynamodb.change_events import to_event

    emulator = Emulator(region=region, account=ACCOUNT)
    try:
        _carry_out(emulator, change, table, view_type)
    except EmulatorError as error:
        raise UsageError(error.message, hint="correct --keys, --new, --old or --table") from None
    (arn,) = emulator.stream_arns(table)
    (shard,) = emulator.open_shards(table)
    place = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = emulator.call("GetShardIterator", place)["ShardIterator"]
    *_, last = records = emulator.call("GetRecords", {"ShardIterator": iterator})["Records"]
    if len(records) < (2 if change.old is not None else 1):
        raise UsageError(
            "--new and --old are the same item: a stream has no record of that",
            hint="change an attribute",
        )
    return to_event(json.dumps(last).encode(), arn)


def _carry_out(emulator: Emulator, change: Change, table: str, view_type: str) -> None:
    kinds = [(name, next(iter(value))) for name, value in change.keys.items()]
    emulator.call(
        "CreateTable",
        {
            "TableName": table,
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": kind} for name, kind in kinds
            ],
            "KeySchema": [
                {"AttributeName": name, "KeyType": role}
                for (name, _), role in zip(kinds, ("HASH", "RANGE"), strict=False)
            ],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": view_type},
        },
    )
    if change.old is not None:
        emulator.call("PutItem", {"TableName": table, "Item": change.old})
    if change.new is not None:
        emulator.call("PutItem", {"TableName": table, "Item": change.new})
    elif change.expires:
        emulator.expire_item(table, change.keys)
    else:
        emulator.call("DeleteItem", {"TableName": table, "Key": change.keys})
