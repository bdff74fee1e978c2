"""The lease store of a fleet as one worker reaches it. Rule: one table for all, a line for each.

Every write about a held lease is looked at from outside: it must not hit a row that another worker owns (I2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from triggerkit.core.model import Lease, Position, Session, SessionId, ShardId
from triggerkit.ports import LeaseStore
from triggerkit.testing.ledger import Ledger
from triggerkit.testing.line import Line

T = TypeVar("T")

STALE_SECONDS = 5.0
"""How old what is read can be."""


class LinkedStore:
    """Implements `ports.LeaseStore` over the store that all workers share, and one worker's line."""

    def __init__(
        self,
        store: LeaseStore,
        line: Line,
        ledger: Ledger,
        sending: Callable[[], Callable[[SessionId], None]] = lambda: lambda _: None,
    ) -> None:
        """`sending` is called when a beat is sent, and what it gives when that beat is confirmed."""
        self._sending = sending
        self._store = store
        self._line = line
        self._ledger = ledger
        self._read: dict[str, tuple[float, tuple[Lease, ...]]] = {}

    @property
    def checkpoint_interval_seconds(self) -> float:
        """See `LeaseStore`."""
        return self._store.checkpoint_interval_seconds

    async def prepare(self) -> bool:
        """See `LeaseStore`."""
        return await self._line.ask(self._store.prepare)

    async def read(self, prefix: str) -> tuple[Lease, ...]:
        """See `LeaseStore`; while reads are stale, what this worker saw the last time, if not long ago."""
        now_seconds = asyncio.get_running_loop().time()
        seen = self._read.get(prefix)
        if self._line.reads_are_stale and seen and now_seconds - seen[0] < STALE_SECONDS:
            await self._line.way()
            return seen[1]
        rows = await self._line.ask(lambda: self._store.read(prefix))
        self._read[prefix] = now_seconds, rows
        return rows

    async def pin(self, prefix: str, service_seconds: float) -> float:
        """See `LeaseStore`."""
        return await self._line.ask(lambda: self._store.pin(prefix, service_seconds))

    async def create(self, leases: tuple[Lease, ...]) -> None:
        """See `LeaseStore`."""
        await self._line.write(lambda: self._store.create(leases))

    async def take(self, lease: Lease, session: SessionId) -> Lease | None:
        """See `LeaseStore`."""
        return await self._line.write(lambda: self._store.take(lease, session))

    async def advance(self, lease: Lease, position: Position) -> Lease:
        """See `LeaseStore`."""
        return await self._write_row(lease, lambda: self._store.advance(lease, position))

    async def finish(
        self,
        lease: Lease,
        children: tuple[Lease, ...] | None,
        session: SessionId,
        take: frozenset[ShardId] | None = None,
    ) -> tuple[Lease, ...]:
        """See `LeaseStore`."""
        return await self._write_row(
            lease, lambda: self._store.finish(lease, children, session, take)
        )

    async def release(self, lease: Lease, position: Position) -> None:
        """See `LeaseStore`."""
        await self._write_row(lease, lambda: self._store.release(lease, position))

    async def forget(self, lease: Lease) -> bool:
        """See `LeaseStore`."""
        return await self._line.write(lambda: self._store.forget(lease))

    async def rename(self, moves: tuple[tuple[str, str], ...]) -> int:
        """See `LeaseStore`."""
        return await self._line.write(lambda: self._store.rename(moves))

    async def beat(self, session: Session) -> Session | None:
        """See `LeaseStore`."""
        tell = self._sending()
        confirmed = await self._line.write(lambda: self._store.beat(session))
        if confirmed is not None:
            tell(session.id)
        return confirmed

    async def read_sessions(self) -> tuple[Session, ...]:
        """See `LeaseStore`."""
        return await self._line.ask(self._store.read_sessions)

    async def expire(self, session: Session) -> bool:
        """See `LeaseStore`."""
        return await self._line.write(lambda: self._store.expire(session))

    def fresh_session(self) -> Session:
        """See `LeaseStore`."""
        return self._store.fresh_session()

    async def leave(self, session: Session) -> None:
        """See `LeaseStore`."""
        await self._line.write(lambda: self._store.leave(session))

    async def close(self) -> None:
        """The store outlives its workers."""

    async def _write_row(self, lease: Lease, call: Callable[[], Awaitable[T]]) -> T:
        async def watched() -> T:
            rows = await self._store.read(lease.key)
            owners = [row.owner for row in rows if row.key == lease.key]
            answer = await call()
            if not {*owners} <= {lease.owner, None}:  # without an owner: a repeat, or a late child
                self._ledger.unfenced.append(f"{lease.owner} wrote {lease.key} of {owners[0]}")
            return answer

        return await self._line.write(watched)
