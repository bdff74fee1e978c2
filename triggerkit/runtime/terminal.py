"""The log in a terminal: lines for a person and, while nothing happens, a status line below them.

What `TerminalLines` holds back for a moment is written by a thread, and at the end. The status line is shown only
between calls, so that nothing that a handler starts, such as a program of its own, can write into it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TextIO
from weakref import WeakSet

from rich.text import Text
from structlog.processors import TimeStamper

from triggerkit.core.words import counted
from triggerkit.runtime.log_writer import writer_of
from triggerkit.runtime.terminal_lines import TerminalLines

NEVER = float("inf")
QUIET_SECONDS = 0.4
"""After the last line: when the status is shown again."""
ERASE = "\r\x1b[2K"

_ENDS = frozenset(
    {"batch_done", "batch_failed", "batch_partly_failed", "batch_partly_done", "batch_not_invoked"}
)
_stamped = TimeStamper(fmt="%H:%M:%S", utc=False)


class TerminalSink:
    """Writes lines for a person; with `everything` nothing is counted instead of shown."""

    always_shown = frozenset({"handler_printed", "batch_invoked"})
    """The latter has no line, but ends a count of shards."""

    def __init__(self, stream: TextIO, *, colours: bool, everything: bool, live: bool) -> None:
        self._stream = stream
        self._writer = writer_of(stream)
        self._status = StatusLine() if live else None
        self._colours = colours
        self._everything = everything
        self._status_is_shown = False
        self._written_seconds = 0.0
        self._begin()
        _sinks.add(self)

    def _begin(self) -> None:
        self._lines = TerminalLines(
            colours=self._colours, everything=self._everything, columns=columns_of(self._stream)
        )
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def become_child(self) -> None:
        """After a fork, in the child: what waits, and the status line, are the parent's to write."""
        self._begin()  # another thread may have held the lock
        self._status = None

    def write(self, entry: dict[str, object], *, ours: bool, keep: bool) -> None:
        """See `LogSink`."""
        whole = _stamped(None, "", entry)
        with self._changed:
            if self._status is not None and ours:
                self._status.note(whole)
            lines = self._lines.lines(whole, monotonic()) if ours else self._lines.others(whole)
            self._put(lines, keep=keep)
            self._wake_later()

    def close(self) -> None:
        """See `LogSink`. No status line is shown any more."""
        with self._changed:
            if self._status is not None:
                self._status.running = False
            self._put(self._lines.rest(monotonic(), _clock()))
        self._writer.flush()

    def _put(self, lines: Iterable[str], *, keep: bool = False) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if self._status_is_shown and (text or not (self._status and self._status.may_show)):
            self._status_is_shown = False
            self._writer.put(ERASE, keep=True)
        if text:
            self._writer.put(text, keep=keep)
            self._written_seconds = monotonic()

    def _show_status(self, status: StatusLine) -> None:
        text = status.text(columns_of(self._stream))
        self._writer.put(f"\x1b[2m{text}\x1b[0m" if self._colours else text, keep=False)
        self._status_is_shown = True

    @property
    def _status_due_seconds(self) -> float:
        if self._status is None or not self._status.may_show or self._status_is_shown:
            return NEVER
        return self._written_seconds + QUIET_SECONDS

    def _wake_later(self) -> None:
        """Let a thread write what is due later, unless there is one already."""
        self._changed.notify_all()
        if self._thread is None and min(self._lines.due_seconds, self._status_due_seconds) < NEVER:
            self._thread = threading.Thread(target=self._work, name="terminal", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        with self._changed:
            while (due := min(self._lines.due_seconds, self._status_due_seconds)) < NEVER:
                if (wait_seconds := due - monotonic()) > 0:
                    self._changed.wait(wait_seconds)
                    continue
                self._put(self._lines.due(monotonic(), _clock()))
                if self._status is not None and self._status_due_seconds <= monotonic():
                    self._show_status(self._status)
            self._thread = None


_sinks: WeakSet[TerminalSink] = WeakSet()


def _become_child() -> None:
    for sink in list(_sinks):
        sink.become_child()


os.register_at_fork(after_in_child=_become_child)


@dataclass(slots=True)
class StatusLine:
    """What has happened so far, in a few words."""

    running: bool = False
    calls_under_way: int = 0
    records_done: int = 0
    records_discarded: int = 0
    last_clock: str = ""
    failing: set[str] = field(default_factory=set)
    """Triggers whose batch is tried again."""

    @property
    def may_show(self) -> bool:
        """Whether nothing can write into it now."""
        return self.running and not self.calls_under_way

    def note(self, entry: Mapping[str, Any]) -> None:
        """Learn from an entry of our own, whatever its level."""
        event, trigger = entry["event"], entry.get("trigger", "")
        match event:
            case "started":
                self.running = True
            case "draining" | "stopped":
                self.running = False
            case "batch_invoked":
                self.calls_under_way += 1
            case "records_discarded":
                self.records_discarded += entry["records"]
                self.failing.discard(trigger)
            case _ if event in _ENDS:
                self.calls_under_way = max(0, self.calls_under_way - 1)
                self.last_clock = entry["timestamp"]
                done = entry["records"] if event == "batch_done" else entry.get("done", 0)
                self.records_done += done
                if event in {"batch_done", "batch_partly_done"}:
                    self.failing.discard(trigger)
                else:
                    self.failing.add(trigger)
            case _:
                pass

    def text(self, columns: int) -> str:
        """The line, short enough never to be wrapped."""
        parts = [self._state(), f"{counted(self.records_done, 'record')} done"]
        if self.records_discarded:
            parts.append(f"{self.records_discarded:,} given up")
        if self.last_clock:
            parts.append(f"last call {self.last_clock}")
        text = Text("  ".join(parts))
        text.truncate(max(0, columns - 1), overflow="ellipsis")
        return text.plain

    def _state(self) -> str:
        if not self.failing:
            return "waiting for records"
        names = sorted(self.failing)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"tries again: {', '.join(names[:3])}{more}"


def columns_of(stream: TextIO) -> int:
    """How wide the terminal is; 100 where that is unknown."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        columns = 0
    return columns or 100


def _clock() -> str:
    return str(_stamped(None, "", {})["timestamp"])
