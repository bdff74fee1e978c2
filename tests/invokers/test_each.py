"""`.each`: one change at a time, in order within a key, and a record that fails fails alone."""

from __future__ import annotations

import asyncio
import math
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from invokers.handler_stage import Stage, on_stage
from invokers.typed_stage import Row, batch_of, call_with, outcome_of, rows, status, typed_invoker
from pydantic import BaseModel

from triggerkit import Batch, Change, Context, Discard, Inserted, Modified, Removed, Retry
from triggerkit.core.model import LastFailure
from triggerkit.core.outcome import (
    NotInvoked,
    Outcome,
    RecordFailure,
    RecordsEnded,
    Succeeded,
)
from triggerkit.errors import ImageMismatchError

ONE_OF_EACH = (
    Row("1", "a", new=status("open")),
    Row("2", "b", new=status("paid"), old=status("open")),
    Row("3", "c", old=status("paid")),
)


class Order(BaseModel):
    id: str
    status: str


@dataclass
class Tagged:
    id: str
    tags: dict[str, str]
    lines: list[dict[str, str]]


def ended(outcome: Outcome) -> tuple[list[int], list[int], list[int]]:
    """The indexes that are done, failed and discarded."""
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


# --- what it is called with -----------------------------------------------------------------------


def test_a_handler_without_annotations_gets_every_change_with_dict_items() -> None:
    seen: list[Any] = []

    def handler(change):  # type: ignore[no-untyped-def]
        seen.append(change)

    assert outcome_of(handler, ONE_OF_EACH) == Succeeded()
    assert [type(change) for change in seen] == [Inserted, Modified, Removed]
    assert seen[1].new == {"id": "b", "status": "paid"}
    assert seen[1].old == {"id": "b", "status": "open"}


def test_a_change_has_the_facts_of_its_record() -> None:
    seen: list[Change[dict[str, Any]]] = []
    row = Row("7", "a", old=status("open"), by_time_to_live=True)
    assert outcome_of(lambda change: seen.append(change), [row]) == Succeeded()
    (change,) = seen
    assert isinstance(change, Removed)
    assert change.expired
    assert change.keys == {"id": "a"}
    assert change.at.isoformat() == "2023-11-14T22:13:20+00:00"
    assert (change.event_id, change.sequence_number) == ("event-7", "7")
    assert change.shard_id == "shardId-1"
    assert change.raw == row.element()


def test_annotating_one_kind_skips_the_others_as_done() -> None:
    seen: list[Modified[Order]] = []

    def handler(change: Modified[Order]) -> None:
        seen.append(change)

    assert outcome_of(handler, ONE_OF_EACH) == Succeeded()
    (change,) = seen
    assert (change.new, change.old) == (
        Order(id="b", status="paid"),
        Order(id="b", status="open"),
    )


def test_a_union_of_two_kinds_may_read_them_differently() -> None:
    seen: list[object] = []

    def handler(change: Inserted[Order] | Removed[dict[str, Any]]) -> None:
        seen.append(change.new or change.old)

    assert outcome_of(handler, ONE_OF_EACH) == Succeeded()
    assert seen == [Order(id="a", status="open"), {"id": "c", "status": "paid"}]


def test_the_context_is_given_to_a_handler_that_takes_one() -> None:
    seen: list[tuple[str, int, Any]] = []

    def handler(change: Change[Order], context: Context[str]) -> None:
        seen.append((context.trigger, context.attempt, context.resources))

    async def async_handler(change: Change[Order], context: Context[str]) -> None:
        handler(change, context)

    head = batch_of(rows("ab"), attempts=4, tries=(1, 4))
    for function in (handler, async_handler):
        assert outcome_of(function, (), call=call_with((), batch=head)) == Succeeded()
    assert sorted(seen) == [("notify", 2, None)] * 2 + [("notify", 5, None)] * 2


def test_what_a_handler_returns_is_ignored() -> None:
    assert outcome_of(lambda change: object(), rows("a")) == Succeeded()

    async def handler(change: Change[Order]) -> object:
        return object()

    assert outcome_of(handler, rows("a")) == Succeeded()


def test_a_sync_handler_that_returns_a_coroutine_has_failed() -> None:
    async def inner() -> None: ...

    outcome = outcome_of(lambda change: inner(), rows("a"))
    assert isinstance(outcome, RecordsEnded)
    assert outcome.failed[0].failure.error_type == "Runtime.MarshalError"


# --- how records end ------------------------------------------------------------------------------


