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
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from triggerkit.core.safe_text import safe

LONGEST_VALUE = 40
NARROWEST = 40
ABSENT = "-"

Part: TypeAlias = tuple[str, str]
"""Text, and the colour of it: a name of `_CODES`, or empty."""
_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33}
_EVENT_COLOURS = {"INSERT": "green", "MODIFY": "yellow", "REMOVE": "red"}
_MISSING = object()
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_NO_CLOCK = "--:--:--"


@dataclass(frozen=True, slots=True)
class Number:
    """A number of DynamoDB, with the digits that it has there."""

    text: str

    def __str__(self) -> str:
        return self.text


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


def plain(value: Any) -> Any:
    """A value of DynamoDB JSON without its type letters; a number is a `Number`."""
    match value:
        case {"N": number}:
            return _number(number)
        case {"NS": list() as numbers}:
            return [_number(one) for one in numbers]
        case {"M": Mapping() as fields}:
            return {name: plain(inner) for name, inner in fields.items()}
        case {"L": list() as items}:
            return [plain(inner) for inner in items]
        case {"NULL": _}:
            return None
        case {**only} if len(only) == 1:
            return next(iter(only.values()))
        case _:
            return value


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, old and new text of everything that differs; into maps, not into lists."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in {**old, **new}:
            below = f"{path}.{name}" if path else name
            yield from differences(old.get(name, _MISSING), new.get(name, _MISSING), below)
    elif old is _MISSING or new is _MISSING or old != new:
        before, after = _or_absent(old), _or_absent(new)
        if before == after and not isinstance(old, Mapping):  # another type: "1" became 1
            before, after = (_cut(json_text(one), LONGEST_VALUE) for one in (old, new))
        yield path, before, after


def shown(value: Any) -> str:
    """A value as short text; text itself has no quotes."""
    return _cut(value if isinstance(value, str) else json_text(value), LONGEST_VALUE)


def json_text(value: Any) -> str:
    """A value of `plain` as JSON, numbers with all their digits."""
    match value:
        case Number(text=text):
            return text
        case Mapping():
            members = (f"{json_text(str(name))}: {json_text(one)}" for name, one in value.items())
            return f"{{{', '.join(members)}}}"
        case list():
            return f"[{', '.join(map(json_text, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)


def _number(value: Any) -> Any:
    text = str(value)
    return Number(text) if _NUMBER.fullmatch(text) else value


def _change(event: Mapping[str, Any]) -> list[Part]:
    change = event.get("dynamodb")
    if not isinstance(change, Mapping):
        return [(json.dumps(event), "")]
    name = str(event.get("eventName", ""))
    images = (change.get("NewImage"), change.get("OldImage"), change.get("Keys"))
    new, old, keys = (
        {name: plain(value) for name, value in image.items()} if isinstance(image, Mapping) else {}
        for image in images
    )
    parts: list[Part] = [
        (_clock(change.get("ApproximateCreationDateTime")), "dim"),
        ("  ", ""),
        (f"{name:<6}", _EVENT_COLOURS.get(name, "")),
    ]
    if is_expiry(event):
        parts += [(" by TTL", "red")]
    parts += _gap(list(_fields(keys, "bold")))
    if new and old:
        for path, before, after in differences(old, new):
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


def _or_absent(value: Any) -> str:
    return ABSENT if value is _MISSING else shown(value)


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
