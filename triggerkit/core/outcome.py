"""What became of one call of a handler. Rule: empty is success, unreadable is a whole-batch failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from triggerkit.core.model import Batch, LastFailure


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The whole batch is done."""


@dataclass(frozen=True, slots=True)
class PartlyFailed:
    """Everything before `index` is done; it and all behind it are tried again (F-28). 0 is no progress (F-32)."""

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


Outcome: TypeAlias = Succeeded | PartlyFailed | Failed | NotInvoked | GivenUp


def read_response(response: object, batch: Batch, request_id: str) -> Outcome:
    """Read what a handler returned under `report_batch_item_failures`.

    Source: Lambda dev guide, services-ddb-batchfailurereporting; rules F-13 to F-29.
    """
    if not isinstance(response, Mapping) or not response:
        return Succeeded()  # F-13 to F-16; other JSON values: F-26
    failures: object = response.get("batchItemFailures")
    if failures is None or failures == []:
        return Succeeded()  # F-17, F-18, F-25
    if not isinstance(failures, Sequence) or isinstance(failures, str | bytes):
        return _unreadable(request_id, "batchItemFailures is not a list")  # F-26
    return _lowest(failures, batch, request_id)


def _lowest(failures: Sequence[object], batch: Batch, request_id: str) -> Outcome:
    index_of = {record.sequence_number: i for i, record in reversed(list(enumerate(batch.records)))}
    lowest = len(batch)
    for item in failures:
        identifier: object = item.get("itemIdentifier") if isinstance(item, Mapping) else None
        index = index_of.get(identifier) if isinstance(identifier, str) else None
        if index is None:  # F-20 to F-23, F-27
            return _unreadable(request_id, "an itemIdentifier that is not in the batch")
        lowest = min(lowest, index)
    reported = LastFailure(
        request_id, "BatchItemFailures", f"{len(failures)} reported", reported=True
    )
    return PartlyFailed(lowest, reported)


def _unreadable(request_id: str, why: str) -> Outcome:
    return PartlyFailed(0, LastFailure(request_id, "BatchItemFailures", why, reported=True))
