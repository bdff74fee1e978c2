"""Reports what does not move although something is expected (decision 8b).

Two kinds of things are watched. A *call* is watched from its decision until it has succeeded, however often it
fails in between. A *condition*, such as a parent that no listing shows, is found by the coordinator in each survey
and watched for as long as it lasts. What lasts for 30 s gives a `Waiting` event, again after growing intervals, and
a `MovedAgain` when it is over. The call of a handler is reported after its timeout, or after five minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
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
from triggerkit.core.model import (
    NEVER,
    Now,
    ShardId,
)
from triggerkit.core.reports import NotNow
from triggerkit.core.words import counted
from triggerkit.errors import (
    CredentialsError,
    DestinationError,
    ListingUnusableError,
    StateError,
    TriggerkitError,
    error_code,
)

STALL_SECONDS = 30.0
"""How long nothing may move before it is reported."""
LONG_CALL_SECONDS = 300.0
"""When a call of a handler without a timeout is reported for the first time."""
GATHER_SECONDS = 2.0
"""How much longer the first waits, so that what stops with it is reported with it."""
STANDSTILL_SECONDS = 5.0
"""Woken so late, the process was stopped, or its machine slept."""
LONGEST_INTERVAL_SECONDS = 3600.0
BLOCKED_RETRY_SECONDS = 300.0
"""How often something is tried again that waiting cannot cure."""
STATE_RETRY_SECONDS = 10.0
"""The same for the lease store: a shard stands still until it is saved, and a state file may be put back."""

Emit: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is watched: a call, by its operation, shard and lane; or a condition, by its cause."""

    operation: Operation | None
    shard: ShardId | None = None
    lane: int = 0
    cause: WaitCause | None = None


def condition(cause: WaitCause, shard: ShardId | None = None) -> Subject:
    """A state of a shard, or of the mapping, that keeps it from being read."""
    return Subject(None, shard, cause=cause)


def seconds_to_wait(report: NotNow) -> float:
    """How long to wait before the decision is made again; what waiting cannot cure is tried rarely."""
    if report.wait_seconds is not None:
        return report.wait_seconds
    return STATE_RETRY_SECONDS if isinstance(report.error, StateError) else BLOCKED_RETRY_SECONDS


@dataclass(slots=True)
class _Watched:
    """One thing that has not moved yet."""

    since: Now
    decision: Decision | MembershipDecision | None = None
    """The call, as it was made last; None for a condition."""
    detail: str = ""
    failures: int = 0
    error: Exception | None = None


@dataclass(slots=True)
class _Group:
    """Things that stopped moving together and are reported as one."""

    key: object
    """Things with the same key are reported together."""
    blocked: bool
    opened_seconds: float
    report_at_seconds: float
    interval_seconds: float
    reports: int = 0
    left: dict[Subject, _Watched] = field(default_factory=dict)
    """Those that still wait."""
    moved: dict[Subject, _Watched] = field(default_factory=dict)
    """Those that go on already, which is said once nothing is left."""


