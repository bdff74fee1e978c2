"""Typed handlers in a running engine: nobody is called twice for what is done, nobody is lost."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from invokers.handler_stage import ListedLog
from invokers.typed_stage import Row, status
from pydantic import BaseModel
from runtime.fakes import FakeDestination, FakeSource, LoopClock
from runtime.test_engine import World, run

from triggerkit import Batch, Change, Discard, Inserted, Retry, Triggers
from triggerkit.core.model import Record
from triggerkit.core.options import MappingOptions
from triggerkit.invokers.calls import HandlerSettings
from triggerkit.invokers.inprocess import InProcessInvoker
from triggerkit.ports import Event
from triggerkit.runtime.handlers import callable_of
from triggerkit.testing.inline import InlineHandlers


class JsonSource(FakeSource):
    """A fake source whose records are whole event elements."""

    def to_event(self, raw: bytes, stream_arn: str) -> Event:
        event: Event = json.loads(raw)
        return event


def records(keys: str) -> list[Record]:
    """One insert a letter; `x` does not fit its model."""
    return [
        Row(str(n), key, new=status(f"{key}{n}") if key != "x" else {"status": {"N": "1"}}).record()
        for n, key in enumerate(keys)
    ]


def invoker_of(function: Callable[..., Any], unit: str, places: InlineHandlers) -> InProcessInvoker:
    handlers = Triggers("shop")
    getattr(handlers, unit)("dynamodb://orders")(function)
    (trigger,) = handlers.triggers
    return InProcessInvoker(
        "orders",
        callable_of(trigger),
        HandlerSettings(is_async=trigger.is_async),
        lifespan=None,
        places=places,
        clock=LoopClock(),
        log=ListedLog().logger(),
    )


class Item(BaseModel):
    id: str
    status: str


def played(
    function: Callable[..., Any], keys: str, *, unit: str = "each", **options: Any
) -> list[tuple[list[str], str]]:
    """Run a worker over one shard until all is saved; the failure records, by keys and condition."""
    destination, places = FakeDestination(), InlineHandlers()

    async def scenario() -> None:
        source = JsonSource({"s1": records(keys)})
        world = World(
            source,
            MappingOptions(**options),
            invoker=invoker_of(function, unit, places),  # type: ignore[arg-type]
            destination=destination,
        )
        world.engine.start()
        await world.until(world.is_saved)
        (lease,) = await world.store.read("app:orders:t:")
        assert lease.checkpoint.sequence_number == str(len(keys) - 1)
        await world.stop()
        await places.close()

    run(scenario)
    told = []
    for sent in destination.records:
        elements = json.loads(sent.payload())["Records"]
        context = sent.document["requestContext"]
        assert isinstance(context, dict)
        sequence_numbers = [element["dynamodb"]["SequenceNumber"] for element in elements]
        told.append((sequence_numbers, context["condition"]))
    return told


def test_done_neighbours_are_not_called_again_while_one_record_is_retried() -> None:
    calls: Counter[str] = Counter()

    async def handler(change: Change[Item]) -> None:
        calls[change.sequence_number] += 1
        if change.sequence_number == "2" and calls["2"] < 4:
            raise Retry(after=0)

    assert played(handler, "abcab") == []
    assert calls == {"0": 1, "1": 1, "2": 4, "3": 1, "4": 1}


def test_later_records_of_a_failing_key_wait_and_all_come_in_order() -> None:
    seen: list[str] = []
    refused: Counter[str] = Counter()

    def handler(change: Inserted[Item]) -> None:
        refused[change.sequence_number] += 1
        if change.sequence_number in ("0", "2") and refused[change.sequence_number] < 3:
            raise Retry(after=0)
        seen.append(change.sequence_number)

    assert played(handler, "abac") == []
    assert seen == ["1", "3", "0", "2"]


def test_one_record_is_discarded_alone_and_the_others_are_done() -> None:
    seen: list[str] = []

    async def handler(change: Inserted[Item]) -> None:
        if change.keys["id"] == "d":
            raise Discard("no")
        seen.append(change.sequence_number)

    assert played(handler, "adbd") == [
        (["1"], "DiscardedByHandler"),
        (["3"], "DiscardedByHandler"),
    ]
    assert seen == ["0", "2"]


def test_a_record_that_does_not_fit_uses_up_its_own_allowance_only() -> None:
    seen: list[str] = []

    def handler(change: Inserted[Item]) -> None:
        seen.append(change.sequence_number)

    told = played(handler, "axbx", maximum_retry_attempts=0, on_invalid="retry")
    assert told == [(["1"], "RetryAttemptsExhausted"), (["3"], "RetryAttemptsExhausted")]
    assert seen == ["0", "2"]


def test_f7_a_record_that_does_not_fit_is_given_up_at_once_as_an_invalid_record() -> None:
    seen: list[str] = []

    async def handler(change: Inserted[Item]) -> None:
        seen.append(change.sequence_number)

    told = played(handler, "axbxxa", on_failure="file:x")
    assert told == [([number], "InvalidRecord") for number in ("1", "3", "4")]
    assert sorted(seen) == ["0", "2", "5"]


def test_f7_invalid_records_leave_a_batch_and_the_rest_of_it_goes_on() -> None:
    seen: list[list[str]] = []

    def handler(batch: Batch[Inserted[Item]]) -> None:
        seen.append([change.sequence_number for change in batch])

    told = played(handler, "axbxc", unit="batch", on_failure="file:x")
    assert told == [(["1"], "InvalidRecord"), (["3"], "InvalidRecord")]
    assert seen == [["0", "2", "4"]]


def test_a_misfit_leaves_a_batch_alone() -> None:
    seen: list[list[str]] = []

    def handler(batch: Batch[Inserted[Item]]) -> None:
        seen.append([change.sequence_number for change in batch])

    told = played(handler, "axb", unit="batch", maximum_retry_attempts=0, on_invalid="retry")
    assert told == [(["1"], "RetryAttemptsExhausted")]
    assert seen == [["0", "2"]]


def test_lanes_of_a_shard_end_their_records_one_by_one_too() -> None:
    calls: Counter[str] = Counter()

    async def handler(change: Inserted[Item]) -> None:
        await asyncio.sleep(0)
        calls[change.sequence_number] += 1
        if change.keys["id"] == "d":
            raise Discard("no")
        if change.keys["id"] == "r" and calls[change.sequence_number] < 3:
            raise Retry(after=0)

    keys = "abdrcefghirdj" * 3
    told = played(handler, keys, parallelization_factor=4, batch_size=5)
    expected = [str(n) for n, key in enumerate(keys) if key == "d"]
    assert sorted(number for numbers, _ in told for number in numbers) == sorted(expected)
    assert all(len(numbers) == 1 for numbers, _ in told)
    assert calls == {str(n): 3 if key == "r" else 1 for n, key in enumerate(keys)}
