"""Performs decisions. Rule: every decision is answered exactly once, whatever happens.

One decision is one port call. What a port raises becomes the decision's failure report with a wait;
nothing raised here reaches the engine.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from triggerkit.core.decisions import (
    Beat,
    Bury,
    Cancel,
    Create,
    Decision,
    Discard,
    Fetch,
    FindChildren,
    Finish,
    Forget,
    Invoke,
    MembershipDecision,
    Release,
    Save,
    Survey,
    Take,
)
from triggerkit.core.model import ShardId
from triggerkit.core.outcome import NotInvoked
from triggerkit.core.payloads import (
    Origin,
    encode_event,
    event_text,
    failure_record,
    function_arn,
)
from triggerkit.core.reports import (
    Beaten,
    BeatFailed,
    Buried,
    Cancelled,
    ChildrenFailed,
    ChildrenFound,
    Created,
    CreateFailed,
    Discarded,
    DiscardFailed,
    Fetched,
    FetchFailed,
    Finished,
    FinishFailed,
    ForgetFailed,
    Forgotten,
    Invoked,
    LeaseLost,
    MembershipReport,
    NotBuried,
    NotTaken,
    Released,
    ReleaseFailed,
    Report,
    Saved,
    SaveFailed,
    SessionLost,
    ShardGone,
    Surveyed,
    SurveyFailed,
    TakeFailed,
    Taken,
    Trimmed,
)
from triggerkit.errors import (
    LeaseLostError,
    PositionTrimmedError,
    SourceNotFoundError,
    TriggerkitError,
)
from triggerkit.ports import (
    Clock,
    Destination,
    FailureRecord,
    Invocation,
    Invoker,
    LeaseStore,
    ShardReader,
    Source,
)
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.waits import CallKey, Waits

log = get_logger()

BEAT: CallKey = ("Beat", None)

LeaseDecision: TypeAlias = (
    Fetch | Invoke | Cancel | Discard | Save | FindChildren | Finish | Release
)


@dataclass(frozen=True, slots=True)
class MappingPorts:
    """What one mapping talks to. Source, store and invoker may be shared with other mappings."""

    trigger: str
    prefix: str
    source: Source
    listing: SharedListing
    store: LeaseStore
    invoker: Invoker
    destination: Destination | None
    deadline: Callable[[], float] = field(default=lambda: float("inf"))


class Performer:
    """Performs the decisions of one mapping."""

    def __init__(self, ports: MappingPorts, clock: Clock) -> None:
        self.ports = ports
        self._clock = clock
        self._waits = Waits()
        self._readers: dict[ShardId, ShardReader] = {}
        self._running: dict[str, ShardId] = {}  # request id of each call under way
        self.function_arn = function_arn(ports.source.arn, ports.trigger)

    async def perform(self, decision: Decision) -> Report:
        """Perform one decision; its one report."""
        key = _key(decision)
        try:
            report = await self._perform(decision)
        except LeaseLostError as lost:
            if not isinstance(decision, Save | Finish | Release):
                return self._failed(decision, key, lost)
            self._waits.forget(decision.lease.shard)
            return LeaseLost(decision.lease.shard, decision.tenure)
        except PositionTrimmedError as trimmed:
            if not isinstance(decision, Fetch):
                return self._failed(decision, key, trimmed)
            return Trimmed(decision.lease.shard, decision.tenure)
        except SourceNotFoundError as gone:
            if not isinstance(decision, Fetch):
                return self._failed(decision, key, gone)
            self._waits.forget(decision.lease.shard)
            return ShardGone(decision.lease.shard, decision.tenure)
        except Exception as error:  # noqa: BLE001 - every decision is answered, whatever an adapter raises
            return self._failed(decision, key, error)
        recovery = self._waits.succeeded(key, self._clock.now().monotonic_seconds)
        if recovery is not None:
            log.info(
                "recovered",
                operation=key[0],
                trigger=self.ports.trigger,
                **self._concerned(key, recovery.count),
                after=recovery.after_seconds,
            )
        return report

    async def _close_reader(self, shard: ShardId) -> None:
        """A reader that other mappings share opens again by itself when they fetch."""
        self._waits.forget(shard)
        if (reader := self._readers.pop(shard, None)) is not None:
            await reader.close()

    async def _perform(self, decision: Decision) -> Report:
        store = self.ports.store
        match decision:
            case Survey(list_shards=list_shards):
                # the leases are read after the shards: a row that is missing then really is
                listing = await self.ports.listing.get() if list_shards else None
                return Surveyed(await store.read(self.ports.prefix), listing)
            case Create(leases=leases):
                await store.create(leases)
                return Created()
            case Take(lease=lease, session=session):
                taken = await store.take(lease, session)
                return NotTaken(lease.shard) if taken is None else Taken(taken)
            case Forget(lease=lease):
                await store.forget(lease)
                return Forgotten(lease.shard)
            case _:
                return await self._perform_for_lease(decision)

    async def _perform_for_lease(self, decision: LeaseDecision) -> Report:
        store, lease, tenure = self.ports.store, decision.lease, decision.tenure
        match decision:
            case Fetch(position=position, limit=limit):
                reader = self._readers.get(lease.shard)
                if reader is None:
                    reader = self._readers[lease.shard] = self.ports.source.open(lease.shard)
                return Fetched(lease.shard, tenure, await reader.fetch(position, limit))
            case Invoke():
                return await self._invoke(decision)
            case Cancel():
                await self._cancel(lease.shard)
                return Cancelled(lease.shard, tenure)
            case Discard():
                await self._discard(decision)
                return Discarded(lease.shard, tenure, decision.batch)
            case Save(position=position):
                return Saved(lease.shard, tenure, await store.advance(lease, position))
            case FindChildren():
                children = await self.ports.source.children(lease.shard)
                return ChildrenFound(lease.shard, tenure, children)
            case Finish(children=rows, take=take):
                taken = await store.finish(lease, rows, tenure.session, take)
                await self._close_reader(lease.shard)
                return Finished(lease.shard, tenure, taken)
            case Release(position=position):
                await store.release(lease, position)
                await self._close_reader(lease.shard)
                return Released(lease.shard, tenure)
            case _:
                assert_never(decision)

    async def _invoke(self, decision: Invoke) -> Report:
        request_id = str(uuid.uuid4())
        shard = decision.lease.shard
        self._running[request_id] = shard
        invocation = Invocation(
            request_id=request_id,
            trigger=self.ports.trigger,
            source=self.ports.source,
            shard=shard,
            batch=decision.batch,
            deadline=self.ports.deadline,
            function_arn=self.function_arn,
        )
        try:
            outcome = await self.ports.invoker.invoke(invocation)
        finally:
            del self._running[request_id]
        return Invoked(shard, decision.tenure, decision.batch, outcome)

    async def _cancel(self, shard: ShardId) -> None:
        for request_id in [r for r, running in self._running.items() if running == shard]:
            await self.ports.invoker.cancel(request_id)

    async def _discard(self, decision: Discard) -> None:
        source, batch, shard = self.ports.source, decision.batch, decision.lease.shard
        if self.ports.destination is None:
            return
        origin = Origin(
            kind=source.kind,
            shard_name=source.shard_name(shard),
            stream_arn=source.shard_arn(shard),
            function_arn=self.function_arn,
        )
        document = failure_record(
            batch,
            decision.reason,
            origin,
            at_seconds=self._clock.now().service_seconds,
            request_id=str(uuid.uuid4()),
        )
        payload = event_text(encode_event(source.to_event(r.raw, shard)) for r in batch.records)
        record = FailureRecord(self.ports.trigger, origin.shard_name, document, payload)
        await self.ports.destination.send(record)

    def _failed(self, decision: Decision, key: CallKey, error: Exception) -> Report:
        kind = _error_type(error)
        wait = self._waits.failed(key, self._clock.now().monotonic_seconds, kind)
        if wait.tell:
            known = isinstance(error, TriggerkitError)
            log.warning(
                "will_retry",
                operation=key[0],
                trigger=self.ports.trigger,
                **self._concerned(key, wait.count),
                error_type=kind,
                error_message=str(error),
                hint=error.hint if isinstance(error, TriggerkitError) else "",
                exc_info=None if known else error,
            )
        return failure_report(decision, wait.seconds, str(error))

    def _concerned(self, key: CallKey, count: int) -> dict[str, object]:
        """What a call was about: one shard, so many, or none in particular."""
        if not isinstance(key[1], str):
            return {}
        if count > 1:
            return {"shards": count}
        return {"shard": self.ports.source.shard_name(ShardId(key[1]))}


def _error_type(error: Exception) -> str:
    return error.code if isinstance(error, TriggerkitError) else type(error).__name__


def _key(decision: Decision) -> CallKey:
    match decision:
        case Survey() | Create():
            return type(decision).__name__, None
        case _:
            return type(decision).__name__, decision.lease.shard


def failure_report(decision: Decision, wait_seconds: float, why: str) -> Report:
    """The report that says «not now» to `decision`."""
    match decision:
        case Survey():
            return SurveyFailed(wait_seconds)
        case Create():
            return CreateFailed(wait_seconds)
        case Take(lease=lease):
            return TakeFailed(lease.shard, wait_seconds)
        case Forget(lease=lease):
            return ForgetFailed(lease.shard, wait_seconds)
        case _:
            return _failure_for_lease(decision, wait_seconds, why)


def _failure_for_lease(decision: LeaseDecision, wait_seconds: float, why: str) -> Report:
    shard, tenure = decision.lease.shard, decision.tenure
    match decision:
        case Fetch():
            return FetchFailed(shard, tenure, wait_seconds)
        case Invoke(batch=batch):
            return Invoked(shard, tenure, batch, NotInvoked(why, wait_seconds))
        case Cancel():
            return Cancelled(shard, tenure)
        case Discard(batch=batch, reason=reason):
            return DiscardFailed(shard, tenure, batch, reason, wait_seconds)
        case Save():
            return SaveFailed(shard, tenure, wait_seconds)
        case FindChildren():
            return ChildrenFailed(shard, tenure, wait_seconds)
        case Finish():
            return FinishFailed(shard, tenure, wait_seconds)
        case Release():
            return ReleaseFailed(shard, tenure, wait_seconds)
        case _:
            assert_never(decision)


class MembershipPerformer:
    """Performs beats and burials on one lease store."""

    def __init__(self, store: LeaseStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waits = Waits()

    async def perform(self, decision: MembershipDecision) -> MembershipReport:
        """Perform one decision; its one report."""
        try:
            return await self._perform(decision)
        except Exception as error:  # noqa: BLE001 - every decision is answered, whatever a store raises
            wait = self._waits.failed(BEAT, self._clock.now().monotonic_seconds)
            if wait.tell:
                hint = error.hint if isinstance(error, TriggerkitError) else ""
                log.warning("beat_failed", error_message=str(error), hint=hint)
            match decision:
                case Beat():
                    return BeatFailed(min(1.0, wait.seconds))
                case Bury(session=session):
                    return NotBuried(session.id)
                case _:
                    assert_never(decision)

    async def _perform(self, decision: MembershipDecision) -> MembershipReport:
        match decision:
            case Beat(session=session):
                sent_at = self._clock.now().monotonic_seconds
                confirmed = await self._store.beat(session)
                if confirmed is None:
                    fresh = self._store.fresh_session()
                    log.warning(
                        "session_lost",
                        session=session.id,
                        fresh_session=fresh.id,
                        message="others counted this worker as dead: it lets go of its shards"
                        " and joins again",
                    )
                    return SessionLost(fresh)
                sessions = await self._store.read_sessions()
                self._waits.succeeded(BEAT, self._clock.now().monotonic_seconds)
                return Beaten(confirmed, sessions, sent_at)
            case Bury(session=session):
                if await self._store.bury(session):
                    return Buried(session.id)
                return NotBuried(session.id)
            case _:
                assert_never(decision)
