"""The shards of one stream, of DynamoDB or Kinesis: parents and children, which key goes where, what is kept.

The open shards of an enabled stream cover the hash space without gap or overlap, so every write has exactly one
shard; children start where their parent ended, so a key's records stay in order along the lineage. Sequence numbers
grow over the whole emulator and are compared as integers.
Source: Streams API reference, DescribeStream; rules S-9 to S-16.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from triggerkit.emulator.errors import not_found

HASH_SPACE = 2**128
RETENTION_SECONDS = 24 * 3600
KINESIS_OFFSET = 495 * 10**53
"""Sequence numbers of Kinesis have 56 digits."""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One change as it lies in a shard; `wire` is the record as GetRecords answers it."""

    sequence: int
    created_seconds: float
    size_bytes: int
    wire: dict[str, Any]


@dataclass(slots=True)
class Shard:
    """One shard; it takes the keys whose hash is in [low, high)."""

    shard_id: str
    parent_id: str | None
    low: int
    high: int
    created_seconds: float
    starting_sequence: int
    ending_sequence: int | None = None
    closed_seconds: float | None = None
    trimmed_through: int = 0
    adjacent_parent_id: str | None = None
    records: list[StreamRecord] = field(default_factory=list)

    @property
    def closed(self) -> bool:
        """Whether no record can come any more."""
        return self.ending_sequence is not None

    @property
    def latest_sequence(self) -> int:
        """The greatest number that belongs to this shard so far."""
        if self.ending_sequence is not None:
            return self.ending_sequence
        if self.records:
            return self.records[-1].sequence
        return self.horizon

    @property
    def horizon(self) -> int:
        """The number after which the oldest record that is kept lies."""
        return max(self.starting_sequence, self.trimmed_through)

    def before(self, seconds: float) -> int:
        """Return the number after which the records of that time and later lie."""
        earlier = [r.sequence for r in self.records if r.created_seconds < seconds]
        return earlier[-1] if earlier else self.horizon

    def after(self, sequence: int) -> int:
        """Return the index of the first record whose number is greater than `sequence`."""
        return bisect_right(self.records, sequence, key=lambda record: record.sequence)

    def holds(self, sequence: int) -> bool:
        """Return whether a record that is still kept has this number."""
        index = self.after(sequence - 1)
        return index < len(self.records) and self.records[index].sequence == sequence

    def drop_through(self, sequence: int) -> None:
        """Forget all records up to `sequence`."""
        count = self.after(sequence)
        if count:
            self.trimmed_through = self.records[count - 1].sequence
            del self.records[:count]


