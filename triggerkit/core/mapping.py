"""One event source mapping on one worker. Rule: this is the only door.

`react` takes one report and returns every decision that should be under way and is not. The order in
which reports arrive does not matter. A report of a past tenure is dropped here and nowhere else.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator

from triggerkit.core.consumer import ConsumerSettings, ShardConsumer
from triggerkit.core.coordinator import Cadence, LeaseCoordinator
from triggerkit.core.decisions import Decision, FindChildren, Finish, Invoke
from triggerkit.core.model import (
    SHARD_END,
    Lease,
    Now,
    Position,
    SessionId,
    ShardId,
    StopReason,
    Tenure,
)
from triggerkit.core.phases import Phase
from triggerkit.core.reports import (
    ChildrenFound,
    ConsumerReport,
    Created,
    CreateFailed,
    Finished,
    ForgetFailed,
    Forgotten,
    Invoked,
    NotTaken,
    Report,
    Sessions,
    StopAsked,
    Surveyed,
    SurveyFailed,
    TakeFailed,
    Taken,
    Woke,
)

NEVER = float("inf")


class EventSourceMapping:
    """The coordinator and one consumer a held lease, behind one method."""

    def __init__(self, start: Position, settings: ConsumerSettings, cadence: Cadence) -> None:
        self.settings = settings
        self.coordinator = LeaseCoordinator(settings.prefix, start, cadence)
        self.consumers: dict[ShardId, ShardConsumer] = {}
        self.stale_reports = 0
        self._due: list[tuple[float, ShardId]] = []  # heap; an entry may be out of date
        self._scheduled: dict[ShardId, float] = {}  # the earliest entry of each shard
        self._calls: Counter[ShardId] = Counter()  # running, of any tenure
        self._sessions: Sessions | None = None
        self._stop: StopReason | None = None
        self._paused = False

    @property
    def wake_at_seconds(self) -> float:
        """When something changes by itself at the earliest (monotonic): a level, not an event."""
        first = self._due[0][0] if self._due else NEVER
        if self._stop is not None:
            return first
        return min(first, self.coordinator.wake_at_seconds)

    @property
    def stopped(self) -> bool:
        """Asked to stop, and nothing is held any more."""
        return self._stop is not None and not self.consumers

    def react(self, report: Report, now: Now) -> tuple[Decision, ...]:
        """Absorb one report; answer what should be under way and is not."""
        decisions: list[Decision] = []
        match report:
            case Woke():
                pass
            case StopAsked(reason=reason):
                self._ask_all_to_stop(reason, now, decisions)
            case Sessions():
                self._absorb_sessions(report, now, decisions)
            case Surveyed(listing=listing):
                self.coordinator.absorb(report, now)
                if listing is not None and self._stop is None:
                    decisions += self.coordinator.forgets(self._is_blocked, listing)
            case Taken(lease=lease):
                self.coordinator.absorb(report, now)
                self._start(lease, now, decisions)
            case (
                SurveyFailed()
                | Created()
                | CreateFailed()
                | NotTaken()
                | TakeFailed()
                | Forgotten()
                | ForgetFailed()
            ):
                self.coordinator.absorb(report, now)
            case _:
                self._absorb_for_consumer(report, now, decisions)
        self._wake_due(now, decisions)
        if self._stop is None:
            decisions += self.coordinator.derive(now, self._is_blocked, len(self.consumers))
        return tuple(decisions)

    def _absorb_for_consumer(
        self, report: ConsumerReport, now: Now, decisions: list[Decision]
    ) -> None:
        if isinstance(report, Invoked):
            self._calls[report.shard] -= 1
            if not self._calls[report.shard]:
                del self._calls[report.shard]
                if report.shard not in self.consumers:
                    self.coordinator.let_go(report.shard, now)
        consumer = self.consumers.get(report.shard)
        if consumer is None or consumer.tenure != report.tenure:
            self.stale_reports += 1
            return
        decisions += consumer.absorb(report, now)
        if isinstance(report, Finished):
            self._absorb_end(consumer, report.taken, now, decisions)
        self._derive(consumer, now, decisions)

    def _absorb_end(
        self,
        consumer: ShardConsumer,
        taken: tuple[Lease, ...],
        now: Now,
        decisions: list[Decision],
    ) -> None:
        finished = finished_row(consumer.lease)
        fresh = self.coordinator.absorb_end(finished, taken, now)
        for lease in fresh:
            self._start(lease, now, decisions)

    def _absorb_sessions(self, sessions: Sessions, now: Now, decisions: list[Decision]) -> None:
        before = self._sessions
        self._sessions = sessions
        self.coordinator.absorb_sessions(sessions, now)
        if before is not None and before.me != sessions.me:
            for consumer in list(self.consumers.values()):
                decisions += consumer.ask_to_stop(StopReason.LEASE_LOST)
                self._derive(consumer, now, decisions)
        if self._paused and sessions.deadline_seconds > now.monotonic_seconds:
            self._paused = False
            for consumer in list(self.consumers.values()):
                self._derive(consumer, now, decisions)

    def _ask_all_to_stop(self, reason: StopReason, now: Now, decisions: list[Decision]) -> None:
        self._stop = max(reason, self._stop or reason)
        for consumer in list(self.consumers.values()):
            decisions += consumer.ask_to_stop(reason)
            self._derive(consumer, now, decisions)

    def _start(self, lease: Lease, now: Now, decisions: list[Decision]) -> None:
        owner: SessionId | None = lease.owner
        if lease.shard in self.consumers or lease.finished or owner is None:
            self.coordinator.look_again(now)
            return
        consumer = ShardConsumer(lease, Tenure(owner, lease.counter), self.settings)
        self.consumers[lease.shard] = consumer
        if self._stop is not None:
            decisions += consumer.ask_to_stop(self._stop)
        elif self._sessions is not None and owner != self._sessions.me:
            decisions += consumer.ask_to_stop(StopReason.LEASE_LOST)
        self._derive(consumer, now, decisions)

    def _wake_due(self, now: Now, decisions: list[Decision]) -> None:
        while self._due and self._due[0][0] <= now.monotonic_seconds:
            at_seconds, shard = heapq.heappop(self._due)
            if self._scheduled.get(shard) == at_seconds:
                del self._scheduled[shard]
            consumer = self.consumers.get(shard)
            if consumer is None:
                continue
            if consumer.wake_at_seconds <= now.monotonic_seconds:
                self._derive(consumer, now, decisions)
            else:
                self._schedule(consumer)

    def _schedule(self, consumer: ShardConsumer) -> None:
        """One entry a shard is enough: a later wish is found when the earlier entry is popped."""
        shard, at_seconds = consumer.lease.shard, consumer.wake_at_seconds
        if at_seconds < self._scheduled.get(shard, NEVER):
            self._scheduled[shard] = at_seconds
            heapq.heappush(self._due, (at_seconds, shard))

    def _is_blocked(self, shard: ShardId) -> bool:
        """Held, or a call of an earlier tenure still runs in this process."""
        return shard in self.consumers or shard in self._calls

    def _derive(self, consumer: ShardConsumer, now: Now, decisions: list[Decision]) -> None:
        deadline = self._sessions.deadline_seconds if self._sessions else -NEVER
        self._paused = self._paused or deadline <= now.monotonic_seconds
        shard = consumer.lease.shard
        for decision in self._derived(consumer, now, deadline):
            match decision:
                case Invoke():
                    self._calls[shard] += 1
                    decisions.append(decision)
                case Finish():
                    decisions.append(self.coordinator.grant(decision, len(self.consumers)))
                case _:
                    decisions.append(decision)
        match consumer.phase:
            case Phase.FINISHED:
                del self.consumers[shard]
            case Phase.STOPPED:
                del self.consumers[shard]
                self.coordinator.let_go(shard, now)
            case _:
                self._schedule(consumer)

    def _derived(self, consumer: ShardConsumer, now: Now, deadline: float) -> list[Decision]:
        """What the shard wants done; children that the listing names are not asked for."""
        decisions = consumer.derive(now, deadline)
        for index, decision in enumerate(decisions):
            if isinstance(decision, FindChildren):
                shard = decision.lease.shard
                children = self.coordinator.children_of(shard)
                if children is not None:
                    del decisions[index]
                    consumer.absorb(ChildrenFound(shard, decision.tenure, children), now)
                    return [*decisions, *consumer.derive(now, deadline)]
        return decisions

    def __iter__(self) -> Iterator[ShardConsumer]:
        return iter(self.consumers.values())


def finished_row(lease: Lease) -> Lease:
    """The row as `finish` leaves it: at its end, owned by nobody."""
    return Lease(
        key=lease.key,
        shard=lease.shard,
        checkpoint=SHARD_END,
        parents=lease.parents,
        owner=None,
        counter=lease.counter + 1,
        switches=lease.switches,
        created_seconds=lease.created_seconds,
        lost_reason=lease.lost_reason,
    )
