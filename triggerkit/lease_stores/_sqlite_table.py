"""Lease and session rows as SQLite tables: a row that was written reads back equal.

Lease columns carry KCL's attribute names as far as they apply, and ours with `tk_` (leases.md 1.1, 6.2),
so that a row means the same here and in a DynamoDB lease table. Nothing here begins or ends a transaction.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TypeAlias

from triggerkit.core.model import (
    Lease,
    LeaseKey,
    Position,
    PositionKind,
    Session,
    SessionId,
    SessionState,
    ShardId,
)
from triggerkit.errors import InternalError, StateUnusableError
from triggerkit.lease_stores._processes import ProcessIdentity
from triggerkit.lease_stores._rows import Row
from triggerkit.lease_stores._sessions import SessionRow

Value: TypeAlias = str | int | float | None

PIN_TABLE = (
    "CREATE TABLE IF NOT EXISTS pin (prefix TEXT PRIMARY KEY NOT NULL, tk_from REAL NOT NULL)"
    " WITHOUT ROWID"
)
"""From when the mapping whose lease keys have this prefix reads, in service time; files of 0.1.0 lack it."""

SCHEMA = (
    PIN_TABLE,
    """
    CREATE TABLE lease (
        leaseKey TEXT PRIMARY KEY NOT NULL,
        shardId TEXT NOT NULL,
        leaseOwner TEXT,
        leaseCounter INTEGER NOT NULL,
        checkpoint TEXT NOT NULL,             -- a sequence number, or KCL's sentinel
        ownerSwitchesSinceCheckpoint INTEGER NOT NULL,
        parentShardId TEXT NOT NULL,          -- JSON list
        childShardIds TEXT,                   -- JSON list; NULL until the shard's end found them
        tk_n TEXT NOT NULL,                   -- nonce of the last write
        tk_from REAL,                         -- service time: pin of LATEST, time of AT_TIMESTAMP
        tk_at REAL,                           -- service time of the record at the checkpoint
        tk_created REAL,                      -- service time of the shard's creation
        tk_loss TEXT                          -- why the shard ended as lost
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE session (
        workerId TEXT PRIMARY KEY NOT NULL,
        hb INTEGER NOT NULL,                  -- beat
        st TEXT NOT NULL,                     -- LIVE, DRAINING or DEAD
        named_hb INTEGER NOT NULL,            -- the beat that the last own write was conditioned on
        host TEXT NOT NULL,
        boot_id TEXT NOT NULL,
        pid_namespace TEXT NOT NULL,
        pid INTEGER NOT NULL,
        process_started INTEGER,              -- clock ticks since boot
        dead_at REAL                          -- wall clock; for deleting old rows only
    ) WITHOUT ROWID
    """,
)

_LEASE_COLUMNS = (
    "leaseKey, shardId, leaseOwner, leaseCounter, checkpoint, ownerSwitchesSinceCheckpoint,"
    " parentShardId, childShardIds, tk_n, tk_from, tk_at, tk_created, tk_loss"
)
_SESSION_COLUMNS = (
    "workerId, hb, st, named_hb, host, boot_id, pid_namespace, pid, process_started, dead_at"
)
_SELECT_LEASES = f"SELECT {_LEASE_COLUMNS} FROM lease"  # noqa: S608 - constants only
_PUT_LEASE = "INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT_SESSIONS = f"SELECT {_SESSION_COLUMNS} FROM session"  # noqa: S608 - constants only
_PUT_SESSION = "INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_BEHIND_ALL = "\U0010ffff"
_SENTINELS = {kind.value: kind for kind in PositionKind if kind is not PositionKind.AFTER}
_TIMED_STARTS = (PositionKind.LATEST, PositionKind.AT_TIMESTAMP)


class SqliteTable:
    """The rows behind one connection. The caller holds the transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def row(self, key: LeaseKey) -> Row | None:
        """The row of `key`."""
        found = self._connection.execute(f"{_SELECT_LEASES} WHERE leaseKey = ?", (key,)).fetchone()
        return None if found is None else _decoded_row(found)

    def rows(self, prefix: str) -> tuple[Row, ...]:
        """All rows whose key starts with `prefix`, by key."""
        # a range, because LIKE has wildcards and no index here
        found = self._connection.execute(
            f"{_SELECT_LEASES} WHERE leaseKey >= ? AND leaseKey < ? ORDER BY leaseKey",
            (prefix, prefix + _BEHIND_ALL),
        )
        return tuple(_decoded_row(values) for values in found)

    def put(self, row: Row) -> None:
        """Write the whole row."""
        self._connection.execute(_PUT_LEASE, _encoded_row(row))

    def delete(self, key: LeaseKey) -> None:
        """Remove the row if it is there."""
        self._connection.execute("DELETE FROM lease WHERE leaseKey = ?", (key,))

    def pins(self, prefix: str) -> dict[str, float]:
        """The pins of all mappings whose prefix starts with `prefix`."""
        found = self._connection.execute(
            "SELECT prefix, tk_from FROM pin WHERE prefix >= ? AND prefix < ? ORDER BY prefix",
            (prefix, prefix + _BEHIND_ALL),
        )
        return {str(own): float(pin) for own, pin in found}

    def put_pin(self, prefix: str, service_seconds: float) -> None:
        """Write the pin of a mapping."""
        self._connection.execute(
            "INSERT OR REPLACE INTO pin VALUES (?, ?)", (prefix, service_seconds)
        )

    def delete_pin(self, prefix: str) -> None:
        """Remove the pin if it is there."""
        self._connection.execute("DELETE FROM pin WHERE prefix = ?", (prefix,))

    def session(self, session: SessionId) -> SessionRow | None:
        """The row of `session`."""
        found = self._connection.execute(
            f"{_SELECT_SESSIONS} WHERE workerId = ?", (session,)
        ).fetchone()
        return None if found is None else _decoded_session(found)

    def sessions(self) -> tuple[SessionRow, ...]:
        """All rows, by id."""
        found = self._connection.execute(f"{_SELECT_SESSIONS} ORDER BY workerId")
        return tuple(_decoded_session(values) for values in found)

    def put_session(self, row: SessionRow) -> None:
        """Write the whole row."""
        self._connection.execute(_PUT_SESSION, _encoded_session(row))

    def delete_session(self, session: SessionId) -> None:
        """Remove the row if it is there."""
        self._connection.execute("DELETE FROM session WHERE workerId = ?", (session,))


def _encoded_row(row: Row) -> tuple[Value, ...]:
    lease = row.lease
    position = lease.checkpoint
    is_start = position.kind in _TIMED_STARTS
    return (
        lease.key,
        lease.shard,
        lease.owner,
        lease.counter,
        _checkpoint_text(lease),
        lease.switches,
        json.dumps(lease.parents),
        None if lease.children is None else json.dumps(lease.children),
        row.nonce,
        (position.at_seconds or None) if is_start else None,
        None if is_start else (position.at_seconds or None),
        lease.created_seconds,
        lease.lost_reason,
    )


def _checkpoint_text(lease: Lease) -> str:
    position = lease.checkpoint
    if position.kind is not PositionKind.AFTER:
        return str(position.kind.value)
    if not position.sequence_number or position.sequence_number in _SENTINELS:
        raise InternalError(
            f"lease {lease.key}: {position.sequence_number!r} is no sequence number"
        )
    return position.sequence_number


def _decoded_row(values: tuple[Value, ...]) -> Row:
    (key, shard, owner, counter, checkpoint, switches) = values[:6]
    (parents, children, nonce, from_seconds, at_seconds, created_seconds, lost_reason) = values[6:]
    try:
        lease = Lease(
            key=LeaseKey(_text(key)),
            shard=ShardId(_text(shard)),
            checkpoint=_position(_text(checkpoint), _number(from_seconds), _number(at_seconds)),
            parents=_shard_ids(_text(parents)),
            children=None if children is None else _shard_ids(_text(children)),
            owner=None if owner is None else SessionId(_text(owner)),
            counter=_integer(counter),
            switches=_integer(switches),
            created_seconds=_number(created_seconds),
            lost_reason=None if lost_reason is None else _text(lost_reason),
        )
        return Row(lease, _text(nonce))
    except (TypeError, ValueError) as error:
        raise StateUnusableError(
            f"lease {key!r} in the state file cannot be read: {error}",
            hint="the row was changed by hand, or by another program; correct or delete it",
        ) from error


def _position(checkpoint: str, from_seconds: float | None, at_seconds: float | None) -> Position:
    kind = _SENTINELS.get(checkpoint)
    if kind is None:
        return Position(PositionKind.AFTER, checkpoint, at_seconds or 0.0)
    return Position(kind, at_seconds=from_seconds or at_seconds or 0.0)


def _shard_ids(text: str) -> tuple[ShardId, ...]:
    ids = json.loads(text)
    if not isinstance(ids, list):
        raise TypeError(f"{text!r} is not a list of shard ids")
    return tuple(ShardId(_text(shard)) for shard in ids)


def _encoded_session(row: SessionRow) -> tuple[Value, ...]:
    process = row.process
    if process is None:
        raise InternalError(f"session {row.session.id} has no process")
    return (
        row.session.id,
        row.session.beat,
        row.session.state.value,
        row.named_beat,
        process.host,
        process.boot_id,
        process.pid_namespace,
        process.pid,
        process.started,
        row.dead_seconds,
    )


def _decoded_session(values: tuple[Value, ...]) -> SessionRow:
    worker_id, beat, state, named_beat, host, boot_id, namespace, pid, started, dead_at = values
    try:
        session = Session(SessionId(_text(worker_id)), _integer(beat), SessionState(state))
        process = ProcessIdentity(
            host=_text(host),
            boot_id=_text(boot_id),
            pid_namespace=_text(namespace),
            pid=_integer(pid),
            started=None if started is None else _integer(started),
        )
        return SessionRow(session, _integer(named_beat), process, _number(dead_at))
    except (TypeError, ValueError) as error:
        raise StateUnusableError(
            f"session {worker_id!r} in the state file cannot be read: {error}",
            hint="the row was changed by hand, or by another program; delete it",
        ) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _integer(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _number(value: Value) -> float | None:
    if value is None or isinstance(value, int | float):
        return value
    raise TypeError(f"{value!r} is not a number")
