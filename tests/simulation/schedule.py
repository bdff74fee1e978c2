"""Virtual time. What happens next depends on the seed alone.

All times here are `t`, seconds since the world began; a worker reads its own clock, which has another
zero and a slightly different rate.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from triggerkit.core.model import Now

SERVICE_START_SECONDS = 1_700_000_000.0


class Schedule:
    """Calls in order of time; calls of one moment in the order in which they were asked for."""

    def __init__(self) -> None:
        self.t = 0.0
        self.events = 0
        self.skipped_seconds = 0.0
        """How far the services' clock ran ahead by itself."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._asked = 0

    @property
    def service_seconds(self) -> float:
        """The services' clock."""
        return SERVICE_START_SECONDS + self.t + self.skipped_seconds

    def at(self, t: float, call: Callable[[], None]) -> None:
        self._asked += 1
        heapq.heappush(self._heap, (max(t, self.t), self._asked, call))

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self.at(self.t + seconds, call)

    def run_until(self, end: float, is_over: Callable[[], bool] | None = None) -> bool:
        """Run all calls before `end`, or until `is_over` says so, asked once a second."""
        ask_at = self.t
        while self._heap and self._heap[0][0] < end:
            if is_over is not None and self._heap[0][0] >= ask_at:
                ask_at = self._heap[0][0] + 1.0
                if is_over():
                    return True
            self.t, _, call = heapq.heappop(self._heap)
            self.events += 1
            call()
        self.t = end
        return is_over is not None and is_over()


@dataclass(frozen=True, slots=True)
class WorkerClock:
    """One worker's monotonic clock: `zero` apart, and up to a percent fast or slow."""

    schedule: Schedule
    zero_seconds: float
    rate: float

    def now(self) -> Now:
        return Now(self.monotonic_seconds, self.schedule.service_seconds)

    @property
    def monotonic_seconds(self) -> float:
        return self.zero_seconds + self.rate * self.schedule.t

    def t_of(self, monotonic_seconds: float) -> float:
        return (monotonic_seconds - self.zero_seconds) / self.rate
