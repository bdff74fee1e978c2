"""The low watermark of one shard: a position that never passes an outstanding record.

Records are numbered as they arrive. They are accounted for in any order, since lanes run beside each other;
the position is the last record before the first one that is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from triggerkit.core.model import Position, Record, after


class Progress:
    """Admit records in stream order, account for each once in any order, ask for the position."""

    __slots__ = ("_admitted", "_done", "_first", "_pages", "_position", "_watermark")

    def __init__(self, start: Position) -> None:
        self._position = start
        self._admitted = 0
        self._watermark = 0
        self._pages: deque[tuple[int, Sequence[Record]]] = deque()  # first ordinal, its records
        self._done = bytearray()  # a byte a record of these pages: 1 once accounted for
        self._first = 0  # the ordinal of the first byte

    def admit(self, records: Sequence[Record]) -> range:
        """Number the records of one page; all are outstanding now."""
        first = self._admitted
        self._admitted += len(records)
        if records:
            self._pages.append((first, records))
            self._done.extend(bytes(len(records)))
        return range(first, self._admitted)

    def account(self, ordinals: Sequence[int]) -> None:
        """These records are done or discarded."""
        if not ordinals:
            return
        assert ordinals[0] >= self._watermark, "accounted for twice"
        done, first = self._done, self._first
        if isinstance(ordinals, range) and ordinals.step == 1:
            done[ordinals.start - first : ordinals.stop - first] = b"\x01" * len(ordinals)
        else:
            for ordinal in ordinals:
                done[ordinal - first] = 1
        self._advance()

    def move_to(self, position: Position) -> None:
        """Start from another position; only where nothing is outstanding."""
        assert self.outstanding == 0, "records are outstanding"
        self._position = position

    @property
    def position(self) -> Position:
        """After the last record that has nothing outstanding before it."""
        return self._position

    @property
    def outstanding(self) -> int:
        """Records from the watermark on, those accounted for out of order included."""
        return self._admitted - self._watermark

    @property
    def done(self) -> int:
        """Records accounted for in this tenure."""
        return self._watermark + self.ahead

    @property
    def ahead(self) -> int:
        """Records accounted for beyond the watermark: what a crash now would deliver again."""
        return self._done.count(1, self._watermark - self._first)

    @property
    def accounted_to(self) -> int:
        """One above the highest ordinal that is accounted for, in order or not."""
        return max(self._watermark, self._first + self._done.rfind(1) + 1)

    def _advance(self) -> None:
        missing = self._done.find(0, self._watermark - self._first)
        watermark = self._admitted if missing < 0 else self._first + missing
        if watermark == self._watermark:
            return
        self._watermark = watermark
        while self._pages:
            first, records = self._pages[0]
            count = watermark - first
            if count > 0:
                self._position = after(records[min(count, len(records)) - 1])
            if count < len(records):
                break
            self._pages.popleft()
            del self._done[: len(records)]
            self._first += len(records)
