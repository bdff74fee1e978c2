"""`.batch`: a typed batch, Lambda's outcomes for it, and records of their own where some do not fit."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from invokers.handler_stage import Stage, on_stage
from invokers.typed_stage import Row, call_with, outcome_of, rows, status, typed_invoker
from pydantic import BaseModel

from triggerkit import Batch, Change, Context, Discard, Inserted, Modified, Removed, Retry
from triggerkit.core.model import LastFailure
from triggerkit.core.outcome import (
    Failed,
    GivenUp,
    NotInvoked,
    Outcome,
    PartlyFailed,
    RecordsEnded,
    Succeeded,
)
from triggerkit.errors import ImageMismatchError


class Order(BaseModel):
    id: str
    status: str


MISFIT = Row("m", "m", new={"status": {"N": "4711"}})


def batch_outcome(function: Any, given: Any, **settings: Any) -> Outcome:
    return outcome_of(function, given, unit="batch", **settings)


def ended(outcome: Outcome) -> tuple[list[int], list[int], list[int]]:
    assert isinstance(outcome, RecordsEnded), outcome
    return (
        list(outcome.done),
        [each.index for each in outcome.failed],
        [each.index for each in outcome.discarded],
    )


def invalid(outcome: Outcome) -> list[int]:
    """The indexes of the records that do not fit the handler's type."""
    assert isinstance(outcome, RecordsEnded), outcome
    return [each.index for each in outcome.invalid]


def test_a_handler_gets_the_whole_batch_in_stream_order() -> None:
    seen: list[list[str]] = []

    def handler(batch: Batch[Change[Order]]) -> None:
        seen.append([change.sequence_number for change in batch])

    assert batch_outcome(handler, rows("abac")) == Succeeded()
    assert seen == [["0", "1", "2", "3"]]


def test_without_annotation_the_items_are_dict() -> None:
    seen: list[Any] = []

    def handler(batch, context):  # type: ignore[no-untyped-def]
        seen.extend([batch[0].new, context.trigger])

    assert batch_outcome(handler, rows("a")) == Succeeded()
    assert seen == [{"id": "a", "status": "a0"}, "notify"]


def test_an_async_handler_is_awaited_with_the_context() -> None:
    seen: list[object] = []

    async def handler(batch: Batch[Inserted[Order]], context: Context[None]) -> None:
        await asyncio.sleep(0)
        seen.extend([len(batch), context.attempt])

    assert batch_outcome(handler, rows("ab")) == Succeeded()
    assert seen == [2, 1]


def test_unwanted_kinds_are_not_in_the_batch_and_an_empty_batch_is_not_given() -> None:
    sizes: list[int] = []

    def handler(batch: Batch[Modified[Order] | Removed[Order]]) -> None:
        sizes.append(len(batch))

    changes = [*rows("ab"), Row("5", "c", new=status("x"), old=status("y"))]
    assert batch_outcome(handler, changes) == Succeeded()
    assert batch_outcome(handler, rows("ab")) == Succeeded()
    assert sizes == [1]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("no"), Failed(LastFailure("id", "ValueError", "no"))),
        (Retry(after=7), Failed(LastFailure("id", "Retry", "retry after 7 s"), 7.0)),
        (Discard("bad"), GivenUp(LastFailure("id", "Discard", "bad"))),
    ],
)
def test_what_the_handler_raises_is_the_outcome_of_the_batch(
    is_async: bool, error: Exception, expected: Outcome
) -> None:
    def handler(batch: Batch[Change[Order]]) -> None:
        raise error

    async def async_handler(batch: Batch[Change[Order]]) -> None:
        raise error

    call = call_with(rows("abc"), request_id="id")
    assert batch_outcome(async_handler if is_async else handler, (), call=call) == expected


def test_what_fails_comes_again_with_all_behind_it() -> None:
    def handler(batch: Batch[Inserted[Order]]) -> None:
        batch.fail(batch[3], ValueError("later"))
        batch.fail(batch[1])

    call = call_with(rows("abcde"), request_id="id")
    reported = LastFailure("id", "BatchItemFailures", "2 reported", reported=True)
    assert batch_outcome(handler, (), call=call) == PartlyFailed(1, reported)


def test_why_an_item_failed_is_logged_with_its_record() -> None:
    async def scene(stage: Stage) -> None:
        async def handler(batch: Batch[Inserted[Order]]) -> None:
            for change in batch:
                batch.fail(change, ValueError(change.new.status))

        invoker = typed_invoker(stage, handler, "batch")
        await invoker.invoke(call_with(rows("abcde")))
        told = [
            (entry["sequence_number"], entry["error_message"])
            for entry in stage.log.named("handler_failed")
        ]
        assert told == [("0", "a0"), ("1", "b1"), ("2", "c2")]

    on_stage(scene)


def test_an_index_counts_the_records_that_the_handler_did_not_want() -> None:
    def handler(batch: Batch[Modified[Order]]) -> None:
        batch.fail(batch[0])

    changes = [*rows("ab"), Row("5", "c", new=status("x"), old=status("y")), *rows("d")]
    outcome = batch_outcome(handler, changes)
    assert isinstance(outcome, PartlyFailed)
    assert outcome.index == 2


