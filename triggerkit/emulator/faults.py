"""Faults on command: what a test plans here, clients of the emulator meet.

Rule: a fault is planned in advance, counted, and named by operation; nothing here happens by chance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from triggerkit.emulator.errors import EmulatorError

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
    """The request is carried out and the connection closes without an answer."""


@dataclass(slots=True)
class Faults:
    """Everything that is planned. `latency_seconds` names the delay of each answer over HTTP."""

    latency_seconds: Callable[[str], float] | None = None
    iterator_generation: int = 0
    _errors: dict[str, deque[EmulatorError]] = field(default_factory=dict)
    _damages: dict[str, deque[Damage]] = field(default_factory=dict)
    _hidden: set[str] = field(default_factory=set)

    def throttle(self, operation: str, times: int = 1, type: str = "") -> None:
        """Refuse the next `times` calls of `operation`, as a too busy service does.

        `type` is ThrottlingException unless given; GetRecords also answers LimitExceededException.
        """
        error_type = type or "ThrottlingException"
        self.fail(operation, EmulatorError(error_type, "Rate of requests exceeded"), times)

    def fail(self, operation: str, error: EmulatorError, times: int = 1) -> None:
        """Answer the next `times` calls of `operation` with `error`; nothing is carried out."""
        self._errors.setdefault(operation, deque()).extend([error] * times)

    def damage(self, operation: str, how: Damage, times: int = 1) -> None:
        """Spoil the next `times` answers of `operation`, in process and over HTTP."""
        self._damages.setdefault(operation, deque()).extend([how] * times)

    def hide(self, shard_id: str) -> None:
        """Leave a shard out of every listing, as an eventually consistent listing does (S-11)."""
        self._hidden.add(shard_id)

    def show(self, shard_id: str) -> None:
        """List a hidden shard again."""
        self._hidden.discard(shard_id)

    def expire_iterators(self) -> None:
        """Make every shard iterator handed out so far answer ExpiredIteratorException."""
        self.iterator_generation += 1

    def clear(self) -> None:
        """Forget everything that is planned or hidden."""
        self.latency_seconds = None
        self._errors.clear()
        self._damages.clear()
        self._hidden.clear()

    def planned_error(self, operation: str) -> EmulatorError | None:
        """Take the next planned error of an operation."""
        return _taken(self._errors, operation)

    def planned_damage(self, operation: str) -> Damage | None:
        """Take the next planned damage of an operation."""
        return _taken(self._damages, operation)

    def hides(self, shard_id: str) -> bool:
        """Tell whether listings leave this shard out."""
        return shard_id in self._hidden

    def delay_seconds(self, operation: str) -> float:
        """Return how long an answer of `operation` is held back."""
        return 0.0 if self.latency_seconds is None else self.latency_seconds(operation)


def _taken(plans: dict[str, deque[Planned]], operation: str) -> Planned | None:
    waiting = plans.get(operation)
    return waiting.popleft() if waiting else None
