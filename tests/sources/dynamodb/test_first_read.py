"""The one read of a start: a permission that is missing stops it, whatever else is wrong does not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sources.dynamodb.test_endpoint_begins_again import emulator_with
from sources.fakes import opened
from sources.scripted_server import Misbehaviour, ScriptedServer

from triggerkit.errors import PermissionDeniedError

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
