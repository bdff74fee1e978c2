"""Workers on one state hold even shares, whenever each starts, and nothing waits for a worker that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from io import StringIO
from random import Random

import pytest
from instant import TRIGGER, InstantStream, InstantWorker

from triggerkit.core.model import Lease, Session, SessionId
from triggerkit.lease_stores.memory import MemoryLeaseStore
from triggerkit.runtime.logs import LogSettings, configure_logging
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.loop import VirtualLoop

ROLLED_SECONDS = 20.0
"""Until what was left to others is taken, also by a worker that reads the rows right before they change."""
OTHER_TRIGGER = "invoices"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    restore = configure_logging(LogSettings("json", "critical"), StringIO())
    yield
    restore()


class SlowStore(MemoryLeaseStore):
    """Reads and writes leases after some milliseconds, so that workers that start together see each other."""

    def __init__(self, clock: VirtualClock, rng: Random) -> None:
        super().__init__(clock)
        self._rng = rng

    async def _way(self) -> None:
        await asyncio.sleep(self._rng.choice((0.001, 0.01, 0.05)))

    async def read_sessions(self) -> tuple[Session, ...]:
        await asyncio.sleep(0.1)
        return await super().read_sessions()

    async def read(self, prefix: str) -> tuple[Lease, ...]:
        await self._way()
        return await super().read(prefix)

    async def create(self, leases: tuple[Lease, ...]) -> None:
        await self._way()
        await super().create(leases)

    async def take(self, lease: Lease, session: SessionId) -> Lease | None:
        await self._way()
        return await super().take(lease, session)


class Fleet:
    """A stream, a state, and workers that come and go, in virtual time."""

    def __init__(
        self,
        shards: int,
        triggers: tuple[str, ...] = (TRIGGER,),
        polls: int = 1,
        rng: Random | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.loop = VirtualLoop(self.clock)
        self.stream = InstantStream(self.clock, polls)
        self.workers: list[InstantWorker] = []
        self.triggers = triggers
        self._store = MemoryLeaseStore(self.clock) if rng is None else SlowStore(self.clock, rng)
        for number in range(shards):
            self.stream.add(f"s{number:03}")

    def run(self, scene: Coroutine[object, object, None]) -> None:
        try:
            self.loop.run_until_complete(scene)
        finally:
            self.loop.run_until_complete(self._close())
            self.loop.close()

    async def _close(self) -> None:
        for worker in self.workers:
            await worker.crash()

    def start(self) -> InstantWorker:
        worker = InstantWorker(self.stream, self._store, self.clock, self.triggers)
        self.workers.append(worker)
        worker.start()
        return worker

    async def crash(self, worker: InstantWorker) -> None:
        self.workers.remove(worker)
        await worker.crash()

    async def stop(self, worker: InstantWorker) -> None:
        self.workers.remove(worker)
        await worker.stop()

    async def roll_all(
        self, rng: Random, within_seconds: float = 30.0, splits: float = 0.0
    ) -> None:
        """Every shard that is open now is closed once, at some moment, and has a child or two."""
        due = sorted((rng.uniform(0.0, within_seconds), shard) for shard in self.stream.open)
        began = self.loop.time()
        for at_seconds, shard in due:
            await asyncio.sleep(began + at_seconds - self.loop.time())
            self.stream.roll(shard, 2 if rng.random() < splits else 1)
        await asyncio.sleep(ROLLED_SECONDS)

    def shares(self, trigger: str = TRIGGER) -> list[int]:
        held = [worker.held(trigger) for worker in self.workers]
        assert len(set().union(*held)) == sum(map(len, held)), "a shard is held twice"
        return sorted(map(len, held))

    def check_even(self, told: str) -> None:
        for trigger in self.triggers:
            shares = self.shares(trigger)
            assert sum(shares) == len(self.stream.open), f"{told}: {shares} of {self.stream.open}"
            assert shares[-1] - shares[0] <= 1, f"{told}: {shares}"


@pytest.mark.parametrize("seed", range(60))
def test_g3_workers_hold_even_shares_once_every_shard_has_rolled(seed: int) -> None:
    rng = Random(seed)
    count = rng.choice((2, 2, 3, 4, 5))
    triggers = (TRIGGER,) if rng.random() < 0.7 else (TRIGGER, OTHER_TRIGGER)
    fleet = Fleet(rng.randint(1, 16), triggers)

    async def scene() -> None:
        for _ in range(count):
            fleet.start()
            await asyncio.sleep(rng.choice((0.0, 0.3, 2.0, 20.0)))
        await asyncio.sleep(5.0)
        await fleet.roll_all(rng, rng.choice((0.0, 0.5, 30.0, 300.0)), rng.choice((0.0, 0.0, 0.3)))
        fleet.check_even(f"seed {seed}")

    fleet.run(scene())


@pytest.mark.parametrize("seed", range(40))
def test_g3_workers_that_see_each_other_before_their_first_take_share_at_once(seed: int) -> None:
    rng = Random(seed)
    fleet = Fleet(rng.randint(1, 40), rng=rng)

    async def scene() -> None:
        for _ in range(rng.choice((2, 2, 2, 3, 5))):
            fleet.start()
        await asyncio.sleep(1.0)
        fleet.check_even(f"seed {seed}")

    fleet.run(scene())


@pytest.mark.parametrize("seed", range(20))
def test_g3_shares_become_even_with_slow_answers_too(seed: int) -> None:
    rng = Random(seed)
    fleet = Fleet(rng.randint(2, 16), rng=rng)

    async def scene() -> None:
        for _ in range(rng.choice((2, 2, 3))):
            fleet.start()
            await asyncio.sleep(rng.choice((0.0, 0.3, 2.0, 20.0)))
        await asyncio.sleep(5.0)
        await fleet.roll_all(rng, rng.choice((0.0, 0.5, 30.0, 300.0)))
        fleet.check_even(f"seed {seed}")

    fleet.run(scene())


def test_g3_children_that_are_left_to_a_worker_that_died_are_taken_after_the_grace() -> None:
    fleet = Fleet(8)

    async def scene() -> None:
        first = fleet.start()
        await asyncio.sleep(2.0)
        second = fleet.start()
        await asyncio.sleep(2.0)
        assert (len(first.held()), len(second.held())) == (8, 0)
        await fleet.crash(second)
        for shard in list(fleet.stream.open):
            fleet.stream.roll(shard)
        await asyncio.sleep(0.5)
        assert len(first.held()) == 4, (
            "half is left to the second worker, which is not known to be dead"
        )
        await asyncio.sleep(5.0)
        assert len(first.held()) == 8

    fleet.run(scene())


def test_g3_children_above_the_share_are_taken_by_the_other_worker_within_two_intervals() -> None:
    fleet = Fleet(10)

    async def scene() -> None:
        first = fleet.start()
        await asyncio.sleep(2.0)
        second = fleet.start()
        await asyncio.sleep(2.0)
        for shard in list(fleet.stream.open):
            fleet.stream.roll(shard)
        await asyncio.sleep(2.5)
        assert (len(first.held()), len(second.held())) == (5, 5)

    fleet.run(scene())


def test_g3_a_worker_that_stops_leaves_its_shards_to_all_others_evenly() -> None:
    fleet = Fleet(12)

    async def scene() -> None:
        for _ in range(3):
            fleet.start()
        await fleet.roll_all(Random(1))
        assert fleet.shares() == [4, 4, 4]
        await fleet.stop(fleet.workers[0])
        await asyncio.sleep(5.0)
        assert fleet.shares() == [6, 6]

    fleet.run(scene())


def test_g3_a_backlog_of_many_generations_is_shared_and_not_only_its_first() -> None:
    """Rows of all generations exist from the start; what can be read now is what is shared out."""
    fleet = Fleet(0, polls=10)

    async def scene() -> None:
        for number in range(8):
            fleet.stream.add_chain(20, f"line-{number}")
        first = fleet.start()
        await asyncio.sleep(0.1)
        second = fleet.start()
        while len(fleet.stream.reads) < 160:
            await asyncio.sleep(0.1)
        await asyncio.sleep(ROLLED_SECONDS)
        assert (len(first.held()), len(second.held())) == (4, 4)

    fleet.run(scene())


def test_g3_a_merge_goes_to_one_worker_and_waits_for_both_parents() -> None:
    fleet = Fleet(4)

    async def scene() -> None:
        first, second = fleet.start(), fleet.start()
        await fleet.roll_all(Random(2))
        assert fleet.shares() == [2, 2]
        (mine, *_), (theirs, *_) = sorted(first.held()), sorted(second.held())
        fleet.stream.add("merged", mine, theirs)
        await asyncio.sleep(10.0)
        fleet.check_even("merge")

    fleet.run(scene())
