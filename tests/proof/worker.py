"""One life of a worker of a world: everything that a real worker is made of, from the engine to the reader.

User code runs on the world's loop; AWS, the lease store and the destination are reached over a simulated
network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from random import Random

from proof.event_checker import EventChecker, WiredDestination
from proof.facts import Violation
from proof.handlers import CheckedInvoker, Handlers, SlowPlaces
from proof.lease_store import SessionsOf, SharedState, WiredStore
from proof.monitor import Witness
from proof.network import Weather, Wire
from proof.plan import Plan, TriggerPlan, WorkerPlan

from triggerkit.core import events
from triggerkit.core.coordinator import Cadence
from triggerkit.emulator import Emulator
from triggerkit.invokers.calls import HandlerSettings
from triggerkit.invokers.inprocess import InProcessInvoker
from triggerkit.ports import Source
from triggerkit.runtime.assembly import Assembly, assemble
from triggerkit.runtime.handlers import callable_of
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.opening import prepare_patiently
from triggerkit.runtime.perform import MappingParts, Performer
from triggerkit.testing.clock import HostClock, VirtualClock
from triggerkit.testing.processes import LIFE, Life
from triggerkit.testing.source import open_source
from triggerkit.triggers import Triggers

TABLE = "orders"
NAMESPACE = "world"
DRAIN_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all lives of a world share. `prefixes` are those of lease keys, one a trigger."""

    plan: Plan
    clock: VirtualClock
    emulator: Emulator
    state: SharedState
    weather: Weather
    witness: Witness
    prefixes: tuple[str, ...]
    performer: type[Performer] = Performer


