"""Reports what does not move although something is expected (decision 8b).

Two kinds of things are watched. A *call* is expected to be answered: it is watched from the moment it is
decided until it has succeeded, however often it fails in between. A *condition*, such as a parent that no
listing shows, is seen by the coordinator in each survey and watched for as long as it lasts. What lasts for 30 s
gives a `Waiting` event, again after growing intervals, and a `MovedAgain` when it is over. A call of a handler
may take its time: it is reported after its timeout, or after five minutes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from triggerkit.core.decisions import (
    Beat,
    Cancel,
    Create,
    Decision,
    Discard,
    Expire,
    Fetch,
    FindChildren,
    Finish,
    Forget,
    Invoke,
    MembershipDecision,
    Pin,
    Release,
    Save,
    Survey,
    Take,
)
from triggerkit.core.events import (
    Blocked,
    CallFailed,
    Event,
    MappingId,
    MovedAgain,
    Operation,
    WaitCause,
    Waiting,
)
from triggerkit.core.model import Now, ShardId
from triggerkit.core.reports import NotNow
from triggerkit.errors import (
    CredentialsError,
    DestinationError,
    ListingUnusableError,
    StateError,
    TriggerkitError,
)

NEVER = float("inf")
STALL_SECONDS = 30.0
"""How long nothing may move before it is reported."""
LONG_CALL_SECONDS = 300.0
"""When a call of a handler without a timeout is reported for the first time."""
GATHER_SECONDS = 2.0
"""How much longer the first waits, so that what stops with it is reported with it."""
LONGEST_INTERVAL_SECONDS = 3600.0
BLOCKED_RETRY_SECONDS = 300.0
"""How often something is tried again that waiting cannot cure."""

Emit: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is watched: a call, by its operation, shard and lane; or a condition, by its cause."""

    operation: Operation | None
    shard: ShardId | None = None
    lane: int = 0
    cause: WaitCause | None = None


@dataclass(slots=True)
class _Watched:
    """One thing that has not moved yet; times are monotonic, `since_service_seconds` is not."""

    since_seconds: float
    since_service_seconds: float
    detail: str = ""
    failures: int = 0
    error: Exception | None = None


@dataclass(slots=True)
class _Group:
    """Things that stopped moving together and were reported as one; those in `left` still wait."""

    everything: dict[Subject, _Watched]
    left: dict[Subject, _Watched]
    cause: WaitCause
    blocked: bool
    report_at_seconds: float
    interval_seconds: float


