"""Time to Live removes in the emulator what it removes in DynamoDB Local, and streams it alike.

2.6.1 is the judge: 3.3.1 removes the same items, but what it streams is not what AWS documents, as
`emulator/time_divergences.py` says. Clocks are moved with libfaketime; the real servers look for expired
items every few seconds of the host's time, which is waited for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from components import (
    DYNAMODB_LOCAL_2_6_1,
    DYNAMODB_LOCAL_3_3_1,
    NpmPackage,
    running_dynamodb_local,
)
from emulator import time_divergences
from emulator.comparison import EmulatorEndpoint, HttpEndpoint
from emulator.listed import Comparison, Row
from emulator.random_expiries import HOUR, ExpiringTable
from moved_clock import moved_clock

from triggerkit.emulator import Emulator, RealClock

pytestmark = [pytest.mark.real, pytest.mark.slow]

# The real servers remove some 20 items each time they look.
SEEDS = 6
WRITES = 14
SWEEP_TIMEOUT_SECONDS = 120


@pytest.mark.parametrize(
    ("version", "package", "rows", "moves"),
    [
        (
            "DynamoDB Local 2.6.1",
            DYNAMODB_LOCAL_2_6_1,
            time_divergences.DYNAMODB_LOCAL_2_6_1_TIME_TO_LIVE,
            (2 * HOUR, 9 * HOUR),
        ),
        (
            "DynamoDB Local 3.3.1",
            DYNAMODB_LOCAL_3_3_1,
            time_divergences.DYNAMODB_LOCAL_3_3_1_TIME_TO_LIVE,
            (2 * HOUR,),
        ),
    ],
    ids=["2.6.1", "3.3.1"],
)
def test_what_expires_goes_and_is_streamed_alike(
    tmp_path: Path,
    version: str,
    package: NpmPackage,
    rows: tuple[Row, ...],
    moves: tuple[int, ...],
    record_property: Callable[[str, object], None],
) -> None:
    clock = moved_clock(tmp_path)
    comparison = Comparison(rows)
    ours = EmulatorEndpoint(Emulator(RealClock()))
    with (
        running_dynamodb_local(package=package, environment=clock.environment()) as server,
        contextlib.closing(HttpEndpoint(server.endpoint_url)) as theirs,
    ):
        tables = [
            ExpiringTable(
                f"expiring_{seed}",
                ours,
                theirs,
                Random(seed),
                comparison,
                lambda: clock.ahead_seconds,
            )
            for seed in range(SEEDS)
        ]
        for table in tables:
            table.start()
            # One in five never has it, so nothing may go there.
            if table.random.random() < 0.8:
                table.switch(enable=True)
        for move in moves:
            for table in tables:
                for _ in range(WRITES):
                    table.write()
            clock.advance(move, server.endpoint_url)
            ours.emulator.advance(move)
            settle(tables)
        for table in tables:
            table.switch(enable=False)
            table.switch(enable=False)
    record_property("comparison", comparison.figures(f"{version}, Time to Live", SEEDS))
    vanished = [row.reason for row in comparison.vanished()]
    assert not vanished, f"listed differences that never showed: {vanished}"


def settle(tables: list[ExpiringTable]) -> None:
    """Wait until the server has removed what has expired, and compare; a sentinel shows that it looked."""
    for table in tables:
        if table.enabled:
            table.plant_sentinel()
    deadline = time.monotonic() + SWEEP_TIMEOUT_SECONDS
    for table in tables:
        while not table.settled() and time.monotonic() < deadline:
            time.sleep(0.1)
    for table in tables:
        table.compare()
        table.forget_expired()
