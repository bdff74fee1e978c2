"""What a person sees: routine is counted, failures always show, and nothing is lost in a count."""

from __future__ import annotations

import pytest
from runtime.test_log_json import ODD_VALUES

from triggerkit.core.words import counted, in_time
from triggerkit.runtime.terminal_lines import TerminalLines

STAMP = "10:20:30"
TRACEBACK = 'Traceback (most recent call last):\n  File "app.py", line 3\nValueError: no\n'


def entry(event: str, level: str = "info", **fields: object) -> dict[str, object]:
    whole = {"event": event, "level": level, "timestamp": STAMP, "trigger": "bill", **fields}
    return {name: value for name, value in whole.items() if value is not None}


def batch(records: int = 10, lag: float = 0.4, **fields: object) -> dict[str, object]:
    numbers = {"records": records, "iterator_age_seconds": lag, "duration_seconds": 0.012}
    fields = {"shard": "s-1", **fields}
    return entry("batch_done", **numbers, **fields)


def plain(*, columns: int = 100, everything: bool = False) -> TerminalLines:
    return TerminalLines(colours=False, everything=everything, columns=columns)


def test_the_first_batch_is_told_at_once_and_many_are_one_line_a_second() -> None:
    lines = plain()
    assert lines.lines(batch(), 0.0) == ["10:20:30  bill  10 records done in 12 ms, lag 0.4 s"]
    for number in range(1, 50):
        assert lines.lines(batch(lag=number / 100), number / 100) == []
    assert lines.due_seconds == 1.0
    assert lines.due(0.99, "10:20:31") == []
    assert lines.due(1.0, "10:20:31") == [
        "10:20:31  bill  490 records done in 49 batches, lag 0.5 s"
    ]
    assert lines.due_seconds == float("inf")


def test_each_trigger_is_counted_by_itself() -> None:
    lines = plain()
    for name in ("bill", "count"):
        assert len(lines.lines(batch(trigger=name), 0.0)) == 1
        assert lines.lines(batch(trigger=name), 0.1) == []
    assert [line.split()[1] for line in lines.rest(0.2, "10:20:30")] == ["bill", "count"]


def test_a_failure_comes_behind_what_was_counted_before_it() -> None:
    lines = plain()
    lines.lines(batch(), 0.0)
    lines.lines(batch(), 0.1)
    shown = failed(lines, 1)
    assert shown == [
        "10:20:30  bill  10 records done in 12 ms, lag 0.4 s",
        "10:20:30  bill  error: attempt 1 failed\n"
        "          Traceback (most recent call last):\n"
        '            File "app.py", line 3\n'
        "          ValueError: no",
    ]


def failed(lines: TerminalLines, attempt: int, exception: str | None = TRACEBACK) -> list[str]:
    fields = {"request_id": f"r{attempt}", "attempt": attempt, "error_type": "ValueError"}
    message = f"attempt {attempt} failed"
    told = entry("handler_failed", "error", message=message, error_message="no", **fields)
    return lines.lines(told if exception is None else {**told, "exception": exception}, attempt)


def failed_in_full(lines: TerminalLines, attempt: int, exception: str = TRACEBACK) -> bool:
    (line,) = failed(lines, attempt, exception)
    return "Traceback" in line


def test_the_same_traceback_again_is_one_line_and_another_is_shown() -> None:
    lines = plain()
    assert failed_in_full(lines, 1)
    error = "error_type=ValueError error_message=no"
    assert failed(lines, 2) == [f"10:20:30  bill  error: attempt 2 failed, as before  {error}"]
    assert failed_in_full(lines, 3, TRACEBACK.replace("3", "4"))
    assert failed(lines, 4, None) == [f"10:20:30  bill  error: attempt 4 failed  {error}"]
    assert failed_in_full(lines, 5)
    lines.lines(entry("records_discarded", "warning", records=1, attempt=5), 6.0)
    assert failed_in_full(lines, 1)  # another batch: its reader may not have seen the first


