"""Barriers: a call that is held until a test lets it go.

Rule: a call that is held holds nothing: not the emulator's lock, and no thread of the HTTP server. Nobody
is held for ever: `release`, `Faults.clear`, closing the emulator and the time limit all end it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from triggerkit.errors import UsageError

LONGEST_HOLD_SECONDS = 60.0
"""Real seconds, as long as boto3 waits for an answer."""


@dataclass(frozen=True, slots=True)
class HeldAt:
    """Which call a barrier takes: the next one of `operation`, on `shard` if one is named."""

    operation: str
    behind: bool = False
    """Held when it has been carried out already, so that its answer is late; else before it is."""
    shard: str = ""

    def takes(self, operation: str, shard: str, *, behind: bool) -> bool:
        """Tell whether this is such a call."""
        same_shard = not self.shard or self.shard == shard
        return self.operation == operation and self.behind == behind and same_shard


class Barrier:
    """Holds one call. `wait_reached` waits until it is there, `release` lets it go on.

    A call in process waits in its own thread, so another thread must release it; one over HTTP costs no
    thread. Both handles may be used from any thread, and as often as one likes.
    """

    def __init__(self, at: HeldAt, number: int) -> None:
        self.at = at
        self.number = number
        self._maker = threading.get_ident()
        self._reached = threading.Event()
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._claimed = False
        self._waiting: list[Callable[[], None]] = []

    @property
    def reached(self) -> bool:
        """Whether a call has come to it."""
        return self._reached.is_set()

    @property
    def released(self) -> bool:
        """Whether it holds nobody any more."""
        return self._released.is_set()

    def wait_reached(self, timeout_seconds: float = 10.0) -> None:
        """Wait until a call has come to it.

        Raises:
            TimeoutError: none came within `timeout_seconds` (real ones).
        """
        if not self._reached.wait(timeout_seconds):
            raise TimeoutError(f"no call of {self.at.operation} came within {timeout_seconds} s")

    def release(self) -> None:
        """Let the call go on, now or when it comes."""
        with self._lock:
            self._released.set()
            waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            go_on()

    def claim(self) -> bool:
        """Take it for one call; returns whether it was free, and not released yet."""
        with self._lock:
            free = not self._claimed and not self.released
            self._claimed = True
            return free

    def hold(self) -> bool:
        """Wait in this thread until released; returns whether it was, within the time limit.

        Raises:
            UsageError: this thread made the barrier, so that nobody could release it.
        """
        self._reached.set()
        if self.released:
            return True
        if threading.get_ident() == self._maker:
            raise UsageError(
                f"{self.at.operation} is called by the thread that made its barrier, and would wait for "
                "itself",
                hint="call from another thread, or over HTTP, or release the barrier first",
            )
        return self._released.wait(LONGEST_HOLD_SECONDS)

    def when_released(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` once it is released, in the thread that does it; at once if it is already."""
        self._reached.set()
        with self._lock:
            if not self.released:
                self._waiting.append(go_on)
                return
        go_on()
