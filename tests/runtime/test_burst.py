"""When `--burst` ends, and what it says as long as it goes on."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from triggerkit.core.events import Blocked, Event, MappingId, MovedAgain, Operation
from triggerkit.core.model import TRIM_HORIZON, LastFailure, ShardId
from triggerkit.core.phases import Phase
from triggerkit.core.snapshot import MappingSnapshot, ShardSnapshot
from triggerkit.errors import StateLockedError
from triggerkit.runtime.burst import Burst
from triggerkit.runtime.logs import LogSettings, configure_logging
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.loop import VirtualLoop

ORDERS = MappingId("bill", "dynamodb/orders")
FIRST, SECOND = ShardId("s:first"), ShardId("s:second")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    restore = configure_logging(LogSettings("json", "info"), stream)
    yield stream
    restore()


def shard(name: ShardId, *, at_tip: bool, attempts: int = 0) -> ShardSnapshot:
    failure = LastFailure("request", "ValueError", "no") if attempts else None
    return ShardSnapshot(
        name, Phase.RUNNING, TRIM_HORIZON, 3, attempts, False, at_tip, None, failure, ()
    )


def picture(*shards: ShardSnapshot) -> dict[str, MappingSnapshot]:
    mapping = MappingSnapshot(shards, len(shards), 0, surveyed=True, stale_reports=0)
    return {f"{ORDERS.trigger}:{ORDERS.source}": mapping}


def blocked(
    *shards: ShardId, operation: Operation = Operation.INVOKE, mapping: MappingId | None = ORDERS
) -> Blocked:
    return Blocked(mapping, shards, operation, "cause", "fix", StateLockedError("x", hint="y"))


def moved(*shards: ShardId) -> MovedAgain:
    return MovedAgain(ORDERS, shards, Operation.INVOKE, 1.0, reported=True)


def burst_of(pictures: dict[str, MappingSnapshot], *events: Event) -> tuple[Burst, float | None]:
    """A burst that heard `events`, and the seconds after which it ended; None: it goes on."""
    clock, burst = VirtualClock(), Burst()
    for event in events:
        burst(event)
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:

        async def ended() -> bool:
            try:
                async with asyncio.timeout(100):
                    await burst.wait(lambda: pictures)
            except TimeoutError:
                return False
            return True

        done = runner.run(ended())
    return burst, clock.monotonic_seconds if done else None


def test_the_tip_of_every_shard_ends_it() -> None:
    burst, seconds = burst_of(picture(shard(FIRST, at_tip=True), shard(SECOND, at_tip=True)))
    assert (burst.exit_code, seconds) == (0, 0)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (blocked(FIRST), 12),
        (blocked(operation=Operation.SURVEY), 4),
        (blocked(operation=Operation.BEAT, mapping=None), 4),
    ],
)
def test_it_ends_where_nothing_but_blocked_shards_is_left(
    event: Blocked, code: int, log: io.StringIO
) -> None:
    shards = picture(shard(FIRST, at_tip=False), shard(SECOND, at_tip=True))
    burst, seconds = burst_of(shards, event)
    assert burst.exit_code == code
    assert seconds == pytest.approx(2.0, abs=0.2)
    assert json.loads(log.getvalue())["event"] == "burst_blocked"


@pytest.mark.parametrize("events", [(blocked(FIRST),), (blocked(FIRST, SECOND), moved(SECOND))])
def test_it_goes_on_as_long_as_one_shard_moves(events: tuple[Event, ...]) -> None:
    shards = picture(shard(FIRST, at_tip=False), shard(SECOND, at_tip=False))
    assert burst_of(shards, *events)[1] is None


def test_it_says_which_batch_keeps_it_from_the_tip(log: io.StringIO) -> None:
    shards = picture(shard(FIRST, at_tip=False, attempts=6), shard(SECOND, at_tip=False))
    assert burst_of(shards)[1] is None
    entries: list[dict[str, Any]] = [json.loads(line) for line in log.getvalue().splitlines()]
    assert len(entries) == 4  # after 30 and 90 seconds, for two shards
    failing, under_way = entries[:2]
    assert failing["level"] == "warning"
    assert failing["error_type"] == "ValueError"
    assert "has failed 6 times" in failing["message"]
    assert "maximum_retry_attempts" in failing["hint"]
    assert under_way["level"] == "info"
    assert "3 records read and not done" in under_way["message"]
