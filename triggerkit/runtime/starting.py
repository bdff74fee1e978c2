"""Preparing a source at the start. Rule: a throttle is waited out, everything else stops the start.

Many workers that start at once share one account's DescribeStream calls (10 a second), so the first
answer of a healthy stream may be a refusal.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from triggerkit.errors import ThrottledError
from triggerkit.ports import Clock, Source
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.waits import Waits

log = get_logger()

PATIENCE_SECONDS = 60.0


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
    waits = Waits()
    started = clock.now().monotonic_seconds
    while True:
        try:
            return await source.prepare()
        except ThrottledError as error:
            now_seconds = clock.now().monotonic_seconds
            wait = waits.failed(("prepare", text), now_seconds, error.code)
            if stop.is_set() or now_seconds - started + wait.seconds > PATIENCE_SECONDS:
                raise
            if wait.tell:
                log.warning(
                    "will_retry", operation="prepare", source=text, error_message=error.message
                )
        with suppress(TimeoutError):
            async with asyncio.timeout(wait.seconds):
                await stop.wait()
