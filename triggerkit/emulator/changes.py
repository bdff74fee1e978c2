"""Where stream records come from: the writes of items, and records of another stream that are replayed.

Every write of an item ends in `commit`, which replaces the item and, where it differs from what it was, appends
exactly one record to the table's stream. A write that changes nothing leaves no record (rule E-5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triggerkit.emulator.errors import EmulatorError, validation
from triggerkit.emulator.keys import check_item_key, item_key
from triggerkit.emulator.model import ItemKey, Stream, Table
from triggerkit.emulator.shards import StreamRecord
from triggerkit.emulator.site import Site
from triggerkit.emulator.sizes import item_size_bytes
from triggerkit.emulator.values import Item, normalise_item, with_map_types

TTL_IDENTITY = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
_IMAGES = ("NewImage", "OldImage")


def commit(
    site: Site,
    table: Table,
    key: ItemKey,
    new: Item | None,
    identity: dict[str, str] | None = None,
) -> Item | None:
    """Replace the item at `key` by `new` (None removes it), record the change, return the old item.

    `identity` is the userIdentity of a removal by Time to Live.
    """
    old = site.store.item(table.name, key)
    if old == new:
        return old
    site.store.write_item(table.name, key, new)
    stream = site.current_stream(table)
    if stream is not None:
        shard = stream.graph.route(key[0])
        record = _record(site, table, stream, old, new)
        if identity is not None:
            record.wire["userIdentity"] = identity
        site.store.append(stream, shard.shard_id, record)
    return old


def _record(
    site: Site, table: Table, stream: Stream, old: Item | None, new: Item | None
) -> StreamRecord:
    source = new if new is not None else old
    assert source is not None
    now_seconds = site.clock.now_seconds()
    sequence = site.store.next_sequence()
    keys = {name: source[name] for name in table.key_names()}
    size_bytes = item_size_bytes(keys)
    # Whole seconds: AWS writes 1.764085655E9 (rule E-2).
    change: dict[str, Any] = {"ApproximateCreationDateTime": int(now_seconds), "Keys": keys}
    if new is not None and stream.view_type in {"NEW_IMAGE", "NEW_AND_OLD_IMAGES"}:
        change["NewImage"] = new
        size_bytes += item_size_bytes(new)
    if old is not None and stream.view_type in {"OLD_IMAGE", "NEW_AND_OLD_IMAGES"}:
        change["OldImage"] = old
        size_bytes += item_size_bytes(old)
    change["SequenceNumber"] = str(sequence)
    change["SizeBytes"] = size_bytes
    change["StreamViewType"] = stream.view_type
    wire = {
        "eventID": site.digest(stream.arn, sequence),
        "eventName": "INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": site.region,
        "dynamodb": change,
    }
    return StreamRecord(sequence, now_seconds, size_bytes, wire)


def append_recorded(
    site: Site, table: Table, record: Mapping[str, Any], shard_id: str | None
) -> str:
    """Append `record` to the table's stream, in `shard_id` or below it; return its sequence number.

    Raises:
        EmulatorError: the stream is off, or the record is no change of an item of this table.
    """
    stream = site.current_stream(table)
    if stream is None:
        raise validation(f"Table has no stream to append to: TableName: {table.name}")
    recorded = record.get("dynamodb")
    if not isinstance(recorded, Mapping) or not isinstance(recorded.get("Keys"), Mapping):
        raise _unreadable("it has no Keys")
    keys = normalise_item(recorded["Keys"])
    check_item_key(table, keys)
    place = item_key(table, keys)
    _write_item(site, table, place, record)
    graph = stream.graph
    shard = graph.route(place[0]) if shard_id is None else graph.place(place[0], shard_id)
    now_seconds, sequence = site.clock.now_seconds(), site.store.next_sequence()
    change = {
        **recorded,
        "ApproximateCreationDateTime": int(now_seconds),
        "SequenceNumber": str(sequence),
    }
    wire = {**record, "dynamodb": change}
    written = StreamRecord(sequence, now_seconds, _size_bytes(recorded), wire)
    site.store.append(stream, shard.shard_id, written)
    return str(sequence)


def _write_item(site: Site, table: Table, place: ItemKey, record: Mapping[str, Any]) -> None:
    """Write the item as it is after the record, if the record has the new image."""
    match record.get("eventName"):
        case "REMOVE":
            if site.store.item(table.name, place) is not None:
                site.store.write_item(table.name, place, None)
        case "INSERT" | "MODIFY":
            image = record["dynamodb"].get("NewImage")
            if image is not None:
                item = normalise_item(with_map_types(image))
                check_item_key(table, item)
                site.store.write_item(table.name, place, item)
        case other:
            raise _unreadable(f"its eventName is {other!r}")


def _size_bytes(recorded: Mapping[str, Any]) -> int:
    size_bytes = recorded.get("SizeBytes")
    if isinstance(size_bytes, int):
        return size_bytes
    images = (recorded[name] for name in ("Keys", *_IMAGES) if recorded.get(name) is not None)
    return sum(item_size_bytes(normalise_item(with_map_types(image))) for image in images)


def _unreadable(why: str) -> EmulatorError:
    return validation(f"The record is no change of an item: {why}")
