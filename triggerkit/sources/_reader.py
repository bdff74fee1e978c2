"""The reader of one shard for all mappings of a process. Rule: at most two reads of a shard at a time.

Most mappings are at nearly the same place and share one track; one that is elsewhere uses a private
track, and a second such waits for it (DynamoDB Streams serves two readers a shard).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from triggerkit.aws.errors import RESOURCE_NOT_FOUND, TRIMMED, AwsError, translated
from triggerkit.aws.transport import Transport
from triggerkit.core.model import LATEST, Page, Position, PositionKind
from triggerkit.errors import (
    DamagedReplyError,
    EndpointUnreachableError,
    SourceError,
    SourceNotFoundError,
)
from triggerkit.ports import Clock
from triggerkit.sources._lineage import StreamArn
from triggerkit.sources._pages import Decoded, decoded
from triggerkit.sources._streams_api import StreamsApi
from triggerkit.sources._track import Sharing, Track

if TYPE_CHECKING:
    from tenacity import AsyncRetrying

MAX_LIMIT = 1000
READERS = 2
"""Held to also while a track that was given up still waits for its last answer."""
ATTEMPTS = 3
FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 1.0
LOST = frozenset({TRIMMED, RESOURCE_NOT_FOUND})
"""Codes after which a track cannot go on from where it is."""
REFUSED_SECONDS = 60.0
"""How long a listed shard may be refused before it counts as gone (leases.md 6.6 rule 9)."""
UNUSED_SECONDS = 60.0
"""After this long without a fetch the shared track may be laid anew elsewhere."""


class ShardConnection:
    """The calls about one shard, with the one retry that reads have: quick, few, with jitter."""

    def __init__(
        self,
        api: StreamsApi,
        transport: Transport,
        clock: Clock,
        arn: StreamArn,
        shard: str,
        has_successor: Callable[[], bool] = lambda: False,
    ) -> None:
        self._api = api
        self._has_successor = has_successor
        self._transport = transport
        self._clock = clock
        self._arn = arn
        self._shard = shard
        self._reading = asyncio.Semaphore(READERS)

    @property
    def thing(self) -> str:
        """What errors call it."""
        return f"shard {self._shard} of {self._arn.text}"

    async def iterator(self, position: Position) -> tuple[str, float]:
        """See `ShardCalls`."""
        iterator, at_seconds = await self._api.shard_iterator(self._arn, self._shard, position)
        return iterator, at_seconds or self._clock.now().service_seconds

    async def records(self, iterator: str, limit: int) -> Decoded:
        """See `ShardCalls`. An attempt that fails is the first one that tenacity knows of."""
        try:
            return await self._attempt(iterator, limit)
        except (AwsError, SourceError) as error:
            if not _passing(error):
                raise
            failures: list[Exception] = [error]

        async def again() -> Decoded:
            if failures:
                raise failures.pop()
            return await self._attempt(iterator, limit)

        return await _retrying()(again)

    @property
    def has_successor(self) -> bool:
        """Whether the table is known to have a newer stream."""
        return self._has_successor()

    async def stream_exists(self) -> bool:
        """Whether the shard's stream is still there."""
        return await self._api.stream_exists(self._arn)

    async def _attempt(self, iterator: str, limit: int) -> Decoded:
        try:
            async with self._reading:
                reply = await self._transport.get_records(iterator, limit)
        except AwsError as refusal:
            refusal.thing = self.thing
            raise
        return decoded(reply, self._clock.now().service_seconds, self.thing)


