"""One leased shard: at most one Fetch, one write, and one thing a lane under way.

Absorb a report, then derive what should be under way and is not. `Reading` knows where to read on, `Lanes` what
was read and is not done with, `CheckpointWriter` what is stored, and `ChildSearch` what follows the shard. At the
shard's end, with nothing outstanding, the lease is finished in one write together with its children.
"""

from __future__ import annotations

import uuid  # noqa: TID251 - uuid5 is a hash: the same call has the same id
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from triggerkit.core import events
from triggerkit.core.batches import Lane
from triggerkit.core.checkpoints import CheckpointWriter
from triggerkit.core.decisions import (
    Cancel,
    ConsumerDecision,
    Decision,
    Discard,
    Fetch,
    FindChildren,
    Finish,
    Invoke,
    Release,
    Save,
)
from triggerkit.core.ending import ChildSearch
from triggerkit.core.events import MappingId
from triggerkit.core.lanes import Lanes
from triggerkit.core.model import (
    LATEST,
    NEVER,
    TRIM_HORIZON,
    Batch,
    Children,
    Gap,
    Lease,
    Now,
    Page,
    Position,
    ShardId,
    StopReason,
    Tenure,
)
from triggerkit.core.options import MappingOptions
from triggerkit.core.outcome import NotInvoked, Outcome, RecordsEnded, Succeeded
from triggerkit.core.phases import TRANSITIONS, Phase, Step
from triggerkit.core.reading import Reading, first_read_position
from triggerkit.core.reports import (
    Cancelled,
    ChildrenFound,
    ConsumerReport,
    Discarded,
    Fetched,
    Finished,
    Invoked,
    LeaseLost,
    Released,
    Saved,
    ShardGone,
    Trimmed,
)
from triggerkit.core.traits import SourceTraits

NO_MAPPING = MappingId("", "")
SHARD_GONE = "the shard is gone from the stream"
TRIMMED = "the stream trimmed the records before they were read"
REQUEST_IDS = uuid.UUID("6f0a3c0e-7d1b-4d3c-9a58-0b1d5c7e2f44")
"""The name space of request ids."""


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """What all consumers of a mapping share. `prefix` begins the keys of its leases."""

    prefix: str
    options: MappingOptions
    checkpoint_interval_seconds: float
    traits: SourceTraits
    mapping: MappingId = NO_MAPPING


def _none_listed(shard: ShardId) -> None:
    """No listing names children."""


