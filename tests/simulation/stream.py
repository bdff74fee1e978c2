"""A stream that rolls, splits, merges, lists late and trims. A key's records never change their order.

Sequence numbers grow over the whole stream, so the checker knows the order of writing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor
from random import Random
from zlib import crc32

from simulation.schedule import Schedule

from triggerkit.core.model import (
    Children,
    Listing,
    Page,
    Position,
    PositionKind,
    Record,
    Shard,
    ShardId,
)
from triggerkit.sources.dynamodb.service import TRAITS

OLD_SECONDS = 3600.0
YOUNG_SECONDS = 10.0
"""How long a shard may be left out of a listing that follows one with it."""


class PositionTrimmed(Exception):  # noqa: N818 - the service's answer, not a fault
    """The position is before the trim horizon."""


class Gone(Exception):  # noqa: N818
    """The shard is listed no more."""


@dataclass(slots=True)
class SimShard:
    """A shard as it is, whatever is listed."""

    id: ShardId
    parents: tuple[ShardId, ...]
    created_seconds: float
    listed_t: float
    closed_t: float = float("inf")
    closed: bool = False
    gone: bool = False
    trimmed: int = 0
    records: list[Record] = field(default_factory=list)
    children: list[ShardId] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StreamNature:
    """How this stream behaves. `timed`: shards tell when they were created, as DynamoDB's do."""

    roots: int
    keys: int
    timed: bool
    late_listing: bool
    late_siblings: bool
    reshards: tuple[str, ...] = ("roll", "roll", "split", "merge")
    """The kinds of reshard, one of which is drawn each time."""


class SimStream:
    """All shards, and what the API would answer about them."""

    def __init__(self, rng: Random, schedule: Schedule, nature: StreamNature) -> None:
        self._rng = rng
        self._schedule = schedule
        self.nature = nature
        self.shards: dict[ShardId, SimShard] = {}
        self._sequence = 0
        self._roots = [self._open(()) for _ in range(nature.roots)]

    # --- what the world does ----------------------------------------------------------------------

    def put(self) -> tuple[Record, SimShard]:
        """Write one record to the shard of a random key."""
        key = f"k{self._rng.randrange(self.nature.keys)}".encode()
        shard = self._shard_of(key)
        self._sequence += self._rng.choice((1, 1, 7, 100))
        number = str(self._sequence)
        second = float(floor(self._schedule.service_seconds))
        record = Record(number, second, key, b'{"n":%s}' % number.encode())
        shard.records.append(record)
        return record, shard

    def reshard(self) -> str:
        """Roll, split or merge; what was done."""
        live = [shard for shard in self.shards.values() if not shard.closed]
        kind = self._rng.choice(self.nature.reshards)
        is_merge = kind == "merge" and len(live) > 1
        parents = self._rng.sample(live, 2 if is_merge else 1)
        for parent in parents:
            parent.closed = True
            parent.closed_t = self._schedule.t
        ids = tuple(parent.id for parent in parents)
        delay = self._listing_delay()
        born = []
        for _ in range(2 if kind == "split" else 1):
            delay = self._listing_delay() if self.nature.late_siblings else delay
            born.append(self._open(ids, delay).id)
        return f"{kind} {ids} -> {born}"

    def trim(self) -> list[Record]:
        """Lose some of the oldest records of one shard."""
        shard = self._rng.choice(list(self.shards.values()))
        stop = self._rng.randint(shard.trimmed, len(shard.records))
        lost = shard.records[shard.trimmed : stop]
        shard.trimmed = stop
        return lost

    def days_passed(self) -> list[Record]:
        """All that is there is older than a day: records are trimmed, closed shards listed no more."""
        lost: list[Record] = []
        for shard in self.shards.values():
            lost += shard.records[shard.trimmed :]
            shard.trimmed = len(shard.records)
            shard.listed_t = min(shard.listed_t, self._schedule.t)
            shard.gone = shard.closed
        return lost

    def _listing_delay(self) -> float:
        return self._rng.choice((0.0, 0.0, 1.0, 5.0, 12.0)) if self.nature.late_listing else 0.0

    def _open(self, parents: tuple[ShardId, ...], listing_delay: float = 0.0) -> SimShard:
        listed_t = self._schedule.t + listing_delay
        if not self.nature.timed:
            # without times nobody can tell a parent that is not listed yet from one that was trimmed
            listed_t = max([listed_t, *(self.shards[p].listed_t for p in parents)])
        name = ShardId(f"inc1:shard-{len(self.shards):03}")
        shard = SimShard(name, parents, self._schedule.service_seconds, listed_t)
        self.shards[name] = shard
        for parent in parents:
            self.shards[parent].children.append(name)
        return shard

    def _shard_of(self, key: bytes) -> SimShard:
        shard = self._roots[crc32(key + b"root") % len(self._roots)]
        while shard.closed:
            shard = self.shards[
                shard.children[crc32(key + shard.id.encode()) % len(shard.children)]
            ]
        return shard

    # --- what the API answers ---------------------------------------------------------------------

    def open(self, shard: ShardId, rng: Random) -> SimReader:
        """A reader for one worker."""
        return SimReader(rng, self._schedule, self.shards[shard])

    def is_listed(self, shard: ShardId) -> bool:
        real = self.shards[shard]
        return real.listed_t <= self._schedule.t and not real.gone

    def listing(
        self, *, complete: bool, stale_seconds: float = 0.0, hides: bool = False
    ) -> Listing:
        """What is listed: as it was some seconds ago, or without one that is young, if it is so asked.

        Either way it is called complete: every page came, and the service knows no better.
        """
        as_of = self._schedule.t - stale_seconds
        real = [s for s in self.shards.values() if s.listed_t <= as_of and not s.gone]
        if hides:
            real = self._without_a_young_one(real)
        shards = [self._as_listed(shard, as_of) for shard in real]
        if not complete:
            shards = self._rng.sample(shards, self._rng.randint(0, len(shards)))
        self._rng.shuffle(shards)
        now_seconds = self._schedule.service_seconds
        trim_seconds = now_seconds - TRAITS.retention_seconds
        return Listing(tuple(shards), complete, now_seconds, trim_seconds)

    def children(self, shard: ShardId) -> Children:
        born = [self.shards[child] for child in self.shards[shard].children]
        return Children(tuple(self._as_listed(child) for child in born if self.is_listed(child.id)))

    def _without_a_young_one(self, listed: list[SimShard]) -> list[SimShard]:
        service = self._schedule.service_seconds
        young = [
            shard
            for shard in listed
            if self._schedule.t - shard.listed_t < YOUNG_SECONDS
            and service - shard.created_seconds < OLD_SECONDS
        ]
        hidden = self._rng.choice(young) if young else None
        return [shard for shard in listed if shard is not hidden]

    def _as_listed(self, shard: SimShard, as_of: float = float("inf")) -> Shard:
        created = shard.created_seconds if self.nature.timed else None
        return Shard(shard.id, shard.parents, shard.closed_t <= as_of, created)


