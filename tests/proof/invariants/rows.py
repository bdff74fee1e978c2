"""The lease table: each row is one writer's chain, and its checkpoint is true.

Checks I1 to I4, I7, I9 to I11, I14 and I18 against every write that was applied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from proof.facts import TrueShard, TrueStream, Write, require
from proof.invariants.losses import Losses
from proof.invariants.tenures import Tenures
from proof.invariants.written import Start, Written

from triggerkit.core.model import Lease, Position, PositionKind, ShardId, Tenure


class Rows:
    """All rows, as the writes made them."""

    def __init__(
        self,
        stream: TrueStream,
        start: Start,
        written: Written,
        tenures: Tenures,
        losses: Losses,
        service_seconds: Callable[[], float] | None,
    ) -> None:
        self._stream = stream
        self._start = start
        self._written = written
        self._tenures = tenures
        self._losses = losses
        self._service_seconds = service_seconds
        self._first_row_seconds: float | None = None
        self.whole_seconds = False
        self.rows: dict[ShardId, Lease] = {}
        self.ended: set[ShardId] = set()
        self._from_latest: set[ShardId] = set()
        self._proved: Counter[ShardId] = Counter()  # records whose accounting a checkpoint proved

    # --- every write ------------------------------------------------------------------------------

    def wrote(self, write: Write) -> None:
        """A write was applied."""
        before, after = write.before, write.after
        if after is None:
            assert before is not None
            if write.verb != "cleanup":
                self._require_over(before)
            del self.rows[before.shard]
            self._start.begun.discard(before.shard)
            return
        shard = after.shard
        known = self.rows.get(shard)
        require(known == before, "I1", f"{shard}: the row changed without a write")
        if before is None:
            self._created(write, after)
        else:
            self._changed(write, before, after)
        self.rows[shard] = after
        self._start.begun.add(shard)
        if after.checkpoint.kind is PositionKind.LATEST:
            moved = before is not None and after.checkpoint != before.checkpoint
            first = before is not None and before.counter == 1
            require(not moved or first, "I18", f"{shard}: a later reader moved the pin")
            self._start.pins[shard] = after.checkpoint.at_seconds
        self._prove(shard, after)
        self._follow_tenure(write, after)

    def _created(self, write: Write, row: Lease) -> None:
        shard = row.shard
        require(shard not in self.ended, "I9", f"{shard}: a finished shard came back")
        if self._service_seconds is not None and self._first_row_seconds is None:
            self._first_row_seconds = self._service_seconds()
        if row.checkpoint.kind is PositionKind.LATEST:
            self._from_latest.add(shard)
            self._require_first_survey(write, row)
        elif write.verb == "create":
            for parent in self._stream.shards[shard].parents:
                known = parent in self.rows or parent in self.ended
                told = f"the row of {shard} was made before that of {parent}"
                require(known or self._is_left_out(parent), "I10", told)

    def _require_first_survey(self, write: Write, row: Lease) -> None:
        """I18: only who listed the shards before there was any row may begin at LATEST, at that moment."""
        born = write.verb.startswith("born of")
        require(not born, "I18", f"{row.shard} is a child and begins at LATEST")
        pin = row.checkpoint.at_seconds
        require(pin > 0.0, "I18", f"{row.shard} begins at LATEST without a time")
        first = self._first_row_seconds
        is_known = pin in self._start.pins.values()  # made up for by who found it missing
        is_early = first is None or pin <= first or is_known
        require(is_early, "I18", f"{row.shard} begins at LATEST behind the first survey")

    def _is_left_out(self, shard: ShardId) -> bool:
        """Whether nobody need read this shard: it is gone, or over before the start."""
        real = self._stream.shards[shard]
        if real.gone:
            return True
        if self._start.position.kind is PositionKind.TRIM_HORIZON:
            return False
        numbers = (record.sequence_number for record in real.records)
        return all(self._written.is_excused(number) for number in numbers)

    def _changed(self, write: Write, before: Lease, after: Lease) -> None:
        shard = after.shard
        chained = after.counter == before.counter + 1
        require(chained, "I1", f"{shard}: counter {before.counter} -> {after.counter}")
        owned = after.checkpoint == before.checkpoint or write.by == before.owner
        require(owned, "I2", f"{shard}: {write.by} moved {before.owner}'s checkpoint")
        let_go = write.verb not in {"release", "finish"} or after.owner is None
        require(let_go, "I2", f"{shard}: {write.by} let it go, and still owns it")
        again = write.verb == "advance" and after.checkpoint == before.checkpoint
        require(not again, "I14", f"{shard}: the same write was applied twice")
        forward = self._rank(shard, after.checkpoint) >= self._rank(shard, before.checkpoint)
        require(forward, "I3", f"{shard}: {before.checkpoint} -> {after.checkpoint}")

    def _follow_tenure(self, write: Write, after: Lease) -> None:
        if after.owner is None:
            self._tenures.end(after.shard, evicted=write.verb == "evict")
        elif write.verb == "take" or write.before is None:
            behind = self._index_behind(after)
            self._tenures.begin(after.shard, Tenure(after.owner, after.counter), behind)
            self.require_parents_ended(after.shard)

    def _index_behind(self, lease: Lease) -> int | None:
        if lease.checkpoint.kind is PositionKind.AFTER:
            return self._written.truth[lease.checkpoint.sequence_number].index + 1
        return None

    def _rank(self, shard: ShardId, position: Position) -> tuple[int, float]:
        match position.kind:
            case PositionKind.SHARD_END:
                return (3, 0.0)
            case PositionKind.AFTER:
                truth = self._written.truth[position.sequence_number]
                require(truth.shard.id == shard, "I4", f"{shard}: a checkpoint of another")
                return (2, truth.index)
            case PositionKind.LATEST | PositionKind.AT_TIMESTAMP:
                return (1, position.at_seconds)
            case PositionKind.TRIM_HORIZON:
                return (1, 0.0)

    def _prove(self, shard: ShardId, row: Lease) -> None:
        """I4: nothing before the checkpoint is outstanding."""
        checkpoint = row.checkpoint
        real = self._stream.shards[shard]
        if checkpoint.kind is PositionKind.SHARD_END:
            require(real.closed, "I4", f"{shard} is open and was finished")
            self.ended.add(shard)
            stop = len(real.records)
        elif checkpoint.kind is PositionKind.AFTER:
            stop = self._written.truth[checkpoint.sequence_number].index + 1
        else:
            return
        for index in range(self._proved[shard], stop):
            number = real.records[index].sequence_number
            told = f"{shard}: checkpoint {checkpoint} passed record {number}"
            require(self._written.is_settled(number), "I4", told)
        self._losses.passed(shard, row, self._proved[shard], stop)
        self._proved[shard] = max(self._proved[shard], stop)
        stay = self._tenures.stay_of(shard)
        if stay is not None:
            stay.unsaved = {index for index in stay.unsaved if index >= stop}

    def _require_over(self, row: Lease) -> None:
        """I11: only a finished row that is listed no more, and whose children have started."""
        real = self._stream.shards[row.shard]
        require(row.finished, "I11", f"{row.shard} was deleted and is not finished")
        require(not self._stream.is_listed(row.shard), "I11", f"{row.shard} is still listed")
        for child in real.children:
            known = self.rows.get(child)
            started = known is not None and self._rank(child, known.checkpoint)[0] >= 2
            gone = known is None and (child in self.ended or self._stream.shards[child].gone)
            require(started or gone, "I11", f"{row.shard} was deleted before {child} began")

    # --- what others ask --------------------------------------------------------------------------

    def lost_lease(self, shard: ShardId, tenure: Tenure) -> None:
        """I14: a worker was told that its lease is lost."""
        held = self._tenures.held.get(shard)
        require(held != tenure, "I14", f"{shard}: {tenure} was lost to nobody")

    def read_decided(self, shard: ShardId, tenure: Tenure, position: Position) -> None:
        """I18: nothing is read from a later moment than the row says."""
        if position.kind is PositionKind.LATEST and position.at_seconds:
            row = self.rows.get(shard)
            held = self._tenures.held.get(shard) == tenure and row is not None
            saved = row is not None and row.checkpoint.at_seconds >= position.at_seconds
            require(saved or not held, "I18", f"{shard} is read before its pin is saved")

    def require_parents_ended(self, shard: ShardId) -> None:
        """I7: every parent was read to its end, or need not be read."""
        for parent in self._stream.shards[shard].parents:
            if {shard, parent} <= self._from_latest:
                continue  # two workers made the first survey, one before and one behind a roll
            if parent in self.ended:
                continue
            real = self._stream.shards[parent]
            excused = all(self._written.is_excused(each.sequence_number) for each in real.records)
            if parent in self.rows:  # once it is gone with all it had, listings name it no more
                told = f"{shard} began before {parent} ended"
                require(real.gone and excused, "I7", told)
            else:
                require(excused, "I7", f"{shard} began, {parent} was never read")

    # --- the end ----------------------------------------------------------------------------------

    def unfinished(self) -> list[ShardId]:
        """Closed shards without SHARD_END, and I10: open ones without a row."""
        return [
            shard.id
            for shard in self._stream.shards.values()
            if not shard.gone
            and shard.id not in self.ended
            and (shard.id not in self.rows if not shard.closed else not self._is_passed(shard))
        ]

    def _is_passed(self, shard: TrueShard) -> bool:
        """Whether the start rule left this shard out: it has no row and a descendant has one."""
        below = [] if shard.id in self.rows else list(shard.children)
        while below:
            child = below.pop()
            if child in self.rows or child in self.ended:
                return True
            below += self._stream.shards[child].children
        return False

    def unsaved(self) -> list[ShardId]:
        """Shards whose last record is accounted for and not covered by a checkpoint."""
        return [
            shard.id
            for shard in self._stream.shards.values()
            if shard.id in self.rows
            and shard.records
            and shard.id not in self.ended
            and self._proved[shard.id] < len(shard.records)
            and not self._written.is_excused(shard.records[-1].sequence_number)
        ]
