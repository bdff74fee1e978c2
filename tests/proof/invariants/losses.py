"""What retention took: nothing is lost after a record that was read, unless a gap is reported (decision 8).

A tenure that continues from a record knows what came after it; what was trimmed there, and passed by a
checkpoint, lies in a gap that it reported, or its shard ended as lost. A tenure that begins at the trim horizon
cannot know.
"""

from __future__ import annotations

from proof.facts import TrueStream, require
from proof.invariants.tenures import Stay, Tenures
from proof.invariants.written import Written

from triggerkit.core.model import Gap, Lease, PositionKind, ShardId, Tenure


class Losses:
    """The gaps that workers told, beside what was really lost."""

    def __init__(self, stream: TrueStream, written: Written, tenures: Tenures) -> None:
        self._stream = stream
        self._written = written
        self._tenures = tenures
        self.is_told = False
        """Whether this world tells gaps at all."""

    def gap_told(self, shard: ShardId, tenure: Tenure, gap: Gap) -> None:
        """A worker says that it met a gap."""
        self.is_told = True
        records, truth = self._stream.shards[shard].records, self._written.truth
        first = truth[gap.last_seen].index + 1 if gap.last_seen else 0
        stop = truth[gap.resumed_at].index if gap.resumed_at else len(records)
        for index in range(first, stop):
            number = records[index].sequence_number
            is_lost = number in self._written.trimmed
            require(is_lost, "G", f"{shard}: {number} is there and lies in {gap}")
        self._tenures.stays[shard, tenure].gaps.append(range(first, stop))

    def gone_told(self, shard: ShardId, tenure: Tenure) -> None:
        """The service told a worker that its shard is there no more."""
        self.is_told = True
        self._tenures.stays[shard, tenure].is_gone = True

    def passed(self, shard: ShardId, lease: Lease, first: int, stop: int) -> None:
        """A checkpoint of the present tenure passed the records from `first` up to `stop`."""
        stay = self._tenures.stay_of(shard)
        if stay is None or not self.is_told:
            return
        records = self._stream.shards[shard].records
        for index in range(first, stop):
            number = records[index].sequence_number
            if number in self._written.accounted or self._written.is_before_start(number):
                continue
            ended_as_lost = lease.checkpoint.kind is PositionKind.SHARD_END and lease.lost_reason
            fine = ended_as_lost or not self._must_know(stay, index) or self._is_in_gap(stay, index)
            require(bool(fine), "G", f"{shard}: {number} was lost without a word")

    def _must_know(self, stay: Stay, index: int) -> bool:
        return stay.is_gone or (stay.reads_from is not None and index >= stay.reads_from)

    def _is_in_gap(self, stay: Stay, index: int) -> bool:
        return any(index in gap for gap in stay.gaps)
