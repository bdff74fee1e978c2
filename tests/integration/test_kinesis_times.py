"""Minutes, hours and days pass for the emulator's Kinesis as for Kinesis Mock 0.6.2 and kinesalite 3.3.3.

Both clocks are moved by the same amounts: the emulator's own, and the real server's with libfaketime. Kinesis Mock
trims nothing and so goes along short timelines; kinesalite trims, but has no answer for a time behind which nothing
was put. Every random choice comes from a seed that a failure prints; answers may differ only as
`emulator/time_divergences.py` lists.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from emulator import time_divergences
from emulator.kinesis_sides import KinesisSide, emulator_side, server_side
from emulator.kinesis_times import DAY, HOUR, LIMITS, LONG_MOVES, MOVES, TimedStream, minutes
from emulator.listed import Comparison
from emulator.timelines import timeline
from kinesalite import running_kinesalite
from kinesis_mock import running_kinesis_mock
from moved_clock import MovedClock, moved_clock

from triggerkit.emulator import Emulator, RealClock

pytestmark = [pytest.mark.real, pytest.mark.slow]


@dataclass(frozen=True)
class Clocks:
    """The emulator and a server whose clocks are moved together."""

    emulator: Emulator
    moved: MovedClock
    endpoint_url: str

    def advance(self, seconds: int) -> None:
        self.moved.advance(seconds, self.endpoint_url)
        self.emulator.advance(seconds)


@dataclass(frozen=True)
class Journey:
    """How many streams go along how long a timeline."""

    choices: tuple[int, ...]
    streams: int
    moves: int
    steps: int
    asks_for_times: bool = True


def go(
    clocks: Clocks,
    sides: tuple[KinesisSide, KinesisSide],
    comparison: Comparison,
    journey: Journey,
    seed: int,
) -> None:
    streams = [
        TimedStream(
            f"timed_{seed}_{number}",
            sides,
            Random(100 * seed + number),
            comparison,
            lambda: clocks.moved.ahead_seconds,
            journey.asks_for_times,
        )
        for number in range(journey.streams)
    ]
    moves = timeline(Random(seed), journey.choices, journey.moves, LIMITS)
    for stream in streams:
        stream.start()
    for at, move in enumerate((0, *moves)):
        for stream in streams:
            stream.mark(move)
        clocks.advance(move)
        for stream in streams:
            stream.where = f"timeline {seed}: {moves[:at]}"
            for _ in range(journey.steps):
                stream.step()
        if at == journey.moves:
            for stream in streams:
                stream.read_all()


def one_stream(
    clocks: Clocks, sides: tuple[KinesisSide, KinesisSide], comparison: Comparison, name: str
) -> TimedStream:
    """Return a stream with one record and nothing else."""
    for side in sides:
        side.call("CreateStream", StreamName=name, ShardCount=1)
        side.settled(name)
    stream = TimedStream(name, sides, Random(0), comparison, lambda: clocks.moved.ahead_seconds)
    stream.put()
    return stream


def first_page(side: KinesisSide, stream: str) -> dict[str, Any]:
    """Return the oldest record that can be read, at most, and what is told beside it."""
    shard = side.call("ListShards", StreamName=stream)["Shards"][0]["ShardId"]
    place = {"ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    token = side.call("GetShardIterator", StreamName=stream, **place)["ShardIterator"]
    page: dict[str, Any] = side.call("GetRecords", ShardIterator=token, Limit=1)
    return page


def compare_lag(
    clocks: Clocks, sides: tuple[KinesisSide, KinesisSide], comparison: Comparison
) -> None:
    """Compare how far behind a page is that leaves a record which is younger than the one it has."""
    stream = one_stream(clocks, sides, comparison, "lag")
    clocks.advance(2 * HOUR)
    stream.put()
    clocks.advance(HOUR)
    pages = [first_page(side, "lag") for side in sides]
    behind = minutes(*(page["MillisBehindLatest"] for page in pages))
    comparison.judge("minutes behind", *behind)


def compare_old(
    clocks: Clocks,
    sides: tuple[KinesisSide, KinesisSide],
    comparison: Comparison,
    asked: str,
    *,
    keeps_longer: bool,
) -> None:
    """Compare what is read of a record that is more than a day old."""
    stream = one_stream(clocks, sides, comparison, "old")
    clocks.advance(DAY + 60)
    if keeps_longer:
        stream.keep_longer()
    answers = [str(len(first_page(side, "old")["Records"])) for side in sides]
    comparison.judge(asked, *answers)


@pytest.mark.parametrize(
    ("name", "running", "journey", "seeds"),
    [
        (
            "Kinesis Mock 0.6.2",
            running_kinesis_mock,
            Journey(MOVES, streams=5, moves=8, steps=4),
            1,
        ),
        (
            "kinesalite 3.3.3",
            running_kinesalite,
            Journey(LONG_MOVES, streams=5, moves=10, steps=5, asks_for_times=False),
            2,
        ),
    ],
    ids=["kinesis-mock", "kinesalite"],
)
def test_streams_age_as_those_of_a_real_server(
    tmp_path: Path,
    name: str,
    running: Callable[[dict[str, str]], AbstractContextManager[str]],
    journey: Journey,
    seeds: int,
    record_property: Callable[[str, object], None],
) -> None:
    is_mock = name.startswith("Kinesis Mock")
    rows = time_divergences.KINESIS_MOCK if is_mock else time_divergences.KINESALITE
    comparison = Comparison(rows)
    clock = moved_clock(tmp_path, monotonic=is_mock)
    with (
        running(clock.environment()) as url,
        server_side(url, keep_alive=False) as theirs,
    ):
        for seed in range(seeds):
            clocks = Clocks(Emulator(RealClock()), clock, url)
            clocks.emulator.advance(clock.ahead_seconds)
            theirs.forget()
            go(clocks, (emulator_side(clocks.emulator), theirs), comparison, journey, seed)
        sides = (emulator_side(clocks.emulator), theirs)
        compare_lag(clocks, sides, comparison)
        asked = "read what " + ("is a day old" if is_mock else "was kept longer too late")
        compare_old(clocks, sides, comparison, asked, keeps_longer=not is_mock)
    scenarios = seeds * journey.streams
    record_property("comparison", comparison.figures(f"{name}, clocks", scenarios))
    vanished = [row.reason for row in comparison.vanished()]
    assert not vanished, f"listed differences that never showed: {vanished}"
