"""What a person sees: routine is counted, failures always show, and nothing is lost in a count."""

from __future__ import annotations

import pytest

from triggerkit.runtime.tallies import Tallies, counted, in_time
from triggerkit.runtime.terminal_lines import TerminalLines

STAMP = "2026-01-31T10:20:30.456+00:00"
TRACEBACK = 'Traceback (most recent call last):\n  File "app.py", line 3\nValueError: no\n'


def entry(event: str, level: str = "info", **fields: object) -> dict[str, object]:
    whole = {"event": event, "level": level, "timestamp": STAMP, "trigger": "bill", **fields}
    return {name: value for name, value in whole.items() if value is not None}


def batch(records: int = 10, lag: float = 0.4, **fields: object) -> dict[str, object]:
    numbers = {"records": records, "iterator_age_seconds": lag, "duration_seconds": 0.012}
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
    shown = lines.lines(
        entry("handler_failed", "error", request_id="r1", attempt=1, exception=TRACEBACK), 0.2
    )
    assert shown == [
        "10:20:30  bill  10 records done in 12 ms, lag 0.4 s",
        "10:20:30  bill  FAILED, attempt 1",
        "          Traceback (most recent call last):",
        '            File "app.py", line 3',
        "          ValueError: no",
    ]


def failed(lines: TerminalLines, attempt: int, exception: str | None = TRACEBACK) -> list[str]:
    fields = {"request_id": f"r{attempt}", "attempt": attempt, "error_type": "ValueError"}
    told = {} if exception is None else {"exception": exception}
    return lines.lines(
        entry("handler_failed", "error", error_message="no", **fields, **told), float(attempt)
    )


def test_the_same_traceback_again_is_one_line_and_another_is_shown() -> None:
    lines = plain()
    assert len(failed(lines, 1)) == 4
    assert failed(lines, 2) == ["10:20:30  bill  FAILED, attempt 2, as before: ValueError: no"]
    assert len(failed(lines, 3, TRACEBACK.replace("3", "4"))) == 4
    assert failed(lines, 4, None) == ["10:20:30  bill  FAILED, attempt 4: ValueError: no"]
    assert len(failed(lines, 5)) == 4
    lines.lines(entry("records_discarded", "warning", records=1, attempt=5), 6.0)
    assert len(failed(lines, 1)) == 4  # another batch: its reader may not have seen the first


def test_a_failed_batch_names_its_error_where_no_traceback_did() -> None:
    lines = plain()
    failed(lines, 1)
    fields = {"records": 2, "shard": "s-1", "iterator_age_seconds": 3.0, "error_type": "Timeout"}
    told = entry("batch_failed", "warning", request_id="r1", error_message="late", **fields)
    assert lines.lines(told, 2.0) == ["10:20:30  bill  2 records not done, lag 3 s, shard s-1"]
    assert lines.lines(told, 2.0)[0].endswith("shard s-1: Timeout: late")


def test_a_batch_that_failed_in_part_tells_how_far_it_came() -> None:
    fields = {"records": 10, "done": 7, "shard": "s-1", "error_message": "3 reported"}
    told = entry("batch_partly_failed", "warning", request_id="r1", **fields)
    assert plain().lines(told, 0.0) == [
        "10:20:30  bill  7 of 10 records done, lag 0 ms, shard s-1: 3 reported"
    ]


def test_what_is_given_up_comes_with_the_command_that_shows_it() -> None:
    given = entry(
        "records_discarded",
        "warning",
        records=1,
        attempt=2,
        condition="RetryAttemptsExhausted",
        hint="triggerkit failures show r2 failures.jsonl",
    )
    assert plain().lines(given, 0.0) == [
        "10:20:30  bill  GAVE UP 1 record after 2 attempts: RetryAttemptsExhausted",
        "          show: triggerkit failures show r2 failures.jsonl",
    ]


