"""How entries look, as JSON and in a terminal; rendering never fails."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from triggerkit.runtime.log_lines import json_line, pretty_line

ENTRY: dict[str, object] = {
    "records": 3,
    "event": "batch_done",
    "trigger": "notify",
    "source": "orders",
    "shard": "shardId-00000001764085640000-1a2b3c4d",
    "level": "info",
    "timestamp": "2026-01-31T10:20:30.456+00:00",
    "extra": "two words",
    "app": "shop",
}


class Stubborn:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_json_has_the_public_fields_first_and_a_message_made_from_the_event() -> None:
    entry = json.loads(json_line({**ENTRY, "message": "three records"}))
    assert list(entry) == [
        "timestamp",
        "level",
        "message",
        "event",
        "app",
        "trigger",
        "source",
        "shard",
        "records",
        "extra",
    ]
    assert json.loads(json_line(ENTRY))["message"] == "batch done"


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, {(1, 2): 3}, "\udc80", Decimal("1.5"), b"\xff", {1, 2}, Stubborn()]
)
def test_any_value_can_be_rendered(value: object) -> None:
    assert json.loads(json_line({"event": "x", "value": value}))["event"] == "x"
    assert pretty_line({"event": "x", "value": value}, colours=False).split()[:2] == ["info", "x"]


def test_a_line_break_in_a_message_does_not_break_a_json_line() -> None:
    assert "\n" not in json_line({"event": "x", "message": "a\nb"})


def test_a_pretty_line_is_short() -> None:
    line = pretty_line(ENTRY, colours=False)
    assert line.split(maxsplit=4) == [
        "10:20:30.456",
        "info",
        "batch",
        "done",
        'trigger=notify shard=~1a2b3c4d records=3 extra="two words"',
    ]


def test_a_traceback_stands_below_its_line() -> None:
    line = pretty_line({"event": "handler_failed", "exception": "Traceback\n  x\n"}, colours=False)
    assert line.splitlines()[1:] == ["Traceback", "  x"]


def test_colours_come_only_when_asked_for_also_those_of_a_handler() -> None:
    entry = {**ENTRY, "message": "\x1b[31mred\x1b[0m"}
    assert "\x1b" not in pretty_line(entry, colours=False)
    assert "red" in pretty_line(entry, colours=False)
    assert "\x1b[31mred\x1b[0m" in pretty_line(entry, colours=True)
