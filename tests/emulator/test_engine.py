"""The emulator as a whole: operations by name, planned faults, clocks, threads."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest

from emulator.kit import START_SECONDS, TABLE, Orders, refused, stream_on
from triggerkit.emulator import Emulator, EmulatorError, RealClock, VirtualClock


def test_an_operation_is_called_by_its_name_or_its_whole_target() -> None:
    emulator = Emulator()
    assert emulator.call("ListTables", {}) == {"TableNames": []}
    assert emulator.call("DynamoDB_20120810.ListTables", {}) == {"TableNames": []}
    assert emulator.call("DynamoDBStreams_20120810.ListStreams", {}) == {"Streams": []}
    assert emulator.calls == {"ListTables": 2, "ListStreams": 1}


def test_an_operation_of_the_other_service_is_unknown() -> None:
    with pytest.raises(EmulatorError) as caught:
        Emulator().call("DynamoDB_20120810.GetRecords", {})
    assert caught.value.type == "UnknownOperationException"


@pytest.mark.parametrize(
    "operation",
    [
        "BatchExecuteStatement",
        "CreateBackup",
        "CreateGlobalTable",
        "DescribeLimits",
        "ExecuteStatement",
        "ExecuteTransaction",
    ],
)
def test_an_absent_operation_names_the_ways_to_an_endpoint_that_has_it(operation: str) -> None:
    error = refused(Orders(), operation)
    assert error.type == "UnknownOperationException"
    assert f"does not have {operation}. Use DynamoDB Local or AWS" in error.message
    assert "triggerkit dev --backend http://127.0.0.1:8000" in error.message
    assert "AWS_ENDPOINT_URL_DYNAMODB" in error.message


def test_a_throttled_operation_fails_as_often_as_planned() -> None:
    orders = Orders()
    orders.emulator.faults.throttle("GetRecords", 2, "LimitExceededException")
    iterator = orders.iterator(orders.shards_listed()[0]["ShardId"])
    for _ in range(2):
        error = refused(orders, "GetRecords", ShardIterator=iterator)
        assert error.type == "LimitExceededException"
    assert orders.page(iterator)["Records"] == []


def test_a_planned_error_is_answered_and_nothing_is_carried_out() -> None:
    orders = Orders()
    orders.emulator.faults.fail("PutItem", EmulatorError("InternalServerError", "planned", 500))
    with pytest.raises(EmulatorError, match="planned") as caught:
        orders.put("a")
    assert caught.value.status == 500
    assert orders.get("a") is None


def test_faults_can_be_forgotten() -> None:
    orders = Orders()
    orders.emulator.faults.throttle("PutItem", 5)
    orders.emulator.faults.clear()
    orders.put("a")


def test_a_virtual_clock_stands_still_until_it_is_advanced() -> None:
    clock = VirtualClock(100.0)
    assert clock.now_seconds() == 100.0
    clock.advance(2.5)
    assert clock.now_seconds() == 102.5
    with pytest.raises(ValueError, match="forward only"):
        clock.advance(-1)


def test_a_real_clock_can_run_ahead_of_the_host() -> None:
    clock = RealClock()
    assert abs(clock.now_seconds() - time.time()) < 5
    clock.advance(3600)
    assert 3590 < clock.now_seconds() - time.time() < 3610
    with pytest.raises(ValueError, match="forward only"):
        clock.advance(-1)


def test_a_conditional_race_has_one_winner_for_each_version() -> None:
    emulator = Emulator()
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    emulator.call("PutItem", {"TableName": "orders", "Item": {"pk": {"S": "a"}, "v": {"N": "0"}}})
    wins: list[int] = []

    def race() -> None:
        for version in range(40):
            request = {
                "TableName": "orders",
                "Key": {"pk": {"S": "a"}},
                "UpdateExpression": "SET v = v + :one",
                "ConditionExpression": "v = :version",
                "ExpressionAttributeValues": {":one": {"N": "1"}, ":version": {"N": f"{version}"}},
            }
            try:
                emulator.call("UpdateItem", request)
            except EmulatorError:
                continue
            wins.append(version)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == list(range(len(wins)))


def test_one_seed_is_one_world_whatever_is_planned() -> None:
    """The same calls and plans give the same answers, to the last shard id; another seed others."""

    def answers(seed: int) -> list[str]:
        emulator = Emulator(VirtualClock(START_SECONDS), seed=seed, shards=2)
        emulator.call("CreateTable", {**TABLE, **stream_on()})
        emulator.call("CreateStream", {"StreamName": "clicks", "ShardCount": 3})
        faults = emulator.faults
        faults.describe_lag(1, spread_seconds=9)
        faults.reorder_listings()
        faults.duplicate(2)
        faults.empty_pages(1)
        faults.throttle("ListShards", 1)
        told = []
        (arn,) = emulator.stream_arns("orders")
        for step in range(20):
            item = {"pk": {"S": f"k{step}"}}
            emulator.call("PutItem", {"TableName": "orders", "Item": item})
            if step % 5 == 4:
                emulator.split("orders")
                emulator.merge("clicks") if step < 10 else emulator.split("clicks")
            told.append(emulator.call_as_json("DescribeStream", {"StreamArn": arn}))
            with suppress(EmulatorError):
                told.append(emulator.call_as_json("ListShards", {"StreamName": "clicks"}))
            for shard in emulator.open_shards("orders"):
                place = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
                iterator = emulator.call("GetShardIterator", place)
                told.append(emulator.call_as_json("GetRecords", iterator))
            emulator.advance(1)
        return [*told, *(str(call) for call in emulator.log())]

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)
