"""One event source mapping on one worker; `react` is its only entry point.

It takes one report and returns every decision that should be under way and is not, and the events that came of
it. The order in which reports arrive does not matter. A report of a past tenure is dropped here and nowhere else.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from triggerkit.core.consumer import ConsumerSettings, ShardConsumer
from triggerkit.core.coordinator import Cadence, LeaseCoordinator
from triggerkit.core.decisions import (
    Beat,
    ConsumerDecision,
    Create,
    Decision,
    Expire,
    Finish,
    Forget,
    Invoke,
    MembershipDecision,
    Pin,
    Survey,
    Take,
)
from triggerkit.core.events import Event, Operation, ShardTaken, StreamReplaced, WaitCause
from triggerkit.core.failure import is_last_try
from triggerkit.core.fit import Fit, held_up
from triggerkit.core.model import (
    NEVER,
    SHARD_END,
    TRIM_HORIZON,
    Batch,
    Lease,
    Now,
    Position,
    PositionKind,
    SessionId,
    ShardId,
    StopReason,
    Tenure,
)
from triggerkit.core.outcome import NotInvoked, Outcome, RecordFailure, RecordsEnded
from triggerkit.core.phases import Phase
from triggerkit.core.reports import (
    ConsumerReport,
    CoordinatorReport,
    Created,
    Fetched,
    Finished,
    Forgotten,
    Invoked,
    LeaseLost,
    NotNow,
    NotTaken,
    Pinned,
    Reaction,
    Report,
    Sessions,
    StopAsked,
    Surveyed,
    Taken,
    Trimmed,
    Woke,
)
from triggerkit.core.watchdog import Subject, Watchdog, condition, seconds_to_wait

CALL_OUTLIVES_LEASE = (
    "a call of the handler goes on though its lease was lost; the shard waits for it"
)
CLOSED_WITHOUT_END = "it is closed, and no page brings records or its end"
TRIM_HORIZON_REFUSED = (
    "the service says that the records are trimmed, also at the oldest that it has"
)


class EventSourceMapping:
    """The coordinator, and one consumer for each held lease."""

    def __init__(self, start: Position, settings: ConsumerSettings, cadence: Cadence) -> None:
        self.settings = settings
        self.coordinator = LeaseCoordinator(settings.prefix, start, cadence)
        self.consumers: dict[ShardId, ShardConsumer] = {}
        self.stale_reports = 0
        self._decisions: list[Decision] = []
        self._events: list[Event] = []
        self._watchdog = Watchdog(settings.mapping, self._events.append, settings.options.timeout)
        self._due: list[float] = []
        """A heap of times, each with its shards in `_due_shards`; an entry may be out of date."""
        self._due_shards: dict[float, list[ShardId]] = {}
        self._scheduled: dict[ShardId, float] = {}  # the earliest entry of each shard
        self._calls: Counter[ShardId] = Counter()  # running, of any tenure
        self._sessions: Sessions | None = None
        self._stream = ""  # that of the shard that was taken last
        self._stop: StopReason | None = None
        self._fit = Fit()
        self.wake_at_seconds = self._next_wake_seconds()
        """When something changes by itself at the earliest (monotonic)."""

    @property
    def stopped(self) -> bool:
        """Asked to stop, and nothing is held any more."""
        return self._stop is not None and not self.consumers

    def is_opening(self, now: Now) -> bool:
        """Whether a first start at LATEST has not opened its shards; at most until 5 s after the pin is stored."""
        coordinator = self.coordinator
        if not coordinator.is_opening(now) or not coordinator.surveyed:
            return coordinator.is_opening(now)
        rows = [row for row in coordinator.rows if row.checkpoint.kind is PositionKind.LATEST]
        for row in rows:
            consumer = self.consumers.get(row.shard)
            if consumer.opening if consumer else row.owner is None:
                return True
        return False

    def react(self, report: Report, now: Now) -> Reaction[Decision]:
        """Absorb one report; answer what should be under way and is not, and what happened."""
        self._watchdog.excuse(self.wake_at_seconds, now)
        self._watchdog.lease_store_is_reported = self._deadline_seconds <= now.monotonic_seconds
        self._absorb(report, now)
        self._wake_due(now)
        if self._stop is None:
            self._decisions += self.coordinator.derive(now, self._is_blocked, len(self.consumers))
        self._watch(now)
        self.wake_at_seconds = self._next_wake_seconds()
        reaction = Reaction(tuple(self._decisions), tuple(self._events))
        self._decisions.clear()
        self._events.clear()
        return reaction

    def _next_wake_seconds(self) -> float:
        first = min(self._due[0] if self._due else NEVER, self._watchdog.wake_at_seconds)
        return first if self._stop is not None else min(first, self.coordinator.wake_at_seconds)

    def _watch(self, now: Now) -> None:
        watchdog = self._watchdog
        for decision in self._decisions:
            watchdog.began(decision, now)
        if watchdog.wake_at_seconds > now.monotonic_seconds:
            return
        if self._stop is None:
            self._observe(now)  # what the last survey showed may be over
        watchdog.report_due(now)

    def _observe(self, now: Now) -> None:
        stalls = self.coordinator.stalls(self._is_blocked)
        for shard, consumer in self.consumers.items():
            if consumer.finds_nothing and self.coordinator.is_closed(shard):
                stalls[condition(WaitCause.SHARD_END, shard)] = CLOSED_WITHOUT_END
        for shard in self._calls:
            if shard not in self.consumers:
                stalls[_outlived(shard)] = CALL_OUTLIVES_LEASE
        self._watchdog.observe(stalls, now)

    @property
    def _deadline_seconds(self) -> float:
        """Until when this worker may act, by its last confirmed beat (monotonic)."""
        return self._sessions.deadline_seconds if self._sessions else -NEVER

    def _absorb(self, report: Report, now: Now) -> None:
        match report:
            case Woke():
                pass
            case StopAsked(reason=reason):
                self._ask_all_to_stop(reason, now)
            case Sessions():
                self._absorb_sessions(report, now)
            case Surveyed() | Pinned() | Created() | Taken() | NotTaken() | Forgotten():
                self._absorb_for_coordinator(report, now)
            case NotNow(decision=decision):
                self._absorb_not_now(report, decision, now)
            case _:
                self._absorb_for_consumer(report, report.decision, now)

    def _absorb_for_coordinator(self, report: CoordinatorReport, now: Now) -> None:
        self._watchdog.answered(report.decision, now)
        self.coordinator.absorb(report, now)
        match report:
            case Surveyed(listing=listing) if self._stop is None:
                self._observe(now)
                if listing is not None:
                    self._decisions += self.coordinator.forgets(self._is_blocked, listing)
            case Taken(lease=lease):
                self._start(lease, now)
            case _:
                pass

    def _absorb_not_now(
        self,
        report: NotNow,
        decision: Decision | MembershipDecision,
        now: Now,
    ) -> None:
        match decision:
            case Survey() | Pin() | Create() | Take() | Forget():
                self._watchdog.failed(report, now)
                self.coordinator.absorb_not_now(decision, seconds_to_wait(report), now)
            case Beat() | Expire():
                raise AssertionError("the membership's decisions are not answered here")
            case _:
                self._absorb_for_consumer(report, decision, now)

    def _absorb_for_consumer(
        self,
        report: ConsumerReport | NotNow,
        decision: ConsumerDecision,
        now: Now,
    ) -> None:
        """Pass a report to the consumer that asked for it; one of a past tenure is counted and dropped."""
        shard = decision.lease.shard
        if isinstance(decision, Invoke):
            self._call_ended(shard, now)
        consumer = self.consumers.get(shard)
        if consumer is None or consumer.tenure != decision.tenure:
            self.stale_reports += 1
            return
        if isinstance(report, NotNow):
            self._watchdog.failed(report, now)
            consumer.absorb_not_now(decision, seconds_to_wait(report), report.error, now)
        else:
            self._watch_consumer(consumer, report, now)
            self._decisions += consumer.absorb(report, now)
        if isinstance(report, Finished):
            row = finished_row(consumer.lease)
            for lease in self.coordinator.absorb_end(row, report.taken, now):
                self._start(lease, now)
        self._derive(consumer, now)

    def _call_ended(self, shard: ShardId, now: Now) -> None:
        self._calls[shard] -= 1
        if not self._calls[shard]:
            del self._calls[shard]
            self._watchdog.ended(_outlived(shard), now)
            if shard not in self.consumers:
                self.coordinator.let_go(shard, now)

    def _watch_consumer(self, consumer: ShardConsumer, report: ConsumerReport, now: Now) -> None:
        """What the report says of what was waited for: it moved, or is to be tried again."""
        watchdog, shard = self._watchdog, consumer.lease.shard
        if isinstance(report, Invoked):
            self._judge(report, now)
        match report:
            case Invoked(
                decision=Invoke(batch=batch), outcome=NotInvoked(reason=reason, wait_seconds=None)
            ):
                watchdog.refused(Subject(Operation.INVOKE, shard, batch.lane), reason, now)
            case Invoked(decision=Invoke(batch=batch), outcome=outcome) if (
                invalid := self._invalid_in(batch, outcome)
            ):
                error = held_up(batch, invalid, self.settings.mapping.trigger)
                watchdog.block(Subject(Operation.INVOKE, shard, batch.lane), error, now)
            case Trimmed():
                if consumer.reading.position == TRIM_HORIZON:
                    watchdog.refused(Subject(Operation.FETCH, shard), TRIM_HORIZON_REFUSED, now)
            case LeaseLost():
                watchdog.forget(shard, now)  # calls that run are waited for
            case _:
                watchdog.answered(report.decision, now)
                if isinstance(report, Fetched) and self._stop is None:
                    self._watch_end(report, now)

    def _watch_end(self, report: Fetched, now: Now) -> None:
        """A shard that is closed brings records, or its end."""
        shard = report.decision.lease.shard
        subject = condition(WaitCause.SHARD_END, shard)
        if report.page.records or report.page.ended:
            self._watchdog.ended(subject, now)
        elif self.coordinator.is_closed(shard):
            self._watchdog.hold(subject, CLOSED_WITHOUT_END, now)

    def _judge(self, report: Invoked, now: Now) -> None:
        """Block the whole trigger once it shows that the handler's type fits nothing."""
        trigger = self.settings.mapping.trigger
        misfit = self._fit.judge(report.decision.batch, report.outcome, trigger)
        if misfit is not None:
            self._watchdog.block(Subject(Operation.INVOKE), misfit, now)

    def _invalid_in(self, batch: Batch, outcome: Outcome) -> RecordFailure | None:
        """The first record that can never be handled and is not given up, so that its lane is held up."""
        options = self.settings.options
        if not isinstance(outcome, RecordsEnded) or options.discards_invalid:
            return None
        kept = (each for each in outcome.invalid if not is_last_try(batch, each.index, options))
        return next(kept, None)

    def _absorb_sessions(self, sessions: Sessions, now: Now) -> None:
        before, deadline_before = self._sessions, self._deadline_seconds
        self._sessions = sessions
        self.coordinator.absorb_sessions(sessions, now)
        if before is not None and before.me != sessions.me:
            for consumer in list(self.consumers.values()):
                self._watchdog.forget(consumer.lease.shard, now)
                self._decisions += consumer.ask_to_stop(StopReason.LEASE_LOST)
                self._derive(consumer, now)
        if deadline_before <= now.monotonic_seconds < sessions.deadline_seconds:
            self.coordinator.lease_store_is_back(now)
            for consumer in list(self.consumers.values()):
                consumer.lease_store_is_back()
                self._derive(consumer, now)

    def _ask_all_to_stop(self, reason: StopReason, now: Now) -> None:
        self._stop = max(reason, self._stop or reason)
        self._watchdog.narrow_to_stop(now)
        for consumer in list(self.consumers.values()):
            self._decisions += consumer.ask_to_stop(reason)
            self._derive(consumer, now)

    def _start(self, lease: Lease, now: Now) -> None:
        owner: SessionId | None = lease.owner
        if lease.shard in self.consumers or lease.finished or owner is None:
            self.coordinator.look_again(now)
            return
        tenure = Tenure(owner, lease.counter)
        at_tip = self.coordinator.is_opening(now)
        emit = self._events.append
        follows = self.coordinator.has_finished(lease.parents)
        consumer = ShardConsumer(
            lease,
            tenure,
            self.settings,
            emit,
            self.coordinator.children_of,
            at_tip=at_tip,
            follows=follows,
        )
        self.consumers[lease.shard] = consumer
        self._watchdog.ended(condition(WaitCause.OWNER, lease.shard), now)
        self._watchdog.ended(condition(WaitCause.PARENT, lease.shard), now)
        stream = lease.shard.partition(":")[0]
        if self._stream not in ("", stream):
            emit(StreamReplaced(self.settings.mapping, stream))
        self._stream = stream
        emit(ShardTaken(self.settings.mapping, lease.shard, tenure, lease.checkpoint))
        if self._stop is not None:
            self._decisions += consumer.ask_to_stop(self._stop)
        elif self._sessions is not None and owner != self._sessions.me:
            self._decisions += consumer.ask_to_stop(StopReason.LEASE_LOST)
        self._derive(consumer, now)

    def _wake_due(self, now: Now) -> None:
        while self._due and self._due[0] <= now.monotonic_seconds:
            at_seconds = heapq.heappop(self._due)
            for shard in self._due_shards.pop(at_seconds):
                if self._scheduled.get(shard) == at_seconds:
                    del self._scheduled[shard]
                consumer = self.consumers.get(shard)
                if consumer is None:
                    continue
                if consumer.wake_at_seconds <= now.monotonic_seconds:
                    self._derive(consumer, now)
                else:
                    self._schedule(consumer)

    def _schedule(self, consumer: ShardConsumer) -> None:
        """One entry a shard is enough: a later time is found when the earlier entry is popped."""
        shard, at_seconds = consumer.lease.shard, consumer.wake_at_seconds
        if at_seconds < self._scheduled.get(shard, NEVER):
            self._scheduled[shard] = at_seconds
            if at_seconds not in self._due_shards:
                self._due_shards[at_seconds] = []
                heapq.heappush(self._due, at_seconds)
            self._due_shards[at_seconds].append(shard)

    def _is_blocked(self, shard: ShardId) -> bool:
        """Held, or a call of an earlier tenure still runs in this process."""
        return shard in self.consumers or shard in self._calls

    def _derive(self, consumer: ShardConsumer, now: Now) -> None:
        # Where nothing fits, neither calls nor failure records: what was read stays before the checkpoint.
        deadline = -NEVER if self._fit.nothing_fits else self._deadline_seconds
        shard = consumer.lease.shard
        for decision in consumer.derive(now, deadline):
            match decision:
                case Invoke():
                    self._calls[shard] += 1
                    self._decisions.append(decision)
                case Finish():
                    held = len(self.consumers)
                    self._decisions.append(self.coordinator.grant(decision, held))
                case _:
                    self._decisions.append(decision)
        if (
            not consumer.seeks_children
        ):  # they are found, or the coordinator looks for them from now on
            self._watchdog.drop(Subject(Operation.FIND_CHILDREN, shard), now)
        match consumer.phase:
            case Phase.FINISHED:
                del self.consumers[shard]
                self._watchdog.forget(shard, now, len(consumer.lanes))
            case Phase.STOPPED:
                del self.consumers[shard]
                self._watchdog.forget(shard, now, len(consumer.lanes))
                if shard in self._calls:
                    self._watchdog.hold(_outlived(shard), CALL_OUTLIVES_LEASE, now)
                self.coordinator.let_go(shard, now)
            case _:
                self._schedule(consumer)

    def __iter__(self) -> Iterator[ShardConsumer]:
        return iter(self.consumers.values())


def _outlived(shard: ShardId) -> Subject:
    return condition(WaitCause.HANDLER, shard)


def finished_row(lease: Lease) -> Lease:
    """The row as `finish` leaves it: at its end, without an owner."""
    return replace(lease, checkpoint=SHARD_END, owner=None, counter=lease.counter + 1)
