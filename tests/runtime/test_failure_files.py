"""Reading what `file:` destinations wrote, also when a line of it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from triggerkit.core.locators import parse
from triggerkit.errors import UsageError
from triggerkit.runtime.failure_files import (
    DamagedLine,
    Failure,
    failure_file,
    read_failures,
    show_command,
)

RECORD = {
    "requestContext": {
        "requestId": "9edb5dc3-0000-4000-8000-0000000000aa",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 2,
    },
    "payload": '{"Records": [{"eventName": "INSERT"}, 7]}',
    "timestamp": "2026-01-31T10:20:30.456Z",
    "DDBStreamBatchInfo": {"batchSize": 1, "shardId": "s"},
    "trigger": "bill",
}


def written(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def test_a_line_tells_why_and_what(tmp_path: Path) -> None:
    file = written(tmp_path / "f", json.dumps(RECORD).encode() + b"\n")
    (failure,) = read_failures(file)
    assert isinstance(failure, Failure)
    assert (failure.number, failure.trigger, failure.at) == (1, "bill", "2026-01-31 10:20:30")
    assert (failure.condition, failure.attempts, failure.records) == (
        "RetryAttemptsExhausted",
        2,
        1,
    )
    assert failure.events == [{"eventName": "INSERT"}]
    assert failure.event_text == RECORD["payload"]
    for name in ("9edb5dc3", "~000000aa", "9EDB5DC3-0000-4000-8000-0000000000AA"):
        assert failure.is_named(name)
    assert not failure.is_named("")
    assert not failure.is_named("5dc3")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{\n", "not JSON"),
        (b'{"requestCon', "its end is missing"),
        (b"\xff\xfe\n", "not UTF-8"),
        (b"7\n", "no failure record"),
        (b'{"requestContext": 7}\n', "no failure record"),
    ],
)
def test_a_damaged_line_keeps_its_number_and_harms_no_other(
    line: bytes, why: str, tmp_path: Path
) -> None:
    good = json.dumps(RECORD).encode() + b"\n"
    first, damaged = read_failures(written(tmp_path / "f", good, b"\n", line))
    assert isinstance(first, Failure)
    assert isinstance(damaged, DamagedLine)
    assert (damaged.number, why in damaged.why) == (3, True)


@pytest.mark.parametrize(
    "more", [{"payload": 7}, {"payload": "{"}, {"payload": "[]"}, {"payload": '{"Records": 1}'}]
)
def test_an_event_that_cannot_be_read_is_no_event(more: dict[str, object], tmp_path: Path) -> None:
    odd = {**RECORD, **more, "timestamp": None, "DDBStreamBatchInfo": None}
    (failure,) = read_failures(written(tmp_path / "f", json.dumps(odd).encode()))
    assert isinstance(failure, Failure)
    assert (failure.events, failure.records) == ([], 0)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.jsonl"):
        list(read_failures(tmp_path / "no.jsonl"))


def test_the_command_that_shows_a_record_names_the_file_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inside = parse("file:sub/failures.jsonl")
    assert failure_file(inside, str(tmp_path)) == tmp_path / "sub/failures.jsonl"
    assert show_command(inside, str(tmp_path), "9edb") == (
        "triggerkit failures show 9edb sub/failures.jsonl"
    )
    assert show_command(inside, "/srv", "9edb").endswith(" /srv/sub/failures.jsonl")
    assert show_command(inside, str(tmp_path), "") == ""
    assert show_command(parse("sqs://failed"), str(tmp_path), "9edb") == ""
