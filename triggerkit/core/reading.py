"""How far a shard was read, what was lost on the way, and when to read on.

An empty page is never the end of a shard, only `ended` is. No wait after a full page or during a backlog, four
reads a second while records flow, one in `idle_poll_seconds` after ten seconds of empty pages (decision 9).
"""

from __future__ import annotations

from triggerkit.core.model import (
    NEVER,
    TRIM_HORIZON,
    Gap,
    Lease,
    Now,
    Page,
    Position,
    PositionKind,
    Record,
    Tenure,
    after,
)
from triggerkit.core.traits import SourceTraits

LATE_TIP_SECONDS = 10.0
"""A tip that is so much younger than the start is not used: what was written between would be lost."""
BUSY_POLL_SECONDS = 0.25
"""Lambda's base rate (B-11)."""
IDLE_AFTER_SECONDS = 10.0
LONGEST_REFUSAL_WAIT_SECONDS = 10.0
BACKLOG_SECONDS = 5.0
"""A last record older than that shows a backlog, however small its page was."""


class Reading:
    """The read position of one tenure."""

    __slots__ = (
        "_empty_since_seconds",
        "_gap_from",
        "_refusals",
        "empty_pages",
        "ended",
        "fetching",
        "gaps",
        "last_record_seconds",
        "next_at_seconds",
        "position",
    )

    def __init__(self, position: Position) -> None:
        self.position = position
        self.ended = False
        self.fetching = False
        self.next_at_seconds = 0.0
        self.empty_pages = 0
        """In a row: how sure it is that the tip was reached."""
        self.last_record_seconds: float | None = None
        """Service time of the last record read; None before the first and at the tip."""
        self.gaps: list[Gap] = []
        self._gap_from: Position | None = None
        self._refusals = 0  # of the trim horizon, in a row
        self._empty_since_seconds: float | None = None

    def fetch_at_seconds(self, saved: Position) -> float:
        """When the next page may be asked for (monotonic); `saved` is the checkpoint as stored."""
        if self.ended or self.fetching or self.pin_unsaved(saved):
            return NEVER
        return self.next_at_seconds

    def fetch(self) -> None:
        """A page is asked for."""
        self.fetching = True

    def pinned(self, at_seconds: float, saved: Position) -> Position:
        """The shard was opened at its tip, which has a time now; the position to read from."""
        self.fetching = False
        late = at_seconds - saved.at_seconds > LATE_TIP_SECONDS
        self.position = saved if late else Position(PositionKind.LATEST, at_seconds=at_seconds)
        self.next_at_seconds = 0.0
        return self.position

    def pin_unsaved(self, saved: Position) -> bool:
        """Whether the pin must be saved before anything is read (I18)."""
        at_pin = self.position.kind is PositionKind.LATEST and self.position.at_seconds > 0.0
        return at_pin and saved.at_seconds < self.position.at_seconds

    def failed(self, next_at_seconds: float) -> None:
        """Come back later."""
        self.fetching = False
        self.next_at_seconds = next_at_seconds

    def trimmed(self, now: Now) -> None:
        """Go on from what is left; the next record shows how much was lost.

        What was read before is not lost, so the gap begins after the read position. The trim horizon itself
        can be refused while retention moves on, or for ever by a faulty endpoint: then wait, ever longer.
        """
        self.fetching = False
        if self._gap_from is None:
            self._gap_from = self.position
        if self.position == TRIM_HORIZON:
            self._refusals += 1
            wait = BUSY_POLL_SECONDS * 2.0 ** min(self._refusals, 16)
            self.next_at_seconds = now.monotonic_seconds + min(wait, LONGEST_REFUSAL_WAIT_SECONDS)
        else:
            self.position = TRIM_HORIZON
            self.next_at_seconds = 0.0

    def lost_beginning(self) -> None:
        """Records before the first one that is left may be lost."""
        if self._gap_from is None:
            self._gap_from = TRIM_HORIZON

    def gone(self) -> Gap:
        """The shard is there no more: what came after the read position is lost, if there was anything."""
        self.fetching = False
        self.ended = True
        return self._close_gap(self._gap_from or self.position, None)

    def absorb(
        self, page: Page, now: Now, traits: SourceTraits, idle_poll_seconds: float
    ) -> Gap | None:
        """Move past the page and decide when to read on; the gap that the page closes, if any."""
        self.fetching = False
        self.ended = page.ended
        self._refusals = 0
        gap = None
        if self._gap_from is not None and (page.records or page.ended):
            gap = self._close_gap(self._gap_from, page.records[0] if page.records else None)
        if not page.records:
            self._absorb_empty(now, idle_poll_seconds)
            return gap
        last = page.records[-1]
        self.position = after(last)
        self.last_record_seconds = last.at_seconds
        self.empty_pages = 0
        self._empty_since_seconds = None
        has_more = (
            len(page.records) >= traits.page_records
            or page.size_bytes >= traits.full_page_bytes
            or page.service_seconds - last.at_seconds > BACKLOG_SECONDS
        )
        self.next_at_seconds = now.monotonic_seconds + (0.0 if has_more else BUSY_POLL_SECONDS)
        return gap

    def _absorb_empty(self, now: Now, idle_poll_seconds: float) -> None:
        self.empty_pages += 1
        self.last_record_seconds = None
        if self._empty_since_seconds is None:
            self._empty_since_seconds = now.monotonic_seconds
        idle = now.monotonic_seconds - self._empty_since_seconds >= IDLE_AFTER_SECONDS
        wait = idle_poll_seconds if idle else BUSY_POLL_SECONDS
        self.next_at_seconds = now.monotonic_seconds + wait

    def _close_gap(self, lost: Position, first: Record | None) -> Gap:
        """`first` is the first record that is left; None: nothing is left of the shard."""
        gap = Gap(
            last_seen=lost.sequence_number,
            resumed_at=first.sequence_number if first else "",
            from_seconds=lost.at_seconds,
            to_seconds=first.at_seconds if first else 0.0,
        )
        self.gaps.append(gap)
        self._gap_from = None
        return gap


def first_read_position(lease: Lease, tenure: Tenure, *, at_tip: bool) -> Position:
    """Where the first fetch of a tenure reads.

    The very first tenure of a row born at LATEST may open the shard at its tip, which is quick, but only while the
    mapping starts: `at_tip`. Otherwise the shard is read from its oldest record, and records certainly
    created before the pin are left out: what was written meanwhile would be lost else (I18).
    """
    checkpoint = lease.checkpoint
    if at_tip and checkpoint.kind is PositionKind.LATEST and tenure.counter == 1:
        return Position(PositionKind.LATEST)
    return checkpoint
