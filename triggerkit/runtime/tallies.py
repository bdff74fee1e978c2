"""What is counted instead of told. Rule: nothing is lost in a count, and it waits a second at most.

Many batches flow in a second, and a worker takes many shards at once: a person wants to know how many and
how late, not each. The first batch after a pause is told at once; what follows is one line a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BATCH_SECONDS = 1.0
SHARD_SECONDS = 0.25
"""Shards are taken and let go together; this gathers them."""

SHARD_EVENTS = {
    "lease_taken": "reads",
    "lease_released": "let go of",
    "shard_finished": "read to its end",
}
COUNTED = frozenset({"batch_done", *SHARD_EVENTS})


@dataclass(slots=True)
class Tally:
    """Of one trigger, since its last line; `due_seconds`: when it is to be told."""

    due_seconds: float
    batches: int = 0
    records: int = 0
    lag_seconds: float = 0.0
    duration_seconds: float = 0.0
    shards: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What it counts, in words."""
        lines = [_shards(*kind, names) for kind, names in self.shards.items()]
        if self.batches:
            lines.append(self._batches())
        return lines

    def _batches(self) -> str:
        lag = f"lag {in_time(self.lag_seconds)}"
        if self.batches == 1:
            took = in_time(self.duration_seconds)
            return f"{counted(self.records, 'record')} done in {took}, {lag}"
        return f"{counted(self.records, 'record')} done in {self.batches:,} batches, {lag}"


class Tallies:
    """The tallies of all triggers."""

    def __init__(self) -> None:
        self._waiting: dict[str, Tally] = {}
        self._told_seconds: dict[str, float] = {}

    @property
    def due_seconds(self) -> float:
        """When the next tally is to be told; infinity when none waits."""
        return min((tally.due_seconds for tally in self._waiting.values()), default=float("inf"))

    def count(self, entry: Mapping[str, object], now_seconds: float) -> None:
        """Count an entry of an event in `COUNTED`."""
        trigger = str(entry.get("trigger", ""))
        event = str(entry.get("event"))
        is_batch = event == "batch_done"
        last = self._told_seconds.get(trigger, float("-inf"))
        due = max(now_seconds, last + BATCH_SECONDS) if is_batch else now_seconds + SHARD_SECONDS
        tally = self._waiting.setdefault(trigger, Tally(due))
        tally.due_seconds = min(tally.due_seconds, due)
        if is_batch:
            tally.batches += 1
            tally.records += int(_number(entry.get("records")))
            tally.lag_seconds = max(tally.lag_seconds, _number(entry.get("iterator_age_seconds")))
            tally.duration_seconds += _number(entry.get("duration_seconds"))
        else:
            kind = (event, str(entry.get("position", "")) if event == "lease_taken" else "")
            tally.shards.setdefault(kind, []).append(str(entry.get("shard", "")))

    def take_due(self, now_seconds: float) -> list[tuple[str, str]]:
        """Trigger and line of every tally whose time has come."""
        due = [name for name, tally in self._waiting.items() if tally.due_seconds <= now_seconds]
        return [line for name in due for line in self.take(name, now_seconds)]

    def take(self, trigger: str, now_seconds: float) -> list[tuple[str, str]]:
        """Trigger and line of its tally, due or not."""
        tally = self._waiting.pop(trigger, None)
        if tally is None:
            return []
        if tally.batches:
            self._told_seconds[trigger] = now_seconds
        return [(trigger, line) for line in tally.lines()]

    def take_shards(self, trigger: str) -> list[tuple[str, str]]:
        """Trigger and line of its shards alone."""
        tally = self._waiting.get(trigger)
        if tally is None or not tally.shards:
            return []
        shards = Tally(0.0, shards=tally.shards).lines()
        tally.shards = {}
        if not tally.batches:
            del self._waiting[trigger]
        return [(trigger, line) for line in shards]

    def take_all(self, now_seconds: float) -> list[tuple[str, str]]:
        """Trigger and line of all that waits."""
        return [line for name in list(self._waiting) for line in self.take(name, now_seconds)]


def counted(number: int, thing: str) -> str:
    """`1 record`, `2,000 records`."""
    ending = "es" if thing.endswith("ch") else "s"
    return f"{number:,} {thing}{'' if number == 1 else ending}"


def in_time(seconds: float) -> str:
    """A duration as short as a person wants it: `12 ms`, `0.4 s`, `3 min`, `2.5 h`."""
    if seconds < 0.0005:
        return "0 ms"
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{f'{seconds:.1f}'.removesuffix('.0')} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def short_name(name: str) -> str:
    """The end of a long name, as the log shows shards and request ids."""
    return name if len(name) <= 9 else f"~{name[-8:]}"


def _shards(event: str, position: str, names: list[str]) -> str:
    what = f"shard {short_name(names[0])}" if len(names) == 1 else f"{len(names)} shards"
    match event:
        case "lease_taken":
            where = f"from {position}" if position.isupper() else "on from where it stood"
            return f"reads {what} {where}"
        case "lease_released":
            return f"let go of {what}"
        case _:
            return f"read {what} to the end"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
