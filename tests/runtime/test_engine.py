"""The engine over fake ports, in real time: every wait here is a loop turn, none is a sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from runtime.fakes import (
    FakeDestination,
    FakeInvoker,
    FakeSource,
    LoopClock,
    inline,
    record,
)

from triggerkit.core.consumer import ConsumerSettings
from triggerkit.core.coordinator import Cadence
from triggerkit.core.locators import parse
from triggerkit.core.mapping import EventSourceMapping
from triggerkit.core.membership import Membership
from triggerkit.core.model import TRIM_HORIZON, LastFailure, PositionKind, StopReason
from triggerkit.core.options import MappingOptions
from triggerkit.core.outcome import Failed, Outcome, Succeeded
from triggerkit.core.snapshot import snapshot
from triggerkit.errors import SourceError
from triggerkit.lease_stores import memory
from triggerkit.ports import Invocation, LeaseStore, Services
from triggerkit.runtime.counts import Counts
from triggerkit.runtime.deadline import ActingDeadline
from triggerkit.runtime.engine import Engine, RunningMapping
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.perform import MappingParts, MembershipPerformer, Performer
from triggerkit.sources.dynamodb.service import TRAITS

PREFIX = "app:orders:t:"


class World:
    """One engine with one mapping; to be made on a running loop."""

    def __init__(
        self,
        source: FakeSource,
        options: MappingOptions,
        invoker: FakeInvoker | None = None,
        destination: FakeDestination | None = None,
        store: LeaseStore | None = None,
    ) -> None:
        clock = LoopClock()
        self.invoker = invoker or FakeInvoker()
        self.store = store or memory.open(parse("memory:"), Services(run=inline, clock=clock))
        settings = ConsumerSettings(PREFIX, options, checkpoint_interval_seconds=0.0, traits=TRAITS)
        ports = MappingParts(
            trigger="orders",
            prefix=PREFIX,
            source=source,
            listing=SharedListing(source, clock),
            store=self.store,
            invoker=self.invoker,
            destination=destination,
        )
        self.running = RunningMapping(
            "orders",
            EventSourceMapping(TRIM_HORIZON, settings, Cadence()),
            Performer(ports, clock),
        )
        membership = Membership(self.store.fresh_session())
        beats = MembershipPerformer(self.store, clock)
        self.counts = Counts()
        deadline = ActingDeadline(clock)
        self.engine = Engine(membership, beats, (self.running,), clock, deadline, (self.counts,))
        self.clock = clock

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not reached():
                await asyncio.sleep(0)

    def is_saved(self) -> bool:
        picture = snapshot(self.running.machine, self.clock.now())
        return bool(picture.shards) and all(
            c.settled and c.reading.empty_pages for c in self.running.machine
        )

    async def stop(self) -> None:
        self.engine.stop(StopReason.REQUESTED)
        async with asyncio.timeout(10):
            await self.engine.wait_stopped()
        await self.engine.close()


def run(scenario: Callable[[], Coroutine[object, object, None]]) -> None:
    asyncio.run(scenario())


def test_records_are_invoked_in_order_and_saved() -> None:
    async def scenario() -> None:
        source = FakeSource({"s1": [record(n) for n in range(10)]})
        world = World(source, MappingOptions(batch_size=4))
        world.engine.start()
        await world.until(world.is_saved)
        assert world.invoker.numbers() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        (lease,) = await world.store.read(PREFIX)
        assert lease.checkpoint.sequence_number == "9"
        await world.stop()
        (lease,) = await world.store.read(PREFIX)
        assert lease.owner is None

    run(scenario)


def test_children_are_read_after_their_parent_is_finished() -> None:
    async def scenario() -> None:
        source = FakeSource(
            {"p": [record(1), record(2)], "c1": [record(3)], "c2": [record(4)]},
            parents={"c1": ("p",), "c2": ("p",)},
            closed={"p"},
        )
        world = World(source, MappingOptions())
        world.engine.start()
        await world.until(lambda: len(world.invoker.calls) == 3)
        assert world.invoker.numbers()[0] == [1, 2]
        assert sorted(world.invoker.numbers()[1:]) == [[3], [4]]
        await world.stop()
        rows = {lease.shard: lease for lease in await world.store.read(PREFIX)}
        assert rows["p"].checkpoint.kind is PositionKind.SHARD_END

    run(scenario)


def test_a_failing_batch_is_bisected_and_its_poison_goes_to_the_destination() -> None:
    def answer(invocation: Invocation) -> Outcome:
        if any(r.sequence_number == "2" for r in invocation.batch.records):
            return Failed(LastFailure(invocation.request_id, "ValueError", "poison"), 0.0)
        return Succeeded()

    async def scenario() -> None:
        source = FakeSource({"s": [record(n) for n in (1, 2, 3, 4)]})
        options = MappingOptions(bisect_batch_on_function_error=True, maximum_retry_attempts=1)
        destination = FakeDestination(failures=1)
        world = World(source, options, FakeInvoker(answer), destination)
        world.engine.start()
        await world.until(world.is_saved)
        assert world.invoker.numbers() == [[1, 2, 3, 4], [1, 2], [1], [2], [2], [3, 4]]  # F-36
        (document,) = [r.document for r in destination.records]
        assert document["requestContext"]["approximateInvokeCount"] == 2  # type: ignore[index]
        assert world.counts.records_discarded == 1
        await world.stop()

    run(scenario)


def test_a_source_that_fails_is_asked_again() -> None:
    async def scenario() -> None:
        source = FakeSource({"s": [record(1)]})
        source.failures = [SourceError("away", hint="wait"), RuntimeError("a fault of the adapter")]
        world = World(source, MappingOptions())
        world.engine.start()
        await world.until(world.is_saved)
        assert world.invoker.numbers() == [[1]]
        await world.stop()

    run(scenario)


def test_the_timer_of_a_mapping_follows_its_earliest_wish() -> None:
    async def scenario() -> None:
        world = World(FakeSource({"s": [record(1)]}), MappingOptions())
        world.engine.start()
        timer = world.running.timer
        assert timer is not None
        assert timer.when() > world.clock.now().monotonic_seconds + 10, (
            "nothing to do without a beat"
        )
        await world.until(world.is_saved)
        timer = world.running.timer
        assert timer is not None
        assert timer.when() < world.running.machine.wake_at_seconds + 1
        await world.stop()

    run(scenario)


def test_a_drain_waits_for_the_running_call_and_saves_it() -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        invoker = FakeInvoker(gate=gate)
        world = World(
            FakeSource({"s": [record(1), record(2)]}), MappingOptions(batch_size=1), invoker
        )
        world.engine.start()
        await world.until(lambda: bool(invoker.calls))
        world.engine.stop(StopReason.REQUESTED)
        await asyncio.sleep(0)
        assert not world.running.machine.stopped
        gate.set()
        await world.stop()
        (lease,) = await world.store.read(PREFIX)
        assert (lease.checkpoint.sequence_number, lease.owner) == ("1", None)

    run(scenario)


def test_a_stop_waits_for_the_last_of_several_mappings() -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        busy = World(FakeSource({"s": [record(1)]}), MappingOptions(), FakeInvoker(gate=gate))
        quiet = World(FakeSource({}), MappingOptions())
        beats = MembershipPerformer(busy.store, busy.clock)
        membership = Membership(busy.store.fresh_session())
        both = (quiet.running, busy.running)
        engine = Engine(membership, beats, both, busy.clock, ActingDeadline(busy.clock))
        engine.start()
        await busy.until(lambda: bool(busy.invoker.calls))
        engine.stop(StopReason.REQUESTED)
        assert quiet.running.machine.stopped
        stopped = asyncio.ensure_future(engine.wait_stopped())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not stopped.done()
        gate.set()
        async with asyncio.timeout(10):
            await stopped
        await engine.close()
        (lease,) = await busy.store.read(PREFIX)
        assert (lease.checkpoint.sequence_number, lease.owner) == ("1", None)

    run(scenario)


def test_an_expired_drain_cancels_the_call_and_releases_without_advancing() -> None:
    async def scenario() -> None:
        invoker = FakeInvoker(gate=asyncio.Event())
        world = World(FakeSource({"s": [record(1)]}), MappingOptions(), invoker)
        world.engine.start()
        await world.until(lambda: bool(invoker.calls))
        world.engine.stop(StopReason.REQUESTED)
        world.engine.stop(StopReason.DRAIN_EXPIRED)
        await world.stop()
        (lease,) = await world.store.read(PREFIX)
        assert lease.checkpoint == TRIM_HORIZON
        assert lease.owner is None
        assert invoker.cancelled

    run(scenario)
