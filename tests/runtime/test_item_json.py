"""Items as people write them: nothing is lost, nothing is guessed twice."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from hypothesis import given, settings
from hypothesis import strategies as st

from triggerkit.errors import UsageError
from triggerkit.runtime.item_json import Item, read_item, read_items, same_item, to_wire

numbers = st.builds(  # up to the 38 digits that DynamoDB keeps
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-(10**28) + 1, 10**28 - 1),
    st.integers(-60, 60),
)
plain = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | numbers,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


def written(value: Any) -> str:
    """JSON text of a value whose numbers are decimals."""
    match value:
        case Decimal():
            return str(value)
        case list():
            return "[" + ",".join(map(written, value)) + "]"
        case dict():
            return "{" + ",".join(f"{json.dumps(k)}:{written(v)}" for k, v in value.items()) + "}"
        case _:
            return json.dumps(value)


def read_back(item: dict[str, Any]) -> dict[str, Any]:
    """What a program sees that reads the item with boto3."""
    deserialize = TypeDeserializer().deserialize
    return {name: deserialize(value) for name, value in item.items()}


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.dictionaries(st.text(min_size=1, max_size=3), plain, max_size=3))
def test_a_plain_item_is_read_back_as_it_was_written(fields: dict[str, Any]) -> None:
    item = {"id": "x", **{f"f{name}": value for name, value in fields.items()}}
    assert read_back(read_item(written(item), "the item")) == item


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.dictionaries(st.text(min_size=1, max_size=3), plain, max_size=3))
def test_an_item_in_dynamodb_json_is_the_same_item(fields: dict[str, Any]) -> None:
    item = read_item(written({"id": "x", **fields}), "the item")
    assert read_item(json.dumps(to_wire(item)), "the item") == item


def items_of(text: str, what: str) -> list[Item]:
    """All of them."""
    return list(read_items(io.BytesIO(text.encode()), what))


def test_all_types_of_dynamodb_json_are_read() -> None:
    typed = {
        "s": {"S": ""}, "n": {"N": "1.50"}, "bare": {"N": 7}, "b": {"B": "AP8="},
        "t": {"BOOL": False}, "z": {"NULL": True}, "m": {"M": {"b": {"B": ""}}},
        "l": {"L": [{"BS": ["AQ=="]}]}, "ss": {"SS": ["a"]}, "ns": {"NS": ["1", 2]}, "bs": {"BS": []},
    }  # fmt: skip
    item = read_item(json.dumps(typed), "the item")
    assert item["n"] == {"N": "1.50"}
    assert item["bare"] == {"N": "7"}
    assert item["b"] == {"B": b"\x00\xff"}
    assert item["m"] == {"M": {"b": {"B": b""}}}
    assert item["l"] == {"L": [{"BS": [b"\x01"]}]}
    assert item["ns"] == {"NS": ["1", "2"]}
    assert to_wire(item)["l"] == {"L": [{"BS": ["AQ=="]}]}


@pytest.mark.parametrize(
    "text",
    [
        '{"id": {"S": "1"}, "n": 5}',
        '{"id": {"S": 1}}',
        '{"id": {"S": "1", "N": "1"}}',
        '{"id": {"NULL": false}}',
        '{"m": {"M": "text"}}',
        '{"status": {"OK": true}}',
    ],
)
def test_what_is_not_all_dynamodb_json_is_plain(text: str) -> None:
    item = read_item(text, "the item")
    assert all(next(iter(value)) in ("M", "N", "S") for value in item.values())
    assert "M" in next(iter(item.values()))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"n": 1}', '{"n": 1.00}', True),
        ('{"n": {"NS": ["1", "2"]}}', '{"n": {"NS": ["2.0", "1"]}}', True),
        ('{"s": {"SS": ["a", "b"]}}', '{"s": {"SS": ["b", "a"]}}', True),
        ('{"l": [1, 2]}', '{"l": [2, 1]}', False),
        ('{"n": 1}', '{"n": "1"}', False),
        ('{"n": {"N": "1"}}', '{"n": {"S": "1"}}', False),
        ('{"m": {"a": 1}}', '{"m": {"a": 1, "b": null}}', False),
    ],
)
def test_items_are_compared_as_dynamodb_compares_them(one: str, other: str, same: bool) -> None:
    assert same_item(read_item(one, "one"), read_item(other, "other")) is same


def test_an_array_over_lines_is_one_document() -> None:
    assert len(items_of('[\n{"id": "1"},\n{"id": "2"}\n]', "file")) == 2
    assert len(items_of('{"id":\n"1"}', "file")) == 1


def test_an_empty_array_has_no_items() -> None:
    assert items_of("[]", "file") == []


@pytest.mark.parametrize(
    "text", ["", "  \n", "nul", '{"a": }', "\ufeff{}", '"text"', "true", "null"]
)
def test_what_is_no_item_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        items_of(text, "file.json")
    assert refused.value.message.startswith("file.json")
    assert refused.value.hint
