"""Sizes in bytes as DynamoDB counts them.

Rule: an attribute costs the UTF-8 length of its name plus its value; the SizeBytes of a stream record
is the size of its keys and of the images that it carries (rule E-4).
Source: DynamoDB guide, capacity unit calculation, item sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from triggerkit.emulator.values import Item, Value


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
