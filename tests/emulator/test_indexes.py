"""Secondary indexes: what they hold, show, and refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emulator.kit import START_SECONDS, TABLE, stream_on
from triggerkit.emulator import Emulator, EmulatorError, VirtualClock


def index(name: str, hash_key: str, sort_key: str | None = None, **projection: Any) -> Any:
    schema = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    if sort_key is not None:
        schema.append({"AttributeName": sort_key, "KeyType": "RANGE"})
    return {
        "IndexName": name,
        "KeySchema": schema,
        "Projection": projection or {"ProjectionType": "ALL"},
    }


def defined(**types: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


EVENTS: dict[str, Any] = {
    "TableName": "events",
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": defined(pk="S", sk="S", kind="S", at="N"),
    "BillingMode": "PAY_PER_REQUEST",
    "LocalSecondaryIndexes": [index("by_time", "pk", "at", ProjectionType="KEYS_ONLY")],
    "GlobalSecondaryIndexes": [
        index("by_kind", "kind", "at", ProjectionType="INCLUDE", NonKeyAttributes=["x"]),
    ],
}


@pytest.fixture
def events() -> Emulator:
    emulator = Emulator(VirtualClock(START_SECONDS))
    emulator.call("CreateTable", EVENTS)
    for number in range(6):
        item = {
            "pk": {"S": f"p{number % 2}"},
            "sk": {"S": f"s{number}"},
            "kind": {"S": "odd" if number % 2 else "even"},
            "at": {"N": str(10 - number)},
            "x": {"S": "x"},
            "y": {"S": "y"},
        }
        emulator.call("PutItem", {"TableName": "events", "Item": item})
    emulator.call(
        "PutItem", {"TableName": "events", "Item": {"pk": {"S": "p0"}, "sk": {"S": "bare"}}}
    )
    return emulator


def query(emulator: Emulator, name: str, key: str, value: str, **request: Any) -> dict[str, Any]:
    values = {":v": {"S": value}, **request.pop("values", {})}
    return emulator.call(
        "Query",
        {
            "TableName": "events",
            "IndexName": name,
            "KeyConditionExpression": f"{key} = :v" + request.pop("also", ""),
            "ExpressionAttributeValues": values,
            **request,
        },
    )


def sort_keys(answer: dict[str, Any]) -> list[str]:
    return [item["sk"]["S"] for item in answer["Items"]]


def test_an_index_is_sparse_and_ordered_by_its_sort_key(events: Emulator) -> None:
    assert sort_keys(query(events, "by_time", "pk", "p0")) == ["s4", "s2", "s0"]
    assert sort_keys(query(events, "by_kind", "kind", "odd")) == ["s5", "s3", "s1"]
    backward = query(events, "by_kind", "kind", "odd", ScanIndexForward=False)
    assert sort_keys(backward) == ["s1", "s3", "s5"]
    scanned = events.call("Scan", {"TableName": "events", "IndexName": "by_kind"})
    assert scanned["Count"] == 6


def test_an_index_shows_what_it_projects(events: Emulator) -> None:
    assert set(query(events, "by_time", "pk", "p0")["Items"][0]) == {"pk", "sk", "at"}
    shown = query(events, "by_kind", "kind", "odd")["Items"][0]
    assert set(shown) == {"pk", "sk", "kind", "at", "x"}


def test_a_local_index_fetches_what_it_does_not_project(events: Emulator) -> None:
    whole = query(events, "by_time", "pk", "p0", Select="ALL_ATTRIBUTES", Limit=1)
    assert set(whole["Items"][0]) == {"pk", "sk", "kind", "at", "x", "y"}
    cut = query(events, "by_time", "pk", "p0", ProjectionExpression="y, sk", Limit=1)
    assert cut["Items"] == [{"y": {"S": "y"}, "sk": {"S": "s4"}}]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"ConsistentRead": True}, "Consistent reads are not supported"),
        ({"Select": "ALL_ATTRIBUTES"}, "projection type is not ALL"),
        ({"ProjectionExpression": "y"}, r"does not project \[y\]"),
        (
            {"FilterExpression": "y = :y", "values": {":y": {"S": "y"}}},
            "filter attributes: .*y",
        ),
        (
            {"FilterExpression": "#a = :y", "values": {":y": {"N": "1"}}}
            | {"ExpressionAttributeNames": {"#a": "at"}},
            "non-primary key attributes",
        ),
    ],
)
def test_a_global_index_refuses_what_it_cannot_give(
    events: Emulator, request_: dict[str, Any], words: str
) -> None:
    with pytest.raises(EmulatorError, match=words):
        query(events, "by_kind", "kind", "odd", **request_)


def test_an_unknown_index_is_named(events: Emulator) -> None:
    with pytest.raises(EmulatorError, match="specified index: nope"):
        query(events, "nope", "pk", "p0")


def test_pages_of_an_index_continue_by_index_and_table_keys(events: Emulator) -> None:
    found: list[str] = []
    start: dict[str, Any] = {}
    while True:
        page = query(events, "by_kind", "kind", "even", Limit=1, **start)
        found += sort_keys(page)
        if "LastEvaluatedKey" not in page:
            break
        assert set(page["LastEvaluatedKey"]) == {"pk", "sk", "kind", "at"}
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert found == ["s4", "s2", "s0"]


def test_items_of_one_sort_key_are_paged_without_loss(events: Emulator) -> None:
    for number in range(7):
        item = {"pk": {"S": f"q{number}"}, "sk": {"S": "s"}, "kind": {"S": "k"}, "at": {"N": "1"}}
        events.call("PutItem", {"TableName": "events", "Item": item})
    for forward in (True, False):
        found: list[str] = []
        start: dict[str, Any] = {}
        while True:
            page = query(events, "by_kind", "kind", "k", Limit=2, ScanIndexForward=forward, **start)
            found += [item["pk"]["S"] for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        assert sorted(found) == [f"q{number}" for number in range(7)]


def test_an_index_follows_every_write(events: Emulator) -> None:
    key = {"pk": {"S": "p0"}, "sk": {"S": "s0"}}
    request = {"TableName": "events", "Key": key}
    change = {"ExpressionAttributeValues": {":k": {"S": "new"}}}
    events.call("UpdateItem", {**request, "UpdateExpression": "SET kind = :k", **change})
    assert sort_keys(query(events, "by_kind", "kind", "new")) == ["s0"]
    assert sort_keys(query(events, "by_kind", "kind", "even")) == ["s4", "s2"]
    events.call("UpdateItem", {**request, "UpdateExpression": "REMOVE kind"})
    assert sort_keys(query(events, "by_kind", "kind", "new")) == []
    events.call("DeleteItem", {"TableName": "events", "Key": {**key, "sk": {"S": "s2"}}})
    assert sort_keys(query(events, "by_time", "pk", "p0")) == ["s4", "s0"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"N": "1"}, "Type mismatch for Index Key kind Expected: S Actual: N IndexName: by_kind"),
        ({"S": ""}, "empty string value. IndexName: by_kind, IndexKey: kind"),
        ({"S": "x" * 2049}, "Size limit exceeded"),
    ],
)
def test_an_index_key_is_checked_on_the_way_in(
    events: Emulator, value: dict[str, Any], words: str
) -> None:
    key = {"pk": {"S": "p0"}, "sk": {"S": "s0"}}
    with pytest.raises(EmulatorError, match=words):
        events.call("PutItem", {"TableName": "events", "Item": {**key, "kind": value}})
    with pytest.raises(EmulatorError, match="ValidationException"):
        events.call(
            "UpdateItem",
            {
                "TableName": "events",
                "Key": key,
                "UpdateExpression": "SET kind = :k",
                "ExpressionAttributeValues": {":k": value},
            },
        )
    assert sort_keys(query(events, "by_kind", "kind", "even"))[-1] == "s0"


def test_an_index_is_added_filled_and_taken_away(events: Emulator) -> None:
    update: dict[str, Any] = {
        "TableName": "events",
        "AttributeDefinitions": defined(y="S"),
        "GlobalSecondaryIndexUpdates": [{"Create": index("by_y", "y")}],
    }
    table = events.call("UpdateTable", update)["TableDescription"]
    described = {each["IndexName"]: each for each in table["GlobalSecondaryIndexes"]}
    assert described["by_y"]["IndexStatus"] == "ACTIVE"
    assert described["by_y"]["ItemCount"] == 6
    assert {"AttributeName": "y", "AttributeType": "S"} in table["AttributeDefinitions"]
    assert query(events, "by_y", "y", "y")["Count"] == 6
    with pytest.raises(EmulatorError, match="already exists"):
        events.call("UpdateTable", update)
    gone = {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "by_y"}}]}
    table = events.call("UpdateTable", {"TableName": "events", **gone})["TableDescription"]
    assert table["AttributeDefinitions"] == EVENTS["AttributeDefinitions"]
    with pytest.raises(EmulatorError, match="not have the specified index"):
        query(events, "by_y", "y", "y")


def test_old_items_whose_attribute_is_no_key_stay_out_of_a_new_index(events: Emulator) -> None:
    for number, value in enumerate(({"N": "1"}, {"S": ""}, {"S": "z"})):
        item = {"pk": {"S": "z"}, "sk": {"S": str(number)}, "z": value}
        events.call("PutItem", {"TableName": "events", "Item": item})
    update = {
        "AttributeDefinitions": defined(z="S"),
        "GlobalSecondaryIndexUpdates": [{"Create": index("by_z", "z")}],
    }
    events.call("UpdateTable", {"TableName": "events", **update})
    assert sort_keys(events.call("Scan", {"TableName": "events", "IndexName": "by_z"})) == ["2"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"GlobalSecondaryIndexes": []}, "is empty"),
        ({"GlobalSecondaryIndexes": [index("g", "kind")]}, "Invalid table/index name"),
        ({"GlobalSecondaryIndexes": [index("by_x", "x")]}, "not defined"),
        ({"GlobalSecondaryIndexes": [index("by_time", "kind")]}, "Duplicate index name"),
        ({"GlobalSecondaryIndexes": [index("one", "kind", ProjectionType="SOME")]}, "enum value"),
        ({"GlobalSecondaryIndexes": [index("one", "kind", NonKeyAttributes=["x"])]}, "null"),
        ({"GlobalSecondaryIndexes": [index("one", "kind", ProjectionType="INCLUDE")]}, "INCLUDE"),
        (
            {
                "GlobalSecondaryIndexes": [
                    index("one", "kind", ProjectionType="ALL", NonKeyAttributes=["x"])
                ]
            },
            "NonKeyAttributes is specified",
        ),
        ({"GlobalSecondaryIndexes": [index(f"g{n}x", "kind") for n in range(21)]}, "limit of 20"),
        ({"LocalSecondaryIndexes": [index("one", "kind", "at")]}, "same leading hash key"),
        ({"LocalSecondaryIndexes": [index("one", "pk")]}, "not have a range key"),
        (
            {"LocalSecondaryIndexes": [index(f"l{n}x", "pk", "at") for n in range(6)]},
            "limit of 5",
        ),
        ({"AttributeDefinitions": defined(pk="S", sk="S", kind="S", at="N", q="S")}, "not used"),
    ],
)
def test_an_index_definition_that_makes_no_sense_is_refused(
    change: dict[str, Any], words: str
) -> None:
    with pytest.raises(EmulatorError, match=words) as caught:
        Emulator().call("CreateTable", {**EVENTS, **change})
    assert caught.value.type == "ValidationException"


def test_a_table_without_sort_key_has_no_local_index() -> None:
    request = {
        **TABLE,
        "AttributeDefinitions": defined(pk="S", at="N"),
        "LocalSecondaryIndexes": [index("one", "pk", "at")],
    }
    with pytest.raises(EmulatorError, match="does not have a range key"):
        Emulator().call("CreateTable", request)


def test_indexes_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "dev.db"
    emulator = Emulator(path=path)
    emulator.call("CreateTable", {**EVENTS, **stream_on()})
    item = {"pk": {"S": "p"}, "sk": {"S": "s"}, "kind": {"S": "k"}, "at": {"N": "1"}}
    emulator.call("PutItem", {"TableName": "events", "Item": item})
    before = emulator.call("DescribeTable", {"TableName": "events"})
    emulator.close()
    again = Emulator(path=path)
    assert again.call("DescribeTable", {"TableName": "events"}) == before
    assert sort_keys(query(again, "by_kind", "kind", "k")) == ["s"]
    again.close()
