"""Lease store in this process's memory. Nobody else sees what one `open` made.

For tests and for trying things out: the state ends with the process, so a restart begins at the starting
position again. Session ids are counted, not drawn, so that a run from a seed repeats itself.
"""

from __future__ import annotations

from threading import Lock

from triggerkit.core.locators import Locator, check_keys
from triggerkit.core.model import Lease, LeaseKey, Position, Session, SessionId, ShardId
from triggerkit.errors import LocatorError
from triggerkit.lease_stores import _rows, _sessions
from triggerkit.lease_stores._rename import rename
from triggerkit.lease_stores._rows import Row
from triggerkit.lease_stores._sessions import UNWRITTEN_BEAT, SessionRow
from triggerkit.ports import Clock, LeaseStore, Services


def open(locator: Locator, services: Services) -> LeaseStore:
    """A new, empty store for `memory:`.

    Raises:
        LocatorError: the locator has a name or an unknown key.
    """
    check_keys(locator, frozenset())
    if locator.name:
        raise LocatorError(
            f"locator {locator.shown!r}: memory: has no name",
            hint="write memory:, or sqlite:///PATH for state that is kept",
        )
    return MemoryLeaseStore(services.clock)


class MemoryTable:
    """Lease and session rows in two dicts."""

    def __init__(self) -> None:
        self._rows: dict[LeaseKey, Row] = {}
        self._sessions: dict[SessionId, SessionRow] = {}
        self._pins: dict[str, float] = {}

    def pins(self, prefix: str) -> dict[str, float]:
        """The pins of all mappings whose prefix starts with `prefix`."""
        return {own: pin for own, pin in sorted(self._pins.items()) if own.startswith(prefix)}

    def put_pin(self, prefix: str, service_seconds: float) -> None:
        """Write the pin of a mapping."""
        self._pins[prefix] = service_seconds

    def delete_pin(self, prefix: str) -> None:
        """Remove the pin if it is there."""
        self._pins.pop(prefix, None)

    def row(self, key: LeaseKey) -> Row | None:
        """The row of `key`."""
        return self._rows.get(key)

    def rows(self, prefix: str) -> tuple[Row, ...]:
        """All rows whose key starts with `prefix`, by key."""
        return tuple(self._rows[key] for key in sorted(self._rows) if key.startswith(prefix))

    def put(self, row: Row) -> None:
        """Write the whole row."""
        self._rows[row.lease.key] = row

    def delete(self, key: LeaseKey) -> None:
        """Remove the row if it is there."""
        self._rows.pop(key, None)

    def session(self, session: SessionId) -> SessionRow | None:
        """The row of `session`."""
        return self._sessions.get(session)

    def sessions(self) -> tuple[SessionRow, ...]:
        """All rows, by id."""
        return tuple(self._sessions[session] for session in sorted(self._sessions))

    def put_session(self, row: SessionRow) -> None:
        """Write the whole row."""
        self._sessions[row.session.id] = row

    def delete_session(self, session: SessionId) -> None:
        """Remove the row if it is there."""
        self._sessions.pop(session, None)


class MemoryLeaseStore:
    """The contract of `LeaseStore` over a `MemoryTable`; safe to call from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._table = MemoryTable()
        self._is_new = True
        self._sessions_made = 0

    @property
    def checkpoint_interval_seconds(self) -> float:
        """Saving costs nothing: every batch is saved (decision 21)."""
        return 0.0

    async def prepare(self) -> bool:
        """True the first time."""
        with self._lock:
            was_new, self._is_new = self._is_new, False
            return was_new

    async def read(self, prefix: str) -> tuple[Lease, ...]:
        """All leases whose key starts with `prefix`, by key."""
        with self._lock:
            return tuple(row.lease for row in self._table.rows(prefix))

    async def pin(self, prefix: str, service_seconds: float) -> float:
        """Store from when a mapping reads that starts at LATEST; what is stored."""
        with self._lock:
            return _rows.pin(self._table, prefix, service_seconds)

    async def create(self, leases: tuple[Lease, ...]) -> None:
        """Create the rows that are missing."""
        with self._lock:
            _rows.create(self._table, leases)

    async def take(self, lease: Lease, session: SessionId) -> Lease | None:
        """Own the row if it is as seen."""
        with self._lock:
            return _rows.take(self._table, lease, session)

    async def advance(self, lease: Lease, position: Position) -> Lease:
        """Write the checkpoint. Raises LeaseLostError."""
        with self._lock:
            return _rows.advance(self._table, lease, position)

    async def finish(
        self,
        lease: Lease,
        children: tuple[Lease, ...] | None,
        session: SessionId,
        take: frozenset[ShardId] | None = None,
    ) -> tuple[Lease, ...]:
        """End the shard; the children that `session` got. Raises LeaseLostError."""
        with self._lock:
            return _rows.finish(self._table, lease, children, session, take)

    async def release(self, lease: Lease, position: Position) -> None:
        """Last checkpoint and no owner. Raises LeaseLostError."""
        with self._lock:
            _rows.release(self._table, lease, position)

    async def forget(self, lease: Lease) -> bool:
        """Delete a finished row that is as seen."""
        with self._lock:
            return _rows.forget(self._table, lease)

    async def rename(self, moves: tuple[tuple[str, str], ...]) -> int:
        """Move rows under a new prefix. Raises StateError."""
        with self._lock:
            return rename(self._table, self._table, moves, _never)

    async def beat(self, session: Session) -> Session | None:
        """Show that the session lives; None when it was expired."""
        with self._lock:
            return _sessions.beat(self._table, session, None, self._now_seconds())

    async def read_sessions(self) -> tuple[Session, ...]:
        """All sessions, by id."""
        with self._lock:
            return _sessions.read(self._table, _never)

    async def expire(self, session: Session) -> bool:
        """Mark DEAD if the beat is as observed; whether it is dead now."""
        with self._lock:
            return _sessions.expire(self._table, session, _never, self._now_seconds())

    def fresh_session(self) -> Session:
        """The next session id of this store."""
        with self._lock:
            self._sessions_made += 1
            return Session(SessionId(f"tk:memory:0:{self._sessions_made:08x}"), UNWRITTEN_BEAT)

    async def leave(self, session: Session) -> None:
        """Delete the session's row."""
        with self._lock:
            self._table.delete_session(session.id)

    async def close(self) -> None:
        """Nothing is open."""

    def _now_seconds(self) -> float:
        return self._clock.now().monotonic_seconds


def _never(row: SessionRow) -> bool:
    """All sessions are of this process, which runs."""
    del row
    return False
