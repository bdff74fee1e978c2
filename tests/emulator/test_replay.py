"""Recorded records on another stream: what stays, where they go, and what the table is afterwards."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from emulator.kit import Orders
from triggerkit.emulator import Emulator, EmulatorError, VirtualClock
from triggerkit.emulator.changes import TTL_IDENTITY

RECORDED_SECONDS = 1_700_000_000


def recorded(
    key: str, name: str = "INSERT", new: str | None = "x", old: str | None = None, **more: Any
) -> dict[str, Any]:
    images = {
        image: {"pk": {"S": key}, "is": {"S": text}}
        for image, text in (("NewImage", new), ("OldImage", old))
        if text is not None
    }
    change = {
        "ApproximateCreationDateTime": RECORDED_SECONDS,
        "Keys": {"pk": {"S": key}},
        **images,
        "SequenceNumber": "4421584500000000017450439091",
        "SizeBytes": 26,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    return {"eventID": "e1", "eventName": name, "eventVersion": "1.1", "dynamodb": change, **more}


def keys(records: list[dict[str, Any]]) -> list[str]:
    return [record["dynamodb"]["Keys"]["pk"]["S"] for record in records]


def test_a_record_keeps_all_but_its_time_and_number_and_the_item_follows() -> None:
    orders = Orders()
    (shard,) = orders.emulator.open_shards("orders")
    update = recorded("a", "MODIFY", new="2", old="1")
    number = orders.emulator.replay("orders", update)
    expired = recorded("a", "REMOVE", new=None, old="2", userIdentity=TTL_IDENTITY)
    orders.emulator.replay("orders", expired)
    first, second = orders.records(shard)
    change = {**first["dynamodb"], "SequenceNumber": "4421584500000000017450439091"}
    assert change.pop("ApproximateCreationDateTime") == int(orders.emulator.clock.now_seconds())
    assert first["dynamodb"]["SequenceNumber"] == number
    assert {**first, "dynamodb": {**change, "ApproximateCreationDateTime": RECORDED_SECONDS}} == (
        update
    )
    assert second["userIdentity"] == TTL_IDENTITY
    assert orders.get("a") is None
    orders.put("a")
    assert orders.records(shard)[2]["eventName"] == "INSERT"


def test_later_writes_go_on_from_the_recorded_item() -> None:
    orders = Orders()
    (shard,) = orders.emulator.open_shards("orders")
    orders.emulator.replay("orders", recorded("a", new="1"))
    orders.put("a", **{"is": {"S": "2"}})
    change = orders.records(shard)[1]
    assert change["eventName"] == "MODIFY"
    assert change["dynamodb"]["OldImage"] == {"pk": {"S": "a"}, "is": {"S": "1"}}


def test_a_key_goes_where_it_is_put_and_below_when_that_shard_closes() -> None:
    orders = Orders()
    left, right = orders.emulator.split("orders")
    for number in range(20):
        orders.emulator.replay("orders", recorded(f"k{number}"), left if number % 2 else right)
    assert keys(orders.records(left)) == [f"k{number}" for number in range(1, 20, 2)]
    children = orders.emulator.split("orders", left)
    for number in range(1, 20, 2):
        orders.emulator.replay("orders", recorded(f"k{number}", "MODIFY", "y", "x"), left)
        orders.put(f"k{number}", **{"is": {"S": "z"}})
    halves = [keys(orders.records(child)) for child in children]
    assert sorted(halves[0] + halves[1]) == sorted(f"k{n}" for n in range(1, 20, 2) for _ in "yz")
    assert all(halves)
    assert not set(halves[0]) & set(halves[1])


@pytest.mark.parametrize("seed", range(8))
def test_the_records_of_a_key_stay_in_one_lineage_wherever_they_are_put(seed: int) -> None:
    rng = Random(seed)
    emulator = Emulator(VirtualClock(1_764_085_655.0), shards=rng.choice((1, 3)))
    orders = Orders()
    orders.emulator = emulator
    table = {
        "TableName": "orders",
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    }
    emulator.call("CreateTable", table)
    for step in range(200):
        listed = [shard["ShardId"] for shard in orders.shards_listed()]
        key = f"k{rng.randrange(8)}"
        match rng.randrange(8):
            case 0:
                emulator.split("orders", rng.choice(emulator.open_shards("orders")))
            case 1:
                emulator.roll("orders", rng.choice(emulator.open_shards("orders")))
            case 2 | 3:
                orders.put(key, n={"N": str(step)})
            case _:
                emulator.replay("orders", recorded(key, new=str(step)), rng.choice(listed))
    parents = {shard["ShardId"]: shard.get("ParentShardId") for shard in orders.shards_listed()}
    newest: dict[str, str] = {}
    found = [
        (int(record["dynamodb"]["SequenceNumber"]), key, shard)
        for shard in parents
        for record in orders.records(shard)
        for key in keys([record])
    ]
    for _, key, shard in sorted(found):
        above, last = shard, newest.get(key, shard)
        while above is not None and above != last:
            above = parents[above]
        assert above == last, f"seed {seed}: {key} went from {last} to {shard}"
        newest[key] = shard


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({}, "no Keys"),
        ({"dynamodb": {"Keys": 7}}, "no Keys"),
        (recorded("a", "TOUCH"), "'TOUCH'"),
        ({**recorded("a"), "dynamodb": {"Keys": {"other": {"S": "a"}}}}, "Missing the key pk"),
    ],
)
def test_what_is_no_change_of_the_table_is_refused(record: dict[str, Any], says: str) -> None:
    orders = Orders()
    (shard,) = orders.emulator.open_shards("orders")
    with pytest.raises(EmulatorError, match=says):
        orders.emulator.replay("orders", record)
    assert orders.records(shard) == []


def test_a_table_without_a_stream_is_refused() -> None:
    orders = Orders()
    off = {"StreamEnabled": False}
    orders.call("UpdateTable", TableName="orders", StreamSpecification=off)
    with pytest.raises(EmulatorError, match="no stream"):
        orders.emulator.replay("orders", recorded("a"))


def test_keys_alone_are_enough() -> None:
    orders = Orders(view_type="KEYS_ONLY")
    (shard,) = orders.emulator.open_shards("orders")
    record = recorded("a", "MODIFY", new=None)
    del record["dynamodb"]["SizeBytes"]
    orders.emulator.replay("orders", record)
    assert keys(orders.records(shard)) == ["a"]
    assert orders.get("a") is None


def test_c8_an_empty_map_that_dynamodb_local_recorded_without_its_type_can_be_played() -> None:
    orders = Orders()
    (shard,) = orders.emulator.open_shards("orders")
    record = recorded("a")
    record["dynamodb"]["NewImage"] |= {"tags": {}, "lines": {"L": [{}]}}
    del record["dynamodb"]["SizeBytes"]
    orders.emulator.replay("orders", record)
    assert orders.get("a")["tags"] == {"M": {}}  # type: ignore[index]
    assert orders.records(shard)[0]["dynamodb"]["NewImage"]["tags"] == {}  # as it was recorded
