"""The lease store `pickled:FILE`, for one worker: all rows in one file, written as a whole."""

from __future__ import annotations

import os
import pickle
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path

from triggerkit.errors import LeaseLostError
from triggerkit.ports import (
    SHARD_END,
    Lease,
    LeaseKey,
    LeaseStore,
    Locator,
    Position,
    Services,
    Session,
    SessionId,
    SessionState,
    ShardId,
    check_keys,
)


def open(locator: Locator, services: Services) -> LeaseStore:
    """Open `pickled:FILE`, relative to the base path. Raises LocatorError: it has a key."""
    check_keys(locator, frozenset())
    return PickledStore(Path(services.base_path, locator.name))


@dataclass
class Rows:
    """What the file has."""

    leases: dict[LeaseKey, Lease] = field(default_factory=dict)
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    pins: dict[str, float] = field(default_factory=dict)


class PickledStore:
    """Implements `triggerkit.ports.LeaseStore`."""

    checkpoint_interval_seconds = 0.0

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows = Rows()

    async def prepare(self) -> bool:
        """Read the file; whether there was none."""
        if not self._file.exists():
            return True
        self._rows = pickle.loads(self._file.read_bytes())  # noqa: S301 - its own file
        return False

    async def read(self, prefix: str) -> tuple[Lease, ...]:
        """Leases by the beginning of their keys."""
        return tuple(row for key, row in self._rows.leases.items() if key.startswith(prefix))

    async def pin(self, prefix: str, service_seconds: float) -> float:
        """Where a mapping starts that starts at LATEST: the first value stays."""
        pinned = self._rows.pins.setdefault(prefix, service_seconds)
        self._save()
        return pinned

    async def create(self, leases: tuple[Lease, ...]) -> None:
        """Add the rows that are missing."""
        for lease in leases:
            self._rows.leases.setdefault(lease.key, replace(lease, owner=None, counter=0))
        self._save()

    async def take(self, lease: Lease, session: SessionId) -> Lease | None:
        """Own the row, if no worker has taken it since `lease` was read."""
        row = self._rows.leases.get(lease.key)
        if row is None or (row.owner, row.counter) != (lease.owner, lease.counter):
            return None
        return self._put(replace(row, owner=session, counter=row.counter + 1))

    async def advance(self, lease: Lease, position: Position) -> Lease:
        """Save a checkpoint. Raises LeaseLostError."""
        return self._put(replace(self._held(lease), checkpoint=position))

    async def finish(
        self,
        lease: Lease,
        children: tuple[Lease, ...] | None,
        session: SessionId,
        take: frozenset[ShardId] | None = None,
    ) -> tuple[Lease, ...]:
        """End a shard and create its children; none is taken with it. Raises LeaseLostError."""
        del session, take
        names = None if children is None else tuple(child.shard for child in children)
        row = self._held(lease)
        self._put(replace(row, checkpoint=SHARD_END, children=names, owner=None))
        await self.create(children or ())
        return ()

    async def release(self, lease: Lease, position: Position) -> None:
        """Save the last checkpoint and let the row go. Raises LeaseLostError."""
        self._put(replace(self._held(lease), checkpoint=position, owner=None))

    async def forget(self, lease: Lease) -> bool:
        """Remove the row of a finished shard."""
        self._rows.leases.pop(lease.key, None)
        self._save()
        return True

    async def rename(self, moves: tuple[tuple[str, str], ...]) -> int:
        """Move rows to other prefixes; how many."""
        moved = 0
        for old, new in moves:
            for row in await self.read(old):
                del self._rows.leases[row.key]
                self._put(replace(row, key=LeaseKey(new + row.key.removeprefix(old))))
                moved += 1
        return moved

    async def beat(self, session: Session) -> Session | None:
        """A sign of life; None for a session that has ended."""
        known = self._rows.sessions.get(session.id, session)
        if known.state is SessionState.DEAD:
            return None
        beaten = self._rows.sessions[session.id] = replace(session, beat=session.beat + 1)
        self._save()
        return beaten

    async def read_sessions(self) -> tuple[Session, ...]:
        """Every session."""
        return tuple(self._rows.sessions.values())

    async def expire(self, session: Session) -> bool:
        """End a session that is silent."""
        self._rows.sessions[session.id] = replace(session, state=SessionState.DEAD)
        self._save()
        return True

    def fresh_session(self) -> Session:
        """A new session."""
        return Session(SessionId(f"pickled:{os.getpid()}:{uuid.uuid4().hex[:8]}"), beat=-1)

    async def leave(self, session: Session) -> None:
        """Remove a session that ends well."""
        self._rows.sessions.pop(session.id, None)
        self._save()

    async def close(self) -> None:
        """Nothing is open."""

    def _held(self, lease: Lease) -> Lease:
        row = self._rows.leases.get(lease.key)
        if row is None or (row.owner, row.counter) != (lease.owner, lease.counter):
            raise LeaseLostError(f"lease {lease.key} is another worker's", hint="it goes on there")
        return row

    def _put(self, row: Lease) -> Lease:
        self._rows.leases[row.key] = row
        self._save()
        return row

    def _save(self) -> None:
        self._file.write_bytes(pickle.dumps(self._rows))
