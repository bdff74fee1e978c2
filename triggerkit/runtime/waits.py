"""How long to wait after a failed call. Rule: a failure is told once, then rarely, until it is over.

Doubles from a quarter of a second to ten seconds for each kind of call and shard, so that an endpoint
that is down costs little and one that comes back is found soon.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 10.0
TELL_AGAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Streak:
    """Failures in a row of one thing."""

    failures: int
    since_seconds: float
    told_at_seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """What to do about one failure: wait so long, and whether to tell it."""

    seconds: float
    tell: bool


class Waits:
    """Counts failures in a row, by key."""

    def __init__(self) -> None:
        self._streaks: dict[Hashable, Streak] = {}

    def failed(self, key: Hashable, now_seconds: float) -> Wait:
        """One more failure of `key`."""
        streak = self._streaks.get(key) or Streak(0, now_seconds, float("-inf"))
        tell = now_seconds - streak.told_at_seconds >= TELL_AGAIN_SECONDS
        told_at = now_seconds if tell else streak.told_at_seconds
        self._streaks[key] = Streak(streak.failures + 1, streak.since_seconds, told_at)
        seconds = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(streak.failures, 16))
        return Wait(seconds, tell)

    def succeeded(self, key: Hashable, now_seconds: float) -> float | None:
        """A success; how long `key` had been failing, or None when it had not."""
        streak = self._streaks.pop(key, None)
        return None if streak is None else now_seconds - streak.since_seconds
