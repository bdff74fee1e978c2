"""The file of an emulator that survives a restart.

All changes of one request are written in one transaction before its answer leaves: a killed process loses no
answered request and keeps no half of one. The file belongs to one process at a time; a newer format is refused.
It is read once, at the start.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from triggerkit.emulator.indexes import Index
from triggerkit.emulator.model import Billing, ItemKey, Stream, Table
from triggerkit.emulator.shards import KINESIS_OFFSET, Shard, ShardGraph, StreamRecord
from triggerkit.emulator.values import Item
from triggerkit.errors import StateError, StateFormatError, StateLockedError

FORMAT = 1
APPLICATION_ID = 0x746B6465
_SEQUENCE_DIGITS = 60
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


class Journal:
    """One file. Changes are collected, and written by `commit` in one transaction.

    Raises:
        StateFormatError: the file has a newer format.
        StateLockedError: another process uses the file.
        StateError: the file cannot be opened, or is something else.
    """

    __slots__ = ("_changed_streams", "_connection", "_pending")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._connection = _open(Path(path))
        self._pending: list[tuple[str, tuple[Any, ...]]] = []
        self._changed_streams: dict[str, Stream] = {}

    # --- writing ------------------------------------------------------------------------------------

    def write_table(self, table: Table) -> None:
        """Write a table, new or changed."""
        self._execute("REPLACE INTO tables VALUES (?, ?)", table.name, _packed(asdict(table)))

    def drop_table(self, name: str) -> None:
        """Remove a table and its items."""
        self._execute("DELETE FROM tables WHERE name = ?", name)
        self._execute("DELETE FROM items WHERE table_name = ?", name)

    def write_item(self, table: str, key: ItemKey, item: Item | None) -> None:
        """Write an item; None removes it."""
        place = (table, *(part.encode("utf-8", "surrogatepass") for part in key))
        if item is None:
            where = "table_name = ? AND partition = ? AND sort = ?"
            self._execute(f"DELETE FROM items WHERE {where}", *place)  # noqa: S608 (our own text)
        else:
            self._execute("REPLACE INTO items VALUES (?, ?, ?, ?)", *place, _packed(item))

    def write_stream(self, stream: Stream) -> None:
        """Write a stream and its shards, as they are when the request ends."""
        self._changed_streams[stream.arn] = stream

    def drop_stream(self, arn: str) -> None:
        """Remove a stream."""
        self._changed_streams.pop(arn, None)
        for table in ("streams", "shards", "records"):
            self._execute(f"DELETE FROM {table} WHERE arn = ?", arn)  # noqa: S608 (our own names)

    def append(self, arn: str, shard_id: str, record: StreamRecord) -> None:
        """Write a new record."""
        content = _packed([record.created_seconds, record.size_bytes, record.wire])
        number = _sortable(record.sequence)
        self._execute("INSERT INTO records VALUES (?, ?, ?, ?)", arn, shard_id, number, content)

    def write_fact(self, name: str, fact: str | None) -> None:
        """Write a fact; None removes it."""
        if fact is None:
            self._execute("DELETE FROM facts WHERE name = ?", name)
        else:
            self._execute("REPLACE INTO facts VALUES (?, ?)", name, fact)

    @property
    def has_changes(self) -> bool:
        """Whether anything was changed since the last commit."""
        return bool(self._pending or self._changed_streams)

    def commit(self) -> None:
        """Write all changes in one transaction; those that fail are kept for the next try."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            for statement, values in self._pending:
                execute(statement, values)
            for stream in self._changed_streams.values():
                self._write_shards(stream)
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise
        self._pending.clear()
        self._changed_streams.clear()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _execute(self, statement: str, *values: Any) -> None:
        self._pending.append((statement, values))

    def _write_shards(self, stream: Stream) -> None:
        execute = self._connection.execute
        definition = {**_members(stream, "graph"), "salt": stream.graph.salt}
        execute("REPLACE INTO streams VALUES (?, ?)", (stream.arn, _packed(definition)))
        execute("DELETE FROM shards WHERE arn = ?", (stream.arn,))
        for shard in stream.graph.listed():
            content = _packed(_members(shard, "records"))
            execute("INSERT INTO shards VALUES (?, ?, ?)", (stream.arn, shard.shard_id, content))
            execute(
                "DELETE FROM records WHERE arn = ? AND shard_id = ? AND sequence <= ?",
                (stream.arn, shard.shard_id, _sortable(shard.trimmed_through)),
            )
        execute(
            "DELETE FROM records WHERE arn = ?1 AND shard_id NOT IN "
            "(SELECT shard_id FROM shards WHERE arn = ?1)",
            (stream.arn,),
        )

    # --- reading ------------------------------------------------------------------------------------

    def facts(self) -> dict[str, str]:
        """Return all facts."""
        return dict(self._connection.execute("SELECT name, fact FROM facts"))

    def tables(self) -> Iterator[Table]:
        """Return all tables."""
        for (definition,) in self._connection.execute("SELECT definition FROM tables"):
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
            yield Table(**members)

    def items(self) -> Iterator[tuple[str, ItemKey, Item]]:
        """Return all items with the names of their tables."""
        for table, *key, item in self._connection.execute("SELECT * FROM items"):
            partition, sort = (part.decode("utf-8", "surrogatepass") for part in key)
            yield table, (partition, sort), json.loads(item)

    def streams(self, next_sequence: Callable[[], int]) -> Iterator[Stream]:
        """Return all streams with their shards and records."""
        for arn, definition in self._connection.execute("SELECT arn, definition FROM streams"):
            members = json.loads(definition)
            offset = KINESIS_OFFSET if members["is_kinesis"] else 0
            graph = ShardGraph(members.pop("salt"), next_sequence, offset)
            graph.restore(self._shards(arn))
            yield Stream(graph=graph, **members)

    def _shards(self, arn: str) -> Iterator[Shard]:
        held = "SELECT definition FROM shards WHERE arn = ?"
        written = (
            "SELECT sequence, record FROM records WHERE arn = ? AND shard_id = ? ORDER BY sequence"
        )
        for (definition,) in self._connection.execute(held, (arn,)).fetchall():
            shard = Shard(**json.loads(definition))
            for sequence, record in self._connection.execute(written, (arn, shard.shard_id)):
                shard.records.append(StreamRecord(int(sequence), *json.loads(record)))
            yield shard


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(
            path, timeout=1.0, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            _check_format(connection, path)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
    except sqlite3.OperationalError as failure:
        if "locked" in str(failure):
            raise StateLockedError(
                f"{path} is used by another emulator",
                hint="Stop the other one, or give this one a file of its own.",
            ) from None
        raise StateError(
            f"{path} cannot be opened: {failure}",
            hint="Give the emulator a file in a folder that you may write to.",
        ) from failure
    except (sqlite3.DatabaseError, OSError) as failure:
        raise StateError(
            f"{path} is not a file of the emulator: {failure}", hint=_OTHER
        ) from failure
    return connection


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (names,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == 0 and names == 0:
        for statement in _SCHEMA.split(";")[:-1]:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    elif application != APPLICATION_ID:
        raise StateError(f"{path} is another program's database", hint=_OTHER)
    elif version > FORMAT:
        raise StateFormatError(
            f"{path} has format {version}, this version of triggerkit reads up to {FORMAT}",
            hint="Use the newer triggerkit, or another file.",
        )


def _members(instance: Stream | Shard, left_out: str) -> dict[str, Any]:
    names = [field.name for field in fields(instance) if field.name != left_out]
    return {name: getattr(instance, name) for name in names}


def _packed(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), check_circular=False)


def _sortable(sequence: int) -> str:
    """Return a sequence number as text that sorts as the number does."""
    return f"{sequence:0{_SEQUENCE_DIGITS}d}"