def test_a_failed_batch_names_its_error_where_no_traceback_did() -> None:
    lines = plain()
    failed(lines, 1)
    fields = {"records": 2, "shard": "s-1", "error_type": "Timeout", "error_message": "late"}
    told = entry("batch_failed", "warning", request_id="r1", message="2 not done", **fields)
    assert lines.lines(told, 2.0) == ["10:20:30  bill  warning: 2 not done"]
    assert lines.lines(told, 2.0) == [
        "10:20:30  bill  warning: 2 not done  error_type=Timeout error_message=late"
    ]


def test_a_hint_and_the_command_that_shows_a_record_stand_below() -> None:
    given = entry("records_discarded", "warning", message="gave up", show="triggerkit failures")
    assert plain().lines({**given, "hint": "start it"}, 0.0) == [
        "10:20:30  bill  warning: gave up\n"
        "          fix: start it\n"
        "          show: triggerkit failures"
    ]


def test_what_a_handler_says_is_shown_and_keeps_the_counts_waiting() -> None:
    lines = plain()
    lines.lines(batch(), 0.0)
    lines.lines(batch(), 0.1)
    assert lines.lines(entry("handler_printed", message="hello  there"), 0.2) == [
        "10:20:30  bill  hello  there"
    ]
    logged = entry("handler_logged", "warning", message="careful", order="o-1")
    assert lines.others(logged) == ["10:20:30  bill  warning: careful  order=o-1"]
    assert lines.due_seconds == 1.0


def test_an_event_of_somebody_else_is_shown_whatever_it_is_called() -> None:
    for event in ("batch_done", "batch_invoked", "stopped", "starting", "records_discarded"):
        (line,) = plain().others(entry(event, order="o-1"))
        assert line == f"10:20:30  bill  {event.replace('_', ' ')}  order=o-1"


def test_forty_shards_are_taken_in_one_line_before_the_first_batch() -> None:
    lines = plain()
    for number in range(40):
        taken = entry("lease_taken", shard=f"s-{number}", position="TRIM_HORIZON")
        assert lines.lines(taken, 0.0) == []
    assert lines.due_seconds == 0.25
    assert lines.lines(entry("batch_invoked", "debug"), 0.1) == [
        "10:20:30  bill  reads 40 shards from TRIM_HORIZON"
    ]
    assert lines.due_seconds == float("inf")
    lines.lines(entry("lease_taken", shard="shardId-0000-1a2b3c4d", position="123"), 0.2)
    lines.lines(entry("shard_finished", shard="s-1"), 0.2)
    lines.lines(entry("lease_released", shard="s-2"), 0.2)
    assert lines.lines(entry("draining", trigger=None, message="draining"), 0.3) == [
        "10:20:30  bill  reads shard ~1a2b3c4d on from where it stood",
        "10:20:30  bill  read shard s-1 to the end",
        "10:20:30  bill  released shard s-2",
        "10:20:30  draining",
    ]


def test_the_opening_is_one_screen_and_says_unlimited_retries_once() -> None:
    lines = plain(columns=60)
    names = ["bill", "count"]
    opening = lines.lines(
        entry("starting", trigger=None, version="1", app="shop", state="memory:", triggers=names),
        0.0,
    )
    options = {"batch_size": 7, "on_failure": "file:a b.jsonl", "filters": [{"a": 1}]}
    opening += lines.lines(
        entry("trigger", source="dynamodb://orders", handler="app.bill", options=options), 0.0
    )
    opening += lines.lines(
        entry("trigger", trigger="count", source="dynamodb://o", enabled=False, options={}), 0.0
    )
    said = entry("unlimited_retries", trigger=None, triggers=names, message="it is " + "so " * 20)
    opening += lines.lines(said, 0.0)
    opening += lines.lines(entry("started", trigger=None, message="running"), 0.0)
    assert opening == [
        "triggerkit 1   app shop   state memory:",
        "",
        "  bill   <-  dynamodb://orders   app.bill  batch_size=7",
        '             on_failure=file:a b.jsonl  filters=[{"a": 1}]',
        "  count  <-  dynamodb://o   (disabled)",
        "",
        "  unlimited retries (bill, count): it is so so so so so so",
        "  so so so so so so so so so so so so so so",
        "",
        "10:20:30  running",
    ]


