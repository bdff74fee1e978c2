"""Making the tables of `dev` as the configuration describes them.

A table that exists is used as it is; one with another key or view type is refused, never made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from triggerkit.aws.errors import VALIDATION, client_side_error, refusal_of
from triggerkit.errors import UsageError
from triggerkit.runtime.tables import DevTable

_ALREADY_GONE: Final = "throw the tables of dev away with --fresh, or correct the configuration"


class Made(Enum):
    """What became of a table."""

    CREATED = "created"
    STREAM_ON = "stream turned on"
    KEPT = "kept"


def ensure_table(client: Any, table: DevTable) -> Made:
    """Create the table, or look whether the one that exists will do.

    Raises:
        UsageError: it has another key or view type, or an item of `seed` does not fit.
        SourceError: the endpoint refused.
    """
    with asking("dynamodb:DescribeTable", table.name):
        try:
            found = client.describe_table(TableName=table.name)["Table"]
        except client.exceptions.ResourceNotFoundException:
            found = None
    if found is None:
        _create(client, table)
        return Made.CREATED
    _refuse_other_key(found, table)
    stream = found.get("StreamSpecification", {})
    if stream.get("StreamEnabled"):
        if stream["StreamViewType"] != table.view_type:
            raise UsageError(
                f"table {table.name!r} exists with the view type {stream['StreamViewType']}, "
                f"not {table.view_type}",
                hint=_ALREADY_GONE,
            )
        return Made.KEPT
    with asking("dynamodb:UpdateTable", table.name):
        stream = {"StreamEnabled": True, "StreamViewType": table.view_type}
        client.update_table(TableName=table.name, StreamSpecification=stream)
    return Made.STREAM_ON


def keys_of(described: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Name and type of the keys of a table as DescribeTable has them."""
    kinds = {
        one["AttributeName"]: one["AttributeType"] for one in described["AttributeDefinitions"]
    }
    names = {one["KeyType"]: one["AttributeName"] for one in described["KeySchema"]}
    ordered = [names[kind] for kind in ("HASH", "RANGE") if kind in names]
    return tuple((name, kinds[name]) for name in ordered)


@contextmanager
def asking(action: str, table: str) -> Iterator[None]:
    """Around one call of boto3: its errors become ours.

    Raises:
        UsageError: the service found a value wrong. SourceError: everything else, by its code.
    """
    thing = f"table {table!r}"
    try:
        yield
    except ClientError as error:
        refusal = refusal_of(error, action, thing)
        if refusal.code == VALIDATION:
            raise UsageError(f"{thing}: {refusal.text}", hint="correct the item") from error
        raise refusal.error() from error
    except BotoCoreError as error:
        raise client_side_error(error, action, thing) from error


def _create(client: Any, table: DevTable) -> None:
    with asking("dynamodb:CreateTable", table.name):
        client.create_table(**table.request())
        client.get_waiter("table_exists").wait(TableName=table.name, WaiterConfig={"Delay": 1})
        for item in table.items:
            client.put_item(TableName=table.name, Item=item)


def _refuse_other_key(found: Mapping[str, Any], table: DevTable) -> None:
    keys = keys_of(found)
    if keys == table.keys:
        return
    shown = ",".join(map(":".join, keys))
    raise UsageError(
        f"table {table.name!r} exists with the key {shown}, not {table.key_text}",
        hint=_ALREADY_GONE,
    )
