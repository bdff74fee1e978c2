"""A world from its plan, from beginning to end. The same plan is the same world, step by step.

Faults come first; then the world is healed, and everything that was written must be delivered within a bounded
time; at last all workers are asked to stop. Every event is checked against every invariant when it happens.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from proof.checker import Checker
from proof.facts import Violation
from proof.fleet import Fleet
from proof.lease_store import SharedState, at_once
from proof.monitor import Witness
from proof.network import Weather
from proof.plan import WORKER_KINDS, Event, Odds, Plan
from proof.stream import TableStream, make_table
from proof.worker import NAMESPACE, TABLE, Surroundings, name_of

from triggerkit.emulator import Emulator
from triggerkit.lease_stores._sqlite_file import Durability, SqliteFile
from triggerkit.lease_stores.memory import MemoryLeaseStore
from triggerkit.lease_stores.sqlite import SqliteLeaseStore
from triggerkit.ports import LeaseStore
from triggerkit.runtime.assembly import lease_prefix, starting_position
from triggerkit.runtime.perform import Performer
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.inline import InlineRunner
from triggerkit.testing.processes import GatedLoop

HEALING_SECONDS = 600.0
"""The longest backoff is a minute; a lane of small batches may hold a hundred calls."""
IDLE_SECONDS = 20.0
"""For a record in an idle fleet: a poll, a batching window, a call, a save."""
IDLE_LINEAGE_SECONDS = 120.0
"""For a new shard, and for the shards of a worker that crashed."""
STOPPING_SECONDS = 60.0
LATEST_START_SECONDS = 5.0
"""A worker that replaces another may start that much later, also into a healed world."""
LOOK_SECONDS = 1.0
BEFORE_SECONDS = 3.0
"""What happens before a world begins happens within that time."""
CLEAN_UP_ROUNDS = 10
DAYS_SECONDS = 26 * 3600.0
BUSY_SECONDS = 5.0
SOURCE = f"dynamodb/{TABLE}/000000000000/us-east-1"
"""As the real source names it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What stands for the outside; the tests of the checkers put in broken ones."""

    store: Callable[[LeaseStore], LeaseStore] = lambda store: store
    performer: type[Performer] = Performer


class World:
    """One table, one lease store, some workers, and everything that goes wrong. Lives once, on its own loop."""

    def __init__(self, plan: Plan, parts: Parts | None = None) -> None:
        self.plan = plan
        self.clock = VirtualClock()
        self.loop = GatedLoop(self.clock)
        self.witness = Witness(self.loop.time)
        self.steps = 0
        """Callbacks of the loop until the end."""
        self.steps_of: dict[str, int] = {}
        """Those of each life."""
        self._parts = parts or Parts()
        self._rng = Random(f"world {plan.seed}")

    def run(self) -> None:
        """Live to the end.

        Raises:
            Violation: an invariant does not hold, or a machine broke; says what happened last.
        """
        fault: Exception | None = None
        self.loop.set_exception_handler(self._loop_fault)
        chance = random.getstate()
        random.seed(self.plan.seed)  # what retries wait is drawn from there
        try:
            try:
                self.loop.run_until_complete(self._live())
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the trace
                fault = self.witness.fault or error
            self._count_steps()
            self.loop.run_until_complete(self._clean_up())
        finally:
            self.loop.close()
            random.setstate(chance)
        if fault is not None:
            told = fault if isinstance(fault, Violation) else f"{type(fault).__name__}: {fault}"
            raise Violation(f"{told}\n{self.witness.trace()}") from fault

    # --- its life -----------------------------------------------------------------------------------

    async def _live(self) -> None:
        async with AsyncExitStack() as closing:
            self._begin(closing)
            start_seconds = self.loop.time() + BEFORE_SECONDS
            for event in self.plan.events:
                self.loop.call_at(start_seconds + event.at_seconds, self._happen, event)
            for number, host in enumerate(self.plan.workers):
                self.loop.call_at(start_seconds + host.start_seconds, self._fleet.start, number)
            await self._pass(BEFORE_SECONDS + self.plan.troubled_seconds)
            self._heal()
            await self._rest(HEALING_SECONDS)
            await self._pass(LATEST_START_SECONDS)
            if self.plan.idle_seconds is not None:
                await self._try_the_idle_fleet(self.plan.idle_seconds)
            await self._let_one_survive()
            self._fleet.stop()
            await self._until(lambda: not self._fleet.workers, STOPPING_SECONDS)
            self._check_end()

    async def _rest(self, limit_seconds: float) -> None:
        """Until everything is done. Raises Violation: it takes too long."""
        await self._until(self._is_quiet, limit_seconds)
        if not self._is_quiet():
            raise Violation(f"L: after {limit_seconds:g} s: {self.witness.left()}")

    async def _try_the_idle_fleet(self, idle_seconds: float) -> None:
        """A fleet that has nothing to do finds a record, and then a new shard, within their time."""
        await self._pass(idle_seconds)
        for key in range(min(3, self.plan.stream.keys)):
            self._stream.put(key)
        await self._rest(IDLE_SECONDS)
        if self._rng.random() < 0.5:
            self._stream.roll()
        else:
            self._stream.split(self._rng.randrange(8))
        for key in range(min(3, self.plan.stream.keys)):
            self._stream.put(key)
        await self._rest(IDLE_LINEAGE_SECONDS)

    async def _let_one_survive(self) -> None:
        """Any worker must be enough: the others leave one by one, and what is written goes on coming through."""
        while len(staying := [worker for worker in self._fleet.workers if not worker.stopping]) > 1:
            leaving = self._rng.choice(staying)
            self._fleet.lose(leaving, crashes=not self.plan.calm and self._rng.random() < 0.5)
            for key in range(min(2, self.plan.stream.keys)):
                self._stream.put(key)
            if self._rng.random() < 0.3:
                self._stream.roll()
                self._stream.put(0)
            await self._rest(IDLE_LINEAGE_SECONDS)

    def _begin(self, closing: AsyncExitStack) -> None:
        plan, witness = self.plan, self.witness
        emulator = Emulator(self.clock, seed=plan.seed, shards=plan.stream.shards)
        closing.callback(emulator.close)
        prefixes = tuple(
            lease_prefix(NAMESPACE, name_of(number), SOURCE) for number in range(len(plan.triggers))
        )
        make_table(emulator, TABLE)
        self._stream = TableStream(emulator, TABLE, witness)
        self._stream.be_like(plan.stream)
        for prefix, trigger in zip(prefixes, plan.triggers, strict=True):
            start, options = starting_position(trigger.options, self.clock), trigger.options
            never_twice = plan.never_twice(trigger)
            checker = Checker(
                self._stream,
                start,
                options,
                never_twice=never_twice,
                most_unsaved=plan.most_unsaved(trigger),
            )
            checker.tells_whole_seconds()
            checker.tells_losses()
            repeats = any(event.kind == "repeat" for event in plan.events)
            if not repeats and not plan.stream.visible_after_seconds:
                checker.starts_at_pin()
            witness.checkers[prefix] = checker
        self._stream.refresh()
        store = self._open_store(closing)
        at_once(store.prepare())
        weather = Weather(plan.odds, copy_context(), fixed_delays=plan.fixed_delays)
        state = SharedState(self._parts.store(store), witness, self.loop.time)
        self._around = Surroundings(
            plan=plan,
            clock=self.clock,
            emulator=emulator,
            state=state,
            weather=weather,
            witness=witness,
            prefixes=prefixes,
            performer=self._parts.performer,
        )
        self._fleet = Fleet(self._around)

    def _open_store(self, closing: AsyncExitStack) -> LeaseStore:
        if self.plan.store == "memory":
            return MemoryLeaseStore(self.clock)
        folder = closing.enter_context(TemporaryDirectory(prefix="triggerkit-world-"))
        file = SqliteFile(Path(folder, "state.db"), BUSY_SECONDS)
        store = SqliteLeaseStore(file, InlineRunner(), Durability.KILL)
        closing.push_async_callback(store.close)
        return store

    def _heal(self) -> None:
        self.witness.note("world", "is healed")
        around = self._around
        around.weather.odds = Odds()
        around.weather.destination_down = False
        around.weather.is_healed = True
        around.emulator.faults.clear()
        self._stream.list_like(self.plan.stream)
        self._fleet.heal()

    async def _pass(self, seconds: float) -> None:
        """Let time pass. Raises what broke the world meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.witness.broken.wait()
        if self.witness.fault is not None:
            raise self.witness.fault

    async def _until(self, is_over: Callable[[], bool], limit_seconds: float) -> None:
        until_seconds = self.loop.time() + limit_seconds
        while not is_over() and self.loop.time() < until_seconds:
            await self._pass(LOOK_SECONDS)

    def _is_quiet(self) -> bool:
        return not self.witness.left()

    def _check_end(self) -> None:
        running = [worker.life.name for worker in self._fleet.workers]
        checkers = self.witness.checkers.values()
        owned = [shard for checker in checkers for shard in checker.owned()]
        if running or owned:
            raise Violation(f"L: {running} did not stop, {owned} are owned")

    async def _clean_up(self) -> None:
        """Nothing of a worker that crashed is left waiting."""
        everybody = self._fleet.everybody
        for worker in everybody:
            worker.clean_up()
        for _ in range(CLEAN_UP_ROUNDS):
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            for worker in everybody:
                worker.life.clean_up()
            if not rest:
                return
            await asyncio.gather(*rest, return_exceptions=True)

    def _count_steps(self) -> None:
        self.steps = self.loop.steps
        everybody = self._fleet.everybody
        self.steps_of = {worker.life.name: worker.life.steps for worker in everybody}

    def _loop_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        error = context.get("exception")
        self.witness.break_off(error if isinstance(error, Exception) else Violation(str(context)))

    # --- what happens -------------------------------------------------------------------------------

    def _happen(self, event: Event) -> None:
        self.witness.note("world", event)
        match event.kind:
            case "evict":
                self._around.state.evict(event.key)
            case "cleanup":
                self._around.state.clean_up()
            case "outage":
                self._outage(event.seconds)
            case _ if event.kind in WORKER_KINDS:
                self._fleet.strike(event)
            case _:
                self._happen_to_stream(event)

    def _happen_to_stream(self, event: Event) -> None:
        stream, faults = self._stream, self._around.emulator.faults
        match event.kind:
            case "days" if not self._is_surveyed():  # no survey is a day late
                if not self._around.weather.is_healed:
                    self._fleet.later(LOOK_SECONDS, self._happen, event)
            case "days":
                self.clock.advance(DAYS_SECONDS)
                stream.let_retention_pass()
            case "renew":
                stream.turn_off()
                self._fleet.later(event.seconds, stream.turn_on)
            case "expire":
                self._around.emulator.expire_iterators()
            case "outdate":
                faults.stale_listings(event.count, event.seconds)
            case "repeat":
                faults.duplicate(1, event.count)
            case "minutes":
                self.clock.advance(event.seconds)
            case _:
                self._list_late(stream.happen(event, self._rng), event.seconds)

    def _is_surveyed(self) -> bool:
        """Whether every shard that is open has its rows."""
        keys = {row.key for row in self._around.state.rows("", 0.0)}
        opened = [shard.id for shard in self._stream.shards.values() if not shard.closed]
        return all(prefix + shard in keys for prefix in self._around.prefixes for shard in opened)

    def _outage(self, seconds: float) -> None:
        weather = self._around.weather

        def mend() -> None:
            weather.destination_down = False

        weather.destination_down = True
        self._fleet.later(seconds, mend)

    def _list_late(self, shards: list[str], seconds: float) -> None:
        faults = self._around.emulator.faults
        if seconds > 0:
            for shard in shards:
                faults.hide(shard)
                self._fleet.later(seconds, faults.show, shard)
