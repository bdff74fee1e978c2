"""Handlers and the on-failure destination. A call that has started continues, whatever its worker learns.

A frozen worker's calls are frozen with it; a crashed worker's calls are never answered.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, assert_never

from proof.facts import CallEnding

from triggerkit.core.decisions import Cancel, Discard, Invoke
from triggerkit.core.model import Batch, LastFailure, ShardId
from triggerkit.core.outcome import (
    Failed,
    GivenUp,
    NotInvoked,
    Outcome,
    PartlyFailed,
    RecordFailure,
    RecordsEnded,
    Succeeded,
)
from triggerkit.core.reports import Cancelled, Discarded, Invoked, NotNow

if TYPE_CHECKING:
    from simulation.worker import SimWorker

FAILURE = LastFailure("request-1", "ValueError", "no")


class Calls:
    """All calls of one worker."""

    def __init__(self, worker: SimWorker) -> None:
        self._worker = worker
        self._running: dict[Hashable, tuple[ShardId, Callable[[Outcome], None]]] = {}

    def invoke(self, decision: Invoke, key: Hashable) -> None:
        worker, shard, tenure = self._worker, decision.lease.shard, decision.tenure
        batch = decision.batch

        def answer(outcome: Outcome) -> None:
            report = Invoked(decision, outcome)
            late = worker.rng.choice((1.0, 3.0)) if self._happens("answer_late") else 0.0
            worker.after(worker.world.lag() + late, lambda: worker.answer(key, report))

        def start() -> None:
            if worker.clock.monotonic_seconds >= decision.deadline_seconds:
                answer(NotInvoked("past the lease's deadline", 0.0))
                return
            worker.world.checker.call_started(shard, tenure, batch.records)
            self._running[key] = shard, end
            worker.after(self._seconds(), lambda: end(self._outcome(batch)))

        def end(outcome: Outcome) -> None:
            if self._running.pop(key, None) is not None:
                ending = _ending(batch, outcome)
                worker.world.checker.call_ended(shard, tenure, batch.records, ending)
                answer(self._told(outcome))

        service = worker.world.schedule.service_seconds
        worker.world.checker.call_decided(shard, tenure, batch.records, service)
        worker.after(worker.rng.choice((0.0, 0.0, 0.05)), start)

    def cancel(self, decision: Cancel) -> None:
        """An async handler ends, a sync one goes on."""
        worker, shard = self._worker, decision.lease.shard
        if worker.rng.random() < 0.5:
            for held, end in [*self._running.values()]:
                if held == shard:
                    end(Failed(FAILURE))
        cancelled = Cancelled(decision)
        worker.after(worker.world.lag(), lambda: worker.tell(cancelled))

    def discard(self, decision: Discard, key: Hashable) -> None:
        worker, shard, tenure = self._worker, decision.lease.shard, decision.tenure
        batch, reason = decision.batch, decision.reason
        odds = worker.world.odds
        worker.world.checker.discard_decided(shard, tenure)
        is_down = self._happens("destination_down") or worker.world.is_within("outage")
        # a failure record whose answer was lost comes twice, and its records may be tried again
        answer_lost = not worker.world.plan.calm and worker.rng.random() < odds.answer_lost

        def send() -> None:
            report = NotNow(decision, 1.0, ConnectionError("the destination is down"))
            if not is_down:
                service = worker.world.schedule.service_seconds
                checker, calls = worker.world.checker, batch.attempts
                checker.discarded(shard, tenure, batch.records, reason, service, calls)
                if not answer_lost:
                    worker.after(
                        worker.world.lag(),
                        lambda: worker.answer(key, Discarded(decision)),
                    )
                    return
            worker.after(worker.world.lag(), lambda: worker.answer(key, report))

        worker.after(worker.world.lag(), send)

    def _told(self, outcome: Outcome) -> Outcome:
        """What the machine hears of how a call ended: the truth."""
        return outcome

    def _happens(self, what: str) -> bool:
        chance: float = getattr(self._worker.world.odds, what)
        return self._worker.rng.random() < chance

    def _seconds(self) -> float:
        rng, odds = self._worker.rng, self._worker.world.odds
        if rng.random() < odds.call_long:
            return rng.choice((3.0, 8.0, 20.0))
        return rng.choice((0.0, 0.02, 0.1, 0.3))

    def _outcome(self, batch: Batch) -> Outcome:
        rng, odds, world = self._worker.rng, self._worker.world.odds, self._worker.world
        if rng.random() < odds.call_throttled:
            return NotInvoked("too many calls", rng.choice((None, 0.2)))
        if rng.random() < odds.call_fails:
            return Failed(FAILURE, rng.choice((None, None, 0.3)))
        if world.plan.one_by_one:
            return self._one_by_one(batch)
        partial = world.plan.options.report_batch_item_failures
        numbers = [record.sequence_number for record in batch.records]
        bad = [index for index, number in enumerate(numbers) if number in world.poison]
        if bad and rng.random() < odds.call_gives_up * 5:
            return GivenUp(FAILURE)
        if bad:
            return PartlyFailed(bad[0], FAILURE) if partial else Failed(FAILURE)
        if rng.random() < odds.call_gives_up:
            return GivenUp(FAILURE)
        if partial and rng.random() < odds.call_partly:
            return PartlyFailed(rng.randrange(len(batch)), FAILURE)
        return Succeeded()

    def _one_by_one(self, batch: Batch) -> Outcome:
        """Each record for itself; behind one that failed, its key is not tried."""
        rng, odds, poison = self._worker.rng, self._worker.world.odds, self._worker.world.poison
        done: list[int] = []
        failed: list[RecordFailure] = []
        discarded: list[RecordFailure] = []
        stuck: set[bytes] = set()
        for index, record in enumerate(batch.records):
            if record.key in stuck:
                continue
            if record.sequence_number in poison or rng.random() < odds.call_partly:
                stuck.add(record.key)
                is_given_up = rng.random() < odds.call_gives_up * 5
                failure = RecordFailure(index, FAILURE, rng.choice((None, None, 0.3)))
                (discarded if is_given_up else failed).append(failure)
            else:
                done.append(index)
        return RecordsEnded(tuple(done), tuple(failed), tuple(discarded))


def _ending(batch: Batch, outcome: Outcome) -> CallEnding:
    every = range(len(batch))
    match outcome:
        case Succeeded():
            return CallEnding(done=every)
        case PartlyFailed(index=index):
            return CallEnding(done=every[:index], failed=every[index:], one_by_one=False)
        case Failed(retry_after_seconds=wait):
            return CallEnding(failed=every, one_by_one=False, wait_seconds=wait or 0.0)
        case NotInvoked(wait_seconds=wait):
            return CallEnding(wait_seconds=wait or 0.0)
        case GivenUp():
            return CallEnding(failed=every, given_up=every)
        case RecordsEnded(done=done, failed=failed, discarded=discarded):
            given_up = [each.index for each in discarded]
            bad = [each.index for each in failed] + given_up
            wait = min((each.retry_after_seconds or 0.0 for each in failed), default=0.0)
            return CallEnding(done, bad, given_up, one_by_one=True, wait_seconds=wait)
        case _:
            assert_never(outcome)
