"""Items as people write them: plain JSON or DynamoDB JSON. Numbers keep every digit.

An object is DynamoDB JSON when each of its attributes is one type letter with a value of that type;
anything else is plain. Plain JSON has no binary values and no sets. What a JSON reader would silently
accept (a name given twice, NaN) is refused.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import IO, Any, Final, TypeAlias

from triggerkit.core.item_json import equal, wire_value
from triggerkit.errors import UsageError
from triggerkit.files import (
    DOCUMENT_BYTES,
    MIB,
    LongLine,
    decoded,
    lines_of,
    parse_json,
    read_bytes,
)

Item: TypeAlias = dict[str, dict[str, Any]]
"""Attribute values as boto3's client has them: numbers as text, binary values as bytes."""

LINE_BYTES: Final = 4 * MIB
"""An item of 400 KB in DynamoDB JSON, every character of it escaped, and room to spare."""
_HINT: Final = (
    'write an item such as {"id": "1", "total": 9.95}, or DynamoDB JSON: {"id": {"S": "1"}}'
)


def read_item(text: str, what: str) -> Item:
    """Read one item; `what` names it in errors. Raises UsageError: no JSON object, or no item."""
    return to_item(_parsed(text, what), what)


def read_items(stream: IO[bytes], what: str) -> Iterator[Item]:
    """Read a JSON object, an array of objects, or one object a line, which are read as they are asked for.

    Raises:
        UsageError: naming line or number of the item that cannot be read.
    """
    first, number = _first_line(stream, what)
    if _is_object(first):
        yield from _items_of_lines(first, number, stream, what)
        return
    rest = read_bytes(stream, what, DOCUMENT_BYTES - len(first))
    whole = _parsed(decoded(first + rest, what), what)
    if not isinstance(whole, list):
        yield to_item(whole, what)
        return
    for number, one in enumerate(whole, start=1):
        yield to_item(one, f"{what}, item {number}")


def _first_line(stream: IO[bytes], what: str) -> tuple[bytes, int]:
    """The first line that is not blank, of a long line that is an array its beginning; and its number."""
    number = 0
    while line := stream.readline(LINE_BYTES + 1):
        number += 1
        line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > LINE_BYTES and not line.lstrip().startswith(b"["):
            raise _too_long(what, number)
        if line.strip():
            return line, number
    raise UsageError(f"{what} is empty", hint=_HINT)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _items_of_lines(first: bytes, number: int, stream: IO[bytes], what: str) -> Iterator[Item]:
    for at, line in enumerate(itertools.chain([first], lines_of(stream, LINE_BYTES)), start=number):
        if isinstance(line, LongLine):
            raise _too_long(what, at)
        if line.strip():
            where = f"{what}, line {at}"
            yield to_item(_parsed(decoded(line, where), where), where)


def _too_long(what: str, number: int) -> UsageError:
    return UsageError(
        f"{what}, line {number} is longer than {LINE_BYTES // MIB} MiB",
        hint="an item has 400 KB at most; write one a line",
    )


def to_item(value: object, what: str) -> Item:
    """Turn a JSON object (numbers as Decimal) into an item. Raises UsageError."""
    if not isinstance(value, dict) or not value:
        shown = "an empty object" if value == {} else f"a JSON {_kind(value)}"
        raise UsageError(f"{what} is {shown}, not an item", hint=_HINT)
    typed = all(_is_typed(attribute) for attribute in value.values())
    read: Callable[[Any, str], dict[str, Any]] = _typed_value if typed else wire_value
    return {name: read(inner, f"{what}: {name}") for name, inner in value.items()}


def to_wire(item: Mapping[str, Any]) -> dict[str, Any]:
    """The same item as DynamoDB JSON: binary values in base64."""
    return {name: _wire_value(value) for name, value in item.items()}


def same_item(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two items are equal for DynamoDB: `1` is `1.0`, and sets have no order."""
    return equal({"M": to_wire(one)}, {"M": to_wire(other)})


def _parsed(text: str, what: str) -> object:
    value = parse_json(
        text,
        what,
        hint=_HINT,
        parse_int=Decimal,
        parse_float=Decimal,
        parse_constant=_no_constant,
        object_pairs_hook=_unique,
    )
    if "\\ud" in text.lower() and _has_half_character(value):
        raise UsageError(
            f"{what} has half a character: \\ud800 to \\udfff stand in pairs", hint=_HINT
        )
    return value


def _has_half_character(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return True
    return False


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of DynamoDB")


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} is given twice")
        found[name] = value
    return found


# --- DynamoDB JSON ------------------------------------------------------------------------------

_SHAPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "S": lambda value: isinstance(value, str),
    "N": lambda value: isinstance(value, str | Decimal),
    "B": lambda value: isinstance(value, str),
    "BOOL": lambda value: isinstance(value, bool),
    "NULL": lambda value: value is True,
    "M": lambda value: isinstance(value, dict),
    "L": lambda value: isinstance(value, list),
    "SS": lambda value: _all(value, str),
    "NS": lambda value: _all(value, str | Decimal),
    "BS": lambda value: _all(value, str),
}


def _all(value: object, kind: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


def _is_typed(value: object) -> bool:
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((letter, inner),) = value.items()
    return letter in _SHAPES and _SHAPES[letter](inner)


def _typed_value(value: Any, what: str) -> dict[str, Any]:
    if not _is_typed(value):
        raise UsageError(
            f"{what} is not DynamoDB JSON, and what is around it is",
            hint='write each value with its type: {"S": "text"}, {"N": "1"}',
        )
    ((letter, inner),) = value.items()
    match letter:
        case "M":
            return {"M": {name: _typed_value(one, f"{what}.{name}") for name, one in inner.items()}}
        case "L":
            return {"L": [_typed_value(one, f"{what}[{n}]") for n, one in enumerate(inner)]}
        case "B":
            return {"B": _bytes(inner, what)}
        case "BS":
            return {"BS": [_bytes(one, what) for one in inner]}
        case "N":
            return {"N": str(inner)}
        case "NS":
            return {"NS": [str(one) for one in inner]}
        case _:
            return {letter: inner}


def _bytes(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"{what} is not base64", hint="write binary values in base64") from None


def _wire_value(value: Mapping[str, Any]) -> dict[str, Any]:
    ((letter, inner),) = value.items()
    match letter:
        case "M":
            return {"M": to_wire(inner)}
        case "L":
            return {"L": [_wire_value(one) for one in inner]}
        case "B":
            return {"B": base64.b64encode(inner).decode()}
        case "BS":
            return {"BS": [base64.b64encode(one).decode() for one in inner]}
        case _:
            return {letter: inner}


def _kind(value: object) -> str:
    match value:
        case list():
            return "array"
        case str():
            return "text"
        case bool():
            return "boolean"
        case None:
            return "null"
        case _:
            return "number"
