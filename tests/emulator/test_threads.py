"""Eight writers at once: no increment is lost and every record's old image is the one before."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from emulator.comparison import HttpEndpoint
from emulator.kit import TABLE, stream_on
from triggerkit.emulator import Emulator, serve

WRITERS = 8
WRITES = 60
KEYS = ("hot", "warm", "cold")


def key(name: str) -> dict[str, Any]:
    return {"TableName": "orders", "Key": {"pk": {"S": name}}}


def update(name: str) -> tuple[str, dict[str, Any]]:
    values = {":one": {"N": "1"}}
    return "UpdateItem", {
        **key(name),
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": values,
    }


def transaction(name: str, token: str) -> tuple[str, dict[str, Any]]:
    _, action = update(name)
    actions = [{"Update": action}, {"ConditionCheck": {**key("fixed"), **_EXISTS}}]
    return "TransactWriteItems", {"TransactItems": actions, "ClientRequestToken": token}


_EXISTS = {"ConditionExpression": "attribute_exists(pk)"}


def writer(number: int, url: str, count: Callable[[str], None]) -> None:
    random = Random(number)
    endpoint = HttpEndpoint(url)
    for turn in range(WRITES):
        name = random.choice(KEYS)
        in_transaction = random.random() < 0.4
        operation, request = (
            transaction(name, f"{number}-{turn}") if in_transaction else update(name)
        )
        # A transaction is sent twice, as a client does that lost its answer.
        for _ in range(2 if in_transaction else 1):
            answer = endpoint.send(operation, request)
            assert answer.succeeded, answer
        count(name)
    endpoint.close()


def all_records(emulator: Emulator) -> list[dict[str, Any]]:
    arn = emulator.stream_arns("orders")[0]
    found: list[dict[str, Any]] = []
    described = emulator.call("DescribeStream", {"StreamArn": arn})["StreamDescription"]
    for shard in described["Shards"]:
        place = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = emulator.call("GetShardIterator", place)["ShardIterator"]
        while iterator:
            page = emulator.call("GetRecords", {"ShardIterator": iterator})
            found += page["Records"]
            iterator = page.get("NextShardIterator") if page["Records"] else None
    return sorted(found, key=lambda record: int(record["dynamodb"]["SequenceNumber"]))


@pytest.mark.parametrize("on_file", [False, True])
def test_eight_writers_lose_nothing(tmp_path: Path, on_file: bool) -> None:
    path = tmp_path / "dev.db" if on_file else None
    emulator = Emulator(shards=3, path=path)
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    for name in (*KEYS, "fixed"):
        item = {"pk": {"S": name}, "n": {"N": "0"}}
        emulator.call("PutItem", {"TableName": "orders", "Item": item})
    counts: dict[str, int] = defaultdict(int)
    guard = threading.Lock()

    def count(name: str) -> None:
        with guard:
            counts[name] += 1

    with serve(emulator) as server:
        url = server.endpoint_url
        threads = [
            threading.Thread(target=writer, args=(number, url, count)) for number in range(WRITERS)
        ]
        for thread in threads:
            thread.start()
        emulator.roll("orders")
        for thread in threads:
            thread.join()
    emulator.roll("orders")
    if on_file:
        emulator.close()
        emulator = Emulator(path=path)
    assert sum(counts.values()) == WRITERS * WRITES
    for name in KEYS:
        number = emulator.call("GetItem", key(name))["Item"]["n"]["N"]
        assert int(number) == counts[name]
    assert_chains_are_whole(all_records(emulator), counts)
    emulator.close()


def assert_chains_are_whole(records: list[dict[str, Any]], counts: dict[str, int]) -> None:
    last: dict[str, Any] = {}
    seen: dict[str, int] = defaultdict(int)
    for record in records:
        change = record["dynamodb"]
        name = json.dumps(change["Keys"], sort_keys=True)
        assert change.get("OldImage") == last.get(name)
        last[name] = change["NewImage"]
        seen[change["Keys"]["pk"]["S"]] += 1
    assert {name: seen[name] - 1 for name in counts} == dict(counts)
