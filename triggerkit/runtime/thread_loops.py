"""The event loop that a synchronous handler finds, as on Lambda: set on its thread, and not running.

Libraries for Lambda call `asyncio.get_event_loop().run_until_complete(...)` in a handler, others
`asyncio.run(...)`. Both must work in every call, whatever the call before has done with the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class ThreadLoop:
    """An event loop for the blocking code of one thread; made by the first `offer`."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def offer(self) -> None:
        """Set an open loop on this thread, unless the user's code has set one that is open.

        `asyncio.run` leaves none behind, hence before each call.
        """
        with suppress(RuntimeError):  # none is set
            if not asyncio.get_event_loop().is_closed():
                return
        asyncio.set_event_loop(self.open())

    def open(self) -> asyncio.AbstractEventLoop:
        """The loop; a new one where the user's code has closed the last."""
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        return self._loop

    def close(self) -> None:
        """Cancel the tasks that were left on the loop, and close it; on the same thread."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            with suppress(SystemExit, KeyboardInterrupt, RuntimeError):  # user code once more
                if left:
                    loop.run_until_complete(asyncio.wait(left))
                loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


class InlineThread:
    """Implements `ports.Runner` for simulations: calls in place, on the loop, as if no loop ran."""

    def __init__(self) -> None:
        self._own = ThreadLoop()

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Call now; `asyncio.run` and `asyncio.get_event_loop` work inside as on a handler thread."""

        def perform() -> T:
            before = _loop_set_here()
            asyncio.set_event_loop(self._own.open())
            try:
                return call()
            finally:
                asyncio.set_event_loop(before)

        return without_running_loop(perform)

    def close(self) -> None:
        """Close the loop that calls have found."""
        without_running_loop(self._own.close)


def without_running_loop(call: Callable[[], T]) -> T:
    """Call a function in a task of the running loop, which it does not see."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:  # Python 3.14 keeps one task a thread, not one a loop
        asyncio.tasks._leave_task(loop, task)  # noqa: SLF001 - documented for those who drive loops
    asyncio._set_running_loop(None)  # noqa: SLF001 - the same
    try:
        return call()
    finally:
        asyncio._set_running_loop(loop)  # noqa: SLF001
        if task is not None:
            asyncio.tasks._enter_task(loop, task)  # noqa: SLF001


def _loop_set_here() -> asyncio.AbstractEventLoop | None:
    """What `set_event_loop` last set here; asking asyncio might make one, which nobody would close."""
    policy = asyncio.events._event_loop_policy  # type: ignore[attr-defined]  # noqa: SLF001
    found: asyncio.AbstractEventLoop | None = getattr(
        getattr(policy, "_local", None), "_loop", None
    )
    return found
