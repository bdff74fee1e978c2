"""Events and changes for unit tests, as a stream makes them of a real write.

Each is made by a write in an emulator of its own and by the code that shapes events in production, so field
order, sizes, types and absent images are those that a handler gets.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeAlias, TypeVar

from triggerkit.core.changes import Differences, Inserted, Modified, Removed, ViewType
from triggerkit.core.item_json import decoded, wire_item
from triggerkit.emulator import Emulator, EmulatorError
from triggerkit.errors import UsageError
from triggerkit.invokers.context import InvocationContext
from triggerkit.invokers.images import StreamImages
from triggerkit.runtime.tables import DevTable
from triggerkit.sources.dynamodb.change_events import to_event
from triggerkit.testing.clock import VirtualClock

T = TypeVar("T")
R = TypeVar("R")
N_co = TypeVar("N_co", covariant=True)
O_co = TypeVar("O_co", covariant=True)
Image: TypeAlias = Mapping[str, Any]

ACCOUNT = "123456789012"
REQUEST_ID = "00000000-0000-4000-8000-000000000000"
_KEY_TYPES = ("S", "N", "B")


def record(
    new: Image | None = None,
    old: Image | None = None,
    *,
    key: Sequence[str] = ("id",),
    table: str = "orders",
    view_type: ViewType = "NEW_AND_OLD_IMAGES",
    expired: bool = False,
) -> dict[str, Any]:
    """One element of `event["Records"]` as Lambda gets it from a DynamoDB stream.

    Args:
        new: the item afterwards, in plain Python values; None for a removal.
        old: the item before; None for an insert.
        key: the names of its key attributes, partition key first.
        table: the table's name.
        view_type: which images the stream carries.
        expired: whether Time to Live removed it.

    Raises:
        UsageError: no image, a key that is missing or changes, or a change that changes nothing.
    """
    image = new if new is not None else old
    if image is None:
        raise UsageError("a record needs an item", hint="give new=, old= or both")
    wires = [None if one is None else wire_item(one, "item") for one in (old, new)]
    keys = _key_types(wire_item(image, "item"), key)
    emulator = Emulator(VirtualClock(), account=ACCOUNT)
    return record_of_change(emulator, DevTable(table, keys, view_type), *wires, expired=expired)


def record_of_change(
    emulator: Emulator,
    table: DevTable,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    *,
    expired: bool = False,
) -> dict[str, Any]:
    """The record that a stream has of one change, as Lambda gets it; items in DynamoDB JSON.

    Args:
        emulator: an empty one.
        table: the table, which is created.
        old: the item before, if any.
        new: the item afterwards, if any.
        expired: whether Time to Live removed it.

    Raises:
        UsageError: an item or a name that no table has, or a change that changes nothing.
    """
    try:
        emulator.call("CreateTable", table.request())
        _write(emulator, table.name, [name for name, _ in table.keys], old, new, expired=expired)
        (arn,) = emulator.stream_arns(table.name)
        records = _records(emulator, arn, table.name)
    except EmulatorError as error:
        raise UsageError(
            error.message, hint="correct the item, its key or the table's name"
        ) from None
    if len(records) != (2 if old is not None else 1):
        raise UsageError(
            "the old and the new image are the same item: a stream has no record of that",
            hint="change an attribute that is not the key",
        )
    return to_event(json.dumps(records[-1]).encode(), arn)


def make_event(*records: Mapping[str, Any]) -> dict[str, Any]:
    """Lambda's event with these records: `make_event(record({"id": "1"}))`.

    Records that were made apart get sequence numbers that grow, since a stream has each number once.
    """
    if not records:
        records = (record({"id": "1", "status": "paid"}),)
    return {"Records": [_numbered(one, place) for place, one in enumerate(records)]}


def inserted(new: T, *, key: Sequence[str] = ("id",), table: str = "orders") -> Inserted[T]:
    """An insert, as a handler of `.each` gets it.

    Args:
        new: the item: a dict, a dataclass or a pydantic model; the handler gets this very object.
        key: the names of its key attributes; one that the item lacks is made up.
        table: the table's name.

    Raises:
        UsageError: it is no item, or has a value that no item can have.
    """
    raw = record(_item_of(new, key), key=key, table=table)
    return Inserted(*_facts_of(raw), _Given(raw, new, new))


def modified(old: T, new: T, *, key: Sequence[str] = ("id",), table: str = "orders") -> Modified[T]:
    """A modification from `old` to `new`, as a handler of `.each` gets it. As `inserted`."""
    raw = record(_item_of(new, key), _item_of(old, key), key=key, table=table)
    return Modified(*_facts_of(raw), _Given(raw, new, old))


def removed(
    old: T, *, key: Sequence[str] = ("id",), table: str = "orders", expired: bool = False
) -> Removed[T]:
    """A removal, as a handler of `.each` gets it; `expired`: by Time to Live. As `inserted`."""
    raw = record(None, _item_of(old, key), key=key, table=table, expired=expired)
    return Removed(*_facts_of(raw), _Given(raw, old, old))


def make_context(
    resources: R = None,  # type: ignore[assignment]  # without resources R is None
    *,
    trigger: str = "trigger",
    attempt: int = 1,
    remaining_seconds: float = 900.0,
) -> InvocationContext[R]:
    """A context for calling a handler: `make_context(resources=fake)`.

    Args:
        resources: what `lifespan` would yield.
        trigger: the trigger's name.
        attempt: 1 for the first call.
        remaining_seconds: what `get_remaining_time_in_millis` tells.
    """
    context = InvocationContext(
        trigger,
        resources,
        lambda: remaining_seconds,
        request_id=REQUEST_ID,
        attempt=attempt,
        function_arn=f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{trigger}",
    )
    context.log_stream_name = f"2027/01/15/[$LATEST]{'0' * 32}"
    return context


class _Given(Generic[N_co, O_co]):
    """Implements `core.changes.Images`: what the test gave, and what a stream says about it."""

    __slots__ = ("_new", "_old", "_wire")

    def __init__(self, raw: dict[str, Any], new: N_co, old: O_co) -> None:
        self._new = new
        self._old = old
        self._wire = StreamImages(
            raw["dynamodb"],
            dict,
            inserted=raw["eventName"] == "INSERT",
            removed=raw["eventName"] == "REMOVE",
        )

    @property
    def new(self) -> N_co:
        """The object itself."""
        return self._new

    @property
    def old(self) -> O_co:
        """The object itself."""
        return self._old

    def changed(self, paths: Sequence[str]) -> bool:
        """See `Images`."""
        return self._wire.changed(paths)

    def differences(self) -> Differences:
        """See `Images`."""
        return self._wire.differences()


def _facts_of(
    raw: dict[str, Any],
) -> tuple[dict[str, Any], datetime, str, str, str, dict[str, Any]]:
    change = raw["dynamodb"]
    return (
        decoded(change["Keys"]),
        datetime.fromtimestamp(change["ApproximateCreationDateTime"], UTC),
        raw["eventID"],
        change["SequenceNumber"],
        "shardId-00000001800000000000-00000000",
        raw,
    )


def _item_of(item: object, key: Sequence[str]) -> Mapping[str, Any]:
    """The attributes of a model; a key that the model does not have is made up."""
    found: Mapping[str, Any]
    match item:
        case Mapping():
            found = item
        case _ if dataclasses.is_dataclass(item) and not isinstance(item, type):
            found = dataclasses.asdict(item)
        case _ if hasattr(item, "model_dump"):
            found = item.model_dump(by_alias=True)
        case _:
            raise UsageError(
                f"{item!r} is no item", hint="give a dict, a dataclass or a pydantic model"
            )
    return {**{name: "1" for name in key if name not in found}, **found}


def _key_types(wire: Mapping[str, Any], key: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for name in key:
        kind = next(iter(wire.get(name, {"": None})))
        if kind not in _KEY_TYPES:
            said = f"is of type {kind}" if kind else "is missing"
            raise UsageError(
                f"the key {name} {said}", hint="name the key attributes: key=('pk', 'sk')"
            )
        found.append((name, kind))
    return tuple(found)


def _write(
    emulator: Emulator,
    table: str,
    key: Sequence[str],
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    *,
    expired: bool,
) -> None:
    if old is not None:
        emulator.call("PutItem", {"TableName": table, "Item": old})
    if new is not None:
        emulator.call("PutItem", {"TableName": table, "Item": new})
        return
    assert old is not None
    place = {name: old[name] for name in key}
    if expired:
        emulator.expire_item(table, place)
    else:
        emulator.call("DeleteItem", {"TableName": table, "Key": place})


def _records(emulator: Emulator, arn: str, table: str) -> list[dict[str, Any]]:
    (shard,) = emulator.open_shards(table)
    place = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = emulator.call("GetShardIterator", place)["ShardIterator"]
    found: list[dict[str, Any]] = emulator.call("GetRecords", {"ShardIterator": iterator})[
        "Records"
    ]
    return found


def _numbered(element: Mapping[str, Any], place: int) -> dict[str, Any]:
    change = element.get("dynamodb")
    if change is None:
        return dict(element)
    number = str(int(change["SequenceNumber"]) + 100 * place)
    event_id = f"{int(element['eventID'], 16) + place:032x}"
    return {**element, "eventID": event_id, "dynamodb": {**change, "SequenceNumber": number}}
