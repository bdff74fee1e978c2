"""Opens the adapters of a worker, and prepares its sources.

Opened, an adapter has read its locator and refused what it cannot do; nothing is called yet. Preparing a source
waits while it is throttled; any other error stops the start. Many workers that start at once share one account's
DescribeStream calls (10 a second), so the first answer of a healthy stream may be a refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace

from triggerkit.errors import LocatorError, OptionError, ThrottledError
from triggerkit.ports import Clock, Destination, LeaseStore, Runner, Services, Source
from triggerkit.registry import open_destination, open_lease_store, open_source
from triggerkit.runtime.backoff import Backoff
from triggerkit.runtime.logs import get_logger
from triggerkit.settings import MappingPlan

log = get_logger()

PATIENCE_SECONDS = 60.0
"""How long a source that is throttled is asked again at the start."""
CLOSE_SECONDS = 1.0
"""What one adapter gets to close; a call that still hangs then ends with the process."""


@dataclass(frozen=True, slots=True)
class Pools:
    """A pool for each kind of call, so that a slow DescribeStream never delays a checkpoint."""

    lease_store: Runner
    control_plane: Runner
    destinations: Runner


@dataclass(frozen=True, slots=True)
class Opened:
    """The adapters by the texts of their locators, each opened once."""

    sources: dict[str, Source] = field(default_factory=dict)
    stores: dict[str, LeaseStore] = field(default_factory=dict)
    destinations: dict[str, Destination] = field(default_factory=dict)


def open_adapters(
    plans: Sequence[MappingPlan], services: Services, pools: Pools, closing: AsyncExitStack
) -> Opened:
    """Open what `plans` name.

    Args:
        plans: what is to run.
        services: for the adapters; each kind gets the runner of its own pool.
        pools: the runners.
        closing: closes the adapters.

    Raises:
        LocatorError: an adapter does not exist, or refuses its locator.
        OptionError: a source does not have the starting position.
    """
    opened = Opened()
    for_sources = replace(services, run=pools.control_plane)
    for_stores = replace(services, run=pools.lease_store)
    for_destinations = replace(services, run=pools.destinations)
    for plan in plans:
        where, state, failures = plan.source_locator, plan.state, plan.on_failure
        if where.text not in opened.sources:
            opened.sources[where.text] = open_source(where, for_sources)
            closing.push_async_callback(_close, opened.sources[where.text].close)
        check_starting_position(plan, opened.sources[where.text])
        if state.text not in opened.stores:
            opened.stores[state.text] = open_lease_store(state, for_stores)
            closing.push_async_callback(_close, opened.stores[state.text].close)
        if failures is not None and failures.text not in opened.destinations:
            opened.destinations[failures.text] = open_destination(failures, for_destinations)
            closing.push_async_callback(_close, opened.destinations[failures.text].close)
    return opened


def check_starting_position(plan: MappingPlan, source: Source) -> None:
    """Refuse a starting position that the source does not have. Raises OptionError."""
    position, known = plan.options.starting_position, source.traits.starting_positions
    if position not in known:
        raise OptionError(
            f"trigger {plan.name!r}: starting_position={position!r} "
            f"(from {plan.provenance['starting_position']}): {plan.source_locator} does not have it",
            hint=f"use {' or '.join(sorted(known))}",
        )


def each_stream_once(
    plans: Sequence[MappingPlan], sources: Mapping[str, Source]
) -> list[MappingPlan]:
    """The plans without those that name a stream a second time for one trigger.

    Args:
        plans: what is to run.
        sources: the prepared sources by the text of their locator.

    Raises:
        LocatorError: a trigger names a table and also one stream of it; both would share their state.
    """
    kept: dict[tuple[str, str], MappingPlan] = {}
    for plan in plans:
        source, text = sources[plan.source_locator.text], plan.source_locator.shown
        first = kept.setdefault((plan.name, source.name), plan)
        if first is plan:
            continue
        if sources[first.source_locator.text].identity != source.identity:
            raise LocatorError(
                f"trigger {plan.name!r}: {first.source_locator.shown!r} and {text!r} are streams of one table",
                hint="name the table once: all its streams are read, one after the other",
            )
        log.info(
            "source_named_twice",
            trigger=plan.name,
            source=text,
            message=f"{text} is the stream that {first.source_locator.shown} names: it is read once",
        )
    return list(kept.values())


async def prepare_patiently(source: Source, text: str, clock: Clock, stop: asyncio.Event) -> None:
    """Prepare `source`, coming back for a minute while it is throttled.

    Args:
        source: the source.
        text: its locator, for the log.
        clock: for the patience.
        stop: the worker was asked to stop: no more waiting.

    Raises:
        ThrottledError: it is throttled still, or the worker is to stop.
        SourceError: as `Source.prepare`.
    """
    backoff = Backoff()
    logged = False
    started = clock.now().monotonic_seconds
    while True:
        try:
            return await source.prepare()
        except ThrottledError as error:
            now_seconds = clock.now().monotonic_seconds
            wait_seconds = backoff.failed(None, "prepare")
            if stop.is_set() or now_seconds - started + wait_seconds > PATIENCE_SECONDS:
                raise
            if not logged:
                logged = True
                log.warning(
                    "will_retry", operation="prepare", source=text, error_message=error.message
                )
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                await stop.wait()


async def _close(close: Callable[[], Awaitable[None]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await close()
