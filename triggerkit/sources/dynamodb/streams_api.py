"""The control plane of DynamoDB and its streams: a method for each question, which follows all pages.

DescribeStream is allowed ten times a second an account, so its pages are paid from a bucket of five.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from triggerkit.aws.clients import Answer, ControlPlane
from triggerkit.aws.errors import AGAIN, RESOURCE_NOT_FOUND, AwsError
from triggerkit.core.masking import masked
from triggerkit.core.model import Position, PositionKind
from triggerkit.errors import (
    DamagedReplyError,
    InternalError,
    ListingUnusableError,
    LocatorError,
)
from triggerkit.sources.dynamodb.service import StreamArn, parse_stream_arn
from triggerkit.sources.shards.lineage import ListedShard, ListedStream

DESCRIBE_TABLE = "dynamodb:DescribeTable"
LIST_STREAMS = "dynamodb:ListStreams"
DESCRIBE_STREAM = "dynamodb:DescribeStream"
GET_SHARD_ITERATOR = "dynamodb:GetShardIterator"
PAGE_SHARDS = 100
PAGES_PER_SECOND = 5.0
PAGES_AT_ONCE = 10.0
MOST_PAGES = 500
"""A stream keeps a day: a table of a thousand partitions has some ten thousand shards, on a hundred pages."""
MOST_EMPTY_PAGES = 10
_DISABLED = frozenset({"DISABLING", "DISABLED"})
_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_SHARD_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")


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


class _Specification(msgspec.Struct, rename="pascal"):
    stream_enabled: bool | None = None
    stream_view_type: str | None = None


class _TableDescription(msgspec.Struct, rename="pascal"):
    table_arn: str | None = None
    latest_stream_arn: str | None = None
    stream_specification: _Specification | None = None
    table_status: str | None = None


class _DescribedTable(msgspec.Struct, rename="pascal"):
    table: _TableDescription


class _UpdatedTable(msgspec.Struct, rename="pascal"):
    table_description: _TableDescription


class _TableNames(msgspec.Struct, rename="pascal"):
    table_names: list[str] | None = None


class _StreamName(msgspec.Struct, rename="pascal"):
    stream_arn: str


class _Streams(msgspec.Struct, rename="pascal"):
    streams: list[_StreamName]
    last_evaluated_stream_arn: str | None = None


class _Range(msgspec.Struct, rename="pascal"):
    ending_sequence_number: str | None = None


class _Shard(msgspec.Struct, rename="pascal"):
    shard_id: str
    parent_shard_id: str | None = None
    sequence_number_range: _Range | None = None


class _KeyElement(msgspec.Struct, rename="pascal"):
    attribute_name: str
    key_type: str


class _StreamDescription(msgspec.Struct, rename="pascal"):
    shards: list[_Shard]
    stream_arn: str | None = None
    stream_status: str | None = None
    stream_view_type: str | None = None
    key_schema: list[_KeyElement] | None = None
    last_evaluated_shard_id: str | None = None


class _DescribedStream(msgspec.Struct, rename="pascal"):
    stream_description: _StreamDescription


class _Iterator(msgspec.Struct, rename="pascal"):
    shard_iterator: str


_A = TypeVar("_A", bound=msgspec.Struct)


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
        """Where tables are asked for, as people may see it."""
        return masked(str(self._dynamodb.meta.endpoint_url))

    @property
    def may_begin_again(self) -> bool:
        """Whether the service may lose its streams and make them anew: every server but AWS itself.

        AWS keeps a stream for a day after it was turned off, and never uses a number twice.
        """
        parts = urlsplit(str(self._dynamodb.meta.endpoint_url))
        host = parts.hostname or ""
        return parts.scheme in {"http", "https"} and not host.endswith(_AWS_HOSTS)

    @property
    def region(self) -> str:
        """The Region of the clients."""
        return str(self._dynamodb.meta.region_name)

    @property
    def streams_endpoint_url(self) -> str:
        """Where the stream is read."""
        return str(self._streams.meta.endpoint_url)

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
        thing = f"table {name!r}"
        described, _ = await self._ask(
            lambda: self._dynamodb.describe_table(TableName=name),
            _DescribedTable,
            DESCRIBE_TABLE,
            thing,
        )
        return _table(described.table, thing)

    async def set_stream(self, name: str, view_type: str) -> Table:
        """Turn the stream on, or off without a view type; that is done when the table is ACTIVE again."""
        thing = f"table {name!r}"
        specification: dict[str, Any] = {"StreamEnabled": bool(view_type)}
        if view_type:
            specification["StreamViewType"] = view_type
        updated, _ = await self._ask(
            lambda: self._dynamodb.update_table(TableName=name, StreamSpecification=specification),
            _UpdatedTable,
            "dynamodb:UpdateTable",
            thing,
        )
        return _table(updated.table_description, thing)

    async def table_names(self) -> tuple[str, ...]:
        """The first hundred tables, to find a name that was mistyped."""
        listed, _ = await self._ask(
            lambda: self._dynamodb.list_tables(Limit=100),
            _TableNames,
            "dynamodb:ListTables",
            "the account",
        )
        return tuple(listed.table_names or ())

    async def stream_arns(self, table: str) -> tuple[StreamArn, ...]:
        """Every stream of a table that can still be read."""
        found: dict[str, StreamArn] = {}
        options: dict[str, str] = {"TableName": table}
        thing, paging = f"table {table!r}", Paging()
        while True:
            asked = dict(options)
            page, _ = await self._ask(
                lambda asked=asked: self._streams.list_streams(**asked),  # type: ignore[misc]
                _Streams,
                LIST_STREAMS,
                thing,
            )
            fresh = {stream.stream_arn for stream in page.streams} - found.keys()
            with _damaged_where_no_arn(LIST_STREAMS, thing, "StreamArn"):
                found.update({arn: parse_stream_arn(arn) for arn in fresh})
            last = page.last_evaluated_stream_arn
            if not last:
                return tuple(stream for stream in found.values() if stream.table == table)
            if flaw := paging.flaw(last, len(fresh)):
                raise unusable(LIST_STREAMS, thing, flaw)
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
        paging = Paging()
        while True:
            page, service_seconds, last = await self._describe_stream(arn, dict(options))
            fresh = {shard.name: shard for shard in page.shards if shard.name not in shards}
            shards.update(fresh)
            flaw = paging.flaw(last, len(fresh)) if last else ""
            if not last or flaw:  # paging that is ignored brings the same page for ever
                return replace(page, shards=tuple(shards.values()), flaw=flaw), service_seconds
            options["ExclusiveStartShardId"] = last

    async def probe(self, arn: StreamArn) -> str:
        """Ask for the stream alone; the name of one of its shards, empty where it lists none yet."""
        stream, _, _ = await self._describe_stream(arn, {"Limit": 1})
        return stream.shards[0].name if stream.shards else ""

    async def shape(self, arn: StreamArn) -> StreamShape:
        """The images and keys of a stream's records."""
        answer, _ = await self._ask_stream(arn, {"Limit": 1})
        names = {one.key_type: one.attribute_name for one in answer.key_schema or ()}
        key_names = tuple(names[kind] for kind in ("HASH", "RANGE") if kind in names)
        return StreamShape(arn, answer.stream_view_type or "", key_names)

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
        thing = f"shard {shard} of {arn.text}"
        answer, service_seconds = await self._ask(
            lambda: self._streams.get_shard_iterator(**options),
            _Iterator,
            GET_SHARD_ITERATOR,
            thing,
        )
        if not answer.shard_iterator:
            raise _damaged(GET_SHARD_ITERATOR, thing, "`ShardIterator` is empty")
        return answer.shard_iterator, service_seconds

    async def _describe_stream(
        self, arn: StreamArn, options: dict[str, Any]
    ) -> tuple[ListedStream, float, str]:
        described, service_seconds = await self._ask_stream(arn, options)
        shards = tuple(_listed(shard, f"stream {arn.text}") for shard in described.shards)
        live = described.stream_status not in _DISABLED  # an unknown status counts as live
        stream = ListedStream(arn.incarnation, live, arn.made_seconds, shards)
        return stream, service_seconds, described.last_evaluated_shard_id or ""

    async def _ask_stream(
        self, arn: StreamArn, options: dict[str, Any]
    ) -> tuple[_StreamDescription, float]:
        await self._bucket.take()
        thing = f"stream {arn.text}"
        answer, service_seconds = await self._ask(
            lambda: self._streams.describe_stream(StreamArn=arn.text, **options),
            _DescribedStream,
            DESCRIBE_STREAM,
            thing,
        )
        described = answer.stream_description
        answered_for = (described.stream_arn or arn.text).rpartition("/stream/")[2]
        if answered_for != arn.label:  # moto answers for any label with the stream that there is
            raise AwsError(
                RESOURCE_NOT_FOUND,
                f"the endpoint answers for another stream: {answered_for[:100]}",
                400,
                action=DESCRIBE_STREAM,
                thing=thing,
            )
        return described, service_seconds

    async def _ask(
        self, call: Callable[[], Answer], kind: type[_A], action: str, thing: str
    ) -> tuple[_A, float]:
        """One call, its answer as a `kind`, and the service's time."""
        answer, service_seconds = await self._control_plane.call(call, action=action, thing=thing)
        try:
            return msgspec.convert(answer, kind), service_seconds
        except (msgspec.ValidationError, RecursionError) as error:
            raise _damaged(action, thing, str(error)) from error


