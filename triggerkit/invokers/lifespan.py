"""The lifespan of a group of triggers: entered once, where handlers run, and left by the last one.

An async context manager lives in one task of the handler loop, from enter to exit, so that task
groups and cancel scopes inside it are sound. A sync one is entered and left on the thread of the
trigger that started first (for an async trigger, on the handler loop's thread).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from structlog.typing import FilteringBoundLogger

from triggerkit.errors import HandlerError
from triggerkit.invokers.capture import capturing
from triggerkit.invokers.endings import fault_of, without_own_frames
from triggerkit.invokers.places import CoroutineRunner
from triggerkit.ports import Runner

T = TypeVar("T")
SyncLife: TypeAlias = AbstractContextManager[object]
AsyncLife: TypeAlias = AbstractAsyncContextManager[object]
LifespanFactory: TypeAlias = Callable[[], SyncLife | AsyncLife]

LEAVE_LIMIT_SECONDS = 5.0
"""A thread that a handler never gives back must not hold up the exit for longer."""


@dataclass(frozen=True, slots=True)
class _Raised:
    """What user code raised, carried across threads as a value: not even SystemExit may escape."""

    error: BaseException


class Lifespan:
    """One `lifespan=` of the user's, shared by all triggers of its group in this process.

    Used on the engine's loop only. `name` is the group's, for messages.
    """

    def __init__(self, name: str, factory: LifespanFactory, log: FilteringBoundLogger) -> None:
        self._name = name
        self._factory = factory
        self._log = log
        self._lock = asyncio.Lock()
        self._users = 0
        self._resources: object = None
        self._exit: Callable[[], Coroutine[object, None, None]] | None = None

    async def enter(self, call: Runner, run: CoroutineRunner) -> object:
        """Enter it unless it is entered; what it yielded.

        Args:
            call: where the handlers of the trigger that starts live.
            run: the handler loop.

        Raises:
            HandlerError: it raised, or is no context manager. The cause is the user's exception.
        """
        async with self._lock:
            if self._users == 0:
                await self._open(call, run)
            self._users += 1
            return self._resources

    async def leave(self) -> None:
        """Leave it if this was the last trigger; what it raises then is logged, not raised."""
        async with self._lock:
            self._users -= 1
            if self._users or self._exit is None:
                return
            leaving, self._exit, self._resources = self._exit, None, None
            try:
                async with asyncio.timeout(LEAVE_LIMIT_SECONDS):
                    await leaving()
            except TimeoutError:
                self._log.warning("lifespan_not_left", group=self._name)

    async def _open(self, call: Runner, run: CoroutineRunner) -> None:
        life = self._result(await call(lambda: self._guarded(self._factory)))
        if isinstance(life, AbstractAsyncContextManager):
            await self._enter_async(life, run)
        elif isinstance(life, AbstractContextManager):
            await self._enter_sync(life, call)
        else:
            raise HandlerError(
                f"lifespan of {self._name!r} returned {life!r}, not a context manager",
                hint="put @contextmanager or @asynccontextmanager above it",
            )

    async def _enter_sync(self, life: SyncLife, call: Runner) -> None:
        self._resources = self._result(await call(lambda: self._guarded(life.__enter__)))

        async def leaving() -> None:
            self._report(await call(lambda: self._guarded(lambda: life.__exit__(None, None, None))))

        self._exit = leaving

    async def _enter_async(self, life: AsyncLife, run: CoroutineRunner) -> None:
        stay = _Stay(life, asyncio.get_running_loop())
        task = asyncio.ensure_future(run(lambda: self._kept(stay)))
        await asyncio.wait({task, stay.entered}, return_when=asyncio.FIRST_COMPLETED)
        if not stay.entered.done():
            self._result(await task)  # raises: it ended before it yielded
        self._resources = stay.entered.result()
        task.add_done_callback(lambda _: self._ended_early(task))

        async def leaving() -> None:
            stay.leave()
            self._report(await task)

        self._exit = leaving

    async def _kept(self, stay: _Stay) -> object:
        with capturing(self._log, {"group": self._name}):
            try:
                await stay.live()
            except BaseException as error:  # noqa: BLE001 - see _Raised
                return _Raised(error)
            return None

    def _guarded(self, function: Callable[[], T]) -> T | _Raised:
        with capturing(self._log, {"group": self._name}):
            try:
                return function()
            except BaseException as error:  # noqa: BLE001 - see _Raised
                return _Raised(error)

    def _result(self, value: T | _Raised) -> T:
        if not isinstance(value, _Raised):
            return value
        error = without_own_frames(value.error)
        fault = fault_of(error, self._name)
        self._log.error("lifespan_failed", group=self._name, exc_info=error)
        raise HandlerError(
            f"lifespan of {self._name!r} failed: {fault.error_type}: {fault.error_message}",
            hint="its traceback is above; nothing was read from the stream",
        ) from error

    def _report(self, value: object) -> None:
        if isinstance(value, _Raised):
            self._log.error(
                "lifespan_failed", group=self._name, exc_info=without_own_frames(value.error)
            )

    def _ended_early(self, task: asyncio.Future[object]) -> None:
        if self._exit is not None and not task.cancelled():
            self._exit = None
            self._log.error("lifespan_ended_early", group=self._name)
            self._report(task.result())


class _Stay:
    """An async context manager held open in one task of the handler loop."""

    def __init__(self, life: AsyncLife, engine_loop: asyncio.AbstractEventLoop) -> None:
        self._life = life
        self._engine_loop = engine_loop
        self.entered: asyncio.Future[object] = engine_loop.create_future()
        self._handler_loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()

    async def live(self) -> None:
        """Enter, tell the engine's loop, and exit once `leave` was called; on the handler loop."""
        async with self._life as resources:
            self._handler_loop = asyncio.get_running_loop()
            self._engine_loop.call_soon_threadsafe(self._publish, resources)
            await self._over.wait()

    def leave(self) -> None:
        """Let `live` end; on the engine's loop."""
        if self._handler_loop is not None:
            self._handler_loop.call_soon_threadsafe(self._over.set)

    def _publish(self, resources: object) -> None:
        if not self.entered.done():
            self.entered.set_result(resources)
