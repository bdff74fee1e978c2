"""When a record was made, in whatever form an endpoint tells it.

AWS sends whole seconds since 1970. Other endpoints were seen to send fractions, milliseconds and ISO 8601;
what can be meant in one way only is read, and everything else is refused.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

Told: TypeAlias = float | str | None
END_SECONDS = 4_102_444_800.0
"""The year 2100. What is larger is no time in seconds."""
_BEGIN_SECONDS = 1_262_304_000.0
"""The year 2010: DynamoDB is younger, so a time in smaller units than seconds is not before that."""
_UNITS_PER_SECOND = (1e3, 1e6, 1e9)


def creation_seconds(told: Told) -> float | None:
    """Seconds since 1970; None where no time was told.

    Raises:
        ValueError: it cannot be told what is meant. The message does not show the value.
    """
    if told is None:
        return None
    if isinstance(told, str):
        return _in_range(_read(told))
    return _in_range(told)


def _read(text: str) -> float:
    try:
        if len(text) <= 40 and text.replace(".", "", 1).isdecimal() and text.isascii():
            return float(text)
        at = datetime.fromisoformat(text[:40])
    except ValueError:
        raise ValueError("it is neither a number nor a time in ISO 8601") from None
    if at.tzinfo is None:
        raise ValueError("it is a time without a zone")
    return at.timestamp()


def _in_range(number: float) -> float:
    if 0.0 <= number < END_SECONDS:
        return number
    for units in _UNITS_PER_SECOND:
        if _BEGIN_SECONDS <= number / units < END_SECONDS:
            return number / units
    raise ValueError("it is no time between 1970 and 2100")
