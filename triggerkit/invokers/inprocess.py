"""Calls handlers in this process: a sync handler one call at a time, unless it says otherwise.

A Lambda environment runs one invocation at a time and handlers rely on it (a module-level
`BatchProcessor` keeps the state of the batch in itself). So a sync handler has one thread;
`maximum_concurrency=N` gives it N and is its promise to be thread-safe. Async handlers run
concurrently on the handler loop, at most N of them where N is given.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from triggerkit.core.outcome import Outcome
from triggerkit.errors import OptionError
from triggerkit.invokers.calls import (
    CANCELLED,
    Called,
    CallHandle,
    Handler,
    HandlerCall,
    HandlerSettings,
)
from triggerkit.invokers.each import EachCall
from triggerkit.invokers.environment import LOG_STREAM, fresh_log_stream_name
from triggerkit.invokers.lifespan import Lifespan
from triggerkit.invokers.places import CoroutineRunner, Places
from triggerkit.invokers.typed import TypedHandler
from triggerkit.invokers.whole import BatchCall
from triggerkit.ports import Clock, Invocation, Runner

T = TypeVar("T")


class InProcessInvoker:
    """Implements `ports.Invoker` for one trigger. Used on the engine's loop only.

    Args:
        name: the trigger's name.
        handler: takes event and context, or is a `TypedHandler`; a coroutine function when
            `settings.is_async`.
        settings: the trigger's options.
        lifespan: that of its group, shared with the group's other triggers; None for none.
        places: the threads for user code; whoever made them closes them.
        clock: for the remaining time of a call.
        log: where output and failures of handlers go.

    Raises:
        OptionError: a timeout on a sync handler (decision 20: a thread cannot be killed).
    """

    def __init__(
        self,
        name: str,
        handler: Handler | TypedHandler,
        settings: HandlerSettings,
        *,
        lifespan: Lifespan | None,
        places: Places,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        _check(name, settings)
        limit = settings.maximum_concurrency
        self._lifespan = lifespan
        self._loop = places.loop
        self._thread = None if settings.is_async else places.threads(name, limit or 1)
        self._turns = Turns(limit if settings.is_async else limit or 1)
        self._handles: dict[str, CallHandle] = {}
        stream = os.environ.get(LOG_STREAM) or fresh_log_stream_name(clock.now().service_seconds)
        handler_call = HandlerCall(handler, settings, None, stream, clock, log)
        self._handler_call = (
            _typed(handler_call, handler) if isinstance(handler, TypedHandler) else handler_call
        )
        self._called = _called(self._handler_call)

    async def start(self) -> None:
        """Enter the lifespan, if the group has one and no other trigger has entered it.

        Raises:
            HandlerError: it failed.
        """
        if self._lifespan is None:
            return
        call: Runner = OnLoop(self._loop) if self._thread is None else self._thread
        resources = await self._lifespan.enter(call, self._loop)
        self._handler_call = replace(self._handler_call, resources=resources)
        self._called = _called(self._handler_call)

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Wait for a turn, call the handler, and tell how it ended."""
        handle = self._handles[invocation.request_id] = CallHandle()
        try:
            if not await self._turns.take(invocation.request_id):
                return CANCELLED
            try:
                return await self._call(invocation, handle)
            finally:
                self._turns.give()
        finally:
            del self._handles[invocation.request_id]

    async def cancel(self, request_id: str) -> None:
        """Cancel an async call, or any call that has not begun; a sync one that has runs to its end.

        A call that ends by it is `NotInvoked`: no attempt is spent. What finishes regardless counts.
        """
        handle = self._handles.get(request_id)
        if handle is None or self._turns.withdraw(request_id):
            return
        if not handle.cancel() and self._thread is not None:
            self._handler_call.log.warning(
                "call_not_stopped",
                request_id=request_id,
                message="a sync handler cannot be stopped; its shard waits for it",
            )

    async def close(self) -> None:
        """Cancel what still runs, then leave the lifespan."""
        for request_id in list(self._handles):
            await self.cancel(request_id)
        if self._lifespan is not None:
            await self._lifespan.leave()

    async def _call(self, invocation: Invocation, handle: CallHandle) -> Outcome:
        called = self._called
        if self._thread is None:
            return await self._loop(lambda: called.call_async(invocation, handle))
        return await self._thread(lambda: called.call(invocation, handle))


class Turns:
    """Lets at most `limit` calls run at once (None: any number), first come first served."""

    def __init__(self, limit: int | None) -> None:
        self._free = limit
        self._waiting: dict[str, asyncio.Future[bool]] = {}

    async def take(self, request_id: str) -> bool:
        """Wait for a turn; False when `withdraw` came first."""
        if self._free is None:
            return True
        if self._free > 0:
            self._free -= 1
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = turn
        try:
            return await turn
        except asyncio.CancelledError:
            self._waiting.pop(request_id, None)
            if not turn.cancelled() and turn.result():
                self.give()  # the turn was granted and nobody is left to use it
            raise

    def give(self) -> None:
        """Hand the turn to whoever has waited longest."""
        if self._free is None:
            return
        while self._waiting:
            turn = self._waiting.pop(next(iter(self._waiting)))
            if not turn.cancelled():
                turn.set_result(True)
                return
        self._free += 1

    def withdraw(self, request_id: str) -> bool:
        """Take a waiting call out of the queue; False when it does not wait."""
        turn = self._waiting.pop(request_id, None)
        if turn is None or turn.cancelled():
            return False
        turn.set_result(False)
        return True


class OnLoop:
    """Implements `ports.Runner` by calling on the handler loop's thread."""

    def __init__(self, loop: CoroutineRunner) -> None:
        self._loop = loop

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Run `call` there; it holds up the handler loop meanwhile."""

        async def start() -> T:
            return call()

        return await self._loop(start)


def _typed(handler_call: HandlerCall, handler: TypedHandler) -> HandlerCall:
    reads_result = handler.unit == "batch" and handler_call.settings.report_batch_item_failures
    return replace(handler_call, takes_context=handler.takes_context, reads_result=reads_result)


def _called(handler_call: HandlerCall) -> Called:
    handler, limit = handler_call.handler, handler_call.settings.maximum_concurrency
    match handler:
        case TypedHandler(unit="each"):
            return EachCall(handler_call, handler, asyncio.Semaphore(limit) if limit else None)
        case TypedHandler():
            return BatchCall(handler_call, handler)
        case _:
            return handler_call


def _check(name: str, settings: HandlerSettings) -> None:
    if settings.timeout_seconds is not None and not settings.is_async:
        raise OptionError(
            f"trigger {name!r}: timeout={settings.timeout_seconds:g} on a sync handler",
            hint="a thread cannot be killed: declare the handler with async def",
        )
