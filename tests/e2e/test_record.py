"""`triggerkit record` as a person uses it: real processes that wait, are interrupted and are killed."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from components import DynamoDBLocal
from e2e.harness import DUMMY_ACCESS, PATIENCE_SECONDS, Place, Tables
from e2e.test_commands import on_terminal

from triggerkit import Triggers
from triggerkit.errors import CassetteError
from triggerkit.testing import Simulation, load_cassette

USAGE = 2
RECORD = ("record", "dynamodb://orders", "-o", "orders.jsonl.gz")


def keys(path: Path, *, allow_cut: bool = False) -> list[str]:
    events = load_cassette(path, allow_cut=allow_cut).records()
    return [event["dynamodb"]["Keys"]["id"]["S"] for event in events]  # type: ignore[index]


def size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_recording_that_is_interrupted_is_whole(
    number: signal.Signals, shop: Place, tables: Tables
) -> None:
    tables.put("orders", "before")
    with shop.running(*RECORD, "--follow") as recording:
        calls = tables.emulator.calls
        recording.until(
            lambda: calls["GetRecords"] > 1, "a read of its own, after that of the start"
        )
        tables.put("orders", "a")
        tables.emulator.roll("orders")
        tables.put("orders", "b")
        part = shop.folder / "orders.jsonl.gz.part"
        recording.until(lambda: keys_of_part(part) == ["a", "b"], "two records on the disk")
        recording.signal(number)
        done = recording.wait()
    assert (done.code, "Traceback" in done.stderr) == (0, False)
    assert "recorded 2 records of 2 shards" in done.stderr
    assert keys(shop.folder / "orders.jsonl.gz") == ["a", "b"]
    assert not part.exists()


def keys_of_part(part: Path) -> list[str]:
    try:
        return keys(part, allow_cut=True)
    except CassetteError:
        return []


def test_a_recording_that_is_killed_leaves_what_it_has(shop: Place, tables: Tables) -> None:
    with shop.running(*RECORD, "--follow") as recording:
        calls = tables.emulator.calls
        recording.until(
            lambda: calls["GetRecords"] > 1, "a read of its own, after that of the start"
        )
        tables.put("orders", "a", "b")
        part = shop.folder / "orders.jsonl.gz.part"
        recording.until(lambda: keys_of_part(part) == ["a", "b"], "two records on the disk")
        recording.signal(signal.SIGKILL)
        recording.wait()
    assert keys(part, allow_cut=True) == ["a", "b"]
    with pytest.raises(CassetteError, match="was cut off"):
        keys(part)
    again = shop.run(*RECORD)
    assert (again.code, "a recording was killed and left it" in again.stderr) == (USAGE, True)


def test_a_recording_for_some_time_ends_by_itself(shop: Place, tables: Tables) -> None:
    tables.put("orders", "before")
    with shop.running(*RECORD, "--for", "3s") as recording:
        calls = tables.emulator.calls
        recording.until(
            lambda: calls["GetRecords"] > 1, "a read of its own, after that of the start"
        )
        tables.put("orders", "a")
        done = recording.wait()
    assert done.code == 0
    assert keys(shop.folder / "orders.jsonl.gz") == ["a"]


def test_a_table_that_is_written_all_the_time_has_a_tip_all_the_same(
    shop: Place, tables: Tables
) -> None:
    tables.put("orders", *map(str, range(50)))
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            item = {"id": {"S": "busy"}, "n": {"N": str(number)}}
            tables.emulator.call("PutItem", {"TableName": "orders", "Item": item})
            over.wait(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = shop.run(*RECORD)
    finally:
        over.set()
        writer.join()
    assert done.code == 0, done.stderr
    assert keys(shop.folder / "orders.jsonl.gz")[:50] == [str(number) for number in range(50)]


def test_an_endpoint_that_goes_away_costs_nothing_that_was_read(
    shop: Place, tables: Tables
) -> None:
    with shop.running(*RECORD, "--follow") as recording:
        calls = tables.emulator.calls
        recording.until(
            lambda: calls["GetRecords"] > 1, "a read of its own, after that of the start"
        )
        tables.put("orders", "a")
        part = shop.folder / "orders.jsonl.gz.part"
        recording.until(lambda: keys_of_part(part) == ["a"], "a record on the disk")
        tables.server.close()
        done = recording.wait()
    assert done.code == 3, done.stderr
    assert "recorded 1 record of 1 shard" in done.stderr
    assert keys(shop.folder / "orders.jsonl.gz") == ["a"]


def test_a_disk_that_is_full_is_told_in_a_sentence(shop: Place, tables: Tables) -> None:
    noise = os.urandom(200_000).hex()
    item = {"id": {"S": "large"}, "noise": {"S": noise}}
    tables.emulator.call("PutItem", {"TableName": "orders", "Item": item})
    words = " ".join([sys.executable, "-m", "triggerkit", *RECORD])
    done = subprocess.run(
        ["/bin/bash", "-c", f"ulimit -f 16; exec {words}"],
        cwd=shop.folder,
        env=shop.environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == USAGE, done.stderr
    assert "orders.jsonl.gz cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (shop.folder / "orders.jsonl.gz").exists()


def test_on_a_terminal_the_count_is_shown_while_it_goes_on(shop: Place, tables: Tables) -> None:
    tables.put("orders", "a")
    code, shown = on_terminal(
        shop, *RECORD, "--follow", "--from-start", answers={"1 record of 1 shard": b"\x03"}
    )
    assert (code, "Traceback" in shown) == (0, False)
    assert "recording what is there and what comes of dynamodb://orders; Ctrl-C ends" in shown
    assert "recorded 1 record of 1 shard" in shown
    assert keys(shop.folder / "orders.jsonl.gz") == ["a"]


def test_a_stream_of_dev_is_recorded_and_played_in_its_own_folder(shop: Place) -> None:
    shop.environment.clear()
    shop.write("triggerkit.toml", 'target = "app:handlers"\n')
    shop.write(
        "test_app.py",
        "import pytest\nfrom app import bill, handlers\n"
        "@pytest.mark.triggerkit_cassette('orders.jsonl.gz')\n"
        "def test_it(triggerkit_sim):\n"
        "    sim = triggerkit_sim(handlers)\n"
        "    sim.run_until_idle()\n"
        "    assert sim.calls(bill).keys == ['1', '2', '1']\n",
    )
    with shop.running("dev", "--port", "0", "--log-format", "json") as dev:
        dev.until_logged("started")
        for item in ('{"id": "1", "n": 1}', '{"id": "2"}', '{"id": "1", "n": 2}'):
            assert shop.run("put", "orders", item).code == 0
        recorded = shop.run(*RECORD)
        dev.signal(signal.SIGINT)
        dev.wait()
    assert recorded.code == 0, recorded.stderr
    assert "from the running dev at http://127.0.0.1:" in recorded.stderr
    plugin = ("-p", "no:triggerkit", "-p", "triggerkit.testing.plugin", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", *plugin],
        cwd=shop.folder,
        env=shop.environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.real
def test_a_stream_of_dynamodb_local_is_recorded_and_replayed(
    dynamodb_local: DynamoDBLocal, place: Place
) -> None:
    client = dynamodb_local.client("dynamodb")
    client.create_table(
        TableName="recorded",
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "at", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "at", "AttributeType": "N"},
            {"AttributeName": "pk", "AttributeType": "B"},
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    for number in range(30):
        item = {
            "pk": {"B": bytes([number % 3, 255])},
            "at": {"N": str(number % 2)},
            "total": {"N": f"{number}.5"},
            "tags": {"SS": ["ann.smith", str(number)]},
            "lines": {"L": [{"M": {"to": {"S": "Ann Smith"}}}, {"NULL": True}, {"BOOL": True}]},
        }
        client.put_item(TableName="recorded", Item=item)
    client.delete_item(TableName="recorded", Key={"pk": {"B": b"\0\xff"}, "at": {"N": "0"}})
    place.environment |= {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": dynamodb_local.endpoint_url}
    name = "recorded.jsonl.gz"
    done = place.run("record", "dynamodb://recorded", "-o", name, "--redact-all-but", "total")
    assert done.code == 0, done.stderr
    assert b"Smith" not in gzip.decompress((place.folder / name).read_bytes())
    handlers = Triggers("replayed")

    @handlers.on("dynamodb://recorded")
    def watch(event: Any, context: Any) -> None: ...

    with Simulation(handlers, folder=place.folder) as sim:
        assert sim.play(name, pace="recorded").key == "pk:B,at:N"
        sim.run_until_idle()
        records = [record for call in sim.calls(watch) for record in call.records]
        assert not sim.out_of_order
    of_item: dict[str, list[Any]] = {}
    for record in records:
        change = record["dynamodb"]
        told = (record["eventName"], change.get("NewImage", {}).get("total"))
        of_item.setdefault(json.dumps(change["Keys"], sort_keys=True), []).append(told)
        if record["eventName"] == "MODIFY":
            assert change["OldImage"]["lines"] == change["NewImage"]["lines"]
    assert sorted(map(len, of_item.values())) == [5, 5, 5, 5, 5, 6]
    for told in of_item.values():
        assert [name for name, _ in told[:5]] == ["INSERT", *["MODIFY"] * 4]
        totals = [float(total["N"]) for _, total in told[:5]]
        assert totals == [totals[0] + 6 * step for step in range(5)]
