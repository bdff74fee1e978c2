"""Time to Live follows the emulator's clock, and its removals look like the service's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emulator.kit import START_SECONDS, TABLE, Orders, refused, stream_on
from triggerkit.emulator import Emulator, VirtualClock

FIVE_YEARS_SECONDS = 5 * 365 * 24 * 3600


def switch(orders: Orders, enabled: bool, name: str = "expires") -> dict[str, Any]:
    return orders.call(
        "UpdateTimeToLive",
        TableName="orders",
        TimeToLiveSpecification={"Enabled": enabled, "AttributeName": name},
    )


def at(seconds: float) -> dict[str, str]:
    return {"N": str(int(START_SECONDS + seconds))}


def test_an_item_is_removed_when_its_time_has_come() -> None:
    orders = Orders()
    answer = switch(orders, True)
    assert answer == {"TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True}}
    orders.put("soon", expires=at(60), n={"N": "1"})
    orders.put("later", expires=at(3600))
    orders.emulator.advance(59)
    assert orders.get("soon") is not None
    orders.emulator.advance(2)
    removal = orders.records()[-1]
    assert removal["eventName"] == "REMOVE"
    assert removal["userIdentity"] == {
        "PrincipalId": "dynamodb.amazonaws.com",
        "Type": "Service",
    }
    assert removal["dynamodb"]["OldImage"]["n"] == {"N": "1"}
    assert orders.get("soon") is None
    assert orders.get("later") is not None


@pytest.mark.parametrize(
    "value",
    [
        {"S": "1764085655"},
        {"N": str(int(START_SECONDS - FIVE_YEARS_SECONDS - 60))},
        {"NULL": True},
        {"N": "9e120"},
    ],
)
def test_what_is_no_time_or_too_old_stays(value: dict[str, Any]) -> None:
    orders = Orders()
    switch(orders, True)
    orders.put("a", expires=value)
    orders.put("b")
    orders.emulator.advance(10)
    assert orders.get("a") is not None
    assert orders.get("b") is not None


def test_what_expires_first_goes_first() -> None:
    orders = Orders()
    switch(orders, True)
    for name, seconds in (("c", 3), ("a", 9), ("b", 6)):
        orders.put(name, expires=at(seconds))
    orders.emulator.advance(20)
    keys = [record["dynamodb"]["Keys"]["pk"]["S"] for record in orders.records()[3:]]
    assert keys == ["c", "b", "a"]


def test_it_is_described_and_can_be_switched_off() -> None:
    orders = Orders()
    assert orders.call("DescribeTimeToLive", TableName="orders") == {
        "TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}
    }
    switch(orders, True)
    assert orders.call("DescribeTimeToLive", TableName="orders") == {
        "TimeToLiveDescription": {"AttributeName": "expires", "TimeToLiveStatus": "ENABLED"}
    }
    switch(orders, False)
    orders.put("a", expires=at(-60))
    orders.emulator.advance(10)
    assert orders.get("a") is not None


@pytest.mark.parametrize(
    ("before", "asked", "words"),
    [
        (False, {"Enabled": False, "AttributeName": "x"}, "already disabled"),
        (True, {"Enabled": True, "AttributeName": "expires"}, "already enabled"),
        (True, {"Enabled": True, "AttributeName": "x"}, "different AttributeName"),
        (True, {"Enabled": False, "AttributeName": "x"}, "different AttributeName"),
        (False, {"Enabled": True, "AttributeName": ""}, "between 1 and 255"),
        (False, {"Enabled": True}, "attributeName"),
        (False, {"AttributeName": "x"}, "enabled"),
        (False, None, "must not be null"),
    ],
)
def test_a_switch_that_makes_no_sense_is_refused(before: bool, asked: Any, words: str) -> None:
    orders = Orders()
    if before:
        switch(orders, True)
    error = refused(orders, "UpdateTimeToLive", TableName="orders", TimeToLiveSpecification=asked)
    assert error.type == "ValidationException"
    assert words in error.message


def test_it_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "dev.db"
    emulator = Emulator(VirtualClock(START_SECONDS), path=path)
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    emulator.call(
        "UpdateTimeToLive",
        {
            "TableName": "orders",
            "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "expires"},
        },
    )
    item = {"pk": {"S": "a"}, "expires": at(5)}
    emulator.call("PutItem", {"TableName": "orders", "Item": item})
    emulator.close()
    again = Emulator(VirtualClock(START_SECONDS + 10), path=path)
    assert again.call("Scan", {"TableName": "orders"})["Items"] == []
    again.close()
