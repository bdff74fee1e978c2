"""The emulator's file: everything that was answered is there again after a restart, whatever ended it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from emulator.kit import START_SECONDS, TABLE, stream_on
from triggerkit.emulator import Emulator, EmulatorError, VirtualClock
from triggerkit.errors import StateError, StateFormatError, StateLockedError

SERVER = """
import sys
from triggerkit.emulator import Emulator, serve
with serve(Emulator(path=sys.argv[1])) as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "dev.db"


def opened(path: Path) -> Emulator:
    return Emulator(VirtualClock(START_SECONDS), path=path)


def put(emulator: Emulator, key: str, **attributes: Any) -> None:
    item = {"pk": {"S": key}, **attributes}
    emulator.call("PutItem", {"TableName": "orders", "Item": item})


def state_of(emulator: Emulator) -> dict[str, Any]:
    """Return all that a client can see of the table `orders`."""
    table = emulator.call("DescribeTable", {"TableName": "orders"})["Table"]
    arn = table["LatestStreamArn"]
    stream = emulator.call("DescribeStream", {"StreamArn": arn})["StreamDescription"]
    return {
        "table": table,
        "items": sorted(map(json.dumps, emulator.call("Scan", {"TableName": "orders"})["Items"])),
        "stream": stream,
        "records": {
            shard["ShardId"]: page(emulator, horizon(emulator, arn, shard["ShardId"]))["Records"]
            for shard in stream["Shards"]
        },
    }


def horizon(emulator: Emulator, arn: str, shard_id: str) -> str:
    request = {"StreamArn": arn, "ShardId": shard_id, "ShardIteratorType": "TRIM_HORIZON"}
    token: str = emulator.call("GetShardIterator", request)["ShardIterator"]
    return token


def page(emulator: Emulator, iterator: str, **request: Any) -> dict[str, Any]:
    return emulator.call("GetRecords", {"ShardIterator": iterator, **request})


def test_a_restart_keeps_tables_items_streams_and_shards(path: Path) -> None:
    emulator = opened(path)
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    for index in range(5):
        put(emulator, f"k{index}", b={"B": "YQ=="}, l={"L": [{"N": "1"}, {"M": {}}]}, t={"S": "é"})
    emulator.split("orders")
    put(emulator, "k1", t={"S": "later"})
    emulator.call("DeleteItem", {"TableName": "orders", "Key": {"pk": {"S": "k2"}}})
    emulator.roll("orders")
    before = state_of(emulator)
    emulator.close()
    again = opened(path)
    assert state_of(again) == before
    put(again, "k1", t={"S": "last"})
    records = [r for shard in state_of(again)["records"].values() for r in shard]
    numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in records]
    assert len(set(numbers)) == len(records) == 8
    newest = max(records, key=lambda record: int(record["dynamodb"]["SequenceNumber"]))
    assert newest["dynamodb"]["OldImage"]["t"] == {"S": "later"}
    again.close()


def test_an_open_iterator_reads_on_after_a_restart(path: Path) -> None:
    emulator = opened(path)
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    for index in range(3):
        put(emulator, f"k{index}")
    arn = emulator.stream_arns("orders")[0]
    read = page(emulator, horizon(emulator, arn, emulator.open_shards("orders")[0]), Limit=2)
    emulator.close()
    again = opened(path)
    put(again, "k3")
    keys = [
        record["dynamodb"]["Keys"]["pk"]["S"]
        for record in page(again, read["NextShardIterator"])["Records"]
    ]
    assert keys == ["k2", "k3"]
    again.close()


def test_iterators_that_were_expired_stay_expired(path: Path) -> None:
    emulator = opened(path)
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    arn = emulator.stream_arns("orders")[0]
    iterator = horizon(emulator, arn, emulator.open_shards("orders")[0])
    emulator.expire_iterators()
    emulator.close()
    again = opened(path)
    with pytest.raises(EmulatorError, match="ExpiredIteratorException"):
        page(again, iterator)
    again.close()


