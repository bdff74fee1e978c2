"""The emulator answers, stores and streams what DynamoDB Local 3.3.1 does.

Every random choice comes from a seed that a failure prints. Items and stream records must not differ
at all; answers may differ only as `emulator/divergences.py` lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from components import DynamoDBLocal
from emulator import catalogue, odd_requests, requests_of
from emulator.comparison import (
    EmulatorEndpoint,
    Endpoint,
    HttpEndpoint,
    Outcome,
    all_items,
    by_key,
    create_table,
    read_stream,
    read_stream_arn,
)
from emulator.divergences import DIVERGENCES, Divergence, divergence
from emulator.listed import figures

pytestmark = pytest.mark.real

REFERENCE = "DynamoDB Local 3.3.1, "
SCENARIOS = 60
STEPS = 40
OPERATION_RUNS = 8
OPERATIONS = 200
VIEW_TYPES = ("NEW_AND_OLD_IMAGES", "NEW_IMAGE", "OLD_IMAGE", "KEYS_ONLY")


@pytest.fixture(scope="module")
def reference(dynamodb_local: DynamoDBLocal) -> Iterator[HttpEndpoint]:
    endpoint = HttpEndpoint(dynamodb_local.endpoint_url)
    yield endpoint
    endpoint.close()


def assert_same_answer(request: dict[str, Any], ours: Outcome, theirs: Outcome) -> bool:
    """Tell whether two answers differ as they may."""
    assert ours == theirs or divergence(request, ours, theirs) is not None, (
        f"\nrequest {request}\nours    {ours}\ntheirs  {theirs}"
    )
    return ours != theirs


@pytest.mark.parametrize("seed", range(SCENARIOS))
def test_mixed_writes_leave_the_same_items_and_stream_records(
    reference: HttpEndpoint, seed: int, record_property: Callable[[str, object], None]
) -> None:
    random = Random(seed)
    ours = EmulatorEndpoint()
    view_type = VIEW_TYPES[seed % len(VIEW_TYPES)]
    tables: list[tuple[str, str | None]] = [
        (f"scenario_{seed}_{index}", random.choice((None, "S", "N", "B"))) for index in range(2)
    ]
    for name, sort_key in tables:
        create_table(ours, reference, name=name, sort_key=sort_key, view_type=view_type)
    differed = 0
    for _ in range(STEPS):
        table, sort_key = random.choice(tables)
        of = requests_of.key(random, 4, sort_key)
        operation, request = random_write(random, table, tables, of)
        answers = [endpoint.send(operation, request) for endpoint in (ours, reference)]
        differed += assert_same_answer(request, *answers)
    for name, _ in tables:
        assert all_items(ours, name) == all_items(reference, name), f"seed {seed}"
        records = [by_key(read_stream(endpoint, name)) for endpoint in (ours, reference)]
        assert records[0] == records[1], f"seed {seed}"
        reference.send("DeleteTable", {"TableName": name})
    record_property("comparison", figures(REFERENCE + "writes", 1, STEPS, differed))


def random_write(
    random: Random, table: str, tables: list[tuple[str, str | None]], of: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    match random.choices(("put", "update", "delete", "batch"), (35, 40, 10, 15))[0]:
        case "put":
            return "PutItem", requests_of.put(random, table, of)
        case "update":
            return "UpdateItem", requests_of.update(random, table, of)
        case "delete":
            return "DeleteItem", requests_of.delete(random, table, of)
        case _:
            return "BatchWriteItem", requests_of.batch(random, tables, 4)


@pytest.mark.parametrize("seed", range(OPERATION_RUNS))
def test_random_operations_on_random_items_answer_alike(
    reference: HttpEndpoint, seed: int, record_property: Callable[[str, object], None]
) -> None:
    random = Random(1000 + seed)
    ours = EmulatorEndpoint()
    table = f"operations_{seed}"
    create_table(ours, reference, name=table)
    differed = 0
    for index in range(OPERATIONS):
        of = {"pk": {"S": f"item{index}"}}
        start = requests_of.item(random, of) if random.random() < 0.7 else None
        operation, request = random_write(random, table, [(table, None)], of)
        if operation == "BatchWriteItem":
            operation, request = "GetItem", {"TableName": table, "Key": of}
        answers = []
        for endpoint in (ours, reference):
            if start is not None:
                endpoint.send("PutItem", {"TableName": table, "Item": start})
            answers.append(endpoint.send(operation, request))
        differed += assert_same_answer(request, *answers)
    assert all_items(ours, table) == all_items(reference, table), f"seed {seed}"
    records = [by_key(read_stream(endpoint, table)) for endpoint in (ours, reference)]
    assert records[0] == records[1], f"seed {seed}"
    reference.send("DeleteTable", {"TableName": table})
    record_property("comparison", figures(REFERENCE + "operations", 1, OPERATIONS, differed))


def catalogue_requests() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield operation, request and the item that is there before."""
    table = odd_requests.TABLE
    for text in catalogue.CONDITIONS:
        request = {"TableName": table, "Key": odd_requests.KEY, "ConditionExpression": text}
        yield "DeleteItem", {**request, **requests_of.placeholders(text)}, catalogue.ITEM
    for text in (*catalogue.UPDATES, *catalogue.REFUSED_UPDATES):
        request = {"TableName": table, "Key": odd_requests.KEY, "UpdateExpression": text}
        for returned in ("ALL_NEW", "UPDATED_NEW", "UPDATED_OLD"):
            asked = {**request, "ReturnValues": returned, **requests_of.placeholders(text)}
            yield "UpdateItem", asked, catalogue.ITEM
        asked = {**request, "ReturnValues": "ALL_NEW", **requests_of.placeholders(text)}
        yield "UpdateItem", asked, odd_requests.KEY
    for text in catalogue.PROJECTIONS:
        request = {"TableName": table, "Key": odd_requests.KEY, "ProjectionExpression": text}
        yield "GetItem", {**request, **requests_of.placeholders(text)}, catalogue.ITEM
    for operation, request in odd_requests.odd_requests():
        yield operation, request, odd_requests.KEY


