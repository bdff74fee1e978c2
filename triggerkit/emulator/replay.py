"""Records of another stream, appended to one of ours.

Rule: what was recorded stays as it was, images and all; only its time and its number are ours, since both
must grow with the stream. The item becomes what the images say, so that later writes go on from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triggerkit.emulator.errors import EmulatorError, validation
from triggerkit.emulator.keys import check_item_key, item_key
from triggerkit.emulator.shards import StreamRecord
from triggerkit.emulator.site import Site
from triggerkit.emulator.sizes import item_size_bytes
from triggerkit.emulator.store import ItemKey, Table
from triggerkit.emulator.values import normalise_item, with_map_types

_IMAGES = ("NewImage", "OldImage")


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
    """Make the item what the record leaves; a stream without new images does not tell."""
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
    told = recorded.get("SizeBytes")
    if isinstance(told, int):
        return told
    images = (recorded[name] for name in ("Keys", *_IMAGES) if recorded.get(name) is not None)
    return sum(item_size_bytes(normalise_item(with_map_types(image))) for image in images)


def _unreadable(why: str) -> EmulatorError:
    return validation(f"The record is no change of an item: {why}")