class Paging:
    """Follows the page tokens of one listing, and knows one that does not end."""

    def __init__(self) -> None:
        self._tokens: set[str] = set()
        self._empty_pages = 0

    def flaw(self, token: str, fresh: int) -> str:
        """Why the page that `token` leads to is not worth asking for; empty if it is.

        `fresh` is how much on this page was on none before.
        """
        if token in self._tokens:
            return f"page token {token[:200]!r} comes a second time"
        self._tokens.add(token)
        self._empty_pages = 0 if fresh else self._empty_pages + 1
        if self._empty_pages >= MOST_EMPTY_PAGES:
            return f"{MOST_EMPTY_PAGES} pages in a row say nothing new, and each names another one"
        if len(self._tokens) >= MOST_PAGES:
            return f"there is no end of it after {MOST_PAGES} pages"
        return ""


def unusable(action: str, thing: str, flaw: str) -> ListingUnusableError:
    """The error for a listing from which nothing may be concluded."""
    return ListingUnusableError(
        f"{action} on {thing}: the listing cannot be used: {flaw}",
        hint="this is a fault of the endpoint: look for a newer version of it, or make the stream anew",
    )


def _damaged(action: str, thing: str, why: str) -> DamagedReplyError:
    return DamagedReplyError(
        f"{action} on {thing}: the reply is damaged: {why}",
        hint=f"{AGAIN}; look at the endpoint, and at proxies before it, if it goes on",
    )


