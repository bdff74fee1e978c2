"""Calls for one change at a time: in order within a key, and a record that fails does so by itself.

A sync handler gets the records of a batch one after the other; an async one gets those of different keys
concurrently, at most `maximum_concurrency` of them where that is set. After a failed record the rest of its
key waits for the next attempt; after a discarded one it goes on.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from triggerkit.core.outcome import (
    Failed,
    GivenUp,
    NotInvoked,
    Outcome,
    RecordFailure,
    RecordsEnded,
    Succeeded,
)
from triggerkit.errors import ImageMismatchError
from triggerkit.invokers.calls import CANCELLED, LATE, CallHandle, Ending, HandlerCall, call_fields
from triggerkit.invokers.capture import bind_record, capturing, unbind_record
from triggerkit.invokers.endings import ending_of_error
from triggerkit.invokers.typed import AnyChange, TypedHandler, is_misfit
from triggerkit.ports import Invocation

SHOWN_FAILURES = 3
"""Tracebacks a call: when a service is down all records fail, and for one reason."""
_DONE = Ending(Succeeded())


@dataclass(frozen=True, slots=True)
class EachCall:
    """Implements `invokers.calls.Called` for `.each`."""

    handler_call: HandlerCall
    typed: TypedHandler
    gate: asyncio.Semaphore | None

    def call(self, invocation: Invocation, handle: CallHandle) -> Outcome:
        """Call a sync handler for each record in turn; a cancelled call stops behind the present one."""
        return contextvars.copy_context().run(self._call, invocation, handle)

    def _call(self, invocation: Invocation, handle: CallHandle) -> Outcome:
        handle.heeded = True
        with capturing(self.handler_call.log, call_fields(invocation)):
            state = _CallState(self.handler_call, self.typed, invocation)
            blocked: set[bytes] = set()
            for index, record in enumerate(invocation.batch.records):
                if state.must_stop(handle):
                    break
                if record.key not in blocked and not state.add(index, self._one(index, state)):
                    blocked.add(record.key)
            return state.outcome()

    def _one(self, index: int, state: _CallState) -> Ending:
        change, invocation = state.read(index), state.invocation
        if isinstance(change, Ending):
            return change
        number = invocation.batch.tries_of(index) + 1
        return _marked(change, self.handler_call.attempt(lambda: change, invocation, number))

    async def call_async(self, invocation: Invocation, handle: CallHandle) -> Outcome:
        """Call an async handler for all records, those of one key in turn."""
        handle.hold()
        if handle.cancelled:
            return CANCELLED
        with capturing(self.handler_call.log, call_fields(invocation)):
            state = _CallState(self.handler_call, self.typed, invocation)
            by_key: dict[bytes, list[int]] = {}
            for index, record in enumerate(invocation.batch.records):
                by_key.setdefault(record.key, []).append(index)
            own_handles = [CallHandle() for _ in by_key]
            running = {
                asyncio.create_task(self._in_turn(indexes, state, own))
                for indexes, own in zip(by_key.values(), own_handles, strict=True)
            }
            try:
                await _finished(running, own_handles, handle, state)
            finally:
                handle.let_go()
            return state.outcome()

    async def _in_turn(self, indexes: Sequence[int], state: _CallState, handle: CallHandle) -> None:
        """The records of one key."""
        for index in indexes:
            async with self.gate or nullcontext():
                if state.must_stop(handle):
                    return
                ending = await self._one_async(index, state, handle)
            if not state.add(index, ending):
                return

    async def _one_async(self, index: int, state: _CallState, handle: CallHandle) -> Ending:
        change, invocation = state.read(index), state.invocation
        if isinstance(change, Ending):
            return change
        number = invocation.batch.tries_of(index) + 1
        try:
            ending = await self.handler_call.attempt_async(
                lambda: change, invocation, number, handle
            )
            return _marked(change, ending)
        except asyncio.CancelledError as error:
            if state.stopping:
                raise
            return Ending(ending_of_error(error, invocation.request_id), error)  # it did it itself


async def _finished(
    running: set[asyncio.Task[None]],
    own_handles: Sequence[CallHandle],
    handle: CallHandle,
    state: _CallState,
) -> None:
    """Wait for all of them; when the call is cancelled, cancel them and wait on."""
    waiting, stopped = running, None
    while waiting:
        try:
            _, waiting = await asyncio.wait(waiting)
        except asyncio.CancelledError as error:
            stopped, state.stopping = error, True
            for own in own_handles:
                own.cancel()
            if not handle.cancelled:  # the loop closes
                for task in waiting:
                    task.cancel()
    if stopped is not None and not handle.was_cancelled(stopped):
        raise stopped
    for task in running:
        task.result()  # what failed here is no handler's fault: it goes to whoever asked for the call


class _CallState:
    """One call: its changes, and how its records ended so far."""

    def __init__(
        self, handler_call: HandlerCall, typed: TypedHandler, invocation: Invocation
    ) -> None:
        self._handler_call = handler_call
        self._wants = typed.wants
        self._read = typed.reader_for(invocation)
        self.invocation = invocation
        self._done: list[int] = []
        self._failed: list[RecordFailure] = []
        self._discarded: list[RecordFailure] = []
        self._invalid: list[RecordFailure] = []
        self._late = False
        self.stopping = False

    def must_stop(self, handle: CallHandle) -> bool:
        """Whether no further record may be begun."""
        if handle.cancelled:
            return True
        deadline_seconds = self.invocation.deadline()
        if deadline_seconds != math.inf:
            self._late = self._handler_call.clock.now().monotonic_seconds >= deadline_seconds
        return self._late

    def read(self, index: int) -> AnyChange | Ending:
        """The change of a record, or how the record ends without a call."""
        record = self.invocation.batch.records[index]
        if not self._wants(record.raw):
            return _DONE
        bind_record(record.sequence_number)
        try:
            change = self._read(record.raw)
        except Exception as error:  # noqa: BLE001 - a model runs any code; the record fails by itself
            invalid = isinstance(error, ImageMismatchError)
            return Ending(ending_of_error(error, self.invocation.request_id), error, invalid)
        return _DONE if change is None else change

    def add(self, index: int, ending: Ending) -> bool:
        """Note and log how a record ended; whether its key goes on."""
        match ending.outcome:
            case Failed(failure=failure) if ending.invalid:
                self._invalid.append(RecordFailure(index, failure))
                self._log_record(index, ending)
                return False  # whether its key goes on without it is not known here
            case Failed(failure=failure, retry_after_seconds=wait):
                self._failed.append(RecordFailure(index, failure, wait))
                self._log_record(index, ending)
                return False
            case GivenUp(failure=failure):
                self._discarded.append(RecordFailure(index, failure))
                self._log_record(index, ending)
                return True
            case NotInvoked():
                return False
            case _:
                self._done.append(index)
                return True

    def outcome(self) -> Outcome:
        """Of the whole call."""
        unshown = self._bad - SHOWN_FAILURES
        if unshown > 0:
            unbind_record()
            self._handler_call.log.warning("more_records_failed", records=unshown)
        if len(self._done) == len(self.invocation.batch):
            return Succeeded()
        if not (self._done or self._bad):
            return LATE if self._late else CANCELLED
        return RecordsEnded(
            tuple(sorted(self._done)),
            tuple(sorted(self._failed, key=_index)),
            tuple(sorted(self._discarded, key=_index)),
            tuple(sorted(self._invalid, key=_index)),
        )

    @property
    def _bad(self) -> int:
        return len(self._failed) + len(self._discarded) + len(self._invalid)

    def _log_record(self, index: int, ending: Ending) -> None:
        if self._bad <= SHOWN_FAILURES:
            alone = self.invocation.batch.pick((index,))
            self._handler_call.logged(ending, replace(self.invocation, batch=alone))


def _marked(change: AnyChange, ending: Ending) -> Ending:
    """The old image is read when the handler asks for it: what does not fit then is no fault of the handler."""
    return replace(ending, invalid=True) if is_misfit(change, ending.error) else ending


def _index(failure: RecordFailure) -> int:
    return failure.index
