"""The state behind the emulator: tables, items, streams, and the numbers that must never come again.

Rule: every change of state goes through a `Store`, so that a store which writes a file behind the same
methods makes all of it survive a restart. A store keeps and finds; it judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from triggerkit.emulator.shards import ShardGraph, StreamRecord
from triggerkit.emulator.values import Item

ItemKey: TypeAlias = tuple[str, str]
"""Canonical text of partition key and sort key; the second is empty where the table has none."""

# 21 digits at first and 22 soon after: whoever compares sequence numbers as text finds out early.
FIRST_SEQUENCE = 10**21 - 5_000
SEQUENCE_STEP = 100


@dataclass(slots=True)
class Table:
    """One table's definition and the stream that it writes now."""

    name: str
    table_id: str
    arn: str
    created_seconds: float
    hash_key: str
    sort_key: str | None
    key_types: dict[str, str]
    billing_mode: str
    read_units: int
    write_units: int
    deletion_protected: bool = False
    stream_arn: str | None = None

    def key_names(self) -> tuple[str, ...]:
        """Return the names of the key attributes, partition key first."""
        return (self.hash_key,) if self.sort_key is None else (self.hash_key, self.sort_key)

    def key_schema(self) -> list[dict[str, str]]:
        """Return the KeySchema as the wire has it."""
        schema = [{"AttributeName": self.hash_key, "KeyType": "HASH"}]
        if self.sort_key is not None:
            schema.append({"AttributeName": self.sort_key, "KeyType": "RANGE"})
        return schema


@dataclass(slots=True)
class Stream:
    """One stream; it outlives its table by the retention."""

    arn: str
    label: str
    table_name: str
    view_type: str
    key_schema: list[dict[str, str]]
    created_seconds: float
    graph: ShardGraph
    enabled: bool = True


class Store(Protocol):
    """What the emulator asks of its state. All calls come under the emulator's lock."""

    def next_sequence(self) -> int:
        """Return a number greater than all before."""
        ...

    def table(self, name: str) -> Table | None:
        """Return the table of that name."""
        ...

    def tables(self) -> list[Table]:
        """Return all tables, by name."""
        ...

    def save_table(self, table: Table) -> None:
        """Keep a table, new or changed."""
        ...

    def drop_table(self, name: str) -> None:
        """Forget a table and its items; its streams stay."""
        ...

    def item(self, table: str, key: ItemKey) -> Item | None:
        """Return one item."""
        ...

    def items(self, table: str) -> Iterable[tuple[ItemKey, Item]]:
        """Return all items of a table."""
        ...

    def item_count(self, table: str) -> int:
        """Return how many items a table has."""
        ...

    def partition(self, table: str, partition: str) -> Iterable[Item]:
        """Return the items of one partition key (canonical text), in no order."""
        ...

    def write_item(self, table: str, key: ItemKey, item: Item | None) -> None:
        """Replace an item; None removes it."""
        ...

    def stream(self, arn: str) -> Stream | None:
        """Return the stream of that ARN."""
        ...

    def streams(self) -> list[Stream]:
        """Return all streams, by ARN."""
        ...

    def save_stream(self, stream: Stream) -> None:
        """Keep a stream and its shards, new or changed."""
        ...

    def drop_stream(self, arn: str) -> None:
        """Forget a stream."""
        ...

    def append(self, stream: Stream, shard_id: str, record: StreamRecord) -> None:
        """Put a record at the end of a shard."""
        ...


@dataclass(slots=True)
class MemoryStore:
    """State in memory: fast, and gone with the process."""

    _tables: dict[str, Table] = field(default_factory=dict)
    _items: dict[str, dict[str, dict[str, Item]]] = field(default_factory=dict)
    _streams: dict[str, Stream] = field(default_factory=dict)
    _sequence: int = FIRST_SEQUENCE

    def next_sequence(self) -> int:
        """Return a number greater than all before."""
        self._sequence += SEQUENCE_STEP
        return self._sequence

    def table(self, name: str) -> Table | None:
        """Return the table of that name."""
        return self._tables.get(name)

    def tables(self) -> list[Table]:
        """Return all tables, by name."""
        return [self._tables[name] for name in sorted(self._tables)]

    def save_table(self, table: Table) -> None:
        """Keep a table, new or changed."""
        self._tables[table.name] = table
        self._items.setdefault(table.name, {})

    def drop_table(self, name: str) -> None:
        """Forget a table and its items; its streams stay."""
        del self._tables[name]
        del self._items[name]

    def item(self, table: str, key: ItemKey) -> Item | None:
        """Return one item."""
        partition = self._items[table].get(key[0])
        return None if partition is None else partition.get(key[1])

    def items(self, table: str) -> Iterable[tuple[ItemKey, Item]]:
        """Return all items of a table."""
        for partition, entries in self._items[table].items():
            for sort, item in entries.items():
                yield (partition, sort), item

    def item_count(self, table: str) -> int:
        """Return how many items a table has."""
        return sum(map(len, self._items[table].values()))

    def partition(self, table: str, partition: str) -> Iterable[Item]:
        """Return the items of one partition key (canonical text), in no order."""
        return self._items[table].get(partition, {}).values()

    def write_item(self, table: str, key: ItemKey, item: Item | None) -> None:
        """Replace an item; None removes it."""
        partitions = self._items[table]
        if item is not None:
            partitions.setdefault(key[0], {})[key[1]] = item
        elif key[0] in partitions:
            partitions[key[0]].pop(key[1], None)
            if not partitions[key[0]]:
                del partitions[key[0]]

    def stream(self, arn: str) -> Stream | None:
        """Return the stream of that ARN."""
        return self._streams.get(arn)

    def streams(self) -> list[Stream]:
        """Return all streams, by ARN."""
        return [self._streams[arn] for arn in sorted(self._streams)]

    def save_stream(self, stream: Stream) -> None:
        """Keep a stream and its shards, new or changed."""
        self._streams[stream.arn] = stream

    def drop_stream(self, arn: str) -> None:
        """Forget a stream."""
        del self._streams[arn]

    def append(self, stream: Stream, shard_id: str, record: StreamRecord) -> None:
        """Put a record at the end of a shard."""
        stream.graph.shards[shard_id].records.append(record)
