"""What `tail` is told: points in time, and the key of one item."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from triggerkit.commands.arguments import read_key, read_since
from triggerkit.errors import UsageError

NOW_SECONDS = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90s", "2026-01-31T11:59:00"),
        ("10m", "2026-01-31T11:50:30"),
        ("1h30m", "2026-01-31T10:30:30"),
        ("0.5d", "2026-01-31T00:00:30"),
        ("11:30", "2026-01-31T11:30:00"),
        ("11:30:15", "2026-01-31T11:30:15"),
        ("2026-01-30", "2026-01-30T00:00:00"),
        ("2026-01-30T08:00", "2026-01-30T08:00:00"),
        ("2026-01-31T13:00+02:00", "2026-01-31T11:00:00"),
        ("2026-01-31T11:00:00Z", "2026-01-31T11:00:00"),
    ],
)
def test_a_point_in_time_is_a_duration_ago_or_a_time_in_utc(text: str, at: str) -> None:
    found = datetime.fromtimestamp(read_since(text, NOW_SECONDS), UTC)
    assert found.isoformat()[:19] == at


@pytest.mark.parametrize(
    "text",
    ["", "10", "soon", "1 day", "99:99", "2026-13-01", "-5m", "5m ago", "13:00", "2030-01-01"],
)
def test_a_guess_or_the_future_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_since(text, NOW_SECONDS)
    assert repr(text) in refused.value.message
    assert "10m" in refused.value.hint


def change(**keys: dict[str, str]) -> dict[str, object]:
    return {"dynamodb": {"Keys": keys}}


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ("o-1", True),
        ("7", True),
        ("o-2", False),
        ('{"id": "o-1"}', True),
        ('{"id": {"S": "o-1"}}', True),
        ('{"at": 7.0, "id": "o-1"}', True),
        ('{"at": "7"}', False),
        ('{"id": "o-1", "other": 1}', False),
    ],
)
def test_an_item_is_named_by_its_key_or_a_value_of_it(key: str, fits: bool) -> None:
    event = change(id={"S": "o-1"}, at={"N": "7"})
    assert read_key(key).fits(event) is fits


def test_a_partition_key_is_a_key_and_other_things_have_none() -> None:
    assert read_key("p").fits({"kinesis": {"partitionKey": "p"}})
    assert not read_key("q").fits({"kinesis": {"partitionKey": "p"}})
    for event in ({}, {"dynamodb": 7}, {"dynamodb": {"Keys": None}}):
        assert not read_key("p").fits(event)


@pytest.mark.parametrize("text", ["{", "{}", '{"id": NaN}'])
def test_an_object_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--key"):
        read_key(text)
