"""Whatever a test server does to an answer for ever, the worker says so within 35 seconds.

The error is what the real source makes of the answer; the worker lives in virtual time, and its calls fail with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from emulator.kit import TABLE, stream_on
from runtime.stall_world import StallWorld
from sources.fakes import opened
from sources.scripted_server import ENDLESS, HOSTILE, Misbehaviour, ScriptedServer

from triggerkit.aws import limits
from triggerkit.core.events import Blocked, PageRead, Waiting
from triggerkit.core.model import TRIM_HORIZON
from triggerkit.emulator import Emulator
from triggerkit.errors import TriggerkitError
from triggerkit.sources.dynamodb import opening
from triggerkit.sources.dynamodb.service import TRAITS

PORTS = {"DescribeStream": "list_shards", "GetRecords": "fetch"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    emulator = Emulator(seed=1)
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    emulator.call("PutItem", {"TableName": "orders", "Item": {"pk": {"S": "a"}}})
    with ScriptedServer(emulator, drip_seconds=0.05) as started:
        yield started


async def error_of(server: ScriptedServer, kind: Misbehaviour, operation: str) -> Exception | None:
    """What a running worker gets to see; None if the answer could be used all the same."""
    source = opened(f"dynamodb://orders?endpoint_url={server.endpoint_url}")
    try:
        await source.prepare()
        (shard,) = (await source.list_shards()).shards
        server.misbehave(kind, operation)
        await source.list_shards()
        await source.open(shard.id).fetch(TRIM_HORIZON, 100)
    except TriggerkitError as error:
        return error
    finally:
        await source.close()
    return None


@pytest.mark.parametrize("operation", PORTS)
@pytest.mark.parametrize("kind", [*HOSTILE, *ENDLESS], ids=lambda kind: kind.name)
def test_b_an_answer_that_stays_broken_is_reported(
    server: ScriptedServer,
    kind: Misbehaviour,
    operation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert limits.CALL_SECONDS <= 25.0, "an endless answer is an error before it is reported"
    monkeypatch.setattr(limits, "CALL_SECONDS", 0.3)
    monkeypatch.setattr(opening, "TRAITS", replace(TRAITS, call_seconds=0.3))
    error = asyncio.run(error_of(server, kind, operation))
    if error is None:
        return
    with StallWorld() as world:
        world.put()
        world.traps.fail(error, PORTS[operation])
        world.start()
        world.run(35.0)
        told = [event for _, event in world.said(Waiting)] or [
            event for _, event in world.said(Blocked)
        ]
        assert len(told) == 1
        assert told[0].error is error
        assert not world.said(PageRead)
