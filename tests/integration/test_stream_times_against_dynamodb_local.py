"""Minutes, hours and days pass in the emulator as they pass in DynamoDB Local 3.3.1.

Both clocks are moved by the same amounts: the emulator's own, and the real server's with libfaketime. Every
random choice comes from a seed that a failure prints. Answers may differ only as
`emulator/time_divergences.py` lists.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from random import Random

import pytest
from components import DynamoDBLocal, running_dynamodb_local
from emulator.comparison import EmulatorEndpoint, HttpEndpoint
from emulator.listed import Comparison
from emulator.stream_times import (
    DAY,
    HOUR,
    ITERATOR_LIFE_SECONDS,
    LIMITS,
    MOVES,
    Side,
    World,
)
from emulator.time_divergences import DYNAMODB_LOCAL_3_3_1
from emulator.timelines import timeline
from moved_clock import MovedClock, moved_clock

from triggerkit.emulator import Emulator, RealClock

pytestmark = pytest.mark.real

TIMELINES = 4
WORLDS = 12
MOVES_MADE = 10
STEPS = 5


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> MovedClock:
    return moved_clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def server(clock: MovedClock) -> Iterator[DynamoDBLocal]:
    with running_dynamodb_local(environment=clock.environment()) as running:
        yield running


@pytest.fixture
def theirs(server: DynamoDBLocal) -> Iterator[HttpEndpoint]:
    with contextlib.closing(HttpEndpoint(server.endpoint_url)) as endpoint:
        yield endpoint


@pytest.mark.slow
def test_what_a_reader_gets_after_time_has_passed_is_the_same(
    clock: MovedClock,
    server: DynamoDBLocal,
    theirs: HttpEndpoint,
    record_property: Callable[[str, object], None],
) -> None:
    comparison = Comparison(DYNAMODB_LOCAL_3_3_1)
    for seed in range(TIMELINES):
        ours = EmulatorEndpoint(emulator_at(clock))
        worlds = [
            started_world(ours, theirs, clock, comparison, f"{seed}_{each}")
            for each in range(WORLDS)
        ]
        moves = timeline(Random(seed), MOVES, MOVES_MADE, LIMITS)
        for move in (0, *moves):
            advance(clock, server, ours, move)
            for world in worlds:
                world.where = f"timeline {seed} {moves} at {move}, {world.sides[0].table}"
                for _ in range(STEPS):
                    world.step()
        for world in worlds:
            theirs.send("DeleteTable", {"TableName": world.sides[0].table})
    scenarios = TIMELINES * WORLDS
    record_property("comparison", comparison.figures("DynamoDB Local 3.3.1, clocks", scenarios))
    vanished = [row.reason for row in comparison.vanished()]
    assert not vanished, f"listed differences that never showed: {vanished}"


def emulator_at(clock: MovedClock) -> Emulator:
    emulator = Emulator(RealClock())
    emulator.advance(clock.ahead_seconds)
    return emulator


def advance(clock: MovedClock, server: DynamoDBLocal, ours: EmulatorEndpoint, seconds: int) -> None:
    clock.advance(seconds, server.endpoint_url)
    ours.emulator.advance(seconds)


def started_world(
    ours: EmulatorEndpoint,
    theirs: HttpEndpoint,
    clock: MovedClock,
    comparison: Comparison,
    name: str,
) -> World:
    one, other = (
        Side(endpoint, f"times_{name}", lambda: clock.ahead_seconds) for endpoint in (ours, theirs)
    )
    world = World((one, other), Random(name), comparison, name)
    world.start()
    return world


def test_the_moved_clock_shows_in_labels_and_records(
    clock: MovedClock, server: DynamoDBLocal, theirs: HttpEndpoint
) -> None:
    """Without this the whole comparison could pass while the server's clock never moved."""
    ours = EmulatorEndpoint(emulator_at(clock))
    advance(clock, server, ours, 3 * DAY)
    comparison = Comparison(())
    world = started_world(ours, theirs, clock, comparison, "moved")
    for side in world.sides:
        assert side.write("a", 1, "I1") == "ok"
        assert side.begin("kept", 0, "LATEST") == "ok"
        assert side.begin("spent", 0, "TRIM_HORIZON") == "ok"
        assert side.read("spent") == "[I1]"
    advance(clock, server, ours, ITERATOR_LIFE_SECONDS - 60)
    assert [side.read("spent") for side in world.sides] == ["[I1]", "[I1]"]
    advance(clock, server, ours, 120)
    assert [side.read("spent") for side in world.sides] == ["ExpiredIteratorException"] * 2
    advance(clock, server, ours, DAY - HOUR)
    for side in world.sides:
        assert side.begin("again", 0, "TRIM_HORIZON") == "ok"
        assert side.read("again") == "[I1]"
    theirs.send("DeleteTable", {"TableName": "times_moved"})