class ShardConsumer:
    """Reads, batches, invokes and saves for one tenure of one lease."""

    def __init__(
        self,
        lease: Lease,
        tenure: Tenure,
        settings: ConsumerSettings,
        emit: events.Observer = events.ignore,
        listed_children: Callable[[ShardId], Children | None] = _none_listed,
        *,
        at_tip: bool = True,
        follows: bool = False,
    ) -> None:
        """What a consumer needs to begin.

        Args:
            lease: the row as taken.
            tenure: of this stay.
            settings: of the mapping.
            emit: takes the events.
            listed_children: the children that the last listing names; others are asked for.
            at_tip: whether LATEST may open the tip.
            follows: whether a parent was read by this mapping.
        """
        assert not lease.finished, "a finished lease has no consumer"
        self.lease = lease
        self.tenure = tenure
        self.phase = Phase.RUNNING
        self.reading = Reading(first_read_position(lease, tenure, at_tip=at_tip))
        self.lanes = Lanes(lease.checkpoint, settings.options)
        self.wake_at_seconds = NEVER
        self._settings = settings
        self._emit = emit
        self._about = (settings.mapping, lease.shard, tenure)
        self._follows = follows
        self._writer = CheckpointWriter(settings.checkpoint_interval_seconds)
        self._children = ChildSearch()
        self._listed_children = listed_children
        self._stop: StopReason | None = None
        self._calls_made = 0

    @property
    def position(self) -> Position:
        """The watermark."""
        return self.lanes.progress.position

    @property
    def outstanding(self) -> int:
        """Records read and not accounted for."""
        return self.lanes.progress.outstanding

    @property
    def settled(self) -> bool:
        """Everything read is accounted for and saved, and nothing is being written."""
        return (
            not self.outstanding
            and not self._writer.writing
            and self.position == self.lease.checkpoint
        )

    @property
    def opening(self) -> bool:
        """Whether a start at LATEST is not stored yet, so that nothing is read."""
        return self.reading.position == LATEST or self.reading.pin_unsaved(self.lease.checkpoint)

    @property
    def seeks_children(self) -> bool:
        """Whether the shard's end waits for its children to be found."""
        return not self._children.is_over

    @property
    def finds_nothing(self) -> bool:
        """Whether everything that was read is done with, and the last page was empty."""
        return not self.reading.ended and not self.outstanding and self.reading.empty_pages > 0

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Records lost to retention in this tenure, oldest first."""
        return tuple(self.reading.gaps)

    def ask_to_stop(self, reason: StopReason) -> list[Decision]:
        """Let the shard go; a stronger reason overrides a weaker one."""
        if self.phase in (Phase.FINISHED, Phase.STOPPED):
            return []
        if self._stop is not None and reason <= self._stop:
            return []
        self._stop = reason
        self._writer.retry_now()
        if reason is StopReason.LEASE_LOST:
            self._step(Step.LEASE_LOST)
            return [Cancel(self.lease, self.tenure)]
        self._step(Step.STOP_ASKED)
        if reason is StopReason.DRAIN_EXPIRED and self.lanes.are_busy:
            return [Cancel(self.lease, self.tenure)]
        return []

    # --- absorbing ------------------------------------------------------------------------------

    def absorb(self, report: ConsumerReport, now: Now) -> list[Decision]:
        """Record what a report says; only a lost lease is answered at once."""
        match report:
            case Fetched(page=page):
                self._absorb_page(page, now)
            case Trimmed():
                self.reading.trimmed(now)
            case ShardGone():
                self.lease = replace(self.lease, lost_reason=SHARD_GONE)
                self._emit(events.GapFound(*self._about, self.reading.gone(), SHARD_GONE))
            case Invoked(decision=decision, outcome=outcome):
                self._absorb_call(decision.batch, outcome, now)
            case Discarded(decision=decision):
                self._absorb_discard(decision)
            case Cancelled():
                pass  # each call still answers by itself
            case ChildrenFound(children=children):
                self._children.answered(children, now)
            case LeaseLost():
                self._emit(events.LeaseLost(*self._about))
                return self.ask_to_stop(StopReason.LEASE_LOST)
            case _:
                self._absorb_write(report, now)
        return []

    def _absorb_write(self, report: Saved | Finished | Released, now: Now) -> None:
        match report:
            case Saved(lease=lease):
                self.lease = replace(lease, lost_reason=self.lease.lost_reason)
                self._writer.saved(now)
                self._emit(events.CheckpointSaved(*self._about, lease.checkpoint))
            case Finished(taken=taken):
                self._step(Step.SHARD_END_SAVED)
                self._emit(events.ShardFinished(*self._about, self._children.shards, taken))
            case Released():
                self._step(Step.RELEASED)
                self._emit(events.ShardReleased(*self._about))
            case _:
                assert_never(report)

    def absorb_not_now(
        self, decision: ConsumerDecision, wait_seconds: float, error: Exception, now: Now
    ) -> None:
        """A decision was not carried out; it is made again after the wait."""
        at_seconds = now.monotonic_seconds + wait_seconds
        match decision:
            case Fetch():
                self.reading.failed(at_seconds)
            case Invoke(batch=batch):
                self._absorb_call(batch, NotInvoked(str(error), wait_seconds), now)
            case Discard(batch=batch, reason=reason):
                self.lanes.not_discarded(batch, reason, at_seconds)
            case Save() | Finish() | Release():
                self._writer.not_written(at_seconds)
            case FindChildren():
                self._children.failed(now, wait_seconds)
            case Cancel():
                pass  # the calls go on until they end by themselves
            case _:
                assert_never(decision)

    def lease_store_is_back(self) -> None:
        """Nothing has to wait any longer for a store that had failed."""
        self._writer.retry_now()

    def _step(self, step: Step) -> None:
        self.phase = TRANSITIONS[self.phase, step]

    def _absorb_page(self, page: Page, now: Now) -> None:
        if self.phase is not Phase.RUNNING:
            return  # what was not admitted is read again by the next owner
        if page.pinned_seconds is not None:
            saved = self.lease.checkpoint
            pinned = self.reading.pinned(page.pinned_seconds, saved)
            if pinned.at_seconds > saved.at_seconds:  # the stored start never moves back
                self.lanes.progress.move_to(pinned)
            return
        options, traits = self._settings.options, self._settings.traits
        if page.records and self._may_have_lost_its_beginning(page):
            self.reading.lost_beginning()
        gap = self.reading.absorb(page, now, traits, options.idle_poll_seconds)
        if gap is not None:
            self._emit(events.GapFound(*self._about, gap, TRIMMED))
        if page.records or page.ended:
            count, size_bytes = len(page.records), page.size_bytes
            self._emit(events.PageRead(*self._about, count, size_bytes, page.ended))
        if page.records:
            self.lanes.admit(page.records, now)

    def _may_have_lost_its_beginning(self, page: Page) -> bool:
        """Whether this worker comes so late to the shard that retention may have taken its first records."""
        created_seconds = self.lease.created_seconds
        retention_seconds = self._settings.traits.retention_seconds
        late = (
            created_seconds is not None
            and page.service_seconds - created_seconds >= retention_seconds
        )
        return self._follows and late and self.reading.position == TRIM_HORIZON

    def _absorb_call(self, batch: Batch, outcome: Outcome, now: Now) -> None:
        duration_seconds = self.lanes.called(batch, outcome, now)
        match outcome:
            case Succeeded() | RecordsEnded(failed=(), discarded=(), invalid=()):
                kind: type[events.BatchDone | events.BatchFailed] = events.BatchDone
            case _:
                kind = events.BatchFailed
        iterator_age_seconds = max(0.0, now.service_seconds - batch.records[-1].at_seconds)
        self._emit(
            kind(
                *self._about_batch(batch),
                duration_seconds=duration_seconds,
                iterator_age_seconds=iterator_age_seconds,
                outcome=outcome,
                batch=batch,
            )
        )

    def _about_batch(self, batch: Batch) -> tuple[MappingId, ShardId, Tenure, int, int, str, str]:
        """What its events say first: whose batch it is, attempt, records, first and last sequence number."""
        first, last = batch.records[0], batch.records[-1]
        numbers = first.sequence_number, last.sequence_number
        return *self._about, batch.attempts + 1, len(batch), *numbers

    def _absorb_discard(self, decision: Discard) -> None:
        batch = decision.batch
        self.lanes.discarded(batch)
        self._emit(
            events.RecordsDiscarded(
                *self._about,
                condition=decision.reason,
                attempts=batch.attempts,
                records=len(batch),
                first_sequence_number=batch.records[0].sequence_number,
                last_sequence_number=batch.records[-1].sequence_number,
                request_id=batch.last_failure.request_id if batch.last_failure else "",
                batch=batch,
            )
        )

    # --- deriving -------------------------------------------------------------------------------

    def derive(self, now: Now, deadline_seconds: float) -> list[Decision]:
        """What should be under way and is not. No call starts at or past `deadline_seconds`."""
        decisions: list[Decision] = []
        self.wake_at_seconds = NEVER
        match self.phase:
            case Phase.RUNNING:
                room = self._writer.room(self.lanes.progress.done)
                for lane in self.lanes.moving(room, now, ended=self.reading.ended):
                    self._derive_lane(lane, now, deadline_seconds, decisions)
                self._derive_fetch(now, decisions)
                self._derive_end(now, decisions)
                self._derive_save(now, decisions)
            case Phase.DRAINING:
                if self._stop is StopReason.REQUESTED and not self._writer.is_releasing:
                    for lane in self.lanes.catching_up(now):
                        self._derive_lane(lane, now, deadline_seconds, decisions)
                self._derive_release(now, decisions)
            case Phase.FINISHED | Phase.STOPPED:
                pass
            case _:
                assert_never(self.phase)
        return decisions

    def _is_due(self, at_seconds: float, now: Now) -> bool:
        if at_seconds <= now.monotonic_seconds:
            return True
        self.wake_at_seconds = min(self.wake_at_seconds, at_seconds)
        return False

    def _derive_lane(
        self, lane: Lane, now: Now, deadline_seconds: float, decisions: list[Decision]
    ) -> None:
        """A call or a failure record is an effect: another worker may own these records past the deadline.

        The mapping derives this shard again when a beat moves the deadline.
        """
        if lane.busy:
            return
        is_late = now.monotonic_seconds >= deadline_seconds
        if self._is_due(self.lanes.ready_at(lane, ended=self.reading.ended), now) and not is_late:
            batch = self.lanes.call(lane, now)
            if batch is not None:
                self._emit(events.BatchStarted(*self._about_batch(batch), batch))
                request_id = self._next_request_id()
                decisions.append(
                    Invoke(self.lease, self.tenure, batch, deadline_seconds, request_id)
                )
        held = lane.held
        if held is not None and not is_late and self._is_due(held.not_before_seconds, now):
            self.lanes.discard(lane, held)
            self._emit(
                events.DiscardStarted(*self._about, held.reason, len(held.batch), held.batch)
            )
            decisions.append(Discard(self.lease, self.tenure, held.batch, held.reason))

    def _next_request_id(self) -> str:
        """A UUID that no other call has: a session is one worker's, and takes a lease once with a counter."""
        self._calls_made += 1
        name = f"{self.lease.key} {self.tenure.session} {self.tenure.counter} {self._calls_made}"
        return str(uuid.uuid5(REQUEST_IDS, name))

    def _derive_fetch(self, now: Now, decisions: list[Decision]) -> None:
        reading = self.reading
        if self.lanes.are_hungry and self._is_due(
            reading.fetch_at_seconds(self.lease.checkpoint), now
        ):
            reading.fetch()
            self._emit(events.ReadStarted(*self._about, reading.position))
            limit = self._settings.traits.page_records
            decisions.append(Fetch(self.lease, self.tenure, reading.position, limit))

    def _derive_end(self, now: Now, decisions: list[Decision]) -> None:
        if not self.reading.ended:
            return
        if self._is_due(self._children.search_at_seconds, now):
            listed = self._listed_children(self.lease.shard)
            if listed is not None:
                self._children.answered(listed, now)
            else:
                self._children.search()
                decisions.append(FindChildren(self.lease, self.tenure))
        if not self._children.is_over:
            return
        if not self.outstanding and self._is_due(self._writer.write_at_seconds, now):
            self._writer.finish()
            rows = self._children.leases(self._settings.prefix)
            decisions.append(Finish(self.lease, self.tenure, rows))

    def _derive_save(self, now: Now, decisions: list[Decision]) -> None:
        moved = self.position != self.lease.checkpoint
        if moved and self._is_due(self._writer.save_at_seconds, now):
            self._writer.save(self.lanes.progress.done + self.lanes.room)
            decisions.append(Save(self.lease, self.tenure, self.position))

    def _derive_release(self, now: Now, decisions: list[Decision]) -> None:
        if self.lanes.are_busy and self._stop is StopReason.REQUESTED:
            return
        if self._is_due(self._writer.write_at_seconds, now):
            position = self._writer.release(self.position)
            self._emit(events.ReleaseStarted(*self._about))
            decisions.append(Release(self.lease, self.tenure, position))
