"""How entries look as JSON; rendering never fails."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from triggerkit.runtime.log_json import json_line

ENTRY: dict[str, object] = {
    "records": 3,
    "event": "batch_done",
    "trigger": "notify",
    "source": "orders",
    "shard": "shardId-00000001764085640000-1a2b3c4d",
    "level": "info",
    "timestamp": "2026-01-31T10:20:30.456Z",
    "extra": "two words",
    "app": "shop",
}


class Stubborn:
    def __repr__(self) -> str:
        raise RuntimeError("no")


ODD_VALUES = [object(), {1: 2}, {(1, 2): 3}, "\udc80", Decimal("1.5"), b"\xff", {1, 2}, Stubborn()]


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


@pytest.mark.parametrize("value", ODD_VALUES)
def test_any_value_can_be_rendered(value: object) -> None:
    assert json.loads(json_line({"event": "x", "value": value}))["event"] == "x"


def test_a_line_break_in_a_message_does_not_break_a_json_line() -> None:
    assert "\n" not in json_line({"event": "x", "message": "a\nb"})
