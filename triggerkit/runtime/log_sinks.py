"""What becomes of a finished log entry: lines of JSON, or lines for a person at a terminal.

A terminal gets what `TerminalLines` makes of the entries; what it holds back for a moment is written by a timer,
and at the end. Writing itself is left to a `LogWriter`, so that whoever logs never waits.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol, TextIO, cast

from triggerkit.core.safe_text import safe_with_colours
from triggerkit.invokers.capture import real_stream
from triggerkit.runtime.colours import is_terminal
from triggerkit.runtime.log_lines import json_line, without_secrets
from triggerkit.runtime.log_writer import LogWriter, writer_of
from triggerkit.runtime.status_line import ERASE, QUIET_SECONDS, StatusLine
from triggerkit.runtime.terminal_lines import TerminalLines

NEVER = float("inf")
KEPT_FROM = 30
"""Lines of this level, warning, or above are never dropped to make room; nor is the summary at the exit."""
_SUMMARY = "stopped"
OUTPUT = "handler_printed"  # what a handler prints is shown at every level: it is its voice
_ALWAYS = frozenset({OUTPUT, "batch_invoked"})  # which tells nothing, but ends a count of shards


class LogSink(Protocol):
    """Takes entries from any thread."""

    def write(self, level: str, number: int, entry: Mapping[str, object], *, ours: bool) -> None:
        """Write one entry if its level, `number`, counts; `ours`: an event of triggerkit's own."""
        ...

    def close(self) -> None:
        """Write what waits; entries may still come."""
        ...


class JsonSink:
    """A JSON line an entry, with `fields` on each."""

    def __init__(self, stream: TextIO, threshold: int, fields: Mapping[str, str]) -> None:
        self._writer = writer_of(stream)
        self._threshold = threshold
        self._fields = fields

    def write(self, level: str, number: int, entry: Mapping[str, object], *, ours: bool) -> None:  # noqa: ARG002
        """Write one line."""
        if number < self._threshold and entry.get("event") != OUTPUT:
            return
        stamp = host_time().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = without_secrets(entry)
        line = json_line({**told, **self._fields, "timestamp": stamp, "level": level})
        self._writer.put(f"{line}\n", keep=is_kept(number, entry))

    def close(self) -> None:
        """Write what waits."""
        self._writer.flush()


class TerminalSink:
    """Lines for a person; with `live` a status line below them while nothing happens."""

    def __init__(self, stream: TextIO, threshold: int, *, colours: bool, live: bool) -> None:
        self._stream = stream
        self._writer = writer_of(stream)
        self._threshold = threshold
        self._lines = TerminalLines(
            colours=colours, everything=threshold <= 10, columns=columns_of(stream)
        )
        self._status = StatusLine() if live else None
        self._colours = colours
        self._timer: threading.Timer | None = None
        self._timer_seconds = NEVER
        self._written_seconds = 0.0
        self._lock = threading.RLock()

    def write(self, level: str, number: int, entry: Mapping[str, object], *, ours: bool) -> None:
        """Write one entry, or count it."""
        stamp = host_time().astimezone().isoformat(timespec="milliseconds")
        whole = {**without_secrets(entry), "timestamp": stamp, "level": level}
        with self._lock:
            if self._status is not None and ours:
                self._status.note(whole)
            if number >= self._threshold or (ours and entry.get("event") in _ALWAYS):
                told = self._lines.lines(whole, monotonic()) if ours else self._lines.others(whole)
            else:
                told = []
            self._put(told, keep=is_kept(number, entry))
            self._set_timer()

    def close(self) -> None:
        """Write the counts that wait, and take the status line away for good."""
        with self._lock:
            if self._status is not None:
                self._status.running = False
            self._put(self._lines.rest(monotonic(), clock()))
            self._set_timer()
        self._writer.flush()

    def beside(self, writer: LogWriter, text: str) -> None:
        """Let somebody else write `text` to the same terminal."""
        with self._lock:
            self._erase()
            writer.put(safe_with_colours(text, colours=self._colours), keep=True)
            if self._status is not None and text:
                self._status.line_is_open = not text.endswith("\n")
                self._written_seconds = monotonic()
                self._set_timer()

    @property
    def is_live(self) -> bool:
        """Whether there may be a status line."""
        return self._status is not None

    def _put(self, lines: Iterable[str], *, keep: bool = False) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if text or (self._status is not None and not self._status.may_show):
            self._erase()
        if text:
            if self._status is not None and self._status.line_is_open:
                self._status.line_is_open = False
                text = f"\n{text}"
            self._writer.put(text, keep=keep)
            self._written_seconds = monotonic()

    def _erase(self) -> None:
        if self._status is not None and self._status.shown:
            self._status.shown = False
            self._writer.put(ERASE, keep=True)

    def _draw(self) -> None:
        status = self._status
        if status is None or status.shown or not status.may_show:
            return
        text = status.text(columns_of(self._stream))
        self._writer.put(f"\x1b[2m{text}\x1b[0m" if self._colours else text, keep=False)
        status.shown = True

    def _set_timer(self) -> None:
        at = self._lines.due_seconds
        if self._status is not None and self._status.may_show and not self._status.shown:
            at = min(at, self._written_seconds + QUIET_SECONDS)
        if at == NEVER or (self._timer is not None and self._timer_seconds <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_seconds = at
        self._timer = threading.Timer(max(0.0, at - monotonic()), self._woke)
        self._timer.daemon = True
        self._timer.start()

    def _woke(self) -> None:
        with self._lock:
            self._timer, self._timer_seconds = None, NEVER
            now = monotonic()
            self._put(self._lines.due(now, clock()))
            if now - self._written_seconds >= QUIET_SECONDS:
                self._draw()
            self._set_timer()


class StreamBeside:
    """A standard stream on the terminal of a live `sink`: the status line goes before it writes."""

    def __init__(self, real: TextIO, sink: TerminalSink) -> None:
        self.real = real
        self._sink = sink
        self._writer = writer_of(real_stream(real))

    def write(self, text: str, /) -> int:
        """Write to the terminal, after what was logged before."""
        self._sink.beside(self._writer, text)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # whatever a stream has besides
        return getattr(self.real, name)


def keep_beside(sink: LogSink | None) -> Callable[[], None]:
    """Let what goes to `sys.stdout` and `sys.stderr` go beside the status line of `sink`.

    Returns:
        What puts the streams back, unless somebody else has replaced them meanwhile.
    """
    if not (isinstance(sink, TerminalSink) and sink.is_live):
        return lambda: None
    out, err = sys.stdout, sys.stderr
    beside_out = cast(TextIO, StreamBeside(out, sink)) if is_terminal(out) else out
    beside_err = cast(TextIO, StreamBeside(err, sink)) if is_terminal(err) else err
    sys.stdout, sys.stderr = beside_out, beside_err

    def restore() -> None:
        if sys.stdout is beside_out:
            sys.stdout = out
        if sys.stderr is beside_err:
            sys.stderr = err

    return restore


def is_kept(number: int, entry: Mapping[str, object]) -> bool:
    """Whether the line of an entry must not be dropped."""
    return number >= KEPT_FROM or entry.get("event") == _SUMMARY


def columns_of(stream: TextIO) -> int:
    """How wide the terminal is; 100 where that is unknown."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        columns = 0
    return columns or 100


def host_time() -> datetime:
    """What the host's clock says, in UTC."""
    return datetime.now(UTC)


def clock() -> str:
    """The local time of day."""
    return host_time().astimezone().strftime("%H:%M:%S")
