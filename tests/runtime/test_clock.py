"""The system clock, driven by hands of our own."""

from __future__ import annotations

import pytest

from triggerkit.ports import Clock
from triggerkit.runtime.clock import SystemClock, monotonic_seconds


class Hands:
    def __init__(self) -> None:
        self.monotonic = 100.0
        self.wall = 1_000_000.0

    def clock(self) -> SystemClock:
        return SystemClock(lambda: self.monotonic, lambda: self.wall)


def test_service_time_starts_as_the_wall_clock_and_runs_with_the_monotonic_one() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.monotonic += 7.5
    hands.wall += 3600.0  # somebody set the host's clock: nothing may follow it
    now = clock.now()
    assert now.monotonic_seconds == 107.5
    assert now.service_seconds == 1_000_007.5


def test_an_answer_that_differs_by_more_than_a_second_moves_service_time() -> None:
    hands = Hands()
    clock = hands.clock()
    clock.observe_service_time(1_000_050.0)
    assert clock.now().service_seconds == pytest.approx(1_000_050.5)
    clock.observe_service_time(999_000.0)
    assert clock.now().service_seconds == pytest.approx(999_000.5)


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.5, 0.8, 0.999])
def test_headers_cut_to_whole_seconds_never_make_service_time_jitter(fraction: float) -> None:
    hands = Hands()
    hands.wall = 2_000_000.0 + fraction
    clock = hands.clock()
    steps = [hands.monotonic + 0.13 * step for step in range(200)]
    for moment in steps:
        hands.monotonic = moment
        true_seconds = hands.wall + moment - 100.0
        clock.observe_service_time(float(int(true_seconds)))
        assert clock.now().service_seconds == pytest.approx(true_seconds)


def test_the_default_clock_goes_forward() -> None:
    clock: Clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert second.monotonic_seconds >= first.monotonic_seconds
    assert monotonic_seconds() >= second.monotonic_seconds
