"""Members of Kinesis requests that AWS's model does not allow, and numbers that belong to another shard."""

from __future__ import annotations

from typing import Any

import pytest

from triggerkit.emulator import Emulator, EmulatorError, VirtualClock

MIDDLE = 2**127
FIRST = "shardId-000000000000"
SECOND = "shardId-000000000001"


@pytest.fixture
def emulator() -> Emulator:
    """Two shards, with a record in each."""
    made = Emulator(VirtualClock())
    made.call("Kinesis_20131202.CreateStream", {"StreamName": "clicks", "ShardCount": 2})
    return made


def ask(emulator: Emulator, operation: str, **request: Any) -> dict[str, Any]:
    whole = {"StreamName": "clicks", **request}
    return emulator.call(f"Kinesis_20131202.{operation}", whole)


def put(emulator: Emulator, hash_key: int) -> str:
    request = {"PartitionKey": "a", "Data": "YQ==", "ExplicitHashKey": str(hash_key)}
    number: str = ask(emulator, "PutRecord", **request)["SequenceNumber"]
    return number


def refusal(emulator: Emulator, operation: str, **request: Any) -> str:
    with pytest.raises(EmulatorError) as caught:
        ask(emulator, operation, **request)
    return caught.value.type


@pytest.mark.parametrize("given", ["-1", "one", "007", "", " 1", "1" * 40])
def test_a_hash_key_that_is_no_number_is_refused_by_the_model(
    emulator: Emulator, given: str
) -> None:
    record = {"PartitionKey": "a", "Data": "YQ==", "ExplicitHashKey": given}
    assert refusal(emulator, "PutRecord", **record) == "ValidationException"
    split = {"ShardToSplit": FIRST, "NewStartingHashKey": given}
    assert refusal(emulator, "SplitShard", **split) == "ValidationException"


@pytest.mark.parametrize("given", ["a b", "", "x" * 129])
def test_a_shard_id_that_cannot_be_one_is_refused_before_it_is_looked_for(
    emulator: Emulator, given: str
) -> None:
    place = {"ShardId": given, "ShardIteratorType": "LATEST"}
    assert refusal(emulator, "GetShardIterator", **place) == "ValidationException"
    assert refusal(emulator, "ListShards", ExclusiveStartShardId=given) == "ValidationException"
    merge = {"ShardToMerge": FIRST, "AdjacentShardToMerge": given}
    assert refusal(emulator, "MergeShards", **merge) == "ValidationException"


@pytest.mark.parametrize("kind", ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"])
def test_a_number_of_another_shard_is_refused_although_it_lies_between_those_of_this_one(
    emulator: Emulator, kind: str
) -> None:
    put(emulator, 0)
    other = put(emulator, MIDDLE)
    put(emulator, 0)
    place = {"ShardIteratorType": kind, "StartingSequenceNumber": other}
    assert ask(emulator, "GetShardIterator", ShardId=SECOND, **place)["ShardIterator"]
    assert refusal(emulator, "GetShardIterator", ShardId=FIRST, **place) == (
        "InvalidArgumentException"
    )


@pytest.mark.parametrize("kind", ["LATEST", "TRIM_HORIZON"])
def test_a_number_beside_a_type_that_takes_none_is_refused(emulator: Emulator, kind: str) -> None:
    place = {"ShardId": FIRST, "ShardIteratorType": kind}
    place["StartingSequenceNumber"] = put(emulator, 0)
    assert refusal(emulator, "GetShardIterator", **place) == "InvalidArgumentException"


def test_a_hash_key_past_the_top_is_told_once_there_is_a_stream(emulator: Emulator) -> None:
    record = {"PartitionKey": "a", "Data": "YQ==", "ExplicitHashKey": str(2**128)}
    assert refusal(emulator, "PutRecord", **record) == "InvalidArgumentException"
    assert refusal(emulator, "PutRecord", StreamName="nobody", **record) == (
        "ResourceNotFoundException"
    )
