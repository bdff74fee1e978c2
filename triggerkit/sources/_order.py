"""What the order of a shard's records says about an endpoint that does not keep it.

Sequence numbers of one shard rise. A record that comes again is known by its number and its bytes and is
left out; nothing else is. So a record that was not seen is handed on, whatever its number, and where a
number means two different records, or a checkpoint belongs to another numbering, an error says so.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

from triggerkit.aws.errors import AwsError
from triggerkit.core.model import TRIM_HORIZON, Position, PositionKind, Record
from triggerkit.errors import DamagedReplyError, PositionImpossibleError, SourceError
from triggerkit.sources._pages import Decoded
from triggerkit.sources._times import END_SECONDS

REMEMBERED_RECORDS = 1000
"""As many as a page has: endpoints that repeat records repeat those of the page before."""
LOOK_SECONDS = 10.0
"""How long a shard may be idle before its first record is looked at again."""
_TIME = b'"ApproximateCreationDateTime"'
_WAY_OUT = (
    "the endpoint's numbers began again, so this checkpoint means nothing there: start the worker with an "
    "empty state (--state sqlite:///.triggerkit/new.db), or give the trigger another name (name= in its "
    "decorator); with starting_position TRIM_HORIZON everything that the stream holds is read"
)


class ShardCalls(Protocol):
    """The two questions about one shard."""

    @property
    def thing(self) -> str:
        """What errors call it."""
        ...

    async def iterator(self, position: Position) -> tuple[str, float]:
        """An iterator, and the service's time when it was made. Raises AwsError, SourceError."""
        ...

    async def records(self, iterator: str, limit: int) -> Decoded:
        """One page. Raises AwsError, SourceError."""
        ...


class Recent:
    """The numbers of the last pages, each with a checksum of its record."""

    def __init__(self) -> None:
        self._pages: deque[dict[str, int]] = deque()
        self._count = 0

    def put(self, records: tuple[Record, ...]) -> None:
        """Remember a page."""
        self._pages.append({one.sequence_number: zlib.crc32(one.raw) for one in records})
        self._count += len(self._pages[-1])
        while self._count - len(self._pages[0]) >= REMEMBERED_RECORDS:
            self._count -= len(self._pages.popleft())

    def find(self, number: str) -> int | None:
        """The checksum of the record with that number, if it is remembered."""
        for page in reversed(self._pages):
            if number in page:
                return page[number]
        return None


def rising_behind(position: Position, records: tuple[Record, ...]) -> bool:
    """Whether the records are behind `position` in strictly rising order, as they have to be."""
    try:
        numbers = [int(record.sequence_number) for record in records]
        if position.kind is PositionKind.AFTER:
            numbers.insert(0, int(position.sequence_number))
    except ValueError:  # numbers that are none have no order
        return False
    return all(one < other for one, other in pairwise(numbers))


def unseen(
    position: Position,
    records: tuple[Record, ...],
    known: Callable[[str], int | None],
    thing: str,
    *,
    reopened: bool,
) -> tuple[Record, ...]:
    """The records of a page that is out of order, without those that came before.

    `known` is the checksum of a record that was seen lately. `reopened`: the page is the first one of an
    iterator that was made for `position`, so that nothing at or before it belongs there.

    Raises:
        DamagedReplyError: two records have one number. PositionImpossibleError: see `_belongs_before`.
    """
    fresh: dict[str, int] = {}
    found: list[Record] = []
    for record in records:
        number, checksum = record.sequence_number, zlib.crc32(record.raw)
        before = fresh.get(number)
        if before is None:
            before = known(number)
        if before is not None and before != checksum:
            raise DamagedReplyError(
                f"dynamodb:GetRecords on {thing}: two different records have the sequence number {number}",
                hint="this is a fault of the endpoint: no position can tell the two apart, so none is handed on",
            )
        if before is not None or (reopened and _is_the_checkpoint(position, record, thing)):
            continue
        fresh[number] = checksum
        found.append(record)
    return tuple(found)


def _is_the_checkpoint(position: Position, record: Record, thing: str) -> bool:
    """Whether this is the record at `position` itself; one that cannot be before it is an error."""
    if position.kind is not PositionKind.AFTER:
        return False
    try:
        ahead = int(record.sequence_number) - int(position.sequence_number)
    except ValueError:
        return record.sequence_number == position.sequence_number
    if ahead <= 0 and _is_younger(record, position, same_number=ahead == 0):
        raise impossible(position, thing, "records from after it have smaller numbers")
    return ahead == 0


def _is_younger(record: Record, position: Position, *, same_number: bool) -> bool:
    """Whether the record was certainly made after the one that `position` names."""
    if not 0.0 < position.at_seconds < END_SECONDS or _TIME not in record.raw:
        return False  # no time was told: what it says is that of its reply
    if same_number:
        return record.at_seconds != position.at_seconds
    return record.at_seconds > position.at_seconds


def impossible(position: Position, thing: str, why: str) -> PositionImpossibleError:
    """The error for a checkpoint that belongs to another numbering."""
    return PositionImpossibleError(
        f"the checkpoint {position.sequence_number} cannot belong to {thing}: {why}", hint=_WAY_OUT
    )


class Numbering:
    """Whether the numbers of a shard are those that a checkpoint is from.

    An endpoint that was started anew may use ARN, shard ids and numbers again. It then takes a checkpoint
    from before and says nothing until its numbers have passed it. The oldest record that the shard holds
    shows it: it never gets older, and it is never younger than what a checkpoint behind it names.
    """

    def __init__(self, calls: ShardCalls, resolution_seconds: float) -> None:
        self._calls = calls
        self._resolution_seconds = resolution_seconds
        self._oldest: tuple[int, int] | None = None
        self._look_at_seconds = 0.0

    async def look(self, position: Position) -> None:
        """Look at the oldest record, now. Raises PositionImpossibleError; other errors say nothing."""
        self._look_at_seconds = asyncio.get_running_loop().time() + LOOK_SECONDS
        if position.kind is not PositionKind.AFTER:
            return
        try:
            iterator, _ = await self._calls.iterator(TRIM_HORIZON)
            page = await self._calls.records(iterator, 1)
        except (AwsError, SourceError):
            return
        if page.records:
            self._judge(page.records[0], position)

    async def look_when_due(self, position: Position) -> None:
        """The same for a shard that is idle, from time to time."""
        if asyncio.get_running_loop().time() >= self._look_at_seconds:
            await self.look(position)

    def _judge(self, record: Record, position: Position) -> None:
        try:
            number, checkpoint = int(record.sequence_number), int(position.sequence_number)
        except ValueError:
            return
        oldest, now = self._oldest, (number, zlib.crc32(record.raw))
        if oldest is not None and (number < oldest[0] or (number == oldest[0] and now != oldest)):
            raise impossible(
                position, self._calls.thing, "the shard's oldest record is another one now"
            )
        if number == checkpoint and _is_younger(record, position, same_number=True):
            raise impossible(
                position, self._calls.thing, "the record with this number is another one"
            )
        slack_seconds = self._resolution_seconds
        too_young = record.at_seconds > position.at_seconds + slack_seconds
        if number < checkpoint and too_young and _is_younger(record, position, same_number=False):
            raise impossible(
                position, self._calls.thing, "records from after it have smaller numbers"
            )
        self._oldest = now
