"""The ports of one worker of a simulation: lease store and invokers, with a delay before and after each call."""

from __future__ import annotations

import asyncio

from triggerkit.core.model import Lease, Position, Session, SessionId, ShardId
from triggerkit.core.outcome import Outcome
from triggerkit.ports import Invocation, Invoker, LeaseStore
from triggerkit.testing.calls import CallBook
from triggerkit.testing.ledger import Ledger
from triggerkit.testing.network import Line

STALE_SECONDS = 5.0
"""How old what is read can be."""


class LinkedStore:
    """Implements `ports.LeaseStore` over the store that all workers share, and one worker's line."""

    def __init__(self, store: LeaseStore, line: Line) -> None:
        self._store = store
        self._line = line
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
        return await self._line.write(lambda: self._store.advance(lease, position))

    async def finish(
        self,
        lease: Lease,
        children: tuple[Lease, ...] | None,
        session: SessionId,
        take: frozenset[ShardId] | None = None,
    ) -> tuple[Lease, ...]:
        """See `LeaseStore`."""
        return await self._line.write(lambda: self._store.finish(lease, children, session, take))

    async def release(self, lease: Lease, position: Position) -> None:
        """See `LeaseStore`."""
        await self._line.write(lambda: self._store.release(lease, position))

    async def forget(self, lease: Lease) -> bool:
        """See `LeaseStore`."""
        return await self._line.write(lambda: self._store.forget(lease))

    async def rename(self, moves: tuple[tuple[str, str], ...]) -> int:
        """See `LeaseStore`."""
        return await self._line.write(lambda: self._store.rename(moves))

    async def beat(self, session: Session) -> Session | None:
        """See `LeaseStore`."""
        return await self._line.write(lambda: self._store.beat(session))

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


class DelayedInvoker:
    """Implements `ports.Invoker` around another one: time passes before and after each call.

    So a worker can crash when its handler has done its work and has not reported it yet.
    """

    def __init__(self, invoker: Invoker, line: Line, ledger: Ledger, book: CallBook) -> None:
        self._invoker = invoker
        self._line = line
        self._ledger = ledger
        self._book = book

    async def start(self) -> None:
        """See `Invoker`."""
        await self._invoker.start()

    async def invoke(self, invocation: Invocation) -> Outcome:
        """See `Invoker`."""
        await self._line.way()
        self._ledger.begun(invocation.trigger, invocation.batch.records)
        outcome = await self._invoker.invoke(invocation)
        self._ledger.ended(invocation.trigger, invocation.batch, outcome)
        self._book.ended(invocation.trigger, outcome)
        await self._line.way()
        return outcome

    async def cancel(self, request_id: str) -> None:
        """See `Invoker`."""
        await self._invoker.cancel(request_id)

    async def close(self) -> None:
        """See `Invoker`."""
        await self._invoker.close()
