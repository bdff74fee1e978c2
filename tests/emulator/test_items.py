"""Operations on items: keys, returned values, conditions, batches, queries."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.kit import Orders, refused
from triggerkit.emulator import Emulator

KEY = {"pk": {"S": "a"}}


def test_get_item_answers_nothing_for_an_absent_item() -> None:
    assert Orders().call("GetItem", TableName="orders", Key=KEY) == {}


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"pk": {"N": "1"}},
        {"pk": {"S": ""}},
        {"other": {"S": "a"}},
        {"pk": {"S": "a"}, "more": {"S": "b"}},
        {"pk": {"S": "a" * 2049}},
    ],
)
def test_a_key_that_does_not_fit_the_schema_is_refused(key: dict[str, Any]) -> None:
    orders = Orders()
    for operation in ("GetItem", "UpdateItem", "DeleteItem"):
        error = refused(orders, operation, TableName="orders", Key=key)
        assert error.type == "ValidationException"


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"n": {"N": "1"}}, "Missing the key pk in the item"),
        ({"pk": {"N": "1"}}, "Type mismatch for key pk expected: S actual: N"),
        ({"pk": {"S": ""}}, "cannot contain an empty string value. Key: pk"),
        ({"pk": {"S": "a" * 2049}}, "Size of hashkey has exceeded"),
    ],
)
def test_an_item_without_a_proper_key_is_refused(item: dict[str, Any], words: str) -> None:
    error = refused(Orders(), "PutItem", TableName="orders", Item=item)
    assert error.type == "ValidationException"
    assert words in error.message


def test_number_keys_are_equal_by_value() -> None:
    emulator = Emulator()
    emulator.call(
        "CreateTable",
        {
            "TableName": "numbers",
            "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "n", "AttributeType": "N"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )
    emulator.call("PutItem", {"TableName": "numbers", "Item": {"n": {"N": "1e1"}}})
    answer = emulator.call("GetItem", {"TableName": "numbers", "Key": {"n": {"N": "10.0"}}})
    assert answer == {"Item": {"n": {"N": "10"}}}


def test_put_and_delete_return_the_old_item_on_demand() -> None:
    orders = Orders()
    item = {**KEY, "n": {"N": "1"}}
    put = {"TableName": "orders", "Item": item, "ReturnValues": "ALL_OLD"}
    assert orders.call("PutItem", **put) == {}
    assert orders.call("PutItem", **put) == {"Attributes": item}
    delete = {"TableName": "orders", "Key": KEY, "ReturnValues": "ALL_OLD"}
    assert orders.call("DeleteItem", **delete) == {"Attributes": item}
    assert orders.call("DeleteItem", **delete) == {}
    assert (
        "Return values" in refused(orders, "PutItem", **{**put, "ReturnValues": "ALL_NEW"}).message
    )


@pytest.mark.parametrize(
    ("returned", "attributes"),
    [
        ("NONE", None),
        ("ALL_OLD", {**KEY, "n": {"N": "1"}, "m": {"M": {"x": {"N": "1"}, "y": {"N": "2"}}}}),
        ("ALL_NEW", {**KEY, "n": {"N": "2"}, "m": {"M": {"x": {"N": "5"}, "y": {"N": "2"}}}}),
        ("UPDATED_OLD", {"n": {"N": "1"}, "m": {"M": {"x": {"N": "1"}}}}),
        ("UPDATED_NEW", {"n": {"N": "2"}, "m": {"M": {"x": {"N": "5"}}}}),
    ],
)
def test_update_returns_what_is_asked(returned: str, attributes: dict[str, Any] | None) -> None:
    orders = Orders()
    orders.put("a", n={"N": "1"}, m={"M": {"x": {"N": "1"}, "y": {"N": "2"}}})
    answer = orders.update(
        "a",
        "SET n = n + :one, m.x = :five",
        ExpressionAttributeValues={":one": {"N": "1"}, ":five": {"N": "5"}},
        ReturnValues=returned,
    )
    assert answer.get("Attributes") == attributes


def test_a_failed_condition_returns_the_item_on_demand() -> None:
    orders = Orders()
    orders.put("a", n={"N": "1"})
    request = {"TableName": "orders", "Key": KEY, "ConditionExpression": "attribute_exists(x)"}
    assert refused(orders, "DeleteItem", **request).extra == {}
    asked = {**request, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    error = refused(orders, "DeleteItem", **asked)
    assert error.body()["Item"] == {**KEY, "n": {"N": "1"}}


@pytest.mark.parametrize("member", ["Expected", "AttributesToGet", "AttributeUpdates"])
def test_parameters_from_before_expressions_are_refused_by_name(member: str) -> None:
    error = refused(Orders(), "UpdateItem", TableName="orders", Key=KEY, **{member: {}})
    assert member in error.message
    assert "DynamoDB Local" in error.message


def test_batch_get_answers_what_exists() -> None:
    orders = Orders()
    orders.put("a", n={"N": "1"})
    keys = [KEY, {"pk": {"S": "absent"}}]
    answer = orders.call(
        "BatchGetItem", RequestItems={"orders": {"Keys": keys, "ProjectionExpression": "n"}}
    )
    assert answer == {"Responses": {"orders": [{"n": {"N": "1"}}]}, "UnprocessedKeys": {}}


def test_a_batch_get_beyond_16_megabytes_leaves_keys_unprocessed() -> None:
    orders = Orders()
    for index in range(50):
        orders.put(f"{index}", x={"S": "y" * 390_000})
    keys = [{"pk": {"S": f"{index}"}} for index in range(50)]
    answer = orders.call("BatchGetItem", RequestItems={"orders": {"Keys": keys}})
    left = answer["UnprocessedKeys"]["orders"]["Keys"]
    found = [{"pk": item["pk"]} for item in answer["Responses"]["orders"]]
    assert found + left == keys
    assert len(left) == 7


def test_a_batch_of_more_than_25_writes_is_refused() -> None:
    puts = [{"PutRequest": {"Item": {"pk": {"S": f"{index}"}}}} for index in range(26)]
    error = refused(Orders(), "BatchWriteItem", RequestItems={"orders": puts})
    assert error.message == "Too many items requested for the BatchWriteItem call"


@pytest.fixture
def events() -> Emulator:
    """A table with a sort key and five items of one partition."""
    emulator = Emulator()
    emulator.call(
        "CreateTable",
        {
            "TableName": "events",
            "KeySchema": [
                {"AttributeName": "who", "KeyType": "HASH"},
                {"AttributeName": "at", "KeyType": "RANGE"},
            ],
            "AttributeDefinitions": [
                {"AttributeName": "who", "AttributeType": "S"},
                {"AttributeName": "at", "AttributeType": "N"},
            ],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )
    for at in ("10", "9", "-1", "100", "1"):
        item = {"who": {"S": "ann"}, "at": {"N": at}, "even": {"BOOL": int(at) % 2 == 0}}
        emulator.call("PutItem", {"TableName": "events", "Item": item})
    return emulator


def asked(emulator: Emulator, condition: str, **request: Any) -> list[str]:
    values = {":who": {"S": "ann"}, ":at": {"N": "9"}}
    used = {name: value for name, value in values.items() if name in condition}
    answer = emulator.call(
        "Query",
        {
            "TableName": "events",
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": used,
            **request,
        },
    )
    return [item["at"]["N"] for item in answer["Items"]]


def test_a_query_answers_one_partition_in_the_order_of_its_sort_key(events: Emulator) -> None:
    assert asked(events, "who = :who") == ["-1", "1", "9", "10", "100"]
    assert asked(events, "who = :who AND #a >= :at", ExpressionAttributeNames={"#a": "at"}) == [
        "9",
        "10",
        "100",
    ]
    assert asked(events, "who = :who", ScanIndexForward=False)[0] == "100"


def test_query_pages_join_without_gap_or_overlap(events: Emulator) -> None:
    request: dict[str, Any] = {
        "TableName": "events",
        "KeyConditionExpression": "who = :who",
        "ExpressionAttributeValues": {":who": {"S": "ann"}},
        "Limit": 2,
    }
    seen: list[str] = []
    while True:
        page = events.call("Query", request)
        seen += [item["at"]["N"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    assert seen == ["-1", "1", "9", "10", "100"]


def test_parallel_scan_segments_cover_the_table_once(events: Emulator) -> None:
    for index in range(30):
        item = {"who": {"S": f"p{index}"}, "at": {"N": "1"}}
        events.call("PutItem", {"TableName": "events", "Item": item})
    parts = [
        events.call("Scan", {"TableName": "events", "Segment": segment, "TotalSegments": 3})
        for segment in range(3)
    ]
    assert sum(part["Count"] for part in parts) == 35
    assert all(part["Count"] for part in parts)


def test_a_filter_counts_what_it_read(events: Emulator) -> None:
    answer = events.call(
        "Scan",
        {
            "TableName": "events",
            "FilterExpression": "even = :yes",
            "ExpressionAttributeValues": {":yes": {"BOOL": True}},
        },
    )
    assert (answer["Count"], answer["ScannedCount"]) == (2, 5)


def test_consumed_capacity_is_told_on_demand() -> None:
    orders = Orders()
    asked_for = {"TableName": "orders", "ReturnConsumedCapacity": "TOTAL"}
    item = {**KEY, "x": {"S": "y" * 5000}}
    put = orders.call("PutItem", Item=item, **asked_for)
    assert put == {"ConsumedCapacity": {"TableName": "orders", "CapacityUnits": 5.0}}
    weak = orders.call("GetItem", Key=KEY, **asked_for)["ConsumedCapacity"]
    strong = orders.call("GetItem", Key=KEY, ConsistentRead=True, **asked_for)["ConsumedCapacity"]
    assert (weak["CapacityUnits"], strong["CapacityUnits"]) == (1.0, 2.0)
    batch = orders.call(
        "BatchWriteItem",
        RequestItems={"orders": [{"DeleteRequest": {"Key": KEY}}]},
        ReturnConsumedCapacity="INDEXES",
    )
    assert batch["ConsumedCapacity"] == [
        {"TableName": "orders", "CapacityUnits": 5, "Table": {"CapacityUnits": 5}}
    ]
    assert "ConsumedCapacity" in orders.call("Scan", **asked_for)