class Watchdog:
    """Watches the calls and conditions of one mapping, or of a worker's membership."""

    def __init__(
        self, mapping: MappingId | None, emit: Emit, call_timeout_seconds: float | None = None
    ) -> None:
        self._mapping = mapping
        self._emit = emit
        self._call_limit_seconds = (
            LONG_CALL_SECONDS
            if call_timeout_seconds is None
            else call_timeout_seconds + STALL_SECONDS
        )
        # in the order in which they began, so that the first is the first to be due
        self._calls: OrderedDict[Subject, _Watched] = OrderedDict()
        self._others: OrderedDict[Subject, _Watched] = OrderedDict()
        self._conditions: set[Subject] = set()
        self._groups: dict[Subject, _Group] = {}  # of everything that was reported and still waits

    @property
    def wake_at_seconds(self) -> float:
        """When something is due to be reported (monotonic)."""
        at = min((group.report_at_seconds for group in self._groups.values()), default=NEVER)
        for queue, limit in self._queues():
            if queue:
                at = min(at, next(iter(queue.values())).since_seconds + limit + GATHER_SECONDS)
        return at

    def began(self, decision: Decision | MembershipDecision, now: Now) -> None:
        """A decision was made; if the same one failed before, it is still the same wait."""
        subject = subject_of(decision)
        if subject is not None and self._find(subject) is None:
            watched = _Watched(now.monotonic_seconds, now.service_seconds)
            self._queue_of(subject)[subject] = watched

    def ended(self, subject: Subject, now: Now) -> None:
        """The call succeeded, or the condition is over."""
        self._conditions.discard(subject)
        group = self._groups.pop(subject, None)
        if group is None:
            watched = self._queue_of(subject).pop(subject, None)
            if watched is not None and watched.failures:
                self._moved({subject: watched}, now, reported=False)
            return
        del group.left[subject]
        if not group.left:
            self._moved(group.everything, now, reported=True)

    def failed(self, report: NotNow, now: Now) -> None:
        """A call failed: announce when it is made again, or that somebody has to act."""
        subject = subject_of(report.decision)
        watched = None if subject is None else self._find(subject)
        operation, shard = operation_of(report.decision), shard_of(report.decision)
        if watched is not None:
            watched.failures += 1
            watched.error = report.error
        if report.wait_seconds is not None:
            if subject in self._groups:
                self._groups[subject].blocked = False
            failed = CallFailed(self._mapping, operation, shard, report.wait_seconds, report.error)
            self._emit(failed)
        elif watched is None or subject is None:
            self._emit(_blocked(self._mapping, operation, shard, report.error))
        else:
            self.block(subject, report.error, now)

    def block(self, subject: Subject, error: Exception, now: Now) -> None:
        """Waiting will not help `subject`: say so at once, and again after growing intervals."""
        group = self._groups.get(subject)
        if group is not None and group.blocked:
            return
        watched = self._find(subject) or _Watched(now.monotonic_seconds, now.service_seconds)
        watched.error = error
        self._drop(subject)
        self._report([(subject, watched)], BLOCKED_RETRY_SECONDS, now, blocked=True)

    def observe(self, conditions: Mapping[Subject, str], now: Now) -> None:
        """These conditions hold at present, each with what is known of it; the others are over."""
        for subject in self._conditions - conditions.keys():
            self.ended(subject, now)
        for subject, detail in conditions.items():
            watched = self._find(subject)
            if watched is None:
                watched = _Watched(now.monotonic_seconds, now.service_seconds)
                self._others[subject] = watched
                self._conditions.add(subject)
            watched.detail = detail

    def forget(self, shard: ShardId, lanes: int) -> None:
        """This worker does nothing with the shard any more."""
        for operation in _OF_A_SHARD:
            self._drop(Subject(operation, shard))
        for lane in range(lanes):
            self._drop(Subject(Operation.INVOKE, shard, lane))
            self._drop(Subject(Operation.DISCARD, shard, lane))

    def narrow_to_stop(self) -> None:
        """The mapping lets its shards go: only what that waits for matters now."""
        for subject in [*self._others, *self._groups]:
            if subject.operation not in _OF_A_STOP:
                self._conditions.discard(subject)
                self._drop(subject)

    def report_due(self, now: Now) -> None:
        """Emit a `Waiting` for everything whose time has come; what stopped together is one event."""
        for queue, limit in self._queues():
            if not queue:
                continue
            first = next(iter(queue.values()))
            if first.since_seconds + limit + GATHER_SECONDS > now.monotonic_seconds:
                continue
            due: dict[tuple[Operation | None, WaitCause], list[tuple[Subject, _Watched]]] = {}
            while queue:
                subject, watched = next(iter(queue.items()))
                if watched.since_seconds + limit > now.monotonic_seconds:
                    break
                del queue[subject]
                due.setdefault((subject.operation, _cause_of(subject, watched)), []).append(
                    (subject, watched)
                )
            for stalled in due.values():
                self._report(stalled, limit, now)
        for group in list({id(group): group for group in self._groups.values()}.values()):
            if group.report_at_seconds <= now.monotonic_seconds:
                self._report_group(group, now)

    # --- inside -----------------------------------------------------------------------------------

    def _queues(self) -> Iterable[tuple[OrderedDict[Subject, _Watched], float]]:
        return (self._others, STALL_SECONDS), (self._calls, self._call_limit_seconds)

    def _queue_of(self, subject: Subject) -> OrderedDict[Subject, _Watched]:
        return self._calls if subject.operation is Operation.INVOKE else self._others

    def _find(self, subject: Subject) -> _Watched | None:
        group = self._groups.get(subject)
        return group.left[subject] if group else self._queue_of(subject).get(subject)

    def _drop(self, subject: Subject) -> None:
        self._queue_of(subject).pop(subject, None)
        group = self._groups.pop(subject, None)
        if group is not None:
            del group.left[subject]

    def _report(
        self,
        stalled: list[tuple[Subject, _Watched]],
        interval_seconds: float,
        now: Now,
        *,
        blocked: bool = False,
    ) -> None:
        members = dict(stalled)
        cause = _cause_of(*stalled[0])
        group = _Group(members, dict(members), cause, blocked, 0.0, interval_seconds)
        for subject in members:
            self._groups[subject] = group
        self._report_group(group, now)

    def _report_group(self, group: _Group, now: Now) -> None:
        """Say it, and say it again after twice the time."""
        group.report_at_seconds = now.monotonic_seconds + group.interval_seconds
        group.interval_seconds = min(2 * group.interval_seconds, LONGEST_INTERVAL_SECONDS)
        subject, watched = next(iter(group.left.items()))
        if group.blocked and watched.error is not None:
            self._emit(_blocked(self._mapping, subject.operation, subject.shard, watched.error))
            return
        group.cause = _cause_of(subject, watched)
        self._emit(
            Waiting(
                mapping=self._mapping,
                shards=_shards(group.left),
                operation=subject.operation,
                cause=group.cause,
                since_seconds=watched.since_service_seconds,
                waited_seconds=now.monotonic_seconds - watched.since_seconds,
                detail=watched.detail or _detail_of(subject.operation, watched),
                ends_when=_ENDS_WHEN[group.cause],
                error=watched.error,
            )
        )

    def _moved(self, subjects: Mapping[Subject, _Watched], now: Now, *, reported: bool) -> None:
        since_seconds = min(each.since_seconds for each in subjects.values())
        self._emit(
            MovedAgain(
                mapping=self._mapping,
                shards=_shards(subjects),
                operation=next(iter(subjects)).operation,
                after_seconds=now.monotonic_seconds - since_seconds,
                reported=reported,
            )
        )


