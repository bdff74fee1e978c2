"""The state of an emulator: tables, items, streams, and numbers that are never given twice.

Every change of state goes through the `Store`, which keeps it in memory and, where there is a file, in its
journal.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from triggerkit.emulator.indexes import IndexEntries
from triggerkit.emulator.journal import Journal
from triggerkit.emulator.model import ItemKey, Stream, Table
from triggerkit.emulator.shards import StreamRecord
from triggerkit.emulator.values import Item

# 21 digits at first and 22 soon after: a client that compares sequence numbers as text finds out early.
FIRST_SEQUENCE = 10**21 - 5_000
SEQUENCE_STEP = 100
_SEQUENCE = "sequence"
_LATEST_SECONDS = "latest_seconds"


class Store:
    """All state, from the file at `path` if there is one. All calls come under the emulator's lock.

    Raises:
        StateError: `path` cannot be used; there are subclasses for a newer format and for a file in use.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._tables: dict[str, Table] = {}
        self._items: dict[str, dict[str, dict[str, Item]]] = {}
        self._streams: dict[str, Stream] = {}
        self._entries = IndexEntries()
        self._facts: dict[str, str] = {}
        self._sequence = FIRST_SEQUENCE
        self._journal: Journal | None = None
        if path is not None:
            journal = Journal(path)
            self._load(journal)
            self._journal = journal

    def _load(self, journal: Journal) -> None:
        self._facts = journal.facts()
        self._sequence = int(self._facts.pop(_SEQUENCE, FIRST_SEQUENCE))
        for table in journal.tables():
            self.save_table(table)
        for name, key, item in journal.items():
            self.write_item(name, key, item)
        for stream in journal.streams(self.next_sequence):
            self.save_stream(stream)

    @property
    def latest_seconds(self) -> float:
        """The time of the last change that is in the file, 0 without one."""
        return float(self._facts.get(_LATEST_SECONDS, 0))

    def next_sequence(self) -> int:
        """Return a number greater than all before."""
        self._sequence += SEQUENCE_STEP
        return self._sequence

    # --- tables and items ---------------------------------------------------------------------------

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
        if self._journal is not None:
            self._journal.write_table(table)

    def drop_table(self, name: str) -> None:
        """Remove a table and its items; its streams stay."""
        del self._tables[name]
        del self._items[name]
        self._entries.keep(name, (), ())
        if self._journal is not None:
            self._journal.drop_table(name)

    def item(self, table: str, key: ItemKey) -> Item | None:
        """Return one item."""
        partition = self._items[table].get(key[0])
        return None if partition is None else partition.get(key[1])

    def items(self, table: str) -> Iterable[tuple[ItemKey, Item]]:
        """Return all items of a table."""
        for partition, entries in self._items[table].items():
            for sort, item in entries.items():
                yield (partition, sort), item

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
        if self._journal is not None:
            self._journal.write_item(table, key, item)

    # --- streams ------------------------------------------------------------------------------------

    def stream(self, arn: str) -> Stream | None:
        """Return the stream of that ARN."""
        return self._streams.get(arn)

    def streams(self) -> list[Stream]:
        """Return all streams, by ARN."""
        return [self._streams[arn] for arn in sorted(self._streams)]

    def save_stream(self, stream: Stream) -> None:
        """Keep a stream and its shards, new or changed."""
        self._streams[stream.arn] = stream
        if self._journal is not None:
            self._journal.write_stream(stream)

    def drop_stream(self, arn: str) -> None:
        """Remove a stream."""
        del self._streams[arn]
        if self._journal is not None:
            self._journal.drop_stream(arn)

    def append(self, stream: Stream, shard_id: str, record: StreamRecord) -> None:
        """Put a record at the end of a shard."""
        stream.graph.shards[shard_id].records.append(record)
        if self._journal is not None:
            self._journal.append(stream.arn, shard_id, record)

    # --- facts --------------------------------------------------------------------------------------

    def fact(self, name: str) -> str | None:
        """Return what was saved under `name`."""
        return self._facts.get(name)

    def facts(self, prefix: str) -> list[tuple[str, str]]:
        """Return the facts whose names begin with `prefix`, by name."""
        return sorted(each for each in self._facts.items() if each[0].startswith(prefix))

    def save_fact(self, name: str, fact: str | None) -> None:
        """Keep a small fact that is none of the above; None removes it."""
        if fact is None:
            self._facts.pop(name, None)
        else:
            self._facts[name] = fact
        if self._journal is not None:
            self._journal.write_fact(name, fact)

    # --- the file -----------------------------------------------------------------------------------

    def commit(self, now_seconds: float) -> None:
        """Make all changes since the last call durable, whole or not at all."""
        if self._journal is not None and self._journal.has_changes:
            self._journal.write_fact(_SEQUENCE, str(self._sequence))
            self._journal.write_fact(_LATEST_SECONDS, repr(now_seconds))
            self._journal.commit()

    def close(self) -> None:
        """Close the file."""
        if self._journal is not None:
            self._journal.close()
