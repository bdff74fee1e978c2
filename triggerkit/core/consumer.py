"""One leased shard: at most one Fetch, one write, and one thing a lane under way.

Absorb a report, then derive what should be under way and is not. The checkpoint is the watermark: the
last position with nothing outstanding before it; at the shard's end, with nothing outstanding, the lease
is finished in one write together with its children.
"""

from __future__ import annotations

import uuid  # noqa: TID251 - uuid5 is a hash: the same call has the same id
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from triggerkit.core import events
from triggerkit.core.batches import Lane, split_into_lanes
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
from triggerkit.core.events import MappingId
from triggerkit.core.failure import Verdict, decide, expire
from triggerkit.core.leases import RETENTION_SECONDS, new_lease
from triggerkit.core.model import (
    LATEST,
    TRIM_HORIZON,
    Batch,
    Children,
    Gap,
    Lease,
    Now,
    Page,
    Position,
    PositionKind,
    StopReason,
    Tenure,
)
from triggerkit.core.options import MappingOptions
from triggerkit.core.outcome import NotInvoked, Outcome, RecordsEnded, Succeeded
from triggerkit.core.pacing import lanes_to_move
from triggerkit.core.phases import TRANSITIONS, Phase, Step
from triggerkit.core.progress import Progress
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

NEVER = float("inf")
BUFFER_LIMIT_BYTES = 32 * 1024 * 1024
"""What one shard may buffer while one of its lanes is blocked: some 30 pages of DynamoDB."""
NO_MAPPING = MappingId("", "")
SHARD_GONE = "the shard is gone from the stream"
TRIMMED = "the stream trimmed the records before they were read"
LATE_TIP_SECONDS = 10.0
"""A tip that is so much younger than the start is not used: what was written between would be lost."""
REQUEST_IDS = uuid.UUID("6f0a3c0e-7d1b-4d3c-9a58-0b1d5c7e2f44")
"""The name space of request ids."""
CHILDREN_TRIES = 5
FIRST_CHILDREN_WAIT_SECONDS = 0.1
"""Five tries, doubling: about 3 s in all (leases.md 6.6 rule 4)."""


class _Work(Enum):
    FETCH = "fetch"
    WRITE = "write"
    CHILDREN = "children"


@dataclass(slots=True)
class _Saving:
    """What is saved, and when the next write may go (monotonic).

    The checkpoint interval holds back plain saves only: shard end and release never wait for it.
    """

    position: Position
    next_save_seconds: float = 0.0
    retry_seconds: float = 0.0
    most_done: float = NEVER
    """How many records may be done in all before the save that was asked for is confirmed."""
    last: Position | None = None
    """The position of the release, once it is asked for: it may be written already, so it stands."""


@dataclass(slots=True)
class _Ending:
    """The search for the children of a shard that was read to its end."""

    found: Children | None = None
    tries: int = 0
    not_before_seconds: float = 0.0

    @property
    def settled(self) -> bool:
        """Children are known, or the search is left to the coordinator's to-do."""
        return self.found is not None or self.tries >= CHILDREN_TRIES


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """What all consumers of a mapping share. `prefix` begins the keys of its leases."""

    prefix: str
    options: MappingOptions
    checkpoint_interval_seconds: float
    fetch_limit: int = 1000
    mapping: MappingId = NO_MAPPING


