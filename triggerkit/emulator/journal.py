"""The file behind an emulator that survives a restart.

Rule: all changes of one request are written in one transaction before its answer leaves, so a killed
process loses no answered request and keeps no half of one. The file belongs to one process at a time; a
newer format is refused, never guessed at. State is read once, at the start, and lives in memory.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from triggerkit.emulator.indexes import Index
from triggerkit.emulator.shards import Shard, ShardGraph, StreamRecord
from triggerkit.emulator.store import (
    KINESIS_OFFSET,
    Billing,
    ItemKey,
    MemoryStore,
    Stream,
    Table,
)
from triggerkit.emulator.values import Item
from triggerkit.errors import StateError, StateFormatError, StateLockedError

FORMAT = 1
APPLICATION_ID = 0x746B6465
LATEST_SECONDS = "latest_seconds"
_SEQUENCE = "sequence"
_DIGITS = 60
_OTHER = "Name a file that does not exist yet; the emulator makes it."
_SCHEMA = """
    CREATE TABLE facts (name TEXT PRIMARY KEY, fact TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE tables (name TEXT PRIMARY KEY, definition TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE items (table_name TEXT, partition BLOB, sort BLOB, item TEXT NOT NULL,
                        PRIMARY KEY (table_name, partition, sort));
    CREATE TABLE streams (arn TEXT PRIMARY KEY, definition TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE shards (arn TEXT, shard_id TEXT, definition TEXT NOT NULL,
                         PRIMARY KEY (arn, shard_id)) WITHOUT ROWID;
    CREATE TABLE records (arn TEXT, shard_id TEXT, sequence TEXT, record TEXT NOT NULL,
                          PRIMARY KEY (arn, shard_id, sequence));
"""


def open_store(path: str | os.PathLike[str]) -> MemoryStore:
    """Return the state that `path` holds, empty for a new file; later changes are written to it.

    Raises:
        StateFormatError: the file has a newer format.
        StateLockedError: another process uses the file.
        StateError: the file cannot be opened, or is something else.
    """
    place = Path(path)
    try:
        connection = _opened(place)
    except sqlite3.OperationalError as failure:
        if "locked" in str(failure):
            raise StateLockedError(
                f"{place} is used by another emulator",
                hint="Stop the other one, or give this one a file of its own.",
            ) from None
        raise StateError(
            f"{place} cannot be opened: {failure}",
            hint="Give the emulator a file in a folder that you may write to.",
        ) from failure
    except (sqlite3.DatabaseError, OSError) as failure:
        raise StateError(
            f"{place} is not a file of the emulator: {failure}", hint=_OTHER
        ) from failure
    store = MemoryStore()
    _load(connection, store)
    store.journal = SqliteJournal(connection)
    return store


def _opened(place: Path) -> sqlite3.Connection:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(place, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(place, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        _check_format(connection, place)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_format(connection: sqlite3.Connection, place: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (names,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == 0 and names == 0:
        for statement in _SCHEMA.split(";")[:-1]:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    elif application != APPLICATION_ID:
        raise StateError(f"{place} is another program's database", hint=_OTHER)
    elif version > FORMAT:
        raise StateFormatError(
            f"{place} has format {version}, this version of triggerkit reads up to {FORMAT}",
            hint="Use the newer triggerkit, or another file.",
        )


class SqliteJournal:
    """Writes what a `MemoryStore` tells it; one transaction for each `settle`."""

    __slots__ = ("_connection", "_pending", "_sequence", "_streams")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._pending: list[tuple[str, tuple[Any, ...]]] = []
        self._streams: dict[str, Stream] = {}
        self._sequence = 0

    def wrote_table(self, table: Table) -> None:
        """Note a table, new or changed."""
        self._note("REPLACE INTO tables VALUES (?, ?)", table.name, _packed(asdict(table)))

    def dropped_table(self, name: str) -> None:
        """Note that a table and its items are gone."""
        self._note("DELETE FROM tables WHERE name = ?", name)
        self._note("DELETE FROM items WHERE table_name = ?", name)

    def wrote_item(self, table: str, key: ItemKey, item: Item | None) -> None:
        """Note an item, None for its removal."""
        place = (table, _bytes(key[0]), _bytes(key[1]))
        if item is None:
            self._note(
                "DELETE FROM items WHERE table_name = ? AND partition = ? AND sort = ?", *place
            )
        else:
            self._note("REPLACE INTO items VALUES (?, ?, ?, ?)", *place, _packed(item))

    def wrote_stream(self, stream: Stream) -> None:
        """Note a stream and its shards; they are written as they are when the request ends."""
        self._streams[stream.arn] = stream

    def dropped_stream(self, arn: str) -> None:
        """Note that a stream is gone."""
        self._streams.pop(arn, None)
        for table in ("streams", "shards", "records"):
            self._note(f"DELETE FROM {table} WHERE arn = ?", arn)  # noqa: S608 (our own names)

    def appended(self, arn: str, shard_id: str, record: StreamRecord) -> None:
        """Note a new record."""
        content = _packed([record.created_seconds, record.size_bytes, record.wire])
        number = _ordered(record.sequence)
        self._note("INSERT INTO records VALUES (?, ?, ?, ?)", arn, shard_id, number, content)

    def remembered(self, name: str, fact: str | None) -> None:
        """Note a fact, None for its end."""
        if fact is None:
            self._note("DELETE FROM facts WHERE name = ?", name)
        else:
            self._note("REPLACE INTO facts VALUES (?, ?)", name, fact)

    def settle(self, sequence: int, now_seconds: float) -> None:
        """Write all that was noted, in one transaction; what fails stays noted for the next try."""
        if not self._pending and not self._streams:
            return
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            for statement, values in self._pending:
                execute(statement, values)
            for stream in self._streams.values():
                self._write_shards(stream)
            if sequence != self._sequence:
                execute("REPLACE INTO facts VALUES (?, ?)", (_SEQUENCE, str(sequence)))
            execute("REPLACE INTO facts VALUES (?, ?)", (LATEST_SECONDS, repr(now_seconds)))
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise
        self._sequence = sequence
        self._pending.clear()
        self._streams.clear()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _note(self, statement: str, *values: Any) -> None:
        self._pending.append((statement, values))

    def _write_shards(self, stream: Stream) -> None:
        execute = self._connection.execute
        definition = {
            field.name: getattr(stream, field.name)
            for field in fields(stream)
            if field.name != "graph"
        }
        execute(
            "REPLACE INTO streams VALUES (?, ?)",
            (stream.arn, _packed({**definition, "salt": stream.graph.salt})),
        )
        execute("DELETE FROM shards WHERE arn = ?", (stream.arn,))
        for shard in stream.graph.listed():
            content = {
                field.name: getattr(shard, field.name)
                for field in fields(shard)
                if field.name != "records"
            }
            execute(
                "INSERT INTO shards VALUES (?, ?, ?)",
                (stream.arn, shard.shard_id, _packed(content)),
            )
            execute(
                "DELETE FROM records WHERE arn = ? AND shard_id = ? AND sequence <= ?",
                (stream.arn, shard.shard_id, _ordered(shard.trimmed_through)),
            )
        execute(
            "DELETE FROM records WHERE arn = ?1 AND shard_id NOT IN "
            "(SELECT shard_id FROM shards WHERE arn = ?1)",
            (stream.arn,),
        )


def _load(connection: sqlite3.Connection, store: MemoryStore) -> None:
    for name, fact in connection.execute("SELECT name, fact FROM facts"):
        if name == _SEQUENCE:
            store.resume(int(fact))
        else:
            store.remember(name, fact)
    for (definition,) in connection.execute("SELECT definition FROM tables"):
        members = json.loads(definition)
        members["billing"] = Billing(**members["billing"])
        members["indexes"] = [
            Index(
                **{
                    **index,
                    "included": tuple(index["included"]),
                    "key_types": tuple(index["key_types"]),
                }
            )
            for index in members["indexes"]
        ]
        store.save_table(Table(**members))
    for table, partition, sort, item in connection.execute("SELECT * FROM items"):
        store.write_item(table, (_text(partition), _text(sort)), json.loads(item))
    for arn, definition in connection.execute("SELECT arn, definition FROM streams"):
        members = json.loads(definition)
        offset = KINESIS_OFFSET if members["is_kinesis"] else 0
        graph = ShardGraph(members.pop("salt"), store.next_sequence, offset)
        graph.restore(_shards(connection, arn))
        store.save_stream(Stream(graph=graph, **members))


def _shards(connection: sqlite3.Connection, arn: str) -> Iterable[Shard]:
    held = "SELECT definition FROM shards WHERE arn = ?"
    written = (
        "SELECT sequence, record FROM records WHERE arn = ? AND shard_id = ? ORDER BY sequence"
    )
    for (definition,) in connection.execute(held, (arn,)).fetchall():
        shard = Shard(**json.loads(definition))
        for sequence, record in connection.execute(written, (arn, shard.shard_id)):
            shard.records.append(StreamRecord(int(sequence), *json.loads(record)))
        yield shard


def _packed(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), check_circular=False)


def _ordered(sequence: int) -> str:
    """Return a sequence number as text that sorts as the number does."""
    return f"{sequence:0{_DIGITS}d}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")
