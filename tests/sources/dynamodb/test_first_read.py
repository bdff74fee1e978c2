"""The one read of a start: a permission that is missing stops it, whatever else is wrong does not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from runtime.stall_world import Wire
from sources.dynamodb.test_endpoint_begins_again import emulator_with
from sources.fakes import MovableClock, inline, opened
from sources.scripted_server import Misbehaviour, ScriptedServer

from triggerkit.aws.transport import Transport
from triggerkit.errors import (
    CredentialsError,
    PermissionDeniedError,
    SourceNotFoundError,
    TriggerkitError,
)
from triggerkit.ports import Services
from triggerkit.sources.dynamodb.opening import Target
from triggerkit.sources.dynamodb.service import StreamArn
from triggerkit.sources.dynamodb.source import DynamoDBSource
from triggerkit.sources.dynamodb.streams_api import StreamsApi
from triggerkit.testing.source import EmulatorClient, EmulatorConnector

DENIED = {"__type": "com.amazon.coral.service#AccessDeniedException", "message": "not authorized"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(emulator_with("a")) as started:
        yield started


def prepare(server: ScriptedServer, transport: str) -> None:
    async def use() -> None:
        source = opened(
            f"dynamodb://orders?endpoint_url={server.endpoint_url}&transport={transport}"
        )
        try:
            await source.prepare()
            assert source.name
        finally:
            await source.close()

    asyncio.run(asyncio.wait_for(use(), 60.0))


@pytest.mark.parametrize("transport", ["fast", "botocore"])
@pytest.mark.parametrize("operation", ["ListStreams", "GetShardIterator", "GetRecords"])
def test_d2_a_start_without_the_permission_to_read_is_refused(
    operation: str, transport: str, server: ScriptedServer
) -> None:
    server.reply(operation, DENIED, status=400, times=None)
    with pytest.raises(PermissionDeniedError, match=f"dynamodb:{operation}"):
        prepare(server, transport)


def test_d2_a_start_reads_no_record_and_asks_once(server: ScriptedServer) -> None:
    prepare(server, "fast")
    assert server.calls["GetRecords"] == 1
    assert server.calls["GetShardIterator"] == 1


@pytest.mark.parametrize("operation", ["GetShardIterator", "GetRecords"])
def test_d2_what_is_wrong_with_the_first_read_and_may_pass_stops_no_start(
    operation: str, server: ScriptedServer
) -> None:
    server.misbehave(Misbehaviour.STATUS_500, operation, times=None)
    prepare(server, "fast")


class Clients(EmulatorClient):
    """Counts how often it is closed: twice a control plane."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


class NoTransport(EmulatorConnector):
    async def transport(self, api: StreamsApi, arn: StreamArn) -> Transport:
        raise CredentialsError("none was found", hint="sign in")


@pytest.mark.parametrize(
    ("table", "connector", "error"),
    [
        ("nowhere", EmulatorConnector, SourceNotFoundError),
        ("orders", NoTransport, CredentialsError),
    ],
)
def test_a_start_that_fails_closes_the_clients_it_made(
    table: str, connector: type[EmulatorConnector], error: type[TriggerkitError]
) -> None:
    emulator = emulator_with("a")
    client = Clients(emulator, Wire(emulator))
    services = Services(inline, MovableClock())
    source = DynamoDBSource(Target(table), connector(client, services), services)
    for tries in (1, 2):
        with pytest.raises(error):
            asyncio.run(source.prepare())
        assert client.closed == 2 * tries
