"""Calls for one change at a time. Rule: in order within a key, and a record that fails fails alone.

A sync handler gets the records of a batch one after the other; an async one gets those of different keys
concurrently, at most `maximum_concurrency` of them where that is set. Behind a failed record its key has
no turn in this batch; behind a discarded one it goes on.
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
from triggerkit.invokers.calls import CANCELLED, LATE, Callee, Ending, Ticket, call_fields
from triggerkit.invokers.capture import bind_record, capturing, unbind_record
from triggerkit.invokers.endings import ending_of_error
from triggerkit.invokers.typed import AnyChange, TypedHandler, is_misfit
from triggerkit.ports import Invocation

SHOWN_FAILURES = 3
"""Tracebacks a call: when a service is down all records fail, and for one reason."""
_DONE = Ending(Succeeded())


@dataclass(frozen=True, slots=True)
class EachCallee:
    """Implements `invokers.calls.Called` for `.each`."""

    callee: Callee
    typed: TypedHandler
    gate: asyncio.Semaphore | None

    def call(self, invocation: Invocation, ticket: Ticket) -> Outcome:
        """Call a sync handler for each record in turn; a cancelled call stops behind the present one."""
        return contextvars.copy_context().run(self._call, invocation, ticket)

    def _call(self, invocation: Invocation, ticket: Ticket) -> Outcome:
        ticket.heeded = True
        with capturing(self.callee.log, call_fields(invocation)):
            ends = _Ends(self.callee, invocation)
            blocked: set[bytes] = set()
            for index, record in enumerate(invocation.batch.records):
                if ends.must_stop(ticket):
                    break
                if record.key not in blocked and not ends.add(index, self._one(index, invocation)):
                    blocked.add(record.key)
            return ends.outcome()

    def _one(self, index: int, invocation: Invocation) -> Ending:
        change = self._read(index, invocation)
        if isinstance(change, Ending):
            return change
        number = invocation.batch.tries_of(index) + 1
        return _marked(change, self.callee.attempt(lambda: change, invocation, number))

    def _read(self, index: int, invocation: Invocation) -> AnyChange | Ending:
        record, shard, source = invocation.batch.records[index], invocation.shard, invocation.source
        bind_record(record.sequence_number)
        try:
            change = self.typed.read(source.to_event(record.raw, shard), source.shard_name(shard))
        except ImageMismatchError as error:
            return Ending(ending_of_error(error, invocation.request_id), error, invalid=True)
        except Exception as error:  # noqa: BLE001 - a model runs any code; the record fails by itself
            return Ending(ending_of_error(error, invocation.request_id), error)
        return _DONE if change is None else change

    async def call_async(self, invocation: Invocation, ticket: Ticket) -> Outcome:
        """Call an async handler for all records, those of one key in turn."""
        ticket.hold()
        if ticket.cancelled:
            return CANCELLED
        with capturing(self.callee.log, call_fields(invocation)):
            ends = _Ends(self.callee, invocation)
            by_key: dict[bytes, list[int]] = {}
            for index, record in enumerate(invocation.batch.records):
                by_key.setdefault(record.key, []).append(index)
            own_tickets = [Ticket() for _ in by_key]
            running = {
                asyncio.create_task(self._in_turn(indexes, invocation, ends, own))
                for indexes, own in zip(by_key.values(), own_tickets, strict=True)
            }
            try:
                await _finished(running, own_tickets, ticket, ends)
            finally:
                ticket.let_go()
            return ends.outcome()

    async def _in_turn(
        self, indexes: Sequence[int], invocation: Invocation, ends: _Ends, ticket: Ticket
    ) -> None:
        """The records of one key."""
        for index in indexes:
            async with self.gate or nullcontext():
                if ends.must_stop(ticket):
                    return
                ending = await self._one_async(index, invocation, ends, ticket)
            if not ends.add(index, ending):
                return

    async def _one_async(
        self, index: int, invocation: Invocation, ends: _Ends, ticket: Ticket
    ) -> Ending:
        change = self._read(index, invocation)
        if isinstance(change, Ending):
            return change
        number = invocation.batch.tries_of(index) + 1
        try:
            ending = await self.callee.attempt_async(lambda: change, invocation, number, ticket)
            return _marked(change, ending)
        except asyncio.CancelledError as error:
            if ends.stopping:
                raise
            return Ending(ending_of_error(error, invocation.request_id), error)  # it did it itself


async def _finished(
    running: set[asyncio.Task[None]], own_tickets: Sequence[Ticket], ticket: Ticket, ends: _Ends
) -> None:
    """Wait for all of them; when the call is cancelled, cancel them and wait on."""
    waiting, stopped = running, None
    while waiting:
        try:
            _, waiting = await asyncio.wait(waiting)
        except asyncio.CancelledError as error:
            stopped, ends.stopping = error, True
            for own in own_tickets:
                own.cancel()
            if not ticket.cancelled:  # the loop closes
                for task in waiting:
                    task.cancel()
    if stopped is not None and not ticket.was_cancelled(stopped):
        raise stopped
    for task in running:
        task.result()  # what failed here is no handler's fault: it goes to whoever asked for the call


class _Ends:
    """How the records of one call ended so far."""

    def __init__(self, callee: Callee, invocation: Invocation) -> None:
        self._callee = callee
        self._invocation = invocation
        self._done: list[int] = []
        self._failed: list[RecordFailure] = []
        self._discarded: list[RecordFailure] = []
        self._invalid: list[RecordFailure] = []
        self._late = False
        self.stopping = False

    def must_stop(self, ticket: Ticket) -> bool:
        """Whether no further record may be begun."""
        if ticket.cancelled:
            return True
        deadline_seconds = self._invocation.deadline()
        if deadline_seconds != math.inf:
            self._late = self._callee.clock.now().monotonic_seconds >= deadline_seconds
        return self._late

    def add(self, index: int, ending: Ending) -> bool:
        """Note and log how a record ended; whether its key goes on."""
        match ending.outcome:
            case Failed(failure=failure) if ending.invalid:
                self._invalid.append(RecordFailure(index, failure))
                self._tell(index, ending)
                return False  # whether its key goes on without it is not known here
            case Failed(failure=failure, retry_after_seconds=wait):
                self._failed.append(RecordFailure(index, failure, wait))
                self._tell(index, ending)
                return False
            case GivenUp(failure=failure):
                self._discarded.append(RecordFailure(index, failure))
                self._tell(index, ending)
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
            self._callee.log.warning("more_records_failed", records=unshown)
        if len(self._done) == len(self._invocation.batch):
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

    def _tell(self, index: int, ending: Ending) -> None:
        if self._bad <= SHOWN_FAILURES:
            alone = self._invocation.batch.pick((index,))
            self._callee.told(ending, replace(self._invocation, batch=alone))


def _marked(change: AnyChange, ending: Ending) -> Ending:
    """The old image is read when the handler asks for it: what does not fit then is no fault of the handler."""
    return replace(ending, invalid=True) if is_misfit(change, ending.error) else ending


def _index(failure: RecordFailure) -> int:
    return failure.index
