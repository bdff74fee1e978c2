"""Fakes of the ports for tests of the runtime; each implements its whole Protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from triggerkit.core.model import (
    Children,
    Listing,
    Now,
    Page,
    Position,
    PositionKind,
    Record,
    Shard,
    ShardId,
)
from triggerkit.core.outcome import Outcome, Succeeded
from triggerkit.errors import DestinationError
from triggerkit.ports import Event, FailureRecord, Invocation, SourceTraits
from triggerkit.sources.dynamodb.service import TRAITS

T = TypeVar("T")
EPOCH_SECONDS = 1_700_000_000.0


class LoopClock:
    """The running loop's time, with service time at a fixed offset."""

    def now(self) -> Now:
        monotonic = asyncio.get_running_loop().time()
        return Now(monotonic, EPOCH_SECONDS + monotonic)

    def observe_service_time(self, service_seconds: float) -> None:
        pass


async def inline(call: Callable[[], T], /) -> T:
    return call()


def record(number: int, key: str = "k") -> Record:
    raw = b'{"n":%d}' % number
    return Record(str(number), EPOCH_SECONDS + number, key.encode(), raw)


@dataclass
class FakeSource:
    """Shards as lists; a shard ends when it is closed and read."""

    shards: dict[str, list[Record]] = field(default_factory=dict)
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    failures: list[Exception] = field(default_factory=list)
    traits: SourceTraits = TRAITS
    arn: str = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/x"
    name: str = "t"
    iam_actions: tuple[str, ...] = ()

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def _shard(self, name: str) -> Shard:
        parents = tuple(ShardId(parent) for parent in self.parents.get(name, ()))
        return Shard(ShardId(name), parents, name in self.closed)

    async def prepare(self) -> None:
        self._fail()

    async def list_shards(self) -> Listing:
        self._fail()
        return Listing(
            tuple(self._shard(name) for name in self.shards),
            True,
            EPOCH_SECONDS,
            EPOCH_SECONDS - TRAITS.retention_seconds,
        )

    async def children(self, shard: ShardId) -> Children:
        self._fail()
        names = [name for name, parents in self.parents.items() if shard in parents]
        return Children(tuple(self._shard(name) for name in names))

    def open(self, shard: ShardId) -> FakeReader:
        return FakeReader(self, shard)

    def shard_name(self, shard: ShardId) -> str:
        return shard

    def shard_arn(self, shard: ShardId) -> str:
        return self.arn

    def to_event(self, raw: bytes, stream_arn: str) -> Event:
        return {"raw": raw.decode(), "arn": stream_arn}

    async def close(self) -> None:
        pass

    async def fetch(self, shard: str, position: Position, limit: int) -> Page:
        self._fail()
        records = self.shards[shard]
        start = 0
        if position.kind is PositionKind.AFTER:
            numbers = [r.sequence_number for r in records]
            start = numbers.index(position.sequence_number) + 1
        page = tuple(records[start : start + limit])
        ended = shard in self.closed and start + len(page) == len(records)
        size_bytes = sum(len(r.raw) for r in page)
        return Page(page, size_bytes, ended, service_seconds=EPOCH_SECONDS)


@dataclass
class FakeReader:
    source: FakeSource
    shard: ShardId

    async def fetch(self, position: Position, limit: int) -> Page:
        return await self.source.fetch(self.shard, position, limit)

    async def close(self) -> None:
        pass


@dataclass
class FakeInvoker:
    """Answers with `answer`; keeps what it was called with."""

    answer: Callable[[Invocation], Outcome] = lambda _: Succeeded()
    calls: list[Invocation] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def start(self) -> None:
        pass

    async def invoke(self, invocation: Invocation) -> Outcome:
        self.calls.append(invocation)
        if self.gate is not None:
            await self.gate.wait()
        return self.answer(invocation)

    async def cancel(self, request_id: str) -> None:
        self.cancelled.append(request_id)
        if self.gate is not None:
            self.gate.set()

    async def close(self) -> None:
        pass

    def numbers(self) -> list[list[int]]:
        return [[int(r.sequence_number) for r in call.batch.records] for call in self.calls]


@dataclass
class FakeDestination:
    records: list[FailureRecord] = field(default_factory=list)
    failures: int = 0

    async def prepare(self) -> None:
        pass

    async def send(self, record: FailureRecord) -> None:
        if self.failures:
            self.failures -= 1
            raise DestinationError("the destination is away", hint="wait")
        self.records.append(record)

    async def close(self) -> None:
        pass
