"""What must hold in every world. Rule: it knows the stream, the writes and the calls, never the machines.

Both simulations are held by it: that of the core alone (`tests/simulation`) and that of whole workers (`harness`).

The numbers are the invariants of the lease protocol: I1 one writer's chain, I2 fencing, I3 monotone
checkpoints, I4 a checkpoint tells the truth, I5 at least once, I6 bounded duplicates, I7 parent first, I8 order
of a key, I9 no replay of a finished shard, I10 no orphan, I11 no early delete, I14 an ambiguous write never costs
a lease, I17 nothing starts past the deadline, I18 LATEST skips nothing behind its pin.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from triggerkit.core.model import (
    DiscardReason,
    Lease,
    Position,
    PositionKind,
    Record,
    Session,
    SessionId,
    ShardId,
    Tenure,
)
from triggerkit.core.options import MappingOptions
from triggerkit.testing.truth import (
    Beats,
    CallEnding,
    Number,
    TrueShard,
    TrueStream,
    Truth,
    Violation,
    WorkerTime,
    Write,
)


@dataclass(slots=True)
class Stay:
    """One tenure of a shard, as the calls show it."""

    behind: int
    """Index of the first record that the row's checkpoint had not passed at the take."""
    accounted: set[Number] = field(default_factory=set)
    failures: Counter[Number] = field(default_factory=Counter)
    given_up: set[Number] = field(default_factory=set)
    in_call: set[bytes] = field(default_factory=set)
    next_of_key: dict[bytes, int] = field(default_factory=dict)


