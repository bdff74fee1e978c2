"""A drain catches up: what one lane did beyond the others is not done again by the next owner."""

from __future__ import annotations

from typing import Any

from core.builders import (
    PREFIX,
    NoLuckError,
    asked,
    at,
    called,
    lease,
    numbers,
    options,
    record,
    refused,
    tenure,
)

from triggerkit.core.batches import lane_of
from triggerkit.core.consumer import ConsumerSettings, ShardConsumer
from triggerkit.core.decisions import (
    Decision,
    Discard,
    Fetch,
    Invoke,
    Release,
)
from triggerkit.core.model import Batch, LastFailure, Page, Record, ShardId, StopReason
from triggerkit.core.outcome import Failed, Outcome, Succeeded
from triggerkit.core.reports import Fetched, Invoked, NotNow
from triggerkit.sources.dynamodb.service import TRAITS

SHARD, TENURE = ShardId("a"), tenure()
RAISED = Failed(LastFailure("id", "ValueError", "no"))
LANES = 4  # with a batch size of 1 the fast lane may be three records ahead
SLOW, FAST = (
    next(k for k in (b"a", b"b", b"c", b"d", b"e", b"f") if lane_of(k, LANES) == lane)
    for lane in (0, 1)
)


class Bench:
    """A consumer with two lanes in use: records 0, 1 and 4 go to the slow one, 2, 3 and 5 to the fast one."""

    def __init__(self, batch_size: int = 1, retries: int = -1) -> None:
        given = options(
            parallelization_factor=LANES, batch_size=batch_size, maximum_retry_attempts=retries
        )
        settings = ConsumerSettings(PREFIX, given, 0.0, TRAITS)
        self.consumer = ShardConsumer(lease("a", owner="me", counter=1), TENURE, settings)
        self.seconds = 0.0
        self.consumer.derive(at(0.0), 1000.0)
        keys = (SLOW, SLOW, FAST, FAST, SLOW, FAST)
        page = Page(tuple(record(number, key=key) for number, key in enumerate(keys)))
        started = self.hear(Fetched(asked(Fetch), page))
        self.slow, self.fast = (d.batch for d in started if isinstance(d, Invoke))

    def hear(self, report: Fetched | Invoked | NotNow) -> list[Decision]:
        decisions: list[Decision] = []
        if isinstance(report, NotNow):
            made: Any = report.decision
            wait_seconds = report.wait_seconds or 0.0
            self.consumer.absorb_not_now(made, wait_seconds, report.error, at(self.seconds))
        else:
            decisions = self.consumer.absorb(report, at(self.seconds))
        return decisions + self.consumer.derive(at(self.seconds), 1000.0)

    def ended(self, batch: Batch, outcome: Outcome | None = None) -> list[Decision]:
        return self.hear(Invoked(called(batch), outcome or Succeeded()))

    def stop(self) -> list[Decision]:
        self.consumer.ask_to_stop(StopReason.REQUESTED)
        return self.consumer.derive(at(self.seconds), 1000.0)


def test_a_lane_that_is_behind_catches_up_before_the_release() -> None:
    bench = Bench()
    (next_fast,) = (d for d in bench.ended(bench.fast) if isinstance(d, Invoke))
    assert (numbers(bench.slow), numbers(next_fast.batch)) == ([0], [3])
    assert bench.stop() == []
    assert bench.ended(next_fast.batch) == []
    (invoke,) = bench.ended(bench.slow)
    assert isinstance(invoke, Invoke)
    assert numbers(invoke.batch) == [1]
    (release,) = bench.ended(invoke.batch)
    assert isinstance(release, Release)
    assert release.position.sequence_number == "3"


def test_it_catches_up_with_no_more_than_the_others_did() -> None:
    bench = Bench(batch_size=2)
    assert (numbers(bench.slow), numbers(bench.fast)) == ([0, 1], [2, 3])
    bench.stop()
    assert bench.ended(bench.fast) == []
    (release,) = bench.ended(bench.slow)
    assert isinstance(release, Release), "4 and 5 were begun by nobody"


def test_it_catches_up_batch_by_batch() -> None:
    bench = Bench()
    fast = bench.fast
    for _ in range(2):
        (invoke,) = (d for d in bench.ended(fast) if isinstance(d, Invoke))
        fast = invoke.batch
    bench.stop()
    bench.ended(fast)
    done: list[int] = []
    decisions = bench.ended(bench.slow)
    while isinstance(decisions[0], Invoke):
        done += numbers(decisions[0].batch)
        decisions = bench.ended(decisions[0].batch)
    assert done == [1, 4]
    assert isinstance(decisions[0], Release)
    assert decisions[0].position.sequence_number == "5"


def test_a_retry_is_not_waited_for() -> None:
    bench = Bench()
    bench.ended(bench.fast)
    bench.stop()
    bench.ended(bench.slow, RAISED)
    (release,) = bench.ended(Batch(1, (_record(3, FAST),), (3,)))
    assert isinstance(release, Release)
    assert release.position.sequence_number == ""


def test_a_failure_record_that_cannot_be_delivered_is_not_waited_for() -> None:
    bench = Bench(retries=0)
    bench.stop()
    (discard,) = bench.ended(bench.slow, RAISED)
    assert isinstance(discard, Discard)
    assert bench.ended(bench.fast) == []
    failed = NotNow(discard, 5.0, NoLuckError())
    assert isinstance(bench.hear(failed)[0], Release)


def test_nothing_starts_once_a_release_was_asked_for() -> None:
    """Its answer may be lost and the shard already be another's (simulation seed 121)."""
    bench = Bench()
    bench.ended(bench.slow, RAISED)
    (next_fast,) = (d for d in bench.ended(bench.fast) if isinstance(d, Invoke))
    bench.stop()
    (release,) = bench.ended(next_fast.batch)
    assert isinstance(release, Release)
    bench.seconds = 100.0
    (again,) = bench.hear(refused(Release, SHARD, TENURE, 0.0))
    assert again == release


def _record(number: int, key: bytes) -> Record:
    return record(number, key=key)
