"""What is planned for calls: errors, limits by rate, delays, damage, barriers.

Rule: a plan is taken once for each call that it meets, in the order in which plans were made; a plan for
one shard comes before one for all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from triggerkit.emulator.barriers import Barrier
from triggerkit.emulator.errors import EmulatorError

Key = TypeVar("Key", bound=Hashable)
Planned = TypeVar("Planned")


class Damage(Enum):
    """How an answer is spoiled on its way; the checksum header stays that of the intact body."""

    TRUNCATED = "truncated"
    """The body is half as long, and so says Content-Length."""
    CORRUPTED = "corrupted"
    """Some bytes in the middle are replaced."""
    CUT = "cut"
    """The connection closes in the middle of the body."""
    RESET = "reset"
    """The request is carried out and the connection closes without an answer: the answer is lost."""


@dataclass(slots=True)
class Rate:
    """How often an operation may be called within one second, and with what it is refused above."""

    calls_per_second: float
    error: EmulatorError
    _admitted: deque[float] = field(default_factory=deque)

    def refuses(self, now_seconds: float) -> bool:
        """Tell whether one more call is too many; count it if it is not."""
        while self._admitted and now_seconds - self._admitted[0] >= 1.0:
            self._admitted.popleft()
        if len(self._admitted) >= self.calls_per_second:
            return True
        self._admitted.append(now_seconds)
        return False


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
    rates: dict[str, Rate] = field(default_factory=dict)
    barriers: list[Barrier] = field(default_factory=list)
    barriers_made: int = 0
    by_shard: bool = False
    """Whether any plan is for one shard, so that it is worth looking which one a call is about."""

    def error(self, operation: str, shard: str, now_seconds: float) -> EmulatorError | None:
        """Take what the next call is refused with, if anything."""
        planned = _taken(self.errors, (operation, shard)) if shard else None
        planned = planned or _taken(self.errors, (operation, ""))
        if planned is not None:
            return planned
        rate = self.rates.get(operation)
        return rate.error if rate is not None and rate.refuses(now_seconds) else None

    def refuse(self, operation: str, shard: str, error: EmulatorError, times: int) -> None:
        """Refuse the next `times` calls of an operation."""
        self.errors.setdefault((operation, shard), deque()).extend([error] * times)
        self.by_shard |= bool(shard)

    def damage(self, operation: str) -> Damage | None:
        """Take the next damage of an operation's answers."""
        return _taken(self.damages, operation)

    def delay_seconds(self, operation: str) -> float:
        """Take how long an operation's answer is held back."""
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
        """Let everybody go on who is held."""
        barriers, self.barriers = self.barriers, []
        for barrier in barriers:
            barrier.release()


def _taken(plans: dict[Key, deque[Planned]], key: Key) -> Planned | None:
    waiting = plans.get(key)
    return waiting.popleft() if waiting else None
