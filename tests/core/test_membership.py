"""Who lives: beats, silence, expiries and the deadline (leases.md 6.5)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from core.builders import NoLuckError, at, kinds, only, session

from triggerkit.core.decisions import (
    Beat,
    Expire,
    MembershipDecision,
)
from triggerkit.core.leases import first_to_expire
from triggerkit.core.membership import (
    BEAT_SECONDS,
    MARGIN_SECONDS,
    SILENCE_SECONDS,
    Membership,
)
from triggerkit.core.model import Session, SessionId, SessionState, StopReason
from triggerkit.core.reports import (
    Beaten,
    Expired,
    NotExpired,
    NotNow,
    SessionLost,
    Sessions,
    StopAsked,
    Woke,
)

DEAD, DRAINING = SessionState.DEAD, SessionState.DRAINING

BEAT = Beat(session("me"))


@dataclass
class Worker:
    """A membership and the store's answers to its beats."""

    me: str = "me"
    membership: Membership = field(init=False)
    beat: int = 0

    def __post_init__(self) -> None:
        self.membership = Membership(session(self.me, 0))

    def wake(self, seconds: float) -> tuple[MembershipDecision, ...]:
        return self.membership.react(Woke(), at(seconds)).decisions

    def beaten(
        self, *others: Session, sent: float, back: float | None = None
    ) -> tuple[MembershipDecision, ...]:
        """A beat sent at `sent` that came back at `back` with these other sessions."""
        self.beat += 1
        mine = session(self.me, self.beat)
        report = Beaten(Beat(session(self.me, self.beat - 1)), mine, (mine, *others), sent)
        return self.membership.react(report, at(sent if back is None else back)).decisions

    @property
    def sessions(self) -> Sessions:
        assert self.membership.sessions is not None
        return self.membership.sessions


def watch(worker: Worker, *others: Session, until: float, start: float = 0.0) -> list[float]:
    """Beat every interval beside unchanging others; the times at which somebody is to be expired."""
    expiries, sent = [], start
    while sent <= until:
        worker.wake(sent)
        if "Expire" in kinds(worker.beaten(*others, sent=sent)):
            expiries.append(sent)
        sent += BEAT_SECONDS
    return expiries


def undertakers(other: str, *ids: str) -> tuple[str, str]:
    """Of two workers, who expires `other` first and who second."""
    first = first_to_expire(session(other), [SessionId(name) for name in ids])
    (second,) = set(ids) - {str(first)}
    return str(first), second


# --- the beat ---------------------------------------------------------------------------------------


def test_the_first_beat_goes_at_once_and_nothing_is_known_before_its_answer() -> None:
    worker = Worker()
    assert worker.membership.wake_at_seconds <= 0.0
    assert worker.wake(0.0) == (Beat(session("me", 0)),)
    assert worker.membership.sessions is None
    assert worker.wake(0.1) == (), "one beat at a time"
    assert worker.membership.wake_at_seconds == 32.0, "its answer wakes, or the watchdog"


def test_the_next_beat_goes_one_interval_after_the_last_was_sent() -> None:
    worker = Worker()
    worker.wake(10.0)
    assert worker.beaten(sent=10.0, back=10.4) == ()
    assert worker.membership.wake_at_seconds == 11.5
    assert worker.wake(11.49) == ()
    assert worker.wake(11.5) == (Beat(session("me", 1)),)


def test_a_beat_that_took_longer_than_the_interval_is_followed_at_once() -> None:
    worker = Worker()
    worker.wake(10.0)
    assert kinds(worker.beaten(sent=10.0, back=12.0)) == ["Beat"]


def test_the_deadline_counts_from_the_sending_of_the_last_confirmed_beat() -> None:
    worker = Worker()
    worker.wake(10.0)
    worker.beaten(sent=10.0, back=10.9)
    assert worker.sessions.deadline_seconds == pytest.approx(14.8)
    assert pytest.approx(4.8) == SILENCE_SECONDS - MARGIN_SECONDS
    assert worker.sessions.read_at_seconds == 10.0


def test_a_beat_without_an_answer_is_sent_again_and_moves_no_deadline() -> None:
    worker = Worker()
    worker.wake(0.0)
    worker.beaten(sent=0.0)
    worker.wake(1.5)
    assert (
        worker.membership.react(
            NotNow(Beat(worker.membership.me), 0.5, NoLuckError()), at(2.5)
        ).decisions
        == ()
    )
    assert worker.membership.wake_at_seconds == 3.0
    assert worker.sessions.deadline_seconds == pytest.approx(4.8)
    assert worker.wake(3.0) == (Beat(session("me", 1)),), "the same beat again"


