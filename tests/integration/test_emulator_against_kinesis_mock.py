"""The emulator routes, splits, merges and ends shards as Kinesis Mock 0.6.2 does.

Every random choice comes from a seed that a failure prints. Not compared, since Kinesis Mock is wrong there:
the edges of a stream that begins with several shards (off by one), splits at the first hash key, and
AT_TRIM_HORIZON (it lists all shards).
"""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from kinesis_mock import running_kinesis_mock

from triggerkit.emulator import Emulator
from triggerkit.emulator.wire import respond

pytestmark = pytest.mark.real

KINESIS = "Kinesis_20131202."
SEEDS = 10
STEPS = 25
ACTIVE_SECONDS = 10.0
TOP = 2**128


@dataclass(frozen=True)
class Side:
    """One endpoint; a refusal is its error's name."""

    send: Callable[[str, bytes], tuple[int, bytes]]

    def call(self, operation: str, **request: Any) -> Any:
        status, body = self.send(KINESIS + operation, json.dumps(request).encode())
        answer = json.loads(body or b"{}")
        return answer if status == 200 else answer.get("__type", "").rpartition("#")[2]

    def settled(self, stream: str) -> None:
        """Wait until a change of the stream is done."""
        deadline = time.monotonic() + ACTIVE_SECONDS
        while time.monotonic() < deadline:
            answer = self.call("DescribeStreamSummary", StreamName=stream)
            if answer["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
                return
        raise AssertionError(f"{stream} did not become ACTIVE")


def ours() -> Side:
    emulator = Emulator()

    def send(target: str, body: bytes) -> tuple[int, bytes]:
        answer = respond(emulator, target, body)
        return answer.status, answer.body

    return Side(send)


def over_http(connection: http.client.HTTPConnection) -> Side:
    def send(target: str, body: bytes) -> tuple[int, bytes]:
        headers = {
            "X-Amz-Target": target,
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/kinesis/"
            "aws4_request, SignedHeaders=host, Signature=none",
        }
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    return Side(send)


@pytest.fixture(scope="module")
def reference() -> Iterator[Side]:
    with running_kinesis_mock() as url:
        address = urlsplit(url)
        assert address.hostname is not None
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        yield over_http(connection)
        connection.close()


def shards(side: Side, stream: str, **request: Any) -> list[tuple[Any, ...]]:
    listed = side.call("ListShards", StreamName=stream, **request)["Shards"]
    return [
        (
            shard["ShardId"],
            int(shard["HashKeyRange"]["StartingHashKey"]),
            int(shard["HashKeyRange"]["EndingHashKey"]),
            shard.get("ParentShardId"),
            shard.get("AdjacentParentShardId"),
            bool(shard["SequenceNumberRange"].get("EndingSequenceNumber")),
        )
        for shard in listed
    ]


def contents(side: Side, stream: str) -> list[Any]:
    """Return records and children of every shard, read in small pages."""
    found: list[Any] = []
    for shard_id, *_ in shards(side, stream):
        place = {"ShardId": shard_id, "ShardIteratorType": "TRIM_HORIZON"}
        iterator = side.call("GetShardIterator", StreamName=stream, **place)["ShardIterator"]
        records: list[Any] = []
        children: list[Any] | None = None
        while iterator:
            page = side.call("GetRecords", ShardIterator=iterator, Limit=3)
            records += [(record["PartitionKey"], record["Data"]) for record in page["Records"]]
            iterator = page.get("NextShardIterator")
            if not iterator:
                children = [
                    (child["ShardId"], sorted(child["ParentShards"]), child["HashKeyRange"])
                    for child in page.get("ChildShards") or ()
                ]
            elif not page["Records"]:
                break
        found.append((shard_id, records, children))
    return found


def random_put(random: Random, stream: str, step: int) -> tuple[str, dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for number in range(random.randrange(1, 5)):
        content = base64.b64encode(f"{step}.{number}".encode()).decode()
        entry = {"PartitionKey": random.choice("abcdefgh"), "Data": content}
        if random.random() < 0.3:
            entry["ExplicitHashKey"] = str(random.choice((0, TOP // 2, TOP - 1, TOP // 3)))
        entries.append(entry)
    if random.random() < 0.5:
        return "PutRecords", {"StreamName": stream, "Records": entries}
    return "PutRecord", {"StreamName": stream, **entries[0]}


def random_change(random: Random, stream: str, listed: list[Any]) -> tuple[str, dict[str, Any]]:
    one, other = random.choice(listed), random.choice(listed)
    if random.random() < 0.6:
        at = random.choice(((one[1] + one[2]) // 2 + 1, (2 * one[2] + one[1]) // 3))
        request = {"ShardToSplit": one[0], "NewStartingHashKey": str(at)}
        return "SplitShard", {"StreamName": stream, **request}
    request = {"ShardToMerge": one[0], "AdjacentShardToMerge": other[0]}
    return "MergeShards", {"StreamName": stream, **request}


def told(answer: Any) -> Any:
    """Return an answer to a put without its sequence numbers."""
    if isinstance(answer, str) or not answer:
        return answer
    return [record["ShardId"] for record in answer.get("Records", [answer])]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_puts_splits_and_merges_give_the_same_shards_and_records(
    reference: Side, seed: int
) -> None:
    random = Random(5000 + seed)
    stream = f"stream_{seed}"
    sides: tuple[Side, Side] = (ours(), reference)
    for side in sides:
        side.call("CreateStream", StreamName=stream, ShardCount=1)
        side.settled(stream)
    for step in range(STEPS):
        listed = [shards(side, stream) for side in sides]
        assert listed[0] == listed[1], f"seed {seed} step {step}"
        if random.random() < 0.7:
            operation, request = random_put(random, stream, step)
        else:
            operation, request = random_change(random, stream, listed[0])
        answers = [told(side.call(operation, **request)) for side in sides]
        assert answers[0] == answers[1], f"seed {seed} step {step} {operation} {request}"
        for side in sides:
            side.settled(stream)
    open_shards = {"ShardFilter": {"Type": "AT_LATEST"}}
    assert shards(sides[0], stream, **open_shards) == shards(sides[1], stream, **open_shards)
    assert contents(sides[0], stream) == contents(sides[1], stream), f"seed {seed}"
    reference.call("DeleteStream", StreamName=stream)
