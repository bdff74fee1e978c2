"""One page of a shard, for DynamoDB Streams and Kinesis alike, with all that may happen to it.

Rule: records come in order and none is skipped, whatever is planned: a page may be empty, short, late or
begin with records of the one before, but the place where reading goes on is always behind its last one.
A shard ends only when all of its records can be seen and have been passed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from triggerkit.emulator.iterators import ShardIterator
from triggerkit.emulator.shard_rates import ShardKey, ShardRates
from triggerkit.emulator.shards import Shard, StreamRecord

READING_SECONDS = 1.0
"""A reader counts as one for so long after its last read."""


class Bounds(NamedTuple):
    """How much a page may hold; a record that is larger than `size_bytes` comes alone."""

    records: int
    size_bytes: float
    null_comes_late: bool = False
    """The end of a shard is told one empty page behind its last record, as some endpoints do."""


class ReadPage(NamedTuple):
    """One page. `after` is where to read on; `waiting` the next record that could be read already."""

    records: list[StreamRecord]
    after: int
    waiting: StreamRecord | None
    ended: bool


@dataclass(slots=True)
class ReadPlans:
    """What is planned for reads; `""` in a dictionary stands for every shard."""

    page_records: int | None = None
    visibility_delay_seconds: float = 0.0
    most_readers: int | None = None
    rates: ShardRates = field(default_factory=lambda: ShardRates("read"))
    opened: int = 0
    empty: dict[str, int] = field(default_factory=dict)
    repeats: dict[str, deque[int]] = field(default_factory=dict)
    _readers: dict[ShardKey, dict[int, float]] = field(default_factory=dict)

    def open_reader(self) -> int:
        """Return the number of another reader: whoever asks for an iterator begins one."""
        self.opened += 1
        return self.opened

    def refusal(self, place: ShardIterator, now_seconds: float) -> str:
        """Return why this read comes on top of too many others, "" if it does not."""
        key = (place.stream_arn, place.shard_id)
        if self.most_readers is not None:
            readers = self._readers.setdefault(key, {})
            for reader, at_seconds in list(readers.items()):
                if now_seconds - at_seconds > READING_SECONDS:
                    del readers[reader]
            if place.reader not in readers and len(readers) >= self.most_readers:
                return f"{self.most_readers} others read this shard at the same time"
            readers[place.reader] = now_seconds
        return self.rates.excess(key, now_seconds)

    def read(
        self, place: ShardIterator, shard: Shard, bounds: Bounds, now_seconds: float
    ) -> ReadPage:
        """Return what a read at `place` finds, and count it."""
        page = self._page(place.after, shard, bounds, now_seconds)
        key = (place.stream_arn, place.shard_id)
        if self.rates.limited:
            size_bytes = sum(record.size_bytes for record in page.records)
            self.rates.count(key, now_seconds, size_bytes)
        if page.ended:
            self._readers.get(key, {}).pop(place.reader, None)
        return page

    def visible(self, shard: Shard, now_seconds: float) -> int:
        """Return how many of a shard's records can be seen already."""
        if not self.visibility_delay_seconds:
            return len(shard.records)
        seen_seconds = now_seconds - self.visibility_delay_seconds
        return bisect_right(shard.records, seen_seconds, key=lambda record: record.created_seconds)

    def _page(self, after: int, shard: Shard, bounds: Bounds, now_seconds: float) -> ReadPage:
        visible = self.visible(shard, now_seconds)
        first = shard.after(after)
        if self.empty and self._takes_empty(shard.shard_id):
            waiting = shard.records[first] if first < visible else None
            return ReadPage([], after, waiting, ended=False)
        limit = bounds.records if self.page_records is None else self.page_records
        limit = min(limit, bounds.records)
        if self.repeats:
            first = max(0, first - self._take_repeats(shard.shard_id, first))
        last = _last(shard.records[first : min(first + limit, visible)], first, bounds.size_bytes)
        page = shard.records[first:last]
        ended = shard.closed and last >= len(shard.records)
        return ReadPage(
            page,
            max(after, page[-1].sequence) if page else after,
            shard.records[last] if last < visible else None,
            ended and not (page and bounds.null_comes_late),
        )

    def _takes_empty(self, shard_id: str) -> bool:
        for key in (shard_id, ""):
            if self.empty.get(key, 0) > 0:
                self.empty[key] -= 1
                return True
        return False

    def _take_repeats(self, shard_id: str, first: int) -> int:
        """Return how many records come again; a plan waits for a page that has some before it."""
        for key in (shard_id, ""):
            planned = self.repeats.get(key)
            if planned and first > 0:
                return planned.popleft()
        return 0


def _last(page: list[StreamRecord], first: int, most_bytes: float) -> int:
    """Return the index behind the last record that fits."""
    size_bytes, last = 0, first
    for record in page:
        size_bytes += record.size_bytes
        if size_bytes > most_bytes and last > first:
            break
        last += 1
    return last
