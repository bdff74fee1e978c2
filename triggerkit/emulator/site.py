"""What all operations of one emulator share: its state, its time and its names.

Nothing in the emulator reads the time but through a `Clock`: retention, iterator expiry, shard ids, stream labels
and the `Date` header all follow it, so that a test moves a day in no time.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from dataclasses import dataclass
from typing import Protocol

from triggerkit.emulator.model import Stream, Table
from triggerkit.emulator.shards import ShardGraph
from triggerkit.emulator.store import Store


class Clock(Protocol):
    """UNIX time in seconds that can be moved forward."""

    def now_seconds(self) -> float:
        """Return the present, in UNIX seconds."""
        ...

    def advance(self, seconds: float) -> None:
        """Move the present forward. Raises ValueError: `seconds` is negative."""
        ...


class RealClock:
    """The host's clock; `advance` adds to it, so a running endpoint can be taken past a retention."""

    __slots__ = ("_ahead_seconds",)

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    def now_seconds(self) -> float:
        """Return the host's time plus what was advanced."""
        return time.time() + self._ahead_seconds

    def advance(self, seconds: float) -> None:
        """Move the present forward. Raises ValueError: `seconds` is negative."""
        self._ahead_seconds += _forward(seconds)


class VirtualClock:
    """A clock that stands still until it is advanced."""

    __slots__ = ("_seconds",)

    def __init__(self, start_seconds: float = 1_800_000_000.0) -> None:
        self._seconds = start_seconds

    def now_seconds(self) -> float:
        """Return the virtual present."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Move the present forward. Raises ValueError: `seconds` is negative."""
        self._seconds += _forward(seconds)


def _forward(seconds: float) -> float:
    if seconds < 0:
        raise ValueError(f"a clock moves forward only, got {seconds} seconds")
    return seconds


@dataclass(frozen=True, slots=True)
class Site:
    """One Region of one account; `shards` is how many shards a new stream begins with."""

    store: Store
    clock: Clock
    region: str
    account: str
    seed: int
    shards: int

    def digest(self, *parts: object) -> str:
        """Return 32 hex digits that depend on the seed and `parts` only."""
        text = "|".join(map(str, (self.seed, *parts)))
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    def table_arn(self, name: str) -> str:
        """Return the ARN of a table."""
        return f"arn:aws:dynamodb:{self.region}:{self.account}:table/{name}"

    def begin_stream(self, table: Table, view_type: str) -> Stream:
        """Make a new stream of `table` with open shards; the table points to it from now on."""
        now_seconds = self.clock.now_seconds()
        label_seconds = now_seconds
        while self.store.stream(f"{table.arn}/stream/{_label(label_seconds)}") is not None:
            label_seconds += 0.001
        label = _label(label_seconds)
        arn = f"{table.arn}/stream/{label}"
        graph = ShardGraph(self.digest(arn), self.store.next_sequence)
        graph.grow(self.shards, now_seconds)
        stream = Stream(arn, label, table.name, view_type, table.key_schema(), now_seconds, graph)
        self.store.save_stream(stream)
        table.stream_arn = arn
        return stream

    def end_stream(self, table: Table) -> None:
        """Disable the table's stream: its shards close, its records stay readable."""
        stream = self.current_stream(table)
        if stream is not None:
            stream.enabled = False
            stream.graph.close_all(self.clock.now_seconds())
            self.store.save_stream(stream)

    def current_stream(self, table: Table) -> Stream | None:
        """Return the stream that the table writes now, if any."""
        stream = None if table.stream_arn is None else self.store.stream(table.stream_arn)
        return stream if stream is not None and stream.enabled else None


def _label(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