# --- who lives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait_seconds", [10.0, None])
def test_a_beat_that_failed_is_tried_again_within_a_second_whatever_the_error(
    wait_seconds: float | None,
) -> None:
    """Who waits longer than the others is expired by them when the table is back."""
    worker = Worker()
    worker.wake(0.0)
    lost = NotNow(Beat(worker.membership.me), wait_seconds, NoLuckError())
    assert not worker.membership.react(lost, at(0.5)).decisions
    assert kinds(worker.wake(1.5)) == ["Beat"]


def test_others_are_live_draining_gone_or_dead() -> None:
    worker = Worker()
    worker.wake(0.0)
    worker.beaten(
        session("live"),
        session("leaving", state=DRAINING),
        session("gone", gone=True),
        session("dead", state=DEAD),
        sent=0.0,
    )
    assert worker.sessions.me == "me"
    assert worker.sessions.live == {"me", "live"}
    assert worker.sessions.known == {"me", "live", "leaving", "gone"}
    assert worker.sessions.dead == {"dead"}


def test_a_worker_that_drains_takes_no_part_in_sharing_and_says_so_in_its_beats() -> None:
    worker = Worker()
    worker.wake(0.0)
    worker.beaten(session("b"), sent=0.0)
    worker.membership.react(StopAsked(StopReason.REQUESTED), at(1.0))
    assert worker.wake(1.5) == (Beat(session("me", 1, DRAINING)),)
    worker.beaten(session("b"), sent=1.5)
    assert worker.sessions.live == {"b"}
    assert worker.sessions.known == {"me", "b"}
    assert worker.sessions.deadline_seconds > 6.0, "what it holds it may still finish"


# --- silence ----------------------------------------------------------------------------------------


def test_a_silent_session_is_expired_after_six_seconds_by_the_first_undertaker() -> None:
    assert watch(Worker(), session("b"), until=20.0) == [6.0]


def test_the_others_wait_one_interval_more() -> None:
    first, second = undertakers("b", "x", "y")
    for me, peer, due in ((first, second, 6.0), (second, first, 7.5)):
        worker, sent, expiries = Worker(me), 0.0, list[float]()
        while sent <= 10.0:
            worker.wake(sent)
            alive = session(peer, beat=1 + round(sent))
            if "Expire" in kinds(worker.beaten(session("b"), alive, sent=sent)):
                expiries.append(sent)
            sent += BEAT_SECONDS
        assert expiries == [due], me


def test_a_session_that_beats_is_never_expired() -> None:
    worker = Worker()
    for step in range(20):
        worker.wake(step * 1.5)
        assert "Expire" not in kinds(worker.beaten(session("b", step), sent=step * 1.5))


def test_silence_counts_from_the_last_change_of_the_beat() -> None:
    worker = Worker()
    assert watch(worker, session("b", 1), until=4.5) == []
    assert watch(worker, session("b", 2), start=6.0, until=20.0) == [12.0]


def test_three_good_reads_are_needed_however_long_the_silence() -> None:
    worker = Worker()
    for sent, expired in ((0.0, False), (3.0, False), (6.0, True)):
        worker.wake(sent)
        assert ("Expire" in kinds(worker.beaten(session("b"), sent=sent))) is expired
    slow = Worker()
    for sent in (0.0, 6.0):
        slow.wake(sent)
        assert "Expire" not in kinds(slow.beaten(session("b"), sent=sent)), "and 6 s apart is a gap"


def test_a_gap_in_the_reads_starts_every_observation_again() -> None:
    worker = Worker()
    assert watch(worker, session("b"), until=4.5) == []
    assert watch(worker, session("b"), start=7.6, until=20.0) == [pytest.approx(13.6)]


def test_the_first_to_come_back_after_an_outage_buries_nobody() -> None:
    worker = Worker()
    watch(worker, session("b"), until=4.5)
    worker.wake(6.0)
    worker.membership.react(NotNow(Beat(worker.membership.me), 30.0, NoLuckError()), at(6.0))
    worker.wake(36.0)
    assert "Expire" not in kinds(worker.beaten(session("b"), sent=36.0))


def test_a_slow_read_does_not_lengthen_a_silence() -> None:
    """What a read shows was true at some time up to its return: silence is counted from there."""
    worker = Worker()
    worker.wake(0.0)
    worker.beaten(session("b"), sent=0.0, back=2.9)
    assert watch(worker, session("b"), start=2.9, until=8.8) == []
    assert watch(worker, session("b"), start=8.9, until=8.9) == [8.9]


