"""Reading shards, of DynamoDB Streams and Kinesis alike: iterators, pages, and all that may happen to a page.

An iterator's token holds all that is needed to read on; nothing is kept. It can be used again, and expires by
age or because `expire_iterators` began a new generation. Records come in order and none is skipped: a page may
be empty, short, late or begin with records of the page before, but reading goes on after its last record. A
shard ends only when all of its records can be seen and have been read.
Source: Streams API reference, GetShardIterator.
"""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_right
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from triggerkit.emulator.errors import validation
from triggerkit.emulator.shards import Shard, StreamRecord

LIFE_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class ShardIterator:
    """A place in a shard: what comes after the sequence number `after`."""

    stream_arn: str
    shard_id: str
    after: int
    issued_seconds: float = 0.0
    generation: int = 0
    reader: int = 0
    """The number of the reader that asked for the first iterator of this chain."""

    def token(self) -> str:
        """Return the text that travels."""
        place = [
            self.shard_id,
            str(self.after),
            self.issued_seconds,
            self.generation,
            self.reader,
        ]
        packed = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
        return f"{self.stream_arn}|1|{packed}"

    def expired(
        self, now_seconds: float, generation: int, life_seconds: float = LIFE_SECONDS
    ) -> bool:
        """Return whether the token is too old to use."""
        return now_seconds - self.issued_seconds > life_seconds or generation != self.generation


def read_token(token: str) -> ShardIterator:
    """Return what a token says.

    Raises:
        EmulatorError: ValidationException when this is no token of ours.
    """
    arn, _, packed = token.rpartition("|1|")
    try:
        # An emulator's file may be older than readers are: their tokens have four parts.
        shard_id, after, issued_seconds, generation, *reader = json.loads(
            base64.b64decode(packed, altchars=b"-_", validate=True)
        )
        return ShardIterator(
            arn,
            shard_id,
            int(after),
            float(issued_seconds),
            int(generation),
            *(int(number) for number in reader),
        )
    except (ValueError, TypeError, OverflowError, binascii.Error):
        raise validation("Invalid ShardIterator") from None


ShardKey: TypeAlias = tuple[str, str]
"""A stream's ARN and the shard's id."""


@dataclass(slots=True)
class Rates:
    """How often and how much may be done within a second, for each key of its own; None is no limit.

    What is refused does not count. One page may go over the bytes; the next calls are refused for it. `done` is
    what is done, in the words of a refusal.
    """

    done: str
    times_per_second: float | None = None
    bytes_per_second: float | None = None
    _passed: dict[Hashable, deque[tuple[float, int]]] = field(default_factory=dict)

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self.times_per_second is not None or self.bytes_per_second is not None

    def excess(self, key: Hashable, now_seconds: float) -> str:
        """Return why one more is too many, "" if it is not."""
        if not self.limited:
            return ""
        passed = self._passed.setdefault(key, deque())
        while passed and now_seconds - passed[0][0] >= 1.0:
            passed.popleft()
        if self.times_per_second is not None and len(passed) >= self.times_per_second:
            return f"{self.done} more than {self.times_per_second:g} times a second"
        size_bytes = sum(size for _, size in passed)
        if self.bytes_per_second is not None and size_bytes >= self.bytes_per_second:
            return f"{self.done} more than {self.bytes_per_second:g} bytes a second"
        return ""

    def count(self, key: Hashable, now_seconds: float, size_bytes: int = 0) -> None:
        """Count one that was not refused."""
        if self.limited:
            self._passed.setdefault(key, deque()).append((now_seconds, size_bytes))


READING_SECONDS = 1.0
"""A reader counts as one for so long after its last read."""


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
    rates: Rates = field(default_factory=lambda: Rates("this shard is read"))
    opened: int = 0
    empty: dict[str, int] = field(default_factory=dict)
    repeats: dict[str, deque[int]] = field(default_factory=dict)
    _readers: dict[ShardKey, dict[int, float]] = field(default_factory=dict)

    def open_reader(self) -> int:
        """Return the number of a new reader: every GetShardIterator begins one."""
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
        self, place: ShardIterator, shard: Shard, now_seconds: float, most: tuple[int, float]
    ) -> ReadPage:
        """Return what a read at `place` finds, and count it.

        `most` are the records and bytes that a page may hold; a record that is larger comes alone.
        """
        page = self._page(place.after, shard, now_seconds, *most)
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

    def _page(
        self, after: int, shard: Shard, now_seconds: float, most_records: int, most_bytes: float
    ) -> ReadPage:
        visible = self.visible(shard, now_seconds)
        first = shard.after(after)
        if self.empty and self._takes_empty(shard.shard_id):
            waiting = shard.records[first] if first < visible else None
            return ReadPage([], after, waiting, ended=False)
        limit = most_records if self.page_records is None else min(self.page_records, most_records)
        if self.repeats:
            first = max(0, first - self._take_repeats(shard.shard_id, first))
        last = _last(shard.records[first : min(first + limit, visible)], first, most_bytes)
        page = shard.records[first:last]
        return ReadPage(
            page,
            max(after, page[-1].sequence) if page else after,
            shard.records[last] if last < visible else None,
            ended=shard.closed and last >= len(shard.records),
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
    """Return the index after the last record that fits."""
    size_bytes, last = 0, first
    for record in page:
        size_bytes += record.size_bytes
        if size_bytes > most_bytes and last > first:
            break
        last += 1
    return last
