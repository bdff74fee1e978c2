"""Which events are worth a line, and what the line says."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from triggerkit.core import events
from triggerkit.core.model import Gap, SessionId, ShardId, Tenure
from triggerkit.errors import EndpointUnreachableError
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.event_log import EventLog
from triggerkit.runtime.logs import LogSettings, configure_logging

ORDERS = events.MappingId("notify", "dynamodb/orders")
TENURE = Tenure(SessionId("me"), 1)
SHARDS = [ShardId(f"s:shard-{number}") for number in range(40)]
DEAD = EndpointUnreachableError("no answer", hint="start it")


@contextmanager
def written() -> Iterator[list[dict[str, Any]]]:
    entries: list[dict[str, Any]] = []
    stream = io.StringIO()
    restore = configure_logging(LogSettings("json", "info"), stream)
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
