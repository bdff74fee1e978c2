"""How one reader moves through a shard: a position, and an iterator that is a cache of it.

An iterator expires after 15 minutes, or is refused; a new one is made after the last record that was
read, never from the start. A null iterator ends the shard only when a second, fresh one is null too
and nothing came in between (decision 16).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from triggerkit.aws.errors import (
    EXPIRED_ITERATOR,
    REFUSED,
    RESOURCE_NOT_FOUND,
    TRIMMED,
    VALIDATION,
    AwsError,
)
from triggerkit.core.model import (
    TRIM_HORIZON,
    Page,
    Position,
    PositionKind,
    Record,
    after,
)
from triggerkit.errors import SourceError
from triggerkit.sources.shards.calls import Decoded, ShardCalls
from triggerkit.sources.shards.order import (
    Numbering,
    Recent,
    checksum_of,
    impossible,
    rising_behind,
    unseen,
)
from triggerkit.sources.shards.ring import Ring

EMPTY_SPACING_SECONDS = 0.2
"""How long an empty answer stands for all mappings at the tip of a shard, where there are several."""
DOUBTED_END_SECONDS = 15.0
"""How long a shard must seem to have ended while it is listed as open."""
SKIPPING_SECONDS = 1.0
"""How long one fetch goes on over pages of which nothing is wanted."""
_ANOTHER_ITERATOR_MAY_HELP = frozenset({EXPIRED_ITERATOR, VALIDATION})
_ITERATOR_IS_VOID = frozenset({TRIMMED, RESOURCE_NOT_FOUND})
_TIMESTAMPS_UNKNOWN = frozenset({VALIDATION, "InternalFailure", "InternalServerError"})
_OWN_FAULTS = frozenset({"InternalServerError", "ServiceUnavailable"})
_CONFIRMED_NULLS = 2


@dataclass(frozen=True, slots=True)
class Sharing:
    """What a shard's tracks share with those of other shards and mappings, asked each time."""

    budget_bytes: Callable[[], int]
    """How much a ring may keep."""
    several_mappings: Callable[[], bool]
    """Whether more than one mapping reads the shard, so that an empty answer is worth sharing."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the service reads on: `iterator` if there is one, else `behind`."""

    behind: Position
    iterator: str | None = None
    skip_before_seconds: float = 0.0
    """Records certainly created before this are left out; 0.0 leaves none out."""


