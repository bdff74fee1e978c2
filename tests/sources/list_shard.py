"""A shard that is a list, and a reader of it; both for tests of the reader."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sources.fakes import MovableClock

from triggerkit.aws.errors import AwsError
from triggerkit.aws.transport import Reply
from triggerkit.core.model import Page, Position, PositionKind, Record, after
from triggerkit.sources.dynamodb.incarnations import TableState
from triggerkit.sources.dynamodb.reader import DynamoDBShardReader, ShardConnection
from triggerkit.sources.dynamodb.service import StreamArn, parse_stream_arn
from triggerkit.sources.shards.lineage import ListedShard, ListedStream
from triggerkit.sources.shards.track import Sharing

ARN = parse_stream_arn(
    "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/2026-01-01T00:00:00.000"
)
SHARD = "shardId-00000001764085655123-0a1b2c3d"
DATE_SECONDS = 1_764_085_700.0


class ListShard:
    """A shard whose records are a list. It is the API, the transport, and the log of what was asked.

    `faults` holds what the next GetRecords raise or say: an error, or "null" for a null iterator that
    tells nothing, or "empty" for an empty page in the middle.
    """

    may_begin_again = False

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.closed = False
        self.trimmed = 0
        self.stream_gone = False
        self.refuses: set[str] = set()
        self.valid_from = 0
        self.asked: list[str] = []
        self.faults: list[Exception | str] = []
        self.gate: asyncio.Event | None = None
        self.reading = 0
        self.most_reading = 0
        self._iterators: list[int] = []

    def write(self, count: int, at_seconds: float = DATE_SECONDS) -> None:
        for _ in range(count):
            number = str(len(self.records))
            change = {"SequenceNumber": number, "ApproximateCreationDateTime": at_seconds}
            self.records.append({"eventName": "INSERT", "dynamodb": change})

    def expire(self) -> None:
        self.valid_from = len(self._iterators)

    # --- StreamsApi ---

    async def list_stream(self, arn: StreamArn) -> tuple[ListedStream, float]:
        """The shard stays listed, whatever its calls come to."""
        shard = ListedShard(SHARD, None, self.closed)
        return ListedStream(arn.incarnation, True, arn.made_seconds, (shard,)), DATE_SECONDS

    async def shard_iterator(
        self, arn: StreamArn, shard: str, position: Position
    ) -> tuple[str, float]:
        self.asked.append(f"{position.kind.value} {position.sequence_number}".strip())
        refusal = self.refuses & {"iterator", position.kind.value}
        if refusal:
            code = (
                "ValidationException" if "AT_TIMESTAMP" in refusal else "ResourceNotFoundException"
            )
            raise refused(code)
        match position.kind:
            case PositionKind.TRIM_HORIZON:
                start = self.trimmed
            case PositionKind.LATEST:
                start = len(self.records)
            case PositionKind.AFTER:
                start = int(position.sequence_number) + 1
                if start < self.trimmed:
                    raise refused("TrimmedDataAccessException")
            case _:
                raise AssertionError(position)
        return self._iterator(start), DATE_SECONDS

    async def stream_exists(self, arn: StreamArn) -> bool:
        return not self.stream_gone

    # --- Transport ---

    async def get_records(self, iterator: str, limit: int) -> Reply:
        self.asked.append(f"GetRecords {limit}")
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(0)
            return self._answer(int(iterator), limit)
        finally:
            self.reading -= 1

    def _answer(self, iterator: int, limit: int) -> Reply:
        fault = self.faults.pop(0) if self.faults else ""
        if isinstance(fault, Exception):
            raise fault
        if iterator < self.valid_from:
            raise refused("ExpiredIteratorException")
        start = self._iterators[iterator]
        if start < self.trimmed:
            raise refused("TrimmedDataAccessException")
        page = [] if fault else self.records[start : start + limit]
        ends = fault == "null" or (self.closed and start + len(page) == len(self.records))
        answer: dict[str, Any] = {"Records": page}
        if not ends:
            answer["NextShardIterator"] = self._iterator(start + len(page))
        return Reply(json.dumps(answer).encode(), DATE_SECONDS)

    def _iterator(self, start: int) -> str:
        self._iterators.append(start)
        return str(len(self._iterators) - 1)

    def count(self, word: str) -> int:
        return sum(asked.startswith(word) for asked in self.asked)


def refused(code: str, status: int = 400) -> AwsError:
    return AwsError(code, "no", status, action="dynamodb:GetRecords", thing=f"shard {SHARD}")


class NoTable:
    """Implements what a reader asks of `Incarnations`: nothing is known of the table."""

    async def look(self, least_seconds: float) -> TableState:
        return TableState.UNKNOWN

    def newer_than(self, arn: StreamArn) -> None:
        return None

    def forget(self, arn: StreamArn) -> None:
        pass


class Shared:
    """A reader of `shard` as `mappings` mappings have it open."""

    def __init__(self, shard: ListShard, mappings: int = 1, budget_bytes: int = 2**20) -> None:
        self.clock = MovableClock()
        connection = ShardConnection(shard, shard, self.clock, ARN, SHARD, NoTable())  # type: ignore[arg-type]
        self.reader = DynamoDBShardReader(
            connection,
            self.clock,
            sharing=Sharing(lambda: budget_bytes, lambda: mappings > 1),
            resolution_seconds=1.0,
            on_close=lambda: True,
        )

    async def fetch(self, position: Position, limit: int = 100) -> Page:
        return await self.reader.fetch(position, limit)


def numbers(page: Page) -> list[int]:
    return [int(record.sequence_number) for record in page.records]


def at(number: int) -> Position:
    return after(Record(str(number), 0.0, b"", b""))


def pin(at_seconds: float) -> Position:
    return Position(PositionKind.LATEST, at_seconds=at_seconds)
