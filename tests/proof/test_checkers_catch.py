"""The checkers are fed: each fault that is planted outside the machines is told within some worlds.

The faults stand in the lease store, in what is read, in what becomes of a call, and in what is delivered.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from proof.harness import (
    CallOdds,
    Event,
    Harness,
    Parts,
    Plan,
    TriggerPlan,
    Violation,
    WorkerPlan,
    broken_rule,
    make_plan,
)
from proof.lease_store import at_once

from triggerkit.core.decisions import Create, Decision, Discard, Save
from triggerkit.core.model import (
    LastFailure,
    Lease,
    Listing,
    Position,
    PositionKind,
    Session,
    SessionId,
    SessionState,
    ShardId,
    after,
)
from triggerkit.core.outcome import Failed, NotInvoked, PartlyFailed, Succeeded
from triggerkit.core.reports import (
    ChildrenFound,
    Created,
    Discarded,
    Fetched,
    Invoked,
    Report,
    Surveyed,
)
from triggerkit.lease_stores._rows import Row
from triggerkit.lease_stores.memory import MemoryLeaseStore
from triggerkit.ports import Clock, LeaseStore
from triggerkit.runtime.perform import MappingParts, Performer
from triggerkit.testing.clock import VirtualClock

WORLDS = 60
"""The first seeds whose state is in memory."""


class Unfenced(MemoryLeaseStore):
    """Writes a checkpoint whatever the token is."""

    async def advance(self, lease: Lease, position: Position) -> Lease:
        row = self._table.row(lease.key)
        assert row is not None
        lease = replace(row.lease, owner=row.lease.owner or lease.owner)
        self._table.put(Row(lease, row.nonce))
        return await super().advance(lease, position)


class Forgetful(MemoryLeaseStore):
    """Takes its own write, whose answer was lost, for a stranger's."""

    async def advance(self, lease: Lease, position: Position) -> Lease:
        advanced = await super().advance(lease, position)
        self._table.put(Row(advanced, "somebody else's"))
        return advanced


class Impatient(MemoryLeaseStore):
    """Shows everybody as silent, and expires whoever is to be expired though it has beaten meanwhile."""

    async def read_sessions(self) -> tuple[Session, ...]:
        found = await super().read_sessions()
        return tuple(
            replace(each, beat=0) if each.state is SessionState.LIVE else each for each in found
        )

    async def expire(self, session: Session) -> bool:
        row = self._table.session(session.id)
        return await super().expire(row.session if row else session)


class Replayer(MemoryLeaseStore):
    """Gives a new owner its shard from the trim horizon."""

    async def take(self, lease: Lease, session: SessionId) -> Lease | None:
        taken = await super().take(lease, session)
        if taken is None or taken.checkpoint.kind is not PositionKind.AFTER:
            return taken
        return replace(taken, checkpoint=Position(PositionKind.TRIM_HORIZON))


class Stammering(MemoryLeaseStore):
    """Applies a write that was applied already once more."""

    async def advance(self, lease: Lease, position: Position) -> Lease:
        advanced = await super().advance(lease, position)
        row = self._table.row(lease.key)
        assert row is not None
        again = replace(advanced, counter=advanced.counter + 1)
        self._table.put(Row(again, row.nonce))
        return again


class Miscounting(MemoryLeaseStore):
    """Leaves a number out when it counts writes."""

    async def take(self, lease: Lease, session: SessionId) -> Lease | None:
        taken = await super().take(lease, session)
        if taken is None:
            return None
        row = self._table.row(lease.key)
        assert row is not None
        skipped = replace(taken, counter=taken.counter + 1)
        self._table.put(Row(skipped, row.nonce))
        return skipped


class Rewinding(MemoryLeaseStore):
    """Forgets the checkpoint of what is released."""

    async def release(self, lease: Lease, position: Position) -> None:
        await super().release(lease, position)
        row = self._table.row(lease.key)
        assert row is not None
        horizon = Position(PositionKind.TRIM_HORIZON)
        self._table.put(Row(replace(row.lease, checkpoint=horizon), row.nonce))


class Hurried(MemoryLeaseStore):
    """Begins the children of a shard at LATEST."""

    async def finish(
        self,
        lease: Lease,
        children: tuple[Lease, ...] | None,
        session: SessionId,
        take: frozenset[ShardId] | None = None,
    ) -> tuple[Lease, ...]:
        latest = Position(PositionKind.LATEST)
        late = tuple(replace(child, checkpoint=latest) for child in children or ())
        return await super().finish(lease, late or children, session, take)


