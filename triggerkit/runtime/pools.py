"""Where blocking calls run. Rule: each kind of work has threads of its own, and none outlives exit.

The threads are daemons: a call that hangs in a socket or a handler cannot hold up the exit of a
worker that has drained. (The standard executor joins its threads at exit, hence our own few lines.)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from triggerkit.errors import InternalError

T = TypeVar("T")


class ThreadRunner:
    """Implements `ports.Runner` on at most `threads` daemon threads, first come first served."""

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._limit = threads
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a call runs or waits."""
        return self._unfinished > 0

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Run `call` on a thread of this pool; a cancelled wait leaves the call running.

        Raises:
            InternalError: the pool is closed, or the call tried to end the process.
            Exception: whatever `call` raises.
        """
        if self._closed:
            raise InternalError(f"the pool {self._name!r} is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def perform() -> None:
            settle = _performed(call, future)
            try:
                loop.call_soon_threadsafe(self._settle, settle)
            except RuntimeError:  # the loop is closed: nobody waits any more
                self._unfinished -= 1

        self._unfinished += 1
        self._queue.put(perform)
        if len(self._threads) < min(self._limit, self._unfinished):
            self._grow()
        return await future

    def close(self) -> None:
        """Accept no more calls; threads end behind the calls already accepted. Does not wait."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)

    def _settle(self, settle: Callable[[], None]) -> None:
        self._unfinished -= 1
        settle()

    def _grow(self) -> None:
        name = f"triggerkit-{self._name}-{len(self._threads) + 1}"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while (perform := self._queue.get()) is not None:
            perform()
            del perform  # else the last call's arguments and result live until the next call


def _performed(call: Callable[[], T], future: asyncio.Future[T]) -> Callable[[], None]:
    """Perform `call`; what the loop has to do with the outcome."""
    error: Exception
    try:
        result = call()
    except StopIteration as stop:  # a future refuses this one
        error = RuntimeError("the call raised StopIteration")
        error.__cause__ = stop
    except Exception as raised:  # noqa: BLE001 - carried to the one who waits
        error = raised
    except BaseException as raised:  # noqa: BLE001 - must end neither this thread nor the loop
        error = InternalError(f"a pooled call raised {type(raised).__name__}")
        error.__cause__ = raised
    else:
        return lambda: None if future.done() else future.set_result(result)
    failure = error
    return lambda: None if future.done() else future.set_exception(failure)


class InlineRunner:
    """Implements `ports.Runner` by calling in place: for simulations, where nothing blocks."""

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Call now, on the loop."""
        return call()