@dataclass(slots=True)
class Worker:
    """One life, from its start to its stop or its crash. To be used on the world's loop."""

    around: Surroundings
    host: WorkerPlan
    life: Life
    wire: Wire
    rng: Random
    on_end: Callable[[Worker], None]
    clock: HostClock = field(init=False)
    sessions: SessionsOf = field(init=False)
    assembly: Assembly | None = None
    stopping: bool = False
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _context: Context = field(default_factory=copy_context)
    _observers: list[events.Observer] = field(default_factory=list)

    def __post_init__(self) -> None:
        host = self.host
        self.clock = HostClock(
            self.around.clock, host.zero_seconds, host.rate, host.wall_offset_seconds
        )
        self.sessions = SessionsOf(self.life.name, self.clock)
        self._context.run(LIFE.set, self.life)
        self._observers.append(self._observe)

    def start(self) -> None:
        """Begin to live."""
        asyncio.get_running_loop().create_task(self._live(), context=self._context)

    def stop(self) -> None:
        """As at SIGTERM."""
        self.stopping = True
        self._stop.set()

    def crash(self) -> None:
        """As at SIGKILL."""
        self._end()

    def clean_up(self) -> None:
        """The world is over: no timer begins anything anew."""
        self.life.end()
        if self.assembly is not None:
            self.assembly.forget_timers()

    # --- a life -----------------------------------------------------------------------------------

    async def _live(self) -> None:
        around = self.around
        around.witness.note(self.life.name, "starts")
        source = open_source(around.emulator, TABLE, self.wire, self.clock)
        try:
            await prepare_patiently(source, TABLE, self.clock, self._stop)
        except Exception as error:  # noqa: BLE001 - the worker ends, and its supervisor starts another one
            around.witness.note(self.life.name, f"did not start: {error}")
            self._end()
            return
        store = WiredStore(
            around.state,
            self.wire,
            around.witness,
            self.sessions,
            never_loses_its_session=around.plan.calm,
        )
        listing = SharedListing(source, self.clock)
        parts = [
            await self._parts(number, source, listing, store)
            for number in range(len(around.plan.triggers))
        ]
        assembly = self.assembly = assemble(
            parts,
            self.clock,
            self._observers,
            cadence=Cadence(audit_seconds=around.plan.audit_seconds),
            performer=around.performer,
        )
        assembly.start()
        waiting = asyncio.ensure_future(self._stop.wait())
        ended = asyncio.ensure_future(assembly.wait_ended())
        await asyncio.wait([waiting, ended], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if ended.done():
            self._break_off(ended.exception() or "it stopped by itself")
            return
        ended.cancel()
        await assembly.drain(DRAIN_SECONDS)
        if assembly.failure is not None:
            self._break_off(assembly.failure)
        with around.witness.watching():
            for checker in around.witness.checkers.values():
                checker.left(self.life.name)
        await assembly.close()
        try:
            await assembly.leave()
        except Exception as error:  # noqa: BLE001 - others find out
            around.witness.note(self.life.name, f"did not leave: {error}")
        self._end()

    def _break_off(self, why: BaseException | str) -> None:
        fault = why if isinstance(why, Exception) else Violation(f"W: {self.life.name}: {why}")
        self.around.witness.break_off(fault)

    def _observe(self, event: events.Event) -> None:
        """Let the checkers know that the worker drains: from then on more is allowed."""
        witness = self.around.witness
        match event:
            case events.Draining():
                witness.note(self.life.name, "drains")
                for checker in witness.checkers.values():
                    checker.asked_to_stop(self.life.name)
            case events.DrainExpired():
                witness.note(self.life.name, "the drain expired")
                for checker in witness.checkers.values():
                    checker.drain_expired(self.life.name)
            case _:
                pass

    def _end(self) -> None:
        if self.life.ended:
            return
        self.life.end()
        if self.sessions.current is not None:
            self.around.witness.died(self.sessions.current)
            if self.around.plan.same_host:
                self.around.state.gone.add(self.sessions.current)
        self.on_end(self)

    # --- what it is made of -----------------------------------------------------------------------

    async def _parts(
        self, number: int, source: Source, listing: SharedListing, store: WiredStore
    ) -> MappingParts:
        around = self.around
        trigger, prefix, name = (
            around.plan.triggers[number],
            around.prefixes[number],
            name_of(number),
        )
        event_checker = EventChecker(
            life=self.life.name,
            trigger=name,
            checker=around.witness.checkers[prefix],
            witness=around.witness,
            clock=self.clock,
            service_seconds=around.clock.now_seconds,
            delivers=trigger.has_destination,
        )
        self._observers.append(event_checker)
        return MappingParts(
            trigger=name,
            prefix=prefix,
            options=trigger.options,
            source=source,
            listing=listing,
            store=store,
            invoker=await self._invoker(name, trigger, prefix),
            destination=(
                WiredDestination(event_checker, self.wire) if trigger.has_destination else None
            ),
        )

    async def _invoker(self, name: str, trigger: TriggerPlan, prefix: str) -> CheckedInvoker:
        around, options = self.around, trigger.options
        checker = around.witness.checkers[prefix]
        rng = Random(self.rng.random())
        handlers = Handlers(around.witness, around.weather, trigger, rng)
        group = Triggers[None]("world")
        match trigger.handler:
            case "sync":
                group.on(f"dynamodb://{TABLE}")(handlers.whole)
            case "async":
                group.on(f"dynamodb://{TABLE}")(handlers.whole_async)
            case "each" | "async each":
                chosen = handlers.each if trigger.handler == "each" else handlers.each_async
                group.each(f"dynamodb://{TABLE}")(chosen)
        declared = group.triggers[0]
        invoker = InProcessInvoker(
            name,
            callable_of(declared),
            HandlerSettings(
                is_async=declared.is_async,
                report_batch_item_failures=options.report_batch_item_failures,
                timeout_seconds=options.timeout,
                maximum_concurrency=options.maximum_concurrency,
            ),
            lifespan=None,
            places=SlowPlaces(handlers),
            clock=self.clock,
            log=get_logger(),
        )
        return CheckedInvoker(invoker, checker, around.witness, handlers)


def name_of(number: int) -> str:
    """The name of a world's trigger."""
    return f"trigger-{number}"
