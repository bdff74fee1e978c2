"""Handlers called in the process: where they run, how calls end, and that none can hurt the worker."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest
from invokers.handler_stage import Stage, failure_of, invocation, on_stage, outcome_of

from triggerkit.core.model import LastFailure
from triggerkit.core.outcome import (
    NotInvoked,
    Outcome,
    Succeeded,
)
from triggerkit.errors import OptionError
from triggerkit.invokers.calls import CANCELLED, CallHandle


def test_a_handler_gets_the_records_in_order_and_a_fresh_event_for_each_attempt() -> None:
    seen: list[list[str]] = []

    def handler(event: dict[str, Any], context: object) -> None:
        assert list(event) == ["Records"]
        seen.append([record["eventID"] for record in event["Records"]])
        event["Records"][0]["dynamodb"].clear()
        event["Records"].clear()

    async def scene(stage: Stage) -> None:
        invoker = stage.invoker(handler)
        for _ in range(2):
            assert await invoker.invoke(invocation("1", "2", "3")) == Succeeded()

    on_stage(scene)
    assert seen == [["1", "2", "3"]] * 2


def test_a_sync_handler_runs_one_call_at_a_time_on_one_thread_of_its_own() -> None:
    running = 0
    most = 0
    threads: set[str] = set()

    def handler(event: object, context: object) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        threads.add(threading.current_thread().name)
        for _ in range(2000):
            pass
        running -= 1

    async def scene(stage: Stage) -> None:
        invoker = stage.invoker(handler)
        await asyncio.gather(*(invoker.invoke(invocation()) for _ in range(40)))

    on_stage(scene)
    assert most == 1
    assert threads == {"triggerkit-handler-notify-1"}


def test_maximum_concurrency_gives_a_sync_handler_that_many_threads_and_no_more() -> None:
    meeting = threading.Barrier(3, timeout=10)
    threads: set[str] = set()

    def handler(event: object, context: object) -> None:
        threads.add(threading.current_thread().name)
        meeting.wait()

    async def scene(stage: Stage) -> list[Outcome]:
        invoker = stage.invoker(handler, maximum_concurrency=3)
        return await asyncio.gather(*(invoker.invoke(invocation()) for _ in range(9)))

    assert on_stage(scene) == [Succeeded()] * 9
    assert len(threads) == 3


def test_a_slow_trigger_does_not_hold_up_another() -> None:
    gate = threading.Event()

    async def scene(stage: Stage) -> Outcome:
        slow = stage.invoker(lambda event, context: gate.wait(10) and None, name="slow")
        quick = stage.invoker(lambda event, context: None, name="quick")
        waiting = asyncio.ensure_future(slow.invoke(invocation()))
        outcome = await quick.invoke(invocation())
        gate.set()
        await waiting
        return outcome

    assert on_stage(scene) == Succeeded()


def test_async_handlers_run_at_once_on_the_one_handler_loop() -> None:
    threads: set[str] = set()
    waiting: list[asyncio.Event] = []

    async def handler(event: object, context: object) -> None:
        threads.add(threading.current_thread().name)
        mine = asyncio.Event()
        waiting.append(mine)
        if len(waiting) == 10:  # only if ten calls are under way can any of them end
            for other in waiting:
                other.set()
        await mine.wait()

    async def scene(stage: Stage) -> list[Outcome]:
        invokers = [stage.invoker(handler, name=name) for name in ("one", "two")]
        calls = [invoker.invoke(invocation()) for invoker in invokers for _ in range(5)]
        return await asyncio.gather(*calls)

    assert on_stage(scene) == [Succeeded()] * 10
    assert threads == {"triggerkit-handler-loop"}


def test_maximum_concurrency_limits_an_async_handler() -> None:
    running = 0
    most = 0
    meeting = asyncio.Barrier(2)  # no call can end without a second one

    async def handler(event: object, context: object) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await meeting.wait()
        running -= 1

    async def scene(stage: Stage) -> None:
        invoker = stage.invoker(handler, maximum_concurrency=2)
        async with asyncio.timeout(10):
            await asyncio.gather(*(invoker.invoke(invocation()) for _ in range(12)))

    on_stage(scene)
    assert most == 2


def test_an_async_handler_is_cancelled_at_its_timeout() -> None:
    cleaned: list[str] = []

    async def handler(event: object, context: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("up")

    outcome = outcome_of(handler, invocation(request_id="id"), timeout_seconds=0.05)
    assert failure_of(outcome) == LastFailure(
        "id", "Sandbox.Timedout", "RequestId: id Error: Task timed out after 0.05 seconds"
    )  # H-9
    assert cleaned == ["up"]


def test_a_handler_that_swallows_its_timeout_has_timed_out_all_the_same() -> None:
    async def handler(event: object, context: object) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "never mind"
        return "unreached"

    outcome = outcome_of(handler, timeout_seconds=0.05)
    assert failure_of(outcome).error_type == "Sandbox.Timedout"


def test_a_timeout_on_a_sync_handler_is_refused() -> None:
    async def scene(stage: Stage) -> None:
        with pytest.raises(OptionError, match="trigger 'notify': timeout=3 on a sync handler"):
            stage.invoker(lambda event, context: None, timeout_seconds=3.0)

    on_stage(scene)


@pytest.mark.parametrize("inline", [False, True])
def test_a_running_async_call_is_cancelled_and_costs_no_attempt(*, inline: bool) -> None:
    began = threading.Event()

    async def handler(event: object, context: object) -> None:
        began.set()
        await asyncio.Event().wait()

    async def scene(stage: Stage) -> Outcome:
        invoker = stage.invoker(handler)
        waiting = asyncio.ensure_future(invoker.invoke(invocation(request_id="id")))
        while not began.is_set():
            await asyncio.sleep(0)
        await invoker.cancel("id")
        outcome = await waiting
        await invoker.cancel("id")  # nothing of that name: no harm
        return outcome

    assert isinstance(on_stage(scene, inline=inline), NotInvoked)


def test_an_async_call_that_finishes_regardless_of_being_cancelled_counts() -> None:
    began = threading.Event()

    async def handler(event: object, context: object) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    async def scene(stage: Stage) -> Outcome:
        invoker = stage.invoker(handler)
        waiting = asyncio.ensure_future(invoker.invoke(invocation(request_id="id")))
        while not began.is_set():
            await asyncio.sleep(0)
        await invoker.cancel("id")
        return await waiting

    assert on_stage(scene) == Succeeded()


def test_a_running_sync_call_cannot_be_stopped_and_one_that_waits_never_begins() -> None:
    gate, began = threading.Event(), threading.Event()
    calls: list[str] = []

    def handler(event: object, context: Any) -> None:
        calls.append(context.aws_request_id)
        began.set()
        gate.wait(10)

    async def scene(stage: Stage) -> list[Outcome]:
        invoker = stage.invoker(handler)
        names = ("runs", "waits", "goes-on")
        waiting = [
            asyncio.ensure_future(invoker.invoke(invocation(request_id=name))) for name in names
        ]
        while not began.is_set():
            await asyncio.sleep(0)
        await invoker.cancel("runs")
        await invoker.cancel("waits")
        (told,) = stage.log.named("call_not_stopped")
        assert told["request_id"] == "runs"
        gate.set()
        return await asyncio.gather(*waiting)

    runs, waits, goes_on = on_stage(scene)
    assert runs == goes_on == Succeeded()
    assert isinstance(waits, NotInvoked)
    assert calls == ["runs", "goes-on"]


def test_a_wait_for_a_turn_that_is_given_up_lets_the_next_one_in() -> None:
    gate = threading.Event()

    async def scene(stage: Stage) -> list[Outcome]:
        invoker = stage.invoker(lambda event, context: gate.wait(10) and None)
        waiting = [asyncio.ensure_future(invoker.invoke(invocation())) for _ in range(4)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        gate.set()
        await asyncio.wait(waiting)
        return [wait.result() for wait in waiting if not wait.cancelled()]

    assert on_stage(scene) == [Succeeded()] * 3


def test_a_context_variable_set_by_one_call_is_not_seen_by_the_next() -> None:
    import contextvars

    variable = contextvars.ContextVar("variable", default=0)
    seen: list[int] = []

    def handler(event: object, context: object) -> None:
        seen.append(variable.get())
        variable.set(1)

    async def scene(stage: Stage) -> None:
        invoker = stage.invoker(handler)
        for _ in range(2):
            await invoker.invoke(invocation())

    on_stage(scene)
    assert seen == [0, 0]


def test_a_task_of_the_users_that_exits_does_not_end_the_handler_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def leaving() -> None:
        sys.exit(1)

    async def handler(event: object, context: object) -> None:
        task = asyncio.get_running_loop().create_task(leaving())
        await asyncio.wait({task})
        task.exception()

    assert outcome_of(handler) == Succeeded()


def test_no_call_begins_past_the_time_until_when_the_worker_may_act() -> None:
    """A process that stood still between decision and call finds that its shard may be another's."""
    begun: list[object] = []

    async def handler_async(event: object, context: object) -> None:
        begun.append(event)

    for handler in (lambda event, context: begun.append(event), handler_async):
        late = outcome_of(handler, invocation(deadline=lambda: 0.0))
        assert isinstance(late, NotInvoked)
        assert "may act" in late.reason
        assert begun == []
        assert outcome_of(handler, invocation(deadline=lambda: 1e12)) == Succeeded()
        assert len(begun) == 1
        begun.clear()


def test_a_call_that_was_cancelled_on_its_way_to_the_thread_never_begins() -> None:
    begun: list[object] = []

    async def scene(stage: Stage) -> Outcome:
        invoker = stage.invoker(lambda event, context: begun.append(event))
        handle = CallHandle()
        handle.cancel()
        return invoker._called.call(invocation(), handle)

    assert on_stage(scene) == CANCELLED
    assert begun == []
