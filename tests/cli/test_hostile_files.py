"""Files that nobody can have meant: each is an error that names it, quickly and in little memory."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cli.stage import Endpoint
from e2e.harness import PATIENCE_SECONDS, Done, Place
from terminal import unsafe

from triggerkit.cassettes.reading import LINE_BYTES, load_cassette
from triggerkit.errors import CassetteError, UsageError
from triggerkit.files import DEEPEST, is_deep, parse_json, parse_toml

USAGE = 2
MEMORY_BYTES = 700 * 1024 * 1024
DEEP = "[" * 100_000
DEEP_BUT_WHOLE = "[" * 900 + "]" * 900
DIGITS = "9" * 5_000
HEADER = {
    "line": "cassette",
    "version": 1,
    "triggerkit": "0",
    "table": "orders",
    "keys": [["id", "S"]],
    "view_type": "NEW_AND_OLD_IMAGES",
    "stream_arn": "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000",
    "recorded_at": "2026-01-01T00:00:00+00:00",
}
SHARD = "2026-01-01T00_00_00.000:shardId-1"
READERS = {
    "event": ("invoke", "app:handlers", "-e"),
    "items": ("put", "orders", "--file"),
    "failures": ("failures", "ls"),
    "configuration": ("list", "app:handlers", "--config"),
    "env": ("list", "app:handlers", "--env-file"),
    "simulated": ("simulate", "app:handlers", "--seeds", "1", "--items"),
    "cassette": ("simulate", "app:handlers", "--seeds", "1", "--cassette"),
}


def bounded(place: Place, *arguments: str, stdin: object = subprocess.DEVNULL) -> Done:
    """Run a command that may not take much memory."""
    done = subprocess.run(
        [sys.executable, "-m", "triggerkit", *arguments],
        cwd=place.folder,
        env=place.environ(),
        stdin=stdin,  # type: ignore[arg-type]
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
    )
    return Done(done.returncode, done.stdout, done.stderr)


def assert_refused(done: Done) -> None:
    """It is an error of the user's, told in a sentence, with what to do."""
    assert done.code == USAGE, done
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert done.stderr.startswith("triggerkit: "), done.stderr
    assert "  fix: " in done.stderr
    assert len(done.stderr) < 2_000
    assert not unsafe(done.stderr)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("file", ["/dev/zero", ".", "pipe.jsonl", "absent.jsonl", "binary.jsonl"])
def test_e4_a_name_that_leads_to_no_such_file_is_an_error_in_little_memory(
    name: str, file: str, endpoint: Endpoint
) -> None:
    place = endpoint.place
    os.mkfifo(place.folder / "pipe.jsonl")
    (place.folder / "binary.jsonl").write_bytes(bytes(range(256)) * 10)
    if file.startswith("/dev") and name == "failures":
        file = f"file:{file}"
    done = bounded(place, *READERS[name], file)
    if name == "failures" and file == "binary.jsonl":  # as a file in which every line is damaged
        assert (done.code, "line 1 is left out: " in done.stderr) == (0, True)
        return
    if name == "failures" and file == ".":
        file = "file:."
        done = bounded(place, *READERS[name], file)
    assert_refused(done)


@pytest.mark.parametrize("name", ["event", "items", "simulated"])
@pytest.mark.parametrize(
    "text",
    [DEEP, DEEP_BUT_WHOLE, '{"a":' * 100_000, DIGITS, f'{{"id": {DIGITS}}}', "", "\x00", "nul"],
    ids=["deep", "whole", "objects", "digits", "member", "empty", "nul", "word"],
)
def test_e5_json_that_nobody_can_have_meant_is_named(
    name: str, text: str, endpoint: Endpoint
) -> None:
    endpoint.place.write("given.json", text)
    done = endpoint.place.run(*READERS[name], "given.json")
    assert_refused(done)
    assert "given.json" in done.stderr or DIGITS in text  # which is told of the item


@pytest.mark.parametrize(
    "text",
    [
        f"a = {DEEP}",
        "a = " + "{b=" * 100_000,
        f"a = {DIGITS}",
        "a = 1e99999\n[",
        "\x00",
        "[" * 500 + "a",
    ],
    ids=["deep", "tables", "digits", "float", "nul", "brackets"],
)
def test_e5_toml_that_nobody_can_have_meant_is_named(text: str, project: Place) -> None:
    project.write("given.toml", text)
    done = project.run("list", "app:handlers", "--config", "given.toml")
    assert_refused(done)
    assert "given.toml" in done.stderr


@pytest.mark.parametrize("flag", ["--keys", "--new", "--old"])
@pytest.mark.parametrize(
    "text", [DEEP, f'{{"id": {DIGITS}}}', '{"id": {"N": "x"}}', '{"id": "\\ud800"}']
)
def test_e5_generate_event_names_what_it_cannot_use(flag: str, text: str, project: Place) -> None:
    done = project.run("generate-event", "dynamodb", "modify", flag, text)
    if done.code:
        assert_refused(done)
    else:
        assert not unsafe(done.stdout)