def test_the_catalogue_differs_only_as_listed_and_every_listed_difference_shows(
    reference: HttpEndpoint, record_property: Callable[[str, object], None]
) -> None:
    ours = EmulatorEndpoint()
    create_table(ours, reference, name=odd_requests.TABLE)
    create_table(ours, reference, name=odd_requests.SORTED, sort_key="N")
    for endpoint in (ours, reference):
        for item in odd_requests.sorted_items():
            endpoint.send("PutItem", {"TableName": odd_requests.SORTED, "Item": item})
    unlisted: list[str] = []
    shown: set[Divergence] = set()
    asked = differed = 0
    for operation, request, item in catalogue_requests():
        answers: list[Outcome] = []
        for endpoint in (ours, reference):
            endpoint.send("PutItem", {"TableName": odd_requests.TABLE, "Item": item})
            answers.append(endpoint.send(operation, request))
        asked, differed = asked + 1, differed + (answers[0] != answers[1])
        listed = divergence(request, *answers)
        if answers[0] != answers[1] and listed is None:
            unlisted.append(f"{operation} {request}\n  ours   {answers[0]}\n  theirs {answers[1]}")
        elif answers[0] != answers[1]:
            shown.update([listed] if isinstance(listed, Divergence) else [])
    for name in (odd_requests.TABLE, odd_requests.SORTED):
        reference.send("DeleteTable", {"TableName": name})
    assert not unlisted, f"{len(unlisted)} differences are not listed:\n" + "\n".join(unlisted)
    vanished = [each.reason for each in DIVERGENCES if each not in shown]
    assert not vanished, f"listed differences that never showed: {vanished}"
    record_property(
        "comparison", figures(REFERENCE + "catalogue", asked, asked, differed, len(shown))
    )


def stream_of(endpoint: Endpoint, table: str) -> dict[str, Any]:
    """Return what DescribeTable and DescribeStream say of a table's stream, without names."""
    described = endpoint.send("DescribeTable", {"TableName": table}).body["Table"]
    stream = endpoint.send("DescribeStream", {"StreamArn": described["LatestStreamArn"]}).body
    return {
        "specification": described.get("StreamSpecification"),
        "label": described["LatestStreamArn"].endswith(described["LatestStreamLabel"]),
        "description": without(
            stream["StreamDescription"],
            {"CreationRequestDateTime", "Shards", "StreamArn", "StreamLabel"},
        ),
        "shards": len(stream["StreamDescription"]["Shards"]),
    }


def without(mapping: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name not in names}


def switch_stream(endpoint: Endpoint, table: str, view_type: str | None) -> Outcome:
    specification: dict[str, Any] = {"StreamEnabled": view_type is not None}
    if view_type is not None:
        specification["StreamViewType"] = view_type
    return endpoint.send("UpdateTable", {"TableName": table, "StreamSpecification": specification})