class SimReader:
    """Reads one shard for one worker; keeps the place of an iterator that was opened at the tip."""

    def __init__(self, rng: Random, schedule: Schedule, shard: SimShard) -> None:
        self._rng = rng
        self._schedule = schedule
        self._shard = shard
        self._opened_at: int | None = None
        self._pinned_seconds = 0.0

    def fetch(self, position: Position, limit: int, *, stingy: bool) -> Page:
        """One page; `stingy` pages are small, and some are empty though records follow."""
        shard, service = self._shard, self._schedule.service_seconds
        if shard.gone:
            raise Gone
        if position.kind is PositionKind.LATEST and position.at_seconds == 0.0:
            self._opened_at, self._pinned_seconds = len(shard.records), service
            return Page(service_seconds=service, pinned_seconds=service)
        start = self._index_behind(position)
        size = limit
        if stingy:
            size = min(limit, self._rng.choice((0, 1, 2, 5, 20)))
        records = tuple(shard.records[start : start + size])
        is_all = start + len(records) >= len(shard.records)
        told = shard.closed and self._is_end(records, is_all=is_all)
        return Page(
            records=records,
            size_bytes=sum(len(record.raw) for record in records),
            ended=told,
            service_seconds=service,
        )

    def _is_end(self, records: Sequence[Record], *, is_all: bool) -> bool:
        """The end comes with the last records, or on an empty page behind them."""
        return is_all and (not records or self._rng.random() < 0.5)

    def _index_behind(self, position: Position) -> int:
        shard = self._shard
        match position.kind:
            case PositionKind.TRIM_HORIZON:
                return shard.trimmed
            case PositionKind.LATEST:
                if self._opened_at is not None and position.at_seconds == self._pinned_seconds:
                    return max(self._opened_at, shard.trimmed)
                return self._first_from(floor(position.at_seconds))
            case PositionKind.AT_TIMESTAMP:
                return self._first_from(position.at_seconds)
            case PositionKind.AFTER:
                numbers = [record.sequence_number for record in shard.records]
                start = numbers.index(position.sequence_number) + 1
                if start < shard.trimmed or (start == shard.trimmed and self._rng.random() < 0.3):
                    raise PositionTrimmed
                return start
            case PositionKind.SHARD_END:
                raise AssertionError("a finished shard is never read")

    def _first_from(self, at_seconds: float) -> int:
        records = self._shard.records
        for index in range(self._shard.trimmed, len(records)):
            if records[index].at_seconds >= at_seconds:
                return index
        return len(records)