class ShardConsumer:
    """Reads, batches, invokes and saves for one tenure of one lease."""

    def __init__(
        self,
        lease: Lease,
        tenure: Tenure,
        settings: ConsumerSettings,
        emit: events.Observer = events.ignore,
        *,
        at_tip: bool = True,
        follows: bool = False,
    ) -> None:
        """`at_tip`: whether LATEST may open the tip; `follows`: whether a parent was read by this mapping."""
        assert not lease.finished, "a finished lease has no consumer"
        self.lease = lease
        self.tenure = tenure
        self.phase = Phase.RUNNING
        self._settings = settings
        self._mapping = settings.mapping
        self._emit = emit
        self._follows = follows
        self._progress = Progress(lease.checkpoint)
        self.reading = Reading(first_read_position(lease, tenure, at_tip=at_tip))
        self._lanes = [Lane(number) for number in range(settings.options.parallelization_factor)]
        self._under_way: set[_Work] = set()
        self._saving = _Saving(lease.checkpoint)
        self._ending = _Ending()
        self._stop: StopReason | None = None
        self._calls_made = 0
        self.wake_at_seconds = NEVER

    @property
    def position(self) -> Position:
        """The watermark."""
        return self._progress.position

    @property
    def outstanding(self) -> int:
        """Records read and not accounted for."""
        return self._progress.outstanding

    @property
    def settled(self) -> bool:
        """Everything read is accounted for and saved, and nothing is being written."""
        return (
            not self.outstanding
            and _Work.WRITE not in self._under_way
            and self.position == self._saving.position
        )

    @property
    def opening(self) -> bool:
        """Whether a start at LATEST is not stored yet, so that nothing is read."""
        return self.reading.position == LATEST or self.reading.pin_unsaved(self._saving.position)

    @property
    def seeks_children(self) -> bool:
        """Whether the shard's end waits for its children to be found."""
        return not self._ending.settled

    @property
    def finds_nothing(self) -> bool:
        """Whether everything that was read is done with, and the last page was empty."""
        return not self.reading.ended and not self.outstanding and self.reading.empty_pages > 0

    @property
    def lanes(self) -> list[Lane]:
        """For the snapshot."""
        return self._lanes

    def ask_to_stop(self, reason: StopReason) -> list[Decision]:
        """Let the shard go; a stronger reason overrides a weaker one."""
        if self.phase in (Phase.FINISHED, Phase.STOPPED):
            return []
        if self._stop is not None and reason <= self._stop:
            return []
        self._stop = reason
        if reason is StopReason.LEASE_LOST:
            self._step(Step.LEASE_LOST)
            return [Cancel(self.lease, self.tenure)]
        self._step(Step.STOP_ASKED)
        if reason is StopReason.DRAIN_EXPIRED and any(lane.busy for lane in self._lanes):
            return [Cancel(self.lease, self.tenure)]
        return []

    def absorb(self, report: ConsumerReport, now: Now) -> list[Decision]:
        """Record what a report says; only a lost lease is answered at once."""
        match report:
            case Fetched(page=page):
                self._absorb_page(page, now)
            case Trimmed():
                self._under_way.discard(_Work.FETCH)
                self.reading.trimmed(now)
            case ShardGone():
                self._under_way.discard(_Work.FETCH)
                self.lease = replace(self.lease, lost_reason=SHARD_GONE)
                self._announce_gap(self.reading.gone(), SHARD_GONE)
            case Invoked(decision=decision, outcome=outcome):
                self._absorb_call(decision.batch, outcome, now)
            case Discarded(decision=decision):
                self._absorb_discard(decision)
            case Cancelled():
                pass  # each call still answers by itself
            case LeaseLost():
                self._emit(events.LeaseLost(self._mapping, self.lease.shard, self.tenure))
                return self.ask_to_stop(StopReason.LEASE_LOST)
            case _:
                self._absorb_write(report, now)
        return []

    def lease_store_is_back(self) -> None:
        """Nothing has to wait any longer for a store that had failed."""
        self._saving.retry_seconds = 0.0

    def absorb_not_now(
        self, decision: ConsumerDecision, wait_seconds: float, error: Exception, now: Now
    ) -> None:
        """A decision was not carried out; it is made again after the wait."""
        at_seconds = now.monotonic_seconds + wait_seconds
        match decision:
            case Fetch():
                self._under_way.discard(_Work.FETCH)
                self.reading.failed(at_seconds)
            case Invoke(batch=batch):
                self._absorb_call(batch, NotInvoked(str(error), wait_seconds), now)
            case Discard(batch=batch, reason=reason):
                lane = self._lanes[batch.lane]
                lane.under_way = None
                lane.hold(batch, reason, at_seconds)
            case Save() | Finish() | Release():
                self._under_way.discard(_Work.WRITE)
                self._saving.retry_seconds = at_seconds
            case FindChildren():
                self._under_way.discard(_Work.CHILDREN)
                self._look_for_children_again(now, wait_seconds)
            case Cancel():
                pass  # the calls go on until they end by themselves
            case _:
                assert_never(decision)

    def _absorb_write(self, report: Saved | ChildrenFound | Finished | Released, now: Now) -> None:
        match report:
            case Saved(lease=lease):
                self._under_way.discard(_Work.WRITE)
                self.lease = replace(lease, lost_reason=self.lease.lost_reason)
                interval = self._settings.checkpoint_interval_seconds
                self._saving = _Saving(lease.checkpoint, now.monotonic_seconds + interval)
                self._emit(
                    events.CheckpointSaved(
                        self._mapping, lease.shard, self.tenure, lease.checkpoint
                    )
                )
            case ChildrenFound(children=children):
                self._under_way.discard(_Work.CHILDREN)
                self._look_for_children_again(now)
                if children.shards or children.final:
                    self._ending.found = children
            case Finished(taken=taken):
                self._under_way.discard(_Work.WRITE)
                self._step(Step.SHARD_END_SAVED)
                found = self._ending.found
                shards = None if found is None else tuple(child.id for child in found.shards)
                self._emit(
                    events.ShardFinished(
                        self._mapping, self.lease.shard, self.tenure, shards, taken
                    )
                )
            case Released():
                self._under_way.discard(_Work.WRITE)
                self._step(Step.RELEASED)
                self._emit(events.ShardReleased(self._mapping, self.lease.shard, self.tenure))
            case _:
                assert_never(report)

    def _absorb_call(self, batch: Batch, outcome: Outcome, now: Now) -> None:
        lane = self._lanes[batch.lane]
        lane.under_way = None
        self._announce_call(batch, outcome, now.monotonic_seconds - lane.called_at_seconds, now)
        lane.call_completed(now.monotonic_seconds)
        self._apply(decide(batch, outcome, self._settings.options, now), lane)

    def _absorb_discard(self, decision: Discard) -> None:
        batch = decision.batch
        self._lanes[batch.lane].under_way = None
        self._progress.account(batch.ordinals)
        self._emit(
            events.RecordsDiscarded(
                mapping=self._mapping,
                shard=self.lease.shard,
                tenure=self.tenure,
                condition=decision.reason,
                attempts=batch.attempts,
                records=len(batch),
                first_sequence_number=batch.records[0].sequence_number,
                last_sequence_number=batch.records[-1].sequence_number,
                request_id=batch.last_failure.request_id if batch.last_failure else "",
                batch=batch,
            )
        )

    def derive(self, now: Now, deadline_seconds: float) -> list[Decision]:
        """What should be under way and is not. No call starts at or past `deadline_seconds`."""
        decisions: list[Decision] = []
        self.wake_at_seconds = NEVER
        match self.phase:
            case Phase.RUNNING:
                for lane in self._moving_lanes(now):
                    self._derive_lane(lane, now, deadline_seconds, decisions)
                self._derive_fetch(now, decisions)
                self._derive_end(now, decisions)
                self._derive_save(now, decisions)
            case Phase.DRAINING:
                if self._stop is StopReason.REQUESTED and self._saving.last is None:
                    for lane in self._lanes:
                        self._derive_last_call(lane, now, deadline_seconds, decisions)
                self._derive_release(now, decisions)
            case Phase.FINISHED | Phase.STOPPED:
                pass
            case _:
                assert_never(self.phase)
        return decisions

    # --- absorbing ------------------------------------------------------------------------------

    def _step(self, step: Step) -> None:
        self.phase = TRANSITIONS[self.phase, step]

    def _absorb_page(self, page: Page, now: Now) -> None:
        self._under_way.discard(_Work.FETCH)
        if self.phase is not Phase.RUNNING:
            return  # what was not admitted is read again by the next owner
        if page.pinned_seconds is not None:
            pinned = Position(PositionKind.LATEST, at_seconds=page.pinned_seconds)
            if pinned.at_seconds - self.lease.checkpoint.at_seconds > LATE_TIP_SECONDS:
                self.reading.pinned(self.lease.checkpoint)
                return
            if pinned.at_seconds > self.lease.checkpoint.at_seconds:
                self._progress.move_to(
                    pinned
                )  # else the stored start is as young: it never moves back
            self.reading.pinned(pinned)
            return
        options, fetch_limit = self._settings.options, self._settings.fetch_limit
        if page.records and self._may_have_lost_its_beginning(page):
            self.reading.lost_beginning()
        gap = self.reading.absorb(page, now, fetch_limit, options.idle_poll_seconds)
        if gap is not None:
            self._announce_gap(gap, TRIMMED)
        if page.records or page.ended:
            count, size_bytes = len(page.records), page.size_bytes
            self._emit(
                events.PageRead(
                    self._mapping, self.lease.shard, self.tenure, count, size_bytes, page.ended
                )
            )
        if not page.records:
            return
        ordinals = self._progress.admit(page.records)
        runs = split_into_lanes(page.records, ordinals, len(self._lanes))
        for number, run in runs.items():
            self._lanes[number].add(run, now.monotonic_seconds)

    def _apply(self, verdict: Verdict, lane: Lane) -> None:
        if verdict.done is not None:
            self._progress.account(verdict.done.ordinals)
        if verdict.discarded is not None:
            lane.hold(verdict.discarded, verdict.reason, 0.0)
        lane.put_back(verdict.again)

    def _may_have_lost_its_beginning(self, page: Page) -> bool:
        """Whether this worker comes so late to the shard that retention may have taken its first records."""
        created_seconds = self.lease.created_seconds
        late = (
            created_seconds is not None
            and page.service_seconds - created_seconds >= RETENTION_SECONDS
        )
        return self._follows and late and self.reading.position == TRIM_HORIZON

    # --- announcing -----------------------------------------------------------------------------

    def _announce_gap(self, gap: Gap, reason: str) -> None:
        shard, tenure = self.lease.shard, self.tenure
        self._emit(events.GapFound(self._mapping, shard, tenure, gap, reason))

    def _announce_call(
        self, batch: Batch, outcome: Outcome, duration_seconds: float, now: Now
    ) -> None:
        match outcome:
            case Succeeded() | RecordsEnded(failed=(), discarded=(), invalid=()):
                kind: type[events.BatchDone | events.BatchFailed] = events.BatchDone
            case _:
                kind = events.BatchFailed
        last = batch.records[-1]
        self._emit(
            kind(
                mapping=self._mapping,
                shard=self.lease.shard,
                tenure=self.tenure,
                attempt=batch.attempts + 1,
                records=len(batch),
                first_sequence_number=batch.records[0].sequence_number,
                last_sequence_number=last.sequence_number,
                duration_seconds=duration_seconds,
                iterator_age_seconds=max(0.0, now.service_seconds - last.at_seconds),
                outcome=outcome,
                batch=batch,
            )
        )

    # --- the end of the shard -------------------------------------------------------------------

    def _look_for_children_again(self, now: Now, wait_seconds: float = 0.0) -> None:
        ending = self._ending
        pause = max(wait_seconds, FIRST_CHILDREN_WAIT_SECONDS * 2.0**ending.tries)
        ending.tries += 1
        ending.not_before_seconds = now.monotonic_seconds + pause

    # --- deriving -------------------------------------------------------------------------------

    def _wake(self, at_seconds: float) -> None:
        self.wake_at_seconds = min(self.wake_at_seconds, at_seconds)

    def _is_due(self, at_seconds: float, now: Now) -> bool:
        if at_seconds <= now.monotonic_seconds:
            return True
        self._wake(at_seconds)
        return False

    def _moving_lanes(self, now: Now) -> Sequence[Lane]:
        options, done = self._settings.options, self._progress
        room = self._saving.most_done - done.done
        ended = self.reading.ended
        return lanes_to_move(self._lanes, done.ahead, room, options, now, ended=ended)

    def _derive_lane(
        self, lane: Lane, now: Now, deadline_seconds: float, decisions: list[Decision]
    ) -> None:
        if lane.busy:
            return
        if lane.held is None:
            self._derive_call(lane, now, deadline_seconds, decisions)
        if now.monotonic_seconds >= deadline_seconds:
            return  # a failure record is an effect too: another worker may own these records by now
        if lane.held is not None and self._is_due(lane.held.not_before_seconds, now):
            held, lane.held = lane.held, None
            lane.under_way = held.batch
            self._emit(
                events.DiscardStarted(
                    self._mapping,
                    self.lease.shard,
                    self.tenure,
                    held.reason,
                    len(held.batch),
                    held.batch,
                )
            )
            decisions.append(Discard(self.lease, self.tenure, held.batch, held.reason))

    def _derive_call(
        self, lane: Lane, now: Now, deadline_seconds: float, decisions: list[Decision]
    ) -> None:
        options = self._settings.options
        ready_at = lane.ready_at(options, ended=self.reading.ended)
        if ready_at is None or not self._is_due(ready_at, now):
            return
        if now.monotonic_seconds >= deadline_seconds:
            return  # paused: the mapping wakes this shard when a beat moves the deadline
        verdict = expire(lane.take(options), options, now)
        self._apply(verdict, lane)
        if verdict.discarded is None:
            batch = lane.under_way = lane.take(options)
            lane.called_at_seconds = now.monotonic_seconds
            self._emit(
                events.BatchStarted(
                    mapping=self._mapping,
                    shard=self.lease.shard,
                    tenure=self.tenure,
                    attempt=batch.attempts + 1,
                    records=len(batch),
                    first_sequence_number=batch.records[0].sequence_number,
                    last_sequence_number=batch.records[-1].sequence_number,
                    batch=batch,
                )
            )
            request_id = self._next_request_id()
            decisions.append(Invoke(self.lease, self.tenure, batch, deadline_seconds, request_id))

    def _next_request_id(self) -> str:
        """A UUID that no other call has: a session is one worker's, and takes a lease once with a counter."""
        self._calls_made += 1
        name = f"{self.lease.key} {self.tenure.session} {self.tenure.counter} {self._calls_made}"
        return str(uuid.uuid5(REQUEST_IDS, name))

    def _derive_last_call(
        self, lane: Lane, now: Now, deadline_seconds: float, decisions: list[Decision]
    ) -> None:
        """Catch up with the other lanes: what they did beyond the watermark would be done again.

        Neither a retry nor a failure record that waits is waited for, else one bad record holds every stop.
        """
        options, due = self._settings.options, now.monotonic_seconds
        if lane.busy or (lane.held is not None and lane.held.not_before_seconds > due):
            return
        ready_at = lane.ready_at(options, ended=True)
        if lane.held is None:
            if ready_at is None or ready_at > due:
                return
            batch = lane.take(options)
            behind, beyond = batch.split(bisect_left(batch.ordinals, self._progress.accounted_to))
            lane.put_back(tuple(part for part in (behind, beyond) if len(part)))
            if not len(behind):
                return
        self._derive_lane(lane, now, deadline_seconds, decisions)

    def _derive_fetch(self, now: Now, decisions: list[Decision]) -> None:
        reading = self.reading
        if reading.ended or _Work.FETCH in self._under_way:
            return
        if reading.pin_unsaved(self._saving.position) or not self._is_hungry():
            return
        if self._is_due(reading.next_at_seconds, now):
            self._under_way.add(_Work.FETCH)
            limit, position = self._settings.fetch_limit, reading.position
            self._emit(events.ReadStarted(self._mapping, self.lease.shard, self.tenure, position))
            decisions.append(Fetch(self.lease, self.tenure, position, limit))

    def _is_hungry(self) -> bool:
        """Some lane has less than a batch waiting, and what is buffered in all is bounded."""
        batch_size = self._settings.options.batch_size
        buffered = sum(lane.waiting_bytes for lane in self._lanes)
        if buffered >= BUFFER_LIMIT_BYTES:
            return False
        return any(lane.waiting < batch_size for lane in self._lanes)

    def _derive_end(self, now: Now, decisions: list[Decision]) -> None:
        ending = self._ending
        if not self.reading.ended or self.phase is not Phase.RUNNING:
            return
        if not ending.settled:
            if _Work.CHILDREN not in self._under_way and self._is_due(
                ending.not_before_seconds, now
            ):
                self._under_way.add(_Work.CHILDREN)
                decisions.append(FindChildren(self.lease, self.tenure))
            return
        if self.outstanding or _Work.WRITE in self._under_way:
            return
        if self._is_due(self._saving.retry_seconds, now):
            self._under_way.add(_Work.WRITE)
            decisions.append(Finish(self.lease, self.tenure, self._child_leases()))

    def _child_leases(self) -> tuple[Lease, ...] | None:
        if self._ending.found is None:
            return None
        prefix = self._settings.prefix
        return tuple(new_lease(prefix, child, TRIM_HORIZON) for child in self._ending.found.shards)

    def _derive_save(self, now: Now, decisions: list[Decision]) -> None:
        if self.position == self._saving.position or _Work.WRITE in self._under_way:
            return
        saving = self._saving
        if self._is_due(max(saving.next_save_seconds, saving.retry_seconds), now):
            self._under_way.add(_Work.WRITE)
            more = len(self._lanes) * self._settings.options.batch_size
            saving.most_done = min(saving.most_done, self._progress.done + more)
            decisions.append(Save(self.lease, self.tenure, self.position))

    def _derive_release(self, now: Now, decisions: list[Decision]) -> None:
        calls_run = any(lane.busy for lane in self._lanes)
        if _Work.WRITE in self._under_way:
            return
        if calls_run and self._stop is StopReason.REQUESTED:
            return
        if self._is_due(self._saving.retry_seconds, now):
            self._under_way.add(_Work.WRITE)
            self._saving.last = self._saving.last or self.position
            self._emit(events.ReleaseStarted(self._mapping, self.lease.shard, self.tenure))
            decisions.append(Release(self.lease, self.tenure, self._saving.last))

    # --- for the snapshot -----------------------------------------------------------------------

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Records lost to retention in this tenure, oldest first."""
        return tuple(self.reading.gaps)