def test_a_silence_that_comes_between_two_beats_is_read_then() -> None:
    worker = Worker()
    for sent in (0.0, 1.5, 3.0, 4.5):
        worker.wake(sent)
        assert worker.beaten(session("b"), sent=sent, back=sent + 0.2) == ()
    worker.wake(6.0)
    assert kinds(worker.beaten(session("b"), sent=6.0, back=6.2)) == ["Beat"], "not only at 7.5"
    assert kinds(worker.beaten(session("b"), sent=6.2, back=6.4)) == ["Expire"]
    assert worker.membership.wake_at_seconds == pytest.approx(7.7)


def test_a_store_that_fails_while_somebody_is_silent_is_not_asked_without_a_pause() -> None:
    worker = Worker()
    watch(worker, session("b"), until=4.5)
    worker.wake(6.0)
    assert (
        worker.membership.react(
            NotNow(Beat(worker.membership.me), 0.4, NoLuckError()), at(6.1)
        ).decisions
        == ()
    )
    assert worker.membership.wake_at_seconds == 6.5


def test_a_process_that_is_gone_is_expired_at_once() -> None:
    worker = Worker()
    worker.wake(0.0)
    assert worker.beaten(session("b", gone=True), sent=0.0) == (Expire(session("b", gone=True)),)


def test_a_burial_is_asked_for_once() -> None:
    worker = Worker()
    worker.wake(0.0)
    worker.beaten(session("b", gone=True), sent=0.0)
    worker.wake(1.5)
    assert "Expire" not in kinds(worker.beaten(session("b", gone=True), sent=1.5))


def test_who_is_expired_is_dead_at_once_and_for_good() -> None:
    worker = Worker()
    worker.wake(0.0)
    worker.beaten(session("b", gone=True), sent=0.0)
    worker.membership.react(Expired(Expire(session("b"))), at(0.1))
    assert worker.sessions.dead == {"b"}
    assert worker.sessions.known == {"me"}
    worker.wake(1.5)
    worker.beaten(session("b"), sent=1.5)
    assert worker.sessions.dead == {"b"}, "a read that shows it alive is older than the expiry"
    assert worker.sessions.live == {"me"}


def test_who_has_beaten_meanwhile_is_watched_from_the_start() -> None:
    worker = Worker()
    assert watch(worker, session("b"), until=6.0) == [6.0]
    assert worker.membership.react(NotExpired(Expire(session("b"))), at(6.1)).decisions == ()
    assert watch(worker, session("b"), start=7.5, until=20.0) == [13.5]


def test_a_burial_that_failed_is_not_repeated_before_the_next_read() -> None:
    worker = Worker()
    worker.wake(0.0)
    worker.beaten(session("b", gone=True), sent=0.0)
    assert worker.membership.react(NotExpired(Expire(session("b"))), at(0.1)).decisions == ()
    assert worker.membership.react(NotExpired(Expire(session("unknown"))), at(0.1)).decisions == ()
    worker.wake(1.5)
    assert kinds(worker.beaten(session("b", gone=True), sent=1.5)) == ["Expire"]


# --- the loss of one's own session --------------------------------------------------------------------


def test_a_worker_that_was_expired_goes_on_under_a_fresh_session() -> None:
    worker = Worker()
    worker.wake(0.0)
    worker.beaten(sent=0.0)
    worker.wake(1.5)
    fresh = session("me again", 0)
    assert worker.membership.react(SessionLost(BEAT, fresh), at(9.0)).decisions == (Beat(fresh),)
    assert worker.membership.me == fresh
    assert worker.membership.sessions is None, "nothing is known under the new name yet"


def test_a_fresh_session_may_act_only_after_its_first_beat() -> None:
    worker = Worker()
    worker.wake(0.0)
    worker.beaten(session("b", gone=True), sent=0.0)
    worker.wake(1.5)
    worker.membership.react(SessionLost(BEAT, session("me again", 0)), at(2.0))
    worker.membership.react(Expired(Expire(session("b"))), at(2.1))
    assert worker.membership.sessions is None
    worker.me = "me again"
    worker.beaten(session("b"), sent=2.0)
    assert worker.sessions.me == "me again"
    assert worker.sessions.dead == {"b"}


def test_a_worker_that_drains_goes_on_draining_under_its_fresh_session() -> None:
    worker = Worker()
    worker.wake(0.0)
    worker.membership.react(StopAsked(StopReason.REQUESTED), at(0.5))
    decisions = worker.membership.react(SessionLost(BEAT, session("fresh", 0)), at(1.0)).decisions
    assert only(Beat, decisions).session == replace(session("fresh", 0), state=DRAINING)