def test_what_a_handler_says_is_shown_and_keeps_the_counts_waiting() -> None:
    lines = plain()
    lines.lines(batch(), 0.0)
    lines.lines(batch(), 0.1)
    assert lines.lines(entry("handler_printed", message="hello  there"), 0.2) == [
        "10:20:30  bill  hello  there"
    ]
    logged = entry("handler_logged", "warning", message="careful", order="o-1")
    assert lines.lines(logged, 0.3) == ["10:20:30  bill  warning: careful  order=o-1"]
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
    assert lines.lines(entry("draining", trigger=None, timeout_seconds=25.0), 0.3) == [
        "10:20:30  bill  reads shard ~1a2b3c4d on from where it stood",
        "10:20:30  bill  read shard s-1 to the end",
        "10:20:30  bill  let go of shard s-2",
        "10:20:30  draining: running handlers get up to 25 s",
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
        "  bill   <-  dynamodb://orders   app.bill",
        "         batch_size=7  on_failure=file:a b.jsonl",
        '         filters=[{"a": 1}]',
        "  count  <-  dynamodb://o   (disabled)",
        "",
        "  unlimited retries (bill, count): it is so so so so so so",
        "    so so so so so so so so so so so so so so",
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
    assert shown[-1] == "  t39  <-  dynamodb://o   batch_size=7 isolation=none"


def test_triggers_without_a_title_begin_behind_an_empty_line() -> None:
    lines = plain()
    lines.lines(entry("table_made", trigger=None, message="table orders created"), 0.0)
    found = entry("trigger", source="dynamodb://o", options={})
    assert lines.lines(found, 0.0) == ["", "  bill  <-  dynamodb://o"]
    assert lines.lines(found, 0.0) == ["  bill  <-  dynamodb://o"]


def test_a_call_that_fails_for_many_shards_is_a_sentence() -> None:
    fields = {"operation": "Fetch", "error_message": "no answer", "hint": "start it"}
    first, fix = (
        plain()
        .lines(entry("will_retry", "warning", shards=40, error_type="x", **fields), 0.0)[0]
        .splitlines()
    )
    assert first == (
        '10:20:30  bill  warning: cannot read 40 shards; tries again  error_message="no answer"'
    )
    assert fix.strip() == "fix: start it"
    again = entry("recovered", operation="Fetch", shard="shard-000001a2b", after=12.4)
    assert plain().lines(again, 0.0) == [
        "10:20:30  bill  can read shard ~00001a2b again, after 12 s"
    ]
    survey = entry("recovered", operation="Survey", after=0.02)
    assert plain().lines(survey, 0.0) == [
        "10:20:30  bill  can list shards and leases again, after 20 ms"
    ]


def test_a_stall_is_one_sentence_with_its_cause_and_what_ends_it() -> None:
    stall = {"waited_seconds": 32.0, "cause": "the handler", "ends_when": "the handler returns"}
    call = entry("waiting", operation="Invoke", shard="shard-000001a2b", **stall)
    assert plain().lines({**call, "error_message": "call 12 has not returned"}, 0.0) == [
        "10:20:30  bill  shard ~00001a2b has not moved for 32 s: waits for the handler;"
        ' goes on when the handler returns  error_message="call 12 has not returned"'
    ]
    (many,) = plain().lines(entry("waiting", "warning", shards=40, **stall), 0.0)
    assert "warning: 40 shards have not moved for 32 s" in many
    (none,) = plain().lines(entry("waiting", "warning", operation="Beat", **stall), 0.0)
    assert "warning: nothing has moved for 32 s" in none
    assert plain().lines(entry("recovered", shards=2, after=70), 0.0) == [
        "10:20:30  bill  2 shards have moved again, after 70 s"
    ]
    assert plain().lines(entry("recovered", after=70), 0.0) == [
        "10:20:30  bill  moves again, after 70 s"
    ]


def test_what_is_blocked_says_so_with_the_fix() -> None:
    blocked = entry("blocked", "error", operation="Fetch", shards=3, hint="check the locator")
    assert plain().lines(blocked, 0.0) == [
        "10:20:30  bill  error: cannot read 3 shards: blocked until somebody acts, tried every 5 minutes\n"
        "          fix: check the locator"
    ]
    (row,) = plain().lines(entry("blocked", "error", shard="shard-000001a2b"), 0.0)
    assert "cannot go on with shard ~00001a2b" in row


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


@pytest.mark.parametrize("field", ["records", "iterator_age_seconds", "duration_seconds"])
def test_a_field_of_another_kind_harms_no_count(field: str) -> None:
    tallies = Tallies()
    tallies.count({"event": "batch_done", "trigger": "bill", field: "many"}, 0.0)
    assert len(tallies.take_due(0.0)) == 1
