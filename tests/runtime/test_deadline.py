"""What handlers are told of the time they have left."""

from __future__ import annotations

import math

from triggerkit.core.model import Now
from triggerkit.runtime.deadline import ActingDeadline


class HandClock:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> Now:
        return Now(self.seconds, self.seconds)

    def observe_service_time(self, service_seconds: float) -> None:
        pass


def test_confirmed_beats_set_no_end() -> None:
    clock = HandClock()
    deadline = ActingDeadline(clock)
    for _ in range(10):
        deadline.beat_confirmed(clock.seconds + 4.8)
        clock.seconds += 1.5
        assert deadline() == math.inf


def test_beats_that_stay_away_set_the_self_fence_as_the_end() -> None:
    clock = HandClock()
    deadline = ActingDeadline(clock)
    deadline.beat_confirmed(104.8)
    clock.seconds = 103.1
    assert deadline() == 104.8


def test_a_drain_sets_an_end() -> None:
    clock = HandClock()
    deadline = ActingDeadline(clock)
    deadline.beat_confirmed(104.8)
    deadline.drain_until(125.0)
    assert deadline() == 125.0