def test_many_triggers_have_a_line_each() -> None:
    lines = plain()
    names = [f"t{number}" for number in range(40)]
    shown = lines.lines(entry("starting", trigger=None, version="1", triggers=names), 0.0)
    for name in names:
        options = {"batch_size": 7, "isolation": "none"}
        found = entry("trigger", trigger=name, source="dynamodb://o", options=options)
        shown += lines.lines(found, 0.0)
    assert len(shown) == 42
    assert shown[-1] == "  t39  <-  dynamodb://o  batch_size=7  isolation=none"


def test_triggers_without_a_title_begin_behind_an_empty_line() -> None:
    lines = plain()
    lines.lines(entry("table_made", trigger=None, message="table orders created"), 0.0)
    found = entry("trigger", source="dynamodb://o", options={})
    assert lines.lines(found, 0.0) == ["", "  bill  <-  dynamodb://o"]
    assert lines.lines(found, 0.0) == ["  bill  <-  dynamodb://o"]


def other(**fields: object) -> str:
    """The line of an entry of user code."""
    (line,) = plain().others({"event": "x", "level": "info", "timestamp": STAMP, **fields})
    return line.removeprefix("10:20:30  ")


@pytest.mark.parametrize("value", ODD_VALUES)
def test_any_value_can_be_rendered(value: object) -> None:
    assert other(value=value).split()[0] == "x"


def test_a_line_is_short() -> None:
    entry = {"shard": "shardId-00000001764085640000-1a2b3c4d", "records": 3, "extra": "two words"}
    assert other(**entry, attempt=1, lag=0.0031416, app="shop") == (
        'x  shard=~1a2b3c4d records=3 extra="two words" lag=0.00314'
    )
    assert other(attempt=2, nothing=None) == "x  attempt=2"


def test_a_level_is_shown_where_it_is_not_the_usual_one() -> None:
    assert other() == "x"
    for level in ("debug", "warning", "error", "critical"):
        assert other(level=level) == f"{level}: x"


def test_long_sentences_stand_below_the_line() -> None:
    first, *below = other(error_message="no answer " * 10, hint="start it").splitlines()
    assert first == "x"
    assert [line.strip() for line in below] == [("no answer " * 10).strip(), "fix: start it"]
    assert other(error_message="no") == "x  error_message=no"


def test_a_traceback_stands_below_its_line_which_does_not_repeat_its_end() -> None:
    shown = other(error_type="X", error_message="no", exception="Traceback\n  x\nX: no\n")
    assert shown.splitlines() == [
        "x",
        "          Traceback",
        "            x",
        "          X: no",
    ]


def test_no_field_of_user_code_can_pose_as_a_line_of_ours() -> None:
    forged = "a\n10:20:30  bill  forged"
    for name in ("stack", "message", "hint", "error_message", "show", "triggers", "anything"):
        shown = other(**{name: forged, "trigger": "bill"})
        assert not any(line.startswith("10:20:30") for line in shown.splitlines()), name


def test_verbose_tells_every_batch() -> None:
    lines = plain(everything=True)
    for _ in range(3):
        (line,) = lines.lines(batch(shard="s-1"), 0.0)
        assert "batch done  shard=s-1 records=10" in line
    assert "batch invoked" in lines.lines(entry("batch_invoked", "debug"), 0.0)[0]


def test_a_name_has_its_colour_and_a_file_has_none() -> None:
    coloured = TerminalLines(colours=True, everything=False)
    (line,) = coloured.lines(entry("handler_printed", message="\x1b[31mred\x1b[0m"), 0.0)
    assert "\x1b[36mbill" in line
    assert "\x1b[31mred" in line
    (line,) = plain().lines(entry("handler_printed", message="\x1b[31mred\x1b[0m"), 0.0)
    assert line == "10:20:30  bill  red"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 ms"), (0.012, "12 ms"), (0.42, "0.4 s"), (5.0, "5 s"), (42.0, "42 s"), (600.0, "10 min"),
        (9000.0, "2.5 h"),
    ],
)  # fmt: skip
def test_a_time_is_as_short_as_a_person_wants_it(seconds: float, shown: str) -> None:
    assert in_time(seconds) == shown


def test_counts_agree_with_their_noun() -> None:
    assert [counted(n, "record") for n in (0, 1, 2000)] == [
        "0 records",
        "1 record",
        "2,000 records",
    ]
