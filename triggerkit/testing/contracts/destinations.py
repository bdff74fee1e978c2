"""What every destination promises, as tests over a `DestinationWorld` that a fixture `world` makes.

What arrived is read at the receiver, never through the destination.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from triggerkit.errors import DestinationError
from triggerkit.ports import Destination, FailureRecord
from triggerkit.testing.contracts.refusals import refused

EVENT = {"Records": [{"eventID": "1", "dynamodb": {"Keys": {"id": {"S": '\u00e4\n"1"'}}}}]}
DOCUMENT: Mapping[str, object] = {
    "requestContext": {
        "requestId": "00000000-0000-4000-8000-000000000000",
        "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:notify",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 3,
    },
    "responseContext": {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    },
    "version": "1.0",
    "timestamp": "2027-01-15T08:00:00.000Z",
    "DDBStreamBatchInfo": {
        "shardId": "shardId-00000001800000000000-00000000",
        "startSequenceNumber": "800000000003126276362",
        "endSequenceNumber": "800000000003126276362",
        "approximateArrivalOfFirstRecord": "2027-01-15T07:59:00Z",
        "approximateArrivalOfLastRecord": "2027-01-15T07:59:00Z",
        "batchSize": 1,
        "streamArn": "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2027",
    },
}


class DestinationWorld(Protocol):
    """One empty place that records are sent to."""

    def open(self) -> Destination:
        """A destination that sends there; a new one each time."""
        ...

    def open_broken(self) -> Destination:
        """One that sends where nothing can be written."""
        ...

    def documents(self) -> Sequence[Mapping[str, Any]]:
        """What has arrived, oldest first, as JSON objects with the fields of the document."""
        ...


def failure(trigger: str = "notify", number: int = 1) -> FailureRecord:
    """A failure record; `number` is its `approximateInvokeCount`."""
    context = dict(DOCUMENT["requestContext"])  # type: ignore[call-overload]
    document = {**DOCUMENT, "requestContext": {**context, "approximateInvokeCount": number}}
    text = json.dumps(EVENT, ensure_ascii=False)
    return FailureRecord(trigger, "shardId-00000001800000000000-00000000", document, text.encode)


def counts(world: DestinationWorld) -> list[int]:
    """The numbers of the documents that have arrived."""
    return [one["requestContext"]["approximateInvokeCount"] for one in world.documents()]


class DestinationContract:
    """Promises about sending."""

    def test_preparing_writes_nothing_and_may_be_repeated(self, world: DestinationWorld) -> None:
        async def use() -> None:
            destination = world.open()
            await destination.prepare()
            await destination.prepare()
            await destination.close()

        asyncio.run(use())
        assert list(world.documents()) == []

    def test_what_was_sent_has_arrived_whole_when_send_returns(
        self, world: DestinationWorld
    ) -> None:
        async def use() -> None:
            destination = world.open()
            await destination.prepare()
            await destination.send(failure())
            (document,) = world.documents()
            for name, value in failure().document.items():
                assert document[name] == value
            await destination.close()

        asyncio.run(use())

    def test_records_of_several_triggers_and_openings_all_arrive(
        self, world: DestinationWorld
    ) -> None:
        async def use(first: int) -> None:
            destination = world.open()
            await destination.prepare()
            for number in range(first, first + 5):
                await destination.send(failure(f"trigger{number % 2}", number))
            await destination.close()

        asyncio.run(use(0))
        asyncio.run(use(5))
        assert sorted(counts(world)) == list(range(10))

    def test_sending_at_the_same_time_loses_nothing(self, world: DestinationWorld) -> None:
        async def use() -> None:
            one, other = world.open(), world.open()
            await asyncio.gather(one.prepare(), other.prepare())
            sending = [
                (one, other)[number % 2].send(failure(number=number)) for number in range(20)
            ]
            await asyncio.gather(*sending)
            await asyncio.gather(one.close(), other.close())

        asyncio.run(use())
        assert sorted(counts(world)) == list(range(20))

    def test_a_place_that_refuses_is_an_error_with_a_hint(self, world: DestinationWorld) -> None:
        async def use() -> None:
            destination = world.open_broken()
            with refused(DestinationError):
                await destination.prepare()
            hint = ""
            try:
                await destination.send(failure())
            except DestinationError as error:
                hint = error.hint
            assert hint, "send() raised no DestinationError, or one without a hint"
            await destination.close()

        asyncio.run(use())
        assert list(world.documents()) == []
