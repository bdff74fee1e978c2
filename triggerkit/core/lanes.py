"""The records of one shard that were read and are not done with, in lanes that run beside each other.

What lanes did beyond the watermark is delivered again after a crash. So together they keep within
ParallelizationFactor x batch_size records of it, and the lane that holds the watermark always goes. While
that lane waits (a retry, a failure record, a batching window) the others do not wait for it: a failing key
blocks only its own lane (B-8), and the duplicates after a crash are the price. As many records again may be
done while a save is under way; a save that takes longer is waited for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from triggerkit.core.batches import Held, Lane, split_into_lanes
from triggerkit.core.failure import Verdict, decide, expire
from triggerkit.core.model import (
    NEVER,
    Batch,
    DiscardReason,
    Now,
    Position,
    Record,
)
from triggerkit.core.options import MappingOptions
from triggerkit.core.outcome import Outcome
from triggerkit.core.progress import Progress

BUFFER_LIMIT_BYTES = 32 * 1024 * 1024
"""What one shard may buffer while one of its lanes is blocked: some 30 pages of DynamoDB."""


class Lanes:
    """Cuts batches, applies what became of them, and knows the watermark."""

    __slots__ = ("_lanes", "_options", "progress")

    def __init__(self, start: Position, options: MappingOptions) -> None:
        self.progress = Progress(start)
        self._options = options
        self._lanes = [Lane(number) for number in range(options.parallelization_factor)]

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes)

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def room(self) -> int:
        """How many records the lanes may be ahead of the watermark."""
        return len(self._lanes) * self._options.batch_size

    @property
    def are_busy(self) -> bool:
        """Whether a call or a discard is under way."""
        return any(lane.busy for lane in self._lanes)

    @property
    def are_hungry(self) -> bool:
        """Whether some lane has less than a batch waiting, and what is buffered in all is below the limit."""
        hungry, buffered_bytes = False, 0
        for lane in self._lanes:
            hungry = hungry or lane.waiting < self._options.batch_size
            buffered_bytes += lane.waiting_bytes
        return hungry and buffered_bytes < BUFFER_LIMIT_BYTES

    def admit(self, records: Sequence[Record], now: Now) -> None:
        """Queue the records of a page."""
        ordinals = self.progress.admit(records)
        for number, run in split_into_lanes(records, ordinals, len(self._lanes)).items():
            self._lanes[number].add(run, now.monotonic_seconds)

    def moving(self, unsaved_room: float, now: Now, *, ended: bool) -> Sequence[Lane]:
        """See `lanes_to_move`."""
        ahead = self.progress.ahead
        return lanes_to_move(self._lanes, ahead, unsaved_room, self._options, now, ended=ended)

    def catching_up(self, now: Now) -> list[Lane]:
        """In a drain: the lanes that should go on until they have caught up with the others.

        Else what the others did beyond the watermark would be done again. The batch at the head of each is cut
        where the others are. Retries and failure records that wait are left, since one bad record would hold up
        every stop.
        """
        return [lane for lane in self._lanes if not lane.busy and self._is_behind(lane, now)]

    def _is_behind(self, lane: Lane, now: Now) -> bool:
        if lane.held is not None:
            return lane.held.not_before_seconds <= now.monotonic_seconds
        if lane.ready_at(self._options, ended=True) > now.monotonic_seconds:
            return False
        batch = lane.take(self._options)
        behind, beyond = batch.split(bisect_left(batch.ordinals, self.progress.accounted_to))
        lane.put_back([part for part in (behind, beyond) if len(part)])
        return len(behind) > 0

    def ready_at(self, lane: Lane, *, ended: bool) -> float:
        """When the handler may be called for this lane (monotonic)."""
        return NEVER if lane.held is not None else lane.ready_at(self._options, ended=ended)

    def call(self, lane: Lane, now: Now) -> Batch | None:
        """The batch to call the handler for; None when the lane must discard records first."""
        verdict = expire(lane.take(self._options), self._options, now)
        self._apply(verdict, lane)
        if verdict.discarded is not None:
            return None
        lane.under_way = lane.take(self._options)
        lane.called_at_seconds = now.monotonic_seconds
        return lane.under_way

    def called(self, batch: Batch, outcome: Outcome, now: Now) -> float:
        """The handler came back, or could not be called; how long it took in seconds."""
        lane = self._lanes[batch.lane]
        lane.under_way = None
        lane.call_completed(now.monotonic_seconds)
        self._apply(decide(batch, outcome, self._options, now), lane)
        return now.monotonic_seconds - lane.called_at_seconds

    def discard(self, lane: Lane, held: Held) -> None:
        """The failure record of the held batch is on its way."""
        lane.held, lane.under_way = None, held.batch

    def discarded(self, batch: Batch) -> None:
        """The failure record is delivered."""
        self._lanes[batch.lane].under_way = None
        self.progress.account(batch.ordinals)

    def not_discarded(self, batch: Batch, reason: DiscardReason, not_before_seconds: float) -> None:
        """The failure record is not delivered; it is sent again."""
        lane = self._lanes[batch.lane]
        lane.under_way = None
        lane.hold(batch, reason, not_before_seconds)

    def _apply(self, verdict: Verdict, lane: Lane) -> None:
        if verdict.done is not None:
            self.progress.account(verdict.done.ordinals)
        if verdict.discarded is not None:
            lane.hold(verdict.discarded, verdict.reason, 0.0)
        lane.put_back(verdict.again)


def lanes_to_move(
    lanes: Sequence[Lane],
    ahead: int,
    unsaved_room: float,
    options: MappingOptions,
    now: Now,
    *,
    ended: bool,
) -> Sequence[Lane]:
    """The lanes that may start something now or say when they can, the oldest record first.

    Args:
        lanes: all lanes of the shard.
        ahead: records done beyond the watermark.
        unsaved_room: records that may yet be done before the save under way is confirmed.
        options: for the batch size and the window.
        now: the present moment.
        ended: the shard was read to its end, so nothing waits for a fuller batch.
    """
    calling = sum(len(lane.under_way) for lane in lanes if lane.under_way is not None)
    if calling >= unsaved_room:
        return ()
    if len(lanes) == 1:
        return lanes
    in_order = sorted(lanes, key=lambda lane: lane.first_ordinal)
    if _waits(in_order[0], options, now, ended=ended):
        return in_order
    room = min(len(lanes) * options.batch_size - ahead, unsaved_room) - calling
    moving: list[Lane] = []
    for lane in in_order:
        starts = not lane.busy and _is_ready(lane, options, now, ended=ended)
        if starts and room < options.batch_size and lane is not in_order[0]:
            continue  # the next report of an older lane asks again
        if starts:
            room -= options.batch_size
        moving.append(lane)
    return moving


def _waits(lane: Lane, options: MappingOptions, now: Now, *, ended: bool) -> bool:
    """Whether the lane that holds the watermark is stuck: then the others do not wait for it."""
    if lane.under_way is not None:
        return lane.under_way.attempts > 0
    return lane.held is not None or not _is_ready(lane, options, now, ended=ended)


def _is_ready(lane: Lane, options: MappingOptions, now: Now, *, ended: bool) -> bool:
    return lane.ready_at(options, ended=ended) <= now.monotonic_seconds
