"""Which events are worth a line, and what the line says."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from triggerkit.core import events
from triggerkit.core.model import (
    TRIM_HORIZON,
    Batch,
    DiscardReason,
    Gap,
    LastFailure,
    SessionId,
    ShardId,
    Tenure,
)
from triggerkit.core.outcome import Failed, PartlyFailed, Succeeded
from triggerkit.errors import EndpointUnreachableError
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.event_log import EventLog
from triggerkit.runtime.logs import LogLevel, LogSettings, configure_logging, is_shown

ORDERS = events.MappingId("notify", "dynamodb/orders")
TENURE = Tenure(SessionId("me"), 1)
SHARDS = [ShardId(f"s:shard-{number}") for number in range(40)]
DEAD = EndpointUnreachableError("no answer", hint="start it")


@contextmanager
def written(level: LogLevel = "info") -> Iterator[list[dict[str, Any]]]:
    entries: list[dict[str, Any]] = []
    stream = io.StringIO()
    restore = configure_logging(LogSettings("json", level), stream)
    try:
        yield entries
    finally:
        restore()
        entries += [json.loads(line) for line in stream.getvalue().splitlines()]


def failed(shard: ShardId) -> events.CallFailed:
    return events.CallFailed(ORDERS, events.Operation.FETCH, shard, 0.25, DEAD)


def moved(shard: ShardId) -> events.MovedAgain:
    return events.MovedAgain(ORDERS, (shard,), events.Operation.FETCH, 12.0, reported=False)


def test_forty_shards_on_a_dead_endpoint_are_one_line_and_their_return_another() -> None:
    with written() as entries:
        observe = EventLog(SystemClock(lambda: 5.0))
        for _ in range(2):
            for shard in SHARDS:
                observe(failed(shard))
        for shard in SHARDS:
            observe(moved(shard))
    down, up = entries
    assert (down["event"], down["operation"], down["shard"]) == ("will_retry", "Fetch", "shard-0")
    assert (down["error_type"], down["hint"]) == ("endpoint_unreachable", "start it")
    assert (up["event"], up["operation"], up["shards"]) == ("recovered", "Fetch", 40)
    assert down["message"] == "cannot read shard shard-0; tries again"
    assert up["message"] == "can read 40 shards again, after 12 s"


def test_a_shard_that_was_given_up_does_not_keep_the_others_from_having_recovered() -> None:
    with written() as entries:
        observe = EventLog(SystemClock(lambda: 5.0))
        for shard in SHARDS[:2]:
            observe(failed(shard))
        observe(events.ShardReleased(ORDERS, SHARDS[0], TENURE))
        observe(moved(SHARDS[1]))
    assert [entry["event"] for entry in entries] == ["will_retry", "lease_released", "recovered"]


def test_a5_a_gap_is_an_error_with_both_of_its_ends() -> None:
    with written() as entries:
        observe = EventLog(SystemClock(lambda: 5.0))
        observe(events.GapFound(ORDERS, SHARDS[0], TENURE, Gap("5", "9", 100.0, 160.0), "trimmed"))
        observe(events.GapFound(ORDERS, SHARDS[0], TENURE, Gap("9", "", 160.0, 0.0), "gone"))
    first, last = entries
    assert (first["level"], first["event"], first["gap_seconds"]) == ("error", "records_lost", 60.0)
    assert (first["last_sequence_number"], first["first_sequence_number"]) == ("5", "9")
    assert (last["last_sequence_number"], last["first_sequence_number"]) == ("9", "SHARD_END")
    assert last["gap_seconds"] is None


def test_a_session_that_was_lost_is_a_warning() -> None:
    with written() as entries:
        EventLog(SystemClock(lambda: 5.0))(
            events.SessionLost(SessionId("me"), SessionId("me again"))
        )
    (entry,) = entries
    assert (entry["level"], entry["session"], entry["fresh_session"]) == (
        "warning",
        "me",
        "me again",
    )


def waiting(
    cause: events.WaitCause, shards: list[ShardId], *, expected: bool = False
) -> events.Waiting:
    return events.Waiting(
        mapping=ORDERS,
        shards=tuple(shards),
        operation=events.Operation.FETCH,
        cause=cause,
        since_seconds=1_700_000_000.0,
        waited_seconds=32.0,
        detail="8 times in a row: no answer",
        ends_when="the call succeeds",
        error=DEAD,
        expected=expected,
    )


def test_b_a_stall_of_forty_shards_is_one_warning_that_says_why_and_what_ends_it() -> None:
    with written() as entries:
        EventLog(SystemClock(lambda: 5.0))(waiting(events.WaitCause.ERROR, SHARDS))
    (entry,) = entries
    assert (entry["level"], entry["event"], entry["shards"]) == ("warning", "waiting", 40)
    assert entry["cause"] == "a call that keeps failing"
    assert entry["ends_when"] == "the call succeeds"
    assert entry["error_message"] == "8 times in a row: no answer"
    assert (entry["error_type"], entry["hint"]) == ("endpoint_unreachable", "start it")
    assert entry["message"] == (
        "40 shards have not moved for 32 s: waits for a call that keeps failing;"
        " goes on when the call succeeds"
    )


def test_b9_a_handler_that_may_take_its_time_is_information() -> None:
    handler = events.WaitCause.HANDLER
    with written() as entries:
        observe = EventLog(SystemClock(lambda: 5.0))
        observe(waiting(handler, SHARDS[:1], expected=True))
        observe(waiting(handler, SHARDS[:1]))
    assert [entry["level"] for entry in entries] == ["info", "warning"]
    assert entries[0]["shard"] == "shard-0"
    assert entries[0]["message"].startswith("shard shard-0 has not moved for 32 s: waits for ")


def test_b6_what_is_blocked_is_an_error_with_its_fix() -> None:
    with written() as entries:
        observe = EventLog(SystemClock(lambda: 5.0))
        fetch = events.Operation.FETCH
        observe(events.Blocked(ORDERS, tuple(SHARDS), fetch, "no answer", "start it", DEAD))
        observe(events.MovedAgain(ORDERS, tuple(SHARDS), fetch, 300.0, reported=True))
    blocked, up = entries
    assert (blocked["level"], blocked["event"], blocked["shards"]) == ("error", "blocked", 40)
    assert (blocked["error_message"], blocked["hint"]) == ("no answer", "start it")
    assert (up["level"], up["event"], up["shards"]) == ("info", "recovered", 40)
    assert blocked["message"] == (
        "cannot read 40 shards: blocked until somebody acts, tried again meanwhile"
    )


@pytest.mark.parametrize(
    ("operation", "shards", "said"),
    [
        (events.Operation.DISCARD, 1, "cannot send a failure record of shard shard-0: blocked"),
        (events.Operation.INVOKE, 0, "cannot call the handler: blocked"),
        (events.Operation.SAVE, 2, "cannot save the position of 2 shards: blocked"),
        (events.Operation.SURVEY, 0, "cannot list shards and leases: blocked"),
    ],
)
def test_what_is_blocked_is_a_sentence_with_and_without_shards(
    operation: events.Operation, shards: int, said: str
) -> None:
    with written() as entries:
        observe = EventLog(SystemClock(lambda: 5.0))
        observe(events.Blocked(ORDERS, tuple(SHARDS[:shards]), operation, "no", "repair it", DEAD))
    assert entries[0]["message"].startswith(said)


def test_what_moves_again_without_a_call_is_named_as_far_as_it_is_known() -> None:
    with written() as entries:
        observe = EventLog(SystemClock(lambda: 5.0))
        for shards in ((), SHARDS[:1], SHARDS):
            observe(events.MovedAgain(ORDERS, tuple(shards), None, 70.0, reported=True))
    assert [entry["message"] for entry in entries] == [
        "moved again, after 70 s",
        "shard shard-0 moved again, after 70 s",
        "40 shards moved again, after 70 s",
    ]


def of_batch(records: int) -> dict[str, Any]:
    """What events about a batch have in common."""
    return {
        "mapping": ORDERS,
        "shard": SHARDS[0],
        "tenure": TENURE,
        "records": records,
        "first_sequence_number": "1",
        "last_sequence_number": str(records),
        "batch": Batch(0, (), ()),
    }


def test_a_failed_batch_says_how_far_it_came_and_why() -> None:
    failure = LastFailure("r1", "ValueError", "no")
    outcomes = [PartlyFailed(7, LastFailure("r2", "", "3 reported")), Failed(failure)]
    times = {"attempt": 1, "duration_seconds": 0.1, "iterator_age_seconds": 3.0}
    with written() as entries:
        observe = EventLog(SystemClock(lambda: 5.0))
        for outcome in outcomes:
            observe(events.BatchFailed(**of_batch(10), **times, outcome=outcome))
    part, whole = entries
    assert part["message"] == "7 of 10 records done, lag 3 s, shard shard-0"
    assert (part["done"], part["error_message"], part["request_id"]) == (7, "3 reported", "r2")
    assert whole["message"] == "10 records not done, lag 3 s, shard shard-0"
    assert (whole["error_type"], whole["error_message"]) == ("ValueError", "no")


def test_what_is_given_up_comes_with_the_command_that_shows_it() -> None:
    with written() as entries:
        observe = EventLog(SystemClock(lambda: 5.0), {"notify": lambda request: f"show {request}"})
        reason = DiscardReason.RETRY_ATTEMPTS_EXHAUSTED
        observe(
            events.RecordsDiscarded(**of_batch(1), condition=reason, attempts=2, request_id="r2")
        )
    (entry,) = entries
    assert entry["message"] == "gave up 1 record after 2 attempts: RetryAttemptsExhausted"
    assert entry["show"] == "show r2"


@pytest.mark.parametrize(
    ("level", "names"),
    [
        ("debug", ["batch_invoked", "batch_done", "checkpoint_saved"]),
        ("info", ["batch_done"]),
        ("warning", []),
    ],
)
def test_what_happens_for_every_batch_is_written_from_its_level_on(
    level: LogLevel, names: list[str]
) -> None:
    times = {"attempt": 1, "duration_seconds": 0.1, "iterator_age_seconds": 3.0}
    with written(level) as entries:
        observe = EventLog(SystemClock(lambda: 5.0))
        observe(events.BatchStarted(**of_batch(1), attempt=1))
        observe(events.BatchDone(**of_batch(1), **times, outcome=Succeeded()))
        observe(events.CheckpointSaved(ORDERS, SHARDS[0], TENURE, TRIM_HORIZON))
    assert [entry["event"] for entry in entries] == names


def test_a_terminal_gets_the_begin_of_a_batch_whatever_its_level() -> None:
    restore = configure_logging(LogSettings("pretty", "info"), io.StringIO())
    try:
        assert is_shown("batch_invoked", "debug")
        assert not is_shown("checkpoint_saved", "debug")
    finally:
        restore()
