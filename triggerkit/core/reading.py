"""How far a shard was read, and when to read on. Rule: an empty page is never the end, only `ended` is.

Source: leases.md 7, decision 9: no wait behind a full page or a backlog, four
reads a second while records flow, one an idle-poll interval after ten seconds of empty pages.
"""

from __future__ import annotations

from triggerkit.core.model import (
    TRIM_HORIZON,
    Gap,
    Lease,
    Now,
    Page,
    Position,
    PositionKind,
    Tenure,
    after,
)

BUSY_POLL_SECONDS = 0.25
"""Lambda's base rate (B-11)."""
IDLE_AFTER_SECONDS = 10.0
FULL_PAGE_BYTES = 900_000
"""A page is cut at 1 MB; behind one of that size there is more."""
BACKLOG_SECONDS = 5.0
"""A last record older than that shows a backlog, however small its page was."""


class Reading:
    """The read position of one tenure."""

    __slots__ = (
        "_empty_since_seconds",
        "_gap_from",
        "empty_pages",
        "ended",
        "gaps",
        "last_record_seconds",
        "next_at_seconds",
        "position",
    )

    def __init__(self, position: Position) -> None:
        self.position = position
        self.ended = False
        self.next_at_seconds = 0.0
        self.empty_pages = 0
        """In a row: how sure it is that the tip was reached."""
        self.last_record_seconds: float | None = None
        """Service time of the last record read; None before the first and at the tip."""
        self.gaps: list[Gap] = []
        self._gap_from: Position | None = None
        self._empty_since_seconds: float | None = None

    def pinned(self, position: Position) -> None:
        """LATEST has a time now."""
        self.position = position
        self.next_at_seconds = 0.0

    def pin_unsaved(self, saved: Position) -> bool:
        """Whether the pin must be saved before anything is read (I18)."""
        at_pin = self.position.kind is PositionKind.LATEST and self.position.at_seconds > 0.0
        return at_pin and saved != self.position

    def failed(self, next_at_seconds: float) -> None:
        """Come back later."""
        self.next_at_seconds = next_at_seconds

    def trimmed(self) -> None:
        """Go on from what is left; the next record tells how much was lost.

        What was read before is at hand, whatever became of it: the loss begins behind the read position.
        """
        if self._gap_from is None:
            self._gap_from = self.position
        self.position = TRIM_HORIZON
        self.next_at_seconds = 0.0

    def absorb(self, page: Page, now: Now, fetch_limit: int, idle_poll_seconds: float) -> None:
        """Move behind the page and decide when to read on."""
        self.ended = page.ended
        if self._gap_from is not None and (page.records or page.ended):
            self._close_gap(self._gap_from, page)
        if not page.records:
            self._absorb_empty(now, idle_poll_seconds)
            return
        last = page.records[-1]
        self.position = after(last)
        self.last_record_seconds = last.at_seconds
        self.empty_pages = 0
        self._empty_since_seconds = None
        behind = (
            len(page.records) >= fetch_limit
            or page.size_bytes >= FULL_PAGE_BYTES
            or page.service_seconds - last.at_seconds > BACKLOG_SECONDS
        )
        self.next_at_seconds = now.monotonic_seconds + (0.0 if behind else BUSY_POLL_SECONDS)

    def _absorb_empty(self, now: Now, idle_poll_seconds: float) -> None:
        self.empty_pages += 1
        self.last_record_seconds = None
        if self._empty_since_seconds is None:
            self._empty_since_seconds = now.monotonic_seconds
        idle = now.monotonic_seconds - self._empty_since_seconds >= IDLE_AFTER_SECONDS
        wait = idle_poll_seconds if idle else BUSY_POLL_SECONDS
        self.next_at_seconds = now.monotonic_seconds + wait

    def _close_gap(self, lost: Position, page: Page) -> None:
        first = page.records[0] if page.records else None  # None: nothing is left of the shard
        self.gaps.append(
            Gap(
                last_seen=lost.sequence_number,
                resumed_at=first.sequence_number if first else "",
                from_seconds=lost.at_seconds,
                to_seconds=first.at_seconds if first else 0.0,
            )
        )
        self._gap_from = None


def first_read_position(lease: Lease, tenure: Tenure) -> Position:
    """Where the first fetch of a tenure reads.

    The very first tenure of a row born at LATEST opens the shard at its tip; every later one goes on from
    the time that was pinned (leases.md 6.6 rule 2).
    """
    checkpoint = lease.checkpoint
    if checkpoint.kind is PositionKind.LATEST and tenure.counter == 1:
        return Position(PositionKind.LATEST)
    return checkpoint