class Backward(Performer):
    """Creates rows children first."""

    async def perform(self, decision: Decision) -> Report:
        if isinstance(decision, Create):
            backward = replace(decision, leases=decision.leases[::-1])
            report = await super().perform(backward)
            return Created(decision) if isinstance(report, Created) else report
        return await super().perform(decision)


class Empty(Performer):
    """Reads nothing."""

    async def perform(self, decision: Decision) -> Report:
        report = await super().perform(decision)
        if isinstance(report, Fetched):
            return replace(report, page=replace(report.page, records=(), ended=False))
        return report


class Barren(Performer):
    """Finds no shard that came out of another."""

    async def perform(self, decision: Decision) -> Report:
        report = await super().perform(decision)
        match report:
            case ChildrenFound(children=children):
                return replace(report, children=replace(children, shards=()))
            case Surveyed(listing=Listing() as listing):
                roots = tuple(shard for shard in listing.shards if not shard.parents)
                return replace(report, listing=replace(listing, shards=roots))
            case _:
                return report


class Severe(Performer):
    """Takes a call that was not made for one that failed."""

    async def perform(self, decision: Decision) -> Report:
        report = await super().perform(decision)
        if isinstance(report, Invoked) and isinstance(report.outcome, NotInvoked):
            return replace(report, outcome=Failed(LastFailure("request-1", "ValueError", "no")))
        return report


class Forgiving(Performer):
    """Takes a call that failed for one that was not made."""

    async def perform(self, decision: Decision) -> Report:
        report = await super().perform(decision)
        if isinstance(report, Invoked) and isinstance(report.outcome, Failed):
            return replace(report, outcome=NotInvoked("nobody is there", 0.1))
        return report


class Impolite(Performer):
    """Forgets how long a handler wants to be left alone."""

    async def perform(self, decision: Decision) -> Report:
        report = await super().perform(decision)
        if isinstance(report, Invoked) and isinstance(report.outcome, Failed):
            return replace(report, outcome=replace(report.outcome, retry_after_seconds=0.0))
        return report


class Lossy(Performer):
    """Loses a record of each longer page."""

    async def perform(self, decision: Decision) -> Report:
        report = await super().perform(decision)
        if isinstance(report, Fetched) and len(report.page.records) > 2:
            records = report.page.records
            return replace(report, page=replace(report.page, records=records[:1] + records[2:]))
        return report


class Mixing(Performer):
    """Turns the order of a page around."""

    async def perform(self, decision: Decision) -> Report:
        report = await super().perform(decision)
        if isinstance(report, Fetched):
            return replace(report, page=replace(report.page, records=report.page.records[::-1]))
        return report


class Hasty(Performer):
    """Says that a shard has ended with its first page."""

    async def perform(self, decision: Decision) -> Report:
        report = await super().perform(decision)
        if isinstance(report, Fetched) and report.page.records:
            return replace(report, page=replace(report.page, ended=True))
        return report


class Optimist(Performer):
    """Tells a failure as success."""

    async def perform(self, decision: Decision) -> Report:
        report = await super().perform(decision)
        if isinstance(report, Invoked) and isinstance(report.outcome, Failed):
            return replace(report, outcome=Succeeded())
        return report


class OffByOne(Performer):
    """Tells one record more as done than the handler did."""

    async def perform(self, decision: Decision) -> Report:
        report = await super().perform(decision)
        if isinstance(report, Invoked) and isinstance(report.outcome, PartlyFailed):
            outcome = replace(report.outcome, index=report.outcome.index + 1)
            return replace(report, outcome=outcome)
        return report


class Dropping(Performer):
    """Keeps failure records to itself."""

    async def perform(self, decision: Decision) -> Report:
        if isinstance(decision, Discard) and self.parts.destination is not None:
            return Discarded(decision)
        return await super().perform(decision)


class GapJumper(Performer):
    """Saves where it has read to, whatever is outstanding."""

    def __init__(self, parts: MappingParts, clock: Clock) -> None:
        super().__init__(parts, clock)
        self._read_to: dict[ShardId, Position] = {}

    async def perform(self, decision: Decision) -> Report:
        if isinstance(decision, Save) and decision.lease.shard in self._read_to:
            decision = replace(decision, position=self._read_to[decision.lease.shard])
        report = await super().perform(decision)
        if isinstance(report, Fetched) and report.page.records:
            self._read_to[report.decision.lease.shard] = after(report.page.records[-1])
        return report


class Fearless(Performer):
    """Knows no deadline."""

    def __init__(self, parts: MappingParts, clock: Clock) -> None:
        super().__init__(replace(parts, deadline=lambda: float("inf")), clock)


