"""A worker is put together in one place, and stops in one way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from runtime.fakes import FakeInvoker, FakeSource, record

from triggerkit.core import events
from triggerkit.core.model import Session
from triggerkit.errors import StateLockedError
from triggerkit.lease_stores.memory import MemoryLeaseStore
from triggerkit.runtime.assembly import Assembly, assemble, lease_prefix
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.perform import MappingParts
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.loop import VirtualLoop

BROKEN = AssertionError("a broken invariant")


class Stage:
    """One trigger, or several with a store each."""

    def __init__(
        self, clock: VirtualClock, *stores: MemoryLeaseStore, gate: asyncio.Event | None = None
    ) -> None:
        self.clock = clock
        self.stores = stores or (MemoryLeaseStore(clock),)
        self.invoker = FakeInvoker(gate=gate)
        self.events: list[events.Event] = []
        source = FakeSource({"s1": [record(1), record(2)]})
        listing = SharedListing(source, self.clock)
        self.parts = [
            MappingParts(
                f"t{number}",
                lease_prefix("app", f"t{number}", source.name),
                source,
                listing,
                store,
                self.invoker,
            )
            for number, store in enumerate(self.stores)
        ]

    def assemble(self) -> Assembly:
        return assemble(self.parts, self.clock, (self.events.append,))

    async def until(self, kind: type[events.Event], count: int = 1) -> None:
        async with asyncio.timeout(60):
            while len([event for event in self.events if isinstance(event, kind)]) < count:
                await asyncio.sleep(0.01)

    def kinds(self) -> list[str]:
        of_worker = (events.Draining, events.DrainExpired, events.Stopped)
        return [type(event).__name__ for event in self.events if isinstance(event, of_worker)]


def run(scene: Callable[[VirtualClock], Coroutine[Any, Any, None]]) -> None:
    clock = VirtualClock()
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        runner.run(scene(clock))


def test_each_lease_store_has_an_engine_and_a_session_of_its_own() -> None:
    async def scene(clock: VirtualClock) -> None:
        stage = Stage(clock, MemoryLeaseStore(clock), MemoryLeaseStore(clock))
        worker = stage.assemble()
        worker.start()
        await stage.until(events.CheckpointSaved, 2)
        assert set(worker.snapshots()) == {"t0:t", "t1:t"}
        for number, store in enumerate(stage.stores):
            (lease,) = await store.read(lease_prefix("app", f"t{number}", "t"))
            assert lease.checkpoint.sequence_number == "2"
        assert await worker.drain(25.0)
        await worker.close()
        await worker.leave()
        assert [await store.read_sessions() for store in stage.stores] == [(), ()]

    run(scene)


def test_a_drain_in_time_says_so_and_releases() -> None:
    async def scene(clock: VirtualClock) -> None:
        stage = Stage(clock)
        worker = stage.assemble()
        worker.start()
        await stage.until(events.CheckpointSaved)
        assert await worker.drain(25.0)
        assert stage.kinds() == ["Draining", "Stopped"]
        await worker.close()

    run(scene)


def test_a_drain_that_runs_out_of_time_says_so_and_releases_without_advancing() -> None:
    async def scene(clock: VirtualClock) -> None:
        stage = Stage(clock, gate=asyncio.Event())
        worker = stage.assemble()
        worker.start()
        await stage.until(events.BatchStarted)
        assert not await worker.drain(2.0)
        assert stage.kinds() == ["Draining", "DrainExpired", "Stopped"]
        (lease,) = await stage.stores[0].read(lease_prefix("app", "t0", "t"))
        assert lease.owner is None
        assert lease.checkpoint.sequence_number == ""
        await worker.close()

    run(scene)


def test_what_breaks_an_engine_ends_the_wait_and_is_kept() -> None:
    async def scene(clock: VirtualClock) -> None:
        stage = Stage(clock)
        worker = stage.assemble()
        machine = worker.mappings[0].machine

        def break_down(*_: object) -> None:
            raise BROKEN

        machine.react = break_down  # type: ignore[method-assign, assignment]
        worker.start()
        with pytest.raises(AssertionError, match="a broken invariant"):
            await worker.wait_ended()
        assert worker.failure is BROKEN
        await worker.close()

    run(scene)


class StoreThatIsGone(MemoryLeaseStore):
    async def leave(self, session: Session) -> None:
        raise StateLockedError("gone", hint="bring it back")


def test_a_store_that_cannot_be_left_keeps_no_other_from_being_left() -> None:
    async def scene(clock: VirtualClock) -> None:
        stage = Stage(clock, StoreThatIsGone(clock), MemoryLeaseStore(clock))
        worker = stage.assemble()
        worker.start()
        await stage.until(events.CheckpointSaved, 2)
        await worker.drain(25.0)
        await worker.close()
        await worker.leave()
        assert await stage.stores[1].read_sessions() == ()

    run(scene)