def test_what_was_trimmed_or_dropped_does_not_come_back(path: Path) -> None:
    emulator = opened(path)
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    put(emulator, "a")
    first = emulator.open_shards("orders")[0]
    emulator.roll("orders")
    put(emulator, "b")
    emulator.trim("orders")
    emulator.drop_shard("orders", first)
    emulator.call("CreateTable", {**TABLE, "TableName": "second"})
    emulator.call("DeleteTable", {"TableName": "second"})
    emulator.close()
    again = opened(path)
    shards = state_of(again)
    assert first not in shards["records"]
    assert list(shards["records"].values()) == [[]]
    assert again.call("ListTables", {})["TableNames"] == ["orders"]
    again.close()


def test_time_does_not_go_back_over_a_restart(path: Path) -> None:
    emulator = opened(path)
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    emulator.advance(3600)
    put(emulator, "a")
    emulator.close()
    again = opened(path)
    assert again.clock.now_seconds() == START_SECONDS + 3600
    again.close()


def test_records_past_their_retention_leave_the_file(path: Path) -> None:
    emulator = opened(path)
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    put(emulator, "a")
    emulator.advance(25 * 3600)
    emulator.call("ListStreams", {})
    emulator.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (0,)
    connection.close()


def test_the_file_belongs_to_its_owner_alone(path: Path) -> None:
    emulator = opened(path)
    emulator.call("CreateTable", TABLE)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    emulator.close()


def test_a_file_in_use_is_refused(path: Path) -> None:
    emulator = opened(path)
    with pytest.raises(StateLockedError, match="used by another emulator"):
        opened(path)
    emulator.close()
    opened(path).close()


def test_a_newer_format_is_refused_and_left_alone(path: Path) -> None:
    opened(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StateFormatError, match="has format 2"):
        opened(path)
    assert path.read_bytes() == content


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("These are notes, and longer than the header of a database file is. " * 9)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    for file in (text, other, tmp_path):
        with pytest.raises(StateError):
            opened(file)
    assert text.read_text().startswith("These are notes")


class Process:
    """An emulator on a file in a process of its own."""

    def __init__(self, path: Path) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._popen.stdout is not None
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", int(self._popen.stdout.readline()), timeout=10
        )

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        headers = {"X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        self._connection.request("POST", "/", json.dumps(request), headers)
        answer = self._connection.getresponse()
        body: dict[str, Any] = json.loads(answer.read())
        assert answer.status == 200, body
        return body

    def send(self, operation: str, request: dict[str, Any]) -> None:
        """Send a request and wait for no answer."""
        headers = {"X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        self._connection.request("POST", "/", json.dumps(request), headers)

    def kill(self) -> None:
        os.kill(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        self._connection.close()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                pipe.close()


def kills(random: Random) -> Iterator[int]:
    for _ in range(3):
        yield random.randrange(1, 60)


def test_a_killed_process_loses_nothing_that_it_answered(path: Path) -> None:
    random = Random(5)
    answered = 0
    for writes in kills(random):
        process = Process(path)
        if not answered:
            process.call("CreateTable", {**TABLE, **stream_on()})
        request = {
            "TableName": "orders",
            "Key": {"pk": {"S": "counter"}},
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
        for _ in range(writes):
            process.call("UpdateItem", request)
            answered += 1
        # One more is under way when the process dies: it counts whole or not at all.
        process.send("UpdateItem", request)
        process.kill()
        emulator = Emulator(path=path)
        key = {"TableName": "orders", "Key": {"pk": {"S": "counter"}}}
        count = int(emulator.call("GetItem", key)["Item"]["n"]["N"])
        records = [r for shard in state_of(emulator)["records"].values() for r in shard]
        emulator.close()
        assert answered <= count <= answered + 1, f"seed 5, {writes} writes"
        assert len(records) == count
        chain = [record["dynamodb"].get("OldImage") for record in records][1:]
        assert chain == [record["dynamodb"]["NewImage"] for record in records][:-1]
        answered = count
