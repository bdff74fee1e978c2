"""How often a shard is read, in virtual time: `idle_poll_seconds` and the four reads a second before it."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from instant import InstantStream, InstantWorker

from triggerkit.core.options import MappingOptions
from triggerkit.lease_stores.memory import MemoryLeaseStore
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.loop import VirtualLoop

BUSY_SECONDS = 0.25
IDLE_AFTER_SECONDS = 10.0


def reads_between(options: MappingOptions, put_at: tuple[float, ...], until: float) -> list[float]:
    """When one shard was read, from the first read on; records are put at `put_at`."""
    clock = VirtualClock()
    loop = VirtualLoop(clock)
    stream = InstantStream(clock)
    stream.add("s")
    worker = InstantWorker(stream, MemoryLeaseStore(clock), clock, options=options)

    async def scene() -> None:
        worker.start()
        start_seconds = loop.time()
        for number, at in enumerate((*put_at, until)):
            await asyncio.sleep(start_seconds + at - loop.time())
            stream.put(number)
        await worker.crash()

    try:
        loop.run_until_complete(scene())
    finally:
        loop.close()
    first = stream.read_at_seconds[0]
    return [at - first for at in stream.read_at_seconds]


def pauses(reads: list[float], begin: float, end: float) -> set[float]:
    """The pauses between reads in that span."""
    return {round(b - a, 3) for a, b in pairwise(reads) if begin <= a and b <= end}


@pytest.mark.parametrize("idle_seconds", [0.25, 1.0, 5.0])
def test_a_shard_without_records_is_read_every_idle_poll_seconds_after_ten_seconds(
    idle_seconds: float,
) -> None:
    reads = reads_between(MappingOptions(idle_poll_seconds=idle_seconds), (), 60.0)
    assert pauses(reads, 0.0, IDLE_AFTER_SECONDS) == {BUSY_SECONDS}
    assert pauses(reads, IDLE_AFTER_SECONDS, 60.0) == {idle_seconds}


def test_by_default_an_idle_shard_is_read_once_a_second() -> None:
    reads = reads_between(MappingOptions(), (), 30.0)
    assert pauses(reads, IDLE_AFTER_SECONDS, 30.0) == {1.0}


def test_a_record_brings_four_reads_a_second_back_for_ten_seconds() -> None:
    options = MappingOptions(idle_poll_seconds=5.0)
    reads = reads_between(options, (31.0,), 60.0)
    arrived = min(at for at in reads if at >= 31.0)
    assert arrived - 31.0 <= 5.0
    assert pauses(reads, arrived, arrived + IDLE_AFTER_SECONDS) == {BUSY_SECONDS}
    assert pauses(reads, arrived + IDLE_AFTER_SECONDS + 1.0, 60.0) == {5.0}


def test_while_records_flow_a_shard_is_read_four_times_a_second() -> None:
    steady = tuple(float(second) for second in range(1, 40))
    reads = reads_between(MappingOptions(idle_poll_seconds=30.0), steady, 40.0)
    assert pauses(reads, 0.0, 40.0) == {BUSY_SECONDS}