class Track:
    """Reads on from one position; what it read lately is in its ring. Many may wait for one read."""

    def __init__(
        self,
        calls: ShardCalls,
        start: Position,
        sharing: Sharing,
        resolution_seconds: float,
        iterator: str | None = None,
        numbering: Numbering | None = None,
    ) -> None:
        self._calls = calls
        self._numbering = numbering
        self._recent = None if numbering is None else Recent()
        self._reopened = False
        self._sharing = sharing
        self._ring = Ring(start, sharing.budget_bytes)
        self._place = _Place(start, iterator)
        self._resolution_seconds = resolution_seconds
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._reads = 0
        self._nulls = 0
        self._nulls_since_seconds: float | None = None
        self._end_is_sure = False
        self._service_seconds = 0.0
        self._empty_until_seconds = 0.0
        self.used_at_seconds = asyncio.get_running_loop().time()

    def holds(self, position: Position) -> bool:
        """Whether this track can serve what is behind `position`."""
        return self._ring.holds(position)

    async def fetch(self, position: Position, limit: int) -> Page | None:
        """The next page behind `position`; None when the track has moved past it meanwhile.

        Raises:
            AwsError, SourceError: not now, or not any more.
        """
        self.used_at_seconds = asyncio.get_running_loop().time()
        page = self._served(position, limit)
        if page is None or page.records or page.ended:
            return page
        reads = self._reads
        self._waiting += 1
        try:
            async with self._lock:
                fresh = asyncio.get_running_loop().time() < self._empty_until_seconds
                if reads == self._reads and not fresh:
                    await self._read_on(limit)
                return self._served(position, limit)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._ring.trim()

    def _served(self, position: Position, limit: int) -> Page | None:
        records = self._ring.behind(position, limit)
        if records is None:
            return None
        at_end = not records or records[-1].sequence_number == self._ring.end.sequence_number
        return Page(
            records,
            sum([len(record.raw) for record in records]),
            ended=at_end and self._end_is_sure,
            service_seconds=self._service_seconds,
        )

    async def _read_on(self, limit: int) -> None:
        loop = asyncio.get_running_loop()
        until_seconds = loop.time() + SKIPPING_SECONDS
        arrived, wanted = await self._read_once(limit)
        while self._nulls == 1 or (arrived and not wanted and loop.time() < until_seconds):
            try:
                arrived, more = await self._read_once(limit)
            except (AwsError, SourceError):
                if wanted:
                    break  # what is there is delivered; the end is confirmed by a later fetch
                raise
            wanted = wanted or more
        self._reads += 1
        if self._nulls >= _CONFIRMED_NULLS:
            await self._make_sure_of_the_end(bool(wanted))
        if not arrived and self._numbering is not None:
            await self._numbering.look_when_due(self._place.behind)
        if not arrived and not wanted and self._sharing.several_mappings():
            self._empty_until_seconds = loop.time() + EMPTY_SPACING_SECONDS

    async def _make_sure_of_the_end(self, wanted: bool) -> None:
        """Believe the nulls unless the shard is listed as open: then only when they go on for a while."""
        now_seconds = asyncio.get_running_loop().time()
        if self._nulls_since_seconds is None:
            self._nulls_since_seconds = now_seconds
        if now_seconds - self._nulls_since_seconds >= DOUBTED_END_SECONDS:
            self._end_is_sure = True
            return
        try:
            self._end_is_sure = not await self._calls.is_listed_open()
        except (AwsError, SourceError):
            if not wanted:
                raise

    async def _read_once(self, limit: int) -> tuple[bool, bool]:
        """One GetRecords. Returns whether records arrived, and whether any of them is wanted."""
        decoded = await self._ask(limit)
        records = self._in_order(decoded.records)
        self._reopened = False
        self._service_seconds = decoded.service_seconds
        if decoded.next_iterator is not None:
            self._nulls, self._nulls_since_seconds = 0, None
        else:
            self._nulls = 1 if records else min(self._nulls + 1, _CONFIRMED_NULLS)
        if not records:
            self._place = replace(self._place, iterator=decoded.next_iterator)
            return False, False
        if self._recent is not None:
            self._recent.put(records)
        wanted = self._wanted(records)
        skip_before_seconds = 0.0 if wanted else self._place.skip_before_seconds
        self._place = _Place(after(records[-1]), decoded.next_iterator, skip_before_seconds)
        self._ring.put(wanted)
        return True, bool(wanted)

    async def _ask(self, limit: int) -> Decoded:
        if self._place.iterator is not None:
            try:
                return await self._calls.records(self._place.iterator, limit)
            except AwsError as refusal:
                if refusal.code not in _ANOTHER_ITERATOR_MAY_HELP:
                    if refusal.code in _ITERATOR_IS_VOID or _is_strange(refusal):
                        self._place = replace(self._place, iterator=None)
                    raise
        self._place = await self._reopen(self._place)
        self._reopened = True
        assert self._place.iterator is not None
        return await self._calls.records(self._place.iterator, limit)

    def _in_order(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        """The records of a page that were not seen yet. Raises DamagedReplyError, PositionImpossibleError."""
        behind = self._place.behind
        if not records or rising_behind(behind, records):
            return records
        return unseen(behind, records, self._known, self._calls.thing, reopened=self._reopened)

    def _known(self, number: str) -> int | None:
        checksum = self._recent.find(number) if self._recent is not None else None
        if checksum is None and (record := self._ring.find(number)) is not None:
            return checksum_of(record)
        return checksum

    async def _iterator_behind(self, position: Position) -> str:
        """An iterator for a position behind a record.

        Raises:
            PositionImpossibleError: the service, or the order of its numbers, says that there is no such
                record in the shard. AwsError, SourceError.
        """
        if self._numbering is not None:
            await self._numbering.look(position)
        try:
            iterator, _ = await self._calls.iterator(position)
        except AwsError as refusal:
            if refusal.code not in REFUSED:
                raise
            await self._calls.iterator(TRIM_HORIZON)  # else it is not about the position
            why = f"the service refuses it: {refusal.code}: {refusal.text}"
            raise impossible(position, self._calls.thing, why) from refusal
        return iterator

    async def _reopen(self, place: _Place) -> _Place:
        """The same place with a new iterator; a pin and a time go on from the trim horizon."""
        match place.behind.kind:
            case PositionKind.LATEST:
                return await self._from_horizon(place)
            case PositionKind.AT_TIMESTAMP:
                try:
                    iterator, _ = await self._calls.iterator(place.behind)
                except AwsError as refusal:
                    if refusal.code in _TIMESTAMPS_UNKNOWN:  # older endpoints do not know the type
                        return await self._from_horizon(place)
                    raise
                # An endpoint that ignores the time reads from the trim horizon and says nothing.
                skip_before_seconds = place.behind.at_seconds
                return replace(place, iterator=iterator, skip_before_seconds=skip_before_seconds)
            case PositionKind.AFTER:
                iterator = await self._iterator_behind(place.behind)
            case _:
                iterator, _ = await self._calls.iterator(place.behind)
        return replace(place, iterator=iterator)

    async def _from_horizon(self, place: _Place) -> _Place:
        iterator, _ = await self._calls.iterator(TRIM_HORIZON)
        return replace(place, iterator=iterator, skip_before_seconds=place.behind.at_seconds)

    def _wanted(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        skip_before_seconds = self._place.skip_before_seconds
        if not skip_before_seconds:
            return records
        for index, record in enumerate(records):
            if record.at_seconds + self._resolution_seconds > skip_before_seconds:
                return records[index:]
        return ()


def _is_strange(refusal: AwsError) -> bool:
    """An error 5xx that is none of AWS's: some endpoints answer so to an iterator that they do not know."""
    return refusal.status >= 500 and refusal.code not in _OWN_FAULTS