class Checker:
    """Told of everything that happens outside the machines."""

    def __init__(
        self, stream: TrueStream, start: Position, options: MappingOptions, *, never_twice: bool
    ) -> None:
        self._stream = stream
        self._start = start
        self._options = options
        self.never_twice = never_twice
        self.truth: dict[Number, Truth] = {}
        self.accounted: set[Number] = set()
        self.trimmed: set[Number] = set()
        self.duplicates = 0
        self.calls = 0
        self._of_key: dict[bytes, list[Number]] = defaultdict(list)
        self._in_key: dict[Number, int] = {}
        self._key_done: Counter[bytes] = Counter()
        self._of_shard_key: dict[tuple[ShardId, bytes], list[int]] = defaultdict(list)
        self._rows: dict[ShardId, Lease] = {}
        self._ended: set[ShardId] = set()
        self._from_latest: set[ShardId] = set()
        self._proved: Counter[ShardId] = Counter()  # records whose accounting a checkpoint proved
        self._tenures: dict[ShardId, Tenure] = {}
        self._stays: dict[tuple[ShardId, Tenure], Stay] = {}
        self._pins: dict[ShardId, float] = {}
        self.beats: dict[SessionId, Beats] = {}
        self._running: Counter[tuple[str, ShardId, Tenure]] = Counter()

    # --- the stream -------------------------------------------------------------------------------

    def put(self, record: Record, shard: TrueShard, created_seconds: float) -> None:
        """A record was written."""
        number = record.sequence_number
        index = len(shard.records) - 1
        self.truth[number] = Truth(shard, index, created_seconds, record)
        self._in_key[number] = len(self._of_key[record.key])
        self._of_key[record.key].append(number)
        self._of_shard_key[shard.id, record.key].append(index)

    def lost(self, records: Sequence[Record]) -> None:
        """Retention took these records."""
        self.trimmed.update(record.sequence_number for record in records)

    def is_excused(self, number: Number) -> bool:
        """Whether this record need not reach the handler: trimmed, or before the start."""
        if number in self.trimmed:
            return True
        truth = self.truth[number]
        match self._start.kind:
            case PositionKind.AT_TIMESTAMP:
                return truth.record.at_seconds < self._start.at_seconds
            case PositionKind.LATEST:
                shard = truth.shard.id
                if shard in self._rows:
                    return truth.created_seconds < self._pins.get(shard, float("-inf"))
                # a shard that the start rule left out: its end came before any pin
                return truth.created_seconds < min(self._pins.values(), default=float("inf"))
            case _:
                return False

    def _is_settled(self, number: Number) -> bool:
        return number in self.accounted or self.is_excused(number)

    # --- the lease table --------------------------------------------------------------------------

    def wrote(self, write: Write) -> None:
        """A write was applied."""
        before, after = write.before, write.after
        if after is None:
            assert before is not None
            self._deleted(before)
            return
        shard = after.shard
        known = self._rows.get(shard)
        self._require(known == before, "I1", f"{shard}: the row changed without a write")
        if before is None:
            if after.checkpoint.kind is PositionKind.LATEST:
                self._from_latest.add(shard)
            self._require(shard not in self._ended, "I9", f"{shard}: a finished shard came back")
        else:
            chained = after.counter == before.counter + 1
            self._require(chained, "I1", f"{shard}: counter {before.counter} -> {after.counter}")
            owned = after.checkpoint == before.checkpoint or write.by == before.owner
            self._require(owned, "I2", f"{shard}: {write.by} moved {before.owner}'s checkpoint")
            forward = self._rank(shard, after.checkpoint) >= self._rank(shard, before.checkpoint)
            told = f"{shard}: {before.checkpoint} -> {after.checkpoint}"
            self._require(forward, "I3", told)
        self._rows[shard] = after
        if after.checkpoint.kind is PositionKind.LATEST:
            moved = before is not None and after.checkpoint != before.checkpoint
            first = before is not None and before.counter == 1
            self._require(not moved or first, "I18", f"{shard}: a later reader moved the pin")
            self._pins[shard] = after.checkpoint.at_seconds
        self._prove(shard, after.checkpoint)
        self._follow_tenure(write, after)

    def _follow_tenure(self, write: Write, after: Lease) -> None:
        if after.owner is None:
            self._tenures.pop(after.shard, None)
        elif write.verb == "take" or write.before is None:
            tenure = Tenure(after.owner, after.counter)
            self._tenures[after.shard] = tenure
            self._stays[after.shard, tenure] = Stay(self._index_behind(after))

    def _index_behind(self, lease: Lease) -> int:
        if lease.checkpoint.kind is PositionKind.AFTER:
            return self.truth[lease.checkpoint.sequence_number].index + 1
        return 0

    def _rank(self, shard: ShardId, position: Position) -> tuple[int, float]:
        match position.kind:
            case PositionKind.SHARD_END:
                return (3, 0.0)
            case PositionKind.AFTER:
                truth = self.truth[position.sequence_number]
                self._require(truth.shard.id == shard, "I4", f"{shard}: a checkpoint of another")
                return (2, truth.index)
            case PositionKind.LATEST | PositionKind.AT_TIMESTAMP:
                return (1, position.at_seconds)
            case PositionKind.TRIM_HORIZON:
                return (1, 0.0)

    def _prove(self, shard: ShardId, checkpoint: Position) -> None:
        """I4: nothing before the checkpoint is outstanding."""
        real = self._stream.shards[shard]
        if checkpoint.kind is PositionKind.SHARD_END:
            self._require(real.closed, "I4", f"{shard} is open and was finished")
            self._ended.add(shard)
            stop = len(real.records)
        elif checkpoint.kind is PositionKind.AFTER:
            stop = self.truth[checkpoint.sequence_number].index + 1
        else:
            return
        for index in range(self._proved[shard], stop):
            number = real.records[index].sequence_number
            told = f"{shard}: checkpoint {checkpoint} passed record {number}"
            self._require(self._is_settled(number), "I4", told)
        self._proved[shard] = max(self._proved[shard], stop)

    def _deleted(self, row: Lease) -> None:
        """I11: only a finished row that is listed no more, and whose children have started."""
        real = self._stream.shards[row.shard]
        self._require(row.finished, "I11", f"{row.shard} was deleted and is not finished")
        self._require(not self._stream.is_listed(row.shard), "I11", f"{row.shard} is still listed")
        for child in real.children:
            known = self._rows.get(child)
            started = known is not None and self._rank(child, known.checkpoint)[0] >= 2
            gone = known is None and (child in self._ended or self._stream.shards[child].gone)
            self._require(started or gone, "I11", f"{row.shard} was deleted before {child} began")
        del self._rows[row.shard]

    def lost_lease(self, shard: ShardId, tenure: Tenure) -> None:
        """A worker was told that its lease is lost."""
        self._require(
            self._tenures.get(shard) != tenure, "I14", f"{shard}: {tenure} was lost to nobody"
        )

    # --- sessions ---------------------------------------------------------------------------------

    def joined(self, session: SessionId, worker: str, clock: WorkerTime) -> None:
        """A worker began a session."""
        self.beats[session] = Beats(worker, clock)

    def beaten(self, session: SessionId, sent_seconds: float) -> None:
        """A worker knows that its beat was confirmed."""
        self.beats[session].sent_seconds = sent_seconds

    def died(self, session: SessionId) -> None:
        """The worker of a session ended or crashed."""
        self.beats[session].lives = False

    def buried(self, session: Session) -> None:
        """A session was declared dead."""
        beats = self.beats[session.id]
        told = f"{session.id} was buried while it might act"
        self._require(not (beats.lives and beats.may_act), "I17", told)

    # --- calls and failure records ----------------------------------------------------------------

    def call_started(self, shard: ShardId, tenure: Tenure, records: Sequence[Record]) -> None:
        """A call begins, on the worker of that tenure."""
        self.calls += 1
        beats = self.beats[tenure.session]
        self._require(beats.may_act, "I17", f"{shard}: {tenure} called past its deadline")
        self._require(
            self._tenures.get(shard) == tenure,
            "I2",
            f"{shard}: {tenure} called, held is {self._tenures.get(shard)}",
        )
        self._require(shard not in self._ended, "I9", f"{shard} was finished and is read again")
        self._require(0 < len(records) <= self._options.batch_size, "B1", "size of a batch")
        self._parents_first(shard)
        here_before = [
            running
            for running in self._running
            if running[:2] == (beats.worker, shard) and running[2] != tenure
        ]
        self._require(not here_before, "I8", f"{shard}: {here_before} still runs in this process")
        self._running[beats.worker, shard, tenure] += 1
        stay = self._stays[shard, tenure]
        numbers = [record.sequence_number for record in records]
        indexes = [self.truth[number].index for number in numbers]
        self._require(sorted(set(indexes)) == indexes, "I8", f"{shard}: {numbers} not in order")
        here: set[Number] = set()
        for record in records:
            self._record_started(record, shard, stay, here)
            here.add(record.sequence_number)
        keys = {record.key for record in records}
        self._require(not keys & stay.in_call, "I8", f"{shard}: two calls hold one key")
        stay.in_call |= keys

    def _record_started(
        self, record: Record, shard: ShardId, stay: Stay, here: set[Number]
    ) -> None:
        number, truth = record.sequence_number, self.truth[record.sequence_number]
        self._require(truth.shard.id == shard, "I8", f"record {number} is not of {shard}")
        self._require(truth.index >= stay.behind, "I6", f"{number} is before the checkpoint")
        self._require(number not in stay.accounted, "I6", f"{number} again in one tenure")
        if number in self.accounted:
            self.duplicates += 1
            self._require(not self.never_twice, "I6", f"{shard}: {number} again in a calm world")
        self._key_in_order(number, record.key, here)
        self._key_in_order_of_stay(record.key, truth, stay, here)

    def _key_in_order(self, number: Number, key: bytes, here: set[Number]) -> None:
        """I8 over all shards: everything older of this key is settled, or before it in the batch."""
        numbers, index = self._of_key[key], self._key_done[key]
        while index < len(numbers) and self._is_settled(numbers[index]):
            index += 1
        self._key_done[key] = index
        for older in numbers[index : self._in_key[number]]:
            fine = older in here or self._is_settled(older)
            self._require(fine, "I8", f"{number} of {key!r} began before {older} was done")

    def _key_in_order_of_stay(
        self, key: bytes, truth: Truth, stay: Stay, here: set[Number]
    ) -> None:
        """I8 within a tenure: what is delivered again is delivered in order, and nothing is skipped."""
        indexes = self._of_shard_key[truth.shard.id, key]
        at = max(stay.next_of_key.get(key, 0), bisect_left(indexes, stay.behind))
        contiguous = True
        while at < len(indexes) and indexes[at] < truth.index:
            older = truth.shard.records[indexes[at]].sequence_number
            settled = older in stay.accounted or self.is_excused(older)
            fine = settled or older in here
            self._require(fine, "I8", f"{key!r}: a tenure skipped {older}")
            contiguous = contiguous and settled
            at += 1
            if contiguous:
                stay.next_of_key[key] = at

    def _parents_first(self, shard: ShardId) -> None:
        for parent in self._stream.shards[shard].parents:
            if {shard, parent} <= self._from_latest:
                continue  # two workers made the first survey, one before and one behind a roll
            records = self._stream.shards[parent].records
            if parent in self._rows or parent in self._ended:
                self._require(parent in self._ended, "I7", f"{shard} began before {parent} ended")
            else:
                excused = all(self.is_excused(record.sequence_number) for record in records)
                self._require(excused, "I7", f"{shard} began, {parent} was never read")

    def call_ended(
        self, shard: ShardId, tenure: Tenure, records: Sequence[Record], ending: CallEnding
    ) -> None:
        """A call came to its end, whatever its worker hears of it."""
        stay = self._stays[shard, tenure]
        stay.in_call -= {record.key for record in records}
        running = self.beats[tenure.session].worker, shard, tenure
        self._running[running] -= 1
        if not self._running[running]:
            del self._running[running]
        for index in ending.done:
            self._account(records[index], stay)
        stay.failures.update(records[index].sequence_number for index in ending.failed)
        stay.given_up.update(records[index].sequence_number for index in ending.given_up)

    def _account(self, record: Record, stay: Stay) -> None:
        number, key = record.sequence_number, record.key
        for older in self._of_key[key][self._key_done[key] : self._in_key[number]]:
            self._require(self._is_settled(older), "I8", f"{number} was done before {older}")
        stay.accounted.add(number)
        self.accounted.add(number)

    def discarded(
        self,
        shard: ShardId,
        tenure: Tenure,
        records: Sequence[Record],
        reason: DiscardReason,
        service_seconds: float,
    ) -> None:
        """A failure record was delivered."""
        stay, options = self._stays[shard, tenure], self._options
        numbers = [record.sequence_number for record in records]
        match reason:
            case DiscardReason.RETRY_ATTEMPTS_EXHAUSTED:
                least = options.maximum_retry_attempts + 1
                tried = [stay.failures[number] for number in numbers]
                told = f"{numbers} given up after {tried} calls"
                fine = least > 0 and all(count >= least for count in tried)
                self._require(fine, "F", told)
                whole = not (
                    options.bisect_batch_on_function_error or options.report_batch_item_failures
                )
                self._require(not whole or set(tried) == {least}, "F", told)
            case DiscardReason.RECORD_AGE_EXCEEDED:
                limit = options.maximum_record_age_in_seconds
                old = limit >= 0 and all(service_seconds - r.at_seconds >= limit for r in records)
                self._require(old, "F", f"{numbers} given up for an age that they have not")
            case DiscardReason.DISCARDED_BY_HANDLER:
                fine = all(number in stay.given_up for number in numbers)
                self._require(fine, "F", f"{numbers}: no handler gave them up")
        for record in records:
            self._account(record, stay)

    # --- the end ----------------------------------------------------------------------------------

    def outstanding(self) -> list[Number]:
        """I5: records that must still reach the handler or the destination."""
        return [number for number in self.truth if not self._is_settled(number)]

    def unfinished(self) -> list[ShardId]:
        """Closed shards without SHARD_END, and I10: open ones without a row."""
        return [
            shard.id
            for shard in self._stream.shards.values()
            if not shard.gone
            and shard.id not in self._ended
            and (shard.id not in self._rows if not shard.closed else not self._is_passed(shard))
        ]

    def _is_passed(self, shard: TrueShard) -> bool:
        """Whether the start rule left this shard out: it has no row and a descendant has one."""
        below = [] if shard.id in self._rows else list(shard.children)
        while below:
            child = below.pop()
            if child in self._rows or child in self._ended:
                return True
            below += self._stream.shards[child].children
        return False

    def unsaved(self) -> list[ShardId]:
        """Shards whose last record is accounted for and not covered by a checkpoint."""
        return [
            shard.id
            for shard in self._stream.shards.values()
            if shard.id in self._rows
            and shard.records
            and shard.id not in self._ended
            and self._proved[shard.id] < len(shard.records)
            and not self.is_excused(shard.records[-1].sequence_number)
        ]

    def owned(self) -> list[ShardId]:
        """Shards that a session owns which still seems to live."""
        return [
            shard
            for shard, row in self._rows.items()
            if row.owner is not None and self.beats[row.owner].lives
        ]

    def _require(self, holds: bool, rule: str, told: str) -> None:
        if not holds:
            raise Violation(f"{rule}: {told}")
