"""The performer's one promise: every decision is answered exactly once, whatever a port raises."""

from __future__ import annotations

import asyncio
from typing import get_args

import pytest
from runtime.fakes import FakeInvoker, FakeSource, LoopClock, record

from triggerkit.core.decisions import (
    Cancel,
    Create,
    Decision,
    Discard,
    Fetch,
    FindChildren,
    Finish,
    Forget,
    Invoke,
    Pin,
    Release,
    Save,
    Survey,
    Take,
)
from triggerkit.core.model import (
    TRIM_HORIZON,
    Batch,
    DiscardReason,
    Lease,
    LeaseKey,
    SessionId,
    ShardId,
    Tenure,
)
from triggerkit.core.reports import (
    LeaseLost,
    NotNow,
    Report,
    ShardGone,
    Trimmed,
)
from triggerkit.errors import (
    LeaseLostError,
    PositionTrimmedError,
    RequestRefusedError,
    ShardGoneError,
    SourceNotFoundError,
    StateError,
    ThrottledError,
)
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.perform import MappingParts, Performer
from triggerkit.sources.dynamodb.service import TRAITS

SHARD = ShardId("s")
LEASE = Lease(LeaseKey("app:t:x:s"), SHARD, TRIM_HORIZON, owner=SessionId("me"), counter=1)
TENURE = Tenure(SessionId("me"), 1)
BATCH = Batch(0, (record(1),), range(1))
DECISIONS: tuple[Decision, ...] = (
    Survey(list_shards=True),
    Pin(1.0),
    Create((LEASE,)),
    Take(LEASE, SessionId("me")),
    Forget(LEASE),
    Fetch(LEASE, TENURE, TRIM_HORIZON, 10),
    Invoke(LEASE, TENURE, BATCH, 1e9, "request-1"),
    Cancel(LEASE, TENURE),
    Discard(LEASE, TENURE, BATCH, DiscardReason.RETRY_ATTEMPTS_EXHAUSTED),
    Save(LEASE, TENURE, TRIM_HORIZON),
    FindChildren(LEASE, TENURE),
    Finish(LEASE, TENURE, ()),
    Release(LEASE, TENURE, TRIM_HORIZON),
)
MEANT: dict[tuple[type[Exception], type[Decision]], type[Report]] = {
    (LeaseLostError, Save): LeaseLost,
    (LeaseLostError, Finish): LeaseLost,
    (LeaseLostError, Release): LeaseLost,
    (PositionTrimmedError, Fetch): Trimmed,
    (ShardGoneError, Fetch): ShardGone,
}
ERRORS = (
    StateError("locked", hint="wait"),
    ThrottledError("slow down", hint="wait"),
    LeaseLostError("gone", hint=""),
    PositionTrimmedError("old", hint=""),
    SourceNotFoundError("not confirmed", hint=""),
    ShardGoneError("gone", hint=""),
    RequestRefusedError("ValidationException", hint="correct the name"),
    RuntimeError("a fault of the adapter"),
    KeyError("another"),
)


class Raising:
    """Every port at once; every method raises but those that only name things."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.traits = TRAITS
        self.arn = self.name = "x"

    def shard_name(self, shard: ShardId) -> str:
        return shard

    def shard_arn(self, shard: ShardId) -> str:
        return shard

    def __getattr__(self, name: str) -> object:
        def refuse(*_: object, **__: object) -> object:
            raise self._error

        return refuse


async def answer(decision: Decision, error: Exception) -> Report:
    clock, port = LoopClock(), Raising(error)
    ports = MappingParts(
        trigger="t",
        prefix="app:t:x:",
        source=port,  # type: ignore[arg-type]
        listing=SharedListing(port, clock),  # type: ignore[arg-type]
        store=port,  # type: ignore[arg-type]
        invoker=port,  # type: ignore[arg-type]
        destination=port,  # type: ignore[arg-type]
    )
    performer = Performer(ports, clock)
    if isinstance(decision, Cancel):
        performer._running["request"] = SHARD
    return await performer.perform(decision)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("decision", DECISIONS, ids=lambda decision: type(decision).__name__)
def test_a_port_that_raises_is_answered(decision: Decision, error: Exception) -> None:
    report = asyncio.run(answer(decision, error))
    expected = MEANT.get((type(error), type(decision)), NotNow)
    assert type(report) is expected
    if not isinstance(report, NotNow):
        return
    assert (report.decision, report.error) == (decision, error)
    if isinstance(error, RequestRefusedError):
        assert report.wait_seconds is None, "waiting does not help"
    else:
        assert report.wait_seconds is not None
        assert 0.0 < report.wait_seconds <= 10.0


def test_every_decision_is_in_this_table() -> None:
    assert {type(decision) for decision in DECISIONS} == set(get_args(Decision))


def test_a_call_that_is_cancelled_from_outside_forgets_its_request() -> None:
    async def scenario() -> None:
        clock, source = LoopClock(), FakeSource()
        invoker = FakeInvoker(gate=asyncio.Event())
        port = Raising(RuntimeError())
        ports = MappingParts(
            trigger="t",
            prefix="app:t:x:",
            source=source,
            listing=SharedListing(source, clock),
            store=port,  # type: ignore[arg-type]
            invoker=invoker,
            destination=None,
        )
        performer = Performer(ports, clock)
        task = asyncio.ensure_future(
            performer.perform(Invoke(LEASE, TENURE, BATCH, 1e9, "request-1"))
        )
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not performer._running

    asyncio.run(scenario())
