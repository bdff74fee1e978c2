"""Barriers: a call that is held until a test lets it go.

A call that is held holds neither the emulator's lock nor a thread of the HTTP server. No call is held for ever:
`release`, `Faults.clear`, closing the emulator and the time limit all end it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from triggerkit.errors import UsageError

LONGEST_HOLD_SECONDS = 60.0
"""Real seconds, as long as boto3 waits for an answer."""


class Barrier:
    """Holds the next call of `operation`, on `shard` if one is named, else on any.

    With `behind` the call is held when it has been carried out, so that its answer is late; else before it is.
    `wait_reached` waits until a call is there, `release` lets it go on. A call in process waits in its own thread,
    so another thread must release it; one over HTTP costs no thread. Both methods may be called from any thread,
    and more than once.
    """

    def __init__(self, operation: str, behind: bool, shard: str, number: int) -> None:
        self.operation = operation
        self.behind = behind
        self.shard = shard
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
        """Whether it holds no call any more."""
        return self._released.is_set()

    def wait_reached(self, timeout_seconds: float = 10.0) -> None:
        """Wait until a call has come to it.

        Raises:
            TimeoutError: none came within `timeout_seconds` (real ones).
        """
        if not self._reached.wait(timeout_seconds):
            raise TimeoutError(f"no call of {self.operation} came within {timeout_seconds} s")

    def release(self) -> None:
        """Let the call go on, now or when it comes."""
        with self._lock:
            self._released.set()
            waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            go_on()

    def claim(self, operation: str, shard: str, *, behind: bool) -> bool:
        """Take it for this call; returns whether it is meant, and neither taken nor released yet."""
        if (operation, behind) != (self.operation, self.behind) or self.shard not in ("", shard):
            return False
        with self._lock:
            free = not self._claimed and not self.released
            self._claimed = True
            return free

    def hold(self) -> bool:
        """Wait in this thread until released; returns whether it was, within the time limit.

        Raises:
            UsageError: this thread made the barrier, so that nothing could release it.
        """
        self._reached.set()
        if self.released:
            return True
        if threading.get_ident() == self._maker:
            raise UsageError(
                f"{self.operation} is called by the thread that made its barrier, and would wait for "
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
