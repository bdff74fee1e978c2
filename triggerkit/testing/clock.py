"""The time of a simulation. It moves when the loop has nothing else to do.

One clock serves the workers (`ports.Clock`) and the emulator (`emulator.Clock`), so a lease, an
iterator and a record's age all use the same time.
"""

from __future__ import annotations

from triggerkit.core.model import Now
from triggerkit.runtime.clock import SystemClock

START_SECONDS = 1_800_000_000.0
"""Service time at the start of every simulation: 2027-01-15T08:00:00Z."""


class VirtualClock:
    """Monotonic time that the loop moves, and service time beside it."""

    def __init__(self, start_seconds: float = START_SECONDS) -> None:
        self.monotonic_seconds = 0.0
        self._service_at_zero_seconds = start_seconds

    def now(self) -> Now:
        """The present moment, for workers."""
        return Now(self.monotonic_seconds, self.now_seconds())

    def now_seconds(self) -> float:
        """The present moment, for the emulator (UNIX seconds)."""
        return self._service_at_zero_seconds + self.monotonic_seconds

    @property
    def first_service_seconds(self) -> float:
        """See `Clock`."""
        return self.now().service_seconds

    def observe_service_time(self, service_seconds: float) -> None:
        """Nothing to learn: there is one clock."""

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass for everybody."""
        self.monotonic_seconds += seconds

    def advance(self, seconds: float) -> None:
        """Let service time leap: records and iterators age, while no worker notices a pause.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock moves forward only, got {seconds} seconds")
        self._service_at_zero_seconds += seconds


class HostClock:
    """Implements `ports.Clock`: the one that runs in production, on a host whose own clocks are set otherwise.

    Args:
        clock: the world's.
        zero_seconds: what the host's monotonic clock read when the world began.
        rate: how fast it goes.
        wall_offset_seconds: how wrong the host's wall clock is.
    """

    def __init__(
        self, clock: VirtualClock, zero_seconds: float, rate: float, wall_offset_seconds: float
    ) -> None:
        self._clock = clock
        self._zero_seconds = zero_seconds
        self._rate = rate
        wall_seconds = clock.now_seconds() + wall_offset_seconds
        self._system = SystemClock(lambda: self.monotonic_seconds, lambda: wall_seconds)

    @property
    def monotonic_seconds(self) -> float:
        """What the host's monotonic clock reads."""
        return self._zero_seconds + self._rate * self._clock.monotonic_seconds

    def now(self) -> Now:
        """See `Clock`."""
        return self._system.now()

    @property
    def first_service_seconds(self) -> float:
        """See `Clock`."""
        return self._system.first_service_seconds

    def observe_service_time(self, service_seconds: float) -> None:
        """See `Clock`."""
        self._system.observe_service_time(service_seconds)
