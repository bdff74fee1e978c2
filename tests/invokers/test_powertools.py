"""Powertools' documented way of use: a `BatchProcessor` on module level, which holds one batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from invokers.handler_stage import Stage, invocation, on_stage

from triggerkit.core.outcome import Outcome, PartlyFailed, Succeeded
from triggerkit.invokers.inprocess import InProcessInvoker

processor = BatchProcessor(event_type=EventType.DynamoDBStreams)


def handler_for(
    record_handler: Callable[[DynamoDBRecord], None],
) -> Callable[[dict[str, Any], LambdaContext], Any]:
    def handler(event: dict[str, Any], context: LambdaContext) -> Any:
        return process_partial_response(
            event=event, record_handler=record_handler, processor=processor, context=context
        )

    return handler


def number_of(record: DynamoDBRecord) -> str:
    assert record.dynamodb is not None
    number = record.dynamodb.sequence_number
    assert number is not None
    return number


async def lane(invoker: InProcessInvoker, name: str) -> list[Outcome]:
    outcomes = []
    for batch in range(50):
        numbers = [f"{name}-{batch}-{index}" for index in range(5)]
        outcomes.append(await invoker.invoke(invocation(*numbers)))
    return outcomes


def is_right(batch: int, outcome: Outcome) -> bool:
    failing = batch % 6
    if failing == 5:
        return outcome == Succeeded()
    return isinstance(outcome, PartlyFailed) and outcome.index == failing


def test_two_lanes_through_one_trigger_give_right_answers_for_100_of_100_batches() -> None:
    """Batch `n` of a lane is five records, of which number `n % 6` fails; at 5 none does."""

    def record_handler(record: DynamoDBRecord) -> None:
        for _ in range(500):  # give another thread its chance, were there one
            pass
        _, batch, index = number_of(record).split("-")
        if int(batch) % 6 == int(index):
            raise ValueError("poison")

    async def scene(stage: Stage) -> list[list[Outcome]]:
        invoker = stage.invoker(handler_for(record_handler), report_batch_item_failures=True)
        return await asyncio.gather(lane(invoker, "1"), lane(invoker, "2"))

    right = [
        is_right(batch, outcome)
        for outcomes in on_stage(scene)
        for batch, outcome in enumerate(outcomes)
    ]
    assert right == [True] * 100


def test_with_maximum_concurrency_a_shared_processor_mixes_two_batches_up() -> None:
    """Why one call at a time is the rule: `maximum_concurrency=2` is a promise that this breaks.

    Both calls enter their batch, then each fails its own record: the one processor keeps the batch
    that came last, so an answer names a record that is in the other batch.
    """
    both_inside = threading.Barrier(2, timeout=10)

    def record_handler(record: DynamoDBRecord) -> None:
        both_inside.wait()
        if number_of(record).endswith("-1"):
            raise ValueError("poison")

    async def scene(stage: Stage) -> list[Outcome]:
        invoker = stage.invoker(
            handler_for(record_handler), report_batch_item_failures=True, maximum_concurrency=2
        )
        batches = [[f"{lane}-0", f"{lane}-1", f"{lane}-2"] for lane in ("1", "2")]
        return await asyncio.gather(*(invoker.invoke(invocation(*batch)) for batch in batches))

    right = [
        isinstance(outcome, PartlyFailed) and outcome.index == 1 for outcome in on_stage(scene)
    ]
    assert right != [True, True]
