"""What the checkers learn of one mapping of one worker: its events, and the failure records delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

from proof.checker import Checker
from proof.facts import Violation
from proof.monitor import Witness
from proof.network import Wire

from triggerkit.core import events
from triggerkit.core.consumer import SHARD_GONE
from triggerkit.core.model import Record
from triggerkit.errors import DestinationError
from triggerkit.ports import Clock, FailureRecord

SERVICE_ERROR_SECONDS = 2.5
"""How far ahead a worker may take service time: `Date` counts whole seconds, and a late answer sets it back."""


@dataclass(slots=True)
class EventChecker:
    """An observer that passes events to the checker of their mapping.

    `service_seconds` is the services' own clock.
    """

    life: str
    trigger: str
    checker: Checker
    witness: Witness
    clock: Clock
    service_seconds: Callable[[], float]
    delivers: bool = False
    """Whether there is a destination, which knows by itself what was delivered."""
    _discards: dict[str, events.DiscardStarted] = field(default_factory=dict)
    """Failure records on their way, by the first sequence number."""

    def __call__(self, event: events.Event) -> None:
        """Check one event; what is wrong ends the world."""
        mapping = getattr(event, "mapping", None)
        if mapping is None or mapping.trigger != self.trigger:
            return
        self.witness.note(self.life, event)
        with self.witness.watching():
            self._check(event)

    def delivered(self, record: FailureRecord) -> None:
        """A failure record arrived at the destination."""
        place = cast("dict[str, str]", record.document["DDBStreamBatchInfo"])
        started = self._discards[place["startSequenceNumber"]]
        with self.witness.watching():
            self._discarded(started)

    def _check(self, event: events.Event) -> None:
        checker = self.checker
        match event:
            case events.BatchStarted(shard=shard, tenure=tenure, batch=batch):
                known_seconds = min(self._known_seconds(), self.service_seconds())
                records = self._records(batch.records)
                checker.call_decided(shard, tenure, records, known_seconds)
            case events.DiscardStarted(shard=shard, tenure=tenure, batch=batch):
                self._discards[batch.records[0].sequence_number] = event
                checker.discard_decided(shard, tenure)
            case events.RecordsDiscarded(batch=batch) if not self.delivers:
                self._discarded(self._discards[batch.records[0].sequence_number])
            case events.ReadStarted(shard=shard, tenure=tenure, position=position):
                checker.read_decided(shard, tenure, position)
            case events.ReleaseStarted(shard=shard, tenure=tenure):
                checker.release_decided(shard, tenure)
            case events.LeaseLost(shard=shard, tenure=tenure):
                checker.lost_lease(shard, tenure)
                checker.told_lost(shard, tenure)
            case events.GapFound(shard=shard, tenure=tenure, gap=gap, reason=reason):
                if reason == SHARD_GONE:
                    checker.gone_told(shard, tenure)
                checker.gap_told(shard, tenure, gap)
            case _:
                pass

    def _discarded(self, event: events.DiscardStarted) -> None:
        self.checker.discarded(
            event.shard,
            event.tenure,
            self._records(event.batch.records),
            event.condition,
            max(self._known_seconds(), self.service_seconds()),
            event.batch.attempts,
        )

    def _records(self, records: Iterable[Record]) -> list[Record]:
        """The records as they were written."""
        return [self.witness.records[record.sequence_number] for record in records]

    def _known_seconds(self) -> float:
        """What the worker takes for service time."""
        known, true_seconds = self.clock.now().service_seconds, self.service_seconds()
        if known - true_seconds > SERVICE_ERROR_SECONDS:
            raise Violation(f"I13: service time {true_seconds} is taken for {known}")
        return known


class WiredDestination:
    """Implements `ports.Destination`; it may be down, and its answers may be lost."""

    def __init__(self, checker: EventChecker, wire: Wire) -> None:
        self._checker = checker
        self._wire = wire

    async def prepare(self) -> None:
        """Always ready."""

    async def send(self, record: FailureRecord) -> None:
        """See `Destination`."""
        wire = self._wire
        weather = wire.weather

        def deliver() -> None:
            if weather.destination_down:
                raise DestinationError("nobody is there", hint="the world is troubled")
            self._checker.delivered(record)

        await wire.carry(deliver)
        if wire.strikes(weather.odds.undelivered):
            raise DestinationError("the answer was lost", hint="the world lost it")

    async def close(self) -> None:
        """Nothing is open."""
