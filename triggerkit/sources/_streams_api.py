"""The control plane of DynamoDB and its streams. Rule: one method a question, every page asked for.

DescribeStream is allowed ten times a second an account, so its pages are paid from a bucket of five.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from triggerkit.aws.clients import Answer, ControlPlane
from triggerkit.aws.errors import RESOURCE_NOT_FOUND, AwsError
from triggerkit.core.model import Position, PositionKind
from triggerkit.errors import InternalError, SourceError
from triggerkit.sources._lineage import ListedShard, ListedStream, StreamArn, parse_stream_arn

DESCRIBE_STREAM = "dynamodb:DescribeStream"
GET_SHARD_ITERATOR = "dynamodb:GetShardIterator"
PAGE_SHARDS = 100
PAGES_PER_SECOND = 5.0
PAGES_AT_ONCE = 10.0


class TokenBucket:
    """So many tokens a second, and so many at once; who comes when it is empty waits for its turn."""

    def __init__(self, per_second: float, at_once: float) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._tokens = at_once
        self._filled_at_seconds: float | None = None

    async def take(self) -> None:
        """Take one token; it is taken at once and paid for by waiting."""
        wait_seconds = self.reserve(asyncio.get_running_loop().time())
        if wait_seconds > 0:
            await asyncio.sleep(wait_seconds)

    def reserve(self, now_seconds: float) -> float:
        """Take one token and return how long to wait before it may be used."""
        if self._filled_at_seconds is not None:
            gained = (now_seconds - self._filled_at_seconds) * self._per_second
            self._tokens = min(self._at_once, self._tokens + gained)
        self._filled_at_seconds = now_seconds
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_second)


@dataclass(frozen=True, slots=True)
class Table:
    """What DescribeTable says. `view_type` is empty when the stream is off."""

    arn: str
    stream_arn: str
    view_type: str
    status: str


@dataclass(frozen=True, slots=True)
class StreamShape:
    """What every record of a stream looks like. `key_names`: partition key first."""

    arn: StreamArn
    view_type: str
    key_names: tuple[str, ...]


class StreamsApi:
    """The questions that a source asks. All methods raise AwsError, SourceError."""

    def __init__(self, control_plane: ControlPlane, dynamodb: Any, streams: Any) -> None:
        self._control_plane = control_plane
        self._dynamodb = dynamodb
        self._streams = streams
        self._bucket = TokenBucket(PAGES_PER_SECOND, PAGES_AT_ONCE)

    @property
    def place(self) -> str:
        """Region and endpoint, for errors."""
        return f"{self.region} ({self.endpoint_url})"

    @property
    def endpoint_url(self) -> str:
        """Where tables are asked for."""
        return str(self._dynamodb.meta.endpoint_url)

    @property
    def region(self) -> str:
        """The Region of the clients."""
        return str(self._dynamodb.meta.region_name)

    @property
    def streams_client(self) -> Any:
        """The boto3 client whose endpoint GetRecords shares."""
        return self._streams

    async def close(self) -> None:
        """Close connections."""
        await self._control_plane.run(self._dynamodb.close)
        await self._control_plane.run(self._streams.close)

    async def describe_table(self, name: str) -> Table:
        """One table and its stream."""
        answer, _ = await self._control_plane.call(
            lambda: self._dynamodb.describe_table(TableName=name),
            action="dynamodb:DescribeTable",
            thing=f"table {name!r}",
        )
        return _table(answer["Table"])

    async def turn_on_stream(self, name: str, view_type: str) -> Table:
        """Ask for a stream; it is on when the table is ACTIVE again."""
        specification = {"StreamEnabled": True, "StreamViewType": view_type}
        answer, _ = await self._control_plane.call(
            lambda: self._dynamodb.update_table(TableName=name, StreamSpecification=specification),
            action="dynamodb:UpdateTable",
            thing=f"table {name!r}",
        )
        return _table(answer["TableDescription"])

    async def table_names(self) -> tuple[str, ...]:
        """The first hundred tables, to find a name that was mistyped."""
        answer, _ = await self._control_plane.call(
            lambda: self._dynamodb.list_tables(Limit=100),
            action="dynamodb:ListTables",
            thing="the account",
        )
        return tuple(answer.get("TableNames", ()))

    async def stream_arns(self, table: str) -> tuple[StreamArn, ...]:
        """Every stream of a table that can still be read."""
        found: dict[str, StreamArn] = {}
        options: dict[str, str] = {"TableName": table}
        while True:
            asked = dict(options)
            answer, _ = await self._control_plane.call(
                lambda asked=asked: self._streams.list_streams(**asked),  # type: ignore[misc]
                action="dynamodb:ListStreams",
                thing=f"table {table!r}",
            )
            page = {stream["StreamArn"] for stream in answer.get("Streams") or ()}
            fresh = page - found.keys()
            found.update({arn: parse_stream_arn(arn) for arn in fresh})
            last = answer.get("LastEvaluatedStreamArn")
            if not last or not fresh:
                return tuple(stream for stream in found.values() if stream.table == table)
            options["ExclusiveStartStreamArn"] = last

    async def list_stream(self, arn: StreamArn) -> tuple[ListedStream, float]:
        """All shards, and the service's time at the last page: no shard in it is from later."""
        return await self._listed(arn, {"Limit": PAGE_SHARDS})

    async def list_children(self, arn: StreamArn, parent: str) -> ListedStream:
        """What the service lists as children of `parent`; it may ignore the filter."""
        wanted = {"Type": "CHILD_SHARDS", "ShardId": parent}
        stream, _ = await self._listed(arn, {"ShardFilter": wanted})
        return stream

    async def _listed(self, arn: StreamArn, options: dict[str, Any]) -> tuple[ListedStream, float]:
        """Every page; two children of one shard may come on two of them, too."""
        shards: dict[str, ListedShard] = {}
        while True:
            page, service_seconds, last = await self._describe_stream(arn, dict(options))
            fresh = {shard.name: shard for shard in page.shards if shard.name not in shards}
            shards.update(fresh)
            if not last or not fresh:  # paging ignored: the same page would come for ever
                whole = not last
                stream = ListedStream(arn, page.status, tuple(shards.values()), whole)
                return stream, service_seconds
            options["ExclusiveStartShardId"] = last

    async def probe(self, arn: StreamArn) -> None:
        """Ask for the stream alone."""
        await self._describe_stream(arn, {"Limit": 1})

    async def shape(self, arn: StreamArn) -> StreamShape:
        """The images and keys of a stream's records."""
        answer, _ = await self._ask_stream(arn, {"Limit": 1})
        names = {one["KeyType"]: one["AttributeName"] for one in answer.get("KeySchema") or ()}
        key_names = tuple(names[kind] for kind in ("HASH", "RANGE") if kind in names)
        return StreamShape(arn, answer.get("StreamViewType") or "", key_names)

    async def stream_exists(self, arn: StreamArn) -> bool:
        """Whether the stream can still be described."""
        try:
            await self.probe(arn)
        except AwsError as refusal:
            if refusal.code == RESOURCE_NOT_FOUND:
                return False
            raise
        return True

    async def shard_iterator(
        self, arn: StreamArn, shard: str, position: Position
    ) -> tuple[str, float]:
        """An iterator for a position, and the service's time when it was made."""
        options = {"StreamArn": arn.text, "ShardId": shard, **_where(position)}
        answer, service_seconds = await self._control_plane.call(
            lambda: self._streams.get_shard_iterator(**options),
            action=GET_SHARD_ITERATOR,
            thing=f"shard {shard} of {arn.text}",
        )
        iterator = answer.get("ShardIterator")
        if not iterator:
            raise SourceError(
                f"{GET_SHARD_ITERATOR} on shard {shard} of {arn.text}: no iterator in the answer",
                hint="it is tried again",
            )
        return str(iterator), service_seconds

    async def _describe_stream(
        self, arn: StreamArn, options: dict[str, Any]
    ) -> tuple[ListedStream, float, str]:
        described, service_seconds = await self._ask_stream(arn, options)
        shards = tuple(_listed(shard) for shard in described.get("Shards") or ())
        stream = ListedStream(arn, described.get("StreamStatus") or "", shards)
        return stream, service_seconds, described.get("LastEvaluatedShardId") or ""

    async def _ask_stream(self, arn: StreamArn, options: dict[str, Any]) -> tuple[Answer, float]:
        await self._bucket.take()
        answer, service_seconds = await self._control_plane.call(
            lambda: self._streams.describe_stream(StreamArn=arn.text, **options),
            action=DESCRIBE_STREAM,
            thing=f"stream {arn.text}",
        )
        described: Answer = answer["StreamDescription"]
        return described, service_seconds


def _table(description: Answer) -> Table:
    specification = description.get("StreamSpecification") or {}
    view_type = specification.get("StreamViewType") if specification.get("StreamEnabled") else None
    return Table(
        description["TableArn"],
        description.get("LatestStreamArn") or "",
        view_type or "",
        description.get("TableStatus") or "",
    )


def _listed(shard: Answer) -> ListedShard:
    numbers = shard.get("SequenceNumberRange") or {}
    return ListedShard(
        shard["ShardId"],
        shard.get("ParentShardId") or None,
        bool(numbers.get("EndingSequenceNumber")),
    )


def _where(position: Position) -> dict[str, Any]:
    match position.kind:
        case PositionKind.TRIM_HORIZON | PositionKind.LATEST:
            return {"ShardIteratorType": position.kind.value}
        case PositionKind.AFTER:
            return {
                "ShardIteratorType": position.kind.value,
                "SequenceNumber": position.sequence_number,
            }
        case PositionKind.AT_TIMESTAMP:
            at = datetime.fromtimestamp(position.at_seconds, UTC)
            return {"ShardIteratorType": position.kind.value, "Timestamp": at}
        case PositionKind.SHARD_END:
            raise InternalError("a finished shard has no iterator", hint="report this")
