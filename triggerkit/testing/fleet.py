"""The workers of a simulation. A worker that crashes comes back as another process, or never.

The fleet also knows when it is at rest: every record is done, every open shard is held by a live worker,
every closed one is finished, and nothing is left to save.
"""

from __future__ import annotations

import asyncio
from random import Random

from triggerkit.errors import SimulationError, SourceError, UsageError
from triggerkit.settings import MappingPlan
from triggerkit.testing.clock import HostClock, VirtualClock
from triggerkit.testing.network import CALM_SECONDS, TROUBLED_SECONDS, Line
from triggerkit.testing.tables import Tables
from triggerkit.testing.worker import SimulatedWorker, World

LOOK_SECONDS = 0.05
RESTART_AGAIN_SECONDS = 1.0
ZEROS_SECONDS = (0.0, 5.0e3, 9.0e5)
WALLS_SECONDS = (-86_400.0, 0.0, 3.0e7)


class Fleet:
    """Implements `faults.Troubled`; to be used on the simulation's loop."""

    def __init__(
        self, world: World, tables: Tables, rng: Random, count: int, faults: frozenset[str]
    ) -> None:
        if count < 1:
            raise UsageError(f"workers={count}", hint="a simulation has one worker at least")
        self._world = world
        self._tables = tables
        self._rng = rng
        self._delays_seconds = TROUBLED_SECONDS if faults else CALM_SECONDS
        self._is_skewed = "skew" in faults
        self._places: list[SimulatedWorker | None] = [None] * count
        self._ended: list[SimulatedWorker] = []
        self._restarting: dict[int, asyncio.Task[None]] = {}
        self._started = 0
        self.disturbed = False
        """Whether a worker crashed or was held back: only then may records come again (I6)."""

    async def start(self) -> None:
        """Start all workers, the first time. Raises what would stop a real start."""
        if self._started:
            self.check()
            return
        for plan in self._world.plans:
            self._tables.get(plan.source_locator.name)
        for number in range(len(self._places)):
            await self.restart(number)
        await self._until_opened()
        for name in self.triggers():
            self._world.ledger.started(name)

    async def _until_opened(self) -> None:
        """A worker says that it runs once its starts at LATEST are open: what is written then is for them."""
        while any(worker.is_opening for worker in self._workers()):
            self.check()
            await asyncio.sleep(LOOK_SECONDS)

    async def restart(self, number: int) -> None:
        """Start the worker of that number, unless it runs. Raises UsageError: there is none."""
        self._check_number(number)
        if self._places[number] is not None:
            return
        self._started += 1
        line = Line(Random(self._rng.random()), self._delays_seconds)  # noqa: S311 - drawn
        worker = SimulatedWorker(self._world, f"worker-{self._started}", line, self._clock())
        self._places[number] = worker
        await worker.start()

    async def crash(self, number: int, restart_after_seconds: float | None) -> None:
        """Kill the worker of that number, if it runs."""
        self._check_number(number)
        if self._places[number] is None:
            return
        await self._end_place(number)
        if restart_after_seconds is not None:
            back = self._come_back(number, restart_after_seconds)
            self._restarting[number] = asyncio.ensure_future(back)

    async def heal(self) -> None:
        """Everything that was wrong is over; whoever is dead comes back."""
        self._world.book.heal()
        self._world.destination.go_down(0.0)
        self._world.emulator.faults.describe_lag(0.0)
        for worker in self._workers():
            worker.line.heal()
            worker.thaw()
        for number, place in enumerate(self._places):
            if place is None and number not in self._restarting:
                await self.restart(number)

    async def until_idle(self, limit_seconds: float) -> None:
        """Wait for rest. Raises SimulationError: it does not come."""
        loop = asyncio.get_running_loop()
        until_seconds = loop.time() + limit_seconds
        while not await self.is_idle():
            self.check()
            if not self._workers() and not self._restarting:
                raise SimulationError("no worker is alive", hint="call sim.restart()")
            if loop.time() >= until_seconds:
                raise self._restless(limit_seconds)
            await asyncio.sleep(LOOK_SECONDS)

    async def is_idle(self) -> bool:
        """Whether nothing is left to do."""
        if self._restarting or self._world.ledger.is_pending():
            return False
        consumers = {key: c for worker in self._workers() for key, c in worker.consumers().items()}
        if not all(consumer.settled for consumer in consumers.values()):
            return False
        rows = await self._world.store.read("")
        held = {row.key for row in rows if not row.finished}
        if held != set(consumers):
            return False
        known = {row.key.rpartition(":")[2] for row in rows}
        return all(shard in known for plan in self._world.plans for shard in self._needed(plan))

    def check(self) -> None:
        """Raise what broke a worker, if anything did."""
        for worker in self._workers():
            worker.check()
        for task in list(self._restarting.values()):
            if task.done():
                task.result()

    async def end(self) -> None:
        """Kill all that runs and leave the lifespans."""
        for task in self._restarting.values():
            task.cancel()
        await asyncio.gather(*self._restarting.values(), return_exceptions=True)
        for worker in self._workers():
            await worker.crash()
        for worker in (*self._ended, *self._workers()):
            await worker.clean_up()

    # --- what trouble asks --------------------------------------------------------------------------

    def tables_with_streams(self) -> list[str]:
        """See `Troubled`."""
        return self._tables.names

    def open_shards(self, table: str) -> list[str]:
        """See `Troubled`."""
        return self._world.emulator.open_shards(table)

    def triggers(self) -> list[str]:
        """See `Troubled`."""
        return list(dict.fromkeys(plan.name for plan in self._world.plans))

    def workers_alive(self) -> list[int]:
        """See `Troubled`."""
        return [number for number, worker in enumerate(self._places) if worker is not None]

    async def do(self, fault: str, target: str | int, strength: float) -> None:
        """See `Troubled`."""
        emulator = self._world.emulator
        match fault:
            case "expire":
                emulator.expire_iterators()
            case "fail":
                late = self._rng.random() < 0.5
                self._world.book.fail_next(str(target), int(strength), late=late)
            case "kill":
                await self.crash(int(target), strength)
            case "late":
                emulator.faults.describe_lag(strength, strength)
            case "outage":
                self._world.destination.go_down(strength)
            case "roll":
                emulator.roll(str(target))
            case "split":
                emulator.split(str(target), self._rng.choice(emulator.open_shards(str(target))))
            case _:
                self._trouble(fault, self._places[int(target)], strength)

    def _needed(self, plan: MappingPlan) -> list[str]:
        """The shards that must have a row: a start at LATEST leaves out what ended before it."""
        table = plan.source_locator.name
        if plan.options.starting_position == "LATEST":
            return self._world.emulator.open_shards(table)
        return self._tables.shards(table)

    def _trouble(self, fault: str, worker: SimulatedWorker | None, strength: float) -> None:
        """Something happens to one worker, if it lives."""
        if worker is None:
            return
        self.disturbed = self.disturbed or fault in {"freeze", "stall"}
        match fault:
            case "freeze":
                worker.freeze(strength)
            case "stall":
                worker.line.stall(strength)
            case "stale":
                worker.line.make_stale(strength)
            case "lose":
                worker.line.losing += int(strength)
            case "throttle":
                worker.line.refusing += int(strength)

    # --- inside -------------------------------------------------------------------------------------

    def _workers(self) -> list[SimulatedWorker]:
        return [worker for worker in self._places if worker is not None]

    def _clock(self) -> HostClock | VirtualClock:
        """Of the host that a worker is started on."""
        if not self._is_skewed:
            return self._world.clock
        zero_seconds, wall_seconds = (
            self._rng.choice(ZEROS_SECONDS),
            self._rng.choice(WALLS_SECONDS),
        )
        rate = self._rng.uniform(0.995, 1.005)
        return HostClock(self._world.clock, zero_seconds, rate, wall_seconds)

    def _check_number(self, number: int) -> None:
        if not 0 <= number < len(self._places):
            raise UsageError(
                f"there is no worker {number}",
                hint=f"they are numbered 0 to {len(self._places) - 1}",
            )

    async def _come_back(self, number: int, after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        while True:
            try:
                await self.restart(number)
            except SourceError:  # the process ends, and its supervisor starts another one
                await self._end_place(number)
                await asyncio.sleep(RESTART_AGAIN_SECONDS)
            else:
                break
        del self._restarting[number]

    async def _end_place(self, number: int) -> None:
        self.disturbed = True
        worker = self._places[number]
        assert worker is not None
        self._places[number] = None
        self._ended.append(worker)
        await worker.crash()

    def _restless(self, limit_seconds: float) -> SimulationError:
        lost = self._world.ledger.lost()
        left = f"{len(lost)} records are still to be done, first {lost[0]}" if lost else "no record"
        raised = [
            f"{name} raised {type(call.error).__name__}: {call.error}"
            for name in self.triggers()
            for call in self._world.book.of(frozenset({name})).failed[-1:]
        ]
        told = "; ".join([left, *raised])
        return SimulationError(
            f"no rest after {limit_seconds:g} simulated seconds: {told}",
            hint="correct the handler, or set maximum_retry_attempts so that it is given up",
        )
