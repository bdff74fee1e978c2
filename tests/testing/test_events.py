"""Builders for unit tests: what they make is what a stream makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from triggerkit import Batch, Change, Inserted, Modified, Removed
from triggerkit.errors import ImageNotInStream, UsageError
from triggerkit.testing import inserted, make_context, make_event, modified, record, removed


class Order(BaseModel):
    status: str
    total: int = 0


@dataclass
class Line:
    order: str
    number: int
    price: float


def test_an_event_has_lambda_s_shape_in_lambda_s_order() -> None:
    event = make_event(
        record({"id": "7", "n": 1}), record({"id": "7", "n": 2}, {"id": "7", "n": 1})
    )
    first, second = event["Records"]
    assert list(first) == [
        *("eventID", "eventName", "eventVersion", "eventSource", "awsRegion", "dynamodb"),
        "eventSourceARN",
    ]
    assert list(second["dynamodb"]) == [
        *("ApproximateCreationDateTime", "Keys", "NewImage", "OldImage"),
        *("SequenceNumber", "SizeBytes", "StreamViewType"),
    ]
    assert [one["eventName"] for one in event["Records"]] == ["INSERT", "MODIFY"]
    assert second["dynamodb"]["NewImage"] == {"id": {"S": "7"}, "n": {"N": "2"}}
    numbers = [int(one["dynamodb"]["SequenceNumber"]) for one in event["Records"]]
    assert numbers == sorted(set(numbers))
    assert len({one["eventID"] for one in event["Records"]}) == 2
    assert make_event()["Records"][0]["dynamodb"]["Keys"] == {"id": {"S": "1"}}


def test_a_record_has_the_images_of_its_view_type() -> None:
    keys_only = record({"id": "1", "n": 1}, view_type="KEYS_ONLY")["dynamodb"]
    assert "NewImage" not in keys_only
    assert keys_only["StreamViewType"] == "KEYS_ONLY"
    gone = record(old={"pk": "a", "sk": 1}, key=("pk", "sk"), table="lines", expired=True)
    assert gone["eventName"] == "REMOVE"
    assert gone["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert ":table/lines/stream/" in gone["eventSourceARN"]
    assert gone["dynamodb"]["Keys"] == {"pk": {"S": "a"}, "sk": {"N": "1"}}


def test_changes_carry_the_very_objects_and_know_what_differs() -> None:
    old, new = Order(status="open", total=5), Order(status="paid", total=5)
    change = modified(old, new)
    assert isinstance(change, Modified)
    assert change.new is new
    assert change.old is old
    assert change.changed("status")
    assert not change.changed("total")
    assert change.diff() == {"status": {"old": "open", "new": "paid"}}
    made = inserted(new)
    assert isinstance(made, Inserted)
    assert (made.new, made.old) == (new, None)
    gone = removed(Line("1", 2, 9.5), key=("order", "number"), expired=True)
    assert isinstance(gone, Removed)
    assert gone.expired
    assert gone.new is None
    assert gone.keys == {"order": "1", "number": 2}
    assert gone.raw["eventName"] == "REMOVE"
    assert not removed({"id": "1"}).expired


def test_a_handler_is_called_as_a_function() -> None:
    told: list[str] = []

    def notify(change: Change[Order], context: Any) -> None:
        match change:
            case Modified(new=order):
                told.append(f"{context.resources} {order.status} {context.attempt}")
            case _:
                told.append("other")

    notify(modified(Order(status="a"), Order(status="b")), make_context("fake", attempt=2))
    notify(inserted(Order(status="a")), make_context())
    assert told == ["fake b 2", "other"]
    batch = Batch([inserted(Order(status="a")), removed(Order(status="b"))])
    assert [type(change).__name__ for change in batch] == ["Inserted", "Removed"]
    context = make_context(trigger="notify", remaining_seconds=3)
    assert context.get_remaining_time_in_millis() == 3000
    assert context.invoked_function_arn.endswith(":function:notify")
    assert context.resources is None


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (record, "needs an item"),
        (lambda: record({"n": 1}), "the key id is missing"),
        (lambda: record({"id": [1]}), "the key id is of type L"),
        (lambda: record({"id": "1"}, {"id": "1"}), "are the same item"),
        (lambda: modified({"id": "1"}, {"id": "1"}), "are the same item"),
        (lambda: inserted(object()), "is no item"),
        (lambda: record({"id": "1", "x": object()}), "item: x is a object"),
        (lambda: record({"id": "1", "x": float("nan")}), "item: x is nan"),
        (lambda: record({"id": "1", "x": {"a", 1}}), "a set that DynamoDB cannot have"),
        (lambda: record({"id": "1"}, table="x"), "invalid table"),
    ],
)
def test_what_no_stream_can_make_is_refused(call: Any, said: str) -> None:
    with pytest.raises(UsageError) as refusal:
        call()
    assert said.lower() in refusal.value.message.lower()
    assert refusal.value.hint


def test_the_old_image_of_a_record_without_one_is_no_secret() -> None:
    change = modified({"id": "1", "n": 1}, {"id": "1", "n": 2})
    change.raw["dynamodb"].pop("OldImage")
    with pytest.raises(ImageNotInStream):
        change.diff()
