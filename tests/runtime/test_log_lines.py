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
    assert pretty_line({"event": "x", "value": value}, colours=False).split()[0] == "x"


def test_a_line_break_in_a_message_does_not_break_a_json_line() -> None:
    assert "\n" not in json_line({"event": "x", "message": "a\nb"})


def test_a_pretty_line_is_short() -> None:
    line = pretty_line(ENTRY, colours=False)
    fields = 'shard=~1a2b3c4d records=3 extra="two words"'
    assert line.split("  ") == ["10:20:30", "batch done", f"trigger=notify {fields}"]
    named = pretty_line(ENTRY, colours=False, name="notify ")
    assert named == f"10:20:30  notify   batch done  {fields}"


def test_a_level_is_told_where_it_is_not_the_usual_one() -> None:
    for level in ("debug", "warning", "error", "critical"):
        line = pretty_line({**ENTRY, "level": level}, colours=False)
        assert line.split("  ")[1] == f"{level}: batch done"


def test_a_traceback_stands_below_its_line() -> None:
    line = pretty_line({"event": "handler_failed", "exception": "Traceback\n  x\n"}, colours=False)
    assert line.splitlines()[1:] == ["Traceback", "  x"]


def test_colours_come_only_when_asked_for_also_those_of_a_handler() -> None:
    entry = {**ENTRY, "message": "\x1b[31mred\x1b[0m"}
    assert "\x1b" not in pretty_line(entry, colours=False)
    assert "red" in pretty_line(entry, colours=False)
    assert "\x1b[31mred\x1b[0m" in pretty_line(entry, colours=True)


def test_a_pretty_line_leaves_out_what_a_person_does_not_look_for() -> None:
    call = {**ENTRY, "attempt": 1, "first_sequence_number": "1", "last_sequence_number": "3"}
    numbers = {"duration_seconds": 0.0031416, "iterator_age_seconds": 1234567.0}
    assert pretty_line({**call, **numbers}, colours=False).split("done")[1].split() == [
        "trigger=notify",
        "shard=~1a2b3c4d",
        "records=3",
        "iterator_age_seconds=1234567.0",
        "duration_seconds=0.00314",
        'extra="two',
        'words"',
    ]
    assert "attempt=2" in pretty_line({**call, "attempt": 2}, colours=False)
    said = {**ENTRY, "event": "handler_printed", "stream": "stdout", "request_id": "1"}
    assert pretty_line(said, colours=False).split("printed")[1].split()[:2] == [
        "trigger=notify",
        "records=3",
    ]


def test_options_are_shown_one_by_one_and_null_is_not() -> None:
    entry = {"event": "trigger", "options": {"batch_size": 2, "on_failure": None}}
    assert pretty_line(entry, colours=False).split() == ["trigger", "batch_size=2"]


def test_long_sentences_stand_below_the_line() -> None:
    entry = {"event": "will_retry", "error_message": "no answer " * 10, "hint": "start it"}
    first, *below = pretty_line(entry, colours=False).splitlines()
    assert first.split() == ["will", "retry"]
    assert [line.strip() for line in below] == [("no answer " * 10).strip(), "fix: start it"]
    short = pretty_line({"event": "batch_failed", "error_message": "no"}, colours=False)
    assert short.split()[-1] == "error_message=no"


def test_a_traceback_is_not_told_twice() -> None:
    entry = {"event": "handler_failed", "error_message": "no", "exception": "Traceback\nX: no"}
    assert pretty_line(entry, colours=False).splitlines()[0].split() == ["handler", "failed"]
