"""The context object: every attribute of Lambda's, of Lambda's type, and three of ours."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext
from invokers.handler_stage import Stage, batch_of, invocation, on_stage, own_streams

from triggerkit.invokers.context import LONGEST_CALL_MILLISECONDS, InvocationContext
from triggerkit.runtime.clock import SystemClock
from triggerkit.triggers import Context


def context_seen(call: Any = None, **settings: Any) -> InvocationContext[None]:
    seen: list[InvocationContext[None]] = []

    async def scene(stage: Stage) -> None:
        invoker = stage.invoker(lambda event, context: seen.append(context), **settings)
        await invoker.start()
        await invoker.invoke(call or invocation(request_id="id"))

    on_stage(scene)
    return seen[0]


def test_every_attribute_of_lambda_is_there_with_its_type() -> None:
    context = context_seen()
    assert context.function_name == "notify"
    assert context.function_version == "$LATEST"
    assert context.invoked_function_arn.endswith(":function:notify")
    assert context.memory_limit_in_mb == "128"
    assert context.aws_request_id == "id"
    assert context.log_group_name == "/aws/lambda/notify"
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", context.log_stream_name)
    assert context.identity.cognito_identity_id is None
    assert context.identity.cognito_identity_pool_id is None
    assert context.client_context is None
    assert context.tenant_id is None


def test_our_own_attributes_tell_the_trigger_the_attempt_and_the_resources() -> None:
    context = context_seen(invocation(batch=batch_of(["1"], attempts=2)))
    assert (context.trigger, context.attempt, context.resources) == ("notify", 3, None)


def test_the_remaining_time_falls_to_zero_and_not_below() -> None:
    left = [2.5, 0.0004, -3.0]
    context = InvocationContext("notify", None, lambda: left.pop(0), request_id="id")
    assert [context.get_remaining_time_in_millis() for _ in range(3)] == [2500, 0, 0]


def test_a_call_without_a_deadline_has_lambdas_longest_time() -> None:
    assert context_seen().get_remaining_time_in_millis() == LONGEST_CALL_MILLISECONDS


@pytest.mark.parametrize(("deadline_seconds", "timeout_seconds"), [(5.0, 60.0), (60.0, 5.0)])
def test_the_earlier_of_deadline_and_timeout_counts(
    deadline_seconds: float, timeout_seconds: float
) -> None:
    seen: list[int] = []

    async def handler(event: object, context: Context[None]) -> None:
        seen.append(context.get_remaining_time_in_millis())

    async def scene(stage: Stage) -> None:
        ends = SystemClock().now().monotonic_seconds + deadline_seconds
        invoker = stage.invoker(handler, timeout_seconds=timeout_seconds)
        await invoker.invoke(invocation(deadline=lambda: ends))

    on_stage(scene)
    assert 0 < seen[0] <= 5000


def test_powertools_annotation_is_accepted_and_libraries_may_add_attributes() -> None:
    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        context.trace = "x"  # type: ignore[attr-defined]
        names = [name for name in vars(LambdaContext) if not name.startswith("_")]
        return {name: str(getattr(context, name)) for name in names}

    async def scene(stage: Stage) -> None:
        invoker = stage.invoker(handler)
        await invoker.invoke(invocation())
        assert not stage.log.named("handler_failed")

    on_stage(scene)


def test_log_writes_a_line_of_this_call() -> None:
    async def scene(stage: Stage) -> None:
        await stage.invoker(lambda event, context: context.log("hello")).invoke(invocation())
        assert stage.log.printed() == ["hello"]

    with own_streams():
        on_stage(scene)


def test_repr_names_the_fields() -> None:
    context = InvocationContext("notify", object(), lambda: math.inf, request_id="id")
    assert "aws_request_id='id'" in repr(context)
    assert "trigger='notify'" in repr(context)
