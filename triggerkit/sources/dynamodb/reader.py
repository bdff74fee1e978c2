"""The reader of one shard of a DynamoDB stream, and what its errors mean for the shard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from triggerkit.aws.errors import AGAIN, REFUSED, RESOURCE_NOT_FOUND, TRIMMED, AwsError, translated
from triggerkit.aws.transport import Transport
from triggerkit.core.model import Page, Position, PositionKind
from triggerkit.errors import (
    CredentialsError,
    DamagedReplyError,
    EndpointUnreachableError,
    PermissionDeniedError,
    PositionImpossibleError,
    ShardGoneError,
    SourceError,
    ThrottledError,
)
from triggerkit.ports import Clock
from triggerkit.sources.dynamodb.incarnations import Incarnations, TableState
from triggerkit.sources.dynamodb.pages import decoded
from triggerkit.sources.dynamodb.service import TRAITS, StreamArn
from triggerkit.sources.dynamodb.streams_api import StreamsApi
from triggerkit.sources.shards.calls import Decoded
from triggerkit.sources.shards.lineage import created_seconds
from triggerkit.sources.shards.order import Numbering
from triggerkit.sources.shards.reader import LOST, SharedReader
from triggerkit.sources.shards.track import Sharing

if TYPE_CHECKING:
    from tenacity import AsyncRetrying

READERS = 2
"""Held to also while a track that was given up still waits for its last answer."""
ATTEMPTS = 3
FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 1.0
QUICK_SECONDS = 5.0
"""Only a call that failed sooner is repeated at once."""
REFUSED_SECONDS = 60.0
"""How long a listed shard may be refused before it counts as gone (leases.md 6.6 rule 9)."""
LOOK_SECONDS = 5.0
"""How often a table is looked at while its stream's shards are empty, where that may mean nothing."""
URGENT_LOOK_SECONDS = 1.0
"""The same while a shard is refused."""
CONFIRM_SECONDS = 1.0
"""Between two questions whether a stream is gone."""
IDLE_SECONDS = 5.0
"""How long a shard stays empty under a newer stream before it is over."""
_ABOUT_THE_CALLER = (ThrottledError, CredentialsError, PermissionDeniedError)
"""Refusals that say nothing of the stream."""


class ShardConnection:
    """The calls about one shard, with the one retry that reads have: quick, few, with jitter."""

    def __init__(
        self,
        api: StreamsApi,
        transport: Transport,
        clock: Clock,
        arn: StreamArn,
        shard: str,
        incarnations: Incarnations,
    ) -> None:
        self._api = api
        self._incarnations = incarnations
        self._transport = transport
        self._clock = clock
        self._arn = arn
        self._shard = shard
        self._reading = asyncio.Semaphore(READERS)

    @property
    def thing(self) -> str:
        """What errors call it."""
        return f"shard {self._shard} of {self._arn.text}"

    @property
    def may_begin_again(self) -> bool:
        """See `StreamsApi`."""
        return self._api.may_begin_again

    async def iterator(self, position: Position) -> tuple[str, float]:
        """See `ShardCalls`."""
        iterator, at_seconds = await self._api.shard_iterator(self._arn, self._shard, position)
        return iterator, at_seconds or self._clock.now().service_seconds

    async def records(self, iterator: str, limit: int) -> Decoded:
        """See `ShardCalls`. An attempt that fails is the first one that tenacity knows of."""
        until_seconds = asyncio.get_running_loop().time() + QUICK_SECONDS
        try:
            return await self._attempt(iterator, limit)
        except (AwsError, SourceError) as error:
            if not _passing(error) or asyncio.get_running_loop().time() > until_seconds:
                raise  # what took so long takes as long again: the caller comes back
            failures: list[Exception] = [error]

        async def again() -> Decoded:
            if failures:
                raise failures.pop()
            return await self._attempt(iterator, limit)

        return await _retrying()(again)

    async def is_listed_open(self) -> bool:
        """See `ShardCalls`. AWS is believed: a DescribeStream for each end of a shard would be too many."""
        if not self.may_begin_again:
            return False
        try:
            stream, _ = await self._api.list_stream(self._arn)
        except AwsError as refusal:
            if refusal.code == RESOURCE_NOT_FOUND:
                return False
            raise
        listed = {shard.name: shard for shard in stream.shards}
        shard = listed.get(self._shard)
        if shard is None or shard.ended or not stream.live:
            return False
        return all(each.parent != self._shard for each in stream.shards)

    async def newer_stream(self, least_seconds: float) -> str:
        """The newest stream of the table, where it is another one; asked at most once in `least_seconds`."""
        await self._incarnations.look(least_seconds)
        newer = self._incarnations.newer_than(self._arn)
        return newer.text if newer else ""

    async def stream_exists(self) -> bool:
        """Whether the shard's stream is still there."""
        return await self._api.stream_exists(self._arn)

    async def is_trimmed(self) -> bool:
        """Whether retention took the shard as a whole: it is old enough, and a whole listing lacks it."""
        created = created_seconds(self._shard)
        now_seconds = self._clock.now().service_seconds
        if created is None or now_seconds - created < TRAITS.retention_seconds:
            return False
        stream, _ = await self._api.list_stream(self._arn)
        return not stream.flaw and all(shard.name != self._shard for shard in stream.shards)

    async def is_replaced(self, newer: str) -> bool:
        """Whether this stream is certainly gone while the table has the stream `newer`; asked for twice."""
        if not newer or await self.stream_exists():
            return False
        await asyncio.sleep(CONFIRM_SECONDS)
        return not await self.stream_exists()

    def forget_stream(self) -> None:
        """The stream is over, whatever the endpoint still answers for it."""
        self._incarnations.forget(self._arn)

    async def why_gone(self) -> SourceError:
        """What to say of a stream that is not there and that no other one replaces yet."""
        match state := await self._incarnations.look(URGENT_LOOK_SECONDS):
            case TableState.MISSING:
                why = "the table is gone too"
                hint = "what was not read is lost; a table made again under this name is followed by itself"
            case TableState.NO_STREAM:
                why = "the table has no stream now"
                hint = f"turn it on: triggerkit enable-stream {self._arn.table} NEW_AND_OLD_IMAGES"
            case TableState.HAS_STREAM:
                why = "DescribeTable names it still"
                hint = AGAIN
            case TableState.UNKNOWN:
                why = "its table was deleted, or it was off for 24 h"
                hint = "what was not read is lost; point the trigger at a stream that exists"
            case _:
                assert_never(state)
        return SourceError(f"{self.thing}: the stream is gone: {why}", hint=hint)

    async def _attempt(self, iterator: str, limit: int) -> Decoded:
        try:
            async with self._reading:
                reply = await self._transport.get_records(iterator, limit)
        except AwsError as refusal:
            refusal.thing = self.thing
            raise
        return decoded(
            reply,
            self._clock.now().service_seconds,
            self.thing,
            is_trusted=reply.has_checksum and not self._api.may_begin_again,
        )


