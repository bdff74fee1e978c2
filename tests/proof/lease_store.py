"""Lease stores under observation: a real store underneath, and every write that it applied is reported.

One `SharedState` stands for the service; each life of a worker reaches it over its own connection.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from proof.facts import Violation, WorkerTime, Write
from proof.monitor import Witness
from proof.network import Wire

from triggerkit.core.leases import has_started
from triggerkit.core.model import (
    Lease,
    LeaseKey,
    Position,
    Session,
    SessionId,
    SessionState,
    ShardId,
)
from triggerkit.errors import InternalError
from triggerkit.lease_stores._sessions import UNWRITTEN_BEAT
from triggerkit.ports import LeaseStore

T = TypeVar("T")
Rows = Mapping[LeaseKey, Lease]

OPERATOR = SessionId("tk:operator:1")
STALE_SECONDS = 2.0
"""How old a stale read is at most."""


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that waits for nothing: so a call of the store is one moment."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise InternalError("a store of a world waits", hint="open it with an inline runner")


class SharedState:
    """The service behind all workers: rows and sessions, and how rows were a moment ago."""

    def __init__(
        self, store: LeaseStore, witness: Witness, now_seconds: Callable[[], float]
    ) -> None:
        self._store = store
        self._witness = witness
        self._now_seconds = now_seconds
        self._rows: Rows = {}
        self._past: deque[tuple[float, Rows]] = deque([(float("-inf"), {})])
        self.gone: set[SessionId] = set()
        """Sessions whose process has ended, as far as the store can know it."""

    @property
    def store(self) -> LeaseStore:
        """The real one."""
        return self._store

    def change(
        self,
        verb: str,
        by: SessionId | None,
        call: Callable[[], Coroutine[Any, Any, T]],
        made: Iterable[Lease] = (),
    ) -> T:
        """One write of rows; what it did is told, also when it raises. `made`: in which order rows are made."""
        try:
            return at_once(call())
        finally:
            self._tell(verb, by, [lease.key for lease in made])

    def evict(self, choice: int) -> None:
        """An operator takes a lease away from its owner."""
        held = [row for row in self.rows("", 0.0) if row.owner is not None]
        if held:
            row = held[choice % len(held)]
            mine = self.change("evict", OPERATOR, lambda: self._store.take(row, OPERATOR))
            assert mine is not None
            self.change("evict", OPERATOR, lambda: self._store.release(mine, mine.checkpoint))

    def clean_up(self) -> None:
        """Another library deletes finished rows whose children have all started (leases.md 6.6 rule 3)."""
        rows = {row.key: row for row in self.rows("", 0.0)}
        for row in rows.values():
            prefix = row.key.removesuffix(row.shard)
            children = [rows.get(LeaseKey(prefix + child)) for child in row.children or ()]
            over = all(child is not None and has_started(child) for child in children)
            if row.finished and children and over:
                self.change("cleanup", None, functools.partial(self._store.forget, row))

    def rows(self, prefix: str, age_seconds: float) -> tuple[Lease, ...]:
        """The rows as they were so long ago."""
        if age_seconds <= 0.0:
            return at_once(self._store.read(prefix))
        at_seconds = self._now_seconds() - age_seconds
        then = next(rows for since, rows in reversed(self._past) if since <= at_seconds)
        return tuple(row for key, row in sorted(then.items()) if key.startswith(prefix))

    def sessions(self) -> tuple[Session, ...]:
        """All sessions, with what is known of their processes."""
        found = at_once(self._store.read_sessions())
        return tuple(replace(session, gone=session.id in self.gone) for session in found)

    def beat(self, session: Session) -> Session | None:
        """Show that a session lives."""
        return at_once(self._store.beat(session))

    def expire(self, session: Session) -> bool:
        """Declare a session dead; told if it was not before."""
        before = self._session(session.id)
        if session.id in self.gone and before is not None:
            session = replace(session, beat=before.beat)
        is_dead = at_once(self._store.expire(session))
        after = self._session(session.id)
        was_alive = before is not None and before.state is not SessionState.DEAD
        if was_alive and after is not None and after.state is SessionState.DEAD:
            self._witness.session_expired(after)
        return is_dead

    def leave(self, session: Session) -> None:
        """Delete a session's row."""
        at_once(self._store.leave(session))

    def _session(self, session: SessionId) -> Session | None:
        found = at_once(self._store.read_sessions())
        return next((each for each in found if each.id == session), None)

    def _tell(self, verb: str, by: SessionId | None, made: list[LeaseKey]) -> None:
        before, after = self._rows, {row.key: row for row in at_once(self._store.read(""))}
        if after == before:
            return
        self._rows = after
        self._past.append((self._now_seconds(), after))
        while len(self._past) > 1 and self._past[1][0] < self._now_seconds() - STALE_SECONDS:
            self._past.popleft()
        changed = [key for key in before if after.get(key) != before[key]]
        for key in changed:
            self._witness.wrote(Write(verb, by, before[key], after.get(key)))
        born = "born of a finished parent" if verb == "finish" else verb
        for key in [*made, *(key for key in after if key not in made)]:
            if key not in before and key in after:
                self._witness.wrote(Write(born, by, None, after[key]))


