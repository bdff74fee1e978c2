"""Attribute values in DynamoDB JSON, made canonical.

Every value of a request is validated and made canonical once, by `normalise`: numbers in plain notation without
needless zeros, sets sorted, base64 encoded again. After that two equal values are equal Python dicts, which
conditions and the comparison of old and new items need. Canonical values are never changed in place.
"""

from __future__ import annotations

import base64
import binascii
import decimal
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from triggerkit.emulator.errors import EmulatorError, invalid_parameter, validation

Value: TypeAlias = dict[str, Any]
"""One attribute value: a dict with exactly one type tag, for example `{"S": "a"}`."""
Item: TypeAlias = dict[str, Value]
"""Attribute names to values."""

MAX_NESTING = 32
MAX_DIGITS = 38
ITEM_LIMIT_BYTES = 400 * 1024
_LARGEST = decimal.Decimal("9.9999999999999999999999999999999999999E+125")
_SMALLEST = decimal.Decimal("1E-130")
_PLAIN = re.compile(r"0|-?[1-9][0-9]{0,37}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_EMPTY = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
_EXACT = decimal.Context(prec=400, Emax=10_000, Emin=-10_000)


def number(text: object) -> str:
    """Return a number in canonical notation.

    Raises:
        EmulatorError: ValidationException for what is no number or outside DynamoDB's range of 38
            digits and magnitude 1E-130 to 9.99E+125. Source: DynamoDB guide, naming rules and data
            types, number.
    """
    if not isinstance(text, str):
        raise serialization("N", text)
    if _PLAIN.fullmatch(text):
        return text
    if not _NUMBER.fullmatch(text):
        if not text:
            raise validation("The parameter cannot be converted to a numeric value")
        raise validation(f"The parameter cannot be converted to a numeric value: {text}")
    return canonical(_EXACT.create_decimal(text))


def canonical(value: decimal.Decimal) -> str:
    """Return a decimal in canonical notation; raises as `number` does."""
    value = value.normalize(_EXACT)
    if not value:
        return "0"
    if abs(value) > _LARGEST and value.adjusted() > 125:
        raise validation(
            "Number overflow. Attempting to store a number with magnitude larger than supported range"
        )
    if abs(value) < _SMALLEST:
        raise validation(
            "Number underflow. Attempting to store a number with magnitude smaller than supported "
            "range"
        )
    if len(value.as_tuple().digits) > MAX_DIGITS:
        raise validation("Attempting to store more than 38 significant digits in a Number")
    return format(value, "f")


def calculate(left: str, operator: str, right: str) -> str:
    """Return `left + right` or `left - right`, exactly; raises as `number` does."""
    first, second = decimal.Decimal(left), decimal.Decimal(right)
    combine = _EXACT.add if operator == "+" else _EXACT.subtract
    result = combine(first, second).normalize(_EXACT)
    if len(result.as_tuple().digits) > MAX_DIGITS:
        raise validation("DynamoDB only supports precision up to 38 digits")
    return canonical(result)


def serialization(kind: str, value: object) -> EmulatorError:
    """Return the answer to JSON of the wrong shape."""
    return EmulatorError(
        "SerializationException",
        f"Unexpected value for type {kind}: a {type(value).__name__} is not valid here",
    )


def normalise_item(item: object) -> Item:
    """Return an item with canonical values.

    Raises:
        EmulatorError: the item is no map of attribute values, or a value is invalid.
    """
    if not isinstance(item, Mapping):
        raise serialization("Map", item)
    return _normalised(item, 0)


def with_map_types(image: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded image as DynamoDB sends it; DynamoDB Local 3 writes an empty map as `{}`."""

    def typed(value: Any) -> Any:
        match value:
            case {"M": Mapping() as inner}:
                return {"M": {name: typed(one) for name, one in inner.items()}}
            case {"L": list() as inner}:
                return {"L": [typed(one) for one in inner]}
            case _:
                return {"M": {}} if value == {} else value

    return {name: typed(value) for name, value in image.items()}


def normalise(value: object, depth: int = 0) -> Value:
    """Return one canonical value; `depth` counts the maps and lists around it, the item not.

    Raises:
        EmulatorError: ValidationException or SerializationException, as AWS answers.
    """
    kind, content = _only_member(value)
    if kind == "S" and isinstance(content, str):
        return {"S": content}
    if kind == "N":
        return {"N": number(content)}
    reader = _READERS.get(kind)
    if reader is None:
        raise validation(_EMPTY)
    return {kind: reader(content, depth)}


def _only_member(value: object) -> tuple[str, object]:
    """Return type tag and content of a value; members that are null count as absent."""
    if value is None:
        raise validation(_EMPTY)
    if not isinstance(value, Mapping):
        raise serialization("AttributeValue", value)
    members = [(kind, content) for kind, content in value.items() if content is not None]
    if not members:
        raise validation(_EMPTY)
    if len(members) > 1:
        raise validation(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of "
            "the supported datatypes"
        )
    return members[0]


def _string(content: object, _depth: int) -> str:
    raise serialization("S", content)


def _boolean(content: object, _depth: int) -> bool:
    if not isinstance(content, bool):
        raise serialization("BOOL", content)
    return content


def _null(content: object, _depth: int) -> bool:
    if not isinstance(content, bool):
        raise serialization("NULL", content)
    if not content:
        raise invalid_parameter("Null attribute value types must have the value of true")
    return True


def binary(content: object, _depth: int = 0) -> str:
    """Return base64 text in its canonical padding."""
    if not isinstance(content, str):
        raise serialization("B", content)
    try:
        return base64.b64encode(base64.b64decode(content, validate=True)).decode()
    except (binascii.Error, ValueError):
        raise EmulatorError(
            "SerializationException", "Base64 value of a binary attribute is invalid"
        ) from None


def _listed(content: object, depth: int) -> list[Value]:
    if not isinstance(content, list):
        raise serialization("L", content)
    _check_depth(depth)
    return [normalise(element, depth + 1) for element in content]


def _mapped(content: object, depth: int) -> dict[str, Value]:
    if not isinstance(content, Mapping):
        raise serialization("M", content)
    _check_depth(depth)
    return _normalised(content, depth + 1)


def _check_depth(depth: int) -> None:
    """Refuse a map or list with too many around it; the item itself is the first level."""
    if depth >= MAX_NESTING - 1:
        raise validation(
            "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels "
            "beyond supported limit"
        )


def check_nesting(value: Value | None, depth: int = 0) -> None:
    """Refuse a canonical value with too many maps and lists inside each other.

    Raises:
        EmulatorError: ValidationException.
    """
    inner = () if value is None else value.get("L") or value.get("M", {}).values()
    if inner:
        _check_depth(depth)
    for element in inner:
        check_nesting(element, depth + 1)


def _normalised(entries: Mapping[str, object], depth: int) -> dict[str, Value]:
    if "" in entries:
        raise validation("Empty attribute name")
    return {name: normalise(value, depth) for name, value in entries.items()}


def _strings(content: object, _depth: int) -> list[str]:
    def text(element: object) -> str:
        if not isinstance(element, str):
            raise serialization("SS", element)
        return element

    return _collection(content, "string", text, str.encode)


def _numbers(content: object, _depth: int) -> list[str]:
    return _collection(content, "number", number, decimal.Decimal)


def _binaries(content: object, _depth: int) -> list[str]:
    return _collection(content, "binary", binary, base64.b64decode)


def _collection(
    content: object,
    noun: str,
    read: Callable[[object], str],
    order: Callable[[str], Any],
) -> list[str]:
    if not isinstance(content, list):
        raise serialization(f"{noun} set", content)
    if not content:
        raise invalid_parameter(
            "Binary sets should not be empty"
            if noun == "binary"
            else f"An {noun} set  may not be empty"
        )
    members = [read(element) for element in content]
    if len(set(members)) != len(members):
        shown = ", ".join(map(str, content))
        raise invalid_parameter(f"Input collection [{shown}] contains duplicates.")
    return sorted(members, key=order)


_READERS: dict[str, Callable[[object, int], Any]] = {
    "S": _string,
    "B": binary,
    "BOOL": _boolean,
    "NULL": _null,
    "L": _listed,
    "M": _mapped,
    "SS": _strings,
    "NS": _numbers,
    "BS": _binaries,
}


def sorted_set(kind: str, members: set[str]) -> list[str]:
    """Return the members of a set of `kind` ("SS", "NS" or "BS") in canonical order."""
    order: Callable[[str], Any]
    match kind:
        case "NS":
            order = decimal.Decimal
        case "BS":
            order = base64.b64decode
        case _:
            order = str.encode
    return sorted(members, key=order)


def comparable(value: Value) -> Any:
    """Return what orders two values of one type among "S", "N" and "B"; None for other types."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return content.encode()
        case "N":
            return decimal.Decimal(content)
        case "B":
            return base64.b64decode(content)
        case _:
            return None
