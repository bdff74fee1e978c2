"""The log of calls: all of them, in order, with their outcomes, and nothing of what items hold."""

from __future__ import annotations

import json

import pytest
from components import dummy_client

from emulator.clicks import Clicks
from emulator.dialects import speak
from emulator.kit import Orders, refused
from triggerkit.emulator import Damage, EmulatorError, attach, calls, serve
from triggerkit.emulator.calls import CallLog
from triggerkit.errors import UsageError


def outcomes(orders: Orders, operation: str = "") -> list[tuple[str, str]]:
    return [(call.operation, call.outcome) for call in orders.emulator.log(operation)]


def test_calls_are_logged_in_order_with_their_outcomes() -> None:
    orders = Orders()
    orders.put("a")
    refused(orders, "GetItem", TableName="absent", Key={"pk": {"S": "a"}})
    refused(orders, "Nonsense")
    orders.emulator.faults.throttle("PutItem")
    refused(orders, "PutItem", TableName="orders", Item={})
    assert outcomes(orders) == [
        ("CreateTable", "ok"),
        ("PutItem", "ok"),
        ("GetItem", "ResourceNotFoundException"),
        ("Nonsense", "UnknownOperationException"),
        ("PutItem", "ThrottlingException"),
    ]
    numbers = [call.number for call in orders.emulator.log()]
    assert numbers == [1, 2, 3, 4, 5]


def test_a_call_says_when_it_came_and_what_it_asked_about() -> None:
    orders = Orders()
    shard = orders.shards_listed()[0]["ShardId"]
    orders.emulator.advance(5)
    orders.page(orders.iterator(shard), Limit=3)
    iterator, page = orders.emulator.log()[-2:]
    assert iterator.at_seconds == orders.emulator.clock.now_seconds()
    assert iterator.asked["ShardId"] == shard
    assert iterator.asked["ShardIteratorType"] == "TRIM_HORIZON"
    assert page.asked["ShardId"] == shard
    assert page.asked["Limit"] == "3"
    assert page.asked["after"].isdigit()


def test_nothing_of_an_item_is_kept() -> None:
    orders, clicks = Orders(), Clicks()
    orders.put("secret-key", value={"S": "secret-value"})
    orders.get("secret-key")
    orders.update(
        "secret-key", "SET v = :v", ExpressionAttributeValues={":v": {"S": "secret-value"}}
    )
    clicks.put("secret-key", "secret-value")
    for emulator in (orders.emulator, clicks.emulator):
        text = json.dumps([call.as_json() for call in emulator.log()])
        assert "secret" not in text


def test_the_log_is_read_by_operation_and_from_where_one_was() -> None:
    orders = Orders()
    for key in "abc":
        orders.put(key)
        orders.get(key)
    assert [call.number for call in orders.emulator.log("PutItem")] == [2, 4, 6]
    assert [call.number for call in orders.emulator.log(after=5)] == [6, 7]
    assert orders.emulator.log("Scan") == []


def test_what_was_read_does_not_change_later() -> None:
    orders = Orders()
    (call,) = orders.emulator.log()
    call.outcome = "changed"
    assert outcomes(orders) == [("CreateTable", "ok")]


def test_the_newest_calls_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "KEPT_CALLS", 3)
    log = CallLog()
    for _ in range(5):
        log.begin(0.0, "Scan", {})
    assert [call.number for call in log.calls()] == [3, 4, 5]


def test_a_long_or_odd_request_is_shortened() -> None:
    log = CallLog()
    log.begin(0.0, "Scan", {"TableName": "x" * 10_000, "Limit": ["a"], "ShardIterator": "odd"})
    (call,) = log.calls()
    assert call.asked == {
        "TableName": "x" * 1024,
        "Limit": "?",
        "ShardIterator": "not one of ours",
    }


def test_a_call_that_is_held_is_under_way() -> None:
    orders = Orders()
    orders.emulator.faults.barrier("PutItem")
    with pytest.raises(UsageError, match="barrier"):
        orders.put("a")
    assert outcomes(orders, "PutItem") == [("PutItem", "under way")]


def test_damage_and_what_cannot_be_read_are_logged_in_process_and_over_http() -> None:
    orders = Orders()
    client = dummy_client("dynamodb", "http://127.0.0.1:1", retries={"total_max_attempts": 1})
    attach(client, orders.emulator)
    orders.emulator.faults.damage("ListTables", Damage.RESET)
    with pytest.raises(Exception, match="Connection was closed"):
        client.list_tables()
    with serve(orders.emulator) as server:
        over_http = dummy_client("dynamodb", server.endpoint_url, retries={"total_max_attempts": 1})
        orders.emulator.faults.damage("Scan", Damage.TRUNCATED)
        over_http.scan(TableName="orders")
        over_http.close()
    unreadable = EmulatorError("SerializationException", "cannot be read")
    call = orders.emulator.open_call("PutItem", unreadable)
    call.run()
    with pytest.raises(EmulatorError, match="cannot be read"):
        call.answer()
    assert outcomes(orders)[1:] == [
        ("ListTables", "ok, reset"),
        ("Scan", "ok, truncated"),
        ("PutItem", "SerializationException"),
    ]


def test_whoever_peeks_meets_no_fault_takes_no_plan_and_leaves_no_trace() -> None:
    orders = Orders()
    orders.put("a")
    faults = orders.emulator.faults
    faults.empty_pages(1)
    faults.throttle("GetRecords")
    faults.limit_reads(0)
    faults.visibility_delay(100)
    speak(orders.emulator, "event-version-1-0")
    faults.barrier("GetRecords")
    (shard,) = orders.emulator.open_shards("orders")
    orders.emulator.expire_iterators()
    before = orders.emulator.calls.copy(), len(orders.emulator.log())
    place = {
        "StreamArn": orders.emulator.stream_arns("orders")[0],
        "ShardId": shard,
        "ShardIteratorType": "TRIM_HORIZON",
    }
    iterator = orders.emulator.peek("GetShardIterator", place)
    (record,) = orders.emulator.peek("GetRecords", iterator)["Records"]
    assert record["eventVersion"] == "1.1"
    assert (orders.emulator.calls, len(orders.emulator.log())) == before
    assert faults.calls.error("GetRecords") is not None
    with pytest.raises(EmulatorError, match="does not have Nonsense"):
        orders.emulator.peek("Nonsense", {})
