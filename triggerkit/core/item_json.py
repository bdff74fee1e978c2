"""DynamoDB's item JSON: to Python values and back, compared, and measured, as DynamoDB does.

Nothing is rounded: a number is read as Decimal from its own digits. DynamoDB Local 3 writes an empty map as `{}`
instead of `{"M": {}}`; both are read.
Source: DynamoDB API reference, API_AttributeValue; DynamoDB guide, item sizes.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Context, Decimal
from typing import Any, Final, TypeAlias

from triggerkit.core.changes import Item
from triggerkit.errors import ImageMismatchError, UsageError

Value: TypeAlias = Any  # type: ignore[explicit-any]  # what an attribute holds, in JSON or in Python
Wire: TypeAlias = dict[str, Value]
"""One attribute value as the service writes it: `{"S": "x"}`; numbers are text, binary values base64."""
WireImage: TypeAlias = dict[str, Wire]
"""Attribute names to values: an item as the service writes it."""

_EXACT: Final = Context(prec=400)


def kind_of(wire: Mapping[str, Value]) -> tuple[str, Value]:
    """The type letters of an attribute value, and what is in it."""
    for pair in wire.items():
        return pair
    return "M", {}


# --- to Python ----------------------------------------------------------------------------------


def decoded(image: Mapping[str, Wire]) -> Item:
    """The item, fresh: numbers are Decimal, sets are set, binary values bytes.

    Raises:
        ImageMismatchError: an attribute is no value of DynamoDB's; names it, not what it holds.
    """
    item: Item = {}
    for name, wire in image.items():
        try:
            item[name] = value_of(wire)
        except Exception:  # noqa: BLE001 - whatever an endpoint sent: the attribute is what matters
            raise ImageMismatchError(
                f"attribute {name!r} is no attribute value of DynamoDB",
                hint='the endpoint of the stream must send it as {"S": "text"}, {"N": "1"} and so on',
            ) from None
    return item


def value_of(wire: Wire) -> Value:
    """One attribute value. Raises ValueError: no type of DynamoDB's, or not of the type it names."""
    kind, inner = kind_of(wire)
    if kind == "S":
        return inner
    read = _READ.get(kind)
    if read is None:
        raise ValueError(f"{kind} is no attribute type of DynamoDB")
    return read(inner)


def _same(inner: Value) -> Value:
    return inner


_READ: dict[str, Callable[[Value], Value]] = {
    "S": _same,
    "N": Decimal,
    "BOOL": _same,
    "NULL": lambda _: None,
    "M": lambda inner: {name: value_of(wire) for name, wire in inner.items()},
    "L": lambda inner: [value_of(each) for each in inner],
    "SS": set,
    "NS": lambda inner: {Decimal(each) for each in inner},
    "B": b64decode,
    "BS": lambda inner: {b64decode(each) for each in inner},
}


def for_json(wire: Wire) -> Value:
    """One attribute value for `json.dumps`; binary stays base64 text, sets are sorted."""
    kind, inner = kind_of(wire)
    match kind:
        case "N":
            return _json_number(inner)
        case "NULL":
            return None
        case "M":
            return {name: for_json(each) for name, each in inner.items()}
        case "L":
            return [for_json(each) for each in inner]
        case "NS":
            return [_json_number(each) for each in sorted(inner, key=Decimal)]
        case "SS" | "BS":
            return sorted(inner)
        case _:
            return inner


def _json_number(digits: str) -> int | float | str:
    exact = Decimal(digits)
    if exact == exact.to_integral_value():
        return int(exact)
    near = float(exact)
    return near if Decimal(repr(near)) == exact else digits


# --- from Python --------------------------------------------------------------------------------


def wire_item(item: Mapping[str, object], what: str) -> WireImage:
    """A whole item; `what` names it in errors. Raises UsageError: a value that no item can have."""
    return {name: wire_value(value, f"{what}: {name}") for name, value in item.items()}


def wire_value(value: object, what: str) -> Wire:
    """Text, int, float, Decimal, bytes, bool, None, sets of one kind, lists, tuples and mappings.

    Raises:
        UsageError: anything else; `what` names it.
    """
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case None:
            return {"NULL": True}
        case int() | float() | Decimal():
            return {"N": _digits(value, what)}
        case bytes() | bytearray():
            return {"B": b64encode(value).decode()}
        case Mapping():
            return {"M": wire_item(value, what)}
        case set() | frozenset():
            return _wire_set(value, what)
        case Sequence():
            return {"L": [wire_value(one, f"{what}[{n}]") for n, one in enumerate(value)]}
        case _:
            raise UsageError(
                f"{what} is a {type(value).__name__}, which no item can have",
                hint="use text, numbers, bytes, bool, None, lists, sets and dicts",
            )


