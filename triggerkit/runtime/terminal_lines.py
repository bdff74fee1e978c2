"""The log as a person reads it. Rule: a failure always shows, with its traceback; routine is counted.

Entries go in, finished lines come out. All of it is told by the entries alone, so what a terminal shows is
what JSON lines tell.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from triggerkit.core.safe_text import safe, without_colours
from triggerkit.runtime.log_lines import (
    INDENT,
    as_option,
    message_of,
    painted,
    pretty_line,
    safe_entry,
)
from triggerkit.runtime.tallies import COUNTED, Tallies, counted, in_time, short_name

WIDEST = 110
"""Sentences are wrapped there in a wider terminal; what handlers print never is."""
WIDEST_NAME = 24
MANY_TRIGGERS = 12
"""Of more than these each has one line, options and all, so that a screen holds them."""
OPENING = frozenset({"starting", "trigger", "unlimited_retries"})
KEEPS_TALLIES = frozenset({"handler_printed", "handler_logged"})
"""What a handler says in the middle of many batches is no reason to tell their count."""
TRIGGER_COLOURS = ("36", "35", "34", "32", "33")


@dataclass(slots=True)
class Seen:
    """What was said before, and bears on how the next is said."""

    width: int = 0
    opening: bool = False
    """The last line belonged to the opening: an empty line follows it."""
    colours: dict[str, str] = field(default_factory=dict)
    raised: dict[str, str] = field(default_factory=dict)
    """By trigger: the traceback that was shown last."""
    failed_requests: set[str] = field(default_factory=set)


class TerminalLines:
    """Renders entries, one after the other; `columns` is how wide the terminal is."""

    def __init__(self, *, colours: bool, everything: bool, columns: int = 100) -> None:
        self._colours = colours
        self._everything = everything
        self._columns = max(40, min(columns, WIDEST))
        self._tallies = Tallies()
        self._seen = Seen()

    @property
    def due_seconds(self) -> float:
        """When `due` will have something; infinity when nothing waits."""
        return self._tallies.due_seconds

    def lines(self, entry: Mapping[str, object], now_seconds: float) -> list[str]:
        """What to write for an entry; it needs `event`, `level` and `timestamp`."""
        entry = safe_entry(entry, colours=self._colours)
        event = str(entry.get("event"))
        self._learn(entry)
        clock = str(entry.get("timestamp", ""))[11:19]
        if event in COUNTED and not self._everything:
            self._tallies.count(entry, now_seconds)
            return self.due(now_seconds, clock)
        if event == "batch_invoked" and not self._everything:
            shards = self._tallies.take_shards(str(entry.get("trigger", "")))
            return [self._headed(clock, *line) for line in shards]
        before: list[str] = []
        if event not in KEEPS_TALLIES:
            trigger = str(entry.get("trigger", ""))
            taken = self._tallies.take(trigger, now_seconds) if trigger else None
            told = self._tallies.take_all(now_seconds) if taken is None else taken
            before = [self._headed(clock, *line) for line in told]
        return [*before, *self._told(event, clock, entry)]

    def others(self, entry: Mapping[str, object]) -> list[str]:
        """The same for an entry of somebody else's, whatever its event is called."""
        entry = safe_entry(entry, colours=self._colours)
        self._learn(entry)
        return [self._plain(entry)]

    def due(self, now_seconds: float, clock: str) -> list[str]:
        """Counts whose time has come."""
        return [self._headed(clock, *line) for line in self._tallies.take_due(now_seconds)]

    def rest(self, now_seconds: float, clock: str) -> list[str]:
        """All counts, at the end."""
        return [self._headed(clock, *line) for line in self._tallies.take_all(now_seconds)]

    def _learn(self, entry: Mapping[str, object]) -> None:
        several = entry.get("triggers")
        for trigger in (entry.get("trigger"), *(several if isinstance(several, list) else ())):
            if isinstance(trigger, str) and trigger not in self._seen.colours:
                number = len(self._seen.colours) % len(TRIGGER_COLOURS)
                self._seen.colours[trigger] = TRIGGER_COLOURS[number]
                self._seen.width = max(self._seen.width, min(len(trigger), WIDEST_NAME))

    def _told(self, event: str, clock: str, entry: Mapping[str, object]) -> list[str]:
        if event in OPENING and not self._seen.opening:
            self._seen.opening = True
            told = self._told(event, clock, entry)
            return told if event == "starting" else ["", *told]
        if event not in OPENING and self._seen.opening:
            self._seen.opening = False
            return ["", *self._told(event, clock, entry)]
        if self._everything and event not in OPENING:
            return [self._plain(entry)]
        tell = {
            "starting": self._starting,
            "trigger": self._trigger,
            "unlimited_retries": self._unlimited,
            "handler_failed": self._raised,
            "batch_failed": self._batch_failed,
            "batch_partly_failed": self._batch_failed,
            "records_discarded": self._discarded,
            "handler_printed": self._printed,
            "stopped": self._stopped,
        }.get(event)
        return [self._plain(_in_words(entry))] if tell is None else tell(clock, entry)

    # --- the opening -----------------------------------------------------------------------------

    def _starting(self, _: str, entry: Mapping[str, object]) -> list[str]:
        name = self._paint(f"triggerkit {entry.get('version', '')}".rstrip(), "1")
        facts = [f"{what} {entry[what]}" for what in ("app", "env", "state") if entry.get(what)]
        return ["   ".join([name, *facts]), ""]

    def _trigger(self, _: str, entry: Mapping[str, object]) -> list[str]:
        trigger = str(entry.get("trigger", ""))
        handler = entry.get("handler")
        line = f"  {self._name(trigger)}  <-  {entry.get('source')}"
        if handler:
            line += self._paint(f"   {handler}", "2")
        if entry.get("enabled") is False:
            line += "   (disabled)"
        options = entry.get("options")
        if not isinstance(options, Mapping) or not options:
            return [line]
        if len(self._seen.colours) > MANY_TRIGGERS:
            said = " ".join(f"{name}={as_option(value)}" for name, value in options.items())
            return [f"{line}   {said}"]
        indent = " " * (self._seen.width + 4)
        words = "  ".join(
            f"{name}={as_option(value)}".replace(" ", "\0") for name, value in options.items()
        )
        wrapped = textwrap.wrap(
            words,
            self._columns,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return [line, *(part.replace("\0", " ") for part in wrapped)]

    def _unlimited(self, _: str, entry: Mapping[str, object]) -> list[str]:
        names = entry.get("triggers")
        listed = ", ".join(map(safe, names)) if isinstance(names, list | tuple) else ""
        return [
            "",
            *self._wrapped(f"unlimited retries ({listed}): {message_of(entry)}", "  ", "33"),
        ]

    # --- calls --------------------------------------------------------------------------------

    def _printed(self, clock: str, entry: Mapping[str, object]) -> list[str]:
        trigger = str(entry.get("trigger", ""))
        return [self._headed(clock, trigger, line) for line in message_of(entry).split("\n")]

    def _raised(self, clock: str, entry: Mapping[str, object]) -> list[str]:
        trigger = str(entry.get("trigger", ""))
        self._seen.failed_requests.add(str(entry.get("request_id", "")))
        error = f"{entry.get('error_type')}: {entry.get('error_message')}"
        traceback = str(entry.get("exception", ""))
        title = f"FAILED, attempt {entry.get('attempt', 1)}"
        same = bool(traceback) and self._seen.raised.get(trigger) == traceback
        self._seen.raised[trigger] = traceback
        if same or not traceback:
            again = ", as before" if same else ""
            lines = [self._headed(clock, trigger, f"{self._paint(title, '31')}{again}: {error}")]
        else:
            lines = [self._headed(clock, trigger, self._paint(title, "31"))]
            lines += traceback.split("\n")
        shown = entry.get("shown_records")
        if isinstance(shown, list | tuple):
            lines += [f"{INDENT}{as_option(one)}" for one in shown]
        return lines

    def _batch_failed(self, clock: str, entry: Mapping[str, object]) -> list[str]:
        records, done = _whole(entry.get("records")), _whole(entry.get("done"))
        request = str(entry.get("request_id", ""))
        lag = in_time(_seconds(entry.get("iterator_age_seconds")))
        shard = short_name(str(entry.get("shard", "")))
        what = f"{done:,} of {counted(records, 'record')} done" if done else ""
        what = what or f"{counted(records, 'record')} not done"
        text = f"{what}, lag {lag}, shard {shard}"
        if request not in self._seen.failed_requests:  # no traceback has told why
            parts = (entry.get("error_type"), entry.get("error_message"))
            text += "".join(f": {part}" for part in parts if part)
        self._seen.failed_requests.discard(request)
        return [self._headed(clock, str(entry.get("trigger", "")), self._paint(text, "33"))]

    def _discarded(self, clock: str, entry: Mapping[str, object]) -> list[str]:
        trigger = str(entry.get("trigger", ""))
        records = counted(_whole(entry.get("records")), "record")
        calls = counted(_whole(entry.get("attempt")), "attempt")
        self._seen.raised.pop(trigger, None)
        text = self._paint(f"GAVE UP {records} after {calls}", "31")
        lines = [self._headed(clock, trigger, f"{text}: {entry.get('condition')}")]
        if hint := entry.get("hint"):
            lines.append(f"{INDENT}show: {self._paint(str(hint), '1')}")
        return lines

    # --- the end ---------------------------------------------------------------------------------

    def _stopped(self, clock: str, entry: Mapping[str, object]) -> list[str]:
        done = counted(_whole(entry.get("records_done")), "record")
        given_up = _whole(entry.get("records_discarded"))
        text = f"stopped: {done} done"
        if given_up:
            text += f", {self._paint(f'{given_up:,} given up', '31')}"
        if dropped := _whole(entry.get("log_lines_dropped")):
            text += f", {counted(dropped, 'log line')} dropped"
        return [self._headed(clock, "", text)]

    # --- how a line is put together --------------------------------------------------------------

    def _plain(self, entry: Mapping[str, object]) -> str:
        trigger = str(entry.get("trigger", ""))
        name = self._name(trigger) if trigger else ""
        return pretty_line(entry, colours=self._colours, name=name)

    def _headed(self, clock: str, trigger: str, text: str) -> str:
        parts = [self._paint(clock, "2"), self._name(trigger) if trigger else "", text]
        line = "  ".join(part for part in parts if part)
        return line if self._colours else without_colours(line)

    def _name(self, trigger: str) -> str:
        padded = f"{trigger:<{self._seen.width}}"
        return self._paint(padded, self._seen.colours.get(trigger, "0"))

    def _wrapped(self, text: str, indent: str, colour: str) -> list[str]:
        lines = textwrap.wrap(
            text, self._columns, initial_indent=indent, subsequent_indent=f"{indent}  "
        )
        return [self._paint(line, colour) for line in lines]

    def _paint(self, text: str, colour: str) -> str:
        return painted(text, colour, self._colours)


WAITING_FIELDS = frozenset({"waited_seconds", "cause", "ends_when"})
"""Those of a `waiting` entry that its sentence tells."""
OPERATIONS: Mapping[str, str] = {
    "Beat": "renew this worker's session",
    "Cancel": "cancel a call",
    "Create": "write down new shards",
    "Discard": "send a failure record",
    "Fetch": "read",
    "FindChildren": "find what comes after",
    "Finish": "finish",
    "Forget": "forget",
    "Invoke": "call the handler for",
    "Pin": "store where to start",
    "Release": "let go of",
    "Save": "save the position of",
    "Survey": "list shards and leases",
    "Take": "take",
    "Expire": "expire a silent worker",
}
"""What a decision is for a person; those behind which a shard may stand end so that it can."""


def _in_words(entry: Mapping[str, object]) -> Mapping[str, object]:
    """Events whose fields say less than a sentence."""
    match entry.get("event"):
        case "will_retry":
            told = f"cannot {_operation(entry)}; tries again"
            gone = {"operation", "shard", "shards", "error_type"}
        case "recovered":
            after = in_time(_seconds(entry.get("after")))
            told = f"{_moves_again(entry)}, after {after}"
            gone = {"operation", "shard", "shards", "after"}
        case "waiting":
            told = _waiting(entry)
            gone = {"operation", "shard", "shards", "error_type", *WAITING_FIELDS}
        case "blocked":
            told = f"cannot {_operation(entry)}: blocked until somebody acts, tried every 5 minutes"
            gone = {"operation", "shard", "shards", "error_type"}
        case "draining":
            limit = in_time(_seconds(entry.get("timeout_seconds")))
            told, gone = f"draining: running handlers get up to {limit}", {"timeout_seconds"}
        case _:
            return entry
    return {**{name: entry[name] for name in _kept(entry, gone)}, "message": told}


def _waiting(entry: Mapping[str, object]) -> str:
    waited = in_time(_seconds(entry.get("waited_seconds")))
    cause, ends_when = entry.get("cause"), entry.get("ends_when")
    shards = _shards(entry)
    moved = f"{shards} not moved" if shards else "nothing has moved"
    return f"{moved} for {waited}: waits for {cause}; goes on when {ends_when}"


def _moves_again(entry: Mapping[str, object]) -> str:
    if "operation" in entry:
        return f"can {_operation(entry)} again"
    return f"{_shards(entry)} moved again" if _shards(entry) else "moves again"


def _shards(entry: Mapping[str, object]) -> str:
    """The subject of a sentence that goes on with a participle; empty when no shard is named."""
    if shards := _whole(entry.get("shards")):
        return f"{counted(shards, 'shard')} have"
    shard = str(entry.get("shard", ""))
    return f"shard {short_name(shard)} has" if shard else ""


def _operation(entry: Mapping[str, object]) -> str:
    operation = str(entry.get("operation", "go on with"))
    words = OPERATIONS.get(operation, operation)
    if shards := _whole(entry.get("shards")):
        return f"{words} {counted(shards, 'shard')}"
    shard = str(entry.get("shard", ""))
    return f"{words} shard {short_name(shard)}" if shard else words


def _kept(entry: Mapping[str, object], gone: Iterable[str]) -> list[str]:
    return [name for name in entry if name not in set(gone)]


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
