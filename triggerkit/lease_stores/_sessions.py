"""The life of session rows (leases.md 6.5, mode S). An expired session never beats again.

Each function is one transaction over a `SessionTable`. Only the session's own process raises its beat;
anybody may expire it, if the beat is still the one observed or the process is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from triggerkit.core.model import Session, SessionId, SessionState
from triggerkit.lease_stores._processes import ProcessIdentity

UNWRITTEN_BEAT = -1
"""The beat of a session that has no row yet: its first beat creates the row with beat 0."""
DEAD_KEPT_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as stored.

    `named_beat` is the beat that the last write of the session itself was conditioned on: its nonce.
    `dead_seconds` is when it was expired, on whatever clock the store keeps for this housekeeping.
    """

    session: Session
    named_beat: int
    process: ProcessIdentity | None = None
    dead_seconds: float | None = None

    @property
    def is_dead(self) -> bool:
        """Expired, as opposed to silent."""
        return self.session.state is SessionState.DEAD


class SessionTable(Protocol):
    """Session rows inside one transaction."""

    def session(self, session: SessionId) -> SessionRow | None:
        """The row of `session`."""
        ...

    def sessions(self) -> tuple[SessionRow, ...]:
        """All rows, by id."""
        ...

    def put_session(self, row: SessionRow) -> None:
        """Write the whole row."""
        ...

    def delete_session(self, session: SessionId) -> None:
        """Remove the row if it is there."""
        ...


IsGone = Callable[[SessionRow], bool]


def beat(
    table: SessionTable, session: Session, process: ProcessIdentity | None, now_seconds: float
) -> Session | None:
    """Create the row, or raise its beat if nobody expired it; None when it is dead or missing.

    A repeat after a lost answer raises the beat once more: observers must see a change for every beat
    that the worker takes as confirmed, because its deadline counts from the moment it was sent.
    """
    _sweep(table, now_seconds)
    row = table.session(session.id)
    if row is None:
        if session.beat != UNWRITTEN_BEAT:
            return None
        row = SessionRow(session, UNWRITTEN_BEAT, process)
    if row.is_dead or session.beat not in (row.session.beat, row.named_beat):
        return None
    beaten = replace(session, beat=row.session.beat + 1, gone=False)
    table.put_session(replace(row, session=beaten, named_beat=session.beat))
    return beaten


def expire(table: SessionTable, session: Session, is_gone: IsGone, now_seconds: float) -> bool:
    """Mark DEAD if the beat is as observed or the process is gone; whether it is dead now."""
    row = table.session(session.id)
    if row is None or row.is_dead:
        return True
    if row.session.beat != session.beat and not is_gone(row):
        return False
    dead = replace(row.session, state=SessionState.DEAD)
    table.put_session(replace(row, session=dead, dead_seconds=now_seconds))
    return True


def read(table: SessionTable, is_gone: IsGone) -> tuple[Session, ...]:
    """All sessions, with what this host knows about their processes."""
    return tuple(replace(row.session, gone=is_gone(row)) for row in table.sessions())


def _sweep(table: SessionTable, now_seconds: float) -> None:
    """Delete rows that have been dead for a day; an absent session counts as dead, so none is missed."""
    for row in table.sessions():
        if row.dead_seconds is not None and now_seconds - row.dead_seconds > DEAD_KEPT_SECONDS:
            table.delete_session(row.session.id)
