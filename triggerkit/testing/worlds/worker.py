"""One life of a worker of a world. Rule: all that a real worker is made of, from the engine to the reader.

What is not: user code runs on the world's loop, and AWS, the lease store and the destination lie behind a wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from random import Random

from triggerkit.core.consumer import ConsumerSettings
from triggerkit.core.coordinator import Cadence
from triggerkit.core.events import MappingId
from triggerkit.core.mapping import EventSourceMapping
from triggerkit.core.membership import Membership
from triggerkit.core.model import StopReason
from triggerkit.emulator import Emulator
from triggerkit.invokers.calls import HandlerSettings
from triggerkit.invokers.inprocess import InProcessInvoker
from triggerkit.ports import Source
from triggerkit.runtime.deadline import ActingDeadline
from triggerkit.runtime.engine import Engine, RunningMapping
from triggerkit.runtime.handlers import callable_of
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.perform import MappingPorts, MembershipPerformer, Performer
from triggerkit.runtime.starting import prepare_patiently
from triggerkit.runtime.worker import starting_position
from triggerkit.testing.clock import HostClock, VirtualClock
from triggerkit.testing.source import open_source
from triggerkit.testing.truth import Violation
from triggerkit.testing.worlds.calls import CheckedInvoker, Handlers, SlowPlaces
from triggerkit.testing.worlds.event_checker import EventChecker, WiredDestination
from triggerkit.testing.worlds.gate import LIFE, Life
from triggerkit.testing.worlds.plan import Plan, TriggerPlan, WorkerPlan
from triggerkit.testing.worlds.state import SessionsOf, SharedState, WiredStore
from triggerkit.testing.worlds.wire import Weather, Wire
from triggerkit.testing.worlds.witness import Witness
from triggerkit.triggers import Triggers

TABLE = "orders"
DRAIN_SECONDS = 25.0
LAST_RELEASES_SECONDS = 5.0


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
    engine: Engine | None = None
    stopping: bool = False
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _context: Context = field(default_factory=copy_context)
    _checkers: list[EventChecker] = field(default_factory=list)

    def __post_init__(self) -> None:
        host = self.host
        self.clock = HostClock(
            self.around.clock, host.zero_seconds, host.rate, host.wall_offset_seconds
        )
        self.sessions = SessionsOf(self.life.name, self.clock)
        self._context.run(LIFE.set, self.life)

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
        if self.engine is not None:
            self.engine.forget_timers()

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
        store = WiredStore(around.state, self.wire, around.witness, self.sessions)
        membership = Membership(store.fresh_session())
        deadline = ActingDeadline(self.clock)
        listing = SharedListing(source, self.clock)
        mappings = [
            await self._mapping(number, source, listing, store, deadline)
            for number in range(len(around.plan.triggers))
        ]
        beats = MembershipPerformer(store, self.clock)
        self.engine = Engine(
            membership, beats, tuple(mappings), self.clock, deadline, self._checkers
        )
        self.engine.start()
        waiting = asyncio.ensure_future(self._stop.wait())
        stopped = asyncio.ensure_future(self.engine.wait_stopped())
        await asyncio.wait([waiting, stopped], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if stopped.done():
            why = self.engine.failure or "it stopped by itself"
            around.witness.break_off(
                why if isinstance(why, Exception) else Violation(f"W: {self.life.name}: {why}")
            )
            return
        stopped.cancel()
        await self._drain(self.engine, deadline)
        await self.engine.close()
        await self._leave(store)
        self._end()

    async def _drain(self, engine: Engine, deadline: ActingDeadline) -> None:
        """As the runtime's own worker drains."""
        witness = self.around.witness
        witness.note(self.life.name, "drains")
        for checker in witness.checkers.values():
            checker.asked_to_stop(self.life.name)
        deadline.drain_until(self.clock.now().monotonic_seconds + DRAIN_SECONDS)
        for reason, seconds in (
            (StopReason.REQUESTED, DRAIN_SECONDS),
            (StopReason.DRAIN_EXPIRED, LAST_RELEASES_SECONDS),
        ):
            engine.stop(reason)
            try:
                await asyncio.wait_for(engine.wait_stopped(), seconds)
            except TimeoutError:
                witness.note(self.life.name, "the drain expired")
                for checker in witness.checkers.values():
                    checker.drain_expired(self.life.name)
            except Exception as fault:  # noqa: BLE001 - a machine broke
                witness.break_off(fault)
            else:
                return

    async def _leave(self, store: WiredStore) -> None:
        assert self.engine is not None
        try:
            await store.leave(self.engine.membership.me)
        except Exception as error:  # noqa: BLE001 - others find out
            self.around.witness.note(self.life.name, f"did not leave: {error}")

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

    async def _mapping(
        self,
        number: int,
        source: Source,
        listing: SharedListing,
        store: WiredStore,
        deadline: ActingDeadline,
    ) -> RunningMapping:
        around, clock = self.around, self.clock
        trigger, prefix = around.plan.triggers[number], around.prefixes[number]
        options, name = trigger.options, f"trigger-{number}"
        interval = options.checkpoint_interval_seconds
        settings = ConsumerSettings(
            prefix=prefix,
            options=options,
            checkpoint_interval_seconds=(
                store.checkpoint_interval_seconds if interval is None else interval
            ),
            mapping=MappingId(name, source.name),
        )
        cadence = Cadence(audit_seconds=around.plan.audit_seconds)
        machine = EventSourceMapping(starting_position(options, clock), settings, cadence)
        event_checker = EventChecker(
            life=self.life.name,
            trigger=name,
            checker=around.witness.checkers[prefix],
            witness=around.witness,
            clock=clock,
            service_seconds=around.clock.now_seconds,
            delivers=trigger.has_destination,
        )
        self._checkers.append(event_checker)
        ports = MappingPorts(
            trigger=name,
            prefix=prefix,
            source=source,
            listing=listing,
            store=store,
            invoker=await self._invoker(name, trigger, prefix),
            destination=(
                WiredDestination(event_checker, self.wire) if trigger.has_destination else None
            ),
            deadline=deadline,
        )
        return RunningMapping(name, machine, around.performer(ports, clock))

    async def _invoker(self, name: str, trigger: TriggerPlan, prefix: str) -> CheckedInvoker:
        around, options = self.around, trigger.options
        checker = around.witness.checkers[prefix]
        rng = Random(self.rng.random())  # noqa: S311 - drawn
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
        return CheckedInvoker(invoker, checker, around.witness)
