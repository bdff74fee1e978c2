"""One rule for stream records: a commit that changes the item writes exactly one."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.kit import START_SECONDS, Orders, refused
from triggerkit.emulator import EmulatorError


def names(orders: Orders) -> list[str]:
    return [record["eventName"] for record in orders.records()]


def test_insert_modify_and_remove_write_one_record_each() -> None:
    orders = Orders()
    orders.put("a", n={"N": "1"})
    orders.put("a", n={"N": "2"})
    orders.delete("a")
    assert names(orders) == ["INSERT", "MODIFY", "REMOVE"]


def test_writes_that_change_nothing_write_no_record() -> None:
    orders = Orders()
    orders.put("a", n={"N": "1"}, s={"SS": ["x", "y"]})
    orders.put("a", n={"N": "1.00"}, s={"SS": ["y", "x"]})
    orders.update("a", "SET n = :n", ExpressionAttributeValues={":n": {"N": "1E0"}})
    orders.update("a", "REMOVE absent")
    orders.delete("absent")
    assert names(orders) == ["INSERT"]


def test_an_update_that_creates_an_item_is_one_insert() -> None:
    orders = Orders()
    orders.update("a", "SET n = :n", ExpressionAttributeValues={":n": {"N": "1"}})
    (record,) = orders.records()
    assert record["eventName"] == "INSERT"
    assert record["dynamodb"]["NewImage"] == {"pk": {"S": "a"}, "n": {"N": "1"}}


def test_a_failed_condition_writes_no_record() -> None:
    orders = Orders()
    orders.put("a")
    error = refused(
        orders,
        "PutItem",
        TableName="orders",
        Item={"pk": {"S": "a"}, "n": {"N": "1"}},
        ConditionExpression="attribute_not_exists(pk)",
    )
    assert error.type == "ConditionalCheckFailedException"
    assert names(orders) == ["INSERT"]


@pytest.mark.parametrize(
    ("view_type", "images"),
    [
        ("KEYS_ONLY", set()),
        ("NEW_IMAGE", {"NewImage"}),
        ("OLD_IMAGE", {"OldImage"}),
        ("NEW_AND_OLD_IMAGES", {"NewImage", "OldImage"}),
    ],
)
def test_the_view_type_says_which_images_a_record_carries(view_type: str, images: set[str]) -> None:
    orders = Orders(view_type)
    orders.put("a", n={"N": "1"})
    orders.put("a", n={"N": "2"})
    insert, modify = (record["dynamodb"] for record in orders.records())
    assert {name for name in modify if name.endswith("Image")} == images
    assert "OldImage" not in insert
    assert insert["Keys"] == {"pk": {"S": "a"}}
    assert insert["StreamViewType"] == view_type


def test_a_record_has_the_envelope_of_the_streams_api() -> None:
    orders = Orders()
    orders.put("a", n={"N": "100.00"})
    (record,) = orders.records()
    assert {key: record[key] for key in ("eventVersion", "eventSource", "awsRegion")} == {
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
    }
    assert len(record["eventID"]) == 32
    assert set(record["eventID"]) <= set("0123456789abcdef")
    assert record["dynamodb"]["ApproximateCreationDateTime"] == int(START_SECONDS)
    assert record["dynamodb"]["NewImage"]["n"] == {"N": "100"}
    assert "userIdentity" not in record


def test_an_item_removed_by_time_to_live_names_the_service() -> None:
    orders = Orders()
    orders.put("a", n={"N": "1"})
    orders.emulator.expire_item("orders", {"pk": {"S": "a"}})
    orders.emulator.expire_item("orders", {"pk": {"S": "absent"}})
    _, removal = orders.records()
    assert removal["eventName"] == "REMOVE"
    assert removal["userIdentity"] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    assert removal["dynamodb"]["OldImage"] == {"pk": {"S": "a"}, "n": {"N": "1"}}


def test_size_bytes_is_the_size_of_keys_and_images() -> None:
    orders = Orders("NEW_IMAGE")
    orders.call(
        "PutItem",
        TableName="orders",
        Item={"pk": {"S": "hello world"}, "binary_key": {"B": "Zm9vYmFy"}},
    )
    (record,) = orders.records()
    keys, image = 2 + 11, 2 + 11 + 10 + 6
    assert record["dynamodb"]["SizeBytes"] == keys + image


def test_sequence_numbers_grow_have_21_to_40_digits_and_do_not_sort_as_text() -> None:
    orders = Orders()
    for index in range(120):
        orders.put(f"{index}")
    numbers = [record["dynamodb"]["SequenceNumber"] for record in orders.records()]
    assert len(numbers) == 120
    assert all(21 <= len(number) <= 40 for number in numbers)
    assert sorted(numbers, key=int) == numbers
    assert sorted(numbers) != numbers


def test_equal_seeds_and_clocks_give_equal_streams() -> None:
    def history() -> list[Any]:
        orders = Orders()
        orders.put("a")
        orders.emulator.roll("orders")
        orders.put("b")
        return [
            orders.shards_listed(),
            [orders.records(s["ShardId"]) for s in orders.shards_listed()],
        ]

    assert history() == history()


def test_an_answer_belongs_to_the_caller() -> None:
    orders = Orders()
    orders.put("a", m={"M": {"x": {"N": "1"}}})
    orders.records()[0]["dynamodb"]["NewImage"]["m"]["M"]["x"]["N"] = "2"
    found = orders.get("a")
    assert found is not None
    found["m"]["M"].clear()
    assert orders.get("a") == {"pk": {"S": "a"}, "m": {"M": {"x": {"N": "1"}}}}


def test_an_item_given_to_the_emulator_is_copied() -> None:
    orders = Orders()
    attribute: dict[str, Any] = {"M": {"x": {"N": "1"}}}
    orders.put("a", m=attribute)
    attribute["M"]["x"]["N"] = "2"
    assert orders.get("a") == {"pk": {"S": "a"}, "m": {"M": {"x": {"N": "1"}}}}


def test_batch_writes_are_recorded_in_the_order_of_the_request() -> None:
    orders = Orders()
    orders.put("b")
    orders.call(
        "BatchWriteItem",
        RequestItems={
            "orders": [
                {"PutRequest": {"Item": {"pk": {"S": "a"}}}},
                {"DeleteRequest": {"Key": {"pk": {"S": "b"}}}},
                {"PutRequest": {"Item": {"pk": {"S": "c"}}}},
            ]
        },
    )
    assert names(orders) == ["INSERT", "INSERT", "REMOVE", "INSERT"]


def test_a_batch_with_one_bad_request_writes_nothing() -> None:
    orders = Orders()
    good, bad = {"PutRequest": {"Item": {"pk": {"S": "a"}}}}, {"PutRequest": {"Item": {}}}
    with pytest.raises(EmulatorError):
        orders.call("BatchWriteItem", RequestItems={"orders": [good, bad]})
    assert orders.get("a") is None
    assert orders.records() == []