class DynamoDBShardReader:
    """See `ShardReader`. Positions are looked up in what the tracks hold, so no mapping has an account here."""

    def __init__(
        self,
        connection: ShardConnection,
        clock: Clock,
        *,
        sharing: Sharing,
        resolution_seconds: float,
        on_close: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._sharing = sharing
        self._resolution_seconds = resolution_seconds
        self._on_close = on_close
        self._shared: Track | None = None
        self._private: Track | None = None
        self._private_turn = asyncio.Lock()
        self._refused_since_seconds: float | None = None

    async def fetch(self, position: Position, limit: int) -> Page:
        """See `ShardReader`."""
        if position.kind is PositionKind.SHARD_END:
            return Page(ended=True)
        limit = max(1, min(limit, MAX_LIMIT))
        with translated():
            try:
                if position == LATEST:
                    page = await self._pin()
                else:
                    page = await self._fetch(position, limit)
            except AwsError as refusal:
                if refusal.code == TRIMMED:  # what is held from before is not the horizon any more
                    self._shared = self._private = None
                if refusal.code != RESOURCE_NOT_FOUND:
                    raise
                raise await self._why_refused(refusal) from refusal
        self._refused_since_seconds = None
        return page

    async def close(self) -> None:
        """Forget iterators and pages, once everybody who opened the reader has closed it."""
        if self._on_close():
            self._shared = self._private = None

    async def _fetch(self, position: Position, limit: int) -> Page:
        while True:
            shared = self._shared
            if shared is None or (not shared.holds(position) and self._unused(shared)):
                shared = self._shared = self._track(position)
            if shared.holds(position):
                page = await self._fetch_shared(shared, position, limit)
            else:
                page = await self._fetch_privately(shared, position, limit)
            if page is not None:
                return page

    async def _fetch_shared(self, shared: Track, position: Position, limit: int) -> Page | None:
        try:
            return await shared.fetch(position, limit)
        except AwsError as refusal:
            if refusal.code in LOST and self._shared is shared:
                self._shared = None  # it leads nowhere: whoever comes next lays it where they are
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
        iterator, at_seconds = await self._connection.iterator(LATEST)
        pinned = Position(PositionKind.LATEST, at_seconds=at_seconds)
        tracks = (self._shared, self._private)
        if not any(track is not None and track.holds(pinned) for track in tracks):
            track = self._track(pinned, iterator)
            if self._shared is None or self._unused(self._shared):
                self._shared = track
            else:
                self._private = track
        return Page(service_seconds=at_seconds, pinned_seconds=at_seconds)

    def _track(self, start: Position, iterator: str | None = None) -> Track:
        return Track(self._connection, start, self._sharing, self._resolution_seconds, iterator)

    def _unused(self, track: Track) -> bool:
        return asyncio.get_running_loop().time() - track.used_at_seconds > UNUSED_SECONDS

    async def _why_refused(self, refusal: AwsError) -> SourceError:
        """A stream that is gone waits for what becomes of its table; behind it another one waits to be read."""
        exists = await self._connection.stream_exists()
        if not exists and not self._connection.has_successor:
            return SourceError(
                f"{refusal.thing}: the stream is gone: its table was deleted, or it was off for 24 h",
                hint="what was not read is lost; point the trigger at a stream that exists",
            )
        there = "its stream is there" if exists else "its table has a newer stream"
        now_seconds = self._clock.now().monotonic_seconds
        if self._refused_since_seconds is None:
            self._refused_since_seconds = now_seconds
        if now_seconds - self._refused_since_seconds < REFUSED_SECONDS:
            return SourceError(
                f"{refusal.thing}: refused although {there}",
                hint="it is tried again for a minute: a shard can be listed before it can be read",
            )
        return SourceNotFoundError(
            f"{refusal.thing}: refused for a minute although {there}",
            hint="the shard is gone: what it held is lost",
        )


def _retrying() -> AsyncRetrying:
    from tenacity import (
        AsyncRetrying,
        retry_if_exception,
        stop_after_attempt,
        wait_random_exponential,
    )

    return AsyncRetrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        retry=retry_if_exception(_passing),
        reraise=True,
    )


def _passing(error: BaseException) -> bool:
    if isinstance(error, AwsError):
        return error.passing
    return isinstance(error, DamagedReplyError | EndpointUnreachableError)
