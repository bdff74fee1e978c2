"""The log as JSON, one line for each entry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TextIO

import msgspec
from structlog.processors import TimeStamper

from triggerkit.core.safe_text import safe, safe_lines
from triggerkit.runtime.log_writer import writer_of

FIELD_ORDER = (
    "timestamp",
    "level",
    "message",
    "event",
    "app",
    "env",
    "worker",
    "trigger",
    "source",
    "shard",
    "request_id",
    "attempt",
    "records",
    "first_sequence_number",
    "last_sequence_number",
    "iterator_age_seconds",
    "duration_seconds",
    "outcome",
    "error_type",
    "error_message",
    "trace_id",
)
"""The public log fields, in the order of JSON lines; any others follow them."""

_stamped = TimeStamper(fmt="iso")


class JsonSink:
    """Writes JSON lines; `fields` are on each of them."""

    always_shown = frozenset({"handler_printed"})

    def __init__(self, stream: TextIO, fields: Mapping[str, str]) -> None:
        self._writer = writer_of(stream)
        self._fields = fields

    def write(self, entry: dict[str, object], *, ours: bool, keep: bool) -> None:  # noqa: ARG002
        """See `LogSink`."""
        line = json_line(_stamped(None, "", {**entry, **self._fields}))
        self._writer.put(f"{line}\n", keep=keep)

    def close(self) -> None:
        """See `LogSink`."""
        self._writer.flush()


def json_line(entry: Mapping[str, object]) -> str:
    """The entry as one line of JSON, the public fields first. Never fails."""
    whole = {**entry, "message": message_of(entry)}
    ordered = {name: whole[name] for name in FIELD_ORDER if name in whole} | whole
    try:
        return safe_lines(msgspec.json.encode(ordered, enc_hook=repr).decode())
    except Exception:  # noqa: BLE001 - half a surrogate pair, a key of another type, a loop
        return json.dumps({str(name): safe(value) for name, value in ordered.items()})


def message_of(entry: Mapping[str, object]) -> str:
    """The text for people; made from the event's name where an entry has none."""
    message = entry.get("message")
    if message is None:
        return str(entry.get("event", "")).replace("_", " ")
    return message if isinstance(message, str) else safe(message)
