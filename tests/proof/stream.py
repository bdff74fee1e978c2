"""The true stream of a world, read inside the emulator, without any of the faults."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from emulator.dialects import speak
from proof.facts import TrueShard, Violation
from proof.plan import Event, StreamPlan

from triggerkit.core.model import Record, ShardId
from triggerkit.emulator import Emulator, EmulatorError
from triggerkit.emulator.model import Stream
from triggerkit.emulator.shards import Shard

TURNED_ON = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
MOST_SHARDS = 6
"""Open ones, after which none is split."""


def make_table(emulator: Emulator, table: str) -> None:
    """A table with the key `id:S`, its stream on."""
    request = {
        "TableName": table,
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": TURNED_ON,
    }
    emulator.call("CreateTable", request)


@dataclass(slots=True)
class KnownShard:
    """Implements `truth.TrueShard`. `stream` and `name` are what the service calls it."""

    id: ShardId
    stream: str
    name: str
    parents: tuple[ShardId, ...] = ()
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
    """Implements `truth.TrueStream` over one table of the emulator; what happens to it needs the key `id:S`.

    Nothing of it is known before the first `refresh`.
    """

    def __init__(self, emulator: Emulator, table: str, watch: StreamWatch) -> None:
        self.shards: dict[ShardId, KnownShard] = {}
        self._emulator = emulator
        self._table = table
        self._watch = watch
        self._written = 0
        self._is_on = True

    @property
    def site(self) -> str:
        """Account and Region, as lease keys name them."""
        _, _, _, region, account, _ = self._emulator.stream_arns(self._table)[-1].split(":", 5)
        return f"{account}/{region}"

    def is_listed(self, shard: ShardId, /) -> bool:
        """Whether a listing names it now."""
        incarnation, _, name = shard.partition(":")
        listings, now_seconds = self._emulator.faults.listings, self._emulator.clock.now_seconds()
        for stream in self._streams():
            found = stream.graph.shards.get(name)
            if stream.label.replace(":", "_") == incarnation and found is not None:
                return bool(listings.shown([found], now_seconds))
        return False

    def list_like(self, plan: StreamPlan) -> None:
        """Let listings have pages and an order, which are no faults."""
        faults = self._emulator.faults
        faults.listing_page_size(plan.page_shards)
        faults.reorder_listings(plan.reordered)

    def be_like(self, plan: StreamPlan) -> None:
        """Let the service show the stream so, until its faults are cleared."""
        faults = self._emulator.faults
        self.list_like(plan)
        faults.describe_lag(plan.lag_seconds, plan.lag_spread_seconds)
        faults.visibility_delay(plan.visible_after_seconds)
        faults.limit_readers(plan.most_readers)
        speak(self._emulator, *plan.quirks)

    # --- what happens to it -----------------------------------------------------------------------

    def happen(self, event: Event, rng: Random) -> list[str]:
        """Let something happen to it; the names of the shards that are born by it."""
        match event.kind:
            case "put":
                self.put(event.key)
            case "delete":
                self.delete(event.key)
            case "roll":
                return self.roll()
            case "split":
                return self.split(event.key)
            case "trim":
                self.trim(rng)
            case _:
                raise Violation(f"no stream can {event.kind}")
        return []

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
        born = self._emulator.roll(self._table) if self._is_on else []
        self.refresh()
        return born

    def split(self, choice: int) -> list[str]:
        """An open shard goes on in two children; their names."""
        names = self._emulator.open_shards(self._table) if self._is_on else []
        if not 0 < len(names) < MOST_SHARDS:
            return []
        born = self._emulator.split(self._table, names[choice % len(names)])
        self.refresh()
        return list(born)

    def turn_off(self) -> None:
        """The stream ends: its shards close, and what is written leaves no record."""
        self._turn({"StreamEnabled": False})

    def turn_on(self) -> None:
        """Another stream begins; its first shards go on behind the last ones of the one before."""
        self._turn(TURNED_ON)

    def _turn(self, specification: dict[str, object]) -> None:
        if self._is_on == specification["StreamEnabled"]:
            return
        request = {"TableName": self._table, "StreamSpecification": specification}
        self._emulator.call("UpdateTable", request)
        self._is_on = not self._is_on
        self.refresh()

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
            self._emulator.trim(shard.stream, shard.name, last.sequence_number)
        self.refresh()

    def let_retention_pass(self) -> None:
        """What is too old is taken now, not at the next call."""
        for arn in self._emulator.stream_arns(self._table):
            with suppress(EmulatorError):  # a stream that was turned off may go as a whole
                self._emulator.peek("DescribeStream", {"StreamArn": arn})
        self.refresh()

    # --- inside -----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in what was written, resharded and lost since the last time."""
        leaves: tuple[ShardId, ...] = ()
        kept: set[ShardId] = set()
        for stream in self._streams():
            incarnation = stream.label.replace(":", "_")
            for shard in stream.graph.shards.values():
                shard_id = ShardId(f"{incarnation}:{shard.shard_id}")
                kept.add(shard_id)
                if shard_id not in self.shards:
                    self._know(KnownShard(shard_id, stream.arn, shard.shard_id), shard, leaves)
                self._refresh(self.shards[shard_id], shard)
            leaves = tuple(
                known.id
                for known in self.shards.values()
                if known.id.startswith(incarnation)
                and not any(child.startswith(incarnation) for child in known.children)
            )
        for known in self.shards.values():
            if not known.gone and known.id not in kept:
                known.closed = known.gone = True
                self._lose(known, len(known.records))

    def _refresh(self, known: KnownShard, shard: Shard) -> None:
        known.closed = shard.closed
        for written in shard.records[shard.after(known.last_sequence) :]:
            change = written.wire["dynamodb"]
            key = json.dumps(change["Keys"], sort_keys=True).encode()
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

    def _know(self, known: KnownShard, shard: Shard, older_leaves: tuple[ShardId, ...]) -> None:
        incarnation, parent = known.id.partition(":")[0], shard.parent_id
        known.parents = older_leaves if parent is None else (ShardId(f"{incarnation}:{parent}"),)
        self.shards[known.id] = known
        for each in known.parents:
            self.shards[each].children.append(known.id)

    def _streams(self) -> list[Stream]:
        """All streams of the table, oldest first."""
        site = self._emulator._site
        found = [stream for stream in site.store.streams() if stream.table_name == self._table]
        return sorted(found, key=lambda stream: stream.label)
