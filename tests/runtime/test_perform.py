"""What the performer of a membership tells about beats; in which order a survey asks; when a discard is done."""

from __future__ import annotations

import asyncio
import json

from runtime.fakes import (
    FakeDestination,
    FakeInvoker,
    FakeSource,
    LoopClock,
    inline,
    record,
)

from triggerkit.core.decisions import Beat, Discard, Invoke, Survey
from triggerkit.core.locators import parse
from triggerkit.core.model import (
    TRIM_HORIZON,
    Batch,
    DiscardReason,
    Lease,
    LeaseKey,
    Listing,
    Session,
    SessionId,
    ShardId,
    Tenure,
)
from triggerkit.core.outcome import Failed, Outcome
from triggerkit.core.reports import (
    Beaten,
    Discarded,
    Invoked,
    NotNow,
    Report,
    SessionLost,
    Surveyed,
)
from triggerkit.lease_stores import memory
from triggerkit.ports import Event, Invocation, LeaseStore, Services
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.perform import MappingParts, MembershipPerformer, Performer

PREFIX = "app:t:x:"
ROW = Lease(LeaseKey(f"{PREFIX}s"), ShardId("s"), TRIM_HORIZON)


class BusySource(FakeSource):
    """Another worker writes the row of a shard while the shards are being listed."""

    def __init__(self, store: LeaseStore) -> None:
        super().__init__({"s": []})
        self._store = store

    async def list_shards(self) -> Listing:
        listing = await super().list_shards()
        await self._store.create((ROW,))
        return listing


def performer(
    store: LeaseStore,
    source: FakeSource,
    destination: FakeDestination | None = None,
    invoker: FakeInvoker | None = None,
) -> Performer:
    clock = LoopClock()
    ports = MappingParts(
        trigger="t",
        prefix=PREFIX,
        source=source,
        listing=SharedListing(source, clock),
        store=store,
        invoker=invoker or FakeInvoker(),
        destination=destination,
    )
    return Performer(ports, clock)


def memory_store() -> LeaseStore:
    return memory.open(parse("memory:"), Services(run=inline, clock=LoopClock()))


def test_a_row_that_was_written_while_the_shards_were_listed_is_not_missed() -> None:
    """Else it would look missing, and what is over would be wanted once more."""

    async def scenario() -> None:
        store = memory_store()
        report = await performer(store, BusySource(store)).perform(Survey(list_shards=True))
        assert isinstance(report, Surveyed)
        assert report.leases == (ROW,)

    asyncio.run(scenario())


def test_a_failure_record_counts_as_sent_only_when_the_destination_has_it() -> None:
    async def scenario() -> None:
        destination = FakeDestination(failures=1)
        sending = performer(memory_store(), FakeSource({"s": []}), destination)
        batch = Batch(0, (record(1),), range(1))
        reason = DiscardReason.RETRY_ATTEMPTS_EXHAUSTED
        discard = Discard(ROW, Tenure(SessionId("me"), 1), batch, reason)
        assert isinstance(await sending.perform(discard), NotNow)
        assert isinstance(await sending.perform(discard), Discarded)
        assert len(destination.records) == 1

    asyncio.run(scenario())


def test_the_event_of_a_failure_record_is_made_where_the_destination_wants_it() -> None:
    class Counting(FakeSource):
        made = 0

        def to_event(self, raw: bytes, stream_arn: str) -> Event:
            self.made += 1
            return super().to_event(raw, stream_arn)

    async def scenario() -> None:
        source, destination = Counting({"s": []}), FakeDestination()
        batch = Batch(0, (record(1), record(2)), range(2))
        reason = DiscardReason.RETRY_ATTEMPTS_EXHAUSTED
        discard = Discard(ROW, Tenure(SessionId("me"), 1), batch, reason)
        await performer(memory_store(), source, destination).perform(discard)
        (sent,) = destination.records
        assert source.made == 0, "not on the loop"
        assert len(json.loads(sent.payload())["Records"]) == source.made == 2

    asyncio.run(scenario())


def test_a_worker_that_was_expired_says_so_once_and_gets_a_fresh_session() -> None:
    async def scenario() -> tuple[str, str]:
        clock = LoopClock()
        store = memory.open(parse("memory:"), Services(run=inline, clock=clock))
        performer = MembershipPerformer(store, clock)
        beaten = await performer.perform(Beat(store.fresh_session()))
        assert isinstance(beaten, Beaten)
        assert await store.expire(beaten.session)
        lost = await performer.perform(Beat(beaten.session))
        assert isinstance(lost, SessionLost)
        assert isinstance(await performer.perform(Beat(lost.fresh)), Beaten)
        return beaten.session.id, lost.fresh.id

    former, fresh = asyncio.run(scenario())
    assert former != fresh


class CancelledStore:
    """A lease store in which a call is cancelled from inside."""

    async def beat(self, session: Session) -> None:
        raise asyncio.CancelledError


def test_a_beat_that_is_cancelled_inside_the_store_is_answered() -> None:
    beat = Beat(Session(SessionId("me"), 1))
    performer = MembershipPerformer(CancelledStore(), LoopClock())  # type: ignore[arg-type]
    report = asyncio.run(performer.perform(beat))
    assert isinstance(report, NotNow)
    assert report.wait_seconds is not None


class SelfCancelling(FakeInvoker):
    """Calls a handler that cancels the task in which it runs."""

    async def invoke(self, invocation: Invocation) -> Outcome:
        raise asyncio.CancelledError


def test_b9_a_handler_that_cancels_itself_has_failed_and_is_answered() -> None:
    async def scenario() -> Report:
        store = memory_store()
        performing = performer(store, FakeSource({"s": []}), invoker=SelfCancelling())
        batch = Batch(0, (record(1),), range(1))
        return await performing.perform(
            Invoke(ROW, Tenure(SessionId("me"), 1), batch, 1e9, "request-1")
        )

    report = asyncio.run(scenario())
    assert isinstance(report, Invoked)
    assert isinstance(report.outcome, Failed)
    assert report.outcome.failure.error_type == "CancelledError"
