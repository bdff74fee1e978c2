"""Pages read lately, so that several mappings share one read.

A page is kept whole or not at all. Looking for a position after the newest page costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from triggerkit.core.model import Position, PositionKind, Record, after

SERVED_BYTES = 2**20
"""A page served from here is as large as GetRecords makes it."""


@dataclass(frozen=True, slots=True)
class _Kept:
    records: tuple[Record, ...]
    size_bytes: int


class Ring:
    """Consecutive pages of one shard from `start` on, oldest first, within a byte budget."""

    def __init__(self, start: Position, budget_bytes: Callable[[], int]) -> None:
        self._start = start
        self._end = start
        self._budget_bytes = budget_bytes
        self._pages: deque[_Kept] = deque()
        self._size_bytes = 0

    @property
    def end(self) -> Position:
        """The position behind everything that was put in."""
        return self._end

    def holds(self, position: Position) -> bool:
        """Whether reading on behind `position` can be served from here."""
        return self.behind(position, 1) is not None

    def behind(self, position: Position, limit: int) -> tuple[Record, ...] | None:
        """At most `limit` records behind `position`; () at the end, None when it is not here."""
        if _same(position, self._end):
            return ()
        if _same(position, self._start):
            return self._take(0, 0, limit)
        if position.kind is not PositionKind.AFTER:
            return None
        number_of_pages = len(self._pages)
        for page, kept in enumerate(reversed(self._pages), start=1):
            for index in range(
                len(kept.records) - 1, -1, -1
            ):  # a page is most often read to its end
                if kept.records[index].sequence_number == position.sequence_number:
                    return self._take(number_of_pages - page, index + 1, limit)
        return None

    def find(self, number: str) -> Record | None:
        """The record with that number, if it is here."""
        for kept in reversed(self._pages):
            for record in kept.records:
                if record.sequence_number == number:
                    return record
        return None

    def put(self, records: tuple[Record, ...]) -> None:
        """Add a page. It stays, over the budget too, until `trim`: somebody waits for it."""
        if not records:
            return
        self._evict(least=0)
        size_bytes = sum([len(record.raw) for record in records])
        self._pages.append(_Kept(records, size_bytes))
        self._size_bytes += size_bytes
        self._end = after(records[-1])
        self._evict(least=1)

    def trim(self) -> None:
        """Go back below the budget, oldest pages first."""
        self._evict(least=0)

    def _evict(self, least: int) -> None:
        while len(self._pages) > least and self._size_bytes > self._budget_bytes():
            evicted = self._pages.popleft()
            self._size_bytes -= evicted.size_bytes
            self._start = after(evicted.records[-1])

    def _take(self, page: int, index: int, limit: int) -> tuple[Record, ...]:
        if not index and page == len(self._pages) - 1:
            newest = self._pages[page]
            if len(newest.records) <= limit and newest.size_bytes <= SERVED_BYTES:
                return newest.records  # the usual case: a whole page, as it came
        found: list[Record] = []
        size_bytes = 0
        for number in range(page, len(self._pages)):
            records = self._pages[number].records
            for record in records[index:] if index else records:
                size_bytes += len(record.raw)
                if len(found) == limit or (found and size_bytes > SERVED_BYTES):
                    return tuple(found)
                found.append(record)
            index = 0
        return tuple(found)


def _same(one: Position, other: Position) -> bool:
    """Equal; two AFTER positions are told apart by their sequence numbers only."""
    if one.kind is not other.kind:
        return False
    if one.kind is PositionKind.AFTER:
        return one.sequence_number == other.sequence_number
    return one == other
