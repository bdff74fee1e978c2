"""Calls and handlers of a simulation run in place, on its loop: nothing blocks, and every run repeats itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from triggerkit.runtime.pools import ThreadLoop

T = TypeVar("T")


class InlineRunner:
    """Implements `ports.Runner`."""

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Call now, on the loop."""
        return call()


class InlineThread:
    """Implements `ports.Runner` by calling in place, on the loop, as if no loop ran."""

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


class InlineHandlers:
    """Implements `invokers.places.Places` on the calling loop itself."""

    def __init__(self) -> None:
        self._threads: list[InlineThread] = []

    def threads(self, name: str, count: int) -> InlineThread:  # noqa: ARG002 - there are none
        """A runner that calls in place, where sync handlers see no running loop."""
        thread = InlineThread()
        self._threads.append(thread)
        return thread

    @property
    def loop(self) -> InlineLoop:
        """The calling loop."""
        return InlineLoop()

    async def close(self) -> None:
        """Close the event loops that sync handlers have found."""
        for thread in self._threads:
            thread.close()


class InlineLoop:
    """Implements `invokers.places.CoroutineRunner` by awaiting in the calling task."""

    async def __call__(self, start: Callable[[], Coroutine[object, None, T]], /) -> T:
        """Await `start()` here."""
        return await start()


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
