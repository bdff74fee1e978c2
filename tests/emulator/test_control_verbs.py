"""Every verb of `/_sim/` over HTTP: what it plans is met by boto3, and what makes no sense is named."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from components import dummy_client

from emulator.clicks import Clicks
from emulator.kit import START_SECONDS, TABLE, stream_on
from triggerkit.emulator import Emulator, VirtualClock, serve
from triggerkit.emulator.control import TOKEN_HEADER, VERBS, Control

TOKEN = "a-token"
LIMIT_SECONDS = 10.0


class Remote:
    """A running endpoint with the table `orders` and the stream `clicks`, spoken to over HTTP only."""

    def __init__(self, port: int, emulator: Emulator) -> None:
        self.port = port
        self.emulator = emulator
        self._clients: dict[str, Any] = {}

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            url, once = f"http://127.0.0.1:{self.port}", {"total_max_attempts": 1}
            self._clients[service] = dummy_client(service, url, retries=once)
        return self._clients[service]

    @property
    def tables(self) -> Any:
        return self._client("dynamodb")

    @property
    def streams(self) -> Any:
        return self._client("dynamodbstreams")

    @property
    def kinesis(self) -> Any:
        return self._client("kinesis")

    @property
    def arn(self) -> str:
        (arn,) = self.emulator.stream_arns("orders")
        return arn

    def ask(self, verb: str, **request: Any) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_SECONDS)
        connection.request("POST", f"/_sim/{verb}", json.dumps(request), {TOKEN_HEADER: TOKEN})
        answer = connection.getresponse()
        told: dict[str, Any] = json.loads(answer.read())
        connection.close()
        return answer.status, told

    def told(self, verb: str, **request: Any) -> dict[str, Any]:
        status, told = self.ask(verb, **request)
        assert status == 200, told
        return told

    def put(self, *keys: str) -> None:
        for key in keys:
            self.tables.put_item(TableName="orders", Item={"pk": {"S": key}})

    def listed(self) -> list[str]:
        described = self.streams.describe_stream(StreamArn=self.arn)["StreamDescription"]
        return [shard["ShardId"] for shard in described["Shards"]]

    def page(self, shard: str | None = None) -> dict[str, Any]:
        iterator = self.streams.get_shard_iterator(
            StreamArn=self.arn,
            ShardId=shard or self.listed()[0],
            ShardIteratorType="TRIM_HORIZON",
        )["ShardIterator"]
        page: dict[str, Any] = self.streams.get_records(ShardIterator=iterator)
        return page

    def keys(self, shard: str | None = None) -> list[str]:
        return [one["dynamodb"]["Keys"]["pk"]["S"] for one in self.page(shard)["Records"]]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@pytest.fixture
def remote() -> Iterator[Remote]:
    emulator = Emulator(VirtualClock(START_SECONDS))
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    emulator.call("CreateStream", {"StreamName": "clicks", "ShardCount": 2})
    with serve(emulator, control=Control(emulator, TOKEN)) as server:
        remote = Remote(server.port, emulator)
        yield remote
        remote.close()


def test_merge_trim_and_drop_change_the_graph(remote: Remote) -> None:
    (child,) = remote.told("merge", stream="clicks")["children"]
    shards = remote.kinesis.list_shards(StreamName="clicks")["Shards"]
    assert [shard.get("AdjacentParentShardId") for shard in shards][-1] is not None
    assert shards[-1]["ShardId"] == child
    remote.put("a", "b")
    through = remote.page()["Records"][0]["dynamodb"]["SequenceNumber"]
    remote.told("trim", stream="orders", through=through)
    assert remote.keys() == ["b"]
    (root,) = remote.listed()
    remote.told("roll", stream="orders")
    remote.told("drop", stream="orders", shard=root)
    assert root not in remote.listed()


def test_advance_moves_the_time(remote: Remote) -> None:
    assert remote.told("advance", seconds=3600)["now_seconds"] == START_SECONDS + 3600


def test_hide_and_show_and_lag_and_stale_and_reorder_change_listings(remote: Remote) -> None:
    (root,) = remote.listed()
    remote.told("advance", seconds=60)
    (child,) = remote.told("roll", stream="orders")["children"]
    remote.told("hide", shard=child)
    assert remote.listed() == [root]
    remote.told("show", shard=child)
    assert remote.listed() == [root, child]
    remote.told("lag", seconds=5, spread_seconds=1)
    assert remote.listed() == [root]
    remote.told("lag", seconds=0)
    remote.told("stale", seconds=30)
    assert [remote.listed(), remote.listed()] == [[root], [root, child]]
    remote.told("reorder")
    assert sorted(remote.listed()) == [root, child]
    remote.told("reorder", on=False)
    remote.told("pages", shards=1)
    assert remote.listed() == [root]


def test_empty_pages_duplicate_and_delay_change_reads(remote: Remote) -> None:
    remote.put("a", "b")
    (shard,) = remote.listed()
    remote.told("empty", shard=shard)
    assert [remote.keys(), remote.keys()] == [[], ["a", "b"]]
    remote.told("pages", records=1)
    page = remote.page()
    assert len(page["Records"]) == 1
    remote.told("pages")
    remote.told("duplicate", records=1)
    again = remote.streams.get_records(ShardIterator=page["NextShardIterator"])["Records"]
    assert len(again) == 2
    remote.told("delay", seconds=5)
    remote.put("c")
    assert remote.keys() == []
    remote.told("advance", seconds=5)
    assert remote.keys() == ["a", "b", "c"]


def test_throttle_fail_and_limits_refuse_calls(remote: Remote) -> None:
    (shard,) = remote.listed()
    remote.told("throttle", type="LimitExceededException", shard=shard)
    with pytest.raises(remote.streams.exceptions.LimitExceededException):
        remote.page()
    remote.told("throttle", operation="PutItem", per_second=1)
    remote.put("a")
    with pytest.raises(ClientError, match="ThrottlingException"):
        remote.put("b")
    remote.told("fail", operation="Scan", type="InternalServerError", status=500)
    with pytest.raises(remote.tables.exceptions.InternalServerError):
        remote.tables.scan(TableName="orders")
    remote.told("limits", reads_per_second=2, readers=5)
    for _ in range(2):
        remote.page()
    with pytest.raises(remote.streams.exceptions.LimitExceededException, match="2 times a second"):
        remote.page()
    remote.told("limits")
    remote.page()


def test_damage_and_latency_spoil_answers(remote: Remote) -> None:
    remote.told("damage", operation="ListTables", how="reset")
    with pytest.raises(Exception, match="Connection was closed"):
        remote.tables.list_tables()
    remote.told("latency", operation="ListTables", seconds=0.2, times=1)
    began = time.monotonic()
    remote.tables.list_tables()
    middle = time.monotonic()
    remote.tables.list_tables()
    assert middle - began >= 0.2 > time.monotonic() - middle


def test_a_barrier_is_made_watched_and_released(remote: Remote) -> None:
    number = remote.told("barrier", operation="PutItem", behind=True)["barrier"]
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(remote.put, "a")
        until = time.monotonic() + LIMIT_SECONDS
        while not remote.told("barriers")["barriers"][0]["reached"]:
            assert time.monotonic() < until
        assert remote.keys() == ["a"]
        assert not held.done()
        assert remote.told("release", barrier=number) == {"released": [number]}
        held.result(LIMIT_SECONDS)
    assert remote.told("barriers") == {"barriers": []}


def test_release_without_a_number_and_clear_release_all(remote: Remote) -> None:
    for _ in range(2):
        remote.told("barrier", operation="PutItem")
    assert len(remote.told("release")["released"]) == 2
    remote.told("barrier", operation="PutItem")
    remote.told("throttle", operation="PutItem", times=9)
    remote.told("clear")
    remote.put("a")


def test_the_log_is_told_and_its_controls_are_not_in_it(remote: Remote) -> None:
    remote.put("a", "b")
    calls = remote.told("log", operation="PutItem")["calls"]
    assert [call["asked"] for call in calls] == [{"TableName": "orders"}] * 2
    assert [call["outcome"] for call in calls] == ["ok", "ok"]
    later = remote.told("log", after=calls[0]["number"])["calls"]
    assert [call["number"] for call in later] == [calls[1]["number"]]
    assert len(remote.told("log", limit=1)["calls"]) == 1


@pytest.mark.parametrize(
    ("verb", "request_", "said"),
    [
        ("merge", {"stream": "orders"}, "a table's stream, whose shards never merge"),
        ("merge", {"stream": "clicks", "shard": "none"}, "none is no open shard of clicks"),
        ("trim", {"stream": "orders", "through": "x"}, "through is 'x'; write a sequence number"),
        ("drop", {"stream": "orders"}, "drop needs 'shard': a text"),
        ("advance", {}, "seconds is missing; write a number from 0"),
        ("advance", {"seconds": -1}, "seconds is -1; write a number from 0"),
        ("delay", {"seconds": "5"}, "seconds is '5'"),
        ("delay", {"seconds": True}, "seconds is True"),
        ("lag", {"seconds": 1e99}, "seconds is 1e+99"),
        ("empty", {"times": 10**9}, "times is 1000000000, at most 10000"),
        ("empty", {"shard": "nowhere"}, "shard is 'nowhere', which no stream has"),
        ("pages", {"records": 0}, "records is 0; write a whole number from 1"),
        ("duplicate", {"records": 1.5}, "records is 1.5"),
        ("hide", {}, "hide needs 'shard'"),
        ("hide", {"shard": "nowhere"}, "which no stream has"),
        ("show", {"shard": "nowhere"}, "which is not hidden"),
        ("damage", {"how": "burnt"}, "how is 'burnt'; write one of 'truncated'"),
        ("latency", {"operation": "GetRecords"}, "seconds is missing"),
        ("fail", {"operation": "Scan"}, "fail needs 'type'"),
        ("fail", {"type": "X"}, "fail needs 'operation'"),
        (
            "fail",
            {"operation": "Scan", "type": "X", "status": 200},
            "status is 200; write one from",
        ),
        ("throttle", {"per_second": 2, "times": 3}, "per_second is a rate of all calls"),
        ("throttle", {"tims": 2}, "throttle has no member 'tims'; did you mean times?"),
        ("ping", {"loud": True}, "ping has no member 'loud'; known: none"),
        ("barrier", {}, "barrier needs 'operation', such as PutItem"),
        ("barrier", {"operation": "PutItem", "behind": 1}, "behind is 1; write true or false"),
        ("release", {"barrier": 7}, "barrier is 7, which is not there"),
        ("log", {"operation": "Nonsense"}, "there is no operation 'Nonsense'"),
        ("ttl", {"table": "orders", "key": "a"}, "ttl needs 'key': a JSON object"),
    ],
)
def test_what_makes_no_sense_is_named_with_its_fix(
    remote: Remote, verb: str, request_: dict[str, Any], said: str
) -> None:
    status, told = remote.ask(verb, **request_)
    assert (status, said in told["message"]) == (400, True), told
    assert remote.told("barriers") == {"barriers": []}


def test_no_verb_does_anything_without_the_token() -> None:
    clicks = Clicks()
    control = Control(clicks.emulator, TOKEN)
    for verb in VERBS:
        assert control.answer(f"/_sim/{verb}", {}, b"{}").status == 403
        assert control.answer(f"/_sim/{verb}", {TOKEN_HEADER: "x"}, b"{}").status == 403
