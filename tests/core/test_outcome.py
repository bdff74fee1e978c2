"""What a handler's answer means: the table of the contract, F-13 to F-32."""

from __future__ import annotations

import math

import pytest

from triggerkit.core.model import Batch, LastFailure, Record
from triggerkit.core.outcome import (
    Discard,
    Outcome,
    PartlyFailed,
    Retry,
    Succeeded,
    read_response,
)

NUMBERS = ("99", "100", "101", "102")  # by value, not by text: "99" comes first
BATCH = Batch(0, tuple(Record(number, 0.0, b"k", b"{}") for number in NUMBERS), range(4))
DONE = Succeeded()


def from_index(index: int, told: str) -> Outcome:
    return PartlyFailed(index, LastFailure("id", "BatchItemFailures", told, reported=True))


UNKNOWN = from_index(0, "an itemIdentifier that is not in the batch")
NO_LIST = from_index(0, "batchItemFailures is not a list")


def failures(*identifiers: object) -> dict[str, object]:
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}


@pytest.mark.parametrize(
    ("rule", "response", "outcome"),
    [
        ("F-13", None, DONE),
        ("F-14", {}, DONE),
        ("F-15", [], DONE),
        ("F-16", "", DONE),
        ("F-17", {"batchItemFailures": []}, DONE),
        ("F-17, a tuple is a JSON list", {"batchItemFailures": ()}, DONE),
        ("F-18", {"batchItemFailures": None}, DONE),
        ("F-19", failures("101"), from_index(2, "1 reported")),
        ("F-20, unknown", failures("7"), UNKNOWN),
        ("F-20, no string", failures(123), UNKNOWN),
        ("F-20, the number of a record, yet no string", failures(101), UNKNOWN),
        ("F-21", failures(""), UNKNOWN),
        ("F-22", failures(None), UNKNOWN),
        ("F-23, another key", {"batchItemFailures": [{"foo": 123}]}, UNKNOWN),
        ("F-23, null", {"batchItemFailures": [{"foo": None}]}, UNKNOWN),
        ("F-23, no object", {"batchItemFailures": ["101"]}, UNKNOWN),
        ("F-25", {"ok": 1}, DONE),
        ("F-26, a string", "done", DONE),
        ("F-26, a number", 7, DONE),
        ("F-26, a list", [1], DONE),
        ("F-26, true", True, DONE),
        ("F-26, failures are an object", {"batchItemFailures": {"itemIdentifier": "101"}}, NO_LIST),
        ("F-26, failures are a string", {"batchItemFailures": "101"}, NO_LIST),
        ("F-26, failures are false", {"batchItemFailures": False}, NO_LIST),
        ("F-27", failures("101", "7"), UNKNOWN),
        ("F-28", failures("102", "100", "101"), from_index(1, "3 reported")),
        ("F-28, named twice", failures("101", "101"), from_index(2, "2 reported")),
        ("F-29, an eventID is no identifier", failures("shardId-0:101"), UNKNOWN),
        ("F-32", failures("99"), from_index(0, "1 reported")),
        ("F-32, all", failures(*reversed(NUMBERS)), from_index(0, "4 reported")),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("F-") else "",
)
def test_an_answer_means_what_the_contract_says(
    rule: str, response: object, outcome: Outcome
) -> None:
    assert read_response(response, BATCH, "id") == outcome, rule


def test_records_that_share_a_number_are_retried_from_the_first_of_them() -> None:
    shared = tuple(Record(number, 0.0, b"k", b"{}") for number in ("1", "2", "2", "2", "3"))
    outcome = read_response(failures("2"), Batch(0, shared, range(5)), "id")
    assert outcome == from_index(1, "1 reported")


def test_every_unreadable_answer_counts_as_reported_not_as_raised() -> None:
    outcome = read_response(failures("nobody"), BATCH, "id")
    assert isinstance(outcome, PartlyFailed)
    assert outcome.failure.reported  # F-6: functionError is null


def test_retry_tells_its_delay() -> None:
    assert Retry(after=30).after_seconds == 30
    assert str(Retry(after=2.5)) == "retry after 2.5 s"
    assert Retry().after_seconds is None


@pytest.mark.parametrize("after", [-1, math.nan, math.inf])
def test_retry_refuses_what_is_no_wait(after: float) -> None:
    with pytest.raises(ValueError, match="give seconds, 0 or more"):
        Retry(after=after)


def test_discard_tells_why() -> None:
    assert Discard("bad order").why == "bad order"
    assert Discard().why == ""
