"""One lane and how its batches are cut: records leave in the order in which they came.

A lane is one of ParallelizationFactor ordered slices of a shard; all records of one item or partition key
share a lane (B-8). Pages are admitted as runs: with one lane a page is one run, whatever its length.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from triggerkit.core.model import (
    NEVER,
    Batch,
    DiscardReason,
    Record,
)
from triggerkit.core.options import MappingOptions

PAYLOAD_LIMIT_BYTES = 6 * 1024 * 1024
"""Lambda's limit for a synchronous request (B-1)."""
EVENT_OVERHEAD_BYTES = 256
"""What an event adds to a record's own JSON: eventSourceARN and separators, rounded up."""


class Run:
    """Consecutive records of one lane out of one page."""

    __slots__ = ("_sizes", "ordinals", "records")

    def __init__(self, records: Sequence[Record], ordinals: Sequence[int]) -> None:
        self.records = records
        self.ordinals = ordinals
        each = [len(record.raw) + EVENT_OVERHEAD_BYTES for record in records]
        self._sizes = list(accumulate(each, initial=0))
        """The size of the first 0, 1, 2 ... records as JSON in an event."""

    def size_bytes(self, start: int, stop: int) -> int:
        """What these records take as JSON in an event."""
        return self._sizes[stop] - self._sizes[start]

    def end_within(self, start: int, stop: int, room_bytes: int) -> int:
        """The highest index up to `stop` before which all records from `start` fit into `room_bytes`."""
        return bisect_right(self._sizes, self._sizes[start] + room_bytes, start, stop + 1) - 1


@dataclass(frozen=True, slots=True)
class Held:
    """A batch that was given up and whose failure record is not delivered yet: it holds its lane."""

    batch: Batch
    reason: DiscardReason
    not_before_seconds: float


def lane_of(key: bytes, lanes: int) -> int:
    """The lane of a key: stable over processes, releases and machines."""
    return zlib.crc32(key) % lanes


def split_into_lanes(records: Sequence[Record], ordinals: range, lanes: int) -> dict[int, Run]:
    """Cut a page into one run a lane; stream order is kept inside each."""
    if lanes == 1:
        return {0: Run(records, ordinals)} if records else {}
    members: list[tuple[list[Record], list[int]]] = [([], []) for _ in range(lanes)]
    for record, ordinal in zip(records, ordinals, strict=True):
        mine, numbers = members[lane_of(record.key, lanes)]
        mine.append(record)
        numbers.append(ordinal)
    return {
        lane: Run(tuple(mine), tuple(numbers))
        for lane, (mine, numbers) in enumerate(members)
        if mine
    }


class Lane:
    """The queue of one lane: batches that came back first, then records not yet in a batch.

    The batching window opens when the lane's last call completed, or when the first waiting record
    arrived if that was later (B-3).
    """

    __slots__ = (
        "_again",
        "_offset",
        "_opened_seconds",
        "_runs",
        "called_at_seconds",
        "held",
        "number",
        "under_way",
        "waiting",
        "waiting_bytes",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.under_way: Batch | None = None
        """What is being invoked or discarded: one thing at a time."""
        self.called_at_seconds = 0.0
        """When the last call began (monotonic)."""
        self.held: Held | None = None
        self.waiting = 0
        self.waiting_bytes = 0
        self._again: deque[Batch] = deque()
        self._runs: deque[Run] = deque()
        self._offset = 0  # records of the head run that have left
        self._opened_seconds = 0.0

    def add(self, run: Run, now_seconds: float) -> None:
        """Queue a run after everything that waits."""
        if not self.waiting:
            self._opened_seconds = max(self._opened_seconds, now_seconds)
        self._runs.append(run)
        self.waiting += len(run.records)
        self.waiting_bytes += run.size_bytes(0, len(run.records))

    def put_back(self, batches: Sequence[Batch]) -> None:
        """Queue what a verdict gave back, in this order, before everything else."""
        self._again.extendleft(reversed(batches))

    def hold(self, batch: Batch, reason: DiscardReason, not_before_seconds: float) -> None:
        """Nothing leaves the lane before this batch's failure record is delivered."""
        self.held = Held(batch, reason, not_before_seconds)

    def call_completed(self, now_seconds: float) -> None:
        """The window opens anew."""
        self._opened_seconds = now_seconds

    @property
    def busy(self) -> bool:
        """An invocation or a discard is under way."""
        return self.under_way is not None

    @property
    def first_ordinal(self) -> float:
        """Of the oldest record that is not accounted for; infinite when there is none."""
        started = [self.head, *self._again]
        begins = [batch.ordinals[0] for batch in started if batch is not None]
        if begins:  # a record that is given up goes before older ones that are tried again
            return min(begins)
        return self._runs[0].ordinals[self._offset] if self._runs else NEVER

    @property
    def head(self) -> Batch | None:
        """The batch that the lane is at: under way, held, or the next of those that came back."""
        if self.under_way is not None:
            return self.under_way
        if self.held is not None:
            return self.held.batch
        return self._again[0] if self._again else None

    def ready_at(self, options: MappingOptions, *, ended: bool) -> float:
        """When the head batch may go (monotonic; in the past: now), or never without records."""
        if self._again:
            return self._again[0].not_before_seconds
        if not self.waiting:
            return NEVER
        full = self.waiting >= options.batch_size or self.waiting_bytes >= PAYLOAD_LIMIT_BYTES
        if full or ended:
            return 0.0
        return self._opened_seconds + options.maximum_batching_window_in_seconds

    def take(self, options: MappingOptions) -> Batch:
        """Remove and return the head batch, where there is one."""
        if self._again:
            return self._again.popleft()
        records, ordinals = self._cut(options.batch_size)
        return Batch(self.number, records, ordinals)

    def _cut(self, limit: int) -> tuple[Sequence[Record], Sequence[int]]:
        records, ordinals, room = self._next(limit, PAYLOAD_LIMIT_BYTES)
        if len(records) == limit or not self._runs or room <= 0:
            return records, ordinals  # the common case: one run holds the whole batch
        all_records, all_ordinals = list(records), list(ordinals)
        while self._runs and len(all_records) < limit and room > 0:
            records, ordinals, room = self._next(limit - len(all_records), room, first=False)
            all_records.extend(records)
            all_ordinals.extend(ordinals)
        return tuple(all_records), _contiguous(all_ordinals)

    def _next(
        self, limit: int, room: int, *, first: bool = True
    ) -> tuple[Sequence[Record], Sequence[int], int]:
        """Up to `limit` records of the head run that fit into `room` bytes, and the room left.

        The first record of a batch always fits; a room of 0 means that the batch is full.
        """
        head, start = self._runs[0], self._offset
        most = min(start + limit, len(head.records))
        stop = max(head.end_within(start, most, room), start + first)
        size_bytes = head.size_bytes(start, stop)
        full = stop < most or size_bytes > room
        if stop == len(head.records):
            self._runs.popleft()
            self._offset = 0
        else:
            self._offset = stop
        self.waiting -= stop - start
        self.waiting_bytes -= size_bytes
        left = 0 if full else room - size_bytes
        return head.records[start:stop], head.ordinals[start:stop], left


def _contiguous(ordinals: list[int]) -> Sequence[int]:
    """A range where there is no hole: it is accounted for as one interval."""
    if ordinals[-1] - ordinals[0] + 1 == len(ordinals):
        return range(ordinals[0], ordinals[-1] + 1)
    return tuple(ordinals)
