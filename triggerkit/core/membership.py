"""Which workers live: the session of this worker and its view of the others.

One machine a lease store and worker (leases.md 6.5, mode S). An observer counts silence by its own
monotonic clock and only over reads of its own that succeeded, so a store's outage expires no session.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from triggerkit.core import events
from triggerkit.core.decisions import Beat, Expire, MembershipDecision
from triggerkit.core.leases import first_to_expire
from triggerkit.core.model import NEVER, Now, Session, SessionId, SessionState
from triggerkit.core.reports import (
    Beaten,
    Expired,
    MembershipReport,
    NotExpired,
    NotNow,
    Reaction,
    SessionLost,
    Sessions,
    StopAsked,
    Woke,
)
from triggerkit.core.watchdog import Watchdog

BEAT_SECONDS = 1.5
SILENCE_SECONDS = 6.0
"""A session that has not beaten for so long is dead; also how long a confirmed beat lasts."""
MARGIN_SECONDS = 1.2
"""20 % of the silence: the owner of a beat stops before another may expire it (leases.md 6.4)."""
READS_NEEDED = 3
LONGEST_RETRY_SECONDS = 1.0
"""How long a beat that failed waits, whatever the error: its deadline ends what this worker may do."""
LONGEST_GAP_SECONDS = 2 * BEAT_SECONDS
"""A longer gap between good reads restarts every observation."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    """Since when a session's beat has been unchanged, over how many good reads."""

    beat: int
    since_seconds: float
    reads: int


