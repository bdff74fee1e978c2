"""DynamoDB's item JSON as Python values: exact, and compared as DynamoDB compares."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggerkit.core.item_json import decoded, for_json, value_of
from triggerkit.errors import ImageMismatchError, ImageNotInStream
from triggerkit.invokers.images import StreamImages

ARN = "arn:aws:dynamodb:eu-west-1:111111111111:table/orders/stream/2026"


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ({"S": "x"}, "x"),
        ({"S": ""}, ""),
        ({"N": "1.10"}, Decimal("1.10")),
        ({"N": "-12345678901234567890123456789012345678"}, -12345678901234567890123456789012345678),
        ({"N": "0.1"}, Decimal("0.1")),
        ({"BOOL": False}, False),
        ({"NULL": True}, None),
        ({"B": "AP8="}, b"\x00\xff"),
        ({"SS": ["a", "b"]}, {"a", "b"}),
        ({"NS": ["1", "2.5"]}, {Decimal(1), Decimal("2.5")}),
        ({"BS": ["AP8=", ""]}, {b"\x00\xff", b""}),
        ({"L": [{"S": "x"}, {"L": []}]}, ["x", []]),
        ({"M": {"a": {"M": {"b": {"N": "1"}}}}}, {"a": {"b": Decimal(1)}}),
    ],
)
def test_each_type_of_dynamodb_has_its_python_value(wire: dict[str, Any], value: object) -> None:
    assert value_of(wire) == value
    assert decoded({"name": wire}) == {"name": value}
    json.dumps(for_json(wire))


def test_a_number_keeps_all_its_digits() -> None:
    digits = "0.12345678901234567890123456789012345678"
    assert str(value_of({"N": digits})) == digits


@pytest.mark.parametrize(
    "wire", [{"X": "1"}, {"id": "1"}, {"N": "secret"}, {"B": "secret"}, {"M": {"a": {"X": 1}}}, "s"]
)
def test_what_is_no_attribute_value_is_refused_by_its_name_and_without_its_value(wire: Any) -> None:
    with pytest.raises(ImageMismatchError, match="attribute 'total'") as refused:
        decoded({"id": {"S": "1"}, "total": wire})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ({}, {}),
        ({"L": [{}, {"S": "x"}]}, [{}, "x"]),
        ({"M": {"tags": {}}}, {"tags": {}}),
    ],
)
def test_c8_an_empty_map_that_lacks_its_type_is_an_empty_map(wire: Any, value: object) -> None:
    assert decoded({"name": wire}) == {"name": value}
    assert for_json(wire) == value


def test_c8_an_empty_map_that_lacks_its_type_compares_as_an_empty_map() -> None:
    before, now = {"tags": {}}, {"tags": {"M": {}}}
    assert not images(before, now).changed(())
    assert not images(before, now).changed(("tags", "tags.a"))
    filled = images(before, {"tags": {"M": {"a": {"S": "x"}}}})
    assert filled.changed(("tags",))
    assert filled.changed(("tags.a",))
    assert filled.differences() == {"tags.a": {"new": "x"}}
    assert images({"tags": {"S": "x"}}, before).differences() == {"tags": {"old": "x", "new": {}}}


@pytest.mark.parametrize(
    ("digits", "told"),
    [
        ("1", 1),
        ("1E+2", 100),
        ("-7.50", -7.5),
        ("0.1", 0.1),
        ("0.30000000000000000001", "0.30000000000000000001"),
        ("12345678901234567890", 12345678901234567890),
    ],
)
def test_a_number_for_json_has_exactly_its_digits_or_is_text(digits: str, told: object) -> None:
    assert for_json({"N": digits}) == told
    assert type(for_json({"N": digits})) is type(told)


def images(old: Any, new: Any, **given: Any) -> StreamImages[Any]:
    change = {"OldImage": old, "NewImage": new}
    return StreamImages({k: v for k, v in change.items() if v is not None}, dict, **given)


def s(text: str) -> dict[str, str]:
    return {"S": text}


OLD = {
    "id": s("1"),
    "status": s("open"),
    "address": {"M": {"city": s("Bonn"), "zip": s("53111")}},
    "lines": {"L": [{"M": {"price": {"N": "1"}}}]},
    "tags": {"SS": ["a", "b"]},
    "gone": {"NULL": True},
    "a.b": s("dotted"),
}
NEW = {
    "id": s("1"),
    "status": s("paid"),
    "address": {"M": {"city": s("Kiel"), "zip": s("53111"), "floor": {"N": "2"}}},
    "lines": {"L": [{"M": {"price": {"N": "1.50"}}}]},
    "tags": {"SS": ["b", "a"]},
    "a.b": s("other"),
}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["status"], True),
        (["id"], False),
        (["id", "status"], True),
        (["address"], True),
        (["address.city"], True),
        (["address.zip"], False),
        (["address.floor"], True),
        (["lines.0.price"], True),
        (["lines.1.price"], False),
        (["lines.x"], False),
        (["tags"], False),
        (["gone"], True),
        (["a.b"], True),
        (["nowhere"], False),
        (["status.deeper"], False),
        ([], True),
    ],
    ids=str,
)
def test_changed_compares_the_images_at_a_path(paths: list[str], expected: bool) -> None:
    assert images(OLD, NEW).changed(paths) is expected


def test_the_differences_are_ready_for_json() -> None:
    expected = {
        "status": {"old": "open", "new": "paid"},
        "address.city": {"old": "Bonn", "new": "Kiel"},
        "address.floor": {"new": 2},
        "lines": {"old": [{"price": 1}], "new": [{"price": 1.5}]},
        "gone": {"old": None},
        "a.b": {"old": "dotted", "new": "other"},
    }
    told = images(OLD, NEW).differences()
    assert told == expected
    assert json.loads(json.dumps(told)) == expected


def test_values_are_compared_as_dynamodb_does() -> None:
    for old, new, same in (
        ({"N": "1"}, {"N": "1.0"}, True),
        ({"N": "1"}, {"S": "1"}, False),
        ({"N": "1"}, {"BOOL": True}, False),
        ({"NS": ["1", "2"]}, {"NS": ["2.0", "1"]}, True),
        ({"L": [{"N": "1"}]}, {"L": [{"N": "1.0"}]}, True),
        ({"L": [{"N": "1"}]}, {"L": []}, False),
        ({"M": {"a": {"N": "1"}}}, {"M": {"a": {"N": "1.0"}}}, True),
        ({"M": {"a": {"N": "1"}}}, {"M": {"b": {"N": "1"}}}, False),
    ):
        assert images({"x": old}, {"x": new}).changed(["x"]) is not same, (old, new)
        assert images({"x": old}, {"x": new}).changed([]) is not same
        assert bool(images({"x": old}, {"x": new}).differences()) is not same


def test_an_insert_is_compared_with_nothing_and_a_removal_too() -> None:
    inserted = images(None, {"a": s("x")}, inserted=True)
    assert inserted.changed(["a"])
    assert not inserted.changed(["b"])
    assert inserted.differences() == {"a": {"new": "x"}}
    removed = images({"a": s("x")}, None, removed=True)
    assert removed.changed([])
    assert removed.differences() == {"a": {"old": "x"}}


def test_each_image_is_decoded_once_and_only_when_asked_for() -> None:
    reads: list[dict[str, Any]] = []

    def read(item: dict[str, Any]) -> dict[str, Any]:
        reads.append(item)
        return item

    both: StreamImages[dict[str, Any]] = StreamImages(
        {"NewImage": {"a": s("n")}, "OldImage": {"a": s("o")}}, read
    )
    assert both.changed(["a"])
    assert reads == []
    assert both.new is both.new
    assert reads == [{"a": "n"}]
    assert both.old is both.old
    assert reads == [{"a": "n"}, {"a": "o"}]
    both.new["a"] = "the handler's own business"
    assert both.differences() == {"a": {"old": "o", "new": "n"}}


@pytest.mark.parametrize("name", ["new", "old"])
def test_a_missing_image_names_the_table_the_view_and_the_command(name: str) -> None:
    bare: StreamImages[Any] = StreamImages({"StreamViewType": "KEYS_ONLY"}, dict, stream_arn=ARN)
    for ask in (lambda: getattr(bare, name), lambda: bare.changed(["a"]), bare.differences):
        with pytest.raises(ImageNotInStream) as caught:
            ask()
        assert "'orders'" in str(caught.value)
        assert "KEYS_ONLY" in str(caught.value)
        assert "triggerkit enable-stream orders NEW_AND_OLD_IMAGES" in caught.value.hint
    assert bare.misfit is None


wire_values = st.recursive(
    st.builds(lambda x: {"S": x}, st.text(max_size=5))
    | st.builds(
        lambda x: {"N": str(x)},
        st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=3),
    )
    | st.builds(lambda x: {"BOOL": x}, st.booleans())
    | st.builds(lambda x: {"SS": sorted(x)}, st.sets(st.text(max_size=3), min_size=1)),
    lambda inner: (
        st.builds(lambda x: {"L": x}, st.lists(inner, max_size=3))
        | st.builds(lambda x: {"M": x}, st.dictionaries(st.text(max_size=3), inner, max_size=3))
    ),
    max_leaves=8,
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.dictionaries(st.text(max_size=3), wire_values, max_size=4),
    st.dictionaries(st.text(max_size=3), wire_values, max_size=4),
)
def test_there_are_differences_exactly_where_the_images_differ(old: Any, new: Any) -> None:
    both = images(old, new)
    assert bool(both.differences()) is both.changed([])
    assert both.changed([]) is not (decoded(old) == decoded(new) and _kinds(old) == _kinds(new))
    json.dumps(both.differences())


def _kinds(wire: Any) -> Any:
    """The types of all values: Python says that True equals 1."""
    if isinstance(wire, dict):
        return {name: _kinds(inner) for name, inner in wire.items()}
    return (
        [_kinds(each) for each in wire]
        if isinstance(wire, list) and wire and isinstance(wire[0], dict)
        else None
    )
