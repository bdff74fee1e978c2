"""What the order of a shard's records says about an endpoint that does not keep it.

Sequence numbers of one shard rise, and so do checkpoints. A record that comes again is known by its number and
its bytes and is left out. One that was not seen is handed on, or an error says why not: it comes behind a
greater number, its number is that of another record, or the checkpoint belongs to another numbering.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Callable
from itertools import pairwise

from triggerkit.aws.errors import AwsError
from triggerkit.core.model import TRIM_HORIZON, Position, PositionKind, Record
from triggerkit.errors import DamagedReplyError, PositionImpossibleError, SourceError
from triggerkit.sources.shards.calls import ShardCalls
from triggerkit.sources.shards.times import END_SECONDS

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


def checksum_of(record: Record) -> int:
    """The same for one record however its members are ordered, which some endpoints do anew each time.

    The low half of Adler-32 is the sum of all bytes.
    """
    return len(record.raw) << 16 | zlib.adler32(record.raw) & 0xFFFF


class Recent:
    """The numbers of the last pages, each with a checksum of its record."""

    def __init__(self) -> None:
        self._pages: deque[dict[str, int]] = deque()
        self._count = 0

    def put(self, records: tuple[Record, ...]) -> None:
        """Remember a page."""
        self._pages.append({one.sequence_number: checksum_of(one) for one in records})
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

    What is left is put in order: a page may be out of order in itself.

    Raises:
        DamagedReplyError: two records have one number, or a record comes behind a greater number.
        PositionImpossibleError: the checkpoint belongs to another numbering.
    """
    fresh: dict[str, int] = {}
    found: list[Record] = []
    for record in records:
        number, checksum = record.sequence_number, checksum_of(record)
        before = fresh.get(number)
        if before is None:
            before = known(number)
        if before is not None and before != checksum:
            raise DamagedReplyError(
                f"dynamodb:GetRecords on {thing}: two different records have the sequence number {number}",
                hint="this is a fault of the endpoint: no position can tell the two apart, so none is handed on",
            )
        if before is not None or (reopened and _was_done(position, record, thing)):
            continue
        fresh[number] = checksum
        found.append(record)
    return _in_order(position, found, thing)


def _in_order(position: Position, records: list[Record], thing: str) -> tuple[Record, ...]:
    try:
        records.sort(key=lambda record: int(record.sequence_number))
        behind = int(position.sequence_number) if position.kind is PositionKind.AFTER else -1
        late = records and int(records[0].sequence_number) <= behind
    except ValueError:  # numbers that are none have no order
        return tuple(records)
    if late:
        raise DamagedReplyError(
            f"dynamodb:GetRecords on {thing}: out of order: the record {records[0].sequence_number} comes "
            f"behind {position.sequence_number}",
            hint="this is a fault of the endpoint: a checkpoint cannot go back, so nothing is handed on until it "
            "sends what it has in order",
        )
    return tuple(records)


def _was_done(position: Position, record: Record, thing: str) -> bool:
    """Whether an endpoint began before the position that it was asked for; by time it has to be before, too."""
    if position.kind is not PositionKind.AFTER:
        return False
    try:
        ahead = int(record.sequence_number) - int(position.sequence_number)
    except ValueError:
        return record.sequence_number == position.sequence_number
    if ahead <= 0 and _is_younger(record, position, same_number=ahead == 0):
        raise impossible(position, thing, "records from after it have smaller numbers")
    return ahead <= 0


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
        self._oldest: tuple[str, int] | None = None
        self._look_at_seconds: float | None = None

    async def look(self, position: Position) -> None:
        """Look at the oldest record, now. Raises PositionImpossibleError; other errors say nothing.

        What is concluded is asked for twice: one answer alone may be damaged.
        """
        if position.kind is not PositionKind.AFTER:
            return
        record = await self._oldest_record()
        if record is None:
            return
        why = self._contradiction(record, position)
        if why or self._oldest is None:
            again = await self._oldest_record()
            if again is None or checksum_of(again) != checksum_of(record):
                return
        if why:
            self._look_at_seconds = 0.0  # until it is another answer, nothing else is worth asking
            raise impossible(position, self._calls.thing, why)
        self._oldest = record.sequence_number, checksum_of(record)

    async def look_when_due(self, position: Position) -> None:
        """The same for a shard that is idle, from time to time."""
        now_seconds = asyncio.get_running_loop().time()
        if self._look_at_seconds is None:
            self._look_at_seconds = now_seconds + LOOK_SECONDS
        elif now_seconds >= self._look_at_seconds:
            await self.look(position)

    async def _oldest_record(self) -> Record | None:
        self._look_at_seconds = asyncio.get_running_loop().time() + LOOK_SECONDS
        try:
            iterator, _ = await self._calls.iterator(TRIM_HORIZON)
            page = await self._calls.records(iterator, 1)
        except (AwsError, SourceError):
            return None
        return page.records[0] if page.records else None

    def _contradiction(self, record: Record, position: Position) -> str:
        """Why this cannot be the oldest record of the shard that the checkpoint is from; empty if it can."""
        try:
            number, checkpoint = int(record.sequence_number), int(position.sequence_number)
            oldest = int(self._oldest[0]) if self._oldest else number
        except ValueError:
            return ""
        changed = self._oldest is not None and self._oldest[1] != checksum_of(record)
        if number < oldest or (number == oldest and changed):
            return "the shard's oldest record is another one now"
        if number == checkpoint and _is_younger(record, position, same_number=True):
            return "the record with this number is another one"
        too_young = record.at_seconds > position.at_seconds + self._resolution_seconds
        if number < checkpoint and too_young and _is_younger(record, position, same_number=False):
            return "records from after it have smaller numbers"
        return ""
