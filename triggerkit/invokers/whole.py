"""Calls for a batch of changes. Rule: a record that does not fit the handler's type fails by itself.

The handler gets the records that fit and that it wants, save those behind a misfit of their key. Without
misfits the outcome is the batch's own (Lambda's words); with misfits each record has one.
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
from triggerkit.invokers.calls import CANCELLED, Callee, Ending, Ticket, call_fields
from triggerkit.invokers.capture import capturing
from triggerkit.invokers.endings import ending_of_error
from triggerkit.invokers.typed import AnyChange, TypedHandler, is_misfit
from triggerkit.ports import Invocation

SHOWN_FAILURES = 3


@dataclass(slots=True)
class _Sheet:
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
class BatchCallee:
    """Implements `invokers.calls.Called` for `.batch`."""

    callee: Callee
    typed: TypedHandler

    def call(self, invocation: Invocation, ticket: Ticket) -> Outcome:
        """Call a sync handler with the batch; on its thread."""
        return contextvars.copy_context().run(self._call, invocation, ticket)

    def _call(self, invocation: Invocation, ticket: Ticket) -> Outcome:
        with capturing(self.callee.log, call_fields(invocation)):
            sheet = self._read(invocation)
            batch = Batch(sheet.items)
            ending = Ending(Succeeded())
            if sheet.items:
                argument = lambda: self.callee.unless_stopped(batch, invocation, ticket)  # noqa: E731
                ending = self.callee.attempt(argument, invocation, invocation.attempt)
            return self._outcome_of(ending, batch, sheet, invocation)

    async def call_async(self, invocation: Invocation, ticket: Ticket) -> Outcome:
        """Call an async handler with the batch; in a task of the handler loop."""
        if ticket.cancelled:
            return CANCELLED
        with capturing(self.callee.log, call_fields(invocation)):
            sheet = self._read(invocation)
            batch = Batch(sheet.items)
            ending = Ending(Succeeded())
            if sheet.items:
                argument = lambda: self.callee.unless_stopped(batch, invocation, ticket)  # noqa: E731
                ending = await self.callee.attempt_async(
                    argument, invocation, invocation.attempt, ticket
                )
            return self._outcome_of(ending, batch, sheet, invocation)

    def _read(self, invocation: Invocation) -> _Sheet:
        sheet, source, shard = _Sheet(), invocation.source, invocation.shard
        name = source.shard_name(shard)
        blocked: set[bytes] = set()
        for index, record in enumerate(invocation.batch.records):
            if record.key in blocked:
                continue
            try:
                change = self.typed.read(source.to_event(record.raw, shard), name)
            except Exception as error:  # noqa: BLE001 - a model runs any code; the record fails by itself
                blocked.add(record.key)
                self._not_read(index, error, sheet, invocation)
                continue
            if change is None:
                sheet.unwanted.append(index)
            else:
                sheet.items.append(change)
                sheet.given.append(index)
        return sheet

    def _not_read(
        self, index: int, error: Exception, sheet: _Sheet, invocation: Invocation
    ) -> None:
        outcome = ending_of_error(error, invocation.request_id)
        invalid = isinstance(error, ImageMismatchError)
        if len(sheet.unreadable) + len(sheet.invalid) < SHOWN_FAILURES:
            self._tell(index, Ending(outcome, error, invalid), invocation)
        (sheet.invalid if invalid else sheet.unreadable).append(
            RecordFailure(index, outcome.failure)
        )

    def _tell(self, index: int, ending: Ending, invocation: Invocation) -> None:
        alone = invocation.batch.pick((index,))
        log = self.callee.log.bind(sequence_number=alone.records[0].sequence_number)
        replace(self.callee, log=log).told(ending, replace(invocation, batch=alone))

    def _outcome_of(
        self, ending: Ending, batch: Batch[AnyChange], sheet: _Sheet, invocation: Invocation
    ) -> Outcome:
        late = self._late_misfits(ending, sheet, invocation)
        if late:
            return RecordsEnded(
                tuple(sheet.unwanted),
                tuple(sheet.unreadable),
                invalid=_in_order((*sheet.invalid, *late)),
            )
        outcome = self.callee.told(ending, invocation)
        outcome = self._with_reports(outcome, batch, sheet, invocation)
        return outcome if sheet.is_whole else _each_its_own(outcome, sheet)

    def _late_misfits(
        self, ending: Ending, sheet: _Sheet, invocation: Invocation
    ) -> list[RecordFailure]:
        """Records whose old image, asked for by the handler, does not fit: they are invalid, it has not failed."""
        if not isinstance(ending.outcome, Failed):
            return []
        failure = ending.outcome.failure
        found = [
            index
            for index, item in zip(sheet.given, sheet.items, strict=True)
            if is_misfit(item, ending.error)
        ]
        for index in found:
            self._tell(index, replace(ending, invalid=True), invocation)
        return [RecordFailure(index, failure) for index in found]

    def _with_reports(
        self, outcome: Outcome, batch: Batch[AnyChange], sheet: _Sheet, invocation: Invocation
    ) -> Outcome:
        """What `batch.fail` named counts as Lambda's batchItemFailures: from the first one on, again."""
        failed = batch.failed
        if not failed or not isinstance(outcome, Succeeded | PartlyFailed):
            return outcome
        for place, error in [*failed.items()][:SHOWN_FAILURES]:
            if error is not None:
                ending = Ending(ending_of_error(error, invocation.request_id), error)
                self._tell(sheet.given[place], ending, invocation)
        index = sheet.given[min(failed)]
        if isinstance(outcome, PartlyFailed) and outcome.index <= index:
            return outcome
        told = f"{len(failed)} reported"
        failure = LastFailure(invocation.request_id, "BatchItemFailures", told, reported=True)
        return PartlyFailed(index, failure)


def _each_its_own(outcome: Outcome, sheet: _Sheet) -> Outcome:
    """The outcome of what the handler got, record by record, and of the records that it did not get."""
    given, unwanted, unreadable = sheet.given, sheet.unwanted, sheet.unreadable
    others = RecordsEnded(tuple(unwanted), tuple(unreadable), invalid=tuple(sheet.invalid))
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
