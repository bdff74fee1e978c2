"""The composition root: settings in, a running worker out. Rule: nothing is touched before all was checked.

The order of a start: sources, lease stores, orphaned names, destinations, lifespans; then the engines. A
source only asks, so a start that it refuses creates no file. The order of a stop: machines let go, lifespans
end, sessions leave, connections close.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from triggerkit.core.consumer import ConsumerSettings
from triggerkit.core.coordinator import Cadence
from triggerkit.core.events import (
    DrainExpired,
    Draining,
    Event,
    MappingId,
    Observer,
    Started,
    Stopped,
)
from triggerkit.core.mapping import EventSourceMapping
from triggerkit.core.membership import Membership
from triggerkit.core.model import TRIM_HORIZON, Position, PositionKind, StopReason
from triggerkit.core.options import MappingOptions
from triggerkit.core.snapshot import MappingSnapshot
from triggerkit.invokers.calls import ShownRecords
from triggerkit.ports import Clock, Destination, Invoker, LeaseStore, Runner, Services, Source
from triggerkit.registry import open_destination, open_lease_store, open_source
from triggerkit.runtime.adoption import Claim, adopt_former_rows, under_new_names
from triggerkit.runtime.counts import Counts
from triggerkit.runtime.deadline import ActingDeadline
from triggerkit.runtime.engine import Engine, RunningMapping, publish
from triggerkit.runtime.event_log import EventLog
from triggerkit.runtime.failure_files import show_command
from triggerkit.runtime.handlers import Handlers
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.orphans import Starting, known_triggers, refuse_orphans
from triggerkit.runtime.perform import MappingPorts, MembershipPerformer, Performer
from triggerkit.runtime.starting import each_stream_once, prepare_patiently
from triggerkit.settings import MappingPlan, Settings

log = get_logger()

TIP_CHECK_SECONDS = 0.1
CLOSE_SECONDS = 1.0
"""What one adapter gets to close; a call that still hangs then ends with the process."""
OPENING_CHECK_SECONDS = 0.02
LAST_RELEASES_SECONDS = 5.0
"""After the drain: how long the releases themselves may take."""


@dataclass(frozen=True, slots=True)
class Pools:
    """Four pools, so that a slow handler or DescribeStream never starves a checkpoint."""

    lease_store: Runner
    control_plane: Runner
    destinations: Runner


@dataclass(frozen=True, slots=True)
class WorkerFlags:
    """What `run` says about this worker. `locator_defaults` are those of `Services.defaults`."""

    burst: bool = False
    drain_timeout_seconds: float = 25.0
    accept_orphaned: frozenset[str] = frozenset()
    declared_triggers: frozenset[str] = frozenset()
    shown_records: ShownRecords = "none"
    locator_defaults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Opened:
    """The adapters by the texts of their locators, each opened once."""

    sources: dict[str, Source] = field(default_factory=dict)
    stores: dict[str, LeaseStore] = field(default_factory=dict)
    destinations: dict[str, Destination] = field(default_factory=dict)


class Worker:
    """One process that runs the mappings of one `Settings`."""

    def __init__(
        self,
        settings: Settings,
        flags: WorkerFlags,
        pools: Pools,
        clock: Clock,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._settings = settings
        self._flags = flags
        self._pools = pools
        self._clock = clock
        self.counts = Counts()
        shown_by = {plan.name: _shown_by(plan, settings) for plan in settings.mappings}
        self._observers: Sequence[Observer] = (
            EventLog(clock, shown_by),
            self.counts,
            *observers,
        )
        self._engines: list[Engine] = []
        self._sources: dict[str, tuple[Source, SharedListing]] = {}
        self._deadlines: list[ActingDeadline] = []
        self._shared: dict[object, object] = {}
        self._stop_asked = asyncio.Event()
        self.on_ready: Callable[[], None] = lambda: None
        self.drain_expired = False
        """Whether the drain ran out of time, so that records will be delivered again."""

    def snapshots(self) -> dict[str, MappingSnapshot]:
        """Of every mapping, by name."""
        return {
            name: picture
            for engine in self._engines
            for name, picture in engine.snapshots().items()
        }

    def stop(self) -> None:
        """Drain and release; `run` returns when that is done."""
        self._stop_asked.set()

    async def run(self) -> None:
        """Run until stopped, or with `burst` until the tip of every stream is reached and saved.

        Raises:
            StateError, SourceError, DestinationError, HandlerError, UsageError: the start failed;
            whatever was opened is closed again.
        """
        async with AsyncExitStack() as closing:
            if not await self._assembled_before_stop(closing):
                return
            for engine in self._engines:
                engine.start()
            await self._until_opened()
            self.on_ready()
            self._publish(Started(tuple(plan.name for plan in self._settings.mappings)))
            try:
                await self._until_stopped()
            finally:
                await self._drain()

    # --- the start ------------------------------------------------------------------------------

    async def _assembled_before_stop(self, closing: AsyncExitStack) -> bool:
        """Assemble, unless a stop comes first: it ends the start wherever that waits."""
        starting = asyncio.ensure_future(self._assemble(closing))
        stopping = asyncio.ensure_future(self._stop_asked.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()  # raises what went wrong
                return True
            return False
        finally:
            starting.cancel()
            stopping.cancel()
            await asyncio.wait({starting, stopping}, timeout=CLOSE_SECONDS)

    async def _assemble(self, closing: AsyncExitStack) -> None:
        plans = [plan for plan in self._settings.mappings if plan.options.enabled]
        for plan in self._settings.mappings:
            if not plan.options.enabled:
                log.info("trigger_disabled", trigger=plan.name, source=plan.source_locator.text)
        opened = self._open(plans, closing)
        for text, source in opened.sources.items():
            await self._prepare_source(text, source)
        plans = each_stream_once(plans, {text: known for text, (known, _) in self._sources.items()})
        for text, store in opened.stores.items():
            is_new = await store.prepare()
            mine = [plan for plan in plans if plan.state.text == text]
            await self._look_at_state(text, store, mine, is_new=is_new)
        for destination in opened.destinations.values():
            await destination.prepare()
        handlers = Handlers(plans, self._clock, self._flags.shown_records)
        await closing.enter_async_context(handlers)
        for text, store in opened.stores.items():
            mine = [plan for plan in plans if plan.state.text == text]
            engine = await self._build_engine(mine, store, opened.destinations, handlers, closing)
            self._engines.append(engine)

    def _open(self, plans: list[MappingPlan], closing: AsyncExitStack) -> _Opened:
        """Open every adapter, which reads its locator and touches nothing yet."""
        opened = _Opened()
        for plan in plans:
            source, state, failure = plan.source_locator, plan.state, plan.on_failure
            if source.text not in opened.sources:
                services = self._services(self._pools.control_plane)
                opened.sources[source.text] = open_source(source, services)
                closing.push_async_callback(_close, opened.sources[source.text].close)
            if state.text not in opened.stores:
                services = self._services(self._pools.lease_store)
                opened.stores[state.text] = open_lease_store(state, services)
                closing.push_async_callback(_close, opened.stores[state.text].close)
            if failure is not None and failure.text not in opened.destinations:
                services = self._services(self._pools.destinations)
                opened.destinations[failure.text] = open_destination(failure, services)
                closing.push_async_callback(_close, opened.destinations[failure.text].close)
        return opened

    async def _look_at_state(
        self, state: str, store: LeaseStore, plans: list[MappingPlan], *, is_new: bool
    ) -> None:
        """Announce what is about to start anew, and refuse what would do so unnoticed."""
        namespace = self._settings.namespace
        sources = [(plan.name, self._sources[plan.source_locator.text][0]) for plan in plans]
        claims = frozenset(Claim(name, each.name, each.former_names) for name, each in sources)
        names = frozenset((claim.trigger, claim.source) for claim in claims)
        starting = Starting(self._settings.app, self._settings.env, state, names)
        await adopt_former_rows(store, namespace, starting, claims)
        known = under_new_names(await known_triggers(store, namespace), claims)
        if not known:
            what = "no state yet" if is_new else f"the state has nothing of app {namespace!r} yet"
            log.info(
                "state_created" if is_new else "state_empty",
                state=state,
                message=f"{what}: triggers start at their starting_position",
            )
        declared = self._flags.declared_triggers | {plan.name for plan in self._settings.mappings}
        refuse_orphans(known, starting, declared, self._flags.accept_orphaned)

    async def _prepare_source(self, text: str, source: Source) -> None:
        await prepare_patiently(source, text, self._clock, self._stop_asked)
        for known, listing in self._sources.values():
            if known.identity == source.identity:  # at most two readers a shard
                self._sources[text] = (known, listing)
                return
        self._sources[text] = (source, SharedListing(source, self._clock))

    async def _build_engine(
        self,
        plans: list[MappingPlan],
        store: LeaseStore,
        destinations: dict[str, Destination],
        handlers: Handlers,
        closing: AsyncExitStack,
    ) -> Engine:
        membership = Membership(store.fresh_session())
        deadline = ActingDeadline(self._clock)
        self._deadlines.append(deadline)
        mappings = tuple(
            self._build_mapping(
                plan,
                store,
                handlers.invoker(plan.name),
                destinations.get(plan.on_failure.text) if plan.on_failure else None,
                deadline,
            )
            for plan in plans
        )
        beats = MembershipPerformer(store, self._clock)
        engine = Engine(membership, beats, mappings, self._clock, deadline, self._observers)

        async def leave() -> None:
            await engine.close()
            await store.leave(membership.me)

        closing.push_async_callback(leave)
        return engine

    def _build_mapping(
        self,
        plan: MappingPlan,
        store: LeaseStore,
        invoker: Invoker,
        destination: Destination | None,
        deadline: ActingDeadline,
    ) -> RunningMapping:
        source, listing = self._sources[plan.source_locator.text]
        interval = plan.options.checkpoint_interval_seconds
        settings = ConsumerSettings(
            prefix=lease_prefix(self._settings.namespace, plan.name, source.name),
            options=plan.options,
            checkpoint_interval_seconds=(
                store.checkpoint_interval_seconds if interval is None else interval
            ),
            mapping=MappingId(plan.name, source.name),
        )
        machine = EventSourceMapping(
            starting_position(plan.options, self._clock), settings, Cadence()
        )
        ports = MappingPorts(
            trigger=plan.name,
            prefix=settings.prefix,
            source=source,
            listing=listing,
            store=store,
            invoker=invoker,
            destination=destination,
            deadline=deadline,
        )
        name = f"{plan.name}:{source.name}"
        return RunningMapping(name, machine, Performer(ports, self._clock))

    def _services(self, run: Runner) -> Services:
        return Services(
            run=run,
            clock=self._clock,
            defaults=self._flags.locator_defaults,
            base_path=str(self._settings.base_path),
            shared=self._shared,
        )

    # --- the life -------------------------------------------------------------------------------

    async def _until_stopped(self) -> None:
        waits: list[asyncio.Future[object]] = [asyncio.ensure_future(self._stop_asked.wait())]
        waits += [
            asyncio.ensure_future(engine.wait_stopped())
            for engine in self._engines
            if engine.mappings
        ]
        if self._flags.burst:
            waits.append(asyncio.ensure_future(self._until_tip()))
        done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        for wait in done:
            wait.result()  # a broken invariant is raised here

    async def _until_opened(self) -> None:
        """A trigger that starts at LATEST runs once its shards are open: what is written after that comes."""
        while not self._stop_asked.is_set() and any(
            engine.failure is None and engine.is_opening for engine in self._engines
        ):
            await asyncio.sleep(OPENING_CHECK_SECONDS)

    async def _until_tip(self) -> None:
        while not all(picture.at_tip for picture in self.snapshots().values()):
            await asyncio.sleep(TIP_CHECK_SECONDS)

    async def _drain(self) -> None:
        timeout_seconds = self._flags.drain_timeout_seconds
        self._publish(Draining(timeout_seconds))
        ends_at = self._clock.now().monotonic_seconds + self._flags.drain_timeout_seconds
        for deadline in self._deadlines:
            deadline.drain_until(ends_at)
        if not await self._stopped_within(StopReason.REQUESTED, timeout_seconds):
            self.drain_expired = True
            self._publish(DrainExpired(timeout_seconds))
            await self._stopped_within(StopReason.DRAIN_EXPIRED, LAST_RELEASES_SECONDS)
        self._publish(Stopped())

    def _publish(self, event: Event) -> None:
        publish(self._observers, event)

    async def _stopped_within(self, reason: StopReason, seconds: float) -> bool:
        for engine in self._engines:
            engine.stop(reason)
        waiting = asyncio.gather(
            *(engine.wait_stopped() for engine in self._engines), return_exceptions=True
        )
        try:
            await asyncio.wait_for(waiting, seconds)
        except TimeoutError:
            return False
        return True


async def _close(close: Callable[[], Awaitable[None]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await close()


def _shown_by(plan: MappingPlan, settings: Settings) -> Callable[[str], str]:
    """The command that shows the failure record of a request of this trigger; empty where none is kept."""
    failures, base_path = plan.on_failure, str(settings.base_path)
    return lambda request_id: show_command(failures, base_path, request_id) if failures else ""


def lease_prefix(namespace: str, mapping: str, source: str) -> str:
    """How the keys of a mapping's leases begin (decision 2)."""
    return f"{namespace}:{mapping}:{source}:"


def starting_position(options: MappingOptions, clock: Clock) -> Position:
    """The start rule of a mapping without state: LATEST is the first answer of the service (decision 7)."""
    if options.starting_position != "LATEST":
        return TRIM_HORIZON
    return Position(PositionKind.LATEST, at_seconds=clock.first_service_seconds)