def ends_as_told(change: Change[dict[str, Any]]) -> None:
    match change.keys["id"][0]:
        case "x":
            raise ValueError("no")
        case "r":
            raise Retry(after=30)
        case "d":
            raise Discard("bad order")


async def ends_as_told_async(change: Change[dict[str, Any]]) -> None:
    await asyncio.sleep(0)
    ends_as_told(change)


@pytest.mark.parametrize("handler", [ends_as_told, ends_as_told_async])
def test_a_record_that_fails_does_not_fail_the_others(handler: Any) -> None:
    outcome = outcome_of(handler, rows("axbrd"))
    assert ended(outcome) == ([0, 2], [1, 3], [4])
    assert isinstance(outcome, RecordsEnded)
    request_id = outcome.failed[0].failure.request_id
    assert outcome.failed == (
        RecordFailure(1, LastFailure(request_id, "ValueError", "no")),
        RecordFailure(3, LastFailure(request_id, "Retry", "retry after 30 s"), 30.0),
    )
    assert outcome.discarded == (RecordFailure(4, LastFailure(request_id, "Discard", "bad order")),)


@pytest.mark.parametrize("handler", [ends_as_told, ends_as_told_async])
def test_behind_a_failed_record_its_key_has_no_turn(handler: Any) -> None:
    assert ended(outcome_of(handler, rows("xaxrr"))) == ([1], [0, 3], [])


@pytest.mark.parametrize("handler", [ends_as_told, ends_as_told_async])
def test_behind_a_discarded_record_its_key_goes_on(handler: Any) -> None:
    assert ended(outcome_of(handler, rows("ddad"))) == ([2], [], [0, 1, 3])


