"""Performs decisions: each is one port call and is answered exactly once, whatever happens.

What a port raises becomes a `NotNow` report; nothing raised here reaches the engine.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import assert_never

from triggerkit.core.decisions import (
    Beat,
    Cancel,
    ConsumerDecision,
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
from triggerkit.core.model import LastFailure, ShardId
from triggerkit.core.options import MappingOptions, read_options
from triggerkit.core.outcome import Failed
from triggerkit.core.payloads import (
    Origin,
    encode_event,
    event_text,
    failure_record,
    function_arn,
)
from triggerkit.core.reports import (
    Beaten,
    Cancelled,
    ChildrenFound,
    Created,
    Discarded,
    Expired,
    Fetched,
    Finished,
    Forgotten,
    Invoked,
    LeaseLost,
    MembershipReport,
    NotExpired,
    NotNow,
    NotTaken,
    Pinned,
    Released,
    Report,
    Saved,
    SessionLost,
    ShardGone,
    Surveyed,
    Taken,
    Trimmed,
)
from triggerkit.errors import (
    InternalError,
    LeaseLostError,
    PositionTrimmedError,
    ShardGoneError,
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
from triggerkit.runtime.backoff import Backoff
from triggerkit.runtime.listings import SharedListing

CANCELLED_INSIDE = "the call was cancelled from inside"


@dataclass(frozen=True, slots=True)
class MappingParts:
    """What one mapping is made of. Source with its listing, store and invoker may be shared with others.

    `prefix` is how the keys of its leases begin, `deadline` until when its calls may act (monotonic seconds).
    """

    trigger: str
    prefix: str
    source: Source
    listing: SharedListing
    store: LeaseStore
    invoker: Invoker
    destination: Destination | None = None
    options: MappingOptions = field(default_factory=lambda: read_options({}))
    deadline: Callable[[], float] = field(default=lambda: float("inf"))


class Performer:
    """Performs the decisions of one mapping."""

    def __init__(self, parts: MappingParts, clock: Clock) -> None:
        self.parts = parts
        self._clock = clock
        self._backoff = Backoff()
        self._readers: dict[ShardId, ShardReader] = {}
        self._running: dict[str, ShardId] = {}  # request id of each call under way
        self.function_arn = function_arn(parts.source.arn, parts.trigger)

    async def perform(self, decision: Decision) -> Report:
        """Perform one decision; its one report."""
        try:
            report = await self._perform(decision)
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise  # the engine closes
            return self._report_of(InternalError(CANCELLED_INSIDE), decision)
        except Exception as error:  # noqa: BLE001 - every decision is answered, whatever an adapter raises
            return self._report_of(error, decision)
        self._backoff.succeeded(*_key(decision))
        return report

    def _report_of(self, error: Exception, decision: Decision) -> Report:
        match error, decision:
            case LeaseLostError(), Save() | Finish() | Release():
                self._backoff.forget(decision.lease.shard)
                return LeaseLost(decision)
            case PositionTrimmedError(), Fetch():
                return Trimmed(decision)
            case ShardGoneError(), Fetch():
                self._backoff.forget(decision.lease.shard)
                return ShardGone(decision)
        wait_seconds = self._backoff.failed(*_key(decision))
        return NotNow(decision, None if _is_permanent(error) else wait_seconds, error)

    async def _close_reader(self, shard: ShardId) -> None:
        """A reader that other mappings share opens again by itself when they fetch."""
        self._backoff.forget(shard)
        if (reader := self._readers.pop(shard, None)) is not None:
            await reader.close()

    async def _perform(self, decision: Decision) -> Report:
        store = self.parts.store
        match decision:
            case Survey(list_shards=list_shards):
                # the leases are read after the shards: a row that is missing then really is
                listing = await self.parts.listing.get() if list_shards else None
                return Surveyed(decision, await store.read(self.parts.prefix), listing)
            case Pin(service_seconds=proposed):
                return Pinned(decision, await store.pin(self.parts.prefix, proposed))
            case Create(leases=leases):
                await store.create(leases)
                return Created(decision)
            case Take(lease=lease, session=session):
                taken = await store.take(lease, session)
                return NotTaken(decision) if taken is None else Taken(decision, taken)
            case Forget(lease=lease):
                await store.forget(lease)
                return Forgotten(decision)
            case _:
                return await self._perform_for_lease(decision)

    async def _perform_for_lease(self, decision: ConsumerDecision) -> Report:
        store, lease = self.parts.store, decision.lease
        match decision:
            case Fetch(position=position, limit=limit):
                reader = self._readers.get(lease.shard)
                if reader is None:
                    reader = self._readers[lease.shard] = self.parts.source.open(lease.shard)
                return Fetched(decision, await reader.fetch(position, limit))
            case Invoke():
                return await self._invoke(decision)
            case Cancel():
                await self._cancel(lease.shard)
                await self._close_reader(lease.shard)
                return Cancelled(decision)
            case Discard():
                await self._discard(decision)
                return Discarded(decision)
            case Save(position=position):
                return Saved(decision, await store.advance(lease, position))
            case FindChildren():
                children = await self.parts.source.children(lease.shard)
                return ChildrenFound(decision, children)
            case Finish(children=rows, take=take):
                taken = await store.finish(lease, rows, decision.tenure.session, take)
                await self._close_reader(lease.shard)
                return Finished(decision, taken)
            case Release(position=position):
                await store.release(lease, position)
                await self._close_reader(lease.shard)
                return Released(decision)
            case _:
                assert_never(decision)

    async def _invoke(self, decision: Invoke) -> Report:
        request_id, shard = decision.request_id, decision.lease.shard
        self._running[request_id] = shard
        invocation = Invocation(
            request_id=request_id,
            trigger=self.parts.trigger,
            source=self.parts.source,
            shard=shard,
            batch=decision.batch,
            deadline=self.parts.deadline,
            function_arn=self.function_arn,
            tenure=decision.tenure,
        )
        try:
            outcome = await self.parts.invoker.invoke(invocation)
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise  # the engine closes
            message = "the handler cancelled the task that it runs in"
            outcome = Failed(LastFailure(request_id, "CancelledError", message))
        finally:
            del self._running[request_id]
        return Invoked(decision, outcome)

    async def _cancel(self, shard: ShardId) -> None:
        for request_id in [r for r, running in self._running.items() if running == shard]:
            await self.parts.invoker.cancel(request_id)

    async def _discard(self, decision: Discard) -> None:
        source, batch, shard = self.parts.source, decision.batch, decision.lease.shard
        if self.parts.destination is None:
            return
        origin = Origin(
            traits=source.traits,
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

        def payload() -> bytes:
            events = (source.to_event(record.raw, origin.stream_arn) for record in batch.records)
            return event_text(encode_event(event) for event in events)

        record = FailureRecord(self.parts.trigger, origin.shard_name, document, payload)
        await self.parts.destination.send(record)


def _is_permanent(error: Exception) -> bool:
    return isinstance(error, TriggerkitError) and error.permanent


def _is_being_cancelled() -> bool:
    """Whether the present task is to end, rather than that something which it awaits was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _key(decision: Decision) -> tuple[ShardId | None, Hashable]:
    match decision:
        case Survey() | Pin() | Create():
            return None, type(decision).__name__
        case Invoke(batch=batch) | Discard(batch=batch):
            return decision.lease.shard, (type(decision).__name__, batch.lane)
        case _:
            return decision.lease.shard, type(decision).__name__


