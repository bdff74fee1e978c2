"""What people type: points in time (always in UTC), durations, the key of one item."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from triggerkit.commands.digest import plain_text
from triggerkit.errors import UsageError
from triggerkit.runtime.item_json import Item, read_item, same_item, to_wire

_UNITS: Mapping[str, float] = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_TIME_OF_DAY = re.compile(r"\d\d:\d\d(:\d\d)?$")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_HINT = "write a duration such as 90s, 10m, 2h or 1d, or a time such as 14:30 or 2026-01-31T14:30, in UTC"


def read_since(text: str, now_seconds: float) -> float:
    """UNIX seconds of a duration before now (`1h30m`), a time of today or a date and time.

    Raises:
        UsageError: it is none of them, or it is in the future.
    """
    given = text.strip()
    ago_seconds = _duration_seconds(given)
    if ago_seconds is not None:
        return now_seconds - ago_seconds
    at = _read_time(given, now_seconds)
    if at is None:
        raise UsageError(f"--since {text!r} is neither a duration nor a time", hint=_HINT)
    if at.timestamp() > now_seconds:
        raise UsageError(
            f"--since {text!r} is {at:%Y-%m-%d %H:%M:%S} UTC, which is in the future", hint=_HINT
        )
    return at.timestamp()


def read_duration(text: str, flag: str) -> float:
    """Seconds of `90s`, `10m` or `1h30m`; `flag` names it in errors. Raises UsageError: it is none."""
    seconds = _duration_seconds(text.strip())
    if not seconds:
        raise UsageError(
            f"{flag} {text!r} is not a duration", hint="write a duration such as 90s, 10m or 1h30m"
        )
    return seconds


def _duration_seconds(given: str) -> float | None:
    parts = _DURATION.findall(given)
    if not given or "".join(number + unit for number, unit in parts) != given:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _read_time(text: str, now_seconds: float) -> datetime | None:
    try:
        if _TIME_OF_DAY.match(text):
            today = datetime.fromtimestamp(now_seconds, UTC).date()
            return datetime.combine(today, time.fromisoformat(text), UTC)
        at = datetime.fromisoformat(text) if _DATE.match(text) else None
    except ValueError:
        return None
    return at if at is None or at.tzinfo else at.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SoughtKey:
    """Attributes that a key must have, or else the text of any one of them."""

    attributes: Item | None
    text: str = ""

    def fits(self, event: Mapping[str, Any]) -> bool:
        """Whether a record is of that item, or of that partition key."""
        record = event.get("kinesis")
        if isinstance(record, Mapping):
            return self.attributes is None and record.get("partitionKey") == self.text
        change = event.get("dynamodb")
        keys = change.get("Keys") if isinstance(change, Mapping) else None
        if not isinstance(keys, Mapping):
            return False
        if self.attributes is None:
            return any(plain_text(value) == self.text for value in keys.values())
        return all(
            name in keys and same_item({name: value}, {name: keys[name]})
            for name, value in to_wire(self.attributes).items()
        )


def read_key(text: str) -> SoughtKey:
    """Read `{"id": "o-1"}`, plain or DynamoDB JSON, or a value such as `o-1`.

    Raises:
        UsageError: it begins as an object and is none.
    """
    if text.lstrip().startswith("{"):
        return SoughtKey(read_item(text, "--key"))
    return SoughtKey(None, text)
