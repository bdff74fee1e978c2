"""Where the emulator's time comes from.

Rule: nothing in the emulator reads the time but through a `Clock`; retention, iterator expiry, shard
ids, stream labels and the `Date` header all follow it, so a test moves a day in no time.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """UNIX time in seconds that can be moved forward."""

    def now_seconds(self) -> float:
        """Return the present, in UNIX seconds."""
        ...

    def advance(self, seconds: float) -> None:
        """Move the present forward by `seconds`."""
        ...


class RealClock:
    """The host's clock; `advance` adds to it, so a running endpoint can be taken past a retention."""

    __slots__ = ("_ahead_seconds",)

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    def now_seconds(self) -> float:
        """Return the host's time plus what was advanced."""
        return time.time() + self._ahead_seconds

    def advance(self, seconds: float) -> None:
        """Move the present forward by `seconds`.

        Raises:
            ValueError: `seconds` is negative.
        """
        self._ahead_seconds += _forward(seconds)


class VirtualClock:
    """A clock that stands still until it is advanced."""

    __slots__ = ("_seconds",)

    def __init__(self, start_seconds: float = 1_800_000_000.0) -> None:
        self._seconds = start_seconds

    def now_seconds(self) -> float:
        """Return the virtual present."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Move the present forward by `seconds`.

        Raises:
            ValueError: `seconds` is negative.
        """
        self._seconds += _forward(seconds)


def _forward(seconds: float) -> float:
    if seconds < 0:
        raise ValueError(f"a clock moves forward only, got {seconds} seconds")
    return seconds
