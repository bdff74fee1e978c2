"""A DynamoDB stream of the emulator as a `Source`: the real reader with a client of our own.

Listings, lineage, iterators, the ring and the confirmation of a shard's end are the code that
runs in production. The few calls below stand in for boto3 and are answered in place.
"""

from __future__ import annotations

import email.utils
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

from triggerkit.aws.clients import Answer, ControlPlane
from triggerkit.aws.errors import AwsError
from triggerkit.aws.transport import GET_RECORDS, Reply, Transport
from triggerkit.emulator import Emulator, EmulatorError
from triggerkit.ports import Clock, Runner, Services, Source
from triggerkit.sources.dynamodb.opening import Target
from triggerkit.sources.dynamodb.service import StreamArn
from triggerkit.sources.dynamodb.source import DynamoDBSource
from triggerkit.sources.dynamodb.streams_api import StreamsApi

REGION = "us-east-1"


class Way(Runner, Protocol):
    """What lies between a worker and AWS, and what may go wrong on it."""

    def refuse(self) -> None:
        """Raise EmulatorError if AWS refuses the call that has just arrived."""
        ...

    def page_limit(self, asked: int) -> int:
        """How many records AWS gives of those that were asked for; 0 is an empty page, whatever follows."""
        ...

    def transmit(self, body: bytes) -> bytes:
        """What arrives of a reply."""
        ...


def open_source(emulator: Emulator, table: str, way: Way, clock: Clock) -> Source:
    """The source of `table` as one worker sees it, over a way of its own."""
    services = Services(way, clock)
    connector = EmulatorConnector(EmulatorClient(emulator, way), services)
    return DynamoDBSource(Target(table), connector, services)


class EmulatorConnector:
    """Implements `sources.dynamodb.opening.Connector`."""

    def __init__(self, client: EmulatorClient, services: Services) -> None:
        self._client = client
        self._services = services

    async def api(self) -> StreamsApi:
        """The control plane."""
        control_plane = ControlPlane(self._services, attempt)
        return StreamsApi(control_plane, self._client, self._client)

    async def transport(self, api: StreamsApi, arn: StreamArn) -> Transport:
        """GetRecords."""
        del api
        return EmulatorTransport(self._client, self._services, arn.text)


class EmulatorTransport:
    """Implements `aws.transport.Transport`."""

    def __init__(self, client: EmulatorClient, services: Services, thing: str) -> None:
        self._client = client
        self._services = services
        self._thing = thing

    async def get_records(self, iterator: str, limit: int) -> Reply:
        """See `Transport`."""
        return await self._services.run(lambda: self._read(iterator, limit))

    async def close(self) -> None:
        """Nothing is open."""

    def _read(self, iterator: str, limit: int) -> Reply:
        try:
            body = self._client.read_page(iterator, limit)
        except EmulatorError as error:
            raise _refusal(error, GET_RECORDS, self._thing) from error
        return Reply(body, float(int(self._client.now_seconds())))


class _Meta:
    endpoint_url = "the simulation"
    region_name = REGION


class EmulatorClient:
    """The calls of boto3's clients `dynamodb` and `dynamodbstreams` that a source makes."""

    meta = _Meta()

    def __init__(self, emulator: Emulator, way: Way) -> None:
        self._emulator = emulator
        self._way = way

    def describe_table(self, **request: Any) -> Answer:
        """DescribeTable."""
        return self._answer("DescribeTable", request)

    def list_tables(self, **request: Any) -> Answer:
        """ListTables."""
        return self._answer("ListTables", request)

    def list_streams(self, **request: Any) -> Answer:
        """ListStreams."""
        return self._answer("ListStreams", request)

    def describe_stream(self, **request: Any) -> Answer:
        """DescribeStream."""
        return self._answer("DescribeStream", request)

    def get_shard_iterator(self, **request: Any) -> Answer:
        """GetShardIterator."""
        return self._answer("GetShardIterator", request)

    def close(self) -> None:
        """Nothing is open."""

    def now_seconds(self) -> float:
        """The service's time."""
        return self._emulator.clock.now_seconds()

    def read_page(self, iterator: str, limit: int) -> bytes:
        """GetRecords; the body as it arrives. Raises EmulatorError."""
        self._way.refuse()
        limit = self._way.page_limit(limit)
        if not limit:
            return json.dumps({"Records": [], "NextShardIterator": iterator}).encode()
        request = {"ShardIterator": iterator, "Limit": limit}
        return self._way.transmit(self._emulator.call_as_json("GetRecords", request).encode())

    def _answer(self, operation: str, request: Any) -> Answer:
        self._way.refuse()
        answer = self._emulator.call(operation, request)
        date = _date(int(self.now_seconds()))
        answer["ResponseMetadata"] = {"HTTPStatusCode": 200, "HTTPHeaders": {"date": date}}
        return answer


def attempt(call: Callable[[], Answer], action: str, thing: str, /) -> Answer:
    """Implements `aws.clients.Attempt`: what the emulator refuses, in our words."""
    try:
        return call()
    except EmulatorError as error:
        raise _refusal(error, action, thing) from error


def _refusal(error: EmulatorError, action: str, thing: str) -> AwsError:
    return AwsError(error.type, error.message, error.status, action=action, thing=thing)


@lru_cache(maxsize=4)
def _date(seconds: int) -> str:
    return email.utils.formatdate(seconds, usegmt=True)