def _shards(subjects: Iterable[Subject]) -> tuple[ShardId, ...]:
    return tuple(dict.fromkeys(each.shard for each in subjects if each.shard is not None))


_OF_A_SHARD = (
    Operation.FETCH,
    Operation.SAVE,
    Operation.FIND_CHILDREN,
    Operation.FINISH,
    Operation.RELEASE,
)

_OF_A_STOP = frozenset(
    {
        Operation.INVOKE,
        Operation.DISCARD,
        Operation.SAVE,
        Operation.FINISH,
        Operation.RELEASE,
        Operation.BEAT,
    }
)

_ENDS_WHEN: Mapping[WaitCause, str] = {
    WaitCause.REPLY: "the service answers; check the endpoint and the network",
    WaitCause.CREDENTIALS: "credentials that the service accepts are found",
    WaitCause.ERROR: "the call succeeds; it is made again meanwhile",
    WaitCause.LISTING: "a listing shows what is missing; it is asked for again meanwhile",
    WaitCause.PARENT: "the parent is listed, or is older than the stream's retention",
    WaitCause.OWNER: "a worker takes the shard",
    WaitCause.HANDLER: "the handler returns",
    WaitCause.DESTINATION: "the on-failure destination takes the failure record",
    WaitCause.LEASE_STORE: "the lease store can be written again",
}


def operation_of(decision: Decision | MembershipDecision) -> Operation:
    """What a decision asks for."""
    return Operation(type(decision).__name__)


def shard_of(decision: Decision | MembershipDecision) -> ShardId | None:
    """The shard that a decision is about, if it is about one."""
    match decision:
        case Survey() | Pin() | Create() | Beat() | Expire():
            return None
        case _:
            return decision.lease.shard


def subject_of(decision: Decision | MembershipDecision) -> Subject | None:
    """What is watched of a decision; None for those that a condition watches better.

    Which worker takes, creates or deletes a row may change with each survey, so the coordinator's conditions say
    whether that goes on. A cancelled call is watched as the call that it is.
    """
    match decision:
        case Invoke(lease=lease, batch=batch):
            return Subject(Operation.INVOKE, lease.shard, batch.lane)
        case Discard(lease=lease, batch=batch):
            return Subject(Operation.DISCARD, lease.shard, batch.lane)
        case Fetch() | Save() | FindChildren() | Finish() | Release():
            return Subject(operation_of(decision), decision.lease.shard)
        case Survey() | Pin() | Beat():
            return Subject(operation_of(decision))
        case Create() | Take() | Forget() | Cancel() | Expire():
            return None
        case _:
            assert_never(decision)


_CAUSE_OF_ERROR: tuple[tuple[type[Exception], WaitCause], ...] = (
    (CredentialsError, WaitCause.CREDENTIALS),
    (StateError, WaitCause.LEASE_STORE),
    (DestinationError, WaitCause.DESTINATION),
    (ListingUnusableError, WaitCause.LISTING),
)
_CAUSE_OF_OPERATION: Mapping[Operation | None, WaitCause] = {
    Operation.INVOKE: WaitCause.HANDLER,
    Operation.DISCARD: WaitCause.DESTINATION,
    Operation.BEAT: WaitCause.LEASE_STORE,
    Operation.PIN: WaitCause.LEASE_STORE,
    Operation.SAVE: WaitCause.LEASE_STORE,
    Operation.FINISH: WaitCause.LEASE_STORE,
    Operation.RELEASE: WaitCause.LEASE_STORE,
}


def _cause_of(subject: Subject, watched: _Watched) -> WaitCause:
    if subject.cause is not None:
        return subject.cause
    for kind, cause in _CAUSE_OF_ERROR:
        if isinstance(watched.error, kind):
            return cause
    if subject.operation in _CAUSE_OF_OPERATION:
        return _CAUSE_OF_OPERATION[subject.operation]
    return WaitCause.REPLY if watched.error is None else WaitCause.ERROR


def _detail_of(operation: Operation | None, watched: _Watched) -> str:
    if watched.error is not None:
        return f"{watched.failures} times in a row: {watched.error}"
    if operation is Operation.INVOKE:
        return "a call of the handler is still running"
    return f"{operation.value if operation else 'a call'} has not been answered"


def _blocked(
    mapping: MappingId | None, operation: Operation | None, shard: ShardId | None, error: Exception
) -> Blocked:
    fix = error.hint if isinstance(error, TriggerkitError) else ""
    return Blocked(mapping, shard, operation, str(error), fix or "see the error", error)
