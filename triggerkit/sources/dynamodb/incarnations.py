"""The streams that a source consists of. An older stream is read to its end before a newer one.

A table's stream that is turned off stays readable for 24 hours; turned on again it is another stream.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import Enum

from triggerkit.aws.errors import RESOURCE_NOT_FOUND, VALIDATION, AwsError
from triggerkit.core.model import Children, Listing, Shard, ShardId
from triggerkit.errors import SourceError, TriggerkitError
from triggerkit.ports import Clock
from triggerkit.sources.dynamodb.service import TRAITS, StreamArn, parse_stream_arn
from triggerkit.sources.dynamodb.streams_api import DESCRIBE_STREAM, StreamsApi, unusable
from triggerkit.sources.shards.lineage import (
    ListedStream,
    children_of,
    connected,
    cycle_in,
    lineage,
    shard_name_of,
)

_FILTER_UNKNOWN = frozenset({VALIDATION, "SerializationException", "UnknownOperationException"})


class TableState(Enum):
    """What DescribeTable said last of the table that a source is of."""

    UNKNOWN = "unknown"
    MISSING = "missing"
    NO_STREAM = "no stream"
    HAS_STREAM = "has a stream"


class Incarnations:
    """All streams of one table, or `single`: one stream alone. Refreshed with every listing."""

    def __init__(self, api: StreamsApi, clock: Clock, arn: StreamArn, *, single: bool) -> None:
        self._api = api
        self._clock = clock
        self._single = single
        self._arns = {arn.incarnation: arn}
        self._named: frozenset[str] = frozenset()
        self._gone: set[str] = set()
        self._sample = arn
        self._newest = arn
        self._table = TableState.UNKNOWN
        self._looked_at_seconds = float("-inf")

    @property
    def newest(self) -> StreamArn:
        """The stream that the table had last. Labels are times, but an endpoint's clock may have been set back."""
        return self._newest

    @property
    def name(self) -> str:
        """The table, and where it is."""
        return f"table {self._sample.table!r} in {self._api.region}"

    def newer_than(self, arn: StreamArn) -> StreamArn | None:
        """The table's newest stream, if it is another one than this."""
        return None if self._newest.incarnation == arn.incarnation else self._newest

    def forget(self, arn: StreamArn) -> None:
        """This stream is over, whatever the endpoint still answers for it."""
        self._gone.add(arn.incarnation)

    async def look(self, least_seconds: float) -> TableState:
        """What the table is like, asked at most once in `least_seconds`; an error is no answer.

        DescribeTable has no such limit as DescribeStream (ten calls a second an account).
        """
        now_seconds = asyncio.get_running_loop().time()
        if self._single or now_seconds - self._looked_at_seconds < least_seconds:
            return self._table
        self._looked_at_seconds = now_seconds
        try:
            latest = (await self._api.describe_table(self._sample.table)).stream_arn
        except AwsError as refusal:
            if refusal.code == RESOURCE_NOT_FOUND:
                self._table = TableState.MISSING
        except TriggerkitError:
            pass  # whoever reads meets it as well
        else:
            self._learn(latest)
        return self._table

    def _learn(self, latest: str) -> None:
        """What DescribeTable said; an answer that is older than one before is not believed."""
        self._table = TableState.HAS_STREAM if latest else TableState.NO_STREAM
        if not latest:
            return
        arn = parse_stream_arn(latest)
        if arn.incarnation not in self._arns or arn.label > self._newest.label:
            self._newest = arn
        self._arns[arn.incarnation] = arn

    def arn_of(self, shard: ShardId) -> StreamArn:
        """The stream that a shard belongs to; one that is not listed any more is rebuilt from the id."""
        incarnation = shard.partition(":")[0]
        known = self._arns.get(incarnation)
        if known is not None:
            return known
        label = incarnation.replace("_", ":")
        prefix = self._sample.text.removesuffix(self._sample.label)
        return replace(self._sample, text=prefix + label, label=label)

    async def check(self) -> str:
        """Ask once for all that listings need; the name of one shard, or empty. Raises AwsError, SourceError."""
        shard = await self._api.probe(self.newest)
        if not self._single:
            await self._api.stream_arns(self._sample.table)
        return shard

    async def list_shards(self) -> Listing:
        """All shards of all streams. Raises AwsError, SourceError."""
        listing = await self._list_shards()
        if listing is None:
            raise SourceError(
                f"{self.name} is gone and its streams with it",
                hint="what was not read is lost; a table made again under this name is followed by itself",
            )
        return listing

    async def _list_shards(self) -> Listing | None:
        """The listing; None when not one stream is left."""
        arns = await self._list_arns()
        streams: list[ListedStream] = []
        service_seconds = 0.0
        for arn in arns:
            try:
                stream, at_seconds = await self._api.list_stream(arn)
            except AwsError as refusal:
                if refusal.code != RESOURCE_NOT_FOUND or self._single:
                    raise
                self._forget_unless_named(arn)
                continue
            _check(arn, stream)
            streams.append(stream)
            service_seconds = at_seconds or service_seconds
        if not streams:
            return None
        service_seconds = service_seconds or self._clock.now().service_seconds
        shown = connected(streams, service_seconds, TRAITS.retention_seconds)
        return Listing(
            lineage(shown),
            complete=len(shown) == len(streams),
            service_seconds=service_seconds,
            trim_seconds=service_seconds - TRAITS.retention_seconds,
            live=streams[-1].live,
        )

    async def children(self, shard: ShardId) -> Children:
        """The children of one shard; roots of the next stream when its own has ended."""
        arn, name = self.arn_of(shard), shard_name_of(shard)
        stream = None
        if arn.incarnation not in self._gone:
            try:
                stream = await self._listed_children(arn, name)
            except AwsError as refusal:
                if refusal.code != RESOURCE_NOT_FOUND:
                    raise
        if stream is not None:
            found = children_of(arn.incarnation, name, stream.shards)
            if found or stream.live:
                return Children(found)
        return await self._roots_behind(shard)

    async def _listed_children(self, arn: StreamArn, parent: str) -> ListedStream:
        try:
            stream = await self._api.list_children(arn, parent)
        except AwsError as refusal:
            if refusal.code not in _FILTER_UNKNOWN:
                raise
        else:
            if all(shard.parent == parent != shard.name for shard in stream.shards):
                return stream
        # The filter is not known here, or ignored, and no order is promised: a child may come first.
        stream, _ = await self._api.list_stream(arn)
        return stream

    async def _roots_behind(self, shard: ShardId) -> Children:
        """The roots of the stream that follows; none while there is no newer one with shards."""
        listing = None if self._single else await self._list_shards()
        if listing is None:
            return Children((), final=True)
        heirs = tuple(each for each in listing.shards if shard in each.parents)
        if not heirs and not any(each.id == shard for each in listing.shards):
            heirs = _first_behind(shard, listing, self._newest.incarnation)
        return Children(heirs, final=not heirs and listing.complete)

    async def _list_arns(self) -> list[StreamArn]:
        if self._single:
            return [self._sample]
        table = self._sample.table
        arns = {arn.incarnation: arn for arn in await self._api.stream_arns(table)}
        try:
            latest = (await self._api.describe_table(table)).stream_arn
        except AwsError as refusal:
            if refusal.code != RESOURCE_NOT_FOUND:
                raise
            latest = ""  # the table was deleted; its streams stay readable for a day
        if latest:
            arn = parse_stream_arn(latest)
            arns[arn.incarnation] = arn
            self._learn(latest)
        self._arns.update(arns)
        self._named = frozenset(arns)
        # One that was seen is asked for until it is gone: a listing of streams may be late as well.
        kept = [arn for name, arn in self._arns.items() if name not in self._gone]
        return sorted(
            kept, key=lambda arn: (arn.incarnation == self._newest.incarnation, arn.label)
        )

    def _forget_unless_named(self, arn: StreamArn) -> None:
        """One that is not found is over, unless it was named just now: then it may be too new."""
        if arn.incarnation not in self._named:
            self._gone.add(arn.incarnation)


def _check(arn: StreamArn, stream: ListedStream) -> None:
    """Refuse a listing that would be waited for for ever. Raises ListingUnusableError."""
    thing = f"stream {arn.text}"
    if stream.flaw:
        raise unusable(DESCRIBE_STREAM, thing, stream.flaw)
    if cycle := cycle_in(stream.shards):
        shown = ", ".join(name[:100] for name in cycle[:3])
        raise unusable(
            DESCRIBE_STREAM, thing, f"{len(cycle)} shards are ancestors of themselves: {shown}"
        )


def _first_behind(shard: ShardId, listing: Listing, newest: str) -> tuple[Shard, ...]:
    """The shard's own stream is not listed any more, so nothing names it as a parent: the next one's roots."""
    incarnation = shard.partition(":")[0]
    newer = [
        each
        for each in listing.shards
        if incarnation < each.id.partition(":")[0] or each.id.partition(":")[0] == newest
    ]
    first = min((each.id.partition(":")[0] for each in newer), default="")
    return tuple(
        replace(each, parents=(shard,))
        for each in newer
        if each.id.partition(":")[0] == first and not each.parents
    )
