"""`triggerkit record` against the endpoint of a running `dev`, and its cassettes in a simulation."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cli.stage import Endpoint
from e2e.harness import Place

from triggerkit import Triggers
from triggerkit.cassettes.lines import Ended, Header, Recorded, ShardBegun, ShardClosed
from triggerkit.cassettes.writing import CassetteFile
from triggerkit.commands.record import Recording, read_wanted
from triggerkit.commands.record import record as run_record
from triggerkit.errors import CassetteError
from triggerkit.testing import Simulation, load_cassette

USAGE, SOURCE = 2, 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


ITEM = {"mail": {"S": "ann.smith@shop.example"}, "total": {"N": "129.95"}, "paid": {"BOOL": True}}


def put(endpoint: Endpoint, key: str, **more: Any) -> None:
    item = {"id": {"S": key}, **ITEM, **more}
    endpoint.emulator.call("PutItem", {"TableName": "orders", "Item": item})


def written(endpoint: Endpoint) -> list[dict[str, Any]]:
    """Every record of the stream, as GetRecords answers it, in the order of writes."""
    call = endpoint.emulator.call
    found: list[dict[str, Any]] = []
    for arn in endpoint.emulator.stream_arns("orders"):
        for shard in call("DescribeStream", {"StreamArn": arn})["StreamDescription"]["Shards"]:
            place = {"StreamArn": arn, "ShardId": shard["ShardId"]}
            asked = {**place, "ShardIteratorType": "TRIM_HORIZON"}
            iterator = call("GetShardIterator", asked)["ShardIterator"]
            found += call("GetRecords", {"ShardIterator": iterator})["Records"]
    return sorted(found, key=lambda record: int(record["dynamodb"]["SequenceNumber"]))


@pytest.fixture
def busy(endpoint: Endpoint) -> Endpoint:
    """Items written, changed, deleted and expired over a split and two rolls."""
    emulator = endpoint.emulator
    for number in range(12):
        put(endpoint, f"o-{number % 4}", n={"N": str(number)})
        if number == 3:
            emulator.split("orders")
        if number in (6, 9):
            emulator.roll("orders")
    emulator.call("DeleteItem", {"TableName": "orders", "Key": {"id": {"S": "o-1"}}})
    emulator.expire_item("orders", {"id": {"S": "o-2"}})
    return endpoint


def record(endpoint: Endpoint, *flags: str) -> Any:
    return endpoint.place.run("record", "dynamodb://orders", "-o", "orders.jsonl.gz", *flags)


def cassette_of(place: Place) -> Path:
    return place.folder / "orders.jsonl.gz"


def lines_of(place: Place) -> list[dict[str, Any]]:
    text = gzip.decompress(cassette_of(place).read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


def untouched(endpoint: Endpoint, before: dict[str, bytes], calls: int) -> bool:
    """Whether neither a file nor the stream was touched."""
    return (endpoint.place.files, sum(endpoint.emulator.calls.values())) == (before, calls)


def test_a_fault_leaves_no_status_line_in_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = dict.fromkeys(("from_start", "since", "for_", "lines", "key"))
    given |= {"output": tmp_path / "out.jsonl.gz", "force": False, "follow": True}
    wanted = read_wanted({**given, "redact": ("mail",), "redact_all_but": (), "keep_prefix": ()})

    async def fail(recording: Recording, access: Mapping[str, str]) -> None:
        recording.progress.begin(wanted)
        raise ZeroDivisionError

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(Recording, "run", fail)
    with pytest.raises(ZeroDivisionError):
        run_record("orders", wanted, {})
    assert terminal.getvalue().count("\x1b[?25l") == 1, "the cursor was hidden"
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().index("\x1b[?25l")


# --- what is recorded ----------------------------------------------------------------------------


def test_what_is_there_is_recorded_with_its_shards_and_the_command_ends(busy: Endpoint) -> None:
    done = record(busy)
    assert (done.code, done.stdout) == (0, ""), done.stderr
    assert (
        "recorded 14 records of 7 shards of dynamodb://orders in orders.jsonl.gz (" in done.stderr
    )
    assert "nothing is redacted: the file will hold item contents" in done.stderr
    assert f"from the running dev at {busy.link.endpoint_url}" in done.stderr
    assert cassette_of(busy.place).stat().st_mode & 0o777 == 0o600
    assert {name for name in busy.place.files if "orders" in name} == {"orders.jsonl.gz"}
    lines = lines_of(busy.place)
    assert lines[0]["keys"] == [["id", "S"]]
    assert lines[0]["stream_arn"] == busy.emulator.stream_arns("orders")[0]
    assert lines[-1] == {"line": "end", "why": "tip"}
    records = [line["record"] for line in lines if line["line"] == "record"]
    by_number = sorted(records, key=lambda one: int(one["dynamodb"]["SequenceNumber"]))
    assert by_number == written(busy)
    ended: set[str] = set()
    for line in lines[1:-1]:
        if line["line"] == "shard":
            assert set(line["parents"]) <= ended
        elif line["line"] == "closed":
            ended.add(line["shard"])
    assert len(ended) == 5


def test_a_cassette_replays_what_was_recorded(busy: Endpoint, monkeypatch: Any) -> None:
    assert record(busy).code == 0
    handlers = Triggers("orders")

    @handlers.on("dynamodb://orders")
    def watch(event: Any, context: Any) -> None: ...

    def of_items(records: Any) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for one in records:
            change = one["dynamodb"]
            told = (one["eventName"], change.get("NewImage"), change.get("OldImage"))
            expired = bool(one.get("userIdentity"))
            found.setdefault(change["Keys"]["id"]["S"], []).append((*told, expired))
        return found

    monkeypatch.chdir(busy.place.folder.parent)
    with Simulation(handlers, folder=busy.place.folder) as sim:
        sim.play("orders.jsonl.gz")
        sim.run_until_idle()
        got = [one for call in sim.calls(watch) for one in call.records]
        assert of_items(got) == of_items(written(busy))
        assert not sim.out_of_order
        items = {one["id"]["S"]: one for one in busy.items("orders")}
        assert set(items) == {"o-0", "o-3"}
        assert all(sim.table("orders").get(id=key) for key in items)
        assert sim.table("orders").get(id="o-1") is None
    once = [e["Records"] for e in load_cassette(cassette_of(busy.place)).events(5)]  # type: ignore[misc]
    assert of_items(one for records in once for one in records) == of_items(written(busy))  # type: ignore[attr-defined]


def test_redacted_values_are_nowhere_in_the_file(busy: Endpoint) -> None:
    done = record(busy, "--redact", "id,mail", "--redact", "nosuch.path")
    assert done.code == 0, done.stderr
    text = gzip.decompress(cassette_of(busy.place).read_bytes()).decode()
    assert "ann.smith" not in text
    assert '"o-' not in text
    assert "129.95" in text
    assert "nothing is redacted" not in done.stderr
    assert "warning: --redact nosuch.path: no record has it; is it misspelt?" in done.stderr
    head = lines_of(busy.place)[0]
    assert head["redacted"] == ["id", "mail", "nosuch.path"]
    keys: dict[str, list[str]] = {}
    for line in lines_of(busy.place):
        if line["line"] == "record":
            change = line["record"]["dynamodb"]
            key = change["Keys"]["id"]["S"]
            keys.setdefault(key, []).append(line["record"]["eventName"])
            for image in ("NewImage", "OldImage"):
                assert change.get(image, change["Keys"])["id"]["S"] == key
    assert sorted(map(tuple, keys.values())) == sorted(
        [("INSERT", "MODIFY", "MODIFY", "REMOVE")] * 2 + [("INSERT", "MODIFY", "MODIFY")] * 2
    )


def test_redacting_all_but_some_keeps_these_alone(busy: Endpoint) -> None:
    done = record(busy, "--redact-all-but", "n,id")
    assert done.code == 0, done.stderr
    text = gzip.decompress(cassette_of(busy.place).read_bytes()).decode()
    assert "ann.smith" not in text
    assert "129.95" not in text
    assert '"o-3"' in text
    head = lines_of(busy.place)[0]
    assert head["kept"] == ["n", "id"]


def test_so_many_records_of_one_key(busy: Endpoint) -> None:
    done = record(busy, "--key", "o-3", "-n", "2")
    assert "recorded 2 records of 2 shards" in done.stderr
    lines = lines_of(busy.place)
    keys = [line["record"]["dynamodb"]["Keys"] for line in lines if line["line"] == "record"]
    assert keys == [{"id": {"S": "o-3"}}] * 2
    assert lines[-1]["why"] == "count"


def test_a_table_with_a_sort_key_says_which_is_which(endpoint: Endpoint) -> None:
    endpoint.create("lines", sku="S", at="N")
    item = {"at": {"N": "7"}, "sku": {"S": "a"}}
    endpoint.emulator.call("PutItem", {"TableName": "lines", "Item": item})
    done = endpoint.place.run("record", "dynamodb://lines", "-o", "lines.jsonl")
    assert done.code == 0, done.stderr
    cassette = load_cassette(endpoint.place.folder / "lines.jsonl")
    assert cassette.keys == (("sku", "S"), ("at", "N"))
    assert (endpoint.place.folder / "lines.jsonl").read_text().startswith('{"line":"cassette"')


def test_a_stream_made_anew_is_recorded_behind_the_old_one(endpoint: Endpoint) -> None:
    put(endpoint, "a")
    for specification in (
        {"StreamEnabled": False},
        {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    ):
        asked = {"TableName": "orders", "StreamSpecification": specification}
        endpoint.emulator.call("UpdateTable", asked)
    put(endpoint, "b")
    assert record(endpoint).code == 0  # it waits until nothing of the old one can be listed late
    arns = [one["eventSourceARN"] for one in load_cassette(cassette_of(endpoint.place)).records()]
    assert arns == endpoint.emulator.stream_arns("orders")
    assert len(arns) == 2


def test_a_time_in_the_past_leaves_out_what_is_older(endpoint: Endpoint) -> None:
    put(endpoint, "a")
    assert "recorded 1 record of 1 shard of" in record(endpoint, "--since", "1h").stderr


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--since", "soon"), "--since 'soon' is neither a duration nor a time"),
        (("--since", "1h", "--from-start"), "contradict"),
        (("--for", "1h", "--follow"), "contradict"),
        (("--for", "14:30"), "--for '14:30' is not a duration"),
        (("--for", "0s"), "--for '0s' is not a duration"),
        (("--key", "{"), "--key"),
        (("-n", "0"), "x>=1"),
        (("--redact", "a", "--redact-all-but", "b"), "contradict"),
        (("--redact", "a,,b"), "'' is no path"),
        (
            ("-o", "nosuch/orders.jsonl.gz"),
            "nosuch/orders.jsonl.gz cannot be written: No such file",
        ),
        (("-o", "app.py/orders.jsonl.gz"), "cannot be written: Not a directory"),
        (("-o", "app.py"), "app.py is there already"),
        (("-o", "."), "is a folder"),
        (("-o", "", "--force"), "is a folder"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_touched(
    flags: tuple[str, ...], says: str, busy: Endpoint
) -> None:
    before, calls = busy.place.files, sum(busy.emulator.calls.values())
    done = record(busy, *flags)
    assert (done.code, done.stdout, says in done.stderr) == (USAGE, "", True), done.stderr
    assert untouched(busy, before, calls)


def test_a_file_that_is_there_is_replaced_by_force_alone(busy: Endpoint) -> None:
    busy.place.write("orders.jsonl.gz", "precious")
    refused = record(busy)
    assert (refused.code, "--force replaces it" in refused.stderr) == (USAGE, True)
    assert cassette_of(busy.place).read_text() == "precious"
    assert record(busy, "--force").code == 0
    assert len(list(load_cassette(cassette_of(busy.place)).records())) == 14


def test_what_a_killed_recording_left_is_not_thrown_away(busy: Endpoint) -> None:
    busy.place.write("orders.jsonl.gz.part", "precious")
    refused = record(busy)
    assert (refused.code, "a recording was killed and left it" in refused.stderr) == (USAGE, True)
    assert busy.place.files["orders.jsonl.gz.part"] == b"precious"
    assert record(busy, "--force").code == 0
    assert "orders.jsonl.gz.part" not in busy.place.files


@pytest.mark.parametrize(
    ("source", "code", "says"),
    [
        ("dynamodb://ordres", SOURCE, "table 'ordres' does not exist"),
        ("kinesis://clicks", USAGE, "no source has the scheme 'kinesis'"),
        ("orders!", USAGE, "'orders!' has no scheme"),
    ],
)
def test_a_source_that_cannot_be_read_leaves_no_file_and_says_what_tail_says(
    source: str, code: int, says: str, endpoint: Endpoint
) -> None:
    before = endpoint.place.files
    done = endpoint.place.run("record", source, "-o", "orders.jsonl.gz")
    assert (done.code, says in done.stderr) == (code, True), done.stderr
    assert endpoint.place.files == before
    assert endpoint.place.run("tail", source).stderr == done.stderr


def test_where_there_is_nothing_no_file_is_written(endpoint: Endpoint) -> None:
    before = endpoint.place.files
    done = record(endpoint)
    assert done.code == 0
    assert "nothing was recorded: the stream has no such record" in done.stderr
    assert "orders.jsonl.gz was not written" in done.stderr
    assert endpoint.place.files == before


# --- the file ------------------------------------------------------------------------------------


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[tuple[Path, CassetteFile]]:
    path = tmp_path / "orders.jsonl.gz"
    with CassetteFile(path) as file:
        head = Header(
            triggerkit="0",
            table="orders",
            keys=(("id", "S"),),
            view_type="KEYS_ONLY",
            stream_arn="arn:aws:dynamodb:x:1:table/orders/stream/l",
            recorded_at="2026-01-31T14:40:00+00:00",
        )
        file.begin(head)
        yield path, file


def test_what_was_flushed_can_be_read_while_it_is_written(
    begun: tuple[Path, CassetteFile],
) -> None:
    path, file = begun
    for line in (ShardBegun("l:a"), ShardClosed("l:a", ("l:b",))):
        file.write(line)
        file.flush()
        part = load_cassette(path.with_name("orders.jsonl.gz.part"), allow_cut=True)
        assert list(part.lines())[-1] == line
    assert not path.exists()
    file.finish(Ended("tip"))
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("force", [False, True])
def test_two_recordings_never_write_one_file(force: bool, begun: tuple[Path, CassetteFile]) -> None:
    path, file = begun
    with pytest.raises(CassetteError, match="is being written by another recording"):
        CassetteFile(path, force=force)
    file.finish(Ended("tip"))
    assert list(load_cassette(path).lines()) == []


def test_a_record_with_line_breaks_between_its_parts_is_one_line(
    begun: tuple[Path, CassetteFile],
) -> None:
    import msgspec

    path, file = begun
    file.write(Recorded("l:a", msgspec.Raw(b'{"a":\n 1, "b": "x\\ny"}')))
    file.finish(Ended("tip"))
    (line,) = load_cassette(path).lines()
    assert isinstance(line, Recorded)
    assert bytes(line.record) == b'{"a":1,"b":"x\\ny"}'


def test_a_last_step_that_fails_tells_where_the_records_are(
    begun: tuple[Path, CassetteFile],
) -> None:
    path, file = begun
    path.with_name("orders.jsonl.gz.new").mkdir()  # in the way of the last step
    with pytest.raises(CassetteError, match="cannot be written: Is a directory") as refused:
        file.finish(Ended("tip"))
    assert "orders.jsonl.gz.part: load_cassette" in refused.value.hint
    assert not path.exists()
    assert list(load_cassette(path.with_name("orders.jsonl.gz.part")).lines()) == []
