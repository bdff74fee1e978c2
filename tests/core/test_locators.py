"""Locators: one grammar, and a bad one is shown with what to write instead."""

from __future__ import annotations

import pytest

from triggerkit.core.locators import Locator, check_keys, parse, resolve
from triggerkit.errors import LocatorError

STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-31T00:00:00.000"


@pytest.mark.parametrize(
    ("text", "scheme", "name", "keys"),
    [
        ("dynamodb://orders", "dynamodb", "orders", {}),
        (
            "dynamodb://orders?region=eu-west-1&endpoint_url=http://127.0.0.1:8000",
            "dynamodb",
            "orders",
            {"region": "eu-west-1", "endpoint_url": "http://127.0.0.1:8000"},
        ),
        ("sqs://failed?payload=full", "sqs", "failed", {"payload": "full"}),
        ("memory:", "memory", "", {}),
        ("memory://", "memory", "", {}),
        ("sqlite:///.triggerkit/state.db", "sqlite", "/.triggerkit/state.db", {}),
        ("sqlite:////var/state.db", "sqlite", "//var/state.db", {}),
        ("file:failures.jsonl", "file", "failures.jsonl", {}),
        ("file:///var/failures.jsonl", "file", "/var/failures.jsonl", {}),
        ("file:with%20blank.jsonl", "file", "with blank.jsonl", {}),
        ("my_own://x", "my_own", "x", {}),
        ("my_own:x", "my_own", "x", {}),
    ],
)
def test_a_locator_is_scheme_name_and_keys(
    text: str, scheme: str, name: str, keys: dict[str, str]
) -> None:
    assert parse(text) == Locator(text, scheme, name, keys=keys)
    assert str(parse(text)) == text


def test_an_arn_is_a_locator_with_keys_too() -> None:
    locator = parse(f"{STREAM}?profile=prod")
    assert locator.is_arn
    assert locator.scheme == "dynamodb"
    assert locator.name == STREAM
    assert locator.keys == {"profile": "prod"}
    assert parse("arn:aws-cn:sqs:cn-north-1:1:queue").scheme == "sqs"


@pytest.mark.parametrize(
    "text",
    [
        "orders",
        "",
        "?region=x",
        "Dynamodb://orders",
        ":orders",
        "//orders",
        " dynamodb://orders",
        "dynamodb://orders?region",
        "dynamodb://orders?region=",
        "dynamodb://orders?region=a&region=b",
        "arn:aws:dynamodb:eu-west-1:1",
        "arn:aws::eu-west-1:1:instance/x",
    ],
)
def test_a_bad_locator_is_shown_with_what_to_write(text: str) -> None:
    with pytest.raises(LocatorError) as caught:
        parse(text)
    assert repr(text) in caught.value.message
    assert caught.value.hint


def test_variables_are_resolved_with_and_without_a_default() -> None:
    variables = {"PREFIX": "dev-", "EMPTY": ""}
    assert resolve("dynamodb://${PREFIX}orders", variables) == "dynamodb://dev-orders"
    assert resolve("dynamodb://${NONE:-x}orders", variables) == "dynamodb://xorders"
    assert resolve("dynamodb://${NONE:-}orders", variables) == "dynamodb://orders"
    assert resolve("dynamodb://${EMPTY}orders", variables) == "dynamodb://orders"
    assert resolve("dynamodb://orders", {}) == "dynamodb://orders"


def test_an_unset_variable_is_named_with_three_ways_to_set_it() -> None:
    with pytest.raises(LocatorError) as caught:
        resolve("dynamodb://${PREFIX}orders", {})
    assert "${PREFIX} is not set" in caught.value.message
    assert "dynamodb://${PREFIX}orders" in caught.value.message
    for way in ("export PREFIX=", "[tool.triggerkit.vars]", "${PREFIX:-value}"):
        assert way in caught.value.hint


@pytest.mark.parametrize("text", ["dynamodb://$PREFIX", "dynamodb://${PREFIX", "dynamodb://${1}"])
def test_a_variable_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(LocatorError, match="begins no variable"):
        resolve(text, {"PREFIX": "x"})


def test_a_value_is_not_resolved_again() -> None:
    assert resolve("dynamodb://${A}", {"A": "${B}"}) == "dynamodb://${B}"


def test_an_unknown_key_is_refused_with_the_known_ones() -> None:
    locator = parse("dynamodb://orders?regoin=x")
    with pytest.raises(LocatorError, match="unknown key 'regoin'") as caught:
        check_keys(locator, frozenset({"payload"}))
    assert "payload" in caught.value.hint
    assert "region" in caught.value.hint
    check_keys(parse("dynamodb://orders?region=x&payload=full"), frozenset({"payload"}))
