"""The life of a worker, from settings to its end. Nothing is touched before all was checked.

The order of a start: sources, lease stores, orphaned names, destinations, lifespans; then the engines. A
source only asks, so a start that it refuses creates no file. The order of a stop: machines let go, sessions
leave, lifespans end, connections close.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from triggerkit.core.events import Observer, Started
from triggerkit.core.snapshot import MappingSnapshot
from triggerkit.invokers.calls import ShownRecords
from triggerkit.ports import Clock, LeaseStore, Services, Source
from triggerkit.runtime.assembly import assemble, lease_prefix
from triggerkit.runtime.burst import Burst
from triggerkit.runtime.counts import Counts
from triggerkit.runtime.engine import publish
from triggerkit.runtime.event_log import EventLog
from triggerkit.runtime.failure_files import show_command
from triggerkit.runtime.handlers import Handlers
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.opening import (
    CLOSE_SECONDS,
    Opened,
    Pools,
    each_stream_once,
    open_adapters,
    prepare_patiently,
)
from triggerkit.runtime.perform import MappingParts
from triggerkit.runtime.state_names import Claim, Starting, compare_names
from triggerkit.settings import MappingPlan, Settings

log = get_logger()

DRAIN_TIMEOUT_SECONDS = 25.0
"""What running handlers get at a stop, by default."""
OPENING_CHECK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class RunFlags:
    """What `run` says about this worker. `locator_defaults` are those of `Services.defaults`."""

    burst: bool = False
    drain_timeout_seconds: float = DRAIN_TIMEOUT_SECONDS
    accept_orphaned: frozenset[str] = frozenset()
    declared_triggers: frozenset[str] = frozenset()
    shown_records: ShownRecords = "none"
    locator_defaults: Mapping[str, str] = field(default_factory=dict)


class RunningWorker:
    """One process that runs the mappings of one `Settings`."""

    def __init__(
        self,
        settings: Settings,
        flags: RunFlags,
        pools: Pools,
        clock: Clock,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._settings = settings
        self._flags = flags
        self._pools = pools
        self._clock = clock
        self.counts = Counts()
        self.burst = Burst()
        shown_by = {plan.name: _shown_by(plan, settings) for plan in settings.mappings}
        self._observers: Sequence[Observer] = (
            EventLog(clock, shown_by),
            self.counts,
            self.burst,
            *observers,
        )
        self._assembly = assemble((), clock)
        self._sources: dict[str, tuple[Source, SharedListing]] = {}
        self._stop_asked = asyncio.Event()
        self.on_ready: Callable[[], None] = lambda: None
        self.drain_expired = False
        """Whether the drain ran out of time, so that records will be delivered again."""

    def snapshots(self) -> dict[str, MappingSnapshot]:
        """Of every mapping, by name."""
        return self._assembly.snapshots()

    def stop(self) -> None:
        """Drain and release; `run` returns when that is done."""
        self._stop_asked.set()

    async def run(self) -> None:
        """Run until stopped, or with `burst` until every stream is read to its tip and saved, or is blocked.

        Raises:
            StateError, SourceError, DestinationError, HandlerError, UsageError: the start failed;
            whatever was opened is closed again.
        """
        async with AsyncExitStack() as closing:
            if not await self._assembled_before_stop(closing):
                return
            self._assembly.start()
            await self._until_opened()
            self.on_ready()
            names = tuple(plan.name for plan in self._settings.mappings)
            publish(self._observers, Started(names))
            try:
                await self._until_stopped()
            finally:
                in_time = await self._assembly.drain(self._flags.drain_timeout_seconds)
                self.drain_expired = not in_time
            if self._assembly.failure is not None:  # it broke while it drained
                raise self._assembly.failure

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
        services = Services(
            run=self._pools.control_plane,
            clock=self._clock,
            defaults=self._flags.locator_defaults,
            base_path=str(self._settings.base_path),
        )
        opened = open_adapters(plans, services, self._pools, closing)
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
        parts = [self._parts(plan, opened, handlers) for plan in plans]
        self._assembly = assemble(parts, self._clock, self._observers)
        closing.push_async_callback(self._assembly.leave)
        closing.push_async_callback(self._assembly.close)

    async def _look_at_state(
        self, state: str, store: LeaseStore, plans: list[MappingPlan], *, is_new: bool
    ) -> None:
        """Announce what is about to start anew, and refuse what would do so unnoticed."""
        settings, flags = self._settings, self._flags
        sources = [(plan.name, self._sources[plan.source_locator.text][0]) for plan in plans]
        starting = Starting(
            app=settings.app,
            env=settings.env,
            namespace=settings.namespace,
            state=state,
            claims=frozenset(Claim(name, each.name, each.former_names) for name, each in sources),
            declared=flags.declared_triggers | {plan.name for plan in settings.mappings},
            accepted=flags.accept_orphaned,
        )
        if not await compare_names(store, starting):
            nothing = f"the state has nothing of app {settings.namespace!r} yet"
            what = "no state yet" if is_new else nothing
            log.info(
                "state_created" if is_new else "state_empty",
                state=state,
                message=f"{what}: triggers start at their starting_position",
            )

    async def _prepare_source(self, text: str, source: Source) -> None:
        await prepare_patiently(source, text, self._clock, self._stop_asked)
        for known, listing in self._sources.values():
            if known.identity == source.identity:  # at most two readers a shard
                self._sources[text] = (known, listing)
                return
        self._sources[text] = (source, SharedListing(source, self._clock))

    def _parts(self, plan: MappingPlan, opened: Opened, handlers: Handlers) -> MappingParts:
        source, listing = self._sources[plan.source_locator.text]
        return MappingParts(
            trigger=plan.name,
            prefix=lease_prefix(self._settings.namespace, plan.name, source.name),
            options=plan.options,
            source=source,
            listing=listing,
            store=opened.stores[plan.state.text],
            invoker=handlers.invoker(plan.name),
            destination=opened.destinations[plan.on_failure.text] if plan.on_failure else None,
        )

    # --- the life -------------------------------------------------------------------------------

    async def _until_stopped(self) -> None:
        waits: list[asyncio.Future[object]] = [
            asyncio.ensure_future(self._stop_asked.wait()),
            asyncio.ensure_future(self._assembly.wait_ended()),
        ]
        if self._flags.burst:
            waits.append(asyncio.ensure_future(self.burst.wait(self.snapshots)))
        done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        for wait in done:
            wait.result()  # a broken invariant is raised here

    async def _until_opened(self) -> None:
        """A trigger that starts at LATEST runs once its shards are open: what is written after that comes."""
        while (
            self._assembly.is_opening
            and self._assembly.failure is None
            and not self._stop_asked.is_set()
        ):
            await asyncio.sleep(OPENING_CHECK_SECONDS)


def _shown_by(plan: MappingPlan, settings: Settings) -> Callable[[str], str]:
    """The command that shows the failure record of a request of this trigger; empty where none is kept."""
    failures, base_path = plan.on_failure, str(settings.base_path)
    return lambda request_id: show_command(failures, base_path, request_id) if failures else ""
