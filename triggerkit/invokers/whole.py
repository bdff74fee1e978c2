"""Calls for a batch of changes. A record that does not fit the handler's type fails by itself.

The handler gets the records that fit and that it wants, except those that follow a misfit of the same key. Without
misfits the whole batch has one outcome, as on Lambda; with misfits each record has its own.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from triggerkit.core.changes import Batch
from triggerkit.core.model import LastFailure
from triggerkit.core.outcome import (
    Failed,
    GivenUp,
    NotInvoked,
    Outcome,
    PartlyFailed,
    RecordFailure,
    RecordsEnded,
    Succeeded,
)
from triggerkit.errors import ImageMismatchError
from triggerkit.invokers.calls import CANCELLED, CallHandle, Ending, HandlerCall, call_fields
from triggerkit.invokers.capture import capturing
from triggerkit.invokers.endings import ending_of_error
from triggerkit.invokers.typed import AnyChange, TypedHandler, is_misfit
from triggerkit.ports import Invocation

SHOWN_FAILURES = 3


@dataclass(slots=True)
class _DecodedBatch:
    """A batch as the handler gets it: indexes of all records, by what became of them."""

    items: list[AnyChange] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    unwanted: list[int] = field(default_factory=list)
    unreadable: list[RecordFailure] = field(default_factory=list)
    invalid: list[RecordFailure] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Every record could be read."""
        return not (self.unreadable or self.invalid)


