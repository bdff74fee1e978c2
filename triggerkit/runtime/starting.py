"""Preparing sources at the start: a throttle is waited out, all else stops the start.

Many workers that start at once share one account's DescribeStream calls (10 a second), so the first
answer of a healthy stream may be a refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from triggerkit.errors import LocatorError, ThrottledError
from triggerkit.ports import Clock, Source
from triggerkit.runtime.backoff import Backoff
from triggerkit.runtime.logs import get_logger
from triggerkit.settings import MappingPlan

log = get_logger()

PATIENCE_SECONDS = 60.0


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
