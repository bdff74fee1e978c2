"""Expressions: what they mean, and how bad ones are refused.

The long lists are compared with DynamoDB Local in the integration tests; here stands what a reader
needs to know.
"""

from __future__ import annotations

from typing import Any

import pytest

from emulator.catalogue import CONDITIONS, ITEM, PROJECTIONS, UPDATES
from emulator.comparison import EmulatorEndpoint, create_table
from emulator.kit import Orders
from emulator.requests_of import placeholders
from triggerkit.emulator import EmulatorError

VALUES = {
    ":one": {"N": "1"},
    ":two": {"N": "2"},
    ":text": {"S": "ab"},
    ":list": {"L": [{"N": "9"}]},
    ":set": {"SS": ["b", "c"]},
    ":flag": {"BOOL": True},
}
START = {
    "n": {"N": "1"},
    "s": {"S": "abc"},
    "l": {"L": [{"N": "1"}, {"N": "2"}, {"N": "3"}]},
    "m": {"M": {"x": {"N": "1"}}},
    "ss": {"SS": ["a", "b"]},
}


def given(expression: str) -> dict[str, Any]:
    used = {name: value for name, value in VALUES.items() if name in expression}
    return {"ExpressionAttributeValues": used} if used else {}


def holds(condition: str) -> bool:
    orders = Orders()
    orders.put("a", **START)
    try:
        orders.call(
            "DeleteItem",
            TableName="orders",
            Key={"pk": {"S": "a"}},
            ConditionExpression=condition,
            **given(condition),
        )
    except EmulatorError as error:
        if error.type != "ConditionalCheckFailedException":
            raise
        return False
    return True


@pytest.mark.parametrize(
    "condition",
    [
        "n = :one",
        "n <> :two AND n < :two",
        "absent <> :one",
        "NOT absent = :one",
        "n = :two OR n = :one AND attribute_exists(m.x)",
        "begins_with(s, :text)",
        "contains(s, :text)",
        "contains(l, :two)",
        "size(l) > :two",
        "n BETWEEN :one AND :two",
        "n IN (:two, :one)",
        "attribute_not_exists(m.y) and attribute_exists(l[2])",
        "(n = :two OR s <> :text) AND (n) = (:one)",
        "not (n = :two)",
    ],
)
def test_a_condition_that_holds(condition: str) -> None:
    assert holds(condition)


@pytest.mark.parametrize(
    "condition",
    ["n = :two", "absent = :one", "absent < :one", "n < :text", "l[3] = :one", "s.x = :one"],
)
def test_a_condition_that_does_not_hold(condition: str) -> None:
    assert not holds(condition)


@pytest.mark.parametrize(
    ("expression", "attribute", "value"),
    [
        ("SET n = n + :two", "n", {"N": "3"}),
        ("SET q = if_not_exists(q, :one) - :two", "q", {"N": "-1"}),
        ("SET l = list_append(l, :list)", "l", {"L": [{"N": n} for n in "1239"]}),
        ("SET l[1] = :text", "l", {"L": [{"N": "1"}, {"S": "ab"}, {"N": "3"}]}),
        ("SET l[9] = :two, l[7] = :one", "l", {"L": [{"N": n} for n in "12312"]}),
        ("REMOVE l[0], l[2]", "l", {"L": [{"N": "2"}]}),
        ("SET m.y = n, n = :two", "m", {"M": {"x": {"N": "1"}, "y": {"N": "1"}}}),
        ("ADD n :two", "n", {"N": "3"}),
        ("ADD ss :set", "ss", {"SS": ["a", "b", "c"]}),
        ("DELETE ss :set", "ss", {"SS": ["a"]}),
        ("remove m.x set q = :one", "m", {"M": {}}),
    ],
)
def test_an_update_changes_the_item(expression: str, attribute: str, value: Any) -> None:
    orders = Orders()
    orders.put("a", **START)
    orders.update("a", expression, **given(expression))
    found = orders.get("a")
    assert found is not None
    assert found[attribute] == value


def test_a_set_that_loses_its_last_member_is_removed() -> None:
    orders = Orders()
    orders.put("a", ss={"SS": ["b"]})
    orders.update("a", "DELETE ss :set", **given(":set"))
    assert orders.get("a") == {"pk": {"S": "a"}}


def test_an_index_to_remove_means_the_list_as_it_was() -> None:
    orders = Orders()
    orders.put("a", l={"L": [{"N": "5"}]})
    orders.update("a", "SET l[3] = :one REMOVE l[0], l[1]", **given(":one"))
    assert orders.get("a") == {"pk": {"S": "a"}, "l": {"L": [{"N": "1"}]}}