@pytest.mark.parametrize(("reads", "failing"), [(True, 1), (False, None)])
def test_a_returned_report_counts_where_the_option_is_on(reads: bool, failing: int | None) -> None:
    def handler(batch: Batch[Change[Order]]) -> dict[str, Any]:
        return {"batchItemFailures": [{"itemIdentifier": batch[1].sequence_number}]}

    outcome = batch_outcome(handler, rows("abc"), report_batch_item_failures=reads)
    if failing is None:
        assert outcome == Succeeded()
    else:
        assert isinstance(outcome, PartlyFailed)
        assert outcome.index == failing


def test_the_earlier_of_two_reports_counts() -> None:
    def handler(batch: Batch[Change[Order]]) -> dict[str, Any]:
        batch.fail(batch[2])
        return {"batchItemFailures": [{"itemIdentifier": batch[1].sequence_number}]}

    outcome = batch_outcome(handler, rows("abc"), report_batch_item_failures=True)
    assert isinstance(outcome, PartlyFailed)
    assert outcome.index == 1


# --- records that do not fit ----------------------------------------------------------------------


def test_a_misfit_fails_by_itself_and_is_not_in_the_batch() -> None:
    seen: list[str] = []

    def handler(batch: Batch[Change[Order]]) -> None:
        seen.extend(change.keys["id"] for change in batch)

    outcome = batch_outcome(handler, [*rows("a"), MISFIT, *rows("b")])
    assert ended(outcome) == ([0, 2], [], [])
    assert seen == ["a", "b"]
    assert isinstance(outcome, RecordsEnded)
    (misfit,) = outcome.invalid
    assert misfit.index == 1
    failure = misfit.failure
    assert failure.error_type == "ImageMismatchError"
    assert failure.error_message == "an item does not fit Order: status (string_type)"


def test_behind_a_misfit_its_key_waits() -> None:
    seen: list[str] = []

    async def handler(batch: Batch[Change[Order]]) -> None:
        seen.extend(change.sequence_number for change in batch)

    changes = [MISFIT, Row("7", "m", new=status("fine")), *rows("a")]
    outcome = batch_outcome(handler, changes)
    assert (ended(outcome), invalid(outcome)) == (([2], [], []), [0])
    assert seen == ["0"]


def test_a_batch_of_misfits_is_not_given() -> None:
    def handler(batch: Batch[Change[Order]]) -> None:
        raise AssertionError("not called")

    outcome = batch_outcome(handler, [MISFIT])
    assert (ended(outcome), invalid(outcome)) == (([], [], []), [0])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("raise", ([], [0, 2, 3], [])),
        ("discard", ([], [], [0, 2, 3])),
        ("report", ([0], [2], [])),
    ],
)
def test_beside_a_misfit_each_record_ends_as_the_handler_says(
    how: str, expected: tuple[list[int], list[int], list[int]]
) -> None:
    def handler(batch: Batch[Change[Order]]) -> None:
        match how:
            case "raise":
                raise ValueError("no")
            case "discard":
                raise Discard("no")
            case _:
                batch.fail(batch[1])

    outcome = batch_outcome(handler, [*rows("a"), MISFIT, *rows("bc")])
    assert (ended(outcome), invalid(outcome)) == (expected, [1])


def test_f7_an_old_image_that_does_not_fit_makes_its_record_invalid_and_not_the_batch() -> None:
    odd = Row("9", "o", new=status("x"), old={"status": {"N": "1"}})

    def handler(batch: Batch[Change[Order]]) -> None:
        for change in batch:
            assert change.old is None or change.old.status

    outcome = batch_outcome(handler, [*rows("a"), odd, *rows("b")])
    assert (ended(outcome), invalid(outcome)) == (([], [], []), [1])


def test_an_old_image_that_the_handler_gave_up_on_is_the_handlers_business() -> None:
    odd = Row("9", "o", new=status("x"), old={"status": {"N": "1"}})

    def handler(batch: Batch[Change[Order]]) -> None:
        try:
            assert batch[1].old
        except ImageMismatchError as error:
            batch.fail(batch[1], error)

    outcome = batch_outcome(handler, [*rows("a"), odd])
    assert isinstance(outcome, PartlyFailed)
    assert outcome.index == 1


# --- stopping -------------------------------------------------------------------------------------


def test_a_cancelled_batch_was_not_made() -> None:
    async def scene(stage: Stage) -> Outcome:
        reached = threading.Event()

        async def handler(batch: Batch[Inserted[Order]]) -> None:
            reached.set()
            await asyncio.sleep(60)

        call = call_with([*rows("ab"), MISFIT])
        invoker = typed_invoker(stage, handler, "batch")
        running = asyncio.ensure_future(invoker.invoke(call))
        assert await asyncio.to_thread(reached.wait, 10)
        await invoker.cancel(call.request_id)
        return await running

    assert isinstance(on_stage(scene), NotInvoked)


def test_a_timeout_is_for_the_batch() -> None:
    async def handler(batch: Batch[Inserted[Order]]) -> None:
        await asyncio.sleep(60)

    outcome = batch_outcome(handler, rows("ab"), timeout_seconds=0.02)
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_type == "Sandbox.Timedout"


def test_no_batch_is_begun_past_the_time_until_when_the_worker_may_act() -> None:
    begun: list[int] = []

    def handler(batch: Batch[Change[Order]]) -> None:
        begun.append(len(batch))

    async def handler_async(batch: Batch[Change[Order]]) -> None:
        begun.append(len(batch))

    for function in (handler, handler_async):
        late = batch_outcome(function, (), call=call_with(rows("ab"), deadline=lambda: 0.0))
        assert isinstance(late, NotInvoked)
        assert begun == []
