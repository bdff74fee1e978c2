"""The state behind the emulator: tables, items, streams, and the numbers that must never come again.

Rule: every change of state goes through a `Store`, so that a store which writes a file behind the same
methods makes all of it survive a restart. A store keeps and finds; it judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from triggerkit.emulator.indexes import Index, IndexEntries
from triggerkit.emulator.shards import ShardGraph, StreamRecord
from triggerkit.emulator.values import Item

ItemKey: TypeAlias = tuple[str, str]
"""Canonical text of partition key and sort key; the second is empty where the table has none."""

# 21 digits at first and 22 soon after: whoever compares sequence numbers as text finds out early.
FIRST_SEQUENCE = 10**21 - 5_000
SEQUENCE_STEP = 100
KINESIS_OFFSET = 495 * 10**53
"""Sequence numbers of Kinesis have 56 digits."""


@dataclass(frozen=True, slots=True)
class Billing:
    """How a table is paid for; units are 0 on demand."""

    mode: str
    read_units: int
    write_units: int


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
    billing: Billing
    deletion_protected: bool = False
    stream_arn: str | None = None
    expiry_attribute: str | None = None
    indexes: list[Index] = field(default_factory=list)

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
    """One stream of a table, which it outlives by the retention, or of Kinesis.

    A stream of Kinesis has its own name for `table_name`, and neither label, view type nor key schema.
    """

    arn: str
    label: str
    table_name: str
    view_type: str
    key_schema: list[dict[str, str]]
    created_seconds: float
    graph: ShardGraph
    enabled: bool = True
    is_kinesis: bool = False


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

    def indexed(self, table: str, index: str, partition: str | None) -> Iterable[Item]:
        """Return the items of one index partition (of all partitions for None), in no order."""
        ...

    def recall(self, name: str) -> str | None:
        """Return a fact that was remembered under `name`."""
        ...

    def remember(self, name: str, fact: str | None) -> None:
        """Keep a small fact that is none of the above; None forgets it."""
        ...

    def facts(self, prefix: str) -> list[tuple[str, str]]:
        """Return the facts whose names begin with `prefix`, by name."""
        ...

    def settle(self, now_seconds: float) -> None:
        """Make all that was changed since the last call durable, whole or not at all."""
        ...

    def close(self) -> None:
        """Give back what the store holds open."""
        ...


class Journal(Protocol):
    """What hears of every change of a `MemoryStore`, so that it can be made again."""

    def wrote_table(self, table: Table) -> None:
        """Note a table, new or changed."""
        ...

    def dropped_table(self, name: str) -> None:
        """Note that a table and its items are gone."""
        ...

    def wrote_item(self, table: str, key: ItemKey, item: Item | None) -> None:
        """Note an item, None for its removal."""
        ...

    def wrote_stream(self, stream: Stream) -> None:
        """Note a stream and its shards, new or changed."""
        ...

    def dropped_stream(self, arn: str) -> None:
        """Note that a stream is gone."""
        ...

    def appended(self, arn: str, shard_id: str, record: StreamRecord) -> None:
        """Note a new record."""
        ...

    def remembered(self, name: str, fact: str | None) -> None:
        """Note a fact, None for its end."""
        ...

    def settle(self, sequence: int, now_seconds: float) -> None:
        """Write all that was noted, in one transaction."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


@dataclass(slots=True)
class MemoryStore:
    """State in memory; with a journal it can be made again, without one it is gone with the process."""

    journal: Journal | None = None
    _tables: dict[str, Table] = field(default_factory=dict)
    _items: dict[str, dict[str, dict[str, Item]]] = field(default_factory=dict)
    _streams: dict[str, Stream] = field(default_factory=dict)
    _entries: IndexEntries = field(default_factory=IndexEntries)
    _facts: dict[str, str] = field(default_factory=dict)
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
        self._entries.keep(table.name, table.indexes, self.items(table.name))
        if self.journal is not None:
            self.journal.wrote_table(table)

    def drop_table(self, name: str) -> None:
        """Forget a table and its items; its streams stay."""
        del self._tables[name]
        del self._items[name]
        self._entries.keep(name, (), ())
        if self.journal is not None:
            self.journal.dropped_table(name)

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

    def indexed(self, table: str, index: str, partition: str | None) -> Iterable[Item]:
        """Return the items of one index partition (of all partitions for None), in no order."""
        return self._entries.items(table, index, partition)

    def write_item(self, table: str, key: ItemKey, item: Item | None) -> None:
        """Replace an item; None removes it."""
        indexes = self._tables[table].indexes
        if indexes:
            self._entries.replace(table, indexes, key, (self.item(table, key), item))
        partitions = self._items[table]
        if item is not None:
            partitions.setdefault(key[0], {})[key[1]] = item
        elif key[0] in partitions:
            partitions[key[0]].pop(key[1], None)
            if not partitions[key[0]]:
                del partitions[key[0]]
        if self.journal is not None:
            self.journal.wrote_item(table, key, item)

    def stream(self, arn: str) -> Stream | None:
        """Return the stream of that ARN."""
        return self._streams.get(arn)

    def streams(self) -> list[Stream]:
        """Return all streams, by ARN."""
        return [self._streams[arn] for arn in sorted(self._streams)]

    def save_stream(self, stream: Stream) -> None:
        """Keep a stream and its shards, new or changed."""
        self._streams[stream.arn] = stream
        if self.journal is not None:
            self.journal.wrote_stream(stream)

    def drop_stream(self, arn: str) -> None:
        """Forget a stream."""
        del self._streams[arn]
        if self.journal is not None:
            self.journal.dropped_stream(arn)

    def append(self, stream: Stream, shard_id: str, record: StreamRecord) -> None:
        """Put a record at the end of a shard."""
        stream.graph.shards[shard_id].records.append(record)
        if self.journal is not None:
            self.journal.appended(stream.arn, shard_id, record)

    def recall(self, name: str) -> str | None:
        """Return a fact that was remembered under `name`."""
        return self._facts.get(name)

    def remember(self, name: str, fact: str | None) -> None:
        """Keep a small fact that is none of the above; None forgets it."""
        if fact is None:
            self._facts.pop(name, None)
        else:
            self._facts[name] = fact
        if self.journal is not None:
            self.journal.remembered(name, fact)

    def facts(self, prefix: str) -> list[tuple[str, str]]:
        """Return the facts whose names begin with `prefix`, by name."""
        return sorted(each for each in self._facts.items() if each[0].startswith(prefix))

    def settle(self, now_seconds: float) -> None:
        """Make all that was changed since the last call durable, whole or not at all."""
        if self.journal is not None:
            self.journal.settle(self._sequence, now_seconds)

    def close(self) -> None:
        """Give back what the store holds open."""
        if self.journal is not None:
            self.journal.close()

    def resume(self, sequence: int) -> None:
        """Go on behind the greatest number that was ever given."""
        self._sequence = max(self._sequence, sequence)
