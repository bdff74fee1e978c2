"""Reads one shard for all mappings of a process, with at most two reads at a time.

Most mappings are at nearly the same place and share one track. One that is elsewhere uses a private track, and a
second such mapping waits for it (DynamoDB Streams serves two readers of a shard).
"""

from __future__ import annotations

import asyncio

from triggerkit.aws.errors import RESOURCE_NOT_FOUND, TRIMMED, AwsError
from triggerkit.core.model import LATEST, Page, Position, PositionKind
from triggerkit.sources.shards.calls import ShardCalls
from triggerkit.sources.shards.order import Numbering
from triggerkit.sources.shards.track import Sharing, Track

LOST = frozenset({TRIMMED, RESOURCE_NOT_FOUND})
"""Codes after which a track cannot go on from where it is."""
UNUSED_SECONDS = 60.0
"""After this long without a fetch the shared track may be moved to another place."""


class SharedReader:
    """Positions are looked up in what the tracks hold, so no per-mapping state is kept."""

    def __init__(
        self,
        calls: ShardCalls,
        sharing: Sharing,
        resolution_seconds: float,
        numbering: Numbering | None,
    ) -> None:
        self._calls = calls
        self._sharing = sharing
        self._resolution_seconds = resolution_seconds
        self._numbering = numbering
        self._shared: Track | None = None
        self._private: Track | None = None
        self._private_turn = asyncio.Lock()

    async def fetch(self, position: Position, limit: int) -> Page:
        """The next page after `position`; at LATEST without a time, the pin.

        Raises:
            AwsError, SourceError: not now, or not any more.
        """
        if position == LATEST:
            return await self._pin()
        while True:
            shared = self._shared
            if shared is None or (not shared.holds(position) and _is_unused(shared)):
                shared = self._shared = self._track(position)
            if shared.holds(position):
                page = await self._fetch_shared(shared, position, limit)
            else:
                page = await self._fetch_privately(shared, position, limit)
            if page is not None:
                return page

    def forget(self) -> None:
        """Drop iterators and pages."""
        self._shared = self._private = None

    async def _fetch_shared(self, shared: Track, position: Position, limit: int) -> Page | None:
        try:
            return await shared.fetch(position, limit)
        except AwsError as refusal:
            if refusal.code in LOST and self._shared is shared:
                self._shared = None  # the next fetch starts a new one at its own position
            raise

    async def _fetch_privately(self, shared: Track, position: Position, limit: int) -> Page | None:
        async with self._private_turn:
            if shared.holds(position):
                return None
            private = self._private
            if private is None or not private.holds(position):
                private = self._private = self._track(position)
            return await private.fetch(position, limit)

    async def _pin(self) -> Page:
        """Open the shard at its tip, at the time that the service named (leases.md 6.6 rule 2)."""
        iterator, at_seconds = await self._calls.iterator(LATEST)
        pinned = Position(PositionKind.LATEST, at_seconds=at_seconds)
        tracks = (self._shared, self._private)
        if not any(track is not None and track.holds(pinned) for track in tracks):
            track = self._track(pinned, iterator)
            if self._shared is None or _is_unused(self._shared):
                self._shared = track
            else:
                self._private = track
        return Page(service_seconds=at_seconds, pinned_seconds=at_seconds)

    def _track(self, start: Position, iterator: str | None = None) -> Track:
        return Track(
            self._calls, start, self._sharing, self._resolution_seconds, iterator, self._numbering
        )


def _is_unused(track: Track) -> bool:
    return asyncio.get_running_loop().time() - track.used_at_seconds > UNUSED_SECONDS
