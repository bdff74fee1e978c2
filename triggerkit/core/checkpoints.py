"""When the row of a lease is written: its checkpoint, its end, its release; one write at a time."""

from __future__ import annotations

from triggerkit.core.model import (
    NEVER,
    Now,
    Position,
)


class CheckpointWriter:
    """Says when the row may be written again.

    The checkpoint interval holds back plain saves only: shard end and release never wait for it.
    """

    __slots__ = (
        "_interval_seconds",
        "_most_done",
        "_next_save_seconds",
        "_released_at",
        "_retry_seconds",
        "writing",
    )

    def __init__(self, interval_seconds: float) -> None:
        self.writing = False
        self._interval_seconds = interval_seconds
        self._next_save_seconds = 0.0
        self._retry_seconds = 0.0
        self._most_done = NEVER
        """How many records may be done in all before the save under way is confirmed."""
        self._released_at: Position | None = None
        """The position of the release, once it is asked for: it may be written already, so it stands."""

    @property
    def write_at_seconds(self) -> float:
        """When the shard's end or a release may be written (monotonic)."""
        return NEVER if self.writing else self._retry_seconds

    @property
    def save_at_seconds(self) -> float:
        """When a checkpoint that has moved may be saved (monotonic)."""
        return NEVER if self.writing else max(self._retry_seconds, self._next_save_seconds)

    @property
    def is_releasing(self) -> bool:
        """Whether a release was asked for."""
        return self._released_at is not None

    def room(self, done: int) -> float:
        """How many records may be done beyond these before the save under way is confirmed."""
        return self._most_done - done

    def save(self, most_done: int) -> None:
        """A save begins; no more than so many records may be done in all before it is confirmed."""
        self.writing = True
        self._most_done = min(self._most_done, most_done)

    def finish(self) -> None:
        """The shard's end is being written."""
        self.writing = True

    def release(self, position: Position) -> Position:
        """A release begins; the position to write."""
        self.writing = True
        self._released_at = self._released_at or position
        return self._released_at

    def saved(self, now: Now) -> None:
        """The checkpoint is written."""
        self.writing = False
        self._next_save_seconds = now.monotonic_seconds + self._interval_seconds
        self._retry_seconds = 0.0
        self._most_done = NEVER

    def not_written(self, retry_seconds: float) -> None:
        """A write failed, or its answer was lost; it is made again then (monotonic)."""
        self.writing = False
        self._retry_seconds = retry_seconds

    def retry_now(self) -> None:
        """A write that failed waits no longer."""
        self._retry_seconds = 0.0
