"""Tables and the life of their streams."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.kit import START_SECONDS, TABLE, Orders, refused, stream_on
from triggerkit.emulator import Emulator, EmulatorError, VirtualClock

DAY_SECONDS = 24 * 3600


def switch(orders: Orders, **specification: Any) -> dict[str, Any]:
    return orders.call("UpdateTable", TableName="orders", StreamSpecification=specification)


def test_a_table_is_active_at_once_and_described_with_its_stream() -> None:
    orders = Orders()
    orders.put("a", n={"N": "1"})
    table = orders.call("DescribeTable", TableName="orders")["Table"]
    assert table["TableStatus"] == "ACTIVE"
    assert table["ItemCount"] == 1
    assert table["TableSizeBytes"] == 2 + 1 + 1 + 2
    assert table["CreationDateTime"] == START_SECONDS
    assert table["TableArn"] == "arn:aws:dynamodb:us-east-1:000000000000:table/orders"
    assert table["LatestStreamArn"] == f"{table['TableArn']}/stream/{table['LatestStreamLabel']}"
    assert table["LatestStreamLabel"] == "2025-11-25T15:47:35.000"
    assert table["StreamSpecification"] == {
        "StreamEnabled": True,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }


def test_a_table_can_be_named_by_its_arn() -> None:
    orders = Orders()
    orders.put("a")
    arn = orders.call("DescribeTable", TableName="orders")["Table"]["TableArn"]
    answer = orders.call("GetItem", TableName=arn, Key={"pk": {"S": "a"}})
    assert answer == {"Item": {"pk": {"S": "a"}}}


def test_region_and_account_are_in_arns_and_records() -> None:
    emulator = Emulator(VirtualClock(), region="eu-west-1", account="123456789012")
    table = emulator.call("CreateTable", {**TABLE, **stream_on()})["TableDescription"]
    assert table["LatestStreamArn"].startswith("arn:aws:dynamodb:eu-west-1:123456789012:table/")


def test_a_table_without_stream_has_no_stream_arn() -> None:
    emulator = Emulator()
    table = emulator.call("CreateTable", TABLE)["TableDescription"]
    assert "LatestStreamArn" not in table
    assert "StreamSpecification" not in table
    assert emulator.call("ListStreams", {}) == {"Streams": []}


def test_creating_a_table_twice_is_refused() -> None:
    error = refused(Orders(), "CreateTable", **TABLE)
    assert (error.type, error.message) == (
        "ResourceInUseException",
        "Table already exists: orders",
    )


def test_an_unknown_table_is_named_in_the_error() -> None:
    for operation in ("DescribeTable", "DeleteTable", "UpdateTable"):
        error = refused(Orders(), operation, TableName="absent")
        assert error.type == "ResourceNotFoundException"
        assert "absent" in error.message


def test_a_disabled_stream_stays_readable_and_closed_and_the_next_one_is_new() -> None:
    orders = Orders()
    orders.put("a")
    first = orders.stream_arn
    (shard,) = orders.shards_listed()
    switch(orders, StreamEnabled=False)
    table = orders.call("DescribeTable", TableName="orders")["Table"]
    assert "StreamSpecification" not in table
    assert table["LatestStreamArn"] == first
    stream = orders.call("DescribeStream", StreamArn=first)["StreamDescription"]
    assert stream["StreamStatus"] == "DISABLED"
    page = orders.page(orders.iterator(shard["ShardId"]))
    assert len(page["Records"]) == 1
    assert "NextShardIterator" not in page
    orders.put("unseen")
    switch(orders, StreamEnabled=True, StreamViewType="KEYS_ONLY")
    orders.put("b")
    assert orders.stream_arn != first
    assert [record["dynamodb"]["Keys"] for record in orders.records()] == [{"pk": {"S": "b"}}]
    assert orders.emulator.stream_arns("orders") == sorted([first, orders.stream_arn])


def test_a_deleted_tables_stream_is_readable_for_24_hours() -> None:
    orders = Orders()
    orders.put("a")
    arn, (shard,) = orders.stream_arn, orders.shards_listed()
    orders.call("DeleteTable", TableName="orders")
    place = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    iterator = orders.call("GetShardIterator", **place)["ShardIterator"]
    assert len(orders.page(iterator)["Records"]) == 1
    orders.emulator.advance(DAY_SECONDS + 2)
    assert refused(orders, "DescribeStream", StreamArn=arn).type == "ResourceNotFoundException"
    assert orders.call("ListStreams") == {"Streams": []}


def test_a_table_made_again_has_a_new_stream_and_no_items() -> None:
    orders = Orders()
    orders.put("a")
    first = orders.stream_arn
    orders.call("DeleteTable", TableName="orders")
    orders.call("CreateTable", **TABLE, **stream_on())
    assert orders.get("a") is None
    assert orders.stream_arn != first
    assert orders.records() == []


@pytest.mark.parametrize(
    ("specification", "words"),
    [
        ({"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}, "already has an enabled stream"),
        ({"StreamEnabled": True}, "ViewType must not be null"),
        ({"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"}, "StreamViewType was present"),
        ({"StreamEnabled": True, "StreamViewType": "ALL"}, "enum value set"),
        ({}, "must not be null"),
    ],
)
def test_a_stream_specification_that_makes_no_sense_is_refused(
    specification: dict[str, Any], words: str
) -> None:
    error = refused(Orders(), "UpdateTable", TableName="orders", StreamSpecification=specification)
    assert error.type == "ValidationException"
    assert words in error.message


def test_a_protected_table_is_not_deleted() -> None:
    orders = Orders()
    orders.call("UpdateTable", TableName="orders", DeletionProtectionEnabled=True)
    assert "protected" in refused(orders, "DeleteTable", TableName="orders").message
    orders.call("UpdateTable", TableName="orders", DeletionProtectionEnabled=False)
    orders.call("DeleteTable", TableName="orders")


def test_billing_can_change_to_provisioned_and_back() -> None:
    orders = Orders()
    units = {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4}
    table = orders.call(
        "UpdateTable", TableName="orders", BillingMode="PROVISIONED", ProvisionedThroughput=units
    )["TableDescription"]
    assert table["ProvisionedThroughput"] | units == table["ProvisionedThroughput"]
    assert "BillingModeSummary" not in table
    orders.call("UpdateTable", TableName="orders", BillingMode="PAY_PER_REQUEST")


def test_tables_and_streams_are_listed_in_pages() -> None:
    emulator = Emulator(VirtualClock())
    for name in ("ccc", "aaa", "bbb"):
        emulator.call("CreateTable", {**TABLE, "TableName": name, **stream_on()})
    first = emulator.call("ListTables", {"Limit": 2})
    assert first == {"TableNames": ["aaa", "bbb"], "LastEvaluatedTableName": "bbb"}
    rest = emulator.call("ListTables", {"ExclusiveStartTableName": "bbb"})
    assert rest == {"TableNames": ["ccc"]}
    streams = emulator.call("ListStreams", {"Limit": 2})
    start = streams["LastEvaluatedStreamArn"]
    rest = emulator.call("ListStreams", {"ExclusiveStartStreamArn": start})
    assert [stream["TableName"] for stream in rest["Streams"]] == ["ccc"]
    one = emulator.call("ListStreams", {"TableName": "bbb"})
    assert [stream["TableName"] for stream in one["Streams"]] == ["bbb"]


@pytest.mark.parametrize(
    "change",
    [
        {"KeySchema": []},
        {"KeySchema": [{"AttributeName": "pk", "KeyType": "RANGE"}]},
        {"AttributeDefinitions": []},
        {"AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "BOOL"}]},
        {"BillingMode": "FREE"},
        {"BillingMode": "PROVISIONED"},
        {"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}},
        {"TableName": "a"},
        {"TableName": None},
        {"GlobalSecondaryIndexes": [{"IndexName": "i"}]},
        {
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "unused", "AttributeType": "S"},
            ]
        },
    ],
)
def test_a_table_definition_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EmulatorError) as caught:
        Emulator().call("CreateTable", {**TABLE, **change})
    assert caught.value.type == "ValidationException"