def test_a_stream_that_is_disabled_enabled_again_and_orphaned_reads_alike(
    reference: HttpEndpoint,
) -> None:
    ours = EmulatorEndpoint()
    table = "lifecycle"
    create_table(ours, reference, name=table, view_type="NEW_AND_OLD_IMAGES")
    seen: list[list[Any]] = []
    for endpoint in (ours, reference):
        trace: list[Any] = []
        first = endpoint.send("DescribeTable", {"TableName": table}).body["Table"]
        put = {"TableName": table, "Item": {"pk": {"S": "a"}, "n": {"N": "1"}}}
        endpoint.send("PutItem", put)
        trace.append(stream_of(endpoint, table))
        trace.append(switch_stream(endpoint, table, "KEYS_ONLY").error)
        trace.append(switch_stream(endpoint, table, None).error)
        trace.append(switch_stream(endpoint, table, None).error)
        trace.append(stream_of(endpoint, table))
        endpoint.send("PutItem", {"TableName": table, "Item": {"pk": {"S": "unseen"}}})
        trace.append(read_stream_arn(endpoint, first["LatestStreamArn"]))
        trace.append(switch_stream(endpoint, table, "KEYS_ONLY").error)
        endpoint.send("DeleteItem", {"TableName": table, "Key": {"pk": {"S": "a"}}})
        second = endpoint.send("DescribeTable", {"TableName": table}).body["Table"]
        trace.append(second["LatestStreamArn"] != first["LatestStreamArn"])
        trace.append(read_stream_arn(endpoint, second["LatestStreamArn"]))
        endpoint.send("DeleteTable", {"TableName": table})
        for arn in (first["LatestStreamArn"], second["LatestStreamArn"]):
            trace.append(read_stream_arn(endpoint, arn))
            stream = endpoint.send("DescribeStream", {"StreamArn": arn}).body
            trace.append(stream["StreamDescription"]["StreamStatus"])
        listed = endpoint.send("ListStreams", {"TableName": table}).body["Streams"]
        trace.append(len(listed))
        seen.append(trace)
    assert seen[0] == seen[1]


def iterate(endpoint: Endpoint, arn: str, shard_id: str, **place: Any) -> Any:
    """Return the error's name or the record keys that an iterator at `place` gives at once."""
    request = {"StreamArn": arn, "ShardId": shard_id, **place}
    answer = endpoint.send("GetShardIterator", request)
    if not answer.succeeded:
        return answer.error
    page = endpoint.send("GetRecords", {"ShardIterator": answer.body["ShardIterator"]}).body
    return [record["dynamodb"]["Keys"]["pk"]["S"] for record in page["Records"]]


def test_every_kind_of_shard_iterator_starts_alike(reference: HttpEndpoint) -> None:
    ours = EmulatorEndpoint()
    table = "iterators"
    create_table(ours, reference, name=table)
    seen: list[list[Any]] = []
    for endpoint in (ours, reference):
        for index in range(6):
            endpoint.send("PutItem", {"TableName": table, "Item": {"pk": {"S": f"{index}"}}})
        arn = endpoint.send("DescribeTable", {"TableName": table}).body["Table"]["LatestStreamArn"]
        shard = endpoint.send("DescribeStream", {"StreamArn": arn}).body["StreamDescription"]
        shard_id = shard["Shards"][0]["ShardId"]
        start = shard["Shards"][0]["SequenceNumberRange"]["StartingSequenceNumber"]
        place = {"StreamArn": arn, "ShardId": shard_id, "ShardIteratorType": "TRIM_HORIZON"}
        iterator = endpoint.send("GetShardIterator", place).body["ShardIterator"]
        limited = endpoint.send("GetRecords", {"ShardIterator": iterator, "Limit": 4}).body
        third = limited["Records"][3]["dynamodb"]["SequenceNumber"]
        unknown = "shardId-00000000000000000000-00000000"
        asked: list[dict[str, Any]] = [
            {"ShardIteratorType": "TRIM_HORIZON"},
            {"ShardIteratorType": "LATEST"},
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": third},
            {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": third},
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": start},
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER"},
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "1"},
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "0" * 30},
            {"ShardIteratorType": "LATEST", "SequenceNumber": third},
            {"ShardIteratorType": "TRIM_HORIZON", "shard_id": unknown},
        ]
        trace: list[Any] = [len(limited["Records"])]
        for each in asked:
            at = each.pop("shard_id", shard_id)
            trace.append(iterate(endpoint, arn, at, **each))
        for limit in (0, 1001):
            request = {"ShardIterator": iterator, "Limit": limit}
            trace.append(endpoint.send("GetRecords", request).error)
        trace.append(endpoint.send("GetRecords", {"ShardIterator": "nonsense"}).error)
        for request in (
            {"StreamArn": arn, "Limit": 101},
            {"StreamArn": arn, "Limit": 0},
            {"StreamArn": arn + "x"},
            {"StreamArn": arn, "ShardFilter": {"Type": "CHILD_SHARDS"}},
            {"StreamArn": arn, "ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": shard_id}},
            {"StreamArn": arn, "ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": unknown}},
            {"StreamArn": arn, "ShardFilter": {"Type": "OTHER", "ShardId": unknown}},
        ):
            answer = endpoint.send("DescribeStream", request)
            shards = answer.body["StreamDescription"]["Shards"] if answer.succeeded else []
            trace.append((answer.error, len(shards)))
        seen.append(trace)
    reference.send("DeleteTable", {"TableName": table})
    assert seen[0] == seen[1]
