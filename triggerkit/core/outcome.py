"""What became of one call of a handler, and how its answer is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from triggerkit.core.model import Batch, LastFailure

_REPORTED = "BatchItemFailures"


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The whole batch is done."""


@dataclass(frozen=True, slots=True)
class PartlyFailed:
    """All before `index` is done; it and all after it are tried again (F-28, F-32)."""

    index: int
    failure: LastFailure


@dataclass(frozen=True, slots=True)
class Failed:
    """The call failed: it raised, timed out, or its answer could not be read (F-1 to F-5)."""

    failure: LastFailure
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class NotInvoked:
    """The call never reached the handler: costs no attempt (F-8)."""

    reason: str
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The handler raised `Discard`: to the on-failure destination now."""

    failure: LastFailure


@dataclass(frozen=True, slots=True)
class RecordFailure:
    """How the call for the record at `index` of the batch failed, or why it was given up."""

    index: int
    failure: LastFailure
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RecordsEnded:
    """Each record came to an end of its own, as with `.each`; one that is named nowhere was not tried.

    `invalid` records do not fit the type that the handler is annotated with: another call cannot pass.
    All indexes ascend and name a record of the batch once.
    """

    done: tuple[int, ...]
    failed: tuple[RecordFailure, ...] = ()
    discarded: tuple[RecordFailure, ...] = ()
    invalid: tuple[RecordFailure, ...] = ()


class Retry(Exception):  # noqa: N818 - raised to ask for something, not for a fault
    """Raised by a handler: this attempt failed, try again after a delay of its own.

    Args:
        after: seconds to wait; None leaves the wait to the usual backoff.

    Raises:
        ValueError: `after` is negative or not a number of seconds.
    """

    def __init__(self, after: float | None = None) -> None:
        if after is not None and not (math.isfinite(after) and after >= 0):
            raise ValueError(f"Retry(after={after!r}): give seconds, 0 or more")
        super().__init__("retry" if after is None else f"retry after {after:g} s")
        self.after_seconds = after


class Discard(Exception):  # noqa: N818 - raised to ask for something, not for a fault
    """Raised by a handler: give these records up now and send them to the on-failure destination.

    Args:
        why: kept in the log; it goes into no failure record (D-12).
    """

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


Outcome: TypeAlias = Succeeded | PartlyFailed | Failed | NotInvoked | GivenUp | RecordsEnded


def read_response(response: object, batch: Batch, request_id: str) -> Outcome:
    """Read what a handler returned under `report_batch_item_failures`.

    Source: Lambda dev guide, services-ddb-batchfailurereporting; rules F-13 to F-29.
    """
    if not isinstance(response, Mapping) or not response:
        return Succeeded()  # F-13 to F-16; other JSON values: F-26
    failures: object = response.get("batchItemFailures")
    if failures is None:
        return Succeeded()  # F-18, F-25
    if not isinstance(failures, Sequence) or isinstance(failures, str | bytes):
        return _unreadable(request_id, "batchItemFailures is not a list")  # F-26
    if not failures:
        return Succeeded()  # F-17; a tuple is a list in JSON
    return _lowest(failures, batch, request_id)


def _lowest(failures: Sequence[object], batch: Batch, request_id: str) -> Outcome:
    numbers = [record.sequence_number for record in batch.records]
    index_of = {number: i for i, number in reversed(list(enumerate(numbers)))}
    lowest = len(batch)
    for item in failures:
        identifier: object = item.get("itemIdentifier") if isinstance(item, Mapping) else None
        index = index_of.get(identifier) if isinstance(identifier, str) else None
        if index is None:  # F-20 to F-23, F-27
            return _unreadable(request_id, "an itemIdentifier that is not in the batch")
        lowest = min(lowest, index)
    message = f"{len(failures)} reported"
    return PartlyFailed(lowest, LastFailure(request_id, _REPORTED, message, reported=True))


def _unreadable(request_id: str, why: str) -> Outcome:
    return PartlyFailed(0, LastFailure(request_id, _REPORTED, why, reported=True))