def _digits(number: float | Decimal, what: str) -> str:
    if not (number.is_finite() if isinstance(number, Decimal) else math.isfinite(number)):
        raise UsageError(f"{what} is {number}, no number of DynamoDB", hint="leave it out")
    return str(number)


def _wire_set(values: set[object] | frozenset[object], what: str) -> Wire:
    members = [wire_value(one, what) for one in values]
    kinds = {kind for wire in members for kind in wire}
    if len(kinds) == 1 and (kind := kinds.pop()) in ("S", "N", "B"):
        return {f"{kind}S": sorted(wire[kind] for wire in members)}
    raise UsageError(
        f"{what} is a set that DynamoDB cannot have", hint="not empty, all text, numbers or bytes"
    )


# --- compared -----------------------------------------------------------------------------------


def equal(old: Wire | None, new: Wire | None) -> bool:
    """Whether two values are the same: sets in any order, numbers by value; None is no value.

    Raises:
        ValueError: one is no attribute value.
    """
    if old == new:
        return True
    if old is None or new is None:
        return False
    (kind, before), (other, now) = kind_of(old), kind_of(new)
    if kind != other:
        return False
    match kind:
        case "M":
            return before.keys() == now.keys() and all(equal(before[n], now[n]) for n in before)
        case "L":
            return len(before) == len(now) and all(map(equal, before, now))
        case _:
            return bool(value_of(old) == value_of(new))


def differences(
    old: Mapping[str, Wire], new: Mapping[str, Wire], prefix: str = ""
) -> Iterator[tuple[str, Wire | None, Wire | None]]:
    """The path, the old and the new value of all that differs: into maps, not into lists."""
    for name in (*old, *(name for name in new if name not in old)):
        before, now = old.get(name), new.get(name)
        if equal(before, now):
            continue
        if before is not None and now is not None:
            (kind, inside), (other, inside_now) = kind_of(before), kind_of(now)
            if kind == other == "M":
                yield from differences(inside, inside_now, f"{prefix}{name}.")
                continue
        yield f"{prefix}{name}", before, now


# --- in DynamoDB's own form ---------------------------------------------------------------------


def with_map_types(image: Mapping[str, Wire]) -> WireImage:
    """The image with the type of each empty map."""

    def typed(wire: Wire) -> Wire:
        kind, inner = kind_of(wire)
        match kind:
            case "M":
                return {"M": with_map_types(inner)}
            case "L":
                return {"L": [typed(one) for one in inner]}
            case _:
                return wire

    return {name: typed(wire) for name, wire in image.items()}


def number_text(digits: str) -> str:
    """A number as DynamoDB writes it: without exponent and needless zeros. Raises ValueError."""
    exact = Decimal(digits).normalize(_EXACT)
    return format(exact, "f") if exact else "0"


def image_size_bytes(image: Mapping[str, Wire]) -> int:
    """The size of an item, as limits and SizeBytes count it. Raises ValueError: no image."""
    return sum(len(name.encode()) + _size_bytes(wire) for name, wire in image.items())


def _size_bytes(wire: Wire) -> int:
    kind, inner = kind_of(wire)
    match kind:
        case "S":
            return len(inner.encode())
        case "N":
            return _number_bytes(number_text(inner))
        case "B":
            return len(b64decode(inner))
        case "BOOL" | "NULL":
            return 1
        case "M":
            return 3 + image_size_bytes(inner) + len(inner)
        case "L":
            return 3 + sum(1 + _size_bytes(one) for one in inner)
        case _:
            return sum(_size_bytes({kind[0]: one}) for one in inner)


def _number_bytes(text: str) -> int:
    """A byte for each pair of digits around the point, without zero pairs at the ends; one more; one for a sign."""
    whole, _, fraction = text.lstrip("-").partition(".")
    digits = whole.rjust(len(whole) + len(whole) % 2, "0")
    digits += fraction.ljust(len(fraction) + len(fraction) % 2, "0")
    used = [at for at in range(0, len(digits), 2) if digits[at : at + 2] != "00"]
    pairs = (used[-1] - used[0]) // 2 + 1 if used else 0
    return pairs + 1 + text.startswith("-")
