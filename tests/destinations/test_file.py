"""The file destination: whole lines, private files, several writers, refusals that name the path."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from triggerkit.core.locators import parse
from triggerkit.destinations.file import FileDestination, open, record_line
from triggerkit.errors import DestinationError, DestinationUnusableError, LocatorError
from triggerkit.ports import Destination, FailureRecord, Services
from triggerkit.runtime.clock import SystemClock
from triggerkit.testing.inline import InlineRunner

DOCUMENT = {
    "requestContext": {"requestId": "id"},
    "version": "1.0",
    "timestamp": "2025-11-25T16:08:01.123Z",
}
EVENT = '{"Records":[{"eventID":"ä\\n"}]}'


def services(folder: Path) -> Services:
    return Services(InlineRunner(), SystemClock(), base_path=str(folder))


def opened(text: str, folder: Path) -> Destination:
    return open(parse(text), services(folder))


def record(trigger: str = "notify", payload: str = EVENT) -> FailureRecord:
    return FailureRecord(trigger, "shardId-1", DOCUMENT, payload.encode)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_record_becomes_one_line_with_the_event_behind_the_version(tmp_path: Path) -> None:
    destination = opened("file:failures.jsonl", tmp_path)
    asyncio.run(destination.send(record()))
    asyncio.run(destination.close())
    (line,) = lines(tmp_path / "failures.jsonl")
    assert list(line) == ["requestContext", "version", "payload", "timestamp", "trigger"]
    assert line["payload"] == EVENT
    assert line["trigger"] == "notify"


@pytest.mark.parametrize("form", ["file:a/b.jsonl", "file://a/b.jsonl", "file://{tmp}/a/b.jsonl"])
def test_relative_paths_start_at_the_base_path_and_absolute_ones_do_not(
    form: str, tmp_path: Path
) -> None:
    asyncio.run(opened(form.format(tmp=tmp_path), tmp_path).send(record()))
    assert len(lines(tmp_path / "a" / "b.jsonl")) == 1


def test_prepare_creates_a_private_folder_and_a_private_empty_file(tmp_path: Path) -> None:
    asyncio.run(opened("file:state/deep/failures.jsonl", tmp_path).prepare())
    path = tmp_path / "state" / "deep" / "failures.jsonl"
    assert path.read_bytes() == b""
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert mode(path.parent.parent) == 0o700


def test_what_is_in_the_file_stays(tmp_path: Path) -> None:
    destination = opened("file:failures.jsonl", tmp_path)
    for trigger in ("one", "two"):
        asyncio.run(destination.prepare())
        asyncio.run(destination.send(record(trigger)))
    found = [line["trigger"] for line in lines(tmp_path / "failures.jsonl")]
    assert found == ["one", "two"]


def test_a_line_that_a_dying_writer_left_half_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    path.write_bytes(b'{"half": ')
    asyncio.run(opened("file:failures.jsonl", tmp_path).send(record()))
    half, whole = path.read_bytes().splitlines(keepends=True)
    assert half == b'{"half": \n'
    assert whole == record_line(record())


@pytest.mark.parametrize("text", ["file:taken", "file:plain/failures.jsonl"])
def test_a_refused_path_is_named(text: str, tmp_path: Path) -> None:
    destination = opened(text, tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "plain").write_text("a file, no folder")
    for attempt in (
        lambda: opened(text, tmp_path),  # at the start, before anything is touched
        lambda: asyncio.run(destination.prepare()),
        lambda: asyncio.run(destination.send(record())),
    ):
        with pytest.raises(DestinationUnusableError, match="cannot append to") as refusal:
            attempt()
        assert str(tmp_path / text.removeprefix("file:")) in refusal.value.message
        assert "on_failure" in refusal.value.hint


def test_a_file_takes_no_keys(tmp_path: Path) -> None:
    with pytest.raises(LocatorError, match="unknown key 'region'"):
        opened("file:failures.jsonl?region=eu-west-1", tmp_path)


def test_a_full_disk_leaves_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    destination = FileDestination(path, services(tmp_path))
    asyncio.run(destination.send(record()))
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(DestinationError, match="cannot append"):
            asyncio.run(destination.send(record(payload="x" * 10_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before


WRITER = """
import asyncio, sys
from pathlib import Path
from triggerkit.destinations.file import FileDestination
from triggerkit.ports import FailureRecord, Services
from triggerkit.runtime.clock import SystemClock
from triggerkit.testing.inline import InlineRunner

async def main(path, trigger):
    destination = FileDestination(Path(path), Services(InlineRunner(), SystemClock()))
    for number in range(50):
        document = {"version": "1.0", "number": number}
        await destination.send(FailureRecord(trigger, "s", document, lambda: b"x" * 20_000))

asyncio.run(main(*sys.argv[1:]))
"""


def test_several_processes_append_whole_lines_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    root = Path(__file__).parents[2]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), f"t{number}"],
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        for number in range(3)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = lines(path)
    for number in range(3):
        mine = [line["number"] for line in found if line["trigger"] == f"t{number}"]
        assert mine == list(range(50))
    assert len(found) == 150