@contextmanager
def _damaged_where_no_arn(action: str, thing: str, member: str) -> Iterator[None]:
    try:
        yield
    except LocatorError as error:
        raise _damaged(action, thing, f"`{member}` is no ARN of a stream") from error


def _table(description: _TableDescription, thing: str) -> Table:
    specification = description.stream_specification
    enabled = specification is not None and specification.stream_enabled
    latest = description.latest_stream_arn or ""
    if latest:
        with _damaged_where_no_arn(DESCRIBE_TABLE, thing, "LatestStreamArn"):
            parse_stream_arn(latest)
    return Table(
        description.table_arn or "",
        latest,
        (specification.stream_view_type or "") if specification and enabled else "",
        description.table_status or "",
    )


def _listed(shard: _Shard, thing: str) -> ListedShard:
    for member, name in (("ShardId", shard.shard_id), ("ParentShardId", shard.parent_shard_id)):
        if name and _SHARD_NAME.fullmatch(name) is None:  # it becomes a part of lease keys
            raise _damaged(DESCRIBE_STREAM, thing, f"`{member}` is no name of a shard")
    numbers = shard.sequence_number_range
    return ListedShard(
        shard.shard_id,
        shard.parent_shard_id or None,
        numbers is not None and bool(numbers.ending_sequence_number),
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
