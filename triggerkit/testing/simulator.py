"""A simulation: tables, streams and workers in one process. The same seed gives the same world.

Time is virtual and moves only inside `run_until_idle`, `advance` and, in a chaos test, between two
writes. Nothing is patched, no socket opens, and boto3 is not imported. Until it is closed, the environment has
Lambda's variables where they are not set already.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

from triggerkit.cassettes.reading import Cassette, FilePath, find_cassette, load_cassette
from triggerkit.emulator import Emulator
from triggerkit.errors import SimulationError, UsageError
from triggerkit.invokers.environment import OfferedVariables
from triggerkit.lease_stores.memory import MemoryLeaseStore
from triggerkit.runtime.handlers import variables_of
from triggerkit.runtime.tables import DevTable
from triggerkit.testing.calls import CallBook, Calls
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.failures import Failure, MemoryDestination
from triggerkit.testing.faults import Trouble, read_faults
from triggerkit.testing.fleet import Fleet
from triggerkit.testing.ledger import Delivery, Ledger
from triggerkit.testing.plans import APP, read_plans
from triggerkit.testing.processes import GatedLoop
from triggerkit.testing.raised import Raised
from triggerkit.testing.replay import Pace, Player
from triggerkit.testing.tables import SimulatedTable, Tables
from triggerkit.testing.worker import World
from triggerkit.triggers import Triggers

T = TypeVar("T")

LIMIT_SECONDS = 3600.0
LONG_SECONDS = 600.0
"""Longer than any pause of a worker that has nothing to do."""
SETTLING_SECONDS = 60.0
BETWEEN_WRITES_SECONDS = (0.0, 0.0, 0.02, 0.3)
TROUBLED_SECONDS = (1.0, 12.0)
"""How long the trouble goes on behind the last write."""


class Simulation:
    """Runs triggers on virtual tables, streams and time.

    Close it, or use it in a `with` block; the fixture `triggerkit_sim` does.

    Args:
        handlers: a `Triggers`, or TARGET such as `"app:handlers"`.
        seed: draws every delay, and in a troubled world everything that goes wrong.
        workers: how many run, sharing one lease table.
        faults: names out of `triggerkit.testing.faults.FAULTS`, as `"split,kill"`; none unless given.
        variables: values for `${VAR}` in sources.
        folder: where cassettes are looked for, before the current folder; the fixture says the test's.

    Raises:
        TriggerkitError: what `triggerkit check` would refuse. LocatorError: a source that is no table.
    """

    def __init__(
        self,
        handlers: Triggers[Any] | str,
        *,
        seed: int = 0,
        workers: int = 1,
        faults: str | Iterable[str] = (),
        variables: Mapping[str, str] | None = None,
        folder: FilePath = ".",
    ) -> None:
        self.seed = seed
        self._folder = Path(folder)
        self._plans = read_plans(handlers, variables or {})
        rng = Random(seed)  # noqa: S311 - a world is drawn, no secret
        troubles = read_faults(faults)
        clock = VirtualClock()
        self.emulator = Emulator(clock, seed=seed)
        """For handlers that write: `triggerkit.emulator.attach(client, sim.emulator)`."""
        self._ledger = Ledger(self.emulator)
        self._tables = Tables(self.emulator, self._plans.tables, self._ledger, self._written)
        self._world = World(
            self._plans.mappings,
            self.emulator,
            clock,
            MemoryLeaseStore(clock),
            CallBook(clock.now_seconds, self._ledger.key_names),
            self._ledger,
            MemoryDestination(),
        )
        self._rng = rng
        self._fleet = Fleet(self._world, self._tables, rng, workers, troubles)
        self._trouble = Trouble(troubles, rng, self._fleet) if troubles else None
        for name in self._plans.names:
            plans = [plan for plan in self._plans.mappings if plan.name == name]
            tables = [plan.source_locator.name for plan in plans]
            from_tip = plans[0].options.starting_position == "LATEST"
            self._ledger.know_trigger(name, tables, from_tip=from_tip)
        self._variables = OfferedVariables()
        self._variables.offer(variables_of(self._plans.mappings, APP), os.environ)
        self._loop = GatedLoop(clock)  # last: what raises above leaves nothing open

    # --- the world --------------------------------------------------------------------------------

    def table(
        self, name: str, *, key: str | None = None, view_type: str | None = None
    ) -> SimulatedTable:
        """A table with its stream on; made when it is first asked for.

        Args:
            name: as in the trigger's source, `${VAR}` resolved.
            key: such as `id:S`, or `pk:S,sk:N`; unless given what `[dev.tables]` says, else `id:S`.
            view_type: which images the stream carries; NEW_AND_OLD_IMAGES unless given.

        Raises:
            UsageError: the key cannot be read, or the table is there with another one.
        """
        return self._tables.get(name, key, view_type)

    def play(
        self, cassette: Cassette | FilePath, *, table: str | None = None, pace: Pace = "at once"
    ) -> SimulatedTable:
        """Put the records of a cassette into a table's stream: same keys, images, shards and order.

        They get times and sequence numbers of this world. A trigger that starts at LATEST is started first.

        Args:
            cassette: what `triggerkit record` wrote, or `load_cassette` opened.
            table: the table that plays it, unless triggers read one of the recorded name.
            pace: "at once", or "recorded": time passes between records as it did.

        Raises:
            CassetteError: it is not there, damaged, cut off or newer. UsageError: no trigger reads
                the table, or it is there with another key or view type.
        """
        if not isinstance(cassette, Cassette):
            cassette = load_cassette(find_cassette(cassette, self._folder))
        name = table or cassette.table
        if name not in self.sources:
            raise UsageError(
                f"no trigger of this simulation reads the table {name!r} of {cassette.path.name}",
                hint=f"say which one plays it: table={self.sources[0]!r}",
            )
        playing = self._tables.fit(DevTable(name, cassette.keys, cassette.view_type))
        if self._starts_at_tip(name):
            self.run_until_idle()
        Player(
            self.emulator, name, cassette.view_type, changed=self._played, wait=self._wait_recorded
        ).play(cassette, pace)
        self._ledger.reread()
        return playing

    def roll(self, table: str) -> None:
        """Close every open shard of the table's stream; each goes on in one child."""
        self.emulator.roll(self.table(table).name)

    def split(self, table: str) -> None:
        """Close one open shard of the table's stream; it goes on in two children."""
        self.emulator.split(self.table(table).name)

    def expire_iterators(self) -> None:
        """Make every shard iterator handed out so far expire."""
        self.emulator.expire_iterators()

    def fail_next(self, trigger: object, times: int = 1) -> None:
        """Let the next calls of a trigger fail instead of reaching its handler.

        Args:
            trigger: the handler, or the trigger's name.
            times: how many calls.
        """
        for name in self._named(trigger):
            self._world.book.fail_next(name, times)

    def crash(self, worker: int = 0, *, restart_after_seconds: float | None = 0.0) -> None:
        """Kill a worker: what is under way is cancelled, and nothing more is written.

        Args:
            worker: its number, from 0.
            restart_after_seconds: when it comes back, as a new process; None: not by itself.
        """
        self._run(self._fleet.crash(worker, restart_after_seconds))

    def restart(self, worker: int = 0) -> None:
        """Start a worker that has crashed."""
        self._run(self._fleet.restart(worker))

    # --- time -------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass. Of a long time in which nothing is left to do, workers see two minutes only."""
        self._run(self._advance(seconds))

    def run_until_idle(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Run until every record is done or discarded and every checkpoint is saved.

        In a troubled world the trouble goes on for some seconds; then the world heals, and rests.

        Args:
            limit_seconds: how much virtual time that may take.

        Raises:
            SimulationError: it does not come to rest; says what is left, and what handlers raised.
        """
        self._run(self._until_idle(limit_seconds))

    @property
    def now_seconds(self) -> float:
        """The present of this world (UNIX seconds)."""
        return self._world.clock.now_seconds()

    @property
    def triggers(self) -> list[str]:
        """The names of the triggers that run."""
        return self._plans.names

    @property
    def sources(self) -> list[str]:
        """The tables that triggers read, each once."""
        return list(dict.fromkeys(plan.source_locator.name for plan in self._plans.mappings))

    # --- what it came to --------------------------------------------------------------------------

    def calls(self, trigger: object) -> Calls:
        """The calls that reached a handler, those that raised among them.

        Args:
            trigger: the handler, or the trigger's name.
        """
        return self._world.book.of(self._named(trigger))

    @property
    def lost(self) -> tuple[Delivery, ...]:
        """Records that are neither done nor discarded; empty behind `run_until_idle`."""
        return self._ledger.lost()

    @property
    def out_of_order(self) -> tuple[Delivery, ...]:
        """Records that were handed over before an earlier record of their item was done with."""
        return tuple(self._ledger.out_of_order)

    @property
    def duplicates(self) -> tuple[Delivery, ...]:
        """Records that were done again after they had been done: after a crash some may be."""
        return self._ledger.duplicates()

    @property
    def discarded(self) -> tuple[Delivery, ...]:
        """Records that were given up."""
        return self._ledger.given_up()

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The failure records that `on_failure` got, whatever it names."""
        return tuple(self._world.destination.failures)

    @property
    def raised(self) -> tuple[Raised, ...]:
        """The distinct errors of all calls, each with how often it was met and one traceback.

        Records that do not fit the annotated type are among them; what `fail_next` raised is not.
        """
        return self._world.book.raised

    def has_succeeded(self, trigger: object) -> bool:
        """Whether a call of the trigger returned and did some of its records.

        Args:
            trigger: the handler, or the trigger's name.
        """
        names = self._named(trigger)
        returned = any(call.returned for call in self._world.book.of(names))
        return returned and any(self._ledger.has_done(name) for name in names)

    @property
    def records_written(self) -> int:
        """How many records the streams of all tables have got."""
        return self._ledger.written

    def check(self) -> None:
        """Check what every world must keep, whatever goes wrong in it.

        Raises:
            SimulationError: records were lost, out of order, passed by a checkpoint too early, or
                came again although no worker was disturbed.
        """
        broken = {
            "lost": self.lost,
            "out of order": self.out_of_order,
            "checkpointed before they were done": tuple(self._ledger.unsafe),
            "done again without a crash": () if self._fleet.disturbed else self.duplicates,
        }
        for what, deliveries in broken.items():
            if deliveries:
                raise SimulationError(
                    f"seed {self.seed}: {len(deliveries)} records are {what}: {_some(deliveries)}",
                    hint="run the seed again and look at sim.calls(...)",
                )

    def close(self) -> None:
        """End everything: lifespans are left, tasks cancelled."""
        if self._loop.is_closed():
            return
        try:
            self._loop.run_until_complete(self._fleet.end())
            self._loop.run_until_complete(_cancel_all())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
            self.emulator.close()
            self._variables.withdraw(os.environ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- inside -----------------------------------------------------------------------------------

    def _named(self, trigger: object) -> frozenset[str]:
        found = self._plans.triggers_of(trigger)
        if not found:
            raise UsageError(
                f"{trigger!r} is no trigger of this simulation",
                hint=f"its triggers: {', '.join(self._plans.names)}",
            )
        return found

    def _written(self) -> None:
        """Time passes between two writes of a troubled world, so that they meet its troubles."""
        if self._trouble is not None:
            self._run(self._between_writes(self._rng.choice(BETWEEN_WRITES_SECONDS)))

    def _played(self) -> None:
        """As after a write. In a calm world no time passes, so all records are looked at in the end."""
        if self._trouble is not None:
            self._ledger.reread()
            self._written()

    def _wait_recorded(self, seconds: float) -> None:
        self._ledger.reread()
        self.advance(seconds)

    def _starts_at_tip(self, table: str) -> bool:
        return any(
            plan.options.starting_position == "LATEST" and plan.source_locator.name == table
            for plan in self._plans.mappings
        )

    def _run(self, work: Coroutine[object, object, T]) -> T:
        running = True
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            running = False
        if running or self._loop.is_closed():
            work.close()
            why = "a loop runs here already" if running else "it is closed"
            raise UsageError(
                f"the simulation cannot run: {why}",
                hint="simulate in a test that is no coroutine, before close()",
            )
        return self._loop.run_until_complete(work)

    async def _between_writes(self, seconds: float) -> None:
        await self._fleet.start()
        await self._troubled(asyncio.sleep(seconds))

    async def _advance(self, seconds: float) -> None:
        await self._fleet.start()
        if seconds > LONG_SECONDS:
            await self._troubled(asyncio.sleep(SETTLING_SECONDS))
            seconds -= SETTLING_SECONDS
            if await self._fleet.is_idle():
                self._world.clock.advance(seconds - SETTLING_SECONDS)
                seconds = SETTLING_SECONDS
        await self._troubled(asyncio.sleep(seconds))
        self._fleet.check()

    async def _until_idle(self, limit_seconds: float) -> None:
        await self._fleet.start()
        if self._trouble is not None:
            await self._troubled(asyncio.sleep(self._rng.uniform(*TROUBLED_SECONDS)))
            await self._fleet.heal()
        await self._fleet.until_idle(limit_seconds)

    async def _troubled(self, work: Coroutine[object, object, None]) -> None:
        """Await `work` while things happen."""
        if self._trouble is None:
            await work
            return
        brewing = asyncio.ensure_future(self._trouble.brew())
        try:
            await work
        finally:
            brewing.cancel()
            with suppress(asyncio.CancelledError):
                await brewing


async def _cancel_all() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _some(deliveries: tuple[Delivery, ...]) -> str:
    shown = ", ".join(map(str, deliveries[:3]))
    return shown if len(deliveries) <= 3 else f"{shown}, ..."
