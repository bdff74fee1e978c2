"""The low watermark of one shard. Rule: the position never passes an outstanding record.

Records are numbered as they arrive. What is accounted for comes as intervals of ordinals, in any order
where lanes run beside each other; the position is the last record before the first one that is missing.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence

from triggerkit.core.model import Position, Record, after


class Progress:
    """Admit records in stream order, account for them in any order, ask for the position."""

    __slots__ = ("_accounted", "_admitted", "_pages", "_position", "_watermark")

    def __init__(self, start: Position) -> None:
        self._position = start
        self._admitted = 0
        self._watermark = 0
        self._accounted: list[tuple[int, int]] = []  # heap of [start, stop) beyond the watermark
        self._pages: deque[tuple[int, Sequence[Record]]] = deque()  # first ordinal, its records

    def admit(self, records: Sequence[Record]) -> range:
        """Number the records of one page; all are outstanding now."""
        first = self._admitted
        self._admitted += len(records)
        if records:
            self._pages.append((first, records))
        return range(first, self._admitted)

    def account(self, ordinals: Sequence[int]) -> None:
        """These records are done or discarded."""
        if not ordinals:
            return
        if isinstance(ordinals, range) and ordinals.step == 1:
            heapq.heappush(self._accounted, (ordinals.start, ordinals.stop))
        else:
            for ordinal in ordinals:
                heapq.heappush(self._accounted, (ordinal, ordinal + 1))
        self._advance()

    def move_to(self, position: Position) -> None:
        """Start from another position; only where nothing is outstanding."""
        assert self.outstanding == 0, "records are outstanding"
        self._position = position

    @property
    def position(self) -> Position:
        """Behind the last record that has nothing outstanding before it."""
        return self._position

    @property
    def outstanding(self) -> int:
        """Records from the watermark on, those accounted for out of order included."""
        return self._admitted - self._watermark

    @property
    def accounted_to(self) -> int:
        """Behind the last record that is accounted for, in order or not; ordinals before it are below."""
        return max((stop for _, stop in self._accounted), default=self._watermark)

    def _advance(self) -> None:
        before = self._watermark
        while self._accounted and self._accounted[0][0] <= self._watermark:
            _, stop = heapq.heappop(self._accounted)
            self._watermark = max(self._watermark, stop)
        if self._watermark == before:
            return
        while self._pages:
            first, records = self._pages[0]
            done = self._watermark - first
            if done > 0:
                self._position = after(records[min(done, len(records)) - 1])
            if done < len(records):
                return
            self._pages.popleft()
