"""What is planned for calls: errors, limits by rate, delays, damage, barriers.

A plan counts for one call, in the order in which plans were made; a plan for one shard comes before one for all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from triggerkit.emulator.barriers import Barrier
from triggerkit.emulator.errors import EmulatorError
from triggerkit.emulator.reading import Rates

Key = TypeVar("Key", bound=Hashable)
Planned = TypeVar("Planned")


class Damage(Enum):
    """How an answer is damaged on its way; the checksum header stays that of the intact body."""

    TRUNCATED = "truncated"
    """The body is half as long, and so says Content-Length."""
    CORRUPTED = "corrupted"
    """Some bytes in the middle are replaced."""
    CUT = "cut"
    """The connection closes in the middle of the body."""
    RESET = "reset"
    """The request is carried out and the connection closes without an answer: the answer is lost."""


@dataclass(slots=True)
class Delay:
    """How long answers are held back; `times` is None for all of them."""

    seconds: float
    times: int | None = None


@dataclass(slots=True)
class CallPlans:
    """All plans; errors by operation and shard, "" for every shard."""

    errors: dict[tuple[str, str], deque[EmulatorError]] = field(default_factory=dict)
    damages: dict[str, deque[Damage]] = field(default_factory=dict)
    delays: dict[str, Delay] = field(default_factory=dict)
    rates: dict[str, tuple[Rates, EmulatorError]] = field(default_factory=dict)
    barriers: list[Barrier] = field(default_factory=list)
    barriers_made: int = 0
    by_shard: bool = False
    """Whether any plan is for one shard, so that the shard of each call must be found."""

    def error(
        self, operation: str, shard: str = "", now_seconds: float = 0.0
    ) -> EmulatorError | None:
        """Return what the next call is refused with, if anything, and count it."""
        planned = _taken(self.errors, (operation, shard)) if shard else None
        planned = planned or _taken(self.errors, (operation, ""))
        if planned is not None:
            return planned
        rates, error = self.rates.get(operation, (None, None))
        if rates is None or rates.excess(operation, now_seconds):
            return error
        rates.count(operation, now_seconds)
        return None

    def refuse(self, operation: str, shard: str, error: EmulatorError, times: int) -> None:
        """Refuse the next `times` calls of an operation."""
        self.errors.setdefault((operation, shard), deque()).extend([error] * times)
        self.by_shard |= bool(shard)

    def damage(self, operation: str) -> Damage | None:
        """Return how the next answer of an operation is damaged, if it is, and count it."""
        return _taken(self.damages, operation)

    def delay_seconds(self, operation: str) -> float:
        """Return how long the next answer of an operation is held back, and count it."""
        delay = self.delays.get(operation)
        if delay is None:
            return 0.0
        if delay.times is not None:
            delay.times -= 1
            if delay.times <= 0:
                del self.delays[operation]
        return delay.seconds

    def make_barrier(self, operation: str, behind: bool, shard: str) -> Barrier:
        """Return a new barrier; the next call that it is for takes it."""
        self.barriers_made += 1
        self.by_shard |= bool(shard)
        self.barriers = [barrier for barrier in self.barriers if not barrier.released]
        barrier = Barrier(operation, behind, shard, self.barriers_made)
        self.barriers.append(barrier)
        return barrier

    def barrier(self, operation: str, shard: str, *, behind: bool) -> Barrier | None:
        """Return the first barrier that takes this call."""
        claimed = (each for each in self.barriers if each.claim(operation, shard, behind=behind))
        return next(claimed, None)

    def release_all(self) -> None:
        """Let every call go on that is held."""
        barriers, self.barriers = self.barriers, []
        for barrier in barriers:
            barrier.release()


def _taken(plans: dict[Key, deque[Planned]], key: Key) -> Planned | None:
    waiting = plans.get(key)
    return waiting.popleft() if waiting else None
