"""The one rule for stream records.

Rule: every write of an item ends in `commit`, which replaces the item and, when the item differs from
what it was, writes exactly one record to the table's stream. No-op writes leave no trace (rule E-5).
"""

from __future__ import annotations

from typing import Any

from triggerkit.emulator.shards import StreamRecord
from triggerkit.emulator.site import Site
from triggerkit.emulator.sizes import item_size_bytes
from triggerkit.emulator.store import ItemKey, Stream, Table
from triggerkit.emulator.values import Item

TTL_IDENTITY = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}


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
