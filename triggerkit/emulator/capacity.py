"""ConsumedCapacity, for callers that ask for it.

Rule: a write costs a unit for each begun kilobyte of the larger of old and new item, a read a unit for
each begun 4 kilobytes, half of it without ConsistentRead. Nothing is ever throttled by it.
Source: DynamoDB guide, capacity unit consumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triggerkit.emulator.requests import Request, chosen, flag
from triggerkit.emulator.sizes import item_size_bytes
from triggerkit.emulator.values import Item

WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4096


def write_units(old: Item | None, new: Item | None) -> float:
    """Return what a write costs."""
    size_bytes = max(item_size_bytes(item or {}) for item in (old, new))
    return float(max(1, -(-size_bytes // WRITE_UNIT_BYTES)))


def read_units(size_bytes: int, request: Request) -> float:
    """Return what reading `size_bytes` costs; the request says how consistently."""
    units = max(1, -(-size_bytes // READ_UNIT_BYTES))
    return float(units) if flag(request, "ConsistentRead") else units / 2


def consumed(request: Request, table: str, units: float) -> dict[str, Any]:
    """Return the answer's member ConsumedCapacity if the request asks for it."""
    shown = _shown(request, {table: units})
    return {"ConsumedCapacity": shown[0]} if shown else {}


def consumed_by_all(request: Request, units: Mapping[str, float]) -> dict[str, Any]:
    """Return ConsumedCapacity of a batch, a list by table, if the request asks for it."""
    shown = _shown(request, units)
    return {"ConsumedCapacity": shown} if shown else {}


def _shown(request: Request, units: Mapping[str, float]) -> list[dict[str, Any]]:
    asked = chosen(request, "ReturnConsumedCapacity", ("INDEXES", "TOTAL", "NONE"))
    if asked in (None, "NONE"):
        return []
    capacities: list[dict[str, Any]] = []
    for table, count in units.items():
        capacity: dict[str, Any] = {"TableName": table, "CapacityUnits": count}
        if asked == "INDEXES":
            capacity["Table"] = {"CapacityUnits": count}
        capacities.append(capacity)
    return capacities
