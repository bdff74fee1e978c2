"""Opens the adapters of a worker: each reads its locator and refuses what it cannot do; nothing is called yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace

from triggerkit.errors import OptionError
from triggerkit.ports import Destination, LeaseStore, Runner, Services, Source
from triggerkit.registry import open_destination, open_lease_store, open_source
from triggerkit.settings import MappingPlan

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


async def _close(close: Callable[[], Awaitable[None]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await close()
