"""Where blocking calls and handlers run: threads of its own for each kind of work.

The threads are daemons: a call that hangs in a socket or a handler cannot hold up the exit of a
worker that has drained. (The standard executor joins its threads at exit, hence our own few lines.)

A synchronous handler finds an event loop on its thread as on Lambda: set, and not running. Some libraries call
`asyncio.get_event_loop().run_until_complete(...)` in a handler, others `asyncio.run(...)`; both work in every
call, whatever the call before has done with the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import TypeVar

from triggerkit.errors import InternalError

T = TypeVar("T")

LAST_STEPS_SECONDS = 1.0
"""How long an idle handler thread may take to close its event loop."""


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


class ThreadRunner:
    """Implements `ports.Runner` on at most `threads` daemon threads, first come first served.

    `for_handlers`: blocking code of the user's finds an event loop set on its thread, and the context variables
    that its module has set while it was imported.
    """

    def __init__(self, name: str, threads: int, *, for_handlers: bool = False) -> None:
        self._name = name
        self._limit = threads
        self._for_handlers = for_handlers
        self._context = copy_context() if for_handlers else Context()
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
            except RuntimeError:  # the loop is closed: the result is not awaited any more
                self._unfinished -= 1

        self._unfinished += 1
        self._queue.put(perform)
        if len(self._threads) < min(self._limit, self._unfinished):
            self._grow()
        return await future

    def close(self) -> None:
        """Accept no more calls; threads end after the calls already accepted. Does not wait."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)

    def join(self, wait_seconds: float) -> None:
        """After `close`: wait for the end of the threads, unless a call still holds one."""
        if not self.busy:
            for thread in self._threads:
                thread.join(wait_seconds)

    def _settle(self, settle: Callable[[], None]) -> None:
        self._unfinished -= 1
        settle()

    def _grow(self) -> None:
        name = f"triggerkit-{self._name}-{len(self._threads) + 1}"
        context = self._context.copy()
        thread = threading.Thread(target=lambda: context.run(self._serve), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        loop = ThreadLoop() if self._for_handlers else None
        while (perform := self._queue.get()) is not None:
            if loop is not None:
                loop.offer()
            perform()
            del perform  # else the last call's arguments and result live until the next call
        if loop is not None:
            loop.close()


def _performed(call: Callable[[], T], future: asyncio.Future[T]) -> Callable[[], None]:
    """Perform `call`; what the loop has to do with the outcome."""
    error: Exception
    try:
        result = call()
    except StopIteration as stop:  # a future refuses this one
        error = RuntimeError("the call raised StopIteration")
        error.__cause__ = stop
    except Exception as raised:  # noqa: BLE001 - raised where the result is awaited
        error = raised
    except BaseException as raised:  # noqa: BLE001 - must end neither this thread nor the loop
        error = InternalError(f"a pooled call raised {type(raised).__name__}")
        error.__cause__ = raised
    else:
        return lambda: None if future.done() else future.set_result(result)
    failure = error
    return lambda: None if future.done() else future.set_exception(failure)


class HandlerLoop:
    """The loop that all async handlers of the process share, in a daemon thread of its own.

    Started by the first use. Implements `invokers.places.CoroutineRunner`.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._on_end: Callable[[], None] | None = None

    async def __call__(self, start: Callable[[], Coroutine[object, None, T]], /) -> T:
        """Run `start()` as a task of that loop; cancelling the wait cancels the task.

        Raises:
            InternalError: it is closed.
        """
        if self._closing:
            raise InternalError("the handler loop is closed")
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            name = "triggerkit-handler-loop"
            threading.Thread(target=self._serve, args=(self._loop,), name=name, daemon=True).start()

        async def begin() -> T:
            return await start()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(begin(), self._loop))

    async def close(self, wait_seconds: float = 5.0) -> None:
        """Cancel what still runs, close the loop, and wait so long for that at most."""
        first, self._closing = not self._closing, True
        if not first or self._loop is None:
            return
        mine = asyncio.get_running_loop()
        ended: asyncio.Future[None] = mine.create_future()

        def settle() -> None:
            if not ended.done():
                ended.set_result(None)

        def on_end() -> None:
            with suppress(RuntimeError):  # the engine's loop is closed: it has not waited
                mine.call_soon_threadsafe(settle)

        self._loop.call_soon_threadsafe(self._stop, self._loop, on_end)
        await asyncio.wait({ended}, timeout=wait_seconds)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            while self._on_end is None:
                # A task of the user's may raise these or stop the loop: the others must go on.
                with suppress(SystemExit, KeyboardInterrupt):
                    loop.run_forever()
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            if self._on_end is not None:
                self._on_end()

    def _stop(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        loop.stop()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    while rest := asyncio.all_tasks(loop):
        for task in rest:
            task.cancel()
        with suppress(SystemExit, KeyboardInterrupt, RuntimeError):  # one of them stops the loop
            loop.run_until_complete(asyncio.wait(rest))


class HandlerThreads:
    """Implements `invokers.places.Places` with real threads; `close` it after the last invoker."""

    def __init__(self) -> None:
        self._loop = HandlerLoop()
        self._runners: list[ThreadRunner] = []

    def threads(self, name: str, count: int) -> ThreadRunner:
        """`count` threads of the sync trigger `name`, for its calls alone."""
        runner = ThreadRunner(f"handler-{name}", count, for_handlers=True)
        self._runners.append(runner)
        return runner

    @property
    def loop(self) -> HandlerLoop:
        """The one loop that all async triggers of the process share."""
        return self._loop

    async def close(self) -> None:
        """Let the threads end; one that a handler never gives back dies with the process."""
        for runner in self._runners:
            runner.close()
        await self._loop.close()
        for runner in self._runners:  # idle, so they end at once: their event loops are closed
            runner.join(LAST_STEPS_SECONDS)