@dataclass(slots=True)
class ShardGraph:
    """All shards of one stream that are still listed. `next_sequence` gives growing numbers.

    `offset` makes those of Kinesis as long as they are there, and its shard ids count from 0.
    """

    salt: str
    next_sequence: Callable[[], int]
    offset: int = 0
    shards: dict[str, Shard] = field(default_factory=dict)
    _open: list[Shard] = field(default_factory=list)
    _bounds: list[int] = field(default_factory=list)
    _next_retention_seconds: float = 0.0
    _placed: dict[str, str] = field(default_factory=dict)
    _hashed: bool = False

    def grow(self, count: int, now_seconds: float) -> None:
        """Add `count` open roots that share the hash space; called once, when the stream begins."""
        edges = [HASH_SPACE * index // count for index in range(count + 1)]
        for low, high in pairwise(edges):
            self._add(None, low, high, now_seconds)
        self._index()

    def restore(self, shards: Iterable[Shard]) -> None:
        """Take up the shards of an earlier life; called once, instead of `grow`."""
        self.shards = {shard.shard_id: shard for shard in shards}
        self._hashed = True
        self._open = [shard for shard in self.shards.values() if not shard.closed]
        self._index()

    def shard(self, shard_id: str) -> Shard:
        """Return a listed shard.

        Raises:
            EmulatorError: ResourceNotFoundException.
        """
        found = self.shards.get(shard_id)
        if found is None:
            raise not_found("Requested resource not found: Shard does not exist")
        return found

    def route(self, key: str) -> Shard:
        """Return the open shard that takes records of the partition key `key` (canonical text)."""
        if key in self._placed and (placed := self._open_below(key)) is not None:
            return placed
        self._hashed = True
        if len(self._open) == 1:
            return self._open[0]
        return self._open[bisect_right(self._bounds, key_hash(key)) - 1]

    def place(self, key: str, shard_id: str) -> Shard:
        """Let records of `key` go to a shard or, where it is closed, below it; return the open one.

        A key that has records elsewhere stays there unless `shard_id` descends from that shard: its records
        stay in order. It also stays where it would be by its hash when no shard of that id is listed.
        """
        last = self._placed.get(key)
        if last is None and self._hashed:
            last = self.route(key).shard_id
        if last is None or last not in self.shards or self._descends(shard_id, last):
            self._placed[key] = shard_id
        return self.route(key)

    def open_shards(self) -> tuple[Shard, ...]:
        """Return the open shards in the order of their hash ranges."""
        return tuple(self._open)

    def listed(self) -> list[Shard]:
        """Return all shards in the order of their ids, which is how they are paged."""
        return sorted(self.shards.values(), key=lambda shard: shard.shard_id)

    def children(self, shard_id: str) -> list[Shard]:
        """Return the shards of which `shard_id` is a parent."""
        return [
            shard
            for shard in self.listed()
            if shard_id in (shard.parent_id, shard.adjacent_parent_id)
        ]

    def number(self) -> int:
        """Return the next sequence number of this stream."""
        return self.offset + self.next_sequence()

    def roll(self, shard_id: str, now_seconds: float) -> str:
        """Close a shard and go on in one child; return the child's id."""
        parent = self._close(shard_id, now_seconds)
        child = self._add(parent.shard_id, parent.low, parent.high, now_seconds)
        self._index()
        return child.shard_id

    def split(self, shard_id: str, now_seconds: float, at: int | None = None) -> tuple[str, str]:
        """Close a shard and go on in two children; `at` is the first hash of the second one."""
        shard = self.shard(shard_id)
        middle = (shard.low + shard.high) // 2 if at is None else at
        if not shard.low < middle < shard.high:
            raise ValueError(f"{middle} does not lie inside the hash range of {shard_id}")
        parent = self._close(shard_id, now_seconds)
        left = self._add(parent.shard_id, parent.low, middle, now_seconds)
        right = self._add(parent.shard_id, middle, parent.high, now_seconds)
        self._index()
        return left.shard_id, right.shard_id

    def merge(self, shard_id: str, adjacent_id: str, now_seconds: float) -> str:
        """Close two neighbours, the lower one first, and go on in one child; return its id."""
        shard, adjacent = self.shard(shard_id), self.shard(adjacent_id)
        if shard.high != adjacent.low:
            raise ValueError(f"{adjacent_id} does not begin where {shard_id} ends")
        for each in (shard_id, adjacent_id):
            self._close(each, now_seconds)
        child = self._add(shard_id, shard.low, adjacent.high, now_seconds)
        child.adjacent_parent_id = adjacent_id
        self._index()
        return child.shard_id

    def close_all(self, now_seconds: float) -> None:
        """Close every open shard without children, as disabling the stream does."""
        for shard in self.open_shards():
            self._close(shard.shard_id, now_seconds)
        self._index()

    def retain(self, now_seconds: float, retention_seconds: float = RETENTION_SECONDS) -> bool:
        """Forget records older than the retention, and closed shards that have nothing left.

        Returns whether anything went. It looks once a second, since reads ask for it all the time.
        """
        if now_seconds < self._next_retention_seconds:
            return False
        self._next_retention_seconds = now_seconds + 1
        horizon = now_seconds - retention_seconds
        changed = False
        for shard in list(self.shards.values()):
            if shard.records and shard.records[0].created_seconds < horizon:
                count = bisect_right(
                    shard.records, horizon, key=lambda record: record.created_seconds
                )
                shard.drop_through(shard.records[count - 1].sequence)
                changed = True
            done = shard.closed_seconds is not None and shard.closed_seconds < horizon
            if done and not shard.records:
                del self.shards[shard.shard_id]
                changed = True
        return changed

    def drop(self, shard_id: str) -> None:
        """Take a closed shard off the listing at once, with its records."""
        if not self.shard(shard_id).closed:
            raise ValueError(f"{shard_id} is open; only a closed shard leaves the listing")
        del self.shards[shard_id]

    def _open_below(self, key: str) -> Shard | None:
        """Return the open shard to which a placed key has come, None where its lineage is gone."""
        shard = self.shards.get(self._placed[key])
        while shard is not None and shard.closed:
            below = self.children(shard.shard_id)
            shard = below[key_hash(key) % len(below)] if below else None
        if shard is None:
            del self._placed[key]
        else:
            self._placed[key] = shard.shard_id
        return shard

    def _descends(self, shard_id: str, ancestor_id: str) -> bool:
        each: str | None = shard_id
        while each is not None and each != ancestor_id:
            shard = self.shards.get(each)
            each = None if shard is None else shard.parent_id
        return each is not None

    def _add(self, parent_id: str | None, low: int, high: int, now_seconds: float) -> Shard:
        sequence = self.number()
        shard_id = self._name(sequence, now_seconds)
        shard = Shard(shard_id, parent_id, low, high, now_seconds, sequence)
        self.shards[shard_id] = shard
        self._open.append(shard)
        return shard

    def _name(self, sequence: int, now_seconds: float) -> str:
        if self.offset:
            taken = [int(shard_id.rpartition("-")[2]) for shard_id in self.shards]
            return f"shardId-{max(taken, default=-1) + 1:012d}"
        digest = hashlib.md5(f"{self.salt}{sequence}".encode(), usedforsecurity=False).hexdigest()
        return f"shardId-{int(now_seconds * 1000):020d}-{digest[:8]}"

    def _close(self, shard_id: str, now_seconds: float) -> Shard:
        shard = self.shard(shard_id)
        if shard.closed:
            raise ValueError(f"{shard_id} is closed already")
        shard.ending_sequence = self.number()
        shard.closed_seconds = now_seconds
        self._open.remove(shard)
        return shard

    def _index(self) -> None:
        self._open.sort(key=lambda shard: shard.low)
        self._bounds = [shard.low for shard in self._open]


def key_hash(key: str) -> int:
    """Return where a partition key lies in the hash space."""
    digest = hashlib.md5(key.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest, "big")
