"""Requests to Kinesis at the edges of what it takes, each against a stream that was split once.

The stream `odd` has shard 0, closed, and its children 1 and 2, with records in all three.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emulator.kinesis_sides import KinesisSide

STREAM = "odd"
TOP = 2**128
MIDDLE = TOP // 2
OLDEST = 1_000_000_000
CHANGING = frozenset(
    {
        "CreateStream",
        "DeleteStream",
        "SplitShard",
        "MergeShards",
        "UpdateShardCount",
        "IncreaseStreamRetentionPeriod",
        "DecreaseStreamRetentionPeriod",
        "PutRecords",
    }
)
"""What may leave other streams behind than it found, or many records in them."""
LARGEST = "more than 5 MB"
ITERATOR = "the iterator"
"""Stands for an iterator of the side that is asked."""
OWN_NUMBER = "the number of a record of shard 1"
OTHER_NUMBER = "the number of a record of shard 2"


def shard(number: int) -> str:
    return f"shardId-{number:012d}"


def prepare(side: KinesisSide) -> None:
    """Make the stream as the requests expect it, and nothing else."""
    side.clean()
    side.call("CreateStream", StreamName=STREAM, ShardCount=1)
    side.settled(STREAM)
    put = {"StreamName": STREAM, "Data": "YQ=="}
    side.call("PutRecord", PartitionKey="a", **put)
    at = {"ShardToSplit": shard(0), "NewStartingHashKey": str(MIDDLE)}
    side.call("SplitShard", StreamName=STREAM, **at)
    side.settled(STREAM)
    for name, key in ((OWN_NUMBER, 0), (OTHER_NUMBER, MIDDLE), ("another", 1)):
        told = side.call("PutRecord", PartitionKey="b", ExplicitHashKey=str(key), **put)
        side.numbers[name] = told["SequenceNumber"]
    place = {"ShardId": shard(1), "ShardIteratorType": "TRIM_HORIZON"}
    told = side.call("GetShardIterator", StreamName=STREAM, **place)
    side.iterators[ITERATOR] = told["ShardIterator"]


def filled(side: KinesisSide, request: dict[str, Any]) -> dict[str, Any]:
    """Return a request with what only this side calls so."""
    own = {**side.iterators, **side.numbers}
    return {
        name: own.get(value, value) if isinstance(value, str) else value
        for name, value in request.items()
    }


def shape(answer: Any) -> str:
    """Return an answer's error, or which members it has."""
    return answer if isinstance(answer, str) else " ".join(["ok", *sorted(set(_members(answer)))])


