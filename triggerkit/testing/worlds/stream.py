"""The stream of a world as it is. Rule: the truth is read behind the API's back, past all faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from triggerkit.core.model import Record, ShardId
from triggerkit.emulator import Emulator
from triggerkit.emulator.shards import Shard, ShardGraph
from triggerkit.testing.truth import TrueShard

MOST_SHARDS = 6
"""Open ones, after which none is split."""


@dataclass(slots=True)
class KnownShard:
    """Implements `truth.TrueShard`. `name` is the service's own id."""

    id: ShardId
    name: str
    parents: tuple[ShardId, ...]
    children: list[ShardId] = field(default_factory=list)
    closed: bool = False
    gone: bool = False
    records: list[Record] = field(default_factory=list)
    trimmed: int = 0
    """So many of the oldest records are lost."""
    last_sequence: int = 0


class StreamWatch(Protocol):
    """Who is told what happens to the stream."""

    def put(self, record: Record, shard: TrueShard, created_seconds: float) -> None:
        """A record was written."""
        ...

    def lost(self, records: list[Record]) -> None:
        """Retention took these records."""
        ...


class TableStream:
    """Implements `truth.TrueStream` over one table of the emulator, whose key is `id:S`."""

    def __init__(self, emulator: Emulator, table: str, watch: StreamWatch) -> None:
        self.shards: dict[ShardId, KnownShard] = {}
        self._emulator = emulator
        self._table = table
        self._watch = watch
        self._written = 0
        emulator.call(
            "CreateTable",
            {
                "TableName": table,
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "BillingMode": "PAY_PER_REQUEST",
                "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
            },
        )
        self._arn = emulator.stream_arns(table)[-1]
        self._incarnation = self._arn.rpartition("/")[2].replace(":", "_")
        self.refresh()

    def is_listed(self, shard: ShardId, /) -> bool:
        """Whether a listing names it now."""
        known = self.shards[shard]
        return not known.gone and not self._emulator.faults.hides(known.name)

    # --- what happens to it -----------------------------------------------------------------------

    def put(self, key: int) -> None:
        """Write an item."""
        self._written += 1
        item = {"id": {"S": f"k{key}"}, "number": {"N": str(self._written)}}
        self._emulator.call("PutItem", {"TableName": self._table, "Item": item})
        self.refresh()

    def delete(self, key: int) -> None:
        """Delete an item, if it is there."""
        place = {"id": {"S": f"k{key}"}}
        self._emulator.call("DeleteItem", {"TableName": self._table, "Key": place})
        self.refresh()

    def roll(self) -> list[str]:
        """Every open shard goes on in one child; their names."""
        born = self._emulator.roll(self._table)
        self.refresh()
        return born

    def split(self, choice: int) -> list[str]:
        """An open shard goes on in two children; their names."""
        names = self._emulator.open_shards(self._table)
        if len(names) >= MOST_SHARDS:
            return []
        born = self._emulator.split(self._table, names[choice % len(names)])
        self.refresh()
        return list(born)

    def trim(self, rng: Random) -> None:
        """Some of the oldest records of one shard are lost."""
        known = [
            shard
            for shard in self.shards.values()
            if not shard.gone and len(shard.records) > shard.trimmed
        ]
        if known:
            shard = rng.choice(known)
            last = shard.records[rng.randrange(shard.trimmed, len(shard.records))]
            self._emulator.trim(self._table, shard.name, last.sequence_number)
        self.refresh()

    def let_retention_pass(self) -> None:
        """What is too old is taken now, not at the next call."""
        self._emulator.call("DescribeStream", {"StreamArn": self._arn})
        self.refresh()

    # --- inside -----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in what was written, resharded and lost since the last time."""
        graph = self._graph()
        for shard in graph.shards.values():
            known = self.shards.get(self._id(shard.shard_id))
            self._refresh(known or self._know(shard), shard)
        for known in self.shards.values():
            if not known.gone and known.name not in graph.shards:
                known.closed = known.gone = True
                self._lose(known, len(known.records))

    def _refresh(self, known: KnownShard, shard: Shard) -> None:
        known.closed = shard.closed
        for written in shard.records[shard.after(known.last_sequence) :]:
            change = written.wire["dynamodb"]
            key = change["Keys"]["id"]["S"].encode()
            at_seconds = float(change["ApproximateCreationDateTime"])
            known.records.append(Record(str(written.sequence), at_seconds, key, b""))
            known.last_sequence = written.sequence
            self._watch.put(known.records[-1], known, written.created_seconds)
        if shard.trimmed_through:
            behind = sum(int(r.sequence_number) <= shard.trimmed_through for r in known.records)
            self._lose(known, behind)

    def _lose(self, known: KnownShard, stop: int) -> None:
        if stop > known.trimmed:
            self._watch.lost(known.records[known.trimmed : stop])
            known.trimmed = stop

    def _know(self, shard: Shard) -> KnownShard:
        parents = () if shard.parent_id is None else (self._id(shard.parent_id),)
        known = KnownShard(self._id(shard.shard_id), shard.shard_id, parents)
        self.shards[known.id] = known
        for parent in parents:
            self.shards[parent].children.append(known.id)
        return known

    def _id(self, name: str) -> ShardId:
        return ShardId(f"{self._incarnation}:{name}")

    def _graph(self) -> ShardGraph:
        site = self._emulator._site  # noqa: SLF001 - no API may stand between a checker and the truth
        stream = site.store.stream(self._arn)
        assert stream is not None
        return stream.graph
