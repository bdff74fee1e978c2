"""The process's clock: monotonic time for waits and order, service time for the age of records.

Service time is monotonic time plus an offset learnt from the `Date` headers of answers. The host's
wall clock gives the first guess of that offset, good only until the first answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from triggerkit.core.model import Now

_HALF_RESOLUTION_SECONDS = 0.5  # `Date` is cut to whole seconds: the middle is the least wrong
_TOLERANCE_SECONDS = 1.0


def monotonic_seconds() -> float:
    """Monotonic seconds that go on while the machine sleeps, where the system has such a clock.

    A laptop that slept must find its leases expired, hence CLOCK_BOOTTIME on Linux.
    """
    boottime: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class SystemClock:
    """Implements `ports.Clock` for a real process; may be called on any thread."""

    def __init__(
        self,
        monotonic: Callable[[], float] = monotonic_seconds,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._offset_seconds = wall() - monotonic()
        self._first_service_seconds: float | None = None

    def now(self) -> Now:
        """The present moment."""
        monotonic = self._monotonic()
        return Now(monotonic, monotonic + self._offset_seconds)

    @property
    def first_service_seconds(self) -> float:
        """What the first answer said, as it said it: no clock of this host is in it."""
        first = self._first_service_seconds
        return self.now().service_seconds if first is None else first

    def observe_service_time(self, service_seconds: float) -> None:
        """Learn the services' clock from the `Date` of an answer just received.

        The header counts whole seconds, so an offset that agrees with it within one second
        stays: service time runs as smoothly as monotonic time. A larger difference replaces the
        offset, and service time may go back.
        """
        if self._first_service_seconds is None:
            self._first_service_seconds = service_seconds
        observed = service_seconds + _HALF_RESOLUTION_SECONDS - self._monotonic()
        if abs(observed - self._offset_seconds) > _TOLERANCE_SECONDS:
            self._offset_seconds = observed