@dataclass(slots=True)
class SessionsOf:
    """The sessions of one life: it has one at a time, and a fresh one once it was expired."""

    life: str
    clock: WorkerTime
    begun: int = 0
    current: SessionId | None = None


class WiredStore:
    """Implements `ports.LeaseStore` for one life, over its wire."""

    def __init__(
        self,
        state: SharedState,
        wire: Wire,
        witness: Witness,
        sessions: SessionsOf,
        *,
        never_loses_its_session: bool,
    ) -> None:
        self._never_loses_its_session = never_loses_its_session
        self._state = state
        self._wire = wire
        self._witness = witness
        self._sessions = sessions

    @property
    def checkpoint_interval_seconds(self) -> float:
        """See `LeaseStore`."""
        return self._state.store.checkpoint_interval_seconds

    async def prepare(self) -> bool:
        """Prepared once for all, when the world began."""
        return False

    async def read(self, prefix: str) -> tuple[Lease, ...]:
        """See `LeaseStore`; while reads are stale, as the table was up to two seconds ago."""
        wire = self._wire
        stale = wire.now_seconds() < wire.troubles.stale_until_seconds
        age_seconds = wire.choose((0.1, 0.5, STALE_SECONDS)) if stale else 0.0
        return await wire.read(lambda: self._state.rows(prefix, age_seconds))

    async def pin(self, prefix: str, service_seconds: float) -> float:
        """See `LeaseStore`."""
        store = self._state.store
        return await self._wire.write(lambda: at_once(store.pin(prefix, service_seconds)))

    async def create(self, leases: tuple[Lease, ...]) -> None:
        """See `LeaseStore`."""
        await self._change("create", None, lambda store: store.create(leases), leases)

    async def take(self, lease: Lease, session: SessionId) -> Lease | None:
        """See `LeaseStore`."""
        return await self._change("take", session, lambda store: store.take(lease, session))

    async def advance(self, lease: Lease, position: Position) -> Lease:
        """See `LeaseStore`."""
        return await self._change(
            "advance", lease.owner, lambda store: store.advance(lease, position)
        )

    async def finish(
        self,
        lease: Lease,
        children: tuple[Lease, ...] | None,
        session: SessionId,
        take: frozenset[ShardId] | None = None,
    ) -> tuple[Lease, ...]:
        """See `LeaseStore`."""
        return await self._change(
            "finish",
            session,
            lambda store: store.finish(lease, children, session, take),
            children or (),
        )

    async def release(self, lease: Lease, position: Position) -> None:
        """See `LeaseStore`."""
        await self._change("release", lease.owner, lambda store: store.release(lease, position))

    async def forget(self, lease: Lease) -> bool:
        """See `LeaseStore`."""
        return await self._change("forget", None, lambda store: store.forget(lease))

    async def rename(self, moves: tuple[tuple[str, str], ...]) -> int:
        """No worker renames."""
        raise InternalError(f"nothing is to be renamed here: {moves}")

    async def beat(self, session: Session) -> Session | None:
        """See `LeaseStore`. The worker knows that the beat was confirmed when this returns."""
        sent_seconds = self._sessions.clock.monotonic_seconds
        confirmed = await self._wire.write_beat(lambda: self._state.beat(session))
        if confirmed is not None:
            self._witness.beaten(session.id, sent_seconds)
        return confirmed

    async def read_sessions(self) -> tuple[Session, ...]:
        """See `LeaseStore`; never stale (leases.md 6.5 rule 5)."""
        return await self._wire.read(self._state.sessions)

    async def expire(self, session: Session) -> bool:
        """See `LeaseStore`."""
        return await self._wire.write(lambda: self._state.expire(session))

    def fresh_session(self) -> Session:
        """See `LeaseStore`; counted, not drawn, so that a run from a seed repeats itself."""
        mine = self._sessions
        if mine.current is not None:
            self._witness.note(mine.life, "lost its session")
            self._witness.died(mine.current)
            if self._never_loses_its_session:
                with self._witness.watching():
                    raise Violation(f"I14: {mine.current} was expired in a calm world")
        mine.begun += 1
        mine.current = SessionId(f"tk:{mine.life}:{mine.begun}")
        self._witness.joined(mine.current, mine.life, mine.clock)
        return Session(mine.current, UNWRITTEN_BEAT)

    async def leave(self, session: Session) -> None:
        """See `LeaseStore`."""
        await self._wire.write(lambda: self._state.leave(session))

    async def close(self) -> None:
        """The store outlives its workers."""

    async def _change(
        self,
        verb: str,
        by: SessionId | None,
        call: Callable[[LeaseStore], Coroutine[Any, Any, T]],
        made: Iterable[Lease] = (),
    ) -> T:
        state = self._state
        return await self._wire.write(
            lambda: state.change(verb, by, lambda: call(state.store), made)
        )
