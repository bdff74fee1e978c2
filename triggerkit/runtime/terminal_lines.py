"""The log as a person reads it: a failure always shows, with its traceback; routine is counted.

Entries go in, finished lines come out. All of it comes from the entries alone, so a terminal shows what
JSON lines have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, TypeAlias

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from structlog.dev import Column, ConsoleRenderer, KeyValueColumnFormatter, plain_traceback

from triggerkit.core.safe_text import (
    safe,
    safe_block,
    safe_lines,
    safe_with_colours,
)
from triggerkit.core.words import counted, in_time, short_name
from triggerkit.runtime.log_json import FIELD_ORDER, message_of

INDENT = " " * 10
WIDEST = 110
"""Sentences are wrapped there in a wider terminal; what handlers print never is."""
WIDEST_NAME = 24
OPENING = frozenset({"starting", "trigger", "unlimited_retries"})
BATCH_SECONDS = 1.0
SHARD_SECONDS = 0.25
"""Shards are taken and let go together; this gathers them."""
COUNTED = frozenset({"batch_done", "lease_taken", "lease_released", "shard_finished"})
HANDLERS_OWN = frozenset({"handler_printed", "handler_logged"})
"""A handler's own words keep their colours."""

_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_TRIGGER_STYLES = tuple(f"\x1b[{number}m" for number in (36, 35, 34, 32, 33))
_LEVEL_STYLES = {
    "debug": _DIM,
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[1;31m",
}
_LONGEST_INLINE = 60
_BELOW = {"error_message": "", "hint": "fix: ", "show": "show: "}
_LEFT_OUT = frozenset(
    {"timestamp", "trigger", "level", "message", "event", "app", "env", "worker", "exception"}
)
_OF_THE_CALL = frozenset({"source", "shard", "request_id", "attempt", "logger"})
_OF_AN_ERROR = frozenset({"error_type", "error_message"})

_Key: TypeAlias = tuple[str, str, str]
"""Trigger, event, and the position of shards that were taken."""


@dataclass(slots=True)
class _Count:
    """Of one kind of event, since its last line; `due_seconds`: when it is written."""

    due_seconds: float
    shards: list[str] = field(default_factory=list)
    batches: int = 0
    records: int = 0
    lag_seconds: float = 0.0
    duration_seconds: float = 0.0

    def text(self, event: str, position: str) -> str:
        """What was counted, in words."""
        if event != "batch_done":
            many = len(self.shards) > 1
            shards = f"{len(self.shards)} shards" if many else f"shard {short_name(self.shards[0])}"
            return {
                "lease_taken": f"reads {shards} "
                + (f"from {position}" if position.isupper() else "on from where it stood"),
                "lease_released": f"released {shards}",
                "shard_finished": f"read {shards} to the end",
            }[event]
        took = f"in {in_time(self.duration_seconds)}"
        if self.batches > 1:
            took = f"in {self.batches:,} batches"
        return f"{counted(self.records, 'record')} done {took}, lag {in_time(self.lag_seconds)}"


class TerminalLines:
    """Renders entries, one after the other; `columns` is how wide the terminal is.

    Many batches flow in a second, and a worker takes many shards at once. So the first batch after a pause has a
    line at once, and what follows is counted in one line a second.
    """

    def __init__(self, *, colours: bool, everything: bool, columns: int = 100) -> None:
        self._colours = colours
        self._everything = everything
        self._counts: dict[_Key, _Count] = {}
        self._batches_shown_seconds: dict[str, float] = {}
        self._name_width = 0
        self._styles: dict[str, str] = {}
        self._in_opening = False
        self._tracebacks: dict[str, str] = {}
        """By trigger: the traceback that was shown last."""
        self._explained_requests: set[str] = set()
        """Failed requests whose error was shown."""
        self._renderer = self._make_renderer()
        self._console = Console(
            file=StringIO(),
            width=max(40, min(columns, WIDEST)),
            color_system="standard" if colours else None,
            force_terminal=colours,
            no_color=not colours,
            highlight=False,
        )

    @property
    def due_seconds(self) -> float:
        """When `due` will have something; infinity when nothing waits."""
        return min((count.due_seconds for count in self._counts.values()), default=float("inf"))

    def lines(self, entry: Mapping[str, Any], now_seconds: float) -> list[str]:
        """What to write for an entry of our own; it has `event`, `level` and `timestamp`."""
        event, trigger = entry["event"], entry.get("trigger", "")
        self._learn(entry)
        clock = entry["timestamp"]
        if event in COUNTED and not self._everything:
            self._count(entry, now_seconds)
            return self.due(now_seconds, clock)
        if event == "batch_invoked" and not self._everything:
            return self._take(
                now_seconds, clock, lambda key, _: key[0] == trigger and key[1] != "batch_done"
            )
        before: list[str] = []
        if event != "handler_printed":  # no reason to end a count
            before = self._take(now_seconds, clock, lambda key, _: trigger in ("", key[0]))
        return [*before, *self._rendered(event, trigger, dict(entry))]

    def others(self, entry: Mapping[str, Any]) -> list[str]:
        """The same for an entry of user code, whatever its event is called."""
        self._learn(entry)
        return [self._line(entry)]

    def due(self, now_seconds: float, clock: str) -> list[str]:
        """Counts whose time has come."""
        return self._take(now_seconds, clock, lambda _, count: count.due_seconds <= now_seconds)

    def rest(self, now_seconds: float, clock: str) -> list[str]:
        """All counts, at the end."""
        return self._take(now_seconds, clock, lambda _, __: True)

    # --- counts ----------------------------------------------------------------------------------

    def _count(self, entry: Mapping[str, Any], now_seconds: float) -> None:
        trigger, event = entry["trigger"], entry["event"]
        key = (trigger, event, entry["position"] if event == "lease_taken" else "")
        last_seconds = self._batches_shown_seconds.get(trigger, float("-inf"))
        is_batch = event == "batch_done"
        due = max(now_seconds, last_seconds + BATCH_SECONDS)
        count = self._counts.setdefault(
            key, _Count(due if is_batch else now_seconds + SHARD_SECONDS)
        )
        count.shards.append(entry["shard"])
        if is_batch:
            count.batches += 1
            count.records += entry["records"]
            count.lag_seconds = max(count.lag_seconds, entry["iterator_age_seconds"])
            count.duration_seconds += entry["duration_seconds"]

    def _take(
        self, now_seconds: float, clock: str, is_wanted: Callable[[_Key, _Count], bool]
    ) -> list[str]:
        taken = [key for key, count in self._counts.items() if is_wanted(key, count)]
        lines = []
        for key in taken:
            trigger, event, position = key
            message = self._counts.pop(key).text(event, position)
            if event == "batch_done":
                self._batches_shown_seconds[trigger] = now_seconds
            lines.append(self._line({"timestamp": clock, "trigger": trigger, "message": message}))
        return lines

    # --- lines -----------------------------------------------------------------------------------

    def _learn(self, entry: Mapping[str, Any]) -> None:
        """Give each trigger its colour, and the column of names its width."""
        several = entry.get("triggers", ())
        for trigger in (entry.get("trigger"), *(several if isinstance(several, list) else ())):
            if isinstance(trigger, str) and trigger not in self._styles:
                number = len(self._styles) % len(_TRIGGER_STYLES)
                self._styles[trigger] = _TRIGGER_STYLES[number]
                self._name_width = max(self._name_width, min(len(trigger), WIDEST_NAME))

    def _rendered(self, event: str, trigger: str, entry: dict[str, Any]) -> Iterator[str]:
        if self._in_opening != (event in OPENING):  # an empty line on either side
            self._in_opening = event in OPENING
            if event != "starting":
                yield ""
        if event in OPENING:
            yield from self._opening(event, entry)
            return
        match event:
            case "handler_printed":  # without what user code has bound to its own entries
                shown = ("timestamp", "event", "trigger", "message")
                entry = {name: entry[name] for name in shown if name in entry}
            case "handler_failed":
                self._explained_requests.add(entry.get("request_id", ""))
                traceback = entry.get("exception", "")
                if traceback and self._tracebacks.get(trigger) == traceback:
                    entry |= {"exception": None, "message": f"{message_of(entry)}, as before"}
                self._tracebacks[trigger] = traceback
            case "batch_failed" | "batch_partly_failed":
                if entry["request_id"] in self._explained_requests:
                    self._explained_requests.discard(entry["request_id"])
                    entry |= {"error_type": None, "error_message": None}
            case "records_discarded":
                self._tracebacks.pop(trigger, None)
        is_sentence = "message" in entry and not self._everything
        yield self._line(entry, only=_OF_AN_ERROR if is_sentence else None)

    def _opening(self, event: str, entry: Mapping[str, Any]) -> list[str]:
        match event:
            case "starting":
                facts = [
                    f"{what} {entry[what]}" for what in ("app", "env", "state") if what in entry
                ]
                title = Text(f"triggerkit {entry['version']}", style="bold")
                return [*self._wrapped(Text("   ").join([title, *map(Text, map(safe, facts))])), ""]
            case "trigger":
                text = Text(safe(entry["source"]))
                text.append(f"   {safe(entry['handler'])}" if "handler" in entry else "", "dim")
                text.append("   (disabled)" if entry.get("enabled") is False else "")
                for option, value in entry["options"].items():
                    text.append(f"  {option}={_as_option(value)}")
                table = Table.grid(padding=(0, 2))
                name = Text.from_ansi(self._name("", entry["trigger"])[:-1])
                table.add_row("", name, "<-", text)
                return self._wrapped(table)
            case _:
                names = ", ".join(map(safe, entry["triggers"]))
                text = Text(
                    f"unlimited retries ({names}): {safe(entry['message'])}", style="yellow"
                )
                return ["", *self._wrapped(Padding(text, (0, 0, 0, 2)))]

    def _wrapped(self, renderable: RenderableType) -> list[str]:
        with self._console.capture() as captured:
            self._console.print(renderable)
        return [line.rstrip() for line in captured.get().splitlines()]

    def _line(self, entry: Mapping[str, Any], only: frozenset[str] | None = None) -> str:
        """Time, trigger, message, fields; below it long sentences and a traceback.

        `only`: of the fields these alone, since the message says the others.
        """
        message = message_of(entry)
        if entry.get("event") in HANDLERS_OWN:
            message = safe_with_colours(message, colours=self._colours).replace("\n", f"\n{INDENT}")
        else:
            message = safe_lines(message, INDENT)
        below = list(_below(entry))
        columns = {name: entry[name] for name in ("timestamp", "trigger", "level") if name in entry}
        fields = dict(_fields(entry, {name for name, _ in below}, only=only))
        lines = {"exception": "\n".join(text for _, text in below)} if below else {}
        columns["message"] = f"{message} " if fields else message
        return self._renderer(None, "", {**columns, **fields, **lines})

    def _name(self, key: str, value: object) -> str:  # noqa: ARG002
        name = safe(value)
        return self._styled(f"{name:<{self._name_width}}", self._styles.get(name, "")) + " "

    def _level(self, key: str, value: object) -> str:  # noqa: ARG002
        return (
            "" if value == "info" else self._styled(f"{value}:", _LEVEL_STYLES.get(str(value), ""))
        )

    def _styled(self, text: str, style: str) -> str:
        return f"{style}{text}{_RESET}" if self._colours else text

    def _make_renderer(self) -> ConsoleRenderer:
        dim, reset = (_DIM, _RESET) if self._colours else ("", "")
        columns = [
            Column("", KeyValueColumnFormatter(dim, "", reset, str)),
            Column("timestamp", KeyValueColumnFormatter(None, dim, reset, str, postfix=" ")),
            Column("trigger", self._name),
            Column("level", self._level),
            Column("message", KeyValueColumnFormatter(None, "", "", str)),
        ]
        return ConsoleRenderer(
            columns=columns, sort_keys=False, exception_formatter=plain_traceback
        )


def _as_option(value: object) -> str:
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


def _below(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Field and text of what stands below the line: sentences that would make a wall of it, and the traceback."""
    exception, records = entry.get("exception"), entry.get("shown_records")
    for name, label in _BELOW.items():
        text = safe(entry.get(name) or "")
        is_long = len(text) > _LONGEST_INLINE and not exception
        if text and (name != "error_message" or is_long):
            yield name, f"{INDENT}{label}{text}"
    for name in ("stack", "exception"):  # structlog's names for texts of several lines
        if value := entry.get(name):
            yield name, safe_block(value if isinstance(value, str) else safe(value), INDENT)
    for one in records if isinstance(records, list) else ():
        yield "shown_records", f"{INDENT}{_as_option(one)}"


def _fields(
    entry: Mapping[str, Any], below: set[str], only: frozenset[str] | None
) -> Iterator[tuple[str, str]]:
    left_out = _LEFT_OUT | below
    if entry.get("exception"):  # it ends with them
        left_out |= _OF_AN_ERROR
    if entry.get("event") == "handler_logged":
        left_out |= _OF_THE_CALL
    names = dict.fromkeys((*(name for name in FIELD_ORDER if name in entry), *entry))
    for name in names:
        value = entry[name]
        if name in left_out or value is None or (only is not None and name not in only):
            continue
        if (name == "source" and "trigger" in entry) or (name == "attempt" and value == 1):
            continue
        text = _as_field(value)
        if name in {"shard", "request_id"}:
            text = short_name(text)
        yield safe(name), text


def _as_field(value: object) -> str:
    match value:
        case float() if abs(value) < 1000:
            text = f"{value:.3g}"
        case list() | tuple():
            text = ",".join(map(safe, value))
        case _:
            text = safe(value)
    if text and not any(character.isspace() or character in '"=' for character in text):
        return text
    return '"{}"'.format(text.replace('"', '\\"'))
