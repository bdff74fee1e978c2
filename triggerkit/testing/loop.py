"""An asyncio loop in virtual time. When nothing is ready, the clock jumps to the next timer.

The ready queue keeps asyncio's own order, so runs are repeatable; nothing really sleeps. What
a thread would do is done at once, in place: `asyncio.to_thread` and executors return a finished future.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack

from triggerkit.errors import SimulationError
from triggerkit.testing.clock import VirtualClock

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class JumpingSelector(selectors.BaseSelector):
    """Never waits: it moves the clock by as long as it was asked to wait."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._keys: dict[FileDescriptorLike, selectors.SelectorKey] = {}

    def register(
        self, fileobj: FileDescriptorLike, events: int, kept: object = None
    ) -> selectors.SelectorKey:
        """Take in the loop's own wake-up pipe, and nothing else.

        Raises:
            SimulationError: user code opens a connection on the loop.
        """
        if self._keys:
            raise SimulationError(
                "a connection was opened on the simulation's loop, where time is virtual",
                hint="give the handler a fake client: through lifespan, or as a default argument",
            )
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, number, events, kept)
        self._keys[number] = key
        return key

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """Let it go again."""
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let `timeout` seconds pass; no file is ever ready.

        Raises:
            SimulationError: there is no timer either, so nothing would ever happen again.
        """
        if timeout is None:
            raise SimulationError(
                "the simulation waits for what can never come",
                hint="a handler awaits a future, an event or a thread that nobody in here will end",
            )
        if timeout > 0:
            self._clock.pass_seconds(timeout)
        return []

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        """What is registered, by number."""
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs in the time of `clock`; timers, timeouts and sleeps cost nothing."""

    def __init__(self, clock: VirtualClock) -> None:
        self._virtual_clock = clock
        super().__init__(JumpingSelector(clock))

    def time(self) -> float:
        """Monotonic virtual seconds."""
        return self._virtual_clock.monotonic_seconds

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call in place: what a thread does is done when this returns."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001 - carried to the one who awaits
            future.set_exception(error)
        else:
            future.set_result(result)
        return future