@dataclass(frozen=True, slots=True)
class BatchCall:
    """Implements `invokers.calls.Called` for `.batch`."""

    handler_call: HandlerCall
    typed: TypedHandler

    def call(self, invocation: Invocation, handle: CallHandle) -> Outcome:
        """Call a sync handler with the batch; on its thread."""
        return contextvars.copy_context().run(self._call, invocation, handle)

    def _call(self, invocation: Invocation, handle: CallHandle) -> Outcome:
        with capturing(self.handler_call.log, call_fields(invocation)):
            decoded = self._read(invocation)
            batch = Batch(decoded.items)
            ending = Ending(Succeeded())
            if decoded.items:
                argument = lambda: self.handler_call.unless_stopped(batch, invocation, handle)  # noqa: E731
                ending = self.handler_call.attempt(argument, invocation, invocation.attempt)
            return self._outcome_of(ending, batch, decoded, invocation)

    async def call_async(self, invocation: Invocation, handle: CallHandle) -> Outcome:
        """Call an async handler with the batch; in a task of the handler loop."""
        if handle.cancelled:
            return CANCELLED
        with capturing(self.handler_call.log, call_fields(invocation)):
            decoded = self._read(invocation)
            batch = Batch(decoded.items)
            ending = Ending(Succeeded())
            if decoded.items:
                argument = lambda: self.handler_call.unless_stopped(batch, invocation, handle)  # noqa: E731
                ending = await self.handler_call.attempt_async(
                    argument, invocation, invocation.attempt, handle
                )
            return self._outcome_of(ending, batch, decoded, invocation)

    def _read(self, invocation: Invocation) -> _DecodedBatch:
        decoded, read = _DecodedBatch(), self.typed.reader_for(invocation)
        blocked: set[bytes] = set()
        for index, record in enumerate(invocation.batch.records):
            if record.key in blocked:
                continue
            try:
                change = read(record.raw) if self.typed.wants(record.raw) else None
            except Exception as error:  # noqa: BLE001 - a model runs any code; the record fails by itself
                blocked.add(record.key)
                self._not_read(index, error, decoded, invocation)
                continue
            if change is None:
                decoded.unwanted.append(index)
            else:
                decoded.items.append(change)
                decoded.given.append(index)
        return decoded

    def _not_read(
        self, index: int, error: Exception, decoded: _DecodedBatch, invocation: Invocation
    ) -> None:
        outcome = ending_of_error(error, invocation.request_id)
        invalid = isinstance(error, ImageMismatchError)
        if len(decoded.unreadable) + len(decoded.invalid) < SHOWN_FAILURES:
            self._log_record(index, Ending(outcome, error, invalid), invocation)
        (decoded.invalid if invalid else decoded.unreadable).append(
            RecordFailure(index, outcome.failure)
        )

    def _log_record(self, index: int, ending: Ending, invocation: Invocation) -> None:
        alone = invocation.batch.pick((index,))
        log = self.handler_call.log.bind(sequence_number=alone.records[0].sequence_number)
        replace(self.handler_call, log=log).logged(ending, replace(invocation, batch=alone))

    def _outcome_of(
        self,
        ending: Ending,
        batch: Batch[AnyChange],
        decoded: _DecodedBatch,
        invocation: Invocation,
    ) -> Outcome:
        late = self._late_misfits(ending, decoded, invocation)
        if late:
            return RecordsEnded(
                tuple(decoded.unwanted),
                tuple(decoded.unreadable),
                invalid=_in_order((*decoded.invalid, *late)),
            )
        outcome = self.handler_call.logged(ending, invocation)
        outcome = self._with_reports(outcome, batch, decoded, invocation)
        return outcome if decoded.is_whole else _each_its_own(outcome, decoded)

    def _late_misfits(
        self, ending: Ending, decoded: _DecodedBatch, invocation: Invocation
    ) -> list[RecordFailure]:
        """Records whose old image, asked for by the handler, does not fit: they are invalid, it has not failed."""
        if not isinstance(ending.outcome, Failed):
            return []
        failure = ending.outcome.failure
        found = [
            index
            for index, item in zip(decoded.given, decoded.items, strict=True)
            if is_misfit(item, ending.error)
        ]
        for index in found:
            self._log_record(index, replace(ending, invalid=True), invocation)
        return [RecordFailure(index, failure) for index in found]

    def _with_reports(
        self,
        outcome: Outcome,
        batch: Batch[AnyChange],
        decoded: _DecodedBatch,
        invocation: Invocation,
    ) -> Outcome:
        """What `batch.fail` named counts as Lambda's batchItemFailures: from the first one on, again."""
        failed = batch.failed
        if not failed or not isinstance(outcome, Succeeded | PartlyFailed):
            return outcome
        for place, error in [*failed.items()][:SHOWN_FAILURES]:
            if error is not None:
                ending = Ending(ending_of_error(error, invocation.request_id), error)
                self._log_record(decoded.given[place], ending, invocation)
        index = decoded.given[min(failed)]
        if isinstance(outcome, PartlyFailed) and outcome.index <= index:
            return outcome
        text = f"{len(failed)} reported"
        failure = LastFailure(invocation.request_id, "BatchItemFailures", text, reported=True)
        return PartlyFailed(index, failure)


def _each_its_own(outcome: Outcome, decoded: _DecodedBatch) -> Outcome:
    """The outcome of what the handler got, record by record, and of the records that it did not get."""
    given, unwanted, unreadable = decoded.given, decoded.unwanted, decoded.unreadable
    others = RecordsEnded(tuple(unwanted), tuple(unreadable), invalid=tuple(decoded.invalid))
    match outcome:
        case Succeeded():
            return replace(others, done=_sorted(given, unwanted))
        case PartlyFailed(index=index, failure=failure):
            done = (i for i in given if i < index)
            failed = _in_order((*unreadable, RecordFailure(index, failure)))
            return replace(others, done=_sorted(done, unwanted), failed=failed)
        case Failed(failure=failure, retry_after_seconds=wait):
            every = (RecordFailure(i, failure, wait) for i in given)
            return replace(others, failed=_in_order((*unreadable, *every)))
        case GivenUp(failure=failure):
            return replace(others, discarded=tuple(RecordFailure(i, failure) for i in given))
        case NotInvoked() | RecordsEnded():
            return outcome


def _sorted(*indexes: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(index for part in indexes for index in part))


def _in_order(failures: Sequence[RecordFailure]) -> tuple[RecordFailure, ...]:
    return tuple(sorted(failures, key=lambda failure: failure.index))