class Membership:
    """Beats, watches the others, expires the silent; its result is `sessions`."""

    def __init__(self, session: Session) -> None:
        self._me = session
        self._events: list[events.Event] = []
        self._watchdog = Watchdog(None, self._events.append)
        self._wished_at_seconds = NEVER
        self._others: dict[SessionId, Session] = {}
        self._sightings: dict[SessionId, _Sighting] = {}
        self._expiring: set[SessionId] = set()
        self._dead: set[SessionId] = set()
        self._beating = False
        self._beat_at_seconds = 0.0
        self._read_at_seconds = -NEVER
        self._sessions: Sessions | None = None

    @property
    def me(self) -> Session:
        """This worker's session as last confirmed."""
        return self._me

    @property
    def sessions(self) -> Sessions | None:
        """The result for every mapping; None until the first beat is confirmed."""
        return self._sessions

    @property
    def wake_at_seconds(self) -> float:
        """When to be woken at the latest (monotonic)."""
        beat_at = NEVER if self._beating else self._beat_at_seconds
        return min(beat_at, self._watchdog.wake_at_seconds)

    def react(self, report: MembershipReport, now: Now) -> Reaction[MembershipDecision]:
        """Absorb one report; answer what should be under way and is not, and what happened."""
        self._watchdog.excuse(self._wished_at_seconds, now)
        self._absorb(report, now)
        decisions = self._derive(now)
        for decision in decisions:
            self._watchdog.began(decision, now)
        self._watchdog.report_due(now)
        self._wished_at_seconds = self.wake_at_seconds
        happened = tuple(self._events)
        self._events.clear()
        return Reaction(decisions, happened)

    def _absorb(self, report: MembershipReport, now: Now) -> None:
        match report:
            case Beaten(decision=decision):
                self._watchdog.answered(decision, now)
                self._absorb_beat(report, now)
            case NotNow(decision=Expire(session=session)):
                self._watchdog.failed(report, now)
                self._absorb_not_expired(session.id)
            case NotNow(wait_seconds=wait):
                self._watchdog.failed(report, now)
                self._beating = False
                wait = LONGEST_RETRY_SECONDS if wait is None else min(wait, LONGEST_RETRY_SECONDS)
                self._beat_at_seconds = now.monotonic_seconds + wait
            case SessionLost(decision=decision, fresh=fresh):
                self._watchdog.answered(decision, now)
                self._events.append(events.SessionLost(self._me.id, fresh.id))
                self._me = replace(fresh, state=self._me.state)
                self._beating = False
                self._beat_at_seconds = now.monotonic_seconds
                self._sessions = None
            case Expired(decision=Expire(session=session)):
                dead = session.id
                self._expiring.discard(dead)
                self._dead.add(dead)
                self._others.pop(dead, None)
                if self._sessions is not None:  # else this session has no beat confirmed yet
                    self._conclude()
            case NotExpired(decision=Expire(session=session)):
                self._absorb_not_expired(session.id)
            case StopAsked():
                self._me = replace(self._me, state=SessionState.DRAINING)
            case Woke():
                pass
            case _:
                assert_never(report)

    def _absorb_not_expired(self, alive: SessionId) -> None:
        self._expiring.discard(alive)
        self._sightings.pop(alive, None)
        if alive in self._others:  # whether its process is gone, the next read shows again
            self._others[alive] = replace(self._others[alive], gone=False)

    def _absorb_beat(self, report: Beaten, now: Now) -> None:
        sent = report.sent_at_seconds
        if sent - self._read_at_seconds > LONGEST_GAP_SECONDS:
            self._sightings.clear()
        self._me = replace(self._me, beat=report.session.beat)
        self._beating = False
        self._read_at_seconds = sent
        alive = {s.id: s for s in report.sessions if s.state is not SessionState.DEAD}
        alive.pop(self._me.id, None)
        # nothing comes back from the dead: a read that shows it alive is older than the expiry
        self._dead |= {s.id for s in report.sessions if s.state is SessionState.DEAD}
        self._others = {key: session for key, session in alive.items() if key not in self._dead}
        self._sightings = {key: self._sight(other, now) for key, other in self._others.items()}
        self._beat_at_seconds = self._next_beat_at(now)
        self._conclude()

    def _sight(self, other: Session, now: Now) -> _Sighting:
        seen = self._sightings.get(other.id)
        if seen is None or seen.beat != other.beat:
            # the read took place between sending and now: silence is counted from the later moment
            # up to when the present read was sent, so that a slow answer expires no session
            return _Sighting(other.beat, now.monotonic_seconds, 1)
        return replace(seen, reads=seen.reads + 1)

    def _conclude(self) -> None:
        live = {s.id for s in self._others.values() if s.state is SessionState.LIVE and not s.gone}
        if self._me.state is SessionState.LIVE:
            live.add(self._me.id)
        self._sessions = Sessions(
            me=self._me.id,
            live=frozenset(live),
            known=frozenset(self._others) | {self._me.id},
            dead=frozenset(self._dead),
            deadline_seconds=self._read_at_seconds + SILENCE_SECONDS - MARGIN_SECONDS,
            read_at_seconds=self._read_at_seconds,
        )

    def _derive(self, now: Now) -> tuple[MembershipDecision, ...]:
        decisions: list[MembershipDecision] = []
        for other in self._others.values():
            if other.id not in self._expiring and self._is_silent(other):
                self._expiring.add(other.id)
                decisions.append(Expire(other))
        if not self._beating and self._beat_at_seconds <= now.monotonic_seconds:
            self._beating = True
            decisions.append(Beat(self._me))
        return tuple(decisions)

    def _is_silent(self, other: Session) -> bool:
        if other.gone:
            return True  # known on this host: there is nothing to wait for
        seen = self._sightings.get(other.id)
        if seen is None or seen.reads < READS_NEEDED:
            return False
        return self._silent_at(other, seen) <= self._read_at_seconds

    def _silent_at(self, other: Session, seen: _Sighting) -> float:
        """A read that is sent from then on and shows the same beat proves the silence (monotonic)."""
        living = [s.id for s in self._others.values() if s.id != other.id and not s.gone]
        first = first_to_expire(other, [*living, self._me.id]) == self._me.id
        return seen.since_seconds + SILENCE_SECONDS + (0.0 if first else BEAT_SECONDS)

    def _next_beat_at(self, now: Now) -> float:
        """One interval after the last; sooner if that read can prove a silence."""
        next_at = self._read_at_seconds + BEAT_SECONDS
        for other in self._others.values():
            seen = self._sightings[other.id]
            if (
                seen.reads + 1 < READS_NEEDED
                or other.id in self._expiring
                or self._is_silent(other)
            ):
                continue
            next_at = min(next_at, max(now.monotonic_seconds, self._silent_at(other, seen)))
        return next_at
