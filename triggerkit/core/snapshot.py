"""A read-only picture of one mapping for logs, status and console, without item contents."""

from __future__ import annotations

from dataclasses import dataclass

from triggerkit.core.consumer import ShardConsumer
from triggerkit.core.mapping import EventSourceMapping
from triggerkit.core.model import Gap, LastFailure, Now, Position, ShardId
from triggerkit.core.phases import Phase

PAGES_AT_TIP = 5
"""Empty pages in a row that are taken for the tip; a stream may answer some before records come."""


@dataclass(frozen=True, slots=True)
class ShardSnapshot:
    """One held shard. `attempts` counts the failed calls of a batch that is tried again or given up."""

    shard: ShardId
    phase: Phase
    position: Position
    outstanding: int
    attempts: int
    holding_failure_record: bool
    at_tip: bool
    iterator_age_seconds: float | None
    last_failure: LastFailure | None
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class MappingSnapshot:
    """All shards of a mapping: those held here, and how many there are in all."""

    shards: tuple[ShardSnapshot, ...]
    unfinished: int
    finished: int
    surveyed: bool
    stale_reports: int

    @property
    def at_tip(self) -> bool:
        """Every unfinished shard is held here, read to its tip, done and saved."""
        held = len(self.shards)
        return self.surveyed and held >= self.unfinished and all(s.at_tip for s in self.shards)


def snapshot(mapping: EventSourceMapping, now: Now) -> MappingSnapshot:
    """Take the picture."""
    rows = {lease.shard: lease.finished for lease in mapping.coordinator.rows}
    for shard in mapping.consumers:
        rows[shard] = False
    unfinished = sum(1 for finished in rows.values() if not finished)
    return MappingSnapshot(
        shards=tuple(_shard(consumer, now) for consumer in mapping),
        unfinished=unfinished,
        finished=len(rows) - unfinished,
        surveyed=mapping.coordinator.surveyed,
        stale_reports=mapping.stale_reports,
    )


def _shard(consumer: ShardConsumer, now: Now) -> ShardSnapshot:
    reading = consumer.reading
    last = reading.last_record_seconds
    heads = [lane.head for lane in consumer.lanes if lane.head is not None]
    return ShardSnapshot(
        shard=consumer.lease.shard,
        phase=consumer.phase,
        position=consumer.position,
        outstanding=consumer.outstanding,
        attempts=max((head.attempts for head in heads), default=0),
        holding_failure_record=any(lane.held for lane in consumer.lanes),
        at_tip=reading.empty_pages >= PAGES_AT_TIP and consumer.settled,
        iterator_age_seconds=None if last is None else max(0.0, now.service_seconds - last),
        last_failure=next((head.last_failure for head in heads if head.last_failure), None),
        gaps=consumer.gaps,
    )
