"""DynamoDB Streams as a `Source`: one for each stream and process, shared by all its mappings.

`dynamodb://TABLE` and a table's ARN mean all incarnations of the table's stream, those that were
turned off and can still be read among them; a stream's ARN means that one only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from triggerkit.aws.errors import AwsError, translated
from triggerkit.aws.sessions import Access
from triggerkit.aws.transport import Transport, chosen_transport
from triggerkit.core.locators import Locator, check_keys
from triggerkit.core.model import LATEST, Children, Listing, ShardId
from triggerkit.errors import InternalError, LocatorError, PermissionDeniedError, SourceError
from triggerkit.ports import Event, Services, ShardReader, Source, SourceTraits
from triggerkit.sources.dynamodb import change_events
from triggerkit.sources.dynamodb.incarnations import Incarnations
from triggerkit.sources.dynamodb.opening import (
    Connecting,
    Connector,
    Target,
    access_of,
    connect_api,
    target_of,
)
from triggerkit.sources.dynamodb.reader import DynamoDBShardReader, ShardConnection
from triggerkit.sources.dynamodb.service import (
    LOCAL_REGION,
    TRAITS,
    StreamArn,
    former_name_of,
    name_of,
)
from triggerkit.sources.dynamodb.streams_api import StreamsApi, StreamShape
from triggerkit.sources.dynamodb.tables import (
    find_stream,
    find_table,
    refuse_other_view_type,
    turn_off,
    turn_on,
)
from triggerkit.sources.shards.lineage import shard_name_of
from triggerkit.sources.shards.track import Sharing

KEYS = frozenset({"transport"})
SHARD_BUFFER_BYTES = 4 * 2**20
ALL_BUFFERS_BYTES = 64 * 2**20
"""What readers keep for mappings that are a little behind: a shard's share of all, at most 4 MiB."""
FIRST_READ_SECONDS = 5.0
NO_ACCESS = Access()
_STREAM_ACTIONS = ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator")
_TABLE_ACTIONS = ("dynamodb:DescribeTable", "dynamodb:ListStreams")


