"""A lease table and its sessions. Each method is one linearizable transaction.

Written from leases.md 6.3 and 6.5 for the simulation alone; `watch` gets every write that was applied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from proof.facts import Write

from triggerkit.core.model import (
    SHARD_END,
    Lease,
    Position,
    Session,
    SessionId,
    SessionState,
    ShardId,
)

UNWRITTEN_BEAT = -1


class Lost(Exception):  # noqa: N818 - an answer, not a fault
    """The token is not the row's any more."""


class Watch(Protocol):
    def wrote(self, write: Write) -> None: ...
    def session_expired(self, session: Session) -> None: ...


@dataclass(frozen=True, slots=True)
class _Row:
    lease: Lease
    under: tuple[SessionId | None, int] | None = None
    """The token that the last write was made under."""
    verb: str = "create"


@dataclass(frozen=True, slots=True)
class _SessionRow:
    session: Session
    named_beat: int


class SimStore:
    """Rows by shard; one mapping, one source."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.rows: dict[ShardId, _Row] = {}
        self.sessions: dict[SessionId, _SessionRow] = {}
        self.gone: set[SessionId] = set()
        self._sessions_made = 0
        self.pinned: float | None = None

    def read(self) -> tuple[Lease, ...]:
        return tuple(row.lease for row in self.rows.values())

    def pin(self, service_seconds: float) -> float:
        if self.pinned is None:
            self.pinned = service_seconds
        return self.pinned

    def create(self, lease: Lease) -> None:
        if lease.shard not in self.rows:
            self._put("create", None, replace(lease, owner=None, counter=0), None)

    def take(self, lease: Lease, session: SessionId) -> Lease | None:
        row = self.rows.get(lease.shard)
        if row is None:
            return None
        token = (lease.owner, lease.counter)
        if row.verb == "take" and row.under == token and row.lease.owner == session:
            return row.lease
        if (row.lease.owner, row.lease.counter) != token or row.lease.finished:
            return None
        taken = replace(row.lease, owner=session, counter=row.lease.counter + 1)
        return self._put("take", session, taken, token)

    def advance(self, lease: Lease, position: Position) -> Lease:
        row, token = self._held(lease, "advance")
        if row.under == token and row.verb == "advance" and row.lease.checkpoint == position:
            return row.lease
        advanced = replace(row.lease, checkpoint=position, counter=row.lease.counter + 1)
        return self._put("advance", lease.owner, advanced, token)

    def release(self, lease: Lease, position: Position) -> None:
        row, token = self._held(lease, "release")
        if row.under == token and row.verb == "release" and row.lease.checkpoint == position:
            return
        counter = row.lease.counter + 1
        released = replace(row.lease, checkpoint=position, owner=None, counter=counter)
        self._put("release", lease.owner, released, token)

    def finish(
        self,
        lease: Lease,
        children: tuple[Lease, ...] | None,
        session: SessionId,
        take: frozenset[ShardId] | None = None,
    ) -> tuple[Lease, ...]:
        row, token = self._held(lease, "finish")
        if not (row.under == token and row.verb == "finish"):
            ids = None if children is None else tuple(child.shard for child in children)
            counter = row.lease.counter + 1
            ended = replace(
                row.lease, checkpoint=SHARD_END, children=ids, owner=None, counter=counter
            )
            self._put("finish", session, replace(ended, lost_reason=lease.lost_reason), token)
            for child in children or ():
                if child.shard not in self.rows:
                    self._bear(child, session, lease.shard, take)
        born = [self.rows[child.shard] for child in children or () if child.shard in self.rows]
        return tuple(
            row.lease
            for row in born
            if row.lease.owner == session and row.verb == f"born of {lease.shard}"
        )

    def evict(self, shard: ShardId) -> None:
        """An operator takes a lease away: no worker is told, and the row is free at once."""
        lease = self.rows[shard].lease
        self._put("evict", None, replace(lease, owner=None, counter=lease.counter + 1), None)

    def clean_up(self, shard: ShardId) -> None:
        """Another library deletes a finished row once its children have started (leases.md 6.6 rule 3)."""
        row = self.rows.pop(shard)
        self._watch.wrote(Write("cleanup", None, row.lease, None))

    def forget(self, lease: Lease) -> None:
        row = self.rows.get(lease.shard)
        if row is not None and row.lease.finished and row.lease.counter == lease.counter:
            del self.rows[lease.shard]
            self._watch.wrote(Write("forget", None, row.lease, None))

    def beat(self, session: Session) -> Session | None:
        row = self.sessions.get(session.id)
        if row is None:
            if session.beat != UNWRITTEN_BEAT:
                return None
            row = _SessionRow(session, UNWRITTEN_BEAT)
        if row.session.state is SessionState.DEAD:
            return None
        if session.beat not in (row.session.beat, row.named_beat):
            return None
        beaten = replace(session, beat=row.session.beat + 1, gone=False)
        self.sessions[session.id] = _SessionRow(beaten, session.beat)
        return beaten

    def read_sessions(self) -> tuple[Session, ...]:
        return tuple(
            replace(row.session, gone=row.session.id in self.gone) for row in self.sessions.values()
        )

    def expire(self, session: Session) -> bool:
        row = self.sessions.get(session.id)
        if row is None or row.session.state is SessionState.DEAD:
            return True
        if row.session.beat != session.beat and session.id not in self.gone:
            return False
        dead = replace(row.session, state=SessionState.DEAD)
        self.sessions[session.id] = replace(row, session=dead)
        self._watch.session_expired(dead)
        return True

    def fresh_session(self) -> Session:
        self._sessions_made += 1
        return Session(SessionId(f"session-{self._sessions_made}"), UNWRITTEN_BEAT)

    def leave(self, session: SessionId) -> None:
        self.sessions.pop(session, None)

    def _held(self, lease: Lease, verb: str) -> tuple[_Row, tuple[SessionId | None, int]]:
        """The row, if `lease` holds its token or made its last write under it (I14)."""
        row, token = self.rows.get(lease.shard), (lease.owner, lease.counter)
        if row is None:
            raise Lost
        if (row.lease.owner, row.lease.counter) == token:
            return row, token
        if row.under == token and (row.lease.owner == lease.owner or row.verb == verb):
            return row, token
        raise Lost

    def _bear(
        self, child: Lease, session: SessionId, parent: ShardId, take: frozenset[ShardId] | None
    ) -> None:
        rows = [self.rows.get(shard) for shard in child.parents]
        ready = all(row is not None and row.lease.finished for row in rows)
        taken = ready and (take is None or child.shard in take)
        lease = replace(child, owner=session, counter=1) if taken else replace(child, owner=None)
        self._put(f"born of {parent}", session, lease, None)

    def _put(
        self,
        verb: str,
        by: SessionId | None,
        lease: Lease,
        under: tuple[SessionId | None, int] | None,
    ) -> Lease:
        before = self.rows.get(lease.shard)
        self.rows[lease.shard] = _Row(lease, under, verb)
        self._watch.wrote(Write(verb, by, before.lease if before else None, lease))
        return lease
