"""One call of a handler, from raw records to an outcome, on the thread where the handler runs.

The event is decoded here, late and fresh for each attempt (H-3): a handler may change it.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from structlog.typing import FilteringBoundLogger

from triggerkit.core.outcome import Failed, GivenUp, NotInvoked, Outcome, Succeeded
from triggerkit.errors import TriggerkitError
from triggerkit.invokers.capture import capturing
from triggerkit.invokers.context import InvocationContext
from triggerkit.invokers.endings import (
    ending_of_error,
    ending_of_result,
    hint_for,
    timed_out,
    without_own_frames,
)
from triggerkit.ports import Clock, Event, Invocation

Handler: TypeAlias = Callable[[Any, Any], Any]
ShownRecords: TypeAlias = Literal["none", "keys", "full"]

CANCELLED = NotInvoked("cancelled: the worker stops or has lost the lease")
"""A cancelled call costs no attempt: its records were not refused, they go to whoever is next."""
NOT_AWAITED = "nobody awaits what this handler returned: declare it with async def"
LATE = NotInvoked("past the time until when this worker may act")
"""Decided in time, but the process stood still before the handler began: others may have the shard."""


@dataclass(frozen=True, slots=True)
class HandlerSettings:
    """The options of a trigger that bear on its calls.

    `shown_records`: what the log of a failed call tells of its records (`--log-records`).
    """

    is_async: bool = False
    report_batch_item_failures: bool = False
    timeout_seconds: float | None = None
    maximum_concurrency: int | None = None
    shown_records: ShownRecords = "none"


class CallHandle:
    """A running call as the engine's loop sees it; how an async one is cancelled."""

    def __init__(self) -> None:
        self.cancelled = False
        self.heeded = False
        """A sync call that looks at `cancelled` now and then, and stops by itself."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None

    def hold(self) -> None:
        """Note the task that runs the handler; called in it."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()

    def cancel(self) -> bool:
        """Cancel the call; whether that can stop it, now that it has begun."""
        self.cancelled = True
        if self._loop is None or self._task is None:
            return self.heeded
        with suppress(RuntimeError):  # its loop is closed: nothing runs there any more
            self._loop.call_soon_threadsafe(self._strike)
        return True

    def let_go(self) -> None:
        """The handler is done: a cancelling that comes now must not hit what the task does next."""
        self._task = None

    def _strike(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def was_cancelled(self, error: BaseException) -> bool:
        """Whether `error` is our own cancelling coming out of the handler; then it ends here."""
        if not (self.cancelled and isinstance(error, asyncio.CancelledError)):
            return False
        if self._task is not None:
            self._task.uncancel()
        return True


@dataclass(frozen=True, slots=True)
class Ending:
    """How one call of the handler ended, and what it raised.

    `invalid`: the record does not fit the handler's type, so that no other call can pass.
    `hint`: what would help, where that is known.
    """

    outcome: Outcome
    error: BaseException | None = None
    invalid: bool = False
    hint: str = ""


class Called(Protocol):
    """What an invoker calls: a handler with everything around it."""

    def call(self, invocation: Invocation, handle: CallHandle) -> Outcome:
        """Call a sync handler; on its thread."""
        ...

    async def call_async(self, invocation: Invocation, handle: CallHandle) -> Outcome:
        """Call an async handler; in a task of the handler loop."""
        ...


@dataclass(frozen=True, slots=True)
class HandlerCall:
    """A handler and everything that its calls have in common; itself calls with Lambda's event."""

    handler: Handler
    settings: HandlerSettings
    resources: object
    log_stream_name: str
    clock: Clock
    log: FilteringBoundLogger
    takes_context: bool = True
    """False: the handler gets None for the context, and ignores it."""
    reads_result: bool = True
    """False: what the handler returns tells nothing and is not looked at."""

    def call(self, invocation: Invocation, handle: CallHandle) -> Outcome:
        """Call a sync handler; on its thread, in a copy of that thread's context."""
        return contextvars.copy_context().run(self._call, invocation, handle)

    def _call(self, invocation: Invocation, handle: CallHandle) -> Outcome:
        with capturing(self.log, call_fields(invocation)):
            argument = lambda: self.unless_stopped(decode(invocation), invocation, handle)  # noqa: E731
            ending = self.attempt(argument, invocation, invocation.attempt)
            return self.logged(ending, invocation)

    async def call_async(self, invocation: Invocation, handle: CallHandle) -> Outcome:
        """Call an async handler; in a task of the handler loop."""
        with capturing(self.log, call_fields(invocation)):
            # decoded where errors are endings
            argument = lambda: self.unless_stopped(decode(invocation), invocation, handle)  # noqa: E731
            ending = await self.attempt_async(argument, invocation, invocation.attempt, handle)
            return self.logged(ending, invocation)

    def unless_stopped(
        self, argument: object, invocation: Invocation, handle: CallHandle
    ) -> object | Ending:
        """`argument`, or how the call ends that may not begin any more; asked last of all."""
        if handle.cancelled:
            return Ending(CANCELLED)
        deadline_seconds = invocation.deadline()
        if deadline_seconds == math.inf:
            return argument
        late = self.clock.now().monotonic_seconds >= deadline_seconds
        return Ending(LATE) if late else argument

    def attempt(
        self, argument: Callable[[], object], invocation: Invocation, number: int
    ) -> Ending:
        """Call the handler with what `argument` makes, unless that is how the call ends.

        `number` is 1 for a first attempt.
        """
        try:
            value = argument()
            if isinstance(value, Ending):
                return value
            result = self.handler(value, self._context(invocation, number))
            return self._ending_of(result, invocation)
        except BaseException as error:  # noqa: BLE001 - SystemExit must not end the thread
            return Ending(ending_of_error(error, invocation.request_id), error)

    async def attempt_async(
        self,
        argument: Callable[[], object],
        invocation: Invocation,
        number: int,
        handle: CallHandle,
    ) -> Ending:
        """The same, awaited; `handle` cancels it."""
        handle.hold()
        if handle.cancelled:
            return Ending(CANCELLED)
        limit = asyncio.timeout(self.settings.timeout_seconds)
        try:
            value = argument()
            if isinstance(value, Ending):
                return value
            async with limit:
                result = await self.handler(value, self._context(invocation, number))
        except BaseException as error:  # not even SystemExit may end the loop
            if limit.expired():
                return self._timed_out(invocation)
            if handle.was_cancelled(error):
                return Ending(CANCELLED)
            if _is_from_outside(error):
                raise
            return Ending(ending_of_error(error, invocation.request_id), error)
        finally:
            handle.let_go()
        if limit.expired():  # it swallowed its cancelling: Lambda would have killed it
            return self._timed_out(invocation)
        return self._ending_of(result, invocation)

    def logged(self, ending: Ending, invocation: Invocation) -> Outcome:
        """Log an attempt that failed; its outcome."""
        outcome, error = ending.outcome, ending.error
        match outcome:
            case Failed(failure=failure) if ending.invalid:
                self.log.error(
                    "record_invalid",
                    error_type=failure.error_type,
                    error_message=failure.error_message,
                    hint=getattr(error, "hint", ""),
                    message=f"this record cannot be handled: {failure.error_message}",
                )
            case Failed(retry_after_seconds=None):
                self._log_failure(outcome, invocation, ending)
            case Failed(failure=failure) | GivenUp(failure=failure):
                # Retry and Discard are words of the handler, not faults
                self.log.warning(
                    "handler_refused",
                    error_type=failure.error_type,
                    error_message=failure.error_message,
                )
            case _:
                pass
        return outcome

    def _context(self, invocation: Invocation, number: int) -> InvocationContext[object] | None:
        if not self.takes_context:
            return None
        timeout_seconds = self.settings.timeout_seconds
        deadline, now = invocation.deadline, self.clock.now
        limit_seconds = math.inf
        if timeout_seconds is not None:
            limit_seconds = now().monotonic_seconds + timeout_seconds
        context = InvocationContext(
            invocation.trigger,
            self.resources,
            lambda: min(deadline(), limit_seconds) - now().monotonic_seconds,
            request_id=invocation.request_id,
            attempt=number,
            function_arn=invocation.function_arn,
        )
        context.log_stream_name = self.log_stream_name
        return context

    def _ending_of(self, result: object, invocation: Invocation) -> Ending:
        is_awaitable = inspect.isawaitable(result)
        if not (self.reads_result or is_awaitable):
            return Ending(Succeeded())
        reports = self.settings.report_batch_item_failures
        outcome = ending_of_result(result, invocation.batch, invocation.request_id, reports=reports)
        if asyncio.iscoroutine(result):
            result.close()  # else Python warns later that it was never awaited
        return Ending(outcome, hint=NOT_AWAITED if is_awaitable else "")

    def _timed_out(self, invocation: Invocation) -> Ending:
        return Ending(timed_out(invocation.request_id, self.settings.timeout_seconds or 0.0))

    def _log_failure(self, outcome: Failed, invocation: Invocation, ending: Ending) -> None:
        fields: dict[str, object] = {"hint": ending.hint} if ending.hint else {}
        error = ending.error
        if error is not None:
            fields["exc_info"] = without_own_frames(error)
            # an image that is missing or does not fit, or a difference from Lambda
            hint = error.hint if isinstance(error, TriggerkitError) else hint_for(error)
            fields |= {"hint": hint} if hint else {}
        if self.settings.shown_records != "none":
            with suppress(Exception):  # a record that cannot be decoded may be what failed
                fields["shown_records"] = shown_records(invocation, self.settings.shown_records)
        failure = outcome.failure
        self.log.error(
            "handler_failed",
            message=f"attempt {invocation.attempt} failed",
            error_type=failure.error_type,
            error_message=failure.error_message,
            **fields,
        )


def decode(invocation: Invocation) -> Event:
    """The event of the call, fresh: `{"Records": [...]}` in stream order (E-1)."""
    return {"Records": _events(invocation)}


def shown_records(invocation: Invocation, mode: Literal["keys", "full"]) -> list[object]:
    """What a log line may tell of the records: their keys, or all (`--log-records`)."""
    return [event if mode == "full" else _keys(event) for event in _events(invocation)]


def _events(invocation: Invocation) -> list[Event]:
    to_event, arn = invocation.source.to_event, invocation.source.shard_arn(invocation.shard)
    return [to_event(record.raw, arn) for record in invocation.batch.records]


def _keys(event: Event) -> object:
    for part, name in (("dynamodb", "Keys"), ("kinesis", "partitionKey")):
        inner = event.get(part)
        if isinstance(inner, dict):
            return inner.get(name)
    return None


def call_fields(invocation: Invocation) -> dict[str, object]:
    """What every log line of the call tells."""
    return {
        "trigger": invocation.trigger,
        "source": invocation.source.name,
        "shard": invocation.source.shard_name(invocation.shard),
        "request_id": invocation.request_id,
        "attempt": invocation.attempt,
    }


def _is_from_outside(error: BaseException) -> bool:
    """Whether the task is ended from outside, rather than by code of the handler."""
    if isinstance(error, GeneratorExit):
        return True
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