def test_e4_put_streams_a_file_of_lines(endpoint: Endpoint) -> None:
    line = json.dumps({"id": "1", "text": "x" * 300_000}) + "\n"
    with (endpoint.place.folder / "many.jsonl").open("w") as file:
        file.writelines(line for _ in range(2_000))  # 600 MB
    done = bounded(endpoint.place, "put", "orders", "--file", "many.jsonl", "--dry-run")
    assert (done.code, done.stderr) == (0, "")
    assert "would put 2,000 items into orders" in done.stdout


def test_e4_put_reads_a_pipe_and_a_file_with_a_byte_order_mark(endpoint: Endpoint) -> None:
    place = endpoint.place
    (place.folder / "bom.jsonl").write_bytes(b'\xef\xbb\xbf{"id": "1"}\n\n{"id": "2"}')
    assert place.run("put", "orders", "--file", "bom.jsonl").code == 0
    command = f"""{sys.executable} -m triggerkit put orders --file <(echo '[{{"id": "3"}}]')"""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=place.folder,
        env=place.environ(),
        check=True,
        capture_output=True,
    )
    assert done.stdout.startswith(b"put 1 item into orders")
    assert {item["id"]["S"] for item in endpoint.items("orders")} == {"1", "2", "3"}


def test_e5_an_event_an_env_file_and_a_configuration_may_have_a_byte_order_mark(
    project: Place,
) -> None:
    event = json.dumps({"Records": []}).encode()
    for name, data in (("e.json", event), ("c.toml", b'app = "other"\n'), ("x.env", b"A=1\n")):
        (project.folder / name).write_bytes(b"\xef\xbb\xbf" + data)
    assert project.run("invoke", "app:handlers", "-e", "e.json").code == 0
    listed = project.run(
        "list", "app:handlers", "--config", "c.toml", "--env-file", "x.env", "--json"
    )
    assert listed.json["app"] == "other"


def test_e5_a_value_that_no_environment_can_hold_is_named(project: Place) -> None:
    (project.folder / "x.env").write_bytes(b"A=1\nB=a\x00b\n")
    done = project.run("list", "app:handlers", "--env-file", "x.env")
    assert_refused(done)
    assert "line 2" in done.stderr


FAILURE = {
    "requestContext": {"requestId": "r1", "condition": "RetryAttemptsExhausted"},
    "timestamp": "2026-01-01T00:00:00Z",
    "DDBStreamBatchInfo": {"batchSize": 1},
    "trigger": "bill",
    "payload": json.dumps({"Records": [{"dynamodb": {"Keys": {"id": {"S": "a"}}}}]}),
}
BAD_LINES = {
    "deep": DEEP,
    "whole": DEEP_BUT_WHOLE,
    "digits": json.dumps(FAILURE)[:-1] + f', "n": {DIGITS}}}',
    "cut": '{"requestContext": {',
    "other": "7",
    "binary": "\udcff",
    "control": "\x1b]0;x\x07",
}


def lines(place: Place, *bad: str) -> None:
    """A file with a good record before and behind the bad lines."""
    good = json.dumps(FAILURE)
    data = "\n".join([good, *bad, good, ""]).encode("utf-8", "surrogateescape")
    (place.folder / "f.jsonl").write_bytes(data)


@pytest.mark.parametrize("name", BAD_LINES)
def test_e5_one_bad_line_of_failures_hides_no_other(name: str, project: Place) -> None:
    lines(project, BAD_LINES[name])
    listed = project.run("failures", "ls", "f.jsonl", "--json")
    assert (listed.code, [one["number"] for one in listed.json]) == (0, [1, 3])
    assert listed.stderr.startswith("triggerkit: f.jsonl, line 2 is left out: ")
    assert len(listed.stderr.splitlines()) == 1
    assert project.run("failures", "ls", "f.jsonl").code == 0
    assert project.run("failures", "show", "3", "f.jsonl").code == 0
    assert_refused_after_damage(project.run("failures", "show", "2", "f.jsonl"))


def assert_refused_after_damage(done: Done) -> None:
    assert done.code == USAGE
    assert "no failure record '2'" in done.stderr
    assert "Traceback" not in done.stderr


def test_e4_a_line_of_failures_that_is_too_long_hides_no_other(project: Place) -> None:
    lines(project, "x" * (65 * 1024 * 1024))
    done = bounded(project, "failures", "ls", "f.jsonl", "--json")
    assert (done.code, [one["number"] for one in done.json]) == (0, [1, 3])
    assert "line 2 is left out: it is longer than 64 MiB" in done.stderr