class MembershipPerformer:
    """Performs beats and expiries on one lease store."""

    def __init__(self, store: LeaseStore, clock: Clock) -> None:
        self.store = store
        self._clock = clock
        self._backoff = Backoff()

    async def perform(self, decision: MembershipDecision) -> MembershipReport:
        """Perform one decision; its one report."""
        try:
            return await self._perform(decision)
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise  # the engine closes
            return self._not_now(InternalError(CANCELLED_INSIDE), decision)
        except Exception as error:  # noqa: BLE001 - every decision is answered, whatever a store raises
            return self._not_now(error, decision)

    def _not_now(self, error: Exception, decision: MembershipDecision) -> NotNow:
        wait_seconds = self._backoff.failed(None, type(decision).__name__)
        return NotNow(decision, None if _is_permanent(error) else wait_seconds, error)

    async def _perform(self, decision: MembershipDecision) -> MembershipReport:
        match decision:
            case Beat(session=session):
                sent_at = self._clock.now().monotonic_seconds
                confirmed = await self.store.beat(session)
                if confirmed is None:
                    return SessionLost(decision, self.store.fresh_session())
                sessions = await self.store.read_sessions()
                self._backoff.succeeded(None, Beat.__name__)
                return Beaten(decision, confirmed, sessions, sent_at)
            case Expire(session=session):
                if await self.store.expire(session):
                    return Expired(decision)
                return NotExpired(decision)
            case _:
                assert_never(decision)
