"""Pseudonyms: the same value is the same word, another value another, and none tells what it stands for."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggerkit.cassettes.redaction import Redaction, Redactor, read_redaction
from triggerkit.emulator.sizes import item_size_bytes
from triggerkit.emulator.values import normalise_item
from triggerkit.errors import UsageError

SALT = bytes(range(32))
NAMES = ("id", "email", "address", "tags", "n")
LONG_ENOUGH = 8
"""A shorter value may be in a file by chance."""

texts = st.text(min_size=LONG_ENOUGH, max_size=40)
numbers = st.integers(10**LONG_ENOUGH, 10**30).map(str)
binaries = st.binary(min_size=LONG_ENOUGH, max_size=40).map(lambda b: base64.b64encode(b).decode())
scalars = st.one_of(
    texts.map(lambda text: {"S": text}),
    st.emails().map(lambda text: {"S": text}),
    st.uuids().map(lambda one: {"S": str(one)}),
    numbers.map(lambda text: {"S": text}),
    numbers.map(lambda text: {"N": text}),
    binaries.map(lambda text: {"B": text}),
    st.sets(texts, min_size=1, max_size=3).map(lambda members: {"SS": sorted(members)}),
    st.sets(numbers, min_size=1, max_size=3).map(lambda members: {"NS": sorted(members)}),
    st.sets(binaries, min_size=1, max_size=3).map(lambda members: {"BS": sorted(members)}),
    st.just({"NULL": True}),
    st.booleans().map(lambda yes: {"BOOL": yes}),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda elements: {"L": elements}),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=3).map(lambda m: {"M": m}),
    ),
    max_leaves=8,
)
items = st.dictionaries(st.sampled_from(NAMES), values, min_size=1)


def redacting(redact: str = "", keep: str = "", prefix: str = "") -> Redactor:
    redaction = read_redaction(
        [redact] if redact else [], [keep] if keep else [], [prefix] if prefix else []
    )
    return Redactor(redaction, SALT)


def record(new: dict[str, Any], old: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    change = {"Keys": {"id": new.get("id", {"S": "1"})}, "NewImage": new, "SizeBytes": 1}
    return {"eventName": "INSERT", "dynamodb": change | ({"OldImage": old} if old else {}), **more}


def leaves(value: Any) -> Iterator[tuple[str, str]]:
    """Kind and content of every value that says something."""
    ((kind, inner),) = value.items()
    match kind:
        case "M":
            for one in inner.values():
                yield from leaves(one)
        case "L":
            for one in inner:
                yield from leaves(one)
        case "SS" | "NS" | "BS":
            for one in inner:
                yield kind[0], one
        case "S" | "N" | "B":
            yield kind, inner


def shape(value: Any) -> Any:
    """The types of a value, without contents."""
    ((kind, inner),) = value.items()
    match kind:
        case "M":
            return {name: shape(one) for name, one in inner.items()}
        case "L":
            return [shape(one) for one in inner]
        case "SS" | "NS" | "BS":
            return kind, len(inner)
        case _:
            return kind


@given(items)
def test_nothing_of_an_item_is_left_but_names_types_and_equality(item: dict[str, Any]) -> None:
    redacted = Redactor(Redaction(keep=("nothing",)), SALT).redacted(record(item))
    image = redacted["dynamodb"]["NewImage"]
    assert shape({"M": image}) == shape({"M": item})
    text = json.dumps(redacted, ensure_ascii=False)
    for _, content in leaves({"M": item}):
        assert content not in text
        assert json.dumps(content)[1:-1] not in text
    before = list(leaves({"M": item}))
    after = set(leaves({"M": image}))
    assert len(set(before)) == len(after)
    assert normalise_item(image) is not None  # it can be written


@given(items, items)
def test_a_value_is_the_same_word_wherever_it_stands(
    item: dict[str, Any], other: dict[str, Any]
) -> None:
    redactor = redacting(",".join(NAMES))
    words: dict[tuple[str, str], str] = {}
    for one in (item, other):
        image = redactor.redacted(record(one, one))["dynamodb"]
        assert image["NewImage"] == image["OldImage"]
        assert image["Keys"]["id"] == image["NewImage"].get("id", image["Keys"]["id"])
        for name, value in one.items():
            if {"SS", "NS", "BS"}.isdisjoint(str(shape(value)).split("'")):
                told = zip(leaves(value), leaves(image["NewImage"][name]), strict=True)
                for leaf, (kind, word) in told:
                    assert (leaf[0], words.setdefault(leaf, word)) == (kind, word)
    assert len(set(words.values())) == len(words)


@given(items)
def test_what_is_not_named_stays_as_it_is(item: dict[str, Any]) -> None:
    assert redacting("other,address.nothing").redacted(record(item))["dynamodb"]["NewImage"] == item
    kept = redacting(keep=",".join(NAMES)).redacted(record(item))
    assert kept["dynamodb"]["NewImage"] == item


def test_another_recording_has_other_words() -> None:
    item = {"id": {"S": "customer-1"}}
    words = [
        Redactor(Redaction(("id",)), bytes([salt]) * 32).redacted(record(item))["dynamodb"]["Keys"]
        for salt in (1, 2)
    ]
    assert words[0] != words[1]


def test_numbers_that_are_equal_become_equal() -> None:
    redactor = redacting("n")
    told = {
        redactor.redacted(record({"n": {"N": text}}))["dynamodb"]["NewImage"]["n"]["N"]
        for text in ("1", "1.0", "10E-1")
    }
    assert len(told) == 1
    long = [f"0.1{'0' * 30}{digit}" for digit in "12"]
    images = [redactor.redacted(record({"n": {"N": text}})) for text in long]
    assert images[0] != images[1]
    assert 10**14 <= int(told.pop()) < 10**15


def test_paths_lead_into_maps_and_through_lists() -> None:
    item = {
        "id": {"S": "1"},
        "lines": {"L": [{"M": {"sku": {"S": "a"}, "to": {"S": "Ann"}}}, {"S": "loose"}]},
        "address": {"M": {"street": {"S": "Elm"}, "city": {"S": "Rome"}}},
        "dotted.name": {"S": "Ann"},
    }
    image = redacting("lines.to, address.street,dotted.name").redacted(record(item))["dynamodb"][
        "NewImage"
    ]
    assert image["id"] == {"S": "1"}
    assert image["address"]["M"]["city"] == {"S": "Rome"}
    first, loose = image["lines"]["L"]
    assert (first["M"]["sku"], loose) == ({"S": "a"}, {"S": "loose"})
    assert first["M"]["to"] == image["dotted.name"] != {"S": "Ann"}
    assert image["address"]["M"]["street"] != {"S": "Elm"}
    others = redacting(keep="lines.sku,address").redacted(record(item))["dynamodb"]["NewImage"]
    assert others["address"] == item["address"]
    first, loose = others["lines"]["L"]
    assert first["M"]["sku"] == {"S": "a"}
    assert "Ann" not in json.dumps(others)
    assert loose != {"S": "loose"}


def test_text_keeps_the_form_that_handlers_check() -> None:
    redactor = redacting("id,email,n")
    item = {
        "id": {"S": "6f1c0e9e-54a0-4f0e-9a3c-0a7f3a1f0b11"},
        "email": {"S": "ann.smith+shop@example.org"},
        "n": {"S": "0049123456"},
    }
    image = redactor.redacted(record(item))["dynamodb"]["NewImage"]
    assert str(uuid.UUID(image["id"]["S"])) == image["id"]["S"]
    assert image["email"]["S"].endswith("@example.com")
    assert image["n"]["S"].isdigit()
    plain = redactor.redacted(record({"n": {"S": "Ann"}}))["dynamodb"]["NewImage"]["n"]["S"]
    assert (len(plain), plain.isalnum(), plain.islower()) == (16, True, True)


def test_lengths_and_sizes_tell_nothing() -> None:
    redactor = redacting("id")
    told = [redactor.redacted(record({"id": {"S": "a" * n}}))["dynamodb"] for n in (1, 7, 900)]
    assert {len(one["Keys"]["id"]["S"]) for one in told} == {16}
    assert {one["SizeBytes"] for one in told} == {2 * item_size_bytes(told[0]["Keys"])}
    nothing = redactor.redacted(record({"id": {"S": ""}}))["dynamodb"]["Keys"]
    assert nothing == {"id": {"S": ""}}


def test_prefixes_stay_where_they_are_asked_for() -> None:
    redactor = redacting("id,email", prefix="USER#,ORDER#")
    item = {"id": {"S": "USER#ann"}, "email": {"S": "ann"}, "n": {"S": "USER#ann"}}
    image = redactor.redacted(record(item))["dynamodb"]["NewImage"]
    assert image["id"]["S"] == f"USER#{image['email']['S']}" != "USER#ann"
    assert image["n"] == {"S": "USER#ann"}


def test_what_no_record_had_is_known() -> None:
    redactor = redacting("id,emial,address.street")
    redactor.redacted(record({"id": {"S": "1"}, "address": {"M": {"city": {"S": "Rome"}}}}))
    assert redactor.unmet == ("emial", "address.street")
    redactor = redacting(keep="id,emial")
    redactor.redacted(record({"id": {"S": "1"}}))
    assert redactor.unmet == ("emial",)


def test_booleans_say_nothing_any_more_and_null_never_did() -> None:
    item = {"id": {"BOOL": True}, "n": {"NULL": True}, "email": {"BOOL": False}}
    image = redacting("id,n,email").redacted(record(item))["dynamodb"]["NewImage"]
    assert image == {"id": {"BOOL": False}, "n": {"NULL": True}, "email": {"BOOL": False}}


@pytest.mark.parametrize(
    ("redact", "keep", "prefix", "says"),
    [
        (("email",), ("id",), (), "contradict"),
        (("email,",), (), (), "'' is no path"),
        (("a..b",), (), (), "'a..b' is no path"),
        ((), (" ",), (), "'' is no path"),
        ((), (), ("USER#",), "without --redact"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    redact: tuple[str, ...], keep: tuple[str, ...], prefix: tuple[str, ...], says: str
) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        read_redaction(redact, keep, prefix)
    assert refused.value.hint


def test_the_key_of_the_pseudonyms_is_not_shown() -> None:
    assert "salt" not in repr(redacting("id"))


def test_c8_an_empty_map_of_dynamodb_local_is_redacted_as_an_empty_map() -> None:
    item = {"id": {"S": "1"}, "tags": {}, "lines": {"L": [{}, {"S": "x"}]}}
    image = redacting("tags,lines.any").redacted(record(item))["dynamodb"]["NewImage"]
    assert image == {"id": {"S": "1"}, "tags": {"M": {}}, "lines": {"L": [{"M": {}}, {"S": "x"}]}}
