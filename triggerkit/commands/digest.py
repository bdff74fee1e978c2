"""A change in one line, for a person: what happened, to which item, and what is different now.

DynamoDB's type letters are left out and long values are cut: `-o json` shows everything. Colours add
nothing that the words do not say.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from triggerkit.core.item_json import differences
from triggerkit.core.safe_text import safe

LONGEST_VALUE = 40
NARROWEST = 40
ABSENT = "-"

Part: TypeAlias = tuple[str, str]
"""Text, and the colour of it: a name of `_CODES`, or empty."""
_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33}
_EVENT_COLOURS = {"INSERT": "green", "MODIFY": "yellow", "REMOVE": "red"}
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_NO_CLOCK = "--:--:--"


def digest(event: Mapping[str, Any], width: int | None, *, colours: bool = False) -> str:
    """One line: UTC time, INSERT or MODIFY or REMOVE, keys, what changed, as old -> new.

    `width` is how many columns it may have, None for any number; below 40 it counts as 40.
    """
    record = event.get("kinesis")
    is_whole = isinstance(record, Mapping) and "partitionKey" in record
    try:
        parts = _kinesis(event) if is_whole else _change(event)
    except RecursionError:
        parts = [("a record that is nested too deeply to be shown", "")]
    parts = [(safe(text), colour) for text, colour in parts]
    kept = parts if width is None else _cut_parts(parts, max(width, NARROWEST))
    return "".join(_painted(text, colour) if colours else text for text, colour in kept)


def plain_text(value: Any) -> str:
    """A value of DynamoDB JSON without its type letters; text itself has no quotes."""
    text = next(iter(value.values())) if isinstance(value, Mapping) and len(value) == 1 else value
    return text if isinstance(text, str) else json_text(value)


def shown(value: Any) -> str:
    """The same, not longer than a line can have."""
    return _cut(plain_text(value), LONGEST_VALUE)


def json_text(value: Any) -> str:
    """A value of DynamoDB JSON as JSON without its type letters; numbers keep all their digits."""
    match value:
        case {"N": number}:
            return _number_text(number)
        case {"NS": list() as numbers}:
            return f"[{', '.join(map(_number_text, numbers))}]"
        case {"M": Mapping() as fields}:
            members = (f"{_dumped(str(name))}: {json_text(one)}" for name, one in fields.items())
            return f"{{{', '.join(members)}}}"
        case {"L": list() as items}:
            return f"[{', '.join(map(json_text, items))}]"
        case {"NULL": _}:
            return "null"
        case {**only} if len(only) == 1:
            return _dumped(next(iter(only.values())))
        case _:
            return _dumped(value)


def _number_text(value: Any) -> str:
    text = str(value)
    return text if _NUMBER.fullmatch(text) else _dumped(value)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    try:
        return list(differences(old, new))
    except (AttributeError, TypeError, ValueError, ArithmeticError):  # no attribute values
        return [(name, old.get(name), new.get(name)) for name in {**old, **new}]


def _change(event: Mapping[str, Any]) -> list[Part]:
    change = event.get("dynamodb")
    if not isinstance(change, Mapping):
        return [(json.dumps(event), "")]
    name = str(event.get("eventName", ""))
    images = (change.get("NewImage"), change.get("OldImage"), change.get("Keys"))
    new, old, keys = (image if isinstance(image, Mapping) else {} for image in images)
    parts: list[Part] = [
        (_clock(change.get("ApproximateCreationDateTime")), "dim"),
        ("  ", ""),
        (f"{name:<6}", _EVENT_COLOURS.get(name, "")),
    ]
    if is_expiry(event):
        parts += [(" by TTL", "red")]
    parts += _gap(list(_fields(keys, "bold")))
    if new and old:
        for path, *sides in _differences(old, new):
            before, after = (ABSENT if one is None else shown(one) for one in sides)
            if before == after:  # another type: "1" became 1
                before, after = (_cut(json_text(one), LONGEST_VALUE) for one in sides)
            parts += _gap(
                [(f"{path}: ", "dim"), (before, "red"), (" -> ", "dim"), (after, "green")]
            )
        return parts
    rest = {name: value for name, value in (new or old).items() if name not in keys}
    return parts + _gap(list(_fields(rest, "")))


def is_expiry(event: Mapping[str, Any]) -> bool:
    """Whether Time to Live deleted the item."""
    who = event.get("userIdentity")
    return isinstance(who, Mapping) and who.get("principalId") == "dynamodb.amazonaws.com"


def _kinesis(event: Mapping[str, Any]) -> list[Part]:
    record = event["kinesis"]
    raw = str(record.get("data", ""))
    try:
        text = base64.b64decode(raw, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        text = raw
    return [
        (_clock(record.get("approximateArrivalTimestamp")), "dim"),
        ("  ", ""),
        (str(record.get("partitionKey", "")), "bold"),
        ("  ", ""),
        (text.replace("\n", " "), ""),
    ]


def _clock(seconds: Any) -> str:
    try:
        return datetime.fromtimestamp(float(seconds or 0), UTC).strftime("%H:%M:%S")
    except (TypeError, ValueError, OverflowError, OSError):  # no number, or beyond the calendar
        return _NO_CLOCK


def _gap(parts: list[Part]) -> list[Part]:
    return [("  ", ""), *parts] if parts else []


def _fields(item: Mapping[str, Any], colour: str) -> Iterator[Part]:
    for number, (name, value) in enumerate(item.items()):
        yield f"{' ' if number else ''}{name}=", "dim"
        yield shown(value), colour


def _cut_parts(parts: list[Part], width: int) -> list[Part]:
    if sum(len(text) for text, _ in parts) <= width:
        return parts
    kept: list[Part] = []
    left = width - 1
    for text, colour in parts:
        kept.append((text[:left], colour))
        left -= len(text)
        if left <= 0:
            break
    return [*kept, ("…", "")]


def _painted(text: str, colour: str) -> str:
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if colour and text else text


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
