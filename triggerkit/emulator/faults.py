"""Planned faults: what clients of the emulator will meet.

A fault is planned in advance, counted, and named by operation or shard. Nothing happens by chance: what differs
from shard to shard is drawn from the emulator's seed. A shard is named by its id, and means every stream that has
such a shard; "" means all shards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from triggerkit.emulator.barriers import Barrier
from triggerkit.emulator.errors import EmulatorError
from triggerkit.emulator.listings import ListingPlans
from triggerkit.emulator.plans import CallPlans, Damage, Delay
from triggerkit.emulator.reading import Rates, ReadPlans

__all__ = ["Damage", "Faults"]

THROTTLED = "ThrottlingException"
_TOO_MUCH = "Rate of requests exceeded"


@dataclass(slots=True)
class Faults:
    """Everything that is planned. `latency_seconds` names the delay of each answer.

    `calls`, `reads`, `writes` and `listings` hold the plans. The three switches say in what this endpoint is
    like AWS: records that are past the retention, answers that have a checksum, pages of at most 1 MB (10 MB
    for Kinesis). `clear` leaves them as they are.
    """

    latency_seconds: Callable[[str], float] | None = None
    iterator_generation: int = 0
    keeps_records: bool = False
    sends_checksums: bool = True
    limits_page_bytes: bool = True
    calls: CallPlans = field(default_factory=CallPlans)
    reads: ReadPlans = field(default_factory=ReadPlans)
    writes: Rates = field(default_factory=lambda: Rates("this shard is written"))
    listings: ListingPlans = field(default_factory=ListingPlans)

    # --- calls --------------------------------------------------------------------------------------

    def throttle(self, operation: str, times: int = 1, type: str = "", shard: str = "") -> None:
        """Refuse the next `times` calls of `operation`, as a busy service does.

        `type` is ThrottlingException unless given; GetRecords also answers LimitExceededException, and
        that of Kinesis ProvisionedThroughputExceededException.
        """
        self.fail(operation, EmulatorError(type or THROTTLED, _TOO_MUCH), times, shard)

    def throttle_above(
        self, operation: str, calls_per_second: float | None, type: str = ""
    ) -> None:
        """Refuse every call of `operation` above so many within a second; None ends that."""
        if calls_per_second is None:
            self.calls.rates.pop(operation, None)
        else:
            error = EmulatorError(type or THROTTLED, _TOO_MUCH)
            rates = Rates("this operation is called", calls_per_second)
            self.calls.rates[operation] = rates, error

    def fail(self, operation: str, error: EmulatorError, times: int = 1, shard: str = "") -> None:
        """Answer the next `times` calls of `operation` with `error`; nothing is carried out."""
        self.calls.refuse(operation, shard, error, times)

    def damage(self, operation: str, how: Damage, times: int = 1) -> None:
        """Damage the next `times` answers of `operation`, in process and over HTTP."""
        self.calls.damages.setdefault(operation, deque()).extend([how] * times)

    def latency(self, operation: str, seconds: float, times: int | None = None) -> None:
        """Hold back the next `times` answers of `operation`, all of them for None; 0 seconds end it.

        Over HTTP the connection waits. In process a real clock waits, a virtual one moves forward.
        """
        self.calls.delays[operation] = Delay(seconds, times)

    def barrier(self, operation: str, *, behind: bool = False, shard: str = "") -> Barrier:
        """Hold the next call of `operation` until the barrier that is returned is released.

        It is held before it is carried out or, with `behind`, after it is carried out and before it is answered.
        """
        return self.calls.make_barrier(operation, behind, shard)

    # --- reads --------------------------------------------------------------------------------------

    def empty_pages(self, times: int = 1, shard: str = "") -> None:
        """Answer the next `times` reads with no records and a next iterator, though records wait."""
        self.reads.empty[shard] = self.reads.empty.get(shard, 0) + times

    def page_size(self, records: int | None) -> None:
        """Put at most so many records on a page; None ends that."""
        self.reads.page_records = records

    def duplicate(self, times: int = 1, records: int = 1, shard: str = "") -> None:
        """Begin the next `times` pages that can with the last `records` of what came before them."""
        self.reads.repeats.setdefault(shard, deque()).extend([records] * times)

    def visibility_delay(self, seconds: float) -> None:
        """Make a record visible only so long after it was written; 0 ends that.

        The end of a shard is after its last visible record, and a closed shard ends when all are visible.
        """
        self.reads.visibility_delay_seconds = seconds

    def limit_readers(self, readers: int | None = 2) -> None:
        """Refuse reads of a shard by more than so many readers within a second; None ends that.

        Each GetShardIterator begins a reader, which reads on from that iterator.
        """
        self.reads.most_readers = readers

    def limit_reads(
        self,
        calls_per_second: float | None = 5,
        bytes_per_second: float | None = 2_000_000,
    ) -> None:
        """Refuse reads of one shard above these rates, which are those of Kinesis; None is no limit."""
        self.reads.rates = Rates("this shard is read", calls_per_second, bytes_per_second)

    def limit_writes(
        self,
        records_per_second: float | None = 1000,
        bytes_per_second: float | None = 1_000_000,
    ) -> None:
        """Refuse records of one Kinesis shard above these rates, which are AWS's; None is no limit.

        PutRecords refuses each record by itself, as AWS does.
        """
        self.writes = Rates("this shard is written", records_per_second, bytes_per_second)

    def expire_iterators(self) -> None:
        """Make every shard iterator handed out so far answer ExpiredIteratorException."""
        self.iterator_generation += 1

    # --- listings -----------------------------------------------------------------------------------

    def hide(self, shard_id: str) -> None:
        """Leave a shard, or a stream by its ARN, out of every listing, as late listings do (rule S-11)."""
        self.listings.hidden[shard_id] = None

    def show(self, shard_id: str) -> None:
        """List again what was hidden."""
        self.listings.hidden.pop(shard_id, None)

    def describe_lag(self, seconds: float, spread_seconds: float = 0.0) -> None:
        """List a shard, and a stream, only so long after it was made; 0 ends that.

        With `spread_seconds` each shard is late by another part of it, so siblings are listed one by one.
        """
        self.listings.lag_seconds = seconds
        self.listings.lag_spread_seconds = spread_seconds

    def stale_listings(self, times: int = 1, seconds: float = 60.0) -> None:
        """Let the next `times` listings show the shards as they were so long ago."""
        self.listings.stale_seconds.extend([seconds] * times)

    def reorder_listings(self, on: bool = True) -> None:
        """List shards in an order that the seed draws, instead of that of their ids."""
        self.listings.reordered = on

    def listing_page_size(self, shards: int | None) -> None:
        """Put at most so many shards on a page of a listing; None ends that."""
        self.listings.page_shards = shards

    # --- all of them --------------------------------------------------------------------------------

    def clear(self) -> None:
        """End everything that is planned or hidden, and release every call that is held."""
        self.latency_seconds = None
        self.calls.release_all()
        self.calls = CallPlans(barriers_made=self.calls.barriers_made)
        self.reads = ReadPlans(opened=self.reads.opened)
        self.writes = Rates("this shard is written")
        self.listings = ListingPlans(self.listings.seed)

    def delay_seconds(self, operation: str) -> float:
        """Return how long the next answer of `operation` is held back, and count it."""
        always_seconds = 0.0 if self.latency_seconds is None else self.latency_seconds(operation)
        return always_seconds + self.calls.delay_seconds(operation)