def test_the_old_image_is_untouched_by_an_update_inside_a_document() -> None:
    orders = Orders()
    orders.put("a", **START)
    orders.update("a", "SET m.x = :two, l[0] = :two REMOVE l[1]", **given(":two"))
    change = orders.records()[1]["dynamodb"]
    assert change["OldImage"] == {"pk": {"S": "a"}, **START}
    assert change["NewImage"]["l"] == {"L": [{"N": "2"}, {"N": "3"}]}


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "The expression can not be empty"),
        ("SET n = ", 'Syntax error; token: "<EOF>", near: "= "'),
        ("SET n = :one :two", 'Syntax error; token: ":two", near: ":one :two"'),
        ("SET n = :missing", "not defined; attribute value: :missing"),
        ("SET #missing = :one", "not defined; attribute name: #missing"),
        ("SET name = :one", "reserved keyword: name"),
        ("SET n = :one, n = :two", "Two document paths overlap"),
        ("SET m.x = :one, m[0] = :two", "Two document paths conflict"),
        ("SET n = :one SET s = :two", 'The "SET" section can only be used once'),
        ("SET n = foo(n)", "Invalid function name; function: foo"),
        ("SET n = size(s)", "not allowed in an update expression; function: size"),
        ("SET n = n + :text", "operator or function: +, operand type: S"),
        ("ADD n :flag", "operator: ADD, operand type: BOOLEAN"),
        ("SET pk = :text", "Cannot update attribute pk. This attribute is part of the key"),
        ("SET q.r = :one", "document path provided in the update expression is invalid"),
        ("SET n = q", "attribute that does not exist in the item"),
        ("SET n = s + :one", "incorrect data type"),
    ],
)
def test_a_bad_update_is_refused_and_changes_nothing(expression: str, words: str) -> None:
    orders = Orders()
    orders.put("a", **START)
    with pytest.raises(EmulatorError) as caught:
        orders.update("a", expression, **given(expression))
    assert caught.value.type == "ValidationException"
    assert words in caught.value.message
    assert orders.get("a") == {"pk": {"S": "a"}, **START}
    assert len(orders.records()) == 1


def test_a_syntax_error_is_told_before_a_missing_placeholder() -> None:
    with pytest.raises(EmulatorError, match="Syntax error"):
        Orders().update("a", "SET n = :missing :missing")


@pytest.mark.parametrize(
    ("request_members", "words"),
    [
        (
            {"ExpressionAttributeValues": {":one": {"N": "1"}, ":b": {"N": "1"}}},
            "unused in expressions: keys: {:b}",
        ),
        (
            {
                "ExpressionAttributeValues": {":one": {"N": "1"}},
                "ExpressionAttributeNames": {"#b": "b"},
            },
            "ExpressionAttributeNames unused in expressions: keys: {#b}",
        ),
        ({"ExpressionAttributeValues": {}}, "ExpressionAttributeValues must not be empty"),
        ({"ExpressionAttributeValues": {"one": {"N": "1"}}}, "contains invalid key"),
        ({"ExpressionAttributeValues": {":one": {"N": "x"}}}, "contains invalid value"),
    ],
)
def test_placeholders_must_fit_the_expressions(request_members: dict[str, Any], words: str) -> None:
    with pytest.raises(EmulatorError) as caught:
        Orders().update("a", "SET n = :one", **request_members)
    assert words in caught.value.message


def test_a_projection_keeps_the_order_of_lists() -> None:
    orders = Orders()
    orders.put("a", **START)
    answer = orders.call(
        "GetItem",
        TableName="orders",
        Key={"pk": {"S": "a"}},
        ProjectionExpression="l[2], m.x, l[0], absent",
    )
    assert answer["Item"] == {"l": {"L": [{"N": "1"}, {"N": "3"}]}, "m": START["m"]}


def test_no_expression_of_the_catalogue_is_a_fault_of_ours() -> None:
    endpoint = EmulatorEndpoint()
    create_table(endpoint, name="orders")
    key = {"TableName": "orders", "Key": {"pk": ITEM["pk"]}}
    errors = set()
    for operation, member, texts in (
        ("DeleteItem", "ConditionExpression", CONDITIONS),
        ("UpdateItem", "UpdateExpression", UPDATES),
        ("GetItem", "ProjectionExpression", PROJECTIONS),
    ):
        for text in texts:
            endpoint.send("PutItem", {"TableName": "orders", "Item": ITEM})
            request = {**key, member: text, **placeholders(text)}
            errors.add(endpoint.send(operation, request).error)
    assert errors == {"", "ValidationException", "ConditionalCheckFailedException"}