class Watchdog:
    """Watches the calls and conditions of one mapping, or of a worker's membership."""

    def __init__(
        self, mapping: MappingId | None, emit: Emit, call_timeout_seconds: float | None = None
    ) -> None:
        self._mapping = mapping
        self._emit = emit
        self._has_timeout = call_timeout_seconds is not None
        self._call_limit_seconds = (
            LONG_CALL_SECONDS
            if call_timeout_seconds is None
            else call_timeout_seconds + STALL_SECONDS
        )
        # in the order in which they began, so that the first is the first to be due
        self._calls: dict[Subject, _Watched] = {}
        self._others: dict[Subject, _Watched] = {}
        self._conditions: set[Subject] = set()
        self._groups: list[_Group] = []  # of what is reported and still waits
        self._group_of: dict[Subject, _Group] = {}
        self._turn_seconds = -NEVER
        """When the oldest call last came back: the next one may have waited for its turn until then."""
        self.lease_store_is_reported = False
        """Whether the session beat fails: that is reported once for all mappings, and not here again."""

    @property
    def wake_at_seconds(self) -> float:
        """When something is due to be reported (monotonic)."""
        at = min((group.report_at_seconds for group in self._groups), default=NEVER)
        if self._others:
            at = min(at, _first_seconds(self._others) + STALL_SECONDS + GATHER_SECONDS)
        if self._calls:
            at = min(at, self._call_due_seconds)
        return at

    def excuse(self, wake_at_seconds: float, now: Now) -> None:
        """Leave out the time in which the process stood still: nothing could move.

        `wake_at_seconds` is when the machine asked to be woken; the engine is never late by itself.
        """
        late_seconds = now.monotonic_seconds - wake_at_seconds
        if late_seconds < STANDSTILL_SECONDS:
            return
        in_groups = [watched for group in self._groups for watched in group.left.values()]
        for watched in (*self._calls.values(), *self._others.values(), *in_groups):
            since = watched.since
            late = min(late_seconds, now.monotonic_seconds - since.monotonic_seconds)
            watched.since = Now(since.monotonic_seconds + late, since.service_seconds + late)
        for group in self._groups:
            group.opened_seconds += late_seconds
            group.report_at_seconds += late_seconds
        self._turn_seconds += late_seconds

    def began(self, decision: Decision | MembershipDecision, now: Now) -> None:
        """A decision was made; if the same one failed before, the wait goes on."""
        subject = subject_of(decision)
        if subject is None:
            return
        watched = self._find(subject)
        if watched is None:
            watched = _Watched(now)
            self._queue_of(subject)[subject] = watched
        watched.decision = decision

    def answered(self, decision: Decision | MembershipDecision, now: Now) -> None:
        """The call that a decision asked for succeeded."""
        subject = subject_of(decision)
        if subject is not None:
            self.ended(subject, now)

    def ended(self, subject: Subject, now: Now) -> None:
        """The call succeeded, or the condition is over."""
        self._conditions.discard(subject)
        self._give_turn(subject, now)
        group = self._group_of.pop(subject, None)
        if group is None:
            watched = self._pop(subject)
            if watched is not None and watched.failures:
                self._moved({subject: watched}, now, reported=False)
            return
        group.moved[subject] = group.left.pop(subject)
        if not group.left:
            self._close(group, now)

    def failed(self, report: NotNow, now: Now) -> None:
        """A call failed: announce when it is made again, or that somebody has to act."""
        subject = self._watched_for(report, now)
        watched = None if subject is None else self._find(subject)
        operation, shard = operation_of(report.decision), shard_of(report.decision)
        if subject is not None and watched is not None:
            self.refused(subject, "", now)
            watched.error, watched.decision = report.error, report.decision
        wait_seconds = report.wait_seconds
        if wait_seconds is None:
            if subject is not None:
                self.block(subject, report.error, now)
                return
            wait_seconds = seconds_to_wait(report)
        group = None if subject is None else self._group_of.get(subject)
        if subject is not None and watched is not None and group is not None and group.blocked:
            self.drop(subject, now)  # it alone may pass by itself now
            self._others[subject] = watched
        self._emit(CallFailed(self._mapping, operation, shard, wait_seconds, report.error))

    def refused(self, subject: Subject, detail: str, now: Now) -> None:
        """The call came back without success and is made again; `detail` says why, if no error does."""
        watched = self._find(subject)
        if watched is None:
            return
        watched.failures += 1
        watched.error, watched.detail = None, detail
        if subject in self._calls:  # it is not the handler that takes its time
            self._give_turn(subject, now)
            del self._calls[subject]
            watched.since = now
            self._others[subject] = watched

    def block(self, subject: Subject, error: Exception, now: Now) -> None:
        """Waiting will not help `subject`: report it at once, and again after growing intervals."""
        group = self._group_of.get(subject)
        watched = self._find(subject) or _Watched(now)
        watched.error = error
        key = (subject.operation, subject.cause, error_code(error))
        if group is not None and group.blocked and group.key == key:
            return
        self.drop(subject, now)
        same = next((each for each in self._groups if each.blocked and each.key == key), None)
        if same is None:
            self._report({subject: watched}, key, BLOCKED_RETRY_SECONDS, now, blocked=True)
            return
        self._join(same, {subject: watched})
        # the first is reported at once, those that join it together a moment later
        at_seconds = now.monotonic_seconds + GATHER_SECONDS
        same.report_at_seconds = min(same.report_at_seconds, at_seconds)

    def observe(self, conditions: Mapping[Subject, str], now: Now) -> None:
        """These conditions hold at present, each with its details; the others are over."""
        for subject in self._conditions - conditions.keys():
            self.ended(subject, now)
        for subject, detail in conditions.items():
            self.hold(subject, detail, now)

    def hold(self, subject: Subject, detail: str, now: Now) -> None:
        """This condition holds at present."""
        watched = self._find(subject)
        if watched is None:
            watched = _Watched(now)
            self._others[subject] = watched
            self._conditions.add(subject)
        watched.detail = detail

    def forget(self, shard: ShardId, now: Now, lanes: int = 0) -> None:
        """This worker does nothing with the shard any more; without `lanes`, its calls still run."""
        for operation in _OF_A_SHARD:
            self.drop(Subject(operation, shard), now)
        for lane in range(lanes):
            self.drop(Subject(Operation.INVOKE, shard, lane), now)
            self.drop(Subject(Operation.DISCARD, shard, lane), now)

    def drop(self, subject: Subject, now: Now) -> None:
        """Nothing is expected of `subject` any more, and nothing has moved."""
        self._pop(subject)
        group = self._group_of.pop(subject, None)
        if group is not None:
            del group.left[subject]
            if not group.left:
                self._close(group, now)

    def _close(self, group: _Group, now: Now) -> None:
        """Nothing of the group waits any more; report what goes on, if it was reported before."""
        self._groups.remove(group)
        if group.moved and (group.reports or any(e.failures for e in group.moved.values())):
            self._moved(group.moved, now, reported=group.reports > 0)

    def narrow_to_stop(self, now: Now) -> None:
        """The mapping releases its shards: only what the stop waits for matters now."""
        for subject in [*self._others, *self._group_of]:
            if subject.operation not in _OF_A_STOP:
                self._conditions.discard(subject)
                self.drop(subject, now)

    def report_due(self, now: Now) -> None:
        """Emit a `Waiting` for everything whose time has come; what stopped together is one event."""
        if self._others:
            due_at = _first_seconds(self._others) + STALL_SECONDS + GATHER_SECONDS
            if due_at <= now.monotonic_seconds:
                self._report_queue(self._others, STALL_SECONDS, now)
        if self._calls and self._call_due_seconds <= now.monotonic_seconds:
            self._report_queue(self._calls, self._call_limit_seconds, now)
        for group in self._groups:
            if group.report_at_seconds <= now.monotonic_seconds:
                self._report_group(group, now)

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _call_due_seconds(self) -> float:
        """Handlers are called in turn: the oldest call may have begun when the one before it ended."""
        return max(_first_seconds(self._calls), self._turn_seconds) + self._call_limit_seconds

    def _give_turn(self, subject: Subject, now: Now) -> None:
        is_oldest = bool(self._calls) and next(iter(self._calls)) == subject
        if is_oldest or (subject.operation is Operation.INVOKE and subject in self._group_of):
            self._turn_seconds = now.monotonic_seconds

    def _queue_of(self, subject: Subject) -> dict[Subject, _Watched]:
        return self._calls if subject.operation is Operation.INVOKE else self._others

    def _find(self, subject: Subject) -> _Watched | None:
        group = self._group_of.get(subject)
        if group is not None:
            return group.left[subject]
        return self._calls.get(subject) or self._others.get(subject)

    def _pop(self, subject: Subject) -> _Watched | None:
        return self._calls.pop(subject, None) or self._others.pop(subject, None)

    def _watched_for(self, report: NotNow, now: Now) -> Subject | None:
        """What a decision that failed keeps from moving."""
        match report.decision:
            case Take(lease=lease):
                subject = condition(WaitCause.OWNER, lease.shard)
            case Create():
                subject = condition(WaitCause.LEASE_STORE)
            case _:
                return subject_of(report.decision)
        if report.wait_seconds is None:
            self.hold(subject, "", now)  # no survey has shown it yet
        return subject if subject in self._conditions else None

    def _report_queue(self, queue: dict[Subject, _Watched], limit_seconds: float, now: Now) -> None:
        due: dict[object, dict[Subject, _Watched]] = {}
        while queue:
            subject, watched = next(iter(queue.items()))
            if watched.since.monotonic_seconds + limit_seconds > now.monotonic_seconds:
                break
            del queue[subject]
            due.setdefault(_key_of(_cause_of(subject, watched)), {})[subject] = watched
        for key, stalled in due.items():
            same = next((each for each in self._groups if self._takes(each, key, now)), None)
            if same is None:
                self._report(stalled, key, limit_seconds, now)
            else:
                self._join(same, stalled)

    def _takes(self, group: _Group, key: object, now: Now) -> bool:
        """Whether what stalls now has the cause of `group`, so that its next report will do."""
        if group.blocked or group.key != key:
            return False
        together = now.monotonic_seconds - group.opened_seconds <= STALL_SECONDS
        return together or key is WaitCause.HANDLER  # the others wait for their turn

    def _join(self, group: _Group, members: Mapping[Subject, _Watched]) -> None:
        group.left.update(members)
        for subject in members:
            self._group_of[subject] = group

    def _report(
        self,
        stalled: dict[Subject, _Watched],
        key: object,
        interval_seconds: float,
        now: Now,
        *,
        blocked: bool = False,
    ) -> None:
        at_seconds = now.monotonic_seconds
        group = _Group(key, blocked, at_seconds, at_seconds, interval_seconds)
        self._groups.append(group)
        self._join(group, stalled)
        self._report_group(group, now)

    def _report_group(self, group: _Group, now: Now) -> None:
        """Report it, and again after twice the time."""
        subject, watched = next(iter(group.left.items()))
        cause = _cause_of(subject, watched)
        if self.lease_store_is_reported and cause is WaitCause.LEASE_STORE:
            group.report_at_seconds = now.monotonic_seconds + STALL_SECONDS
            return
        group.reports += 1
        group.report_at_seconds = now.monotonic_seconds + group.interval_seconds
        group.interval_seconds = min(2 * group.interval_seconds, LONGEST_INTERVAL_SECONDS)
        if group.blocked and watched.error is not None:
            error = watched.error
            fix = error.hint if isinstance(error, TriggerkitError) else ""
            self._emit(
                Blocked(
                    mapping=self._mapping,
                    shards=_shards(group.left),
                    operation=subject.operation,
                    cause=str(error),
                    fix=fix or "see the error",
                    error=error,
                )
            )
            return
        self._emit(
            Waiting(
                mapping=self._mapping,
                shards=_shards(group.left),
                operation=subject.operation,
                cause=cause,
                since_seconds=watched.since.service_seconds,
                waited_seconds=now.monotonic_seconds - watched.since.monotonic_seconds,
                detail=_detail_of(subject.operation, watched),
                ends_when=_ENDS_WHEN[cause],
                error=watched.error,
                expected=subject.operation is Operation.INVOKE and not self._has_timeout,
            )
        )

    def _moved(self, subjects: Mapping[Subject, _Watched], now: Now, *, reported: bool) -> None:
        since_seconds = min(each.since.monotonic_seconds for each in subjects.values())
        first, watched = next(iter(subjects.items()))
        operation = first.operation
        if operation is None and watched.decision is not None:
            operation = operation_of(watched.decision)  # the call that failed, as it was announced
        self._emit(
            MovedAgain(
                mapping=self._mapping,
                shards=_shards(subjects),
                operation=operation,
                after_seconds=now.monotonic_seconds - since_seconds,
                reported=reported,
            )
        )


