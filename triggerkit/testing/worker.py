"""One worker of a simulation: the parts of a real worker, with simulated ports.

The engine, the performers, the machines, the reader and the invoker are those that run in production.
User code runs on the simulation's own loop; calls to AWS and the lease store pass a simulated network.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import TypeAlias

from triggerkit.core import events
from triggerkit.core.consumer import ShardConsumer
from triggerkit.core.model import shard_name
from triggerkit.emulator import Emulator
from triggerkit.invokers.calls import HandlerSettings
from triggerkit.invokers.inprocess import InProcessInvoker
from triggerkit.invokers.lifespan import Lifespan
from triggerkit.invokers.typed import TypedHandler
from triggerkit.ports import Invoker, LeaseStore, Source
from triggerkit.runtime.assembly import Assembly, assemble, lease_prefix
from triggerkit.runtime.event_log import EventLog
from triggerkit.runtime.handlers import callable_of
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.perform import MappingParts
from triggerkit.settings import MappingPlan
from triggerkit.testing.calls import CallBook
from triggerkit.testing.clock import HostClock, VirtualClock
from triggerkit.testing.failures import MemoryDestination
from triggerkit.testing.inline import InlineHandlers
from triggerkit.testing.ledger import Ledger
from triggerkit.testing.network import Line
from triggerkit.testing.plans import APP
from triggerkit.testing.ports import DelayedInvoker, LinkedStore
from triggerkit.testing.processes import LIFE, Life
from triggerkit.testing.source import open_source

Sources: TypeAlias = dict[str, tuple[Source, SharedListing]]


@dataclass(frozen=True, slots=True)
class World:
    """What all workers of a simulation share."""

    plans: tuple[MappingPlan, ...]
    emulator: Emulator
    clock: VirtualClock
    store: LeaseStore
    book: CallBook
    ledger: Ledger
    destination: MemoryDestination


class SimulatedWorker:
    """Started, stopped and crashed by the simulation; to be used on its loop."""

    def __init__(
        self, world: World, name: str, line: Line, clock: HostClock | VirtualClock
    ) -> None:
        self.name = name
        self.line = line
        self._world = world
        self._clock = clock
        self._life = Life(name, lambda life: life.end())
        self._context = copy_context()
        self._context.run(LIFE.set, self._life)
        self._store = LinkedStore(world.store, line)
        self._places = InlineHandlers()
        self._lifespans: dict[int, Lifespan] = {}
        self._invokers: list[InProcessInvoker] = []
        self._assembly: Assembly | None = None
        self._observers: list[events.Observer] = [EventLog(clock), self._observe]

    async def start(self) -> None:
        """Prepare sources, enter lifespans, begin.

        Raises:
            SourceError, HandlerError, UsageError: what would stop a real start.
        """
        await asyncio.get_running_loop().create_task(self._begin(), context=self._context)

    async def _begin(self) -> None:
        world = self._world
        sources: Sources = {}
        for table in dict.fromkeys(plan.source_locator.name for plan in world.plans):
            source = open_source(world.emulator, table, self.line, self._clock)
            await source.prepare()
            sources[table] = (source, SharedListing(source, self._clock))
        invokers: dict[str, Invoker] = {}
        for plan in world.plans:
            if plan.name not in invokers:
                invokers[plan.name] = await self._open_invoker(plan)
        parts = [
            self._parts(plan, *sources[plan.source_locator.name], invokers[plan.name])
            for plan in world.plans
        ]
        self._assembly = assemble(parts, self._clock, self._observers)
        self._assembly.start()

    def check(self) -> None:
        """Raise what broke the engine, if anything did: nothing limps on."""
        if self._assembly is not None and self._assembly.failure is not None:
            raise self._assembly.failure

    @property
    def is_opening(self) -> bool:
        """Whether a start at LATEST has not opened its shards yet."""
        return self._assembly is not None and self._assembly.is_opening

    def consumers(self) -> dict[str, ShardConsumer]:
        """What this worker holds, by lease key."""
        if self._assembly is None or self.line.is_cut:
            return {}
        return {
            consumer.lease.key: consumer
            for mapping in self._assembly.mappings
            for consumer in mapping.machine
        }

    def freeze(self, seconds: float) -> None:
        """Stand still for so long, between two steps."""
        self._life.freeze()
        asyncio.get_running_loop().call_later(seconds, self.thaw)

    def thaw(self) -> None:
        """Go on."""
        self._life.thaw()

    async def crash(self) -> None:
        """End at once: what is under way is cancelled, nothing is written, no lifespan is left."""
        self.line.cut()
        self._life.thaw()
        if self._assembly is not None:
            await self._assembly.close()

    async def clean_up(self) -> None:
        """Leave the lifespans and close event loops, so that the test that simulates leaks nothing."""
        for invoker in self._invokers:
            await invoker.close()
        self._invokers.clear()
        await self._places.close()

    async def _open_invoker(self, plan: MappingPlan) -> Invoker:
        options, trigger, book = plan.options, plan.trigger, self._world.book
        called = callable_of(trigger)
        if isinstance(called, TypedHandler):
            called = replace(called, function=book.watched(called.function, plan.name, self.name))
        else:
            called = book.watched(called, plan.name, self.name)
        lifespan = None
        if trigger.lifespan is not None:
            name = getattr(trigger.lifespan, "__qualname__", repr(trigger.lifespan))
            made = Lifespan(name, trigger.lifespan, get_logger())
            lifespan = self._lifespans.setdefault(id(trigger.lifespan), made)
        invoker = InProcessInvoker(
            plan.name,
            called,
            HandlerSettings(
                is_async=trigger.is_async,
                report_batch_item_failures=options.report_batch_item_failures,
                timeout_seconds=options.timeout,
                maximum_concurrency=options.maximum_concurrency,
            ),
            lifespan=lifespan,
            places=self._places,
            clock=self._clock,
            log=get_logger().bind(trigger=plan.name),
        )
        await invoker.start()
        self._invokers.append(invoker)
        return DelayedInvoker(invoker, self.line, self._world.ledger, self._world.book)

    def _parts(
        self, plan: MappingPlan, source: Source, listing: SharedListing, invoker: Invoker
    ) -> MappingParts:
        return MappingParts(
            trigger=plan.name,
            prefix=lease_prefix(APP, plan.name, source.name),
            options=plan.options,
            source=source,
            listing=listing,
            store=self._store,
            invoker=invoker,
            destination=None if plan.on_failure is None else self._world.destination,
        )

    def _observe(self, event: events.Event) -> None:
        ledger = self._world.ledger
        match event:
            case events.RecordsDiscarded(mapping=mapping, batch=batch):
                ledger.discarded(mapping.trigger, batch)
            case events.CheckpointSaved(mapping=mapping, shard=shard, position=position):
                ledger.saved(mapping.trigger, shard_name(shard), position)
            case events.GapFound(mapping=mapping, shard=shard, gap=gap):
                ledger.gap_found(mapping.trigger, shard_name(shard), gap)
            case events.ShardFinished(mapping=mapping, shard=shard):
                ledger.finished(mapping.trigger, shard_name(shard))
            case _:
                pass
