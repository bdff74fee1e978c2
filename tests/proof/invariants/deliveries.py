"""Calls and failure records: in order, by the tenure that holds the lease, and never discarded too early.

Checks I2, I6 to I9, I17 and the rules of batches (B) and failures (F) of lambda-contract.md against each call,
and that nothing new begins after a stop (S).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import assert_never

from proof.facts import CallEnding, Number, Truth, require
from proof.invariants.quotas import Quotas
from proof.invariants.rows import Rows
from proof.invariants.sessions import Sessions
from proof.invariants.tenures import Stay, Tenures
from proof.invariants.written import Written

from triggerkit.core.model import DiscardReason, Record, ShardId, Tenure
from triggerkit.core.options import MappingOptions


class Deliveries:
    """Every call, as it begins and as it ends."""

    def __init__(
        self,
        options: MappingOptions,
        written: Written,
        rows: Rows,
        tenures: Tenures,
        sessions: Sessions,
    ) -> None:
        self._options = options
        self._written = written
        self._rows = rows
        self._tenures = tenures
        self._sessions = sessions
        self._quotas = Quotas(options)
        self.never_twice = False
        self.most_unsaved = float("inf")
        """How many records may be done, or under way, and not saved: what a crash may repeat (I6)."""
        self.starts_at_pin = False
        """Whether nothing from before a start at LATEST may be delivered."""
        self.duplicates = 0
        self.calls = 0
        self._running: Counter[tuple[str, ShardId, Tenure]] = Counter()

    def call_decided(
        self,
        shard: ShardId,
        tenure: Tenure,
        records: Sequence[Record],
        service_seconds: float,
    ) -> None:
        """A worker decides to call its handler; the call may begin later, or never."""
        worker = self._sessions.acting(shard, tenure).worker
        numbers = [record.sequence_number for record in records]
        limit = self._options.maximum_record_age_in_seconds
        young = limit < 0 or all(service_seconds - each.at_seconds < limit for each in records)
        require(young, "F", f"{numbers}: some are too old to be called")
        require(worker not in self._sessions.expired, "S", f"{worker} calls behind its drain")
        stay = self._tenures.stays[shard, tenure]
        if worker in self._sessions.stopping:
            last = self._written.truth[numbers[-1]].index
            require(last < stay.farthest, "S", f"{worker} stops and calls {numbers} anew")
        behind = len(stay.unsaved) + len(records)
        require(behind <= self.most_unsaved, "I6", f"{shard}: {behind} records are not saved")

    def discard_decided(self, shard: ShardId, tenure: Tenure) -> None:
        """A worker decides to deliver a failure record."""
        self._sessions.acting(shard, tenure)

    def released(self, shard: ShardId, tenure: Tenure) -> None:
        """S: who stops waits for its own calls, until its time is over."""
        worker = self._sessions.beats[tenure.session].worker
        if worker in self._sessions.stopping - self._sessions.expired:
            runs = (worker, shard, tenure) in self._running
            require(not runs, "S", f"{worker} let {shard} go and still calls")

    def left(self, worker: str) -> None:
        """S: a worker that ends by itself in time has no call that still runs."""
        runs = [running[1:] for running in self._running if running[0] == worker]
        fine = not runs or worker in self._sessions.expired
        require(fine, "S", f"{worker} ended while it called {runs}")

    def call_started(self, shard: ShardId, tenure: Tenure, records: Sequence[Record]) -> None:
        """A call begins, on the worker of that tenure."""
        self.calls += 1
        beats = self._sessions.beats[tenure.session]
        worker = beats.worker
        require(beats.may_act, "I17", f"{shard}: {tenure} called past its deadline")
        held = self._tenures.held.get(shard)
        holds = held == tenure or (shard, tenure) in self._tenures.evicted
        require(holds, "I2", f"{shard}: {tenure} called, held is {held}")
        self._require_open(shard, tenure)
        require(0 < len(records) <= self._options.batch_size, "B1", "size of a batch")
        self._rows.require_parents_ended(shard)
        self._require_alone(worker, shard, tenure)
        self._running[worker, shard, tenure] += 1
        stay = self._tenures.stays[shard, tenure]
        numbers = [record.sequence_number for record in records]
        indexes = [self._written.truth[number].index for number in numbers]
        require(sorted(set(indexes)) == indexes, "I8", f"{shard}: {numbers} not in order")
        self._quotas.call_started(stay, records, beats.clock.monotonic_seconds)
        stay.reads_from = min(indexes if stay.reads_from is None else (stay.reads_from, *indexes))
        here: set[Number] = set()
        for record in records:
            self._record_started(record, shard, stay, here)
            here.add(record.sequence_number)
        keys = {record.key for record in records}
        require(not keys & stay.in_call, "I8", f"{shard}: two calls hold one key")
        stay.in_call |= keys

    def _require_open(self, shard: ShardId, tenure: Tenure) -> None:
        if (shard, tenure) not in self._tenures.evicted:
            ended = shard in self._rows.ended
            require(not ended, "I9", f"{shard} was finished and is read again")

    def _require_alone(self, worker: str, shard: ShardId, tenure: Tenure) -> None:
        """I8: no call of an earlier tenure runs in this process."""
        others = [
            running
            for running in self._running
            if running[:2] == (worker, shard) and running[2] != tenure
        ]
        require(not others, "I8", f"{shard}: {others} still runs in this process")

    def _record_started(
        self, record: Record, shard: ShardId, stay: Stay, here: Collection[Number]
    ) -> None:
        number = record.sequence_number
        truth = self._written.truth[number]
        require(truth.shard.id == shard, "I8", f"record {number} is not of {shard}")
        require(truth.index >= stay.behind, "I6", f"{number} is before the checkpoint")
        require(number not in stay.accounted, "I6", f"{number} again in one tenure")
        early = self.starts_at_pin and self._written.is_long_before_start(number)
        require(not early, "I18", f"{shard}: {number} is from before the start")
        if number in self._written.accounted:
            self.duplicates += 1
            require(not self.never_twice, "I6", f"{shard}: {number} again in a calm world")
        self._written.require_key_order(record, here)
        self._require_nothing_skipped(record.key, truth, stay, here)

    def _require_nothing_skipped(
        self, key: bytes, truth: Truth, stay: Stay, here: Collection[Number]
    ) -> None:
        """I8 within a tenure: what is delivered again is delivered in order, and nothing is skipped."""
        contiguous, done = True, stay.next_of_key.get(key, 0)
        for at, older in self._written.of_key_between(key, truth, done, stay.behind):
            settled = older in stay.accounted or self._written.is_excused(older)
            require(settled or older in here, "I8", f"{key!r}: a tenure skipped {older}")
            contiguous = contiguous and settled
            if contiguous:
                stay.next_of_key[key] = at

    def call_ended(
        self, shard: ShardId, tenure: Tenure, records: Sequence[Record], ending: CallEnding
    ) -> None:
        """A call came to its end, whatever its worker hears of it."""
        stay = self._tenures.stays[shard, tenure]
        stay.in_call -= {record.key for record in records}
        beats = self._sessions.beats[tenure.session]
        running = beats.worker, shard, tenure
        self._running[running] -= 1
        if not self._running[running]:
            del self._running[running]
        given_up = {records[index].sequence_number for index in ending.given_up}
        for index in ending.done:
            self._account(records[index], stay, given_up)
        self._quotas.call_ended(stay, records, ending, beats.clock.monotonic_seconds)
        stay.failures.update(records[index].sequence_number for index in ending.failed)
        stay.given_up |= given_up

    def _account(self, record: Record, stay: Stay, given_up: Collection[Number] = ()) -> None:
        self._written.account(record, given_up)
        stay.accounted.add(record.sequence_number)
        index = self._written.truth[record.sequence_number].index
        stay.farthest = max(stay.farthest, index)
        stay.unsaved.add(index)

    def discarded(
        self,
        shard: ShardId,
        tenure: Tenure,
        records: Sequence[Record],
        reason: DiscardReason,
        service_seconds: float,
        calls: int | None = None,
    ) -> None:
        """A failure record was delivered, which tells so many calls."""
        stay, options = self._tenures.stays[shard, tenure], self._options
        numbers = [record.sequence_number for record in records]
        match reason:
            case DiscardReason.RETRY_ATTEMPTS_EXHAUSTED:
                least = options.maximum_retry_attempts + 1
                tried = [stay.failures[number] for number in numbers]
                told = f"{numbers} given up after {tried} calls"
                require(least > 0 and all(count >= least for count in tried), "F", told)
            case DiscardReason.RECORD_AGE_EXCEEDED:
                limit = options.maximum_record_age_in_seconds
                old = limit >= 0 and all(service_seconds - r.at_seconds >= limit for r in records)
                require(old, "F", f"{numbers} given up for an age that they have not")
            case DiscardReason.DISCARDED_BY_HANDLER:
                fine = all(number in stay.given_up for number in numbers)
                require(fine, "F", f"{numbers}: no handler gave them up")
            case DiscardReason.INVALID_RECORD:
                fine = options.discards_invalid and all(stay.failures[each] for each in numbers)
                require(fine, "F", f"{numbers}: given up as invalid")
            case _:
                assert_never(reason)
        self._quotas.given_up(stay, numbers, reason, calls)
        for record in records:
            self._account(record, stay)
