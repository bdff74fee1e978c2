"""How one log entry looks; rendering never fails, and what came from outside cannot act on a terminal.

An entry is a mapping with at least `event` (what happened, a fixed word) and `level`; `message` is
the text for people and is made from `event` where it is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import msgspec

from triggerkit.core.masking import masked_value
from triggerkit.core.safe_text import (
    safe,
    safe_block,
    safe_lines,
    safe_with_colours,
    without_colours,
)

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

_LEFT_OUT = frozenset(
    {"timestamp", "level", "message", "event", "app", "env", "worker", "exception"}
)
_SHORTENED = frozenset({"shard", "request_id"})
_SEQUENCE_NUMBERS = frozenset({"first_sequence_number", "last_sequence_number"})
_QUIET_FIELDS = {
    "handler_printed": frozenset({"shard", "request_id", "attempt", "stream"}),
    "handler_logged": frozenset({"source", "shard", "request_id", "attempt", "logger"}),
    "batch_done": _SEQUENCE_NUMBERS | {"outcome"},
    "batch_failed": _SEQUENCE_NUMBERS | {"outcome"},
    "batch_partly_failed": _SEQUENCE_NUMBERS | {"outcome"},
    "trigger": frozenset({"source"}),
    "started": frozenset({"state"}),
    "table_made": frozenset({"table", "key"}),
    "state_created": frozenset({"state"}),
    "state_empty": frozenset({"state"}),
}
"""What a person does not look for in that event; JSON lines have it."""
_SHORT_LENGTH = 8
_LONGEST_INLINE = 60
INDENT = " " * 10
_BELOW = {"error_message": "", "hint": "fix: "}
_LEVEL_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}


HANDLERS_OWN = frozenset({"handler_printed", "handler_logged"})
"""Events whose message is the handler's own: its colours stay, and nothing in it is masked."""
_HANDLERS_TEXTS = frozenset({"message", "shown_records"})


def without_secrets(entry: Mapping[str, object]) -> dict[str, object]:
    """The entry with the secrets of locators and URLs masked; not in what a handler says, nor in items."""
    kept = _HANDLERS_TEXTS if entry.get("event") in HANDLERS_OWN else {"shown_records"}
    return {name: value if name in kept else masked_value(value) for name, value in entry.items()}


def safe_entry(entry: Mapping[str, object], *, colours: bool) -> dict[str, object]:
    """The entry with texts that a terminal only shows; a message and a traceback may have several lines.

    Other values than texts are made safe as they are rendered.
    """
    shown: dict[str, object] = {}
    for name, value in entry.items():
        match value:
            case str() if name == "exception":
                shown[name] = safe_block(value, INDENT)
            case str() if name == "message" and entry.get("event") in HANDLERS_OWN:
                said = safe_with_colours(value, colours=colours)
                is_printed = (
                    entry.get("event") == "handler_printed"
                )  # each line becomes one of ours
                shown[name] = said if is_printed else said.replace("\n", f"\n{INDENT}")
            case str() if name == "message":
                shown[name] = safe_lines(value, INDENT)
            case str():
                shown[safe(name)] = safe(value)
            case _:
                shown[safe(name)] = value
    return shown


def json_line(entry: Mapping[str, object]) -> str:
    """The entry as one line of JSON, the public fields first."""
    whole = {**entry, "message": message_of(entry)}
    ordered = {name: whole[name] for name in FIELD_ORDER if name in whole}
    ordered |= {name: value for name, value in whole.items() if name not in ordered}
    try:
        return safe_lines(msgspec.json.encode(ordered, enc_hook=repr).decode())
    except Exception:  # noqa: BLE001 - half a surrogate pair, a key of another type, a loop
        return json.dumps({str(name): safe(value) for name, value in ordered.items()})


def pretty_line(entry: Mapping[str, object], *, colours: bool, name: str = "") -> str:
    """The entry for a terminal: time, trigger, message, fields, and a traceback below.

    `name` is the trigger as it is to stand in its column; without it that is a field like the others. The
    level is told where it is more than `info`, or less.
    """
    level = str(entry.get("level", "info"))
    message = message_of(entry)
    if level != "info":
        message = f"{painted(f'{level}:', _LEVEL_COLOURS.get(level, '0'), colours)} {message}"
    fields = " ".join(
        f"{painted(field + '=', '2', colours)}{shown}"
        for field, shown in _shown_fields(entry)
        if field != "trigger" or not name
    )
    clock = painted(str(entry.get("timestamp", ""))[11:19], "2", colours)
    line = "  ".join(part for part in (clock, name, message, fields) if part)
    for field, text in _told_below(entry):
        line += f"\n{INDENT}{_BELOW[field]}{text}"
    exception = entry.get("exception")
    if exception:
        line += f"\n{exception}"
    return line if colours else without_colours(line)


def painted(text: str, colour: str, colours: bool) -> str:
    """The text in that colour of ANSI, when colours are wanted."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colours and text else text


def as_option(value: object) -> str:
    """A value as a configuration would spell it."""
    match value:
        case bool():
            return str(value).lower()
        case list() | tuple() | dict():
            try:
                return safe(json.dumps(value, ensure_ascii=False, default=str))
            except (TypeError, ValueError):
                return safe(value)
        case float():
            return f"{value:g}"
        case _:
            return safe(value)


def message_of(entry: Mapping[str, object]) -> str:
    """The text for people."""
    message = entry.get("message")
    if message is None:
        return str(entry.get("event", "")).replace("_", " ")
    return message if isinstance(message, str) else safe(message)


def _told_below(entry: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Sentences, which would make a wall of the line; a traceback ends with the error's own."""
    for name in _BELOW:
        text = safe(entry.get(name) or "")
        is_long = len(text) > _LONGEST_INLINE and not entry.get("exception")
        if text and (name == "hint" or is_long):
            yield name, text


def _shown_fields(entry: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    names = [name for name in FIELD_ORDER if name in entry]
    names += [name for name in entry if name not in FIELD_ORDER]
    below = {name for name, _ in _told_below(entry)}
    if entry.get("exception"):
        below |= {"error_type", "error_message"}
    quiet = _LEFT_OUT | below | _QUIET_FIELDS.get(str(entry.get("event")), frozenset())
    for name in names:
        value = entry[name]
        if name in quiet or value is None or (name == "source" and "trigger" in entry):
            continue
        if name == "attempt" and value == 1:
            continue
        if name == "options" and isinstance(value, Mapping):
            yield from _shown_fields(value)
            continue
        text = _in_words(value)
        if name in _SHORTENED and len(text) > _SHORT_LENGTH + 1:
            text = f"~{text[-_SHORT_LENGTH:]}"
        yield name, _quoted(text) if _needs_quotes(text) else text


def _in_words(value: object) -> str:
    match value:
        case float() if abs(value) < 1000:
            return f"{value:.3g}"
        case list() | tuple():
            return ",".join(map(safe, value))
        case _:
            return safe(value)


def _quoted(text: str) -> str:
    escaped = text.replace('"', '\\"')
    return f'"{escaped}"'


def _needs_quotes(text: str) -> bool:
    return not text or any(character.isspace() or character in '"=' for character in text)