def open(locator: Locator, services: Services) -> Source:
    """The source that `locator` names; nothing is called before `prepare`.

    Raises:
        LocatorError: unknown keys, an ARN of something else, or keys that contradict each other.
    """
    check_keys(locator, KEYS)
    target = target_of(locator)
    access = access_of(locator, target, services)
    connector = Connecting(access, chosen_transport(locator), services)
    return DynamoDBSource(target, connector, services, access)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What exists once a source is prepared."""

    api: StreamsApi
    arn: StreamArn
    incarnations: Incarnations
    transport: Transport


class DynamoDBSource:
    """See `Source`."""

    def __init__(
        self, target: Target, connector: Connector, services: Services, access: Access = NO_ACCESS
    ) -> None:
        self._target = target
        self._access = access
        self._connector = connector
        self._services = services
        self._known: _Prepared | None = None
        self._readers: dict[ShardId, DynamoDBShardReader] = {}
        self._openings: dict[ShardId, int] = {}

    @property
    def traits(self) -> SourceTraits:
        """See `Source`."""
        return TRAITS

    @property
    def arn(self) -> str:
        """The ARN of the newest stream that is known."""
        return self._prepared.incarnations.newest.text

    @property
    def name(self) -> str:
        """See `name_of`; the same for a table and for one stream of it."""
        known = self._prepared
        api = known.api
        return name_of(known.arn, self._access, api.region, api.streams_endpoint_url)

    @property
    def former_names(self) -> tuple[str, ...]:
        """See `Source`."""
        return (former_name_of(self._prepared.arn),)

    @property
    def identity(self) -> str:
        """The name, and the stream's label where one stream alone is meant and not all of the table."""
        stream = self._target.stream
        return f"{self.name}/{stream.label}" if stream else self.name

    @property
    def iam_actions(self) -> tuple[str, ...]:
        """What a worker's role must allow."""
        return _STREAM_ACTIONS if self._target.stream else _TABLE_ACTIONS + _STREAM_ACTIONS

    async def prepare(self) -> None:
        """See `Source`. May be called again: what is known stays."""
        if self._known is not None:
            return
        with translated():
            api = await self._connector.api()
            try:
                if (arn := self._target.stream) is None:
                    arn = await find_stream(api, self._target.table, self._target.arn)
                incarnations = Incarnations(
                    api, self._services.clock, arn, single=self._target.stream is not None
                )
                shard = await incarnations.check()
                transport = await self._connector.transport(api, arn)
            except BaseException:  # the next call makes clients of its own
                await api.close()
                raise
            self._known = _Prepared(api, arn, incarnations, transport)
            if shard:
                await self._try_to_read(self._known, shard)

    async def _try_to_read(self, known: _Prepared, shard: str) -> None:
        """Read nothing from the tip of a shard: a role that may not is refused at the start.

        What is slow or broken is met again, and reported, by the readers. Raises PermissionDeniedError.
        """
        try:
            async with asyncio.timeout(FIRST_READ_SECONDS):
                iterator, _ = await known.api.shard_iterator(known.arn, shard, LATEST)
                await known.transport.get_records(iterator, 1)
        except (AwsError, SourceError, TimeoutError) as refusal:
            error = refusal.error() if isinstance(refusal, AwsError) else refusal
            if isinstance(error, PermissionDeniedError):
                await self._forget(known)
                raise error from refusal
        except BaseException:
            await self._forget(known)
            raise

    async def _forget(self, known: _Prepared) -> None:
        self._known = None
        await known.transport.close()
        await known.api.close()

    async def list_shards(self) -> Listing:
        """See `Source`."""
        with translated():
            return await self._prepared.incarnations.list_shards()

    async def children(self, shard: ShardId) -> Children:
        """See `Source`."""
        with translated():
            return await self._prepared.incarnations.children(shard)

    def open(self, shard: ShardId) -> ShardReader:
        """The one reader of `shard`; it forgets what it holds when it was closed as often as opened."""
        self._openings[shard] = self._openings.get(shard, 0) + 1
        reader = self._readers.get(shard)
        if reader is None:
            reader = self._readers[shard] = self._open_reader(shard)
        return reader

    def shard_name(self, shard: ShardId) -> str:
        """See `Source`."""
        return shard_name_of(shard)

    def shard_arn(self, shard: ShardId) -> str:
        """See `Source`."""
        return self._prepared.incarnations.arn_of(shard).text

    def to_event(self, raw: bytes, stream_arn: str) -> Event:
        """See `Source`."""
        return change_events.to_event(raw, stream_arn)

    async def close(self) -> None:
        """See `Source`."""
        self._readers.clear()
        self._openings.clear()
        if self._known is not None:
            await self._known.transport.close()
            await self._known.api.close()

    @property
    def _prepared(self) -> _Prepared:
        if self._known is None:
            raise InternalError(
                f"the source of table {self._target.table!r} is used before prepare()",
                hint="report this",
            )
        return self._known

    def _open_reader(self, shard: ShardId) -> DynamoDBShardReader:
        known = self._prepared
        arn = known.incarnations.arn_of(shard)
        clock = self._services.clock
        return DynamoDBShardReader(
            ShardConnection(
                known.api,
                known.transport,
                clock,
                arn,
                shard_name_of(shard),
                known.incarnations,
            ),
            clock,
            sharing=Sharing(self._shard_buffer_bytes, lambda: self._openings.get(shard, 0) > 1),
            # Record times are cut to the second by AWS and to the minute by DynamoDB Local.
            resolution_seconds=60.0 if arn.region == LOCAL_REGION else 1.0,
            on_close=lambda: self._closed(shard),
        )

    def _shard_buffer_bytes(self) -> int:
        return min(SHARD_BUFFER_BYTES, ALL_BUFFERS_BYTES // max(1, len(self._readers)))

    def _closed(self, shard: ShardId) -> bool:
        """Count one close; whether it was the last."""
        left = self._openings.get(shard, 0) - 1
        if left > 0:
            self._openings[shard] = left
            return False
        self._openings.pop(shard, None)
        self._readers.pop(shard, None)
        return True


async def describe_stream(locator: Locator, services: Services) -> StreamShape:
    """What the records of a table's newest stream look like, or those of the stream named.

    Raises:
        LocatorError: the locator is no table's or stream's. SourceNotFoundError, StreamDisabledError,
        CredentialsError, PermissionDeniedError, EndpointUnreachableError: as `Source.prepare`.
    """
    target = target_of(locator)
    async with _api_of(target, locator, services) as api:
        return await api.shape(target.stream or await find_stream(api, target.table, target.arn))


@dataclass(frozen=True, slots=True)
class TablePlace:
    """Where a table is, and the view type of its stream; that is empty while the stream is off."""

    table: str
    account: str
    region: str
    endpoint_url: str
    view_type: str

    def __str__(self) -> str:
        return f"{self.table} (account {self.account}, Region {self.region}, {self.endpoint_url})"


async def find_table_place(
    locator: Locator, services: Services, view_type: str | None
) -> TablePlace:
    """Ask for the table that a locator names, whose stream `view_type`, if any, is wanted for.

    Raises:
        LocatorError: the locator is no table's. SourceNotFoundError, CredentialsError,
        PermissionDeniedError, EndpointUnreachableError: as `Source.prepare`.
        SourceError: the stream is on with another view type.
    """
    target = _table_of(locator)
    async with _api_of(target, locator, services) as api:
        table = await find_table(api, target.table)
        if view_type is not None:
            refuse_other_view_type(api, target.table, table, view_type)
        *_, region, account, _ = table.arn.split(":", 5)
        return TablePlace(target.table, account, region, api.endpoint_url, table.view_type)


async def enable_stream(locator: Locator, services: Services, view_type: str) -> str:
    """Turn a table's stream on; its ARN, once it can be read. On with the same view type is fine.

    Raises:
        OptionError: no such view type. LocatorError: the locator is no table's.
        SourceNotFoundError: no such table. SourceError: it is on with another view type.
    """
    target = _table_of(locator)
    async with _api_of(target, locator, services) as api:
        return await turn_on(api, target.table, view_type)


@asynccontextmanager
async def _api_of(
    target: Target, locator: Locator, services: Services
) -> AsyncIterator[StreamsApi]:
    """The control plane for a few questions."""
    with translated():
        api = await connect_api(access_of(locator, target, services), services)
        try:
            yield api
        finally:
            await api.close()


async def disable_stream(locator: Locator, services: Services) -> None:
    """Turn a table's stream off; off already is fine. Raises as `enable_stream`."""
    target = _table_of(locator)
    async with _api_of(target, locator, services) as api:
        await turn_off(api, target.table)


def _table_of(locator: Locator) -> Target:
    check_keys(locator, KEYS)
    target = target_of(locator)
    if target.stream is not None:
        raise LocatorError(
            f"{locator.shown!r} is a stream", hint=f"name the table: dynamodb://{target.table}"
        )
    return target