class DynamoDBShardReader:
    """See `ShardReader`."""

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
        self._on_close = on_close
        self._may_begin_again = connection.may_begin_again
        numbering = Numbering(connection, resolution_seconds) if self._may_begin_again else None
        self._reader = SharedReader(connection, sharing, resolution_seconds, numbering)
        self._refused_since_seconds: float | None = None
        self._idle_since_seconds: float | None = None

    async def fetch(self, position: Position, limit: int) -> Page:
        """See `ShardReader`."""
        if position.kind is PositionKind.SHARD_END:
            return Page(ended=True)
        limit = max(1, min(limit, TRAITS.page_records))
        with translated():
            try:
                page = await self._reader.fetch(position, limit)
            except AwsError as refusal:
                if refusal.code == TRIMMED:  # what is held from before is not the horizon any more
                    self._reader.forget()
                if not self._may_be_about_the_stream(refusal):
                    raise
                raise await self._why_refused(refusal, position) from refusal
            except PositionImpossibleError as error:
                newer = await self._connection.newer_stream(URGENT_LOOK_SECONDS)
                if await self._connection.is_replaced(newer):
                    raise self._replaced(newer) from error
                raise
            self._refused_since_seconds = None
            if page.records or page.ended or page.pinned_seconds is not None:
                self._idle_since_seconds = None
            else:
                await self._look_whether_replaced()
        return page

    async def close(self) -> None:
        """Forget iterators and pages, once everybody who opened the reader has closed it."""
        if self._on_close():
            self._reader.forget()

    def _may_be_about_the_stream(self, refusal: AwsError) -> bool:
        if refusal.code in LOST or refusal.code in REFUSED:
            return True
        return self._may_begin_again and type(refusal.error()) not in _ABOUT_THE_CALLER

    async def _look_whether_replaced(self) -> None:
        """Let a shard end that is answered for although its table has another stream.

        AWS ends the shards of a stream that was turned off, and so do its records come to an end before that. An
        endpoint that was emptied may answer with empty pages for the old stream for ever.
        """
        if not self._may_begin_again:
            return
        newer = await self._connection.newer_stream(LOOK_SECONDS)
        now_seconds = asyncio.get_running_loop().time()
        if not newer:
            self._idle_since_seconds = None
        elif self._idle_since_seconds is None:
            self._idle_since_seconds = now_seconds
        elif now_seconds - self._idle_since_seconds >= IDLE_SECONDS:
            self._connection.forget_stream()
            raise self._replaced(newer)

    def _replaced(self, newer: str) -> ShardGoneError:
        self._connection.forget_stream()
        return ShardGoneError(
            f"{self._connection.thing}: the table has another stream now: {newer}",
            hint="reading goes on with that one; what was not read of the old one is lost",
        )

    async def _why_refused(self, refusal: AwsError, position: Position) -> SourceError:
        """What a refusal comes to: it may be about the stream, which is gone, or has been replaced.

        A stream that is gone waits for what becomes of its table; behind it another one waits to be read.
        """
        newer = await self._connection.newer_stream(URGENT_LOOK_SECONDS)
        if await self._connection.is_replaced(newer):
            return self._replaced(newer)
        if refusal.code != RESOURCE_NOT_FOUND:
            if refusal.code in REFUSED and not newer and not await self._connection.stream_exists():
                return await self._connection.why_gone()
            if refusal.code == TRIMMED and position.kind is PositionKind.TRIM_HORIZON:
                return SourceError(
                    f"{refusal.thing}: the service calls the oldest record that it has trimmed: {refusal.text}",
                    hint=AGAIN,
                )
            return refusal.error()
        if not newer and not await self._connection.stream_exists():
            return await self._connection.why_gone()
        if await self._connection.is_trimmed():
            return ShardGoneError(
                f"{refusal.thing}: listed no more, and older than what the stream keeps",
                hint="the shard is gone: what it held is lost",
            )
        there = "its table has a newer stream" if newer else "its stream is there"
        refused_seconds = IDLE_SECONDS if newer and self._may_begin_again else REFUSED_SECONDS
        now_seconds = self._clock.now().monotonic_seconds
        if self._refused_since_seconds is None:
            self._refused_since_seconds = now_seconds
        if now_seconds - self._refused_since_seconds < refused_seconds:
            return SourceError(
                f"{refusal.thing}: refused although {there}",
                hint="it is tried again for a minute: a shard can be listed before it can be read",
            )
        return ShardGoneError(
            f"{refusal.thing}: refused for {refused_seconds:g} s although {there}",
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
