"""Workers on virtual time over a stream that answers at once: engine and core alone are what takes time.

Used by the benchmark of shards and by the tests of scale and fair shares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from triggerkit.core.model import (
    Children,
    Listing,
    Page,
    Position,
    Record,
    Shard,
    ShardId,
)
from triggerkit.core.options import MappingOptions
from triggerkit.core.outcome import Outcome, Succeeded
from triggerkit.ports import Event, Invocation, LeaseStore, SourceTraits
from triggerkit.runtime.assembly import assemble, lease_prefix
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.perform import MappingParts
from triggerkit.sources.dynamodb.service import TRAITS
from triggerkit.testing.clock import VirtualClock

TRIGGER = "orders"
DRAIN_SECONDS = 25.0


class InstantStream:
    """Shards by id, which the test makes. A shard with children is closed, and ends with the read `polls`."""

    def __init__(self, clock: VirtualClock, polls: int = 1, *, timed: bool = False) -> None:
        self.shards: dict[ShardId, Shard] = {}
        self.reads: Counter[ShardId] = Counter()
        self.listings = 0
        """How often all shards were listed."""
        self.searches = 0
        """How often the children of one shard were asked for."""
        self._clock = clock
        self._polls = polls
        self._timed = timed
        self._children: dict[ShardId, list[ShardId]] = {}
        self._records: list[Record] = []
        self.read_at_seconds: list[float] = []

    def put(self, number: int) -> None:
        """A record for whatever shard is read next."""
        self._records.append(Record(str(number), self._clock.now_seconds(), b"", b"{}"))

    def add(self, name: str, *parents: ShardId) -> ShardId:
        """One more shard; its parents are closed by it."""
        shard = ShardId(name)
        created_seconds = self._clock.now_seconds() if self._timed else None
        self.shards[shard] = Shard(shard, parents, created_seconds=created_seconds)
        for parent in parents:
            self.shards[parent] = replace(self.shards[parent], closed=True)
            self._children.setdefault(parent, []).append(shard)
        return shard

    def add_chain(self, length: int, name: str = "link") -> None:
        """Shards of which each but the first came out of the one before."""
        parents: tuple[ShardId, ...] = ()
        for number in range(length):
            parents = (self.add(f"{name}-{number:06}", *parents),)

    def roll(self, shard: ShardId, children: int = 1) -> list[ShardId]:
        """Close a shard; its children."""
        return [self.add(f"{shard}.{number}", shard) for number in range(children)]

    @property
    def open(self) -> list[ShardId]:
        """The shards that are not closed."""
        return [shard.id for shard in self.shards.values() if not shard.closed]

    def children_of(self, shard: ShardId) -> tuple[Shard, ...]:
        """Those that came out of it."""
        return tuple(self.shards[child] for child in self._children.get(shard, ()))

    def read(self, shard: ShardId) -> Page:
        """The records that were put since the last read."""
        self.reads[shard] += 1
        self.read_at_seconds.append(self._clock.now_seconds())
        records, self._records = tuple(self._records), []
        ended = self.shards[shard].closed and self.reads[shard] >= self._polls
        return Page(records, len(records), ended, service_seconds=self._clock.now_seconds())


@dataclass(frozen=True)
class InstantReader:
    """Implements `ports.ShardReader`."""

    stream: InstantStream
    shard: ShardId

    async def fetch(self, position: Position, limit: int) -> Page:
        del position, limit
        return self.stream.read(self.shard)

    async def close(self) -> None:
        pass


@dataclass(frozen=True)
class InstantSource:
    """Implements `ports.Source`."""

    stream: InstantStream
    clock: VirtualClock
    traits: SourceTraits = TRAITS
    arn: str = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/1"
    name: str = "stream"
    iam_actions: tuple[str, ...] = ()

    async def prepare(self) -> None:
        pass

    async def list_shards(self) -> Listing:
        self.stream.listings += 1
        now_seconds = self.clock.now_seconds()
        trim_seconds = now_seconds - TRAITS.retention_seconds
        return Listing(tuple(self.stream.shards.values()), True, now_seconds, trim_seconds)

    async def children(self, shard: ShardId) -> Children:
        self.stream.searches += 1
        return Children(self.stream.children_of(shard))

    def open(self, shard: ShardId) -> InstantReader:
        return InstantReader(self.stream, shard)

    def shard_name(self, shard: ShardId) -> str:
        return shard

    def shard_arn(self, shard: ShardId) -> str:
        return f"{self.arn}/{shard}"

    def to_event(self, raw: bytes, stream_arn: str) -> Event:
        raise AssertionError("no record is ever read")

    async def close(self) -> None:
        pass


class NoInvoker:
    """Implements `ports.Invoker` for a stream without records."""

    async def invoke(self, invocation: Invocation) -> Outcome:
        del invocation
        return Succeeded()

    async def cancel(self, request_id: str) -> None:
        del request_id


class InstantWorker:
    """A worker with a mapping for each trigger; `start` and `stop` are to be called on the loop."""

    def __init__(
        self,
        stream: InstantStream,
        store: LeaseStore,
        clock: VirtualClock,
        triggers: Iterable[str] = (TRIGGER,),
        options: MappingOptions | None = None,
    ) -> None:
        source = InstantSource(stream, clock)
        listing = SharedListing(source, clock)
        parts = [
            MappingParts(
                name,
                lease_prefix("app", name, source.name),
                source,
                listing,
                store,
                NoInvoker(),
                options=options or MappingOptions(),
            )
            for name in triggers
        ]
        self._assembly = assemble(parts, clock)

    def start(self) -> None:
        self._assembly.start()

    def held(self, trigger: str = TRIGGER) -> set[ShardId]:
        """The shards that this worker holds now."""
        return {
            shard
            for mapping in self._assembly.mappings
            if mapping.name.startswith(f"{trigger}:")
            for shard in mapping.machine.consumers
        }

    async def stop(self) -> None:
        """Let go of everything, and leave."""
        await self._assembly.drain(DRAIN_SECONDS)
        await self._assembly.close()
        await self._assembly.leave()

    async def crash(self) -> None:
        """No more signs of life; nothing is released."""
        await self._assembly.close()
