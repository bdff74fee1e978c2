"""The line at the bottom of a terminal while nothing happens. Rule: it is gone before anybody writes.

It is shown only between calls, so that nothing that a handler starts, a program of its own say, can write
into it; who writes through `sys.stdout` or `sys.stderr` at other times takes it away first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from triggerkit.runtime.tallies import counted

QUIET_SECONDS = 0.4
"""After the last line: when the status is shown again."""
ERASE = "\r\x1b[2K"

_ENDS = frozenset(
    {"batch_done", "batch_failed", "batch_partly_failed", "batch_partly_done", "batch_not_invoked"}
)


@dataclass(slots=True)
class StatusLine:
    """What has happened so far in a few words, and whether it stands there now."""

    running: bool = False
    calls_under_way: int = 0
    records_done: int = 0
    records_given_up: int = 0
    last_clock: str = ""
    failing: dict[str, int] = field(default_factory=dict)
    """Triggers whose batch is tried again: how often it was."""
    shown: bool = False
    line_is_open: bool = False
    """Somebody wrote to the terminal without ending the line."""

    @property
    def may_show(self) -> bool:
        """Whether nothing can write into it now."""
        return self.running and not self.calls_under_way and not self.line_is_open

    def note(self, entry: Mapping[str, object]) -> None:
        """Learn from an entry, whatever its level."""
        event, trigger = entry.get("event"), str(entry.get("trigger", ""))
        match event:
            case "started":
                self.running = True
            case "draining" | "stopped":
                self.running = False
            case "batch_invoked":
                self.calls_under_way += 1
            case "records_discarded":
                self.records_given_up += _whole(entry.get("records"))
                self.failing.pop(trigger, None)
            case _ if event in _ENDS:
                self.calls_under_way = max(0, self.calls_under_way - 1)
                self.last_clock = str(entry.get("timestamp", ""))[11:19]
                self._note_end(str(event), trigger, entry)
            case _:
                pass

    def text(self, columns: int) -> str:
        """The line, short enough never to be wrapped."""
        parts = [self._what(), f"{counted(self.records_done, 'record')} done"]
        if self.records_given_up:
            parts.append(f"{self.records_given_up:,} given up")
        if self.last_clock:
            parts.append(f"last call {self.last_clock}")
        return "  ".join(parts)[: max(0, columns - 1)]

    def _note_end(self, event: str, trigger: str, entry: Mapping[str, object]) -> None:
        done = entry.get("done") if event != "batch_done" else entry.get("records")
        self.records_done += _whole(done)
        if event in {"batch_done", "batch_partly_done"}:
            self.failing.pop(trigger, None)
        else:
            self.failing[trigger] = _whole(entry.get("attempt"))

    def _what(self) -> str:
        if not self.failing:
            return "waiting for records"
        names = ", ".join(sorted(self.failing)[:3])
        more = f" and {len(self.failing) - 3} more" if len(self.failing) > 3 else ""
        return f"tries again: {names}{more}"


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
