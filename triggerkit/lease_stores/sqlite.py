"""Lease store in a SQLite file, for the workers of one host. What decides a start survives a power cut.

Every commit survives kill -9. A plain checkpoint (from one sequence number to a later one) is written
without fsync unless the locator says `synchronous=full`: a power cut can set it back, which delivers some
batches again and loses nothing. All other writes (creation, take, a pinned LATEST, shard end, release) are
fsynced, and the WAL keeps order, so an fsynced write makes every earlier one durable too. Measured by
`benchmarks/lease_store.py`.

The file must be on a local disk of one host: WAL needs shared memory, and sessions are judged by their
processes (`_processes`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from triggerkit.core.locators import Locator, check_keys
from triggerkit.core.model import Lease, Position, PositionKind, Session, SessionId, ShardId
from triggerkit.errors import LocatorError, StateUnusableError
from triggerkit.files import unfit_to_write
from triggerkit.lease_stores import _processes, _rows, _sessions
from triggerkit.lease_stores._rename import rename
from triggerkit.lease_stores._sessions import UNWRITTEN_BEAT, IsGone, SessionRow
from triggerkit.lease_stores._sqlite_file import OTHER_FILE, Durability, SqliteFile
from triggerkit.lease_stores._sqlite_table import SqliteTable
from triggerkit.ports import LeaseStore, Runner, Services

T = TypeVar("T")

KEYS = frozenset({"busy_timeout_seconds", "synchronous"})
BUSY_TIMEOUT_SECONDS = 5.0
CHECKPOINT_INTERVAL_SECONDS = 0.1
_CHECKPOINT_DURABILITY = {"normal": Durability.KILL, "full": Durability.POWER_CUT}


def open(locator: Locator, services: Services) -> LeaseStore:
    """The store of `sqlite:///PATH` (from the configuration's folder) or `sqlite:////ABSOLUTE/PATH`.

    Touches nothing before `prepare`. Keys: `busy_timeout_seconds` (how long to wait for another
    program's write lock, default 5) and `synchronous` (`normal` or `full`: whether checkpoints are
    fsynced, default `normal`).

    Raises:
        LocatorError: no path, an unknown key, or a value that a key cannot have.
        StateUnusableError: the path is that of a folder, a device or a pipe, or leads through a file.
    """
    check_keys(locator, KEYS)
    synchronous = locator.keys.get("synchronous", "normal")
    if synchronous not in _CHECKPOINT_DURABILITY:
        raise LocatorError(
            f"locator {locator.shown!r}: synchronous={synchronous!r} is not known",
            hint="write synchronous=normal or synchronous=full",
        )
    file = SqliteFile(_path(locator, services.base_path), _busy_timeout_seconds(locator))
    return SqliteLeaseStore(file, services.run, _CHECKPOINT_DURABILITY[synchronous])


class SqliteLeaseStore:
    """The contract of `LeaseStore` over a `SqliteFile`; every call runs through the runner."""

    def __init__(self, file: SqliteFile, run: Runner, checkpoint_durability: Durability) -> None:
        self._file = file
        self._run = run
        self._checkpoint_durability = checkpoint_durability

    @property
    def checkpoint_interval_seconds(self) -> float:
        """Saving after each small batch would cost as much as all the rest of it (decision 21)."""
        return CHECKPOINT_INTERVAL_SECONDS

    async def prepare(self) -> bool:
        """Open the file; True when it was new. Raises StateError and its kinds."""
        return await self._run(self._file.prepare)

    async def read(self, prefix: str) -> tuple[Lease, ...]:
        """All leases whose key starts with `prefix`, by key."""
        rows = await self._run(lambda: self._file.look(lambda table: table.rows(prefix)))
        return tuple(row.lease for row in rows)

    async def pin(self, prefix: str, service_seconds: float) -> float:
        """Store from when a mapping reads that starts at LATEST; what is stored."""
        return await self._write(lambda table: _rows.pin(table, prefix, service_seconds))

    async def create(self, leases: tuple[Lease, ...]) -> None:
        """Create the rows that are missing, in one transaction."""
        await self._write(lambda table: _rows.create(table, leases))

    async def take(self, lease: Lease, session: SessionId) -> Lease | None:
        """Own the row if it is as seen."""
        return await self._write(lambda table: _rows.take(table, lease, session))

    async def advance(self, lease: Lease, position: Position) -> Lease:
        """Write the checkpoint. Raises LeaseLostError."""
        durability = Durability.POWER_CUT
        if lease.checkpoint.kind is position.kind is PositionKind.AFTER:
            durability = self._checkpoint_durability
        return await self._write(lambda table: _rows.advance(table, lease, position), durability)

    async def finish(
        self,
        lease: Lease,
        children: tuple[Lease, ...] | None,
        session: SessionId,
        take: frozenset[ShardId] | None = None,
    ) -> tuple[Lease, ...]:
        """End the shard; the children that `session` got. Raises LeaseLostError."""
        return await self._write(lambda table: _rows.finish(table, lease, children, session, take))

    async def release(self, lease: Lease, position: Position) -> None:
        """Last checkpoint and no owner.

        Raises:
            LeaseLostError: the row has another owner or counter.
            StateError: also when the file was overwritten: a stop must not report as saved what no start will find.
        """

        def write() -> None:
            self._file.check_in_place()
            self._file.check_readable()
            self._file.transact(
                lambda table: _rows.release(table, lease, position), Durability.POWER_CUT
            )

        await self._run(write)

    async def forget(self, lease: Lease) -> bool:
        """Delete a finished row that is as seen."""
        return await self._write(lambda table: _rows.forget(table, lease))

    async def rename(self, moves: tuple[tuple[str, str], ...]) -> int:
        """Move rows under a new prefix. Raises StateError."""
        is_gone = _seen_from_here()
        return await self._write(lambda table: rename(table, table, moves, is_gone))

    async def beat(self, session: Session) -> Session | None:
        """Show that the session lives; None when it was expired.

        Raises:
            StateError: also when the file was removed, replaced or overwritten, so that its owner stops in time.
        """

        def write() -> Session | None:
            self._file.check_in_place()
            self._file.check_readable()
            process, now_seconds = _processes.current(), time.time()
            return self._file.transact(
                lambda table: _sessions.beat(table, session, process, now_seconds), Durability.KILL
            )

        return await self._run(write)

    async def read_sessions(self) -> tuple[Session, ...]:
        """All sessions, by id; those whose process runs no more are `gone`."""
        is_gone = _seen_from_here()
        return await self._run(
            lambda: self._file.look(lambda table: _sessions.read(table, is_gone))
        )

    async def expire(self, session: Session) -> bool:
        """Mark DEAD if the beat is as observed or the process is gone; whether it is dead now."""
        # wall clock, for deleting the row a day later and for nothing else
        is_gone, now_seconds = _seen_from_here(), time.time()
        return await self._write(
            lambda table: _sessions.expire(table, session, is_gone, now_seconds), Durability.KILL
        )

    def fresh_session(self) -> Session:
        """A session id of this process, never used before."""
        process = _processes.current()
        name = f"tk:{process.host}:{process.pid}:{secrets.token_hex(4)}"
        return Session(SessionId(name), UNWRITTEN_BEAT)

    async def leave(self, session: Session) -> None:
        """Delete the session's row."""
        await self._write(lambda table: table.delete_session(session.id), Durability.KILL)

    async def close(self) -> None:
        """Close the file."""
        await self._run(self._file.close)

    async def _write(
        self,
        work: Callable[[SqliteTable], T],
        durability: Durability = Durability.POWER_CUT,
    ) -> T:
        """Raises StateError also when the file was removed or replaced: what is written there is lost."""

        def write() -> T:
            self._file.check_in_place()
            return self._file.transact(work, durability)

        return await self._run(write)


def _seen_from_here() -> IsGone:
    here = _processes.current()

    def is_gone(row: SessionRow) -> bool:
        return row.process is not None and _processes.is_gone(row.process, here)

    return is_gone


def _path(locator: Locator, base_path: str) -> Path:
    if not locator.name.startswith("/") or locator.name.endswith("/"):
        raise LocatorError(
            f"locator {locator.shown!r} has no path of a file",
            hint="write sqlite:///relative/state.db or sqlite:////absolute/state.db",
        )
    if "\0" in locator.name:
        raise LocatorError(
            f"locator {locator.shown!r}: a path holds no NUL character", hint="remove the %00"
        )
    if locator.name == "/:memory:":
        raise LocatorError(f"locator {locator.shown!r} is no file", hint="write memory:")
    path = Path(base_path, locator.name[1:]).absolute()
    if why := unfit_to_write(path):
        raise StateUnusableError(f"state file {path} cannot be opened: {why}", hint=OTHER_FILE)
    return path


def _busy_timeout_seconds(locator: Locator) -> float:
    text = locator.keys.get("busy_timeout_seconds")
    if text is None:
        return BUSY_TIMEOUT_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= 3600.0:
        raise LocatorError(
            f"locator {locator.shown!r}: busy_timeout_seconds={text!r} is not a time",
            hint="write a number of seconds from 0 to 3600",
        )
    return seconds
