"""Attribute values are made canonical at the door, sized as DynamoDB sizes them, and bad ones refused."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.kit import Orders
from triggerkit.emulator import EmulatorError
from triggerkit.emulator.sizes import item_size_bytes
from triggerkit.emulator.values import normalise

NINES = "9" * 38


@pytest.mark.parametrize(
    ("spelled", "canonical"),
    [
        ("100.00", "100"),
        ("1e2", "100"),
        ("-0.0", "0"),
        ("0E200", "0"),
        ("+5", "5"),
        ("007", "7"),
        (".50", "0.5"),
        ("12e-5", "0.00012"),
        ("-001.10", "-1.1"),
        (NINES, NINES),
        (f"{NINES}000", f"{NINES}000"),
        ("1." + "0" * 60, "1"),
        ("1E125", "1" + "0" * 125),
        ("1E-130", "0." + "0" * 129 + "1"),
    ],
)
def test_a_number_is_kept_in_plain_notation(spelled: str, canonical: str) -> None:
    assert normalise({"N": spelled}) == {"N": canonical}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"N": ""}, "cannot be converted to a numeric value"),
        ({"N": "NaN"}, "cannot be converted to a numeric value: NaN"),
        ({"N": "\u0661"}, "cannot be converted to a numeric value"),
        ({"N": "9" * 39}, "more than 38 significant digits"),
        ({"N": "1E126"}, "Number overflow"),
        ({"N": "1E-131"}, "Number underflow"),
        ({}, "Supplied AttributeValue is empty"),
        ({"S": None}, "Supplied AttributeValue is empty"),
        ({"S": "a", "N": "1"}, "more than one datatypes"),
        ({"X": "1"}, "Supplied AttributeValue is empty"),
        ({"SS": []}, "An string set  may not be empty"),
        ({"NS": ["1", "1.0"]}, "contains duplicates"),
        ({"NULL": False}, "must have the value of true"),
        ({"M": {"": {"S": "a"}}}, "Empty attribute name"),
    ],
)
def test_a_value_that_is_none_is_refused_with_the_reason(value: Any, words: str) -> None:
    with pytest.raises(EmulatorError) as caught:
        normalise(value)
    assert caught.value.type == "ValidationException"
    assert words in caught.value.message


@pytest.mark.parametrize(
    "value", ["a", 5, {"S": 5}, {"N": 5}, {"BOOL": "true"}, {"L": {}}, {"M": []}, {"B": "!!"}]
)
def test_json_of_the_wrong_shape_is_a_serialization_error(value: Any) -> None:
    with pytest.raises(EmulatorError) as caught:
        normalise(value)
    assert caught.value.type == "SerializationException"


def test_sets_are_equal_whatever_their_order() -> None:
    assert normalise({"NS": ["10", "9.0", "-1"]}) == normalise({"NS": ["-1.0", "9", "1e1"]})
    assert normalise({"SS": ["b", "a"]}) == normalise({"SS": ["a", "b"]})
    assert normalise({"BS": ["YWJj", "YQ=="]}) == normalise({"BS": ["YQ==", "YWJj"]})


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [
        ({"S": "é"}, 2),
        ({"N": "42"}, 2),
        ({"N": "0"}, 1),
        ({"N": "-2.5"}, 4),
        ({"N": "100"}, 2),
        ({"N": "123456789"}, 6),
        ({"B": "Zm9vYmFy"}, 6),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"SS": ["a", "bc"]}, 3),
        ({"L": []}, 3),
        ({"L": [{"S": "a"}]}, 5),
        ({"M": {"k": {"S": "a"}}}, 6),
    ],
)
def test_a_value_has_the_size_that_dynamodb_local_streams(
    value: dict[str, Any], size_bytes: int
) -> None:
    assert item_size_bytes({"a": normalise(value)}) == 1 + size_bytes


def test_an_item_of_more_than_400_kilobytes_is_refused() -> None:
    orders = Orders()
    orders.put("a", x={"S": "y" * (400 * 1024 - 4)})
    for write in (
        lambda: orders.put("a", x={"S": "y" * (400 * 1024 - 3)}),
        lambda: orders.update("a", "SET z = :z", ExpressionAttributeValues={":z": {"N": "1"}}),
    ):
        with pytest.raises(EmulatorError, match="has exceeded the maximum allowed size"):
            write()


def test_documents_nest_32_levels_deep_and_no_deeper() -> None:
    def nested(depth: int) -> dict[str, Any]:
        value: dict[str, Any] = {"S": "a"}
        for level in range(depth):
            value = {"L": [value]} if level % 2 else {"M": {"a": value}}
        return value

    orders = Orders()
    orders.put("a", v=nested(31), m={"M": {}})
    for write in (
        lambda: orders.put("a", v=nested(32)),
        lambda: orders.update("a", "SET m.a = :v", ExpressionAttributeValues={":v": nested(31)}),
    ):
        with pytest.raises(EmulatorError, match="Nesting Levels have exceeded"):
            write()