def in_place_of(kind: type[MemoryLeaseStore]) -> Parts:
    def made(store: LeaseStore) -> LeaseStore:
        del store
        broken = kind(VirtualClock())
        at_once(broken.prepare())
        return broken

    return Parts(store=made)


FAULTS: dict[str, tuple[Parts, tuple[str, ...]]] = {
    "a write is not fenced": (in_place_of(Unfenced), ("I1", "I2", "I3", "I4", "I14")),
    "a lost answer costs the lease": (in_place_of(Forgetful), ("I14",)),
    "a living session is expired": (in_place_of(Impatient), ("I17",)),
    "a saved record is read again": (in_place_of(Replayer), ("I6", "I3")),
    "a page leaves a record out": (Parts(performer=Lossy), ("I4", "I8", "G")),
    "records of a key change their order": (Parts(performer=Mixing), ("F", "I3", "I4", "I8")),
    "a shard ends with its first page": (Parts(performer=Hasty), ("I4",)),
    "a failed batch counts as done": (Parts(performer=Optimist), ("I4", "I8")),
    "a partial response is off by one": (Parts(performer=OffByOne), ("I4", "I8", "B")),
    "a failure record is dropped": (Parts(performer=Dropping), ("I4", "I8")),
    "a write is applied twice": (in_place_of(Stammering), ("I1", "I14")),
    "a counter skips a number": (in_place_of(Miscounting), ("I1",)),
    "a checkpoint goes back": (in_place_of(Rewinding), ("I3",)),
    "a child begins at LATEST": (in_place_of(Hurried), ("I18",)),
    "rows are made children first": (Parts(performer=Backward), ("I10",)),
    "nothing is read": (Parts(performer=Empty), ("L",)),
    "no child is ever found": (Parts(performer=Barren), ("L", "I7", "I10")),
    "a call that was not made counts": (Parts(performer=Severe), ("F",)),
    "a call that failed does not count": (Parts(performer=Forgiving), ("F", "L")),
    "a wait is cut short": (Parts(performer=Impolite), ("F",)),
    "a checkpoint passes what is outstanding": (Parts(performer=GapJumper), ("I4", "I3", "I14")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    parts, rules = FAULTS[fault]
    seeds = [seed for seed in range(WORLDS) if make_plan(seed).store == "memory"]
    for seed in seeds:
        try:
            Harness(make_plan(seed), parts).run()
        except Violation as violation:
            told = str(violation).splitlines()[0]
            assert told.startswith(rules), told
            print(f"{fault}: seed {seed}, {told}")
            return
    pytest.fail(f"{len(seeds)} worlds did not tell that {fault}")


def test_a_call_behind_its_deadline_is_caught() -> None:
    """It takes a freeze between the decision and the handler: one step of all."""
    plan = Plan(events=(Event(-1.0, "put"),), fixed_delays=True, troubled_seconds=17.0)
    for step in range(1, Harness(plan).run().steps_of["w0.1"]):
        freeze = Event(-1.0, "freeze", seconds=15.0, count=step)
        frozen = replace(plan, events=(freeze, *plan.events))
        rule = broken_rule(frozen, Parts(performer=Fearless))
        assert rule in {"", "I17"}
        if rule:
            return
    pytest.fail("no step told it")


def test_what_was_caught_is_made_short_and_told_as_a_plan() -> None:
    plan = Plan(
        workers=(WorkerPlan(zero_seconds=5e3), WorkerPlan(start_seconds=1.0, rate=1.005)),
        triggers=(TriggerPlan(calls=CallOdds(fails=0.5)),),
        events=(
            *(Event(0.3 * number, "put", key=number % 3) for number in range(12)),
            Event(2.0, "roll"),
            Event(3.0, "crash", worker=1, seconds=1.0),
        ),
        troubled_seconds=4.0,
    )
    with pytest.raises(Violation) as caught:
        Harness(plan, Parts(performer=Hasty)).check(150)
    told = str(caught.value)
    assert told.startswith("seed 0: I4: ")
    assert "PageRead" in told
    shown = told.rpartition("PLAN = ")[2]
    assert shown.count("Event(") <= 2
    assert "crash" not in shown


def test_a_fault_that_breaks_a_machine_ends_the_world_too() -> None:
    class Broken(Performer):
        async def perform(self, decision: Decision) -> Report:
            await asyncio.sleep(0)
            return Report  # type: ignore[return-value]

    with pytest.raises(Violation, match=r"AssertionError|TypeError|AttributeError"):
        Harness(Plan(events=(Event(0.0, "put"),)), Parts(performer=Broken)).run()