def _first_seconds(queue: dict[Subject, _Watched]) -> float:
    return next(iter(queue.values())).since.monotonic_seconds


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
    WaitCause.REPLY: "the service answers (check the endpoint and the network)",
    WaitCause.CREDENTIALS: "credentials that the service accepts are found",
    WaitCause.ERROR: "the call succeeds (it is made again meanwhile)",
    WaitCause.LISTING: "a listing shows what is missing (it is asked for again meanwhile)",
    WaitCause.SHARD_END: "the stream hands out the rest of the shard, or says that it has ended",
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
    for kind, cause in _CAUSE_OF_ERROR:
        if isinstance(watched.error, kind):
            return cause
    if subject.cause is not None:
        return subject.cause
    if subject.operation in _CAUSE_OF_OPERATION:
        return _CAUSE_OF_OPERATION[subject.operation]
    if watched.decision == Survey(list_shards=False):
        return WaitCause.LEASE_STORE
    return WaitCause.ERROR if watched.failures else WaitCause.REPLY


def _key_of(cause: WaitCause) -> WaitCause:
    """An endpoint that is down refuses some calls and leaves others unanswered: that is one thing."""
    return WaitCause.REPLY if cause is WaitCause.ERROR else cause


def _detail_of(operation: Operation | None, watched: _Watched) -> str:
    times = "" if watched.failures < 2 else f"{watched.failures} times in a row: "
    if watched.error is not None:
        return f"{times}{watched.error}"
    if watched.detail:
        return f"{times}{watched.detail}"
    match watched.decision:
        case Invoke(request_id=request_id, batch=batch):
            return f"call {request_id} of {counted(len(batch), 'record')} has not returned"
        case _:
            return f"{operation.value if operation else 'a call'} has not been answered"