@pytest.mark.parametrize(
    "odd",
    [
        {"timestamp": 10**400},
        {"timestamp": "9" * 10_000},
        {"timestamp": None, "trigger": {"a": []}},
        {"requestContext": {"requestId": [], "approximateInvokeCount": 10**4000, "condition": {}}},
        {"DDBStreamBatchInfo": {"batchSize": -(10**4000), "streamArn": [[]], "startSequenceNumber": {}}},
        {"payload": json.dumps({"Records": [{"dynamodb": {"ApproximateCreationDateTime": 1e300}}]})},
        {"payload": json.dumps({"Records": [{"dynamodb": {"Keys": [], "NewImage": 7}}, 7, None]})},
        {"payload": f'{{"Records": [{{"dynamodb": {DEEP}'},
        {"payload": f'{{"Records": [{{"dynamodb": {{"Keys": {DEEP_BUT_WHOLE}}}}}]}}'},
        {"payload": f'{{"Records": [{{"a": {DIGITS}}}]}}'},
        {"payload": {"a": 1}},
    ],
)  # fmt: skip
def test_e5_a_failure_record_of_odd_members_is_listed_and_shown(
    odd: dict[str, object], project: Place
) -> None:
    (project.folder / "f.jsonl").write_text(json.dumps({**FAILURE, **odd}) + "\n")
    for command in (("ls",), ("ls", "--json"), ("show", "1"), ("show", "1", "--json")):
        done = project.run("failures", *command, "f.jsonl")
        assert (done.code, done.stderr) == (0, ""), command
    event = project.run("failures", "show", "1", "f.jsonl", "--event")
    assert event.code in (0, USAGE)
    assert "Traceback" not in event.stderr


def cassette(folder: Path, *bodies: bytes | object) -> Path:
    """A cassette in gzip, of a header and these lines."""
    path = folder / "orders.jsonl.gz"
    with gzip.open(path, "wb", 1) as file:
        for body in (HEADER, *bodies):
            file.write(body if isinstance(body, bytes) else json.dumps(body).encode() + b"\n")
    return path


def test_e4_a_cassette_that_unpacks_to_gigabytes_is_refused_in_little_memory(
    project: Place,
) -> None:
    zeros = bytes(1024 * 1024)
    cassette(project.folder, *([zeros] * 2_100))
    done = bounded(
        project, "simulate", "app:handlers", "--seeds", "1", "--cassette", "orders.jsonl.gz"
    )
    assert_refused(done)
    assert f"line 2 is longer than {LINE_BYTES // 2**20} MiB" in done.stderr
    with gzip.open(project.folder / "header.jsonl.gz", "wb", 1) as file:
        for _ in range(2_100):
            file.write(zeros)
    header = bounded(
        project, "simulate", "app:handlers", "--seeds", "1", "--cassette", "header.jsonl.gz"
    )
    assert_refused(header)


def test_e4_a_cassette_of_endless_small_lines_has_an_end(
    project: Place, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr("triggerkit.cassettes.reading.MOST_BYTES", 2_000_000)
    shard = {"line": "shard", "shard": SHARD, "parents": []}
    path = cassette(project.folder, *([shard] * 40_000))
    with pytest.raises(CassetteError, match="more than 1 MiB, unpacked"):
        list(load_cassette(path).lines())


def odd_records() -> Iterator[bytes]:
    """Lines of records that are none."""
    for record in (DEEP_BUT_WHOLE, DIGITS, "7", "[]", "null", '{"dynamodb": 7}', '{"dynamodb": {"Keys": 7}}',
                   '{"eventName": "INSERT", "dynamodb": {"Keys": {"id": {"S": 7}}}}',
                   '{"eventName": "INSERT", "dynamodb": {"Keys": {"id": {"N": "' + DIGITS + '"}}}}',
                   '{"dynamodb": {"ApproximateCreationDateTime": 1e300, "Keys": {"id": {"S": "a"}}}}',
                   '{"dynamodb": {"ApproximateCreationDateTime": {}, "Keys": {"id": {"S": "a"}}}}'):  # fmt: skip
        yield f'{{"line": "record", "shard": {json.dumps(SHARD)}, "record": {record}}}\n'.encode()
    yield DEEP.encode() + b"\n"
    yield b"\xff\n"
    yield b'{"line": "record"}\n'


@pytest.mark.parametrize("line", list(odd_records()), ids=[str(n) for n in range(14)])
def test_e5_a_cassette_with_a_record_that_is_none_is_damaged(line: bytes, project: Place) -> None:
    path = cassette(
        project.folder, {"line": "shard", "shard": SHARD}, line, {"line": "end", "why": "tip"}
    )
    for read in (
        lambda: list(load_cassette(path).records()),
        lambda: list(load_cassette(path).events()),
    ):
        with suppress(CassetteError):  # no other error, whichever members it can do without
            read()
    assert_refused(project.run("simulate", "app:handlers", "--seeds", "1", "--cassette", path.name))


def test_e5_json_and_toml_are_refused_at_the_same_depth_wherever_they_are_met() -> None:
    whole = "[" * DEEPEST + "]" * DEEPEST
    assert not is_deep(parse_json(whole, "it", hint=""))
    with pytest.raises(UsageError, match="nested too deeply"):
        parse_json(f"[{whole}]", "it", hint="")
    with pytest.raises(UsageError, match="nested too deeply"):
        parse_toml(f"a = {DEEP}", "it")