def _members(answer: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in answer.items():
        if value is None:
            continue
        yield above + name
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from _members(each, f"{above}{name}.")


def edges(side: KinesisSide, count: int, target: int) -> str:
    """Return where the open shards begin of a stream made with `count` shards and scaled to `target`."""
    side.clean()
    side.call("CreateStream", StreamName=STREAM, ShardCount=count)
    side.settled(STREAM)
    if target != count:
        scaled = {"TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"}
        side.call("UpdateShardCount", StreamName=STREAM, **scaled)
        side.settled(STREAM)
    shards = side.call("ListShards", StreamName=STREAM)["Shards"]
    begins = [
        int(each["HashKeyRange"]["StartingHashKey"])
        for each in shards
        if not each["SequenceNumberRange"].get("EndingSequenceNumber")
    ]
    return str(sorted(begins))


def second_page(side: KinesisSide) -> str:
    """Return what the next page of open shards holds first, where a closed one would come."""
    prepare(side)
    at = {"ShardToSplit": shard(2), "NewStartingHashKey": str(MIDDLE + 99)}
    side.call("SplitShard", StreamName=STREAM, **at)
    side.settled(STREAM)
    wanted = {"ShardFilter": {"Type": "AT_LATEST"}, "MaxResults": 1}
    first = side.call("ListShards", StreamName=STREAM, **wanted)
    second = side.call("ListShards", NextToken=first["NextToken"], MaxResults=1)
    return str([page["Shards"][0]["ShardId"] for page in (first, second)])


def unknown_to_kinesalite(odd: str, operation: str, request: dict[str, Any]) -> bool:
    """Tell whether kinesalite 3.3.3 is too old for a request, or dies of it."""
    younger = operation == "UpdateShardCount" or "ShardFilter" in request
    return younger or (operation, odd) == ("ListShards", "a bad token")


def odd_requests() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield what is odd, the operation and the request."""
    for part in (_streams, _records, _listings, _iterators, _changes):
        for operation, odd, request in part():
            yield odd, operation, request


def _streams() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for operation in ("DescribeStream", "DescribeStreamSummary", "DeleteStream"):
        yield operation, "an ordinary one", {"StreamName": STREAM}
        yield operation, "no stream", {"StreamName": "nobody"}
        yield operation, "no name", {}
    for odd, request in (
        ("a name that is taken", {"StreamName": STREAM, "ShardCount": 1}),
        ("no count", {"StreamName": "other"}),
        ("no name", {"ShardCount": 1}),
        ("a count of 0", {"StreamName": "other", "ShardCount": 0}),
        ("a bad name", {"StreamName": "o o", "ShardCount": 1}),
        ("a long name", {"StreamName": "o" * 129, "ShardCount": 1}),
        ("an empty name", {"StreamName": "", "ShardCount": 1}),
        ("a count in words", {"StreamName": "other", "ShardCount": "one"}),
        ("an even count", {"StreamName": "other", "ShardCount": 2}),
    ):
        yield "CreateStream", odd, request
    yield "ListStreams", "an ordinary one", {}
    for odd, request in (
        ("behind a name that is not there", {"ExclusiveStartStreamName": "nnn"}),
        ("behind the only one", {"ExclusiveStartStreamName": STREAM}),
        ("a limit of 0", {"Limit": 0}),
        ("a limit too high", {"Limit": 10_001}),
    ):
        yield "ListStreams", odd, request
    for odd, request in (("a limit of 0", {"Limit": 0}), ("a limit too high", {"Limit": 10_001})):
        yield "DescribeStream", odd, {"StreamName": STREAM, **request}


def _records() -> Iterator[tuple[str, str, dict[str, Any]]]:
    put = {"StreamName": STREAM, "PartitionKey": "a", "Data": "YQ=="}
    yield "PutRecord", "an ordinary one", put
    for odd, changed in (
        ("no stream", {"StreamName": "nobody"}),
        ("an empty key", {"PartitionKey": ""}),
        ("a key of 256", {"PartitionKey": "k" * 256}),
        ("a key of 257", {"PartitionKey": "k" * 257}),
        ("a hash key past the top", {"ExplicitHashKey": str(TOP)}),
        ("the top hash key", {"ExplicitHashKey": str(TOP - 1)}),
        ("a negative hash key", {"ExplicitHashKey": "-1"}),
        ("a hash key in words", {"ExplicitHashKey": "one"}),
        ("a hash key with zeros", {"ExplicitHashKey": "007"}),
        ("empty data", {"Data": ""}),
        ("data that is not base64", {"Data": "!!!!"}),
        ("data too large", {"Data": "A" * 4 * 349_526}),
    ):
        yield "PutRecord", odd, put | changed
    for name in put:
        yield "PutRecord", f"no {name}", {each: put[each] for each in put if each != name}
    one = {"PartitionKey": "a", "Data": "YQ=="}
    for odd, listed in (
        ("an ordinary one", [one, one]),
        ("no record", []),
        ("500 records", [one] * 500),
        ("501 records", [one] * 501),
        ("one with an empty key", [one, one | {"PartitionKey": ""}]),
        ("one with a bad hash key", [one, one | {"ExplicitHashKey": str(TOP)}]),
        (LARGEST, [one | {"Data": "A" * 4 * 294_500}] * 6),
    ):
        yield "PutRecords", odd, {"StreamName": STREAM, "Records": listed}
    yield "PutRecords", "no Records", {"StreamName": STREAM}
    yield "GetRecords", "an ordinary one", {"ShardIterator": ITERATOR}
    for limit in (-1, 0, 1, 10_000, 10_001):
        yield "GetRecords", f"a limit of {limit}", {"ShardIterator": ITERATOR, "Limit": limit}
    yield "GetRecords", "no iterator", {}
    yield "GetRecords", "an empty iterator", {"ShardIterator": ""}
    yield "GetRecords", "a bad iterator", {"ShardIterator": "nonsense"}


def _listings() -> Iterator[tuple[str, str, dict[str, Any]]]:
    of = {"StreamName": STREAM}
    yield "ListShards", "an ordinary one", of
    yield "ListShards", "no stream", {"StreamName": "nobody"}
    yield "ListShards", "no name", {}
    for odd, request in (
        ("a limit of 0", {"MaxResults": 0}),
        ("a limit too high", {"MaxResults": 10_001}),
        ("a name and a token", {"NextToken": "nonsense"}),
        ("behind a shard that is not there", {"ExclusiveStartShardId": shard(77)}),
        ("behind a bad shard id", {"ExclusiveStartShardId": "a b"}),
    ):
        yield "ListShards", odd, of | request
    yield "ListShards", "a bad token", {"NextToken": "nonsense"}
    for odd, asked in (
        ("an unknown filter", {"Type": "SOME"}),
        ("a filter without a type", {"ShardId": shard(0)}),
        ("AFTER_SHARD_ID without one", {"Type": "AFTER_SHARD_ID"}),
        ("AFTER_SHARD_ID of none", {"Type": "AFTER_SHARD_ID", "ShardId": shard(77)}),
        ("AT_TIMESTAMP without one", {"Type": "AT_TIMESTAMP"}),
        ("FROM_TIMESTAMP without one", {"Type": "FROM_TIMESTAMP"}),
        ("AT_TRIM_HORIZON", {"Type": "AT_TRIM_HORIZON"}),
        ("AT_LATEST", {"Type": "AT_LATEST"}),
        ("FROM_TRIM_HORIZON", {"Type": "FROM_TRIM_HORIZON"}),
        ("FROM_TIMESTAMP long ago", {"Type": "FROM_TIMESTAMP", "Timestamp": OLDEST}),
        ("AT_TIMESTAMP long ago", {"Type": "AT_TIMESTAMP", "Timestamp": OLDEST}),
    ):
        yield "ListShards", odd, of | {"ShardFilter": asked}


def _iterators() -> Iterator[tuple[str, str, dict[str, Any]]]:
    of = {"StreamName": STREAM, "ShardId": shard(1), "ShardIteratorType": "LATEST"}
    at = {"ShardIteratorType": "AT_SEQUENCE_NUMBER"}
    after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER"}
    then = {"ShardIteratorType": "AT_TIMESTAMP"}
    yield "GetShardIterator", "an ordinary one", of
    for name in of:
        yield "GetShardIterator", f"no {name}", {each: of[each] for each in of if each != name}
    for odd, changed in (
        ("no stream", {"StreamName": "nobody"}),
        ("a shard that is not there", {"ShardId": shard(77)}),
        ("a bad shard id", {"ShardId": "a b"}),
        ("an unknown type", {"ShardIteratorType": "SOME"}),
        ("AT without a number", at),
        ("AFTER without a number", after),
        ("AT the number of a record", at | {"StartingSequenceNumber": OWN_NUMBER}),
        ("AFTER the number of a record", after | {"StartingSequenceNumber": OWN_NUMBER}),
        ("AT a number of another shard", at | {"StartingSequenceNumber": OTHER_NUMBER}),
        ("AFTER a number of another shard", after | {"StartingSequenceNumber": OTHER_NUMBER}),
        ("AT a number in words", at | {"StartingSequenceNumber": "one"}),
        ("AT number 0", at | {"StartingSequenceNumber": "0"}),
        ("a number that is not asked for", {"StartingSequenceNumber": OWN_NUMBER}),
        ("AT_TIMESTAMP without one", then),
        ("AT_TIMESTAMP long ago", then | {"Timestamp": OLDEST}),
        ("AT_TIMESTAMP in the future", then | {"Timestamp": 4_000_000_000}),
    ):
        yield "GetShardIterator", odd, of | changed


def _changes() -> Iterator[tuple[str, str, dict[str, Any]]]:
    of = {"StreamName": STREAM}
    for odd, parent, key in (
        ("a closed shard", 0, "5"),
        ("a shard that is not there", 77, "5"),
        ("the first hash key", 1, "0"),
        ("behind the first hash key", 1, "1"),
        ("two behind the first hash key", 1, "2"),
        ("before the last hash key", 1, str(MIDDLE - 2)),
        ("the last hash key", 1, str(MIDDLE - 1)),
        ("a hash key of the next shard", 1, str(MIDDLE)),
        ("a hash key in words", 1, "one"),
        ("a hash key past the top", 2, str(TOP)),
    ):
        request = {"ShardToSplit": shard(parent), "NewStartingHashKey": key}
        yield "SplitShard", odd, of | request
    for odd, one, other in (
        ("neighbours", 1, 2),
        ("neighbours in the wrong order", 2, 1),
        ("a shard with itself", 1, 1),
        ("a closed shard", 0, 1),
        ("with a closed shard", 1, 0),
        ("a shard that is not there", 77, 1),
        ("with a shard that is not there", 1, 77),
    ):
        request = {"ShardToMerge": shard(one), "AdjacentShardToMerge": shard(other)}
        yield "MergeShards", odd, of | request
    for odd, changed in (
        ("to double", {"TargetShardCount": 4}),
        ("to three halves", {"TargetShardCount": 3}),
        ("to half", {"TargetShardCount": 1}),
        ("to the same", {"TargetShardCount": 2}),
        ("to more than double", {"TargetShardCount": 5}),
        ("to none", {"TargetShardCount": 0}),
        ("no target", {}),
    ):
        request = {"ScalingType": "UNIFORM_SCALING", **changed}
        yield "UpdateShardCount", odd, of | request
    yield "UpdateShardCount", "no scaling type", of | {"TargetShardCount": 4}
    yield "UpdateShardCount", "unknown", of | {"TargetShardCount": 4, "ScalingType": "SOME"}
    for operation in ("IncreaseStreamRetentionPeriod", "DecreaseStreamRetentionPeriod"):
        for hours in (0, 23, 24, 25, 8760, 8761):
            yield operation, f"{hours} hours", of | {"RetentionPeriodHours": hours}
        yield operation, "no hours", of
        yield operation, "no stream", {"StreamName": "nobody", "RetentionPeriodHours": 25}
