"""One listing for all mappings of a stream, so that DescribeStream is called once for them."""

from __future__ import annotations

import asyncio

from triggerkit.core.model import Listing
from triggerkit.ports import Clock, Source

FRESH_SECONDS = 1.0


class SharedListing:
    """The shards of one source, at most a second old."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._asking: asyncio.Task[Listing] | None = None
        self._known: Listing | None = None
        self._known_at_seconds = float("-inf")

    async def get(self) -> Listing:
        """A listing; callers at the same time share one call. Raises SourceError."""
        now_seconds = self._clock.now().monotonic_seconds
        if self._known is not None and now_seconds - self._known_at_seconds < FRESH_SECONDS:
            return self._known
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._ask(now_seconds))
            self._asking.add_done_callback(_take_note)
        return await asyncio.shield(self._asking)

    async def _ask(self, now_seconds: float) -> Listing:
        try:
            self._known = await self._source.list_shards()
            self._known_at_seconds = now_seconds
            return self._known
        finally:
            self._asking = None


def _take_note(asking: asyncio.Task[Listing]) -> None:
    """Everyone who waited may have been cancelled; then asyncio must not complain of an error not looked at."""
    if not asking.cancelled():
        asking.exception()
