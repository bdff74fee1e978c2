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
from typing import Any

from rich.console import Console
from rich.text import Text

from triggerkit.core.changes import is_expiry
from triggerkit.core.item_json import differences
from triggerkit.core.safe_text import safe

LONGEST_VALUE = 40
NARROWEST = 40
ABSENT = "-"

_EVENT_COLOURS = {"INSERT": "green", "MODIFY": "yellow", "REMOVE": "red"}
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_NO_CLOCK = "--:--:--"
_CONSOLE = Console(color_system="standard", force_terminal=True, no_color=False)


def digest(event: Mapping[str, Any], width: int | None, *, colours: bool = False) -> str:
    """One line: UTC time, INSERT or MODIFY or REMOVE, keys, what changed, as old -> new.

    `width` is how many columns it may have, None for any number; below 40 it counts as 40.
    """
    record = event.get("kinesis")
    is_whole = isinstance(record, Mapping) and "partitionKey" in record
    try:
        parts = list(_kinesis(event) if is_whole else _change(event))
    except RecursionError:
        parts = [("a record that is nested too deeply to be shown", "")]
    line = Text.assemble(*((safe(text), style) for text, style in parts))
    if width is not None:
        line.truncate(max(width, NARROWEST), overflow="ellipsis")
    if not colours:
        return line.plain
    with _CONSOLE.capture() as written:
        _CONSOLE.print(line, soft_wrap=True, end="")
    return written.get()


def plain_text(value: Any) -> str:
    """A value of DynamoDB JSON without its type letters; text itself has no quotes."""
    text = next(iter(value.values())) if isinstance(value, Mapping) and len(value) == 1 else value
    return text if isinstance(text, str) else json_text(value)


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


def _change(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    change = event.get("dynamodb")
    if not isinstance(change, Mapping):
        yield json.dumps(event), ""
        return
    name = str(event.get("eventName", ""))
    images = (change.get("NewImage"), change.get("OldImage"), change.get("Keys"))
    new, old, keys = (image if isinstance(image, Mapping) else {} for image in images)
    yield _clock(change.get("ApproximateCreationDateTime")), "dim"
    yield "  ", ""
    yield f"{name:<6}", _EVENT_COLOURS.get(name, "")
    if is_expiry(event):
        yield " by TTL", "red"
    yield from _fields(keys, "bold")
    if not (new and old):
        yield from _fields({n: v for n, v in (new or old).items() if n not in keys}, "")
        return
    for path, *sides in _differences(old, new):
        before, after = (ABSENT if one is None else _shown(one) for one in sides)
        if before == after:  # another type: "1" became 1
            before, after = (_cut(json_text(one)) for one in sides)
        yield f"  {path}: ", "dim"
        yield before, "red"
        yield " -> ", "dim"
        yield after, "green"


def _kinesis(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    record = event["kinesis"]
    raw = str(record.get("data", ""))
    try:
        text = base64.b64decode(raw, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        text = raw
    yield _clock(record.get("approximateArrivalTimestamp")), "dim"
    yield f"  {record.get('partitionKey', '')}", "bold"
    yield f"  {text}".replace("\n", " "), ""


def _clock(seconds: Any) -> str:
    try:
        return datetime.fromtimestamp(float(seconds or 0), UTC).strftime("%H:%M:%S")
    except (TypeError, ValueError, OverflowError, OSError):  # no number, or beyond the calendar
        return _NO_CLOCK


def _fields(item: Mapping[str, Any], style: str) -> Iterator[tuple[str, str]]:
    for number, (name, value) in enumerate(item.items()):
        yield f"{' ' if number else '  '}{name}=", "dim"
        yield _shown(value), style


def _shown(value: Any) -> str:
    """As `plain_text`, not longer than a line can have."""
    return _cut(plain_text(value))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
