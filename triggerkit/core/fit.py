"""Whether the records of a stream fit the type that a handler is annotated with."""

from __future__ import annotations

from triggerkit.core.model import Batch
from triggerkit.core.outcome import NotInvoked, Outcome, RecordFailure, RecordsEnded
from triggerkit.errors import ImageMismatchError

FIRST_RECORDS = 100
"""When all of so many are invalid, the type is wrong and not the records."""


class Fit:
    """Counts the invalid records since the start, until the first one that is not invalid."""

    __slots__ = ("_invalid", "_settled", "nothing_fits")

    def __init__(self) -> None:
        self._invalid = 0
        self._settled = False
        self.nothing_fits = False
        """Whether the type fits nothing, so that no record may be handed over or given up any more."""

    def judge(self, batch: Batch, outcome: Outcome, trigger: str) -> ImageMismatchError | None:
        """Take in what became of a call, each record once; the error when it shows that nothing fits."""
        if self._settled or self.nothing_fits or isinstance(outcome, NotInvoked):
            return None
        if not isinstance(outcome, RecordsEnded) or (
            outcome.done or outcome.failed or outcome.discarded
        ):
            self._settled = True
            return None
        self._invalid += sum(not batch.tries_of(each.index) for each in outcome.invalid)
        self.nothing_fits = self._invalid >= FIRST_RECORDS
        if not self.nothing_fits:
            return None
        return ImageMismatchError(
            f"trigger {trigger!r}: none of the first {self._invalid} records fits the type that its "
            f"handler is annotated with: {outcome.invalid[0].failure.error_message}",
            hint="correct the annotation and start again: nothing more is given up, and reading goes on there",
        )


def held_up(batch: Batch, invalid: RecordFailure, trigger: str) -> ImageMismatchError:
    """The error for a lane that an invalid record holds up."""
    number = batch.records[invalid.index].sequence_number
    return ImageMismatchError(
        f"trigger {trigger!r}: record {number} can never be handled: {invalid.failure.error_message}",
        hint="correct the type or the handler's annotation, or set on_failure: such records are then given up at "
        "once with the condition InvalidRecord",
    )
