"""What does not move is reported once for all that stopped together, and once more when it moves."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import pytest
from core.builders import ME, at, batch, lease, session, tenure

from triggerkit.core.decisions import (
    Beat,
    Cancel,
    Create,
    Decision,
    Discard,
    Expire,
    Fetch,
    Forget,
    Invoke,
    MembershipDecision,
    Save,
    Survey,
    Take,
)
from triggerkit.core.events import (
    Blocked,
    CallFailed,
    Event,
    MappingId,
    MovedAgain,
    Operation,
    WaitCause,
    Waiting,
)
from triggerkit.core.model import TRIM_HORIZON, DiscardReason, SessionId, ShardId
from triggerkit.core.reports import NotNow
from triggerkit.core.watchdog import Subject, Watchdog, subject_of
from triggerkit.errors import (
    CredentialsError,
    DestinationError,
    EndpointUnreachableError,
    ListingUnusableError,
    RequestRefusedError,
    StateError,
    ThrottledError,
)

E = TypeVar("E")
MAPPING = MappingId("notify", "orders")
DOWN = EndpointUnreachableError("no answer", hint="start it")
WRONG = RequestRefusedError("ValidationException", hint="check the locator")


def fetch(shard: str) -> Fetch:
    return Fetch(lease(shard), tenure(), TRIM_HORIZON, 1000)


def save(shard: str) -> Save:
    return Save(lease(shard), tenure(), TRIM_HORIZON)


def invoke(shard: str, request_id: str = "request-1", lane: int = 0) -> Invoke:
    return Invoke(lease(shard), tenure(), batch(1, 2, lane=lane), 1000.0, request_id)


class Watched:
    """A watchdog, and what it has said."""

    def __init__(self, timeout_seconds: float | None = None) -> None:
        self.events: list[tuple[float, Event]] = []
        self.now_seconds = 0.0
        self.dog = Watchdog(MAPPING, self._emit, timeout_seconds)

    def _emit(self, event: Event) -> None:
        self.events.append((self.now_seconds, event))

    def begin(self, *decisions: Decision | MembershipDecision) -> None:
        for decision in decisions:
            self.dog.began(decision, at(self.now_seconds))

    def fail(
        self,
        decision: Decision | MembershipDecision,
        error: Exception = DOWN,
        wait_seconds: float | None = 1.0,
    ) -> None:
        self.dog.failed(NotNow(decision, wait_seconds, error), at(self.now_seconds))

    def end(self, decision: Decision | MembershipDecision) -> None:
        subject = subject_of(decision)
        assert subject is not None
        self.dog.ended(subject, at(self.now_seconds))

    def until(self, seconds: float) -> None:
        """As the engine does: woken when the watchdog wishes."""
        while (wake := self.dog.wake_at_seconds) <= seconds:
            assert wake >= self.now_seconds or wake == self.now_seconds
            self.now_seconds = max(self.now_seconds, wake)
            self.dog.report_due(at(self.now_seconds))
            assert self.dog.wake_at_seconds > self.now_seconds, "it would be woken for ever"
        self.now_seconds = seconds

    def said(self, kind: type[E]) -> list[tuple[float, E]]:
        return [(seconds, event) for seconds, event in self.events if isinstance(event, kind)]

    def waiting(self) -> Waiting:
        ((_, event),) = self.said(Waiting)
        return event


@pytest.mark.parametrize(
    "decision",
    [Forget(lease("a")), Expire(session("other")), Cancel(lease("a"), tenure())],
    ids=["forget", "expire", "cancel"],
)
def test_b6_what_no_shard_waits_for_is_a_call_that_failed_and_blocks_nothing(
    decision: Decision | MembershipDecision,
) -> None:
    """Nothing may ever answer such a call again, so nothing could say that it moves."""
    watched = Watched()
    watched.begin(decision)
    watched.fail(decision, WRONG, None)
    ((_, event),) = watched.said(CallFailed)
    assert event.wait_seconds == 300.0
    watched.until(10_000.0)
    assert not watched.said(Blocked)


def test_b6_a_lease_that_cannot_be_taken_is_blocked_before_a_survey_has_shown_it() -> None:
    watched = Watched()
    watched.fail(Take(lease("a"), ME), WRONG, None)
    ((_, event),) = watched.said(Blocked)
    assert event.shards == (ShardId("a"),)
    watched.dog.observe({}, at(watched.now_seconds))
    ((_, moved),) = watched.said(MovedAgain)
    assert moved.reported


# --- calls ---------------------------------------------------------------------------------------


def test_a_call_without_an_answer_is_reported_between_30_and_35_seconds() -> None:
    watched = Watched()
    watched.until(5.0)
    watched.begin(fetch("a"))
    watched.until(34.9)
    assert not watched.events
    watched.until(40.0)
    ((seconds, event),) = watched.said(Waiting)
    assert 35.0 <= seconds <= 40.0
    assert event.cause is WaitCause.REPLY
    assert event.shards == (ShardId("a"),)
    assert event.operation is Operation.FETCH
    assert event.since_seconds == at(5.0).service_seconds
    assert event.waited_seconds == seconds - 5.0
    assert "not been answered" in event.detail
    assert not event.expected


def test_a_call_that_is_answered_in_time_is_not_mentioned() -> None:
    watched = Watched()
    for start in range(0, 300, 25):
        watched.until(start)
        watched.begin(fetch("a"))
        watched.until(start + 24.0)
        watched.end(fetch("a"))
    watched.until(1000.0)
    assert not watched.events


def test_a_call_that_fails_again_and_again_is_one_wait_and_moves_once() -> None:
    watched = Watched()
    for seconds in range(0, 100, 10):
        watched.until(seconds)
        watched.begin(fetch("a"))
        watched.fail(fetch("a"))
    assert [round(seconds) for seconds, _ in watched.said(Waiting)] == [32, 62]
    first, second = (event for _, event in watched.said(Waiting))
    assert first.cause is second.cause is WaitCause.ERROR
    assert first.detail == "4 times in a row: no answer"
    assert first.error is DOWN
    assert len(watched.said(CallFailed)) == 10
    watched.begin(fetch("a"))
    watched.end(fetch("a"))
    ((_, moved),) = watched.said(MovedAgain)
    assert moved == MovedAgain(MAPPING, (ShardId("a"),), Operation.FETCH, 90.0, reported=True)
    watched.begin(fetch("a"))
    watched.end(fetch("a"))
    watched.until(10_000.0)
    assert len(watched.said(MovedAgain)) == 1
    assert len(watched.said(Waiting)) == 2


def test_a_failure_that_passes_in_time_is_told_of_but_never_reported() -> None:
    watched = Watched()
    watched.begin(fetch("a"))
    watched.fail(fetch("a"))
    watched.until(20.0)
    watched.end(fetch("a"))
    watched.until(100.0)
    assert [type(event) for _, event in watched.events] == [CallFailed, MovedAgain]
    assert not watched.said(MovedAgain)[0][1].reported


def test_a_wait_is_repeated_at_growing_intervals_up_to_an_hour() -> None:
    watched = Watched()
    watched.begin(fetch("a"))
    watched.until(5 * 3600.0)
    times = [seconds for seconds, _ in watched.said(Waiting)]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert gaps[:7] == [30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0]
    assert set(gaps[7:]) == {3600.0}


@pytest.mark.parametrize(
    ("decision", "error", "cause"),
    [
        (fetch("a"), None, WaitCause.REPLY),
        (fetch("a"), ThrottledError("slow down"), WaitCause.ERROR),
        (fetch("a"), CredentialsError("expired"), WaitCause.CREDENTIALS),
        (Survey(list_shards=True), None, WaitCause.REPLY),
        (Survey(list_shards=False), None, WaitCause.LEASE_STORE),
        (Survey(list_shards=True), ListingUnusableError("a cycle"), WaitCause.LISTING),
        (Survey(list_shards=True), StateError("locked"), WaitCause.LEASE_STORE),
        (save("a"), None, WaitCause.LEASE_STORE),
        (save("a"), StateError("locked"), WaitCause.LEASE_STORE),
        (Beat(session("me")), None, WaitCause.LEASE_STORE),
        (
            Discard(lease("a"), tenure(), batch(1), DiscardReason.RETRY_ATTEMPTS_EXHAUSTED),
            DestinationError("queue"),
            WaitCause.DESTINATION,
        ),
        (
            Discard(lease("a"), tenure(), batch(1), DiscardReason.RETRY_ATTEMPTS_EXHAUSTED),
            None,
            WaitCause.DESTINATION,
        ),
    ],
)
def test_the_cause_follows_from_the_error_and_else_from_the_call(
    decision: Decision | MembershipDecision, error: Exception | None, cause: WaitCause
) -> None:
    watched = Watched()
    watched.begin(decision)
    if error is not None:
        watched.fail(decision, error)
    watched.until(35.0)
    assert watched.waiting().cause is cause


# --- what stops together -------------------------------------------------------------------------


def test_forty_shards_on_a_dead_endpoint_are_one_event() -> None:
    watched = Watched()
    for number in range(40):
        watched.until(number * 0.04)
        watched.begin(fetch(str(number)))
        watched.fail(fetch(str(number)))
    watched.begin(Survey(list_shards=True))  # hangs, while the others fail
    watched.until(35.0)
    assert len(watched.waiting().shards) == 40
    for number in range(39):
        watched.end(fetch(str(number)))
    assert not watched.said(MovedAgain), "one of them still waits"
    watched.end(Survey(list_shards=True))
    watched.end(fetch("39"))
    ((_, moved),) = watched.said(MovedAgain)
    assert len(moved.shards) == 40


def test_what_stops_a_little_later_for_the_same_cause_is_in_the_next_report() -> None:
    watched = Watched()
    watched.begin(fetch("a"))
    watched.until(20.0)
    watched.begin(fetch("b"))
    watched.until(61.0)
    assert watched.waiting().shards == (ShardId("a"),)
    watched.until(63.0)
    assert watched.said(Waiting)[1][1].shards == (ShardId("a"), ShardId("b"))
    watched.until(600.0)
    watched.begin(fetch("c"))
    watched.until(635.0)
    assert watched.said(Waiting)[-1][1].shards == (ShardId("c"),), "much later is another fault"


def test_two_causes_are_two_events() -> None:
    watched = Watched()
    watched.begin(fetch("a"), save("a"))
    watched.until(35.0)
    causes = {event.cause for _, event in watched.said(Waiting)}
    assert causes == {WaitCause.REPLY, WaitCause.LEASE_STORE}


def test_the_lease_store_is_not_reported_again_while_the_session_beat_reports_it() -> None:
    watched = Watched()
    watched.dog.lease_store_is_reported = True
    watched.begin(save("a"))
    watched.until(200.0)
    assert not watched.said(Waiting)
    watched.dog.lease_store_is_reported = False
    watched.until(232.0)
    assert watched.waiting().cause is WaitCause.LEASE_STORE
    quiet = Watched()
    quiet.dog.lease_store_is_reported = True
    quiet.begin(save("a"))
    quiet.until(200.0)
    quiet.end(save("a"))
    assert not quiet.events


# --- handlers ------------------------------------------------------------------------------------


def test_b9_a_call_without_a_timeout_is_first_mentioned_after_five_minutes_and_is_no_warning() -> (
    None
):
    watched = Watched()
    watched.begin(invoke("a", "7b0f"))
    watched.until(299.0)
    assert not watched.events
    watched.until(305.0)
    event = watched.waiting()
    assert event.cause is WaitCause.HANDLER
    assert event.expected
    assert event.detail == "call 7b0f of 2 records has not returned"


def test_b9_a_call_that_outlives_its_timeout_is_a_warning() -> None:
    watched = Watched(timeout_seconds=60.0)
    watched.begin(invoke("a"))
    watched.until(89.0)
    assert not watched.events
    watched.until(95.0)
    assert not watched.waiting().expected


def test_b9_shards_that_wait_for_the_same_handler_are_part_of_its_line() -> None:
    watched = Watched()
    watched.begin(invoke("a", "stuck"), invoke("b", "queued"))
    watched.until(200.0)
    watched.begin(invoke("c", "queued later"))
    watched.until(590.0)
    assert "stuck" in watched.waiting().detail
    assert watched.waiting().shards == (ShardId("a"), ShardId("b"))
    watched.until(700.0)
    assert watched.said(Waiting)[1][1].shards == (ShardId("a"), ShardId("b"), ShardId("c"))
    for shard in "abc":
        watched.end(invoke(shard))
    assert len(watched.said(MovedAgain)) == 1


def test_b9_calls_that_wait_for_their_turn_are_not_late() -> None:
    watched = Watched()
    shards = [f"shard {number}" for number in range(40)]
    watched.begin(*(invoke(shard) for shard in shards))
    for number, shard in enumerate(shards):
        watched.until(100.0 * (number + 1))
        watched.end(invoke(shard))
    watched.until(10_000.0)
    assert not watched.events


def test_a_call_that_never_reaches_the_handler_is_a_fault_after_thirty_seconds() -> None:
    watched = Watched()
    watched.begin(invoke("a"))
    watched.fail(invoke("a"), RuntimeError("no thread"))
    watched.until(29.0)
    watched.begin(invoke("a"))
    watched.until(35.0)
    assert watched.waiting().error is not None


# --- blocked -------------------------------------------------------------------------------------


def test_b6_an_error_that_waiting_cannot_cure_is_blocked_at_once_and_repeated_rarely() -> None:
    watched = Watched()
    watched.begin(fetch("a"))
    watched.fail(fetch("a"), WRONG, None)
    assert watched.events == [
        (
            0.0,
            Blocked(
                mapping=MAPPING,
                shards=(ShardId("a"),),
                operation=Operation.FETCH,
                cause="ValidationException",
                fix="check the locator",
                error=WRONG,
            ),
        )
    ]
    for seconds in range(300, 3600, 300):
        watched.until(seconds)
        watched.begin(fetch("a"))
        watched.fail(fetch("a"), WRONG, None)
    assert [seconds for seconds, _ in watched.events] == [0.0, 300.0, 900.0, 2100.0]
    watched.end(fetch("a"))
    assert watched.said(MovedAgain)[0][1].reported


def test_b6_forty_shards_that_are_refused_alike_are_two_lines() -> None:
    watched = Watched()
    for number in range(40):
        watched.until(number * 0.01)
        watched.begin(fetch(str(number)))
        watched.fail(fetch(str(number)), WRONG, None)
    watched.until(299.0)
    assert [len(event.shards) for _, event in watched.said(Blocked)] == [1, 40]
    assert not watched.said(Waiting)


def test_b6_another_error_is_another_event() -> None:
    watched = Watched()
    watched.begin(fetch("a"), fetch("b"))
    watched.fail(fetch("a"), WRONG, None)
    watched.fail(fetch("b"), ValueError("else"), None)
    assert [event.cause for _, event in watched.said(Blocked)] == ["ValidationException", "else"]
    assert watched.said(Blocked)[1][1].fix == "see the error"


def test_a_wait_that_turns_out_to_be_permanent_is_blocked() -> None:
    watched = Watched()
    watched.begin(fetch("a"))
    watched.until(40.0)
    watched.fail(fetch("a"), WRONG, None)
    assert [type(event) for _, event in watched.events] == [Waiting, Blocked]
    watched.until(299.0)
    assert len(watched.events) == 2, "a blocked subject gets no Waiting"


def test_b6_a_take_that_cannot_succeed_is_blocked_once() -> None:
    watched = Watched()
    free = Subject(None, ShardId("a"), cause=WaitCause.OWNER)
    watched.dog.observe({free: "it is free"}, at(0.0))
    for seconds in (0.0, 300.0):
        watched.until(seconds)
        watched.fail(Take(lease("a"), SessionId(ME)), WRONG, None)
    assert [seconds for seconds, _ in watched.said(Blocked)] == [0.0, 300.0]
    watched.dog.ended(free, at(300.0))
    assert watched.said(MovedAgain)[0][1].reported


# --- conditions ----------------------------------------------------------------------------------

PARENT = Subject(None, ShardId("child"), cause=WaitCause.PARENT)
ROWS = Subject(None, cause=WaitCause.LEASE_STORE)


def test_b4_a_condition_is_reported_while_it_lasts() -> None:
    watched = Watched()
    for seconds in range(0, 70, 5):
        watched.until(seconds)
        watched.dog.observe({PARENT: "its parent is not listed"}, at(seconds))
    assert [round(seconds) for seconds, _ in watched.said(Waiting)] == [32, 62]
    event = watched.said(Waiting)[0][1]
    assert (event.cause, event.shards, event.operation) == (
        WaitCause.PARENT,
        (ShardId("child"),),
        None,
    )
    assert event.detail == "its parent is not listed"
    watched.dog.observe({}, at(70.0))
    assert watched.said(MovedAgain)[0][1].reported


def test_b4_a_condition_that_passes_is_not_mentioned_and_begins_anew() -> None:
    watched = Watched()
    for start in range(0, 300, 30):
        watched.until(start)
        watched.dog.observe({PARENT: ""}, at(start))
        watched.until(start + 25)
        watched.dog.observe({}, at(start + 25.0))
    assert not watched.events


def test_a_take_or_create_that_fails_names_the_lease_store() -> None:
    watched = Watched()
    free = Subject(None, ShardId("a"), cause=WaitCause.OWNER)
    watched.dog.observe({free: "it is free", ROWS: "not created"}, at(0.0))
    locked = StateError("locked")
    watched.fail(Take(lease("a"), SessionId(ME)), locked)
    watched.fail(Create((lease("b"),)), locked)
    watched.until(35.0)
    assert watched.waiting().cause is WaitCause.LEASE_STORE
    assert watched.waiting().error is locked


# --- what ends -----------------------------------------------------------------------------------


def test_a_shard_that_is_let_go_is_forgotten() -> None:
    watched = Watched()
    watched.begin(fetch("a"), save("a"), invoke("a", lane=1), fetch("b"))
    watched.until(35.0)
    watched.dog.forget(ShardId("a"), at(watched.now_seconds), lanes=2)
    watched.until(400.0)
    assert all(event.shards == (ShardId("b"),) for _, event in watched.said(Waiting)[2:])
    watched.end(fetch("b"))
    watched.until(10_000.0)
    assert len(watched.said(MovedAgain)) == 1


def test_a_lost_lease_waits_for_its_calls_alone() -> None:
    watched = Watched()
    watched.begin(fetch("a"), invoke("a"))
    watched.dog.forget(ShardId("a"), at(watched.now_seconds))
    watched.until(310.0)
    assert watched.waiting().cause is WaitCause.HANDLER


def test_a_stop_waits_for_handlers_and_the_lease_store_alone() -> None:
    watched = Watched()
    watched.begin(fetch("a"), Survey(list_shards=True), save("a"), invoke("a"))
    watched.dog.observe({PARENT: ""}, at(0.0))
    watched.dog.narrow_to_stop(at(watched.now_seconds))
    watched.until(310.0)
    causes = {event.cause for _, event in watched.said(Waiting)}
    assert causes == {WaitCause.LEASE_STORE, WaitCause.HANDLER}


def test_nothing_watched_wakes_nobody() -> None:
    watched = Watched()
    assert watched.dog.wake_at_seconds == float("inf")
    watched.begin(fetch("a"))
    assert watched.dog.wake_at_seconds == 32.0
    watched.end(fetch("a"))
    assert watched.dog.wake_at_seconds == float("inf")


# --- several at once -------------------------------------------------------------------------------


def test_another_permanent_error_of_a_blocked_shard_is_said_at_once() -> None:
    watched = Watched()
    watched.begin(fetch("a"))
    watched.fail(fetch("a"), WRONG, None)
    watched.until(1000.0)
    other = StateError("the state belongs to another program", hint="name another file")
    watched.fail(fetch("a"), other, None)
    seconds, last = watched.said(Blocked)[-1]
    assert (seconds, last.error) == (1000.0, other)


def test_who_joins_a_blocked_group_later_is_said_within_seconds() -> None:
    watched = Watched()
    watched.begin(fetch("a"), fetch("b"))
    watched.fail(fetch("a"), WRONG, None)
    watched.until(1200.0)
    watched.fail(fetch("b"), WRONG, None)
    watched.until(1203.0)
    seconds, last = watched.said(Blocked)[-1]
    assert seconds == 1202.0
    assert last.shards == (ShardId("a"), ShardId("b"))


def test_a_throttle_of_one_blocked_shard_leaves_the_others_blocked() -> None:
    watched = Watched()
    for shard in "abc":
        watched.begin(fetch(shard))
        watched.fail(fetch(shard), WRONG, None)
    watched.until(10.0)
    watched.fail(fetch("a"), ThrottledError("slow down"), 1.0)
    watched.until(700.0)
    assert {event.shards for _, event in watched.said(Waiting)} == {(ShardId("a"),)}
    assert watched.said(Blocked)[-1][1].shards == (ShardId("b"), ShardId("c"))


def test_what_moved_is_said_when_the_rest_of_its_group_is_let_go() -> None:
    watched = Watched()
    watched.begin(fetch("a"), fetch("b"))
    watched.until(35.0)
    watched.end(fetch("a"))
    assert not watched.said(MovedAgain)
    watched.dog.forget(ShardId("b"), at(watched.now_seconds))
    ((_, moved),) = watched.said(MovedAgain)
    assert moved.shards == (ShardId("a"),)


def test_a_take_that_works_again_moves_under_the_name_it_failed_under() -> None:
    watched = Watched()
    free = Subject(None, ShardId("a"), cause=WaitCause.OWNER)
    watched.dog.observe({free: "it is free"}, at(0.0))
    watched.fail(Take(lease("a"), SessionId(ME)), StateError("locked"))
    watched.dog.observe({}, at(5.0))
    ((_, failed),) = watched.said(CallFailed)
    ((_, moved),) = watched.said(MovedAgain)
    assert failed.operation is moved.operation is Operation.TAKE


def test_the_time_in_which_the_process_stood_still_does_not_count() -> None:
    watched = Watched()
    watched.begin(fetch("a"))
    watched.until(1.0)
    watched.now_seconds = 41.0  # woken 40 s late: stopped, or asleep
    watched.dog.excuse(1.0, at(41.0))
    watched.dog.report_due(at(41.0))
    assert not watched.events
    watched.until(71.9)
    assert not watched.events
    watched.until(72.0)
    assert watched.waiting().waited_seconds == pytest.approx(32.0)


def test_a_wake_up_that_is_a_little_late_is_no_standstill() -> None:
    watched = Watched()
    watched.begin(fetch("a"))
    watched.dog.excuse(28.0, at(32.0))
    watched.now_seconds = 32.0
    watched.dog.report_due(at(32.0))
    assert watched.waiting().waited_seconds == pytest.approx(32.0)
