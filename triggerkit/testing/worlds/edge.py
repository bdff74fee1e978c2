"""The edges of a worker under observation. Rule: what passes is seen as it passes, and changed by nobody.

Decisions are seen where the engine makes them, reports where the performer gives them, failure records where they
are delivered. The tests of the checkers put in performers that do change something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from triggerkit.core.consumer import ShardConsumer
from triggerkit.core.decisions import Decision, Discard, Fetch, Finish, Invoke, Release, Save
from triggerkit.core.model import Record, ShardId
from triggerkit.core.reports import Discarded, LeaseLost, Report, ShardGone
from triggerkit.errors import DestinationError
from triggerkit.ports import Clock, Destination, FailureRecord, Source
from triggerkit.runtime.journal import Journal, Observer, ignore
from triggerkit.runtime.perform import MappingPorts, Performer
from triggerkit.testing.checker import Checker
from triggerkit.testing.truth import Violation
from triggerkit.testing.worlds.true_calls import DECISION
from triggerkit.testing.worlds.wire import Wire
from triggerkit.testing.worlds.witness import Witness

SERVICE_ERROR_SECONDS = 2.5
"""How far ahead a worker may take service time: `Date` counts whole seconds, and a late answer sets it back."""


@dataclass(slots=True)
class Edge:
    """One mapping of one life, as seen from outside. `service_seconds` is the services' own clock."""

    life: str
    trigger: str
    checker: Checker
    witness: Witness
    clock: Clock
    service_seconds: Callable[[], float]
    consumer: Callable[[ShardId], ShardConsumer | None] = lambda _: None
    refresh: Callable[[], None] = lambda: None
    """Takes in what was written, where others write than the world itself."""

    def records(self, numbers: list[str]) -> list[Record]:
        """The true records of these sequence numbers."""
        return [self.witness.records[number] for number in numbers]

    def known_seconds(self) -> float:
        """What the worker takes for service time."""
        known, true_seconds = self.clock.now().service_seconds, self.service_seconds()
        if known - true_seconds > SERVICE_ERROR_SECONDS:
            raise Violation(f"I13: service time {true_seconds} is taken for {known}")
        return known

    def decided(self, decision: Decision) -> None:
        """The machine has decided; nothing has begun yet."""
        self.refresh()
        with self.witness.watching():
            match decision:
                case Invoke(lease=lease, tenure=tenure, batch=batch):
                    records = self.records([each.sequence_number for each in batch.records])
                    known = min(self.known_seconds(), self.service_seconds())
                    self.checker.call_decided(lease.shard, tenure, records, known)
                case Discard(lease=lease, tenure=tenure):
                    self.checker.discard_decided(lease.shard, tenure)
                case Fetch(lease=lease, tenure=tenure, position=position):
                    self.checker.read_decided(lease.shard, tenure, position)
                case Release(lease=lease, tenure=tenure):
                    self.checker.release_decided(lease.shard, tenure)
                case _:
                    pass

    def reported(self, decision: Decision, report: Report, *, delivers: bool) -> None:
        """A decision was carried out; `delivers`: there is a destination, which tells by itself."""
        self.refresh()
        with self.witness.watching():
            match report:
                case LeaseLost(shard=shard, tenure=tenure):
                    self.checker.lost_lease(shard, tenure)
                    self.checker.told_lost(shard, tenure)
                case ShardGone(shard=shard, tenure=tenure):
                    self.checker.gone_told(shard, tenure)
                case Discarded() if isinstance(decision, Discard) and not delivers:
                    self.discarded(decision)
                case _:
                    pass

    def discarded(self, decision: Discard) -> None:
        """A failure record was delivered, or is needed by nobody."""
        with self.witness.watching():
            self.checker.discarded(
                decision.lease.shard,
                decision.tenure,
                self.records([each.sequence_number for each in decision.batch.records]),
                decision.reason,
                max(self.known_seconds(), self.service_seconds()),
            )


class WatchedJournal(Journal):
    """The real one; sees what is decided."""

    def __init__(self, edge: Edge, source: Source, observe: Observer = ignore) -> None:
        super().__init__(edge.trigger, source, edge.clock, observe)
        self._edge = edge

    def decided(self, decision: Decision) -> None:
        """See `Journal`."""
        super().decided(decision)
        self._edge.decided(decision)


class WatchedPerformer(Performer):
    """The real one; sees what is carried out."""

    def __init__(self, ports: MappingPorts, edge: Edge) -> None:
        super().__init__(ports, edge.clock)
        self._edge = edge

    async def perform(self, decision: Decision) -> Report:
        """See `Performer`."""
        edge = self._edge
        edge.witness.note(edge.life, decision)
        if isinstance(decision, Save | Finish | Release):
            self._tell_gaps(decision)
        DECISION.set(decision)
        report = await self.carry_out(decision)
        edge.witness.note(edge.life, report)
        edge.reported(decision, report, delivers=self.ports.destination is not None)
        return report

    async def carry_out(self, decision: Decision) -> Report:
        """What the real performer does."""
        return await super().perform(decision)

    def _tell_gaps(self, decision: Save | Finish | Release) -> None:
        edge, shard = self._edge, decision.lease.shard
        consumer = edge.consumer(shard)
        if consumer is None:
            return
        with edge.witness.watching():
            for gap in consumer.gaps:
                edge.checker.gap_told(shard, decision.tenure, gap)


class ToldDestination:
    """Implements `ports.Destination` around another one; tells what it took."""

    def __init__(self, edge: Edge, destination: Destination) -> None:
        self._edge = edge
        self._destination = destination

    async def prepare(self) -> None:
        """See `Destination`."""
        await self._destination.prepare()

    async def send(self, record: FailureRecord) -> None:
        """See `Destination`."""
        await self._destination.send(record)
        decision = DECISION.get()
        assert isinstance(decision, Discard)
        self._edge.discarded(decision)

    async def close(self) -> None:
        """See `Destination`."""
        await self._destination.close()


class WatchedDestination:
    """Implements `ports.Destination`; it may be down, and its answers may be lost."""

    def __init__(self, edge: Edge, wire: Wire) -> None:
        self._edge = edge
        self._wire = wire

    async def prepare(self) -> None:
        """Always ready."""

    async def send(self, record: FailureRecord) -> None:
        """See `Destination`."""
        del record
        decision, edge, wire = DECISION.get(), self._edge, self._wire
        assert isinstance(decision, Discard)
        weather = wire.weather

        def deliver() -> None:
            if weather.destination_down:
                raise DestinationError("nobody is there", hint="the world is troubled")
            edge.discarded(decision)

        await wire.carry(deliver)
        if wire.strikes(weather.odds.undelivered):
            raise DestinationError("the answer was lost", hint="the world lost it")

    async def close(self) -> None:
        """Nothing is open."""
