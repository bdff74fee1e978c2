"""Transactions: all or nothing, reasons, tokens and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emulator.kit import START_SECONDS, TABLE, Orders, refused, stream_on
from triggerkit.emulator import Emulator, EmulatorError, VirtualClock

EXISTS = "attribute_exists(pk)"


def key(name: str) -> dict[str, Any]:
    return {"TableName": "orders", "Key": {"pk": {"S": name}}}


def put(name: str, **attributes: Any) -> dict[str, Any]:
    return {"Put": {"TableName": "orders", "Item": {"pk": {"S": name}, **attributes}}}


def check(name: str, condition: str = EXISTS, **request: Any) -> dict[str, Any]:
    return {"ConditionCheck": {**key(name), "ConditionExpression": condition, **request}}


def update(name: str, expression: str, **values: Any) -> dict[str, Any]:
    given = {"ExpressionAttributeValues": values} if values else {}
    return {"Update": {**key(name), "UpdateExpression": expression, **given}}


def delete(name: str) -> dict[str, Any]:
    return {"Delete": key(name)}


def write(orders: Orders, *actions: Any, **request: Any) -> dict[str, Any]:
    return orders.call("TransactWriteItems", TransactItems=list(actions), **request)


def reasons(orders: Orders, *actions: Any) -> list[Any]:
    error = refused(orders, "TransactWriteItems", TransactItems=list(actions))
    assert error.type == "TransactionCanceledException"
    told: list[Any] = error.extra["CancellationReasons"]
    return told


def names(orders: Orders) -> list[tuple[str, str]]:
    return [
        (record["eventName"], record["dynamodb"]["Keys"]["pk"]["S"]) for record in orders.records()
    ]


def test_a_transaction_writes_all_of_it_in_the_order_of_the_request() -> None:
    orders = Orders()
    orders.put("old")
    answer = write(
        orders,
        delete("old"),
        put("z", n={"N": "1"}),
        check("y", "attribute_not_exists(pk)"),
        update("a", "SET n = :n", **{":n": {"N": "5"}}),
    )
    assert answer == {}
    assert names(orders)[1:] == [("REMOVE", "old"), ("INSERT", "z"), ("INSERT", "a")]
    assert orders.get("a") == {"pk": {"S": "a"}, "n": {"N": "5"}}


def test_a_failed_condition_cancels_everything_and_tells_every_reason() -> None:
    orders = Orders()
    orders.put("a", n={"N": "1"})
    before = names(orders)
    told = reasons(
        orders,
        put("new"),
        check("a", "n > :n", ExpressionAttributeValues={":n": {"N": "1"}}),
        check("none", ReturnValuesOnConditionCheckFailure="ALL_OLD"),
        {
            "Delete": {
                **key("a2"),
                "ConditionExpression": EXISTS,
            }
        },
    )
    assert [reason["Code"] for reason in told] == [
        "None",
        "ConditionalCheckFailed",
        "ConditionalCheckFailed",
        "ConditionalCheckFailed",
    ]
    assert all("Item" not in reason for reason in told)
    assert names(orders) == before
    assert orders.get("new") is None


def test_a_reason_carries_the_item_when_asked() -> None:
    orders = Orders()
    orders.put("a", n={"N": "1"})
    absent = "attribute_not_exists(pk)"
    told = reasons(orders, check("a", absent, ReturnValuesOnConditionCheckFailure="ALL_OLD"))
    assert told[0]["Item"] == {"pk": {"S": "a"}, "n": {"N": "1"}}
    assert told[0]["Message"] == "The conditional request failed"


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (update("a", "SET q = q2"), "does not exist in the item"),
        (update("a", "SET v = v + :n", **{":n": {"N": "1"}}), "incorrect data type"),
        (update("a", "SET v.x = :n", **{":n": {"N": "1"}}), "invalid for update"),
        (update("a", "SET pk = :n", **{":n": {"S": "b"}}), "part of the key"),
        ({"Put": {"TableName": "orders", "Item": {"pk": {"N": "1"}}}}, "Type mismatch for key"),
        ({"Delete": {"TableName": "orders", "Key": {"pk": {"N": "1"}}}}, "does not match"),
    ],
)
def test_what_an_item_does_not_allow_is_a_reason(action: Any, words: str) -> None:
    orders = Orders()
    orders.put("a", v={"S": "text"})
    told = reasons(orders, action, put("b"))
    assert [reason["Code"] for reason in told] == ["ValidationError", "None"]
    assert words in told[0]["Message"]
    assert orders.get("b") is None


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([], "greater than or equal to 1"),
        ([{}], "should contain"),
        ([{**put("a"), **delete("b")}], "only contain one"),
        ([put("a"), put("a")], "multiple operations on one item"),
        ([put("a"), check("a")], "multiple operations on one item"),
        ([put(str(number)) for number in range(101)], "less than or equal to 100"),
        ([{"ConditionCheck": key("a")}], "conditionExpression"),
        ([{"Put": {"TableName": "orders"}}], "must not be null"),
        ([put("a", s={"SS": []})], "may not be empty"),
        ([put("")], "empty string value"),
        ([update("a", "SET")], "Syntax error"),
        ([put(f"a{number}", x={"S": "x" * 400_000}) for number in range(11)], "4MB"),
        (None, "must not be null"),
    ],
)
def test_a_transaction_that_makes_no_sense_is_refused(actions: Any, words: str) -> None:
    orders = Orders()
    error = refused(orders, "TransactWriteItems", TransactItems=actions)
    assert error.type == "ValidationException"
    assert words in error.message
    assert names(orders) == []


def test_an_absent_table_is_told() -> None:
    error = refused(
        Orders(),
        "TransactWriteItems",
        TransactItems=[{"Delete": {**key("a"), "TableName": "nope"}}],
    )
    assert error.type == "ResourceNotFoundException"


def test_a_token_makes_a_transaction_happen_once_in_ten_minutes() -> None:
    orders = Orders()
    add = update("a", "ADD n :n", **{":n": {"N": "1"}})
    for _ in range(3):
        write(orders, add, ClientRequestToken="t")
    assert orders.get("a") == {"pk": {"S": "a"}, "n": {"N": "1"}}
    other = {"TransactItems": [put("b")], "ClientRequestToken": "t"}
    assert refused(orders, "TransactWriteItems", **other).type == (
        "IdempotentParameterMismatchException"
    )
    orders.emulator.advance(601)
    write(orders, add, ClientRequestToken="t")
    assert orders.get("a") == {"pk": {"S": "a"}, "n": {"N": "2"}}
    error = refused(orders, "TransactWriteItems", TransactItems=[add], ClientRequestToken="x" * 37)
    assert "clientRequestToken" in error.message


def test_a_cancelled_transaction_does_not_use_its_token() -> None:
    orders = Orders()
    request = {"TransactItems": [check("a"), put("b")], "ClientRequestToken": "t"}
    assert refused(orders, "TransactWriteItems", **request).type == "TransactionCanceledException"
    orders.put("a")
    orders.call("TransactWriteItems", **request)
    assert orders.get("b") is not None


def test_a_token_survives_a_restart(tmp_path: Path) -> None:
    request = {
        "TransactItems": [update("a", "ADD n :n", **{":n": {"N": "1"}})],
        "ClientRequestToken": "t",
    }
    for _ in range(2):
        emulator = Emulator(VirtualClock(START_SECONDS), path=tmp_path / "dev.db")
        if not emulator.call("ListTables", {})["TableNames"]:
            emulator.call("CreateTable", {**TABLE, **stream_on()})
        emulator.call("TransactWriteItems", request)
        item = emulator.call("GetItem", key("a"))["Item"]
        emulator.close()
        assert item["n"] == {"N": "1"}


def test_a_transaction_reads_what_is_there_in_the_order_of_the_request() -> None:
    orders = Orders()
    orders.put("a", n={"N": "1"}, m={"M": {"x": {"S": "y"}}})
    answer = orders.call(
        "TransactGetItems",
        TransactItems=[
            {"Get": key("none")},
            {"Get": {**key("a"), "ProjectionExpression": "m.x"}},
        ],
        ReturnConsumedCapacity="TOTAL",
    )
    assert answer["Responses"] == [{}, {"Item": {"m": {"M": {"x": {"S": "y"}}}}}]
    assert answer["ConsumedCapacity"] == [{"TableName": "orders", "CapacityUnits": 4}]


@pytest.mark.parametrize(
    ("gets", "error", "words"),
    [
        ([], "ValidationException", "greater than or equal to 1"),
        ([{}], "ValidationException", "must not be null"),
        ([{"Get": key("a")}] * 2, "ValidationException", "multiple operations"),
        ([{"Get": {**key("a"), "TableName": "nope"}}], "ResourceNotFoundException", "not found"),
        (
            [{"Get": {"TableName": "orders", "Key": {"pk": {"N": "1"}}}}],
            "TransactionCanceledException",
            "ValidationError",
        ),
        ([{"Get": key(str(number))} for number in range(101)], "ValidationException", "100"),
    ],
)
def test_a_transaction_of_reads_that_makes_no_sense_is_refused(
    gets: Any, error: str, words: str
) -> None:
    with pytest.raises(EmulatorError, match=words) as caught:
        Orders().call("TransactGetItems", TransactItems=gets)
    assert caught.value.type == error