@pytest.mark.parametrize("wrong", ["7", {"N": "7"}], ids=["not DynamoDB's", "another type"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_record_that_does_not_fit_fails_by_itself_and_before_the_handler(
    wrong: Any, is_async: bool
) -> None:
    seen: list[str] = []

    def handler(change: Inserted[Order]) -> None:
        seen.append(change.keys["id"])

    async def async_handler(change: Inserted[Order]) -> None:
        handler(change)

    misfit = Row("9", "m", new={"status": wrong})
    outcome = outcome_of(async_handler if is_async else handler, [*rows("ab"), misfit])
    assert isinstance(outcome, RecordsEnded)
    assert outcome.done == (0, 1)
    (bad,) = (
        *outcome.failed,
        *outcome.invalid,
    )  # a value of no type of DynamoDB's is no item at all
    assert bad.index == 2
    assert sorted(seen) == ["a", "b"]


@pytest.mark.parametrize("is_async", [False, True])
def test_f7_an_old_image_that_does_not_fit_makes_its_record_invalid(is_async: bool) -> None:
    def handler(change: Modified[Order]) -> None:
        assert change.old.status

    async def async_handler(change: Modified[Order]) -> None:
        handler(change)

    odd = Row("1", "a", new=status("x"), old={"status": {"N": "1"}})
    outcome = outcome_of(async_handler if is_async else handler, [odd])
    assert (ended(outcome), invalid(outcome)) == (([], [], []), [0])


def test_f7_what_a_handler_validates_itself_is_a_failure_and_not_an_invalid_record() -> None:
    def validates(change: Inserted[Order]) -> None:
        Order.model_validate({"id": change.new.id})

    def raises_ours(change: Inserted[Order]) -> None:
        raise ImageMismatchError("as if it were ours")

    for handler in (validates, raises_ours):
        outcome = outcome_of(handler, rows("a"))
        assert (ended(outcome), invalid(outcome)) == (([], [0], []), [])


def test_f7_behind_an_invalid_record_its_key_waits() -> None:
    odd = Row("1", "a", new={"status": {"N": "1"}})

    def handler(change: Inserted[Order]) -> None: ...

    outcome = outcome_of(handler, [odd, Row("2", "a", new=status("fine")), *rows("b")])
    assert (ended(outcome), invalid(outcome)) == (([2], [], []), [0])


def test_the_error_of_a_misfit_names_field_and_type_and_never_the_value() -> None:
    async def scene(stage: Stage) -> Outcome:
        def handler(change: Inserted[Order]) -> None: ...

        invoker = typed_invoker(stage, handler, "each")
        outcome = await invoker.invoke(call_with([Row("9", "m", new={"status": {"N": "4711"}})]))
        (entry,) = stage.log.named("record_invalid")
        assert entry["sequence_number"] == "9"
        assert "change Order" in entry["hint"]
        assert "exc_info" not in entry
        assert "4711" not in repr(entry)
        return outcome

    outcome = on_stage(scene)
    assert isinstance(outcome, RecordsEnded)
    failure = outcome.invalid[0].failure
    assert failure.error_type == "ImageMismatchError"
    assert failure.error_message == "an item does not fit Order: status (string_type)"


def test_an_old_image_that_does_not_fit_matters_to_nobody_who_does_not_ask() -> None:
    row = Row("1", "a", new=status("paid"), old={"status": {"N": "1"}})

    def handler(change: Modified[Order]) -> None:
        assert change.new.status == "paid"

    assert outcome_of(handler, [row]) == Succeeded()


def test_an_image_that_the_stream_lacks_is_told_with_the_command_that_helps() -> None:
    async def scene(stage: Stage) -> Outcome:
        def handler(change: Change[Order]) -> None:
            print(change.new)

        invoker = typed_invoker(stage, handler, "each")
        outcome = await invoker.invoke(call_with([Row("1", "a", kind="INSERT")]))
        (entry,) = stage.log.named("handler_failed")
        assert "triggerkit enable-stream orders NEW_AND_OLD_IMAGES" in entry["hint"]
        return outcome

    outcome = on_stage(scene)
    assert isinstance(outcome, RecordsEnded)
    assert outcome.failed[0].failure.error_type == "ImageNotInStream"


def test_c8_a_typed_handler_gets_the_empty_map_of_dynamodb_local() -> None:
    seen: list[Tagged] = []

    def each(change: Change[Tagged]) -> None:
        seen.append(change.new)  # type: ignore[arg-type]

    def batch(changes: Batch[Change[Tagged]]) -> None:
        seen.extend(change.new for change in changes)  # type: ignore[misc]

    row = Row("1", "a", new={"tags": {}, "lines": {"L": [{}]}})
    assert outcome_of(each, [row], unit="each") == Succeeded()
    assert outcome_of(batch, [row], unit="batch") == Succeeded()
    assert seen == [Tagged("a", {}, [{}])] * 2


def test_a_broken_record_fails_by_itself() -> None:
    odd = Row("5", "o", new=status("x"), kind="UPSERT")  # type: ignore[arg-type]
    assert ended(outcome_of(lambda change: None, [*rows("a"), odd])) == ([0], [1], [])


def test_when_all_records_fail_the_log_shows_some_and_counts_the_rest() -> None:
    async def scene(stage: Stage) -> None:
        invoker = typed_invoker(stage, ends_as_told, "each")
        await invoker.invoke(call_with([Row(str(n), f"x{n}", status("x")) for n in range(20)]))
        assert len(stage.log.named("handler_failed")) == 3
        (rest,) = stage.log.named("more_records_failed")
        assert rest["records"] == 17
        assert "sequence_number" not in rest

    on_stage(scene)


def test_what_a_handler_prints_is_told_with_its_record() -> None:
    async def scene(stage: Stage) -> list[tuple[str, str]]:
        def handler(change: Inserted[Order]) -> None:
            context_log(change.new.status)

        def context_log(text: str) -> None:
            stage.log.logger().info("mine", text=text)

        invoker = typed_invoker(stage, handler, "each")
        await invoker.invoke(call_with(rows("ab")))
        return [(entry["text"], entry["sequence_number"]) for entry in stage.log.named("mine")]

    assert on_stage(scene) == [("a0", "0"), ("b1", "1")]


# --- order and concurrency ------------------------------------------------------------------------


def test_a_sync_handler_gets_the_records_one_after_the_other() -> None:
    seen: list[str] = []
    threads: set[str] = set()

    def handler(change: Inserted[Order]) -> None:
        seen.append(change.sequence_number)
        threads.add(threading.current_thread().name)

    assert outcome_of(handler, rows("abacab")) == Succeeded()
    assert seen == list("012345")
    assert len(threads) == 1


def test_an_async_handler_gets_different_keys_together_and_one_key_in_order() -> None:
    seen: dict[str, list[str]] = {}
    running: set[str] = set()
    most = 0

    async def handler(change: Inserted[Order]) -> None:
        nonlocal most
        key = change.keys["id"]
        assert key not in running, "one item, one at a time"
        running.add(key)
        most = max(most, len(running))
        for _ in range(3):
            await asyncio.sleep(0)
        running.discard(key)
        seen.setdefault(key, []).append(change.sequence_number)

    assert outcome_of(handler, rows("abcabcab")) == Succeeded()
    assert seen == {"a": ["0", "3", "6"], "b": ["1", "4", "7"], "c": ["2", "5"]}
    assert most == 3


def test_maximum_concurrency_bounds_the_handler_over_all_its_batches() -> None:
    running = most = 0

    async def handler(change: Inserted[Order]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    async def scene(stage: Stage) -> None:
        invoker = typed_invoker(stage, handler, "each", maximum_concurrency=3)
        calls = [invoker.invoke(call_with(rows("abcdefgh"))) for _ in range(4)]
        assert await asyncio.gather(*calls) == [Succeeded()] * 4

    on_stage(scene)
    assert most == 3


def test_a_timeout_is_for_one_record() -> None:
    async def handler(change: Inserted[Order]) -> None:
        if change.keys["id"] == "x":
            await asyncio.sleep(60)
        await asyncio.sleep(0.001)

    outcome = outcome_of(handler, rows("axaaaa"), timeout_seconds=0.05)
    assert ended(outcome) == ([0, 2, 3, 4, 5], [1], [])
    assert isinstance(outcome, RecordsEnded)
    assert outcome.failed[0].failure.error_type == "Sandbox.Timedout"


def test_a_handler_that_cancels_itself_has_failed() -> None:
    async def handler(change: Inserted[Order]) -> None:
        if change.keys["id"] == "x":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    assert ended(outcome_of(handler, rows("axa"))) == ([0, 2], [1], [])


@pytest.mark.parametrize("exit_with", [SystemExit, KeyboardInterrupt])
def test_a_handler_that_ends_the_process_fails_its_record_only(
    exit_with: type[BaseException],
) -> None:
    async def handler(change: Inserted[Order]) -> None:
        if change.keys["id"] == "x":
            raise exit_with

    assert ended(outcome_of(handler, rows("axa"))) == ([0, 2], [1], [])


# --- stopping -------------------------------------------------------------------------------------


def test_cancelling_an_async_call_keeps_what_is_done_and_costs_the_rest_no_attempt() -> None:
    async def scene(stage: Stage) -> Outcome:
        reached = threading.Event()

        async def handler(change: Inserted[Order]) -> None:
            if change.keys["id"] == "slow":
                reached.set()
                await asyncio.sleep(60)

        given = [*rows("ab"), Row("8", "slow", status("x")), Row("9", "slow", status("y"))]
        call = call_with(given)
        invoker = typed_invoker(stage, handler, "each")
        running = asyncio.ensure_future(invoker.invoke(call))
        assert await asyncio.to_thread(reached.wait, 10)
        await invoker.cancel(call.request_id)
        return await running

    assert on_stage(scene) == RecordsEnded((0, 1))


def test_cancelling_a_sync_call_stops_it_behind_the_present_record() -> None:
    async def scene(stage: Stage) -> tuple[Outcome, list[Any]]:
        reached, go_on = threading.Event(), threading.Event()

        def handler(change: Inserted[Order]) -> None:
            reached.set()
            assert go_on.wait(10)

        call = call_with(rows("abc"))
        invoker = typed_invoker(stage, handler, "each")
        running = asyncio.ensure_future(invoker.invoke(call))
        assert await asyncio.to_thread(reached.wait, 10)
        await invoker.cancel(call.request_id)
        go_on.set()
        return await running, stage.log.named("call_not_stopped")

    assert on_stage(scene) == (RecordsEnded((0,)), [])


def test_a_call_that_is_cancelled_before_any_record_was_not_made() -> None:
    async def handler(change: Inserted[Order]) -> None:
        await asyncio.sleep(60)

    async def scene(stage: Stage) -> Outcome:
        call = call_with(rows("abc"))
        invoker = typed_invoker(stage, handler, "each")
        running = asyncio.ensure_future(invoker.invoke(call))
        await asyncio.sleep(0)
        await invoker.cancel(call.request_id)
        return await running

    assert isinstance(on_stage(scene), NotInvoked)


@dataclass
class Deadline:
    """Infinite for so many questions, then past."""

    questions: int

    def __call__(self) -> float:
        self.questions -= 1
        return math.inf if self.questions >= 0 else 0.0


@pytest.mark.parametrize("handler", [ends_as_told, ends_as_told_async])
def test_no_record_is_begun_past_the_time_until_when_the_worker_may_act(handler: Any) -> None:
    late = outcome_of(handler, (), call=call_with(rows("abc"), deadline=Deadline(0)))
    assert isinstance(late, NotInvoked)
    cut = outcome_of(handler, (), call=call_with(rows("abc"), deadline=Deadline(2)))
    assert cut == RecordsEnded((0, 1))
