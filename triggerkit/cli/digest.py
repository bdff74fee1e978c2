"""A change in one line, for a person. Rule: what happened, to which item, and what is different now.

DynamoDB's type letters are left out and long values are cut: `--json` shows everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

LONGEST_VALUE = 40
NARROWEST = 40


def digest(event: Mapping[str, Any], width: int) -> str:
    """One line: UTC time, INSERT or MODIFY or REMOVE, keys, what changed.

    `width` is how many columns it may have; below 40 it counts as 40.
    """
    width = max(width, NARROWEST)
    change = event.get("dynamodb")
    if not isinstance(change, Mapping):
        return _cut(json.dumps(event), width)
    at_seconds = float(change.get("ApproximateCreationDateTime", 0))
    clock = datetime.fromtimestamp(at_seconds, UTC).strftime("%H:%M:%S")
    keys = plain_item(change.get("Keys", {}))
    new, old = (plain_item(change.get(name, {})) for name in ("NewImage", "OldImage"))
    parts = [clock, f"{event.get('eventName', ''):<6}", _fields(keys), _what(new, old, keys)]
    return _cut("  ".join(part for part in parts if part), width)


def plain_item(item: Mapping[str, Any]) -> dict[str, str]:
    """Attribute values as short text, without their type letters."""
    return {name: _shown(_plain(value)) for name, value in item.items()}


def _what(new: Mapping[str, str], old: Mapping[str, str], keys: Mapping[str, str]) -> str:
    if not (new and old):
        image = new or old
        return _fields({name: text for name, text in image.items() if name not in keys})
    names = [name for name in {**old, **new} if new.get(name) != old.get(name)]
    return "  ".join(f"{name}: {old.get(name, '-')} -> {new.get(name, '-')}" for name in names)


def _fields(item: Mapping[str, str]) -> str:
    return " ".join(f"{name}={text}" for name, text in item.items())


def _plain(value: Any) -> Any:
    match value:
        case {"M": Mapping() as fields}:
            return {name: _plain(inner) for name, inner in fields.items()}
        case {"L": list() as items}:
            return [_plain(inner) for inner in items]
        case {"NULL": _}:
            return None
        case {**only} if len(only) == 1:
            return next(iter(only.values()))
        case _:
            return value


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _cut(text, LONGEST_VALUE)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
