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
from triggerkit.core.decisions import Decision, Discard
from triggerkit.core.mapping import EventSourceMapping
from triggerkit.core.membership import Membership
from triggerkit.core.model import Now, StopReason
from triggerkit.core.reports import Discarded, LeaseLost, Report
from triggerkit.emulator import Emulator
from triggerkit.errors import DestinationError
from triggerkit.invokers.calls import HandlerSettings
from triggerkit.invokers.inprocess import InProcessInvoker
from triggerkit.ports import FailureRecord, Source
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.deadline import ActingDeadline
from triggerkit.runtime.engine import Engine, RunningMapping
from triggerkit.runtime.handlers import callable_of
from triggerkit.runtime.journal import Journal
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.perform import MappingPorts, MembershipPerformer, Performer
from triggerkit.runtime.starting import prepare_patiently
from triggerkit.runtime.worker import starting_position
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.source import open_source
from triggerkit.testing.truth import Violation
from triggerkit.testing.worlds.calls import DECISION, Handlers, SlowPlaces, WatchedInvoker
from triggerkit.testing.worlds.gate import LIFE, Life
from triggerkit.testing.worlds.plan import Plan, TriggerPlan, WorkerPlan
from triggerkit.testing.worlds.state import SessionsOf, SharedState, WiredStore
from triggerkit.testing.worlds.wire import Weather, Wire
from triggerkit.testing.worlds.witness import Witness
from triggerkit.triggers import Triggers

TABLE = "orders"
DRAIN_SECONDS = 25.0
LAST_RELEASES_SECONDS = 5.0
SERVICE_ERROR_SECONDS = 2.5
"""How far ahead a worker may take service time: `Date` counts whole seconds, and a late answer sets it back."""


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


class HostClock:
    """Implements `ports.Clock` for one life: the real one, on a host whose clocks are set otherwise."""

    def __init__(self, clock: VirtualClock, host: WorkerPlan) -> None:
        self._clock = clock
        self._host = host
        wall_seconds = clock.now_seconds() + host.wall_offset_seconds
        self._system = SystemClock(lambda: self.monotonic_seconds, lambda: wall_seconds)

    @property
    def monotonic_seconds(self) -> float:
        """What the host's monotonic clock reads."""
        return self._host.zero_seconds + self._host.rate * self._clock.monotonic_seconds

    def now(self) -> Now:
        """See `Clock`."""
        return self._system.now()

    def observe_service_time(self, service_seconds: float) -> None:
        """See `Clock`."""
        self._system.observe_service_time(service_seconds)


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

    def __post_init__(self) -> None:
        self.clock = HostClock(self.around.clock, self.host)
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

    def discarded(self, decision: Discard, prefix: str) -> None:
        """A failure record was delivered, or is needed by nobody."""
        around, batch = self.around, decision.batch
        checker = around.witness.checkers[prefix]
        known = self.clock.now().service_seconds
        with around.witness.watching():
            true_seconds = around.clock.now_seconds()
            if known - true_seconds > SERVICE_ERROR_SECONDS:
                raise Violation(f"I13: service time {true_seconds} is taken for {known}")
            records = [around.witness.records[each.sequence_number] for each in batch.records]
            checker.discarded(
                decision.lease.shard,
                decision.tenure,
                records,
                decision.reason,
                max(known, true_seconds),
            )

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
        self.engine = Engine(membership, beats, tuple(mappings), self.clock, deadline)
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
                    checker.never_twice = False
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
        )
        cadence = Cadence(audit_seconds=around.plan.audit_seconds)
        machine = EventSourceMapping(starting_position(options), settings, cadence)
        destination = WatchedDestination(self, prefix) if trigger.has_destination else None
        ports = MappingPorts(
            trigger=name,
            prefix=prefix,
            source=source,
            listing=listing,
            store=store,
            invoker=await self._invoker(name, trigger, prefix),
            destination=destination,
            deadline=deadline,
        )
        performer = WatchedPerformer(ports, clock, self)
        return RunningMapping(name, machine, performer, Journal(name, source, clock))

    async def _invoker(self, name: str, trigger: TriggerPlan, prefix: str) -> WatchedInvoker:
        around, options = self.around, trigger.options
        checker = around.witness.checkers[prefix]
        handlers = Handlers(
            checker,
            around.witness,
            around.weather,
            trigger,
            Random(self.rng.random()),  # noqa: S311 - drawn
        )
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
        return WatchedInvoker(invoker, checker, around.witness)


class WatchedPerformer(Performer):
    """The real one, whose decisions and reports are seen as they pass."""

    def __init__(self, ports: MappingPorts, clock: HostClock, worker: Worker) -> None:
        super().__init__(ports, clock)
        self._worker = worker

    async def perform(self, decision: Decision) -> Report:
        """See `Performer`."""
        witness, name = self._worker.around.witness, self._worker.life.name
        witness.note(name, decision)
        DECISION.set(decision)
        report = await super().perform(decision)
        witness.note(name, report)
        checker = witness.checkers[self.ports.prefix]
        with witness.watching():
            match report:
                case LeaseLost(shard=shard, tenure=tenure):
                    checker.lost_lease(shard, tenure)
                case Discarded() if isinstance(decision, Discard):
                    if self.ports.destination is None:
                        self._worker.discarded(decision, self.ports.prefix)
                case _:
                    pass
        return report


class WatchedDestination:
    """Implements `ports.Destination`; it may be down, and its answers may be lost."""

    def __init__(self, worker: Worker, prefix: str) -> None:
        self._worker = worker
        self._prefix = prefix

    async def prepare(self) -> None:
        """Always ready."""

    async def send(self, record: FailureRecord) -> None:
        """See `Destination`."""
        del record
        decision, worker = DECISION.get(), self._worker
        assert isinstance(decision, Discard)
        weather = worker.around.weather

        def deliver() -> None:
            if weather.destination_down:
                raise DestinationError("nobody is there", hint="the world is troubled")
            worker.discarded(decision, self._prefix)

        await worker.wire.carry(deliver)
        if worker.wire.strikes(weather.odds.undelivered):
            raise DestinationError("the answer was lost", hint="the world lost it")

    async def close(self) -> None:
        """Nothing is open."""
