"""Whatever an endpoint does to one answer: an error of ours in bounded time, and never a wrong result."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest
from emulator.kit import TABLE, stream_on
from sources.fakes import opened
from sources.scripted_server import HARMLESS, HOSTILE, MIB, Misbehaviour, ScriptedServer

from triggerkit.aws import limits
from triggerkit.core.model import TRIM_HORIZON, Record
from triggerkit.emulator import Emulator
from triggerkit.errors import EndpointUnreachableError, ReplyTooLargeError, SourceError
from triggerkit.ports import Source
from triggerkit.sources.dynamodb import opening
from triggerkit.sources.dynamodb.service import TRAITS

OPERATIONS = ("DescribeTable", "ListStreams", "DescribeStream", "GetShardIterator", "GetRecords")
WRITTEN = ["a", "b", "c"]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    emulator = Emulator(seed=1)
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    for name in WRITTEN:
        emulator.call("PutItem", {"TableName": "orders", "Item": {"pk": {"S": name}}})
    with ScriptedServer(emulator, drip_seconds=0.05) as started:
        yield started


def source_of(server: ScriptedServer, transport: str = "auto") -> Source:
    return opened(f"dynamodb://orders?endpoint_url={server.endpoint_url}&transport={transport}")


def run(use: Callable[[], Coroutine[Any, Any, None]], seconds: float = 300.0) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(use(), seconds)

    asyncio.run(bounded())


async def everything(source: Source) -> list[str]:
    """One whole start and read: each operation is asked for."""
    await source.prepare()
    found: list[Record] = []
    for shard in (await source.list_shards()).shards:
        reader = source.open(shard.id)
        found += (await reader.fetch(TRIM_HORIZON, 100)).records
        await reader.close()
    return [record.key.decode() for record in found]


KEYS = [f'{{"S": "{name}"}}'.replace(" ", "") for name in WRITTEN]


def keys(found: list[str]) -> list[str]:
    return [key.replace(" ", "") for key in found]


BODIES = HOSTILE[HOSTILE.index(Misbehaviour.EMPTY_BODY) :]
"""What is wrong in the body: each operation reads it for itself. The rest meets one of two clients."""
BROKEN = [
    (kind, operation)
    for operation in OPERATIONS
    for kind in (HOSTILE if operation in ("DescribeStream", "GetRecords") else BODIES)
]


@pytest.mark.parametrize(("kind", "operation"), BROKEN, ids=lambda one: getattr(one, "name", one))
def test_e5_a_broken_answer_is_an_error_of_ours_and_the_next_good_one_is_read(
    server: ScriptedServer, kind: Misbehaviour, operation: str
) -> None:
    async def use() -> None:
        server.misbehave(kind, operation)
        broken = source_of(server)
        told = ""
        try:
            assert keys(await everything(broken)) == KEYS, "a wrong result"
        except SourceError as error:
            told = error.message if error.hint else f"no hint: {error.message}"
        finally:
            await broken.close()
        assert operation in (told or operation)
        assert not told.startswith("no hint")
        assert server.calls[operation] <= 10
        server.behave()
        healed = source_of(server)
        assert keys(await everything(healed)) == KEYS
        await healed.close()

    run(use)


@pytest.mark.parametrize("transport", ["fast", "botocore"])
@pytest.mark.parametrize("kind", sorted(HARMLESS, key=str), ids=lambda kind: kind.name)
def test_e5_an_odd_answer_that_is_whole_is_understood(
    server: ScriptedServer, kind: Misbehaviour, transport: str
) -> None:
    async def use() -> None:
        server.misbehave(kind)
        source = source_of(server, transport)
        assert keys(await everything(source)) == KEYS
        await source.close()

    run(use)


@pytest.mark.parametrize("transport", ["fast", "botocore"])
def test_e2_no_redirect_is_followed_and_no_header_goes_elsewhere(
    server: ScriptedServer, transport: str
) -> None:
    async def use() -> None:
        for operation in OPERATIONS:
            server.misbehave(Misbehaviour.REDIRECT, operation)
            source = source_of(server, transport)
            with pytest.raises(EndpointUnreachableError, match="redirect"):
                await everything(source)
            await source.close()
            server.behave()

    run(use)
    assert server.elsewhere == []


@pytest.mark.parametrize("transport", ["fast", "botocore"])
@pytest.mark.parametrize(
    "kind",
    [
        Misbehaviour.ENDLESS_BODY,
        Misbehaviour.ENDLESS_CHUNKS,
        Misbehaviour.HUGE_LENGTH,
        Misbehaviour.GZIP_BOMB,
        Misbehaviour.ERROR_HUGE,
    ],
    ids=lambda kind: kind.name,
)
@pytest.mark.parametrize("operation", ["GetRecords", "DescribeStream"])
def test_e4_a_reply_without_end_is_given_up_and_not_kept(
    server: ScriptedServer, kind: Misbehaviour, operation: str, transport: str
) -> None:
    async def use() -> None:
        source = source_of(server, transport)
        await source.prepare()
        server.misbehave(kind, operation)
        with pytest.raises(ReplyTooLargeError, match=rf"{operation}.*MiB"):
            await everything(source)
        assert server.calls[operation] <= 2
        await source.close()

    tracemalloc.start()
    try:
        run(use)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    limit_bytes = 16 if operation == "GetRecords" else 64
    assert most_bytes < (2 * limit_bytes + 40) * MIB


@pytest.mark.parametrize("transport", ["fast", "botocore"])
@pytest.mark.parametrize(
    "kind",
    [Misbehaviour.DRIPPING_BODY, Misbehaviour.DRIPPING_HEADERS, Misbehaviour.NO_ANSWER],
    ids=lambda kind: kind.name,
)
def test_b1_an_answer_that_drips_is_given_up_after_a_total_time(
    server: ScriptedServer,
    kind: Misbehaviour,
    transport: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each operation, over both transports; 0.5 s instead of 20, and a byte each 0.05 s instead of 3."""
    assert limits.CALL_SECONDS == TRAITS.call_seconds == 20.0
    monkeypatch.setattr(limits, "CALL_SECONDS", 0.5)
    monkeypatch.setattr(opening, "TRAITS", replace(TRAITS, call_seconds=0.5))

    async def use() -> None:
        for operation in OPERATIONS:
            server.misbehave(kind, operation)
            source = source_of(server, transport)
            told = ""
            while operation not in told:  # on a busy machine a good answer may take as long
                with pytest.raises(EndpointUnreachableError, match=r"within 0\.5 s") as caught:
                    await everything(source)
                told = caught.value.message
            server.behave()
            await source.close()

    run(use)
