"""A dead endpoint under many shards: what the log says about it."""

from __future__ import annotations

import asyncio
import io
import json

from runtime.fakes import FakeInvoker, FakeSource, LoopClock, inline

from triggerkit.core.decisions import Fetch
from triggerkit.core.locators import parse
from triggerkit.core.model import TRIM_HORIZON, Lease, LeaseKey, SessionId, ShardId, Tenure
from triggerkit.errors import EndpointUnreachableError
from triggerkit.lease_stores import memory
from triggerkit.ports import Services
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.logs import LogSettings, configure_logging
from triggerkit.runtime.perform import MappingPorts, Performer

SHARDS = [f"shard-{number}" for number in range(40)]


def performer(source: FakeSource) -> Performer:
    clock = LoopClock()
    store = memory.open(parse("memory:"), Services(run=inline, clock=clock))
    ports = MappingPorts(
        trigger="orders",
        prefix="p:",
        source=source,
        listing=SharedListing(source, clock),
        store=store,
        invoker=FakeInvoker(),
        destination=None,
    )
    return Performer(ports, clock)


def fetch(shard: str) -> Fetch:
    lease = Lease(LeaseKey(f"p:{shard}"), ShardId(shard), TRIM_HORIZON)
    return Fetch(lease, Tenure(SessionId("me"), 1), TRIM_HORIZON, 10)


def test_forty_shards_on_a_dead_endpoint_are_one_line_and_their_return_another() -> None:
    source = FakeSource(shards={shard: [] for shard in SHARDS})
    stream = io.StringIO()

    async def scene() -> None:
        performing = performer(source)
        for _ in range(2):
            source.failures = [EndpointUnreachableError("no answer", hint="start it")] * 40
            await asyncio.gather(*(performing.perform(fetch(shard)) for shard in SHARDS))
        await asyncio.gather(*(performing.perform(fetch(shard)) for shard in SHARDS))

    restore = configure_logging(LogSettings(), stream)
    try:
        asyncio.run(scene())
    finally:
        restore()
    down, up = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (down["event"], down["operation"], down["shard"]) == ("will_retry", "Fetch", "shard-0")
    assert (up["event"], up["operation"], up["shards"]) == ("recovered", "Fetch", 40)
