"""What an item weighs and what reading or writing it costs, as DynamoDB counts.

An attribute has the UTF-8 length of its name plus the size of its value; the SizeBytes of a stream record is the
size of its keys and of the images that it carries (rule E-4). A write costs a unit for each begun kilobyte of the
larger of old and new item, a read a unit for each begun 4 kilobytes, half of it without ConsistentRead. Nothing
is throttled by it.
Source: DynamoDB guide, capacity unit consumption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from triggerkit.emulator.requests import Request, chosen, flag
from triggerkit.emulator.values import Item, Value

WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4096


def item_size_bytes(item: Item) -> int:
    """Return the size of all attributes of an item."""
    total = 0
    for name, value in item.items():
        total += text_size_bytes(name) + value_size_bytes(value)
    return total


def value_size_bytes(value: Value) -> int:
    """Return the size of one canonical value."""
    ((kind, content),) = value.items()
    return _SIZES[kind](content)


def text_size_bytes(text: str) -> int:
    """Return the length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def binary_size_bytes(encoded: str) -> int:
    """Return how many bytes a canonical base64 text stands for."""
    return len(encoded) * 3 // 4 - encoded[-2:].count("=")


def number_size_bytes(text: str) -> int:
    """Return the size of a canonical number: a byte each for pairs of digits, one more, one for a sign.

    Pairs are counted from the decimal point, and zero pairs at either end are free.
    """
    whole, _, fraction = text.lstrip("-").partition(".")
    digits = whole.rjust(len(whole) + len(whole) % 2, "0")
    digits += fraction.ljust(len(fraction) + len(fraction) % 2, "0")
    used = [at for at in range(0, len(digits), 2) if digits[at : at + 2] != "00"]
    pairs = (used[-1] - used[0]) // 2 + 1 if used else 0
    return pairs + 1 + text.startswith("-")


_SIZES: dict[str, Callable[[Any], int]] = {
    "S": text_size_bytes,
    "N": number_size_bytes,
    "B": binary_size_bytes,
    "BOOL": lambda _: 1,
    "NULL": lambda _: 1,
    "L": lambda elements: 3 + sum(1 + value_size_bytes(element) for element in elements),
    "M": lambda entries: 3 + item_size_bytes(entries) + len(entries),
    "SS": lambda members: sum(map(text_size_bytes, members)),
    "NS": lambda members: sum(map(number_size_bytes, members)),
    "BS": lambda members: sum(map(binary_size_bytes, members)),
}


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
