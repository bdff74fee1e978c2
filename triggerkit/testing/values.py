"""Python values to attribute values, as boto3's resources take them. Rule: no digit is lost or made up.

Text, int, float, Decimal, bytes, bool, None, sets of one kind, lists, tuples and mappings.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from triggerkit.errors import UsageError
from triggerkit.invokers.images import value_of

Wire: TypeAlias = dict[str, Any]
"""DynamoDB JSON: numbers are text, binary values base64."""


def wire_item(item: Mapping[str, object], what: str) -> dict[str, Wire]:
    """A whole item; `what` names it in errors. Raises UsageError: a value that no item can have."""
    return {name: wire_value(value, f"{what}: {name}") for name, value in item.items()}


def wire_value(value: object, what: str) -> Wire:
    """One value. Raises UsageError."""
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
            return {"B": _base64(value)}
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


def shown_key(wire: Mapping[str, Wire], names: Sequence[str] = ()) -> object:
    """A key as tests compare it: the value itself, or a tuple where there is a sort key.

    `names` is the order, partition key first; as given unless told. Whole numbers are int.
    """
    values = tuple(_plain(value_of(wire[name])) for name in names or wire)
    return values[0] if len(values) == 1 else values


def _plain(value: object) -> object:
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return value


def _digits(number: float | Decimal, what: str) -> str:
    if not math.isfinite(number):
        raise UsageError(f"{what} is {number}, no number of DynamoDB", hint="leave it out")
    return str(number)


def _base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()


def _wire_set(values: set[object] | frozenset[object], what: str) -> Wire:
    kinds = {
        "S": [one for one in values if isinstance(one, str)],
        "N": [
            _digits(one, what)
            for one in values
            if isinstance(one, int | float | Decimal) and not isinstance(one, bool)
        ],
        "B": [_base64(one) for one in values if isinstance(one, bytes | bytearray)],
    }
    for kind, members in kinds.items():
        if members and len(members) == len(values):
            return {f"{kind}S": sorted(members)}
    raise UsageError(
        f"{what} is a set that DynamoDB cannot have", hint="not empty, all text, numbers or bytes"
    )
