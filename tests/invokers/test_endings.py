"""How calls end: what a handler returns or raises, in Lambda's words, and what the log tells."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from invokers.handler_stage import Stage, failure_of, invocation, on_stage, outcome_of

from triggerkit.core.model import LastFailure
from triggerkit.core.outcome import (
    Discard,
    Failed,
    GivenUp,
    Outcome,
    PartlyFailed,
    Retry,
    Succeeded,
)


def test_what_a_handler_returns_is_ignored_unless_it_reports() -> None:
    answer = {"batchItemFailures": [{"itemIdentifier": "2"}]}
    call = invocation("1", "2", request_id="id")

    def handler(event: object, context: object) -> object:
        return answer

    assert outcome_of(handler, call) == Succeeded()  # F-10
    reported = LastFailure("id", "BatchItemFailures", "1 reported", reported=True)
    expected = PartlyFailed(1, reported)
    assert outcome_of(handler, call, report_batch_item_failures=True) == expected


@pytest.mark.parametrize("result", [None, {}, [1.5, "é"], "text", b"\xff", Decimal("1.5"), {1: 2}])
def test_a_result_that_lambda_could_send_is_a_success(result: object) -> None:
    assert outcome_of(lambda event, context: result) == Succeeded()


@pytest.mark.parametrize(
    ("result", "error_type", "message"),
    [
        (
            object(),
            "Runtime.MarshalError",
            "Unable to marshal response: Object of type object is not JSON serializable",
        ),
        (
            {"at": {1}},
            "Runtime.MarshalError",
            "Unable to marshal response: Object of type set is not JSON serializable",
        ),
        (
            "é" * 3_200_000,
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        ),
    ],
)
def test_a_result_that_lambda_could_not_send_is_a_failure(
    result: object, error_type: str, message: str
) -> None:
    failure = failure_of(outcome_of(lambda event, context: result))  # F-4, H-4, H-11
    assert (failure.error_type, failure.error_message) == (error_type, message)


def test_a_sync_handler_that_returns_something_to_await_is_told_to_be_async() -> None:
    async def inner() -> None: ...

    async def scene(stage: Stage) -> None:
        future = asyncio.get_running_loop().create_future()
        for returned, name in ((inner(), "coroutine"), (future, "Future")):
            handler = lambda event, context, returned=returned: returned  # noqa: E731
            outcome = await stage.invoker(handler).invoke(invocation())
            message = f"Unable to marshal response: Object of type {name} is not JSON serializable"
            assert failure_of(outcome).error_message.replace("_asyncio.", "") == message
        assert all("async def" in told["hint"] for told in stage.log.named("handler_failed"))

    on_stage(scene)


class NamedLikeThisError(Exception):
    pass


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("raised", "error_type", "message"),
    [
        (NamedLikeThisError("bad order"), "NamedLikeThisError", "bad order"),
        (KeyError("id"), "KeyError", "'id'"),
        (TimeoutError("its own"), "TimeoutError", "its own"),
        (
            asyncio.CancelledError("its own"),
            "Runtime.ExitError",
            "RequestId: id Error: Runtime exited with error: exit status 1",
        ),
        (
            SystemExit(),
            "Runtime.ExitError",
            "RequestId: id Error: Runtime exited without providing a reason",
        ),
        (
            SystemExit(0),
            "Runtime.ExitError",
            "RequestId: id Error: Runtime exited without providing a reason",
        ),
        (
            SystemExit(127),
            "Runtime.ExitError",
            "RequestId: id Error: Runtime exited with error: exit status 127",
        ),
        (
            SystemExit("give up"),
            "Runtime.ExitError",
            "RequestId: id Error: Runtime exited with error: exit status 1",
        ),
        (
            KeyboardInterrupt(),
            "Runtime.ExitError",
            "RequestId: id Error: Runtime exited with error: signal: interrupt",
        ),
        (
            BaseException("bare"),
            "Runtime.ExitError",
            "RequestId: id Error: Runtime exited with error: exit status 1",
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, BaseException) else "",
)
def test_whatever_a_handler_raises_is_a_failed_call_and_the_next_one_works(
    raised: BaseException, error_type: str, message: str, *, is_async: bool
) -> None:
    calls = 0

    def sync_handler(event: object, context: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise raised

    async def async_handler(event: object, context: object) -> None:
        sync_handler(event, context)

    async def scene(stage: Stage) -> tuple[Outcome, Outcome]:
        invoker = stage.invoker(async_handler if is_async else sync_handler)
        first = await invoker.invoke(invocation(request_id="id"))
        return first, await invoker.invoke(invocation())

    first, second = on_stage(scene)
    assert first == Failed(LastFailure("id", error_type, message))
    assert second == Succeeded()


def test_an_exception_that_cannot_even_be_shown_is_a_failed_call() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    def handler(event: object, context: object) -> None:
        raise MuteError

    assert failure_of(outcome_of(handler)).error_message == "<MuteError that cannot be shown>"


def test_retry_carries_its_delay_and_discard_gives_up() -> None:
    def retrying(event: object, context: object) -> None:
        raise Retry(after=30)

    def discarding(event: object, context: object) -> None:
        raise Discard("bad order")

    call = invocation(request_id="id")
    assert outcome_of(retrying, call) == Failed(
        LastFailure("id", "Retry", "retry after 30 s"), retry_after_seconds=30
    )
    assert outcome_of(discarding, call) == GivenUp(LastFailure("id", "Discard", "bad order"))


def test_the_lone_retry_of_a_task_group_counts_as_raised_by_the_handler() -> None:
    async def asking() -> None:
        raise Retry(after=5)

    async def breaking() -> None:
        raise ValueError("bad")

    async def lone(event: object, context: object) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asking())

    async def mixed(event: object, context: object) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asking())
            group.create_task(breaking())

    outcome = outcome_of(lone)
    assert isinstance(outcome, Failed)
    assert outcome.retry_after_seconds == 5
    assert outcome.failure.error_type == "Retry"
    outcome = outcome_of(mixed)
    assert isinstance(outcome, Failed)
    assert outcome.retry_after_seconds is None
    assert outcome.failure.error_type == "ExceptionGroup"


def test_a_record_that_cannot_be_decoded_is_a_failed_call() -> None:
    class Broken:
        raw = b"{"

    call = invocation()
    broken = call.source
    broken.to_event = lambda raw, stream_arn: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    for mode in ("none", "full"):
        outcome = outcome_of(lambda event, context: None, call, shown_records=mode)
        assert failure_of(outcome).error_type == "ZeroDivisionError"


def test_the_log_of_a_failure_has_the_users_traceback_without_ours() -> None:
    def deepest() -> None:
        raise ValueError("bad order")

    def handler(event: object, context: object) -> None:
        try:
            deepest()
        except ValueError as error:
            raise RuntimeError("outer") from error

    async def scene(stage: Stage) -> None:
        await stage.invoker(handler).invoke(invocation(request_id="id"))
        (told,) = stage.log.named("handler_failed")
        assert (told["level"], told["error_type"], told["error_message"]) == (
            "error",
            "RuntimeError",
            "outer",
        )
        assert (told["trigger"], told["shard"], told["request_id"], told["attempt"]) == (
            "notify",
            "shardId-1",
            "id",
            1,
        )
        error = told["exc_info"]
        first = error.__traceback__.tb_frame.f_code
        assert (first.co_filename, first.co_name) == (__file__, "handler")
        assert error.__cause__.__traceback__.tb_frame.f_code.co_filename == __file__
        assert "shown_records" not in told

    on_stage(scene)


@pytest.mark.parametrize(
    ("mode", "shown"),
    [("keys", [{"id": {"S": "key-1"}}]), ("full", "eventID")],
)
def test_records_are_logged_only_on_request(mode: str, shown: object) -> None:
    def handler(event: object, context: object) -> None:
        raise ValueError

    async def scene(stage: Stage) -> object:
        await stage.invoker(handler, shown_records=mode).invoke(invocation("1"))
        (told,) = stage.log.named("handler_failed")
        return told["shown_records"]

    found = on_stage(scene)
    assert isinstance(found, list)
    assert found == shown or shown in found[0]
