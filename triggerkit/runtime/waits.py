"""How long to wait after a failed call. Rule: a failure is told once, then rarely, until it is over.

Doubles from a quarter of a second to ten seconds for each kind of call and shard, so that an endpoint
that is down costs little and one that comes back is found soon. What is told is told of an operation,
with the number of shards that suffer from it: forty shards on a dead endpoint are one line, not forty.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeAlias

FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 10.0
TELL_AGAIN_SECONDS = 60.0
GATHER_SECONDS = 2.0
"""After the first failure is told: when the others that came meanwhile are told, by their number."""

STALE_SECONDS = 300.0
"""A call that failed and was not made again for so long is made by somebody else now."""

CallKey: TypeAlias = tuple[str, Hashable]
"""The operation, and what it was about: a shard, or None."""


@dataclass(frozen=True, slots=True)
class Streak:
    """Failures in a row of one thing; `kind` is what the last one was, at `at_seconds`."""

    failures: int
    kind: str
    at_seconds: float


@dataclass(frozen=True, slots=True)
class Told:
    """What was said of one kind of failure of an operation: when, and about how many."""

    at_seconds: float
    count: int


@dataclass(frozen=True, slots=True)
class Wait:
    """What to do about one failure: wait so long, and tell it if `tell`, as that of `count` things."""

    seconds: float
    tell: bool
    count: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """The last of `count` things that had failed works again, so long after the first failure."""

    after_seconds: float
    count: int


class Waits:
    """Counts failures in a row, by operation and what it was about."""

    def __init__(self) -> None:
        self._streaks: dict[CallKey, Streak] = {}
        self._told: dict[tuple[str, str], Told] = {}
        self._since: dict[str, float] = {}
        self._touched: dict[str, set[Hashable]] = {}

    def failed(self, key: CallKey, now_seconds: float, kind: str = "") -> Wait:
        """One more failure of `key`; another `kind` of failure is another thing to tell."""
        operation, thing = key
        failures = self._streaks[key].failures if key in self._streaks else 0
        self._streaks[key] = Streak(failures + 1, kind, now_seconds)
        self._since.setdefault(operation, now_seconds)
        self._touched.setdefault(operation, set()).add(thing)
        count = sum(streak.kind == kind for streak in self._failing(operation, now_seconds))
        tell = _is_due(self._told.get((operation, kind)), count, now_seconds)
        if tell:
            self._told[operation, kind] = Told(now_seconds, count)
        seconds = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(failures, 16))
        return Wait(seconds, tell, count)

    def succeeded(self, key: CallKey, now_seconds: float) -> Recovery | None:
        """A success; what to tell when nothing of this operation fails any more."""
        operation = key[0]
        if self._streaks.pop(key, None) is None or self._failing(operation, now_seconds):
            return None
        recovery = Recovery(now_seconds - self._since[operation], len(self._touched[operation]))
        self._close(operation)
        return recovery

    def forget(self, thing: Hashable) -> None:
        """Nobody here will ask about `thing` any more: its failures count no longer."""
        for key in [key for key in self._streaks if key[1] == thing]:
            del self._streaks[key]
            if not any(name == key[0] for name, _ in self._streaks):
                self._close(key[0])

    def _failing(self, operation: str, now_seconds: float) -> list[Streak]:
        return [
            streak
            for (name, _), streak in self._streaks.items()
            if name == operation and now_seconds - streak.at_seconds < STALE_SECONDS
        ]

    def _close(self, operation: str) -> None:
        self._since.pop(operation, None)
        self._touched.pop(operation, None)
        for told in [told for told in self._told if told[0] == operation]:
            del self._told[told]


def _is_due(told: Told | None, count: int, now_seconds: float) -> bool:
    if told is None:
        return True
    since_seconds = now_seconds - told.at_seconds
    more = told.count == 1 < count and since_seconds >= GATHER_SECONDS
    return more or since_seconds >= TELL_AGAIN_SECONDS
