"""Kinesis: routing, lineage, ends of shards, iterators, limits."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from components import dummy_client

from emulator.clicks import FIRST, TOP, Clicks
from emulator.kit import START_SECONDS
from triggerkit.emulator import Emulator, EmulatorError, attach


def wrong(clicks: Clicks, operation: str, **request: Any) -> EmulatorError:
    with pytest.raises(EmulatorError) as caught:
        clicks.on(operation, **request)
    return caught.value


def test_a_stream_is_described_with_shards_that_cover_all_hash_keys() -> None:
    clicks = Clicks(shards=3)
    stream = clicks.on("DescribeStream")["StreamDescription"]
    assert stream["StreamStatus"] == "ACTIVE"
    assert stream["StreamARN"] == "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
    edges = [
        (int(shard["HashKeyRange"]["StartingHashKey"]), int(shard["HashKeyRange"]["EndingHashKey"]))
        for shard in stream["Shards"]
    ]
    assert edges[0][0] == 0
    assert edges[-1][1] == TOP - 1
    assert [low for low, _ in edges[1:]] == [high + 1 for _, high in edges[:-1]]
    assert stream["HasMoreShards"] is False
    summary = clicks.on("DescribeStreamSummary")["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 3
    assert clicks.on("DescribeStream", Limit=1)["StreamDescription"]["HasMoreShards"] is True
    by_arn = clicks.call("DescribeStreamSummary", StreamARN=stream["StreamARN"])
    assert by_arn["StreamDescriptionSummary"] == summary


def test_a_stream_on_demand_begins_with_four_shards() -> None:
    clicks = Clicks()
    clicks.call("CreateStream", StreamName="demand", StreamModeDetails={"StreamMode": "ON_DEMAND"})
    summary = clicks.call("DescribeStreamSummary", StreamName="demand")["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 4
    assert summary["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert clicks.call("ListStreams")["StreamNames"] == ["clicks", "demand"]


def test_a_record_is_read_as_it_was_put() -> None:
    clicks = Clicks()
    put = clicks.put("a", "hello")
    record = clicks.page(clicks.iterator(FIRST))["Records"][0]
    assert record == {
        "SequenceNumber": put["SequenceNumber"],
        "ApproximateArrivalTimestamp": START_SECONDS,
        "Data": base64.b64encode(b"hello").decode(),
        "PartitionKey": "a",
    }
    assert len(put["SequenceNumber"]) == 56


def test_records_go_to_the_shard_of_their_hash_key() -> None:
    clicks = Clicks(shards=2)
    records = [{"PartitionKey": str(number), "Data": "YQ=="} for number in range(40)]
    answer = clicks.on("PutRecords", Records=records)
    assert answer["FailedRecordCount"] == 0
    chosen = {record["ShardId"] for record in answer["Records"]}
    assert chosen == set(clicks.shard_ids())
    middle = TOP // 2
    for place, shard in ((0, 0), (middle - 1, 0), (middle, 1), (TOP - 1, 1)):
        put = clicks.put("x", ExplicitHashKey=str(place))
        assert put["ShardId"] == clicks.shard_ids()[shard]


def test_a_split_goes_on_in_two_children_and_the_parent_ends() -> None:
    clicks = Clicks()
    clicks.put("a")
    clicks.on("SplitShard", ShardToSplit=FIRST, NewStartingHashKey=str(TOP // 2))
    shards = clicks.on("ListShards")["Shards"]
    assert [shard.get("ParentShardId") for shard in shards] == [None, FIRST, FIRST]
    assert "EndingSequenceNumber" in shards[0]["SequenceNumberRange"]
    page = clicks.page(clicks.iterator(FIRST))
    assert "NextShardIterator" not in page
    assert [child["ShardId"] for child in page["ChildShards"]] == clicks.shard_ids()[1:]
    assert page["ChildShards"][0]["ParentShards"] == [FIRST]
    assert clicks.put("a")["ShardId"] in clicks.shard_ids()[1:]


def test_a_merge_goes_on_in_one_child_of_two_parents() -> None:
    clicks = Clicks(shards=2)
    first, second = clicks.shard_ids()
    clicks.on("MergeShards", ShardToMerge=first, AdjacentShardToMerge=second)
    child = clicks.on("ListShards")["Shards"][2]
    assert (child["ParentShardId"], child["AdjacentParentShardId"]) == (first, second)
    assert child["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(TOP - 1)}
    for parent in (first, second):
        children = clicks.page(clicks.iterator(parent))["ChildShards"]
        assert [each["ShardId"] for each in children] == [child["ShardId"]]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 4), (4, 3), (3, 5), (4, 2), (2, 2)])
def test_a_stream_is_scaled_to_even_shards(before: int, after: int) -> None:
    clicks = Clicks(shards=before)
    answer = clicks.on("UpdateShardCount", TargetShardCount=after, ScalingType="UNIFORM_SCALING")
    assert (answer["CurrentShardCount"], answer["TargetShardCount"]) == (before, after)
    latest = clicks.on("ListShards", ShardFilter={"Type": "AT_LATEST"})["Shards"]
    starts = [int(shard["HashKeyRange"]["StartingHashKey"]) for shard in latest]
    assert sorted(starts) == [TOP * index // after for index in range(after)]


def test_shards_are_listed_by_filters_and_pages() -> None:
    clicks = Clicks()
    clicks.emulator.advance(60)
    clicks.on("SplitShard", ShardToSplit=FIRST, NewStartingHashKey=str(TOP // 2))
    every = clicks.shard_ids()
    asked = {
        "AT_LATEST": every[1:],
        "AT_TRIM_HORIZON": every[:1],
        "FROM_TRIM_HORIZON": every,
    }
    for kind, listed in asked.items():
        assert clicks.shard_ids(ShardFilter={"Type": kind}) == listed
    after = {"Type": "AFTER_SHARD_ID", "ShardId": every[0]}
    assert clicks.shard_ids(ShardFilter=after) == every[1:]
    then = {"Type": "AT_TIMESTAMP", "Timestamp": START_SECONDS + 30}
    assert clicks.shard_ids(ShardFilter=then) == every[:1]
    since = {"Type": "FROM_TIMESTAMP", "Timestamp": START_SECONDS + 61}
    assert clicks.shard_ids(ShardFilter=since) == every[1:]
    first = clicks.on("ListShards", MaxResults=2)
    assert [shard["ShardId"] for shard in first["Shards"]] == every[:2]
    rest = clicks.call("ListShards", NextToken=first["NextToken"])
    assert [shard["ShardId"] for shard in rest["Shards"]] == every[2:]
    assert "NextToken" not in rest


def test_every_kind_of_iterator_starts_where_it_says() -> None:
    clicks = Clicks()
    numbers = []
    for key in "abc":
        numbers.append(clicks.put(key)["SequenceNumber"])
        clicks.emulator.advance(10)
    at = {"StartingSequenceNumber": numbers[1]}
    assert clicks.keys(FIRST) == ["a", "b", "c"]
    assert clicks.keys(FIRST, "LATEST") == []
    assert clicks.keys(FIRST, "AT_SEQUENCE_NUMBER", **at) == ["b", "c"]
    assert clicks.keys(FIRST, "AFTER_SEQUENCE_NUMBER", **at) == ["c"]
    assert clicks.keys(FIRST, "AT_TIMESTAMP", Timestamp=START_SECONDS + 10) == ["b", "c"]
    limited = clicks.page(clicks.iterator(FIRST), Limit=1)
    assert limited["MillisBehindLatest"] == 20_000
    assert clicks.page(limited["NextShardIterator"])["MillisBehindLatest"] == 0


def test_iterators_expire_and_records_are_forgotten() -> None:
    clicks = Clicks()
    clicks.put("a")
    iterator = clicks.iterator(FIRST)
    clicks.emulator.advance(301)
    with pytest.raises(EmulatorError, match="ExpiredIteratorException"):
        clicks.page(iterator)
    clicks.emulator.advance(24 * 3600)
    assert clicks.keys(FIRST) == []


@pytest.mark.parametrize("path", [None, "state.db"])
def test_a_longer_retention_keeps_records_and_shards(tmp_path: Path, path: str | None) -> None:
    clicks = Clicks(path=tmp_path / path if path else None)
    clicks.put("a")
    clicks.emulator.roll("clicks")
    clicks.on("IncreaseStreamRetentionPeriod", RetentionPeriodHours=48)
    clicks.emulator.advance(47 * 3600)
    if path:
        clicks.emulator.close()
        clicks = Clicks(path=tmp_path / path)
    assert (
        clicks.on("DescribeStreamSummary")["StreamDescriptionSummary"]["RetentionPeriodHours"] == 48
    )
    assert clicks.keys(FIRST) == ["a"]
    clicks.emulator.advance(49 * 3600)
    assert FIRST not in clicks.shard_ids()
    clicks.emulator.close()


def test_a_shorter_retention_forgets_what_is_older() -> None:
    clicks = Clicks()
    clicks.on("IncreaseStreamRetentionPeriod", RetentionPeriodHours=100)
    clicks.put("a")
    clicks.emulator.advance(30 * 3600)
    clicks.on("DecreaseStreamRetentionPeriod", RetentionPeriodHours=24)
    clicks.emulator.advance(1)
    assert clicks.keys(FIRST) == []


def test_the_retention_ends_with_the_stream() -> None:
    clicks = Clicks()
    clicks.on("IncreaseStreamRetentionPeriod", RetentionPeriodHours=100)
    clicks.on("DeleteStream")
    clicks.on("CreateStream", ShardCount=1)
    summary = clicks.on("DescribeStreamSummary")["StreamDescriptionSummary"]
    assert summary["RetentionPeriodHours"] == 24


@pytest.mark.parametrize(
    ("operation", "hours"),
    [
        ("IncreaseStreamRetentionPeriod", 36),
        ("IncreaseStreamRetentionPeriod", 8761),
        ("DecreaseStreamRetentionPeriod", 60),
        ("DecreaseStreamRetentionPeriod", 23),
    ],
)
def test_a_retention_that_makes_no_sense_is_refused(operation: str, hours: int) -> None:
    clicks = Clicks()
    clicks.on("IncreaseStreamRetentionPeriod", RetentionPeriodHours=48)
    error = wrong(clicks, operation, RetentionPeriodHours=hours)
    assert (error.type, str(hours) in error.message) == ("InvalidArgumentException", True)


def test_a_shard_takes_so_many_records_a_second_only() -> None:
    clicks = Clicks(shards=2)
    clicks.emulator.faults.limit_writes(records_per_second=2)
    low, high = ({"PartitionKey": "x", "ExplicitHashKey": place} for place in ("0", str(TOP - 1)))
    records = [{**each, "Data": "eA=="} for each in (low, low, low, high)]
    answer = clicks.on("PutRecords", Records=records)
    assert answer["FailedRecordCount"] == 1
    assert [each.get("ErrorCode") for each in answer["Records"]] == [
        None, None, "ProvisionedThroughputExceededException", None,
    ]  # fmt: skip
    error = wrong(clicks, "PutRecord", Data="eA==", **low)
    assert "written more than 2 times a second" in error.message
    clicks.emulator.advance(1)
    clicks.on("PutRecord", Data="eA==", **low)
    assert len(clicks.keys(FIRST)) == 3


def test_a_shard_takes_so_many_bytes_a_second_only() -> None:
    clicks = Clicks()
    clicks.emulator.faults.limit_writes(bytes_per_second=1000)
    clicks.put("a", "x" * 2000)
    with pytest.raises(EmulatorError, match="this shard is written more than 1000 bytes a second"):
        clicks.put("b")
    clicks.emulator.faults.clear()
    clicks.put("b")


def test_a_page_holds_ten_megabytes() -> None:
    clicks = Clicks()
    for number in range(12):
        clicks.put(str(number), "x" * 950_000)
    page = clicks.page(clicks.iterator(FIRST))
    assert len(page["Records"]) == 11
    assert len(clicks.page(page["NextShardIterator"])["Records"]) == 1


@pytest.mark.parametrize(
    ("operation", "request_", "error"),
    [
        ("CreateStream", {"ShardCount": 1}, "ResourceInUseException"),
        ("PutRecord", {"PartitionKey": "", "Data": ""}, "ValidationException"),
        ("PutRecord", {"PartitionKey": "a" * 257, "Data": ""}, "ValidationException"),
        ("PutRecord", {"PartitionKey": "a", "Data": "!"}, "SerializationException"),
        (
            "PutRecord",
            {"PartitionKey": "a", "Data": "", "ExplicitHashKey": str(TOP)},
            "InvalidArgumentException",
        ),
        (
            "PutRecord",
            {"PartitionKey": "a", "Data": base64.b64encode(b"x" * 2**20).decode()},
            "ValidationException",
        ),
        ("PutRecords", {"Records": []}, "ValidationException"),
        (
            "PutRecords",
            {"Records": [{"PartitionKey": "a", "Data": ""}] * 501},
            "ValidationException",
        ),
        (
            "GetShardIterator",
            {"ShardId": "shardId-000000000009", "ShardIteratorType": "LATEST"},
            "ResourceNotFoundException",
        ),
        (
            "GetShardIterator",
            {"ShardId": FIRST, "ShardIteratorType": "AT_SEQUENCE_NUMBER"},
            "InvalidArgumentException",
        ),
        (
            "GetShardIterator",
            {
                "ShardId": FIRST,
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": "1",
            },
            "InvalidArgumentException",
        ),
        (
            "GetShardIterator",
            {
                "ShardId": FIRST,
                "ShardIteratorType": "AT_TIMESTAMP",
                "Timestamp": START_SECONDS + 60,
            },
            "InvalidArgumentException",
        ),
        ("GetRecords", {"ShardIterator": "nonsense"}, "InvalidArgumentException"),
        ("GetRecords", {"ShardIterator": "x", "Limit": 10_001}, "ValidationException"),
        (
            "SplitShard",
            {"ShardToSplit": FIRST, "NewStartingHashKey": "1"},
            "InvalidArgumentException",
        ),
        (
            "MergeShards",
            {"ShardToMerge": FIRST, "AdjacentShardToMerge": FIRST},
            "InvalidArgumentException",
        ),
        (
            "UpdateShardCount",
            {"TargetShardCount": 3, "ScalingType": "UNIFORM_SCALING"},
            "InvalidArgumentException",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    operation: str, request_: dict[str, Any], error: str
) -> None:
    assert wrong(Clicks(), operation, **request_).type == error


def test_a_closed_shard_is_not_split_again() -> None:
    clicks = Clicks()
    clicks.emulator.roll("clicks")
    error = wrong(clicks, "SplitShard", ShardToSplit=FIRST, NewStartingHashKey=str(TOP // 2))
    assert error.type == "ResourceInUseException"


def test_a_deleted_stream_is_gone() -> None:
    clicks = Clicks()
    clicks.on("DeleteStream")
    assert wrong(clicks, "DescribeStream").type == "ResourceNotFoundException"
    assert clicks.call("ListStreams")["StreamNames"] == []


def test_streams_of_tables_and_of_kinesis_do_not_mix() -> None:
    clicks = Clicks()
    assert clicks.emulator.call("DynamoDBStreams_20120810.ListStreams", {}) == {"Streams": []}
    arn = clicks.on("DescribeStream")["StreamDescription"]["StreamARN"]
    with pytest.raises(EmulatorError, match="ResourceNotFoundException"):
        clicks.emulator.call("DynamoDBStreams_20120810.DescribeStream", {"StreamArn": arn})


def test_streams_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "dev.db"
    clicks = Clicks(path=path)
    clicks.put("a")
    clicks.on("SplitShard", ShardToSplit=FIRST, NewStartingHashKey=str(TOP // 2))
    clicks.put("b")
    iterator = clicks.iterator(FIRST)
    shards = clicks.on("ListShards")["Shards"]
    clicks.emulator.close()
    again = Clicks(path=path)
    assert again.on("ListShards")["Shards"] == shards
    assert [record["PartitionKey"] for record in again.page(iterator)["Records"]] == ["a"]
    clicks_of_child = again.put("b")
    assert clicks_of_child["ShardId"] in again.shard_ids()[1:]
    again.emulator.close()


def test_boto3_speaks_to_it() -> None:
    client = dummy_client("kinesis", "http://127.0.0.1:9")
    attach(client, Emulator())
    client.create_stream(StreamName="clicks", ShardCount=1)
    client.put_record(StreamName="clicks", PartitionKey="a", Data=b"hello")
    iterator = client.get_shard_iterator(
        StreamName="clicks", ShardId=FIRST, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = client.get_records(ShardIterator=iterator)["Records"]
    assert [record["Data"] for record in records] == [b"hello"]
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_stream(StreamName="absent")
