"""Small values for the tests of the core: records, batches, shapes of shards, rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TypeVar

from triggerkit.core.consumer import ConsumerSettings
from triggerkit.core.decisions import (
    Cancel,
    ConsumerDecision,
    Create,
    Decision,
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
from triggerkit.core.leases import Readiness
from triggerkit.core.lineage import ShardGraph
from triggerkit.core.model import (
    LATEST,
    SHARD_END,
    TRIM_HORIZON,
    Batch,
    Lease,
    LeaseKey,
    Listing,
    Now,
    Page,
    Position,
    PositionKind,
    Record,
    Session,
    SessionId,
    SessionState,
    Shard,
    ShardId,
    Tenure,
)
from triggerkit.core.options import MappingOptions
from triggerkit.core.reports import LeaseLost, NotNow, Sessions, Surveyed, Taken
from triggerkit.sources.dynamodb.service import TRAITS

D = TypeVar("D")

PREFIX = "app@dev:orders:table:"
ME = SessionId("me")
HOUR_SECONDS = 3600.0
SERVICE_SECONDS = 1_000_000_000.0
TRIM_SECONDS = SERVICE_SECONDS - TRAITS.retention_seconds
"""Service time at monotonic zero: far away, so that a mix-up of the two clocks shows."""


def at(seconds: float) -> Now:
    """A moment, in monotonic seconds."""
    return Now(seconds, SERVICE_SECONDS + seconds)


def options(**given: object) -> MappingOptions:
    """Checked options."""
    return MappingOptions.model_validate(given)


def record(
    number: int, *, at_seconds: float = SERVICE_SECONDS, key: bytes = b"k", size_bytes: int = 2
) -> Record:
    """A record whose sequence number is `number`."""
    return Record(str(number), at_seconds, key, _raw(size_bytes))


@cache
def _raw(size_bytes: int) -> bytes:
    return b"x" * size_bytes


def records(*numbers: int, **given: float) -> tuple[Record, ...]:
    """Records of one key."""
    return tuple(record(number, **given) for number in numbers)  # type: ignore[arg-type]


def page(*numbers: int, ended: bool = False) -> Page:
    """A page of small fresh records."""
    return Page(records(*numbers), size_bytes=2 * len(numbers), ended=ended)


def batch(*numbers: int, lane: int = 0, **given: object) -> Batch:
    """A batch of small fresh records, numbered from 0 in this tenure."""
    plain = Batch(lane, records(*numbers), range(len(numbers)))
    return replace(plain, **given)  # type: ignore[arg-type]


def numbers(of: Batch | Sequence[Record]) -> list[int]:
    """The sequence numbers, as they were given."""
    return [int(each.sequence_number) for each in (of.records if isinstance(of, Batch) else of)]


def after(number: int) -> Position:
    """Behind a fresh record."""
    return Position(PositionKind.AFTER, str(number), SERVICE_SECONDS)


def latest(at_seconds: float = SERVICE_SECONDS) -> Position:
    """LATEST, pinned."""
    return replace(LATEST, at_seconds=at_seconds)


Shape = Mapping[str, str]
"""Shards and their parents, such as {"a": "", "b": "a", "m": "a b"}."""


def shards(
    shape: Shape,
    *,
    created: Mapping[str, float | None] | None = None,
    closed: Iterable[str] = (),
) -> tuple[Shard, ...]:
    """The shards of a shape; those without a creation time say none, as in Kinesis."""
    times = created or {}
    return tuple(
        Shard(
            ShardId(name),
            parents=tuple(ShardId(parent) for parent in parents.split()),
            closed=name in closed,
            created_seconds=times.get(name),
        )
        for name, parents in shape.items()
    )


def listing(
    shape: Shape,
    *,
    created: Mapping[str, float | None] | None = None,
    complete: bool = True,
    service_seconds: float = SERVICE_SECONDS,
) -> Listing:
    """A listing of a shape."""
    return Listing(
        shards(shape, created=created),
        complete,
        service_seconds,
        service_seconds - TRAITS.retention_seconds,
    )


def lease(
    shard: str,
    checkpoint: Position = TRIM_HORIZON,
    *,
    parents: str = "",
    owner: str | None = None,
    counter: int = 0,
    created_seconds: float | None = None,
    children: tuple[str, ...] | None = None,
) -> Lease:
    """A row."""
    return Lease(
        key=LeaseKey(f"{PREFIX}{shard}"),
        shard=ShardId(shard),
        checkpoint=checkpoint,
        parents=tuple(ShardId(parent) for parent in parents.split()),
        children=None if children is None else tuple(ShardId(child) for child in children),
        owner=None if owner is None else SessionId(owner),
        counter=counter,
        created_seconds=created_seconds,
    )


def finished(shard: str, **given: object) -> Lease:
    """A row at its end."""
    return replace(lease(shard, SHARD_END), **given)  # type: ignore[arg-type]


def names(leases: Iterable[Lease]) -> list[str]:
    """The shards, in order."""
    return [str(row.shard) for row in leases]


def starts(leases: Iterable[Lease]) -> dict[str, str]:
    """The kind of the first position of each shard, in order."""
    return {str(row.shard): row.checkpoint.kind.value for row in leases}


def settings(
    given: MappingOptions | None = None,
    *,
    checkpoint_interval_seconds: float = 0.0,
    fetch_limit: int = TRAITS.page_records,
) -> ConsumerSettings:
    """What consumers share."""
    traits = replace(TRAITS, page_records=fetch_limit)
    return ConsumerSettings(PREFIX, given or options(), checkpoint_interval_seconds, traits)


def tenure(counter: int = 1, session: str = ME) -> Tenure:
    """One stay of a lease."""
    return Tenure(SessionId(session), counter)


def sessions(
    *others: str,
    me: str = ME,
    dead: Iterable[str] = (),
    draining: Iterable[str] = (),
    deadline_seconds: float = 1000.0,
    read_at_seconds: float = 0.0,
) -> Sessions:
    """What the membership knows: `others` live beside this worker."""
    live = frozenset(SessionId(name) for name in (me, *others))
    return Sessions(
        me=SessionId(me),
        live=live,
        known=live | frozenset(SessionId(name) for name in draining),
        dead=frozenset(SessionId(name) for name in dead),
        deadline_seconds=deadline_seconds,
        read_at_seconds=read_at_seconds,
    )


def session(
    name: str, beat: int = 1, state: SessionState = SessionState.LIVE, *, gone: bool = False
) -> Session:
    """A worker's session as the store shows it."""
    return Session(SessionId(name), beat, state, gone)


class NoLuckError(Exception):
    """What a call failed with."""


def asked(kind: type[D], shard: str = "a", held: Tenure | None = None) -> D:
    """A decision of that kind; what it asks for beyond its shard does not matter."""
    row = lease(shard)
    held = held or tenure()
    made: dict[type, Decision] = {
        Survey: Survey(list_shards=True),
        Pin: Pin(SERVICE_SECONDS),
        Create: Create(()),
        Take: Take(row, ME),
        Forget: Forget(row),
        Fetch: Fetch(row, held, TRIM_HORIZON, 1),
        Cancel: Cancel(row, held),
        Save: Save(row, held, TRIM_HORIZON),
        FindChildren: FindChildren(row, held),
        Finish: Finish(row, held, None),
        Release: Release(row, held, TRIM_HORIZON),
    }
    decision = made[kind]
    assert isinstance(decision, kind)
    return decision


def refused(
    kind: type[Decision], shard: str = "a", held: Tenure | None = None, wait: float | None = 1.0
) -> NotNow:
    """A decision of that kind was not carried out."""
    return NotNow(asked(kind, shard, held), wait, NoLuckError("no"))


def called(batch: Batch) -> Invoke:
    """The call of a handler for this batch."""
    return Invoke(lease("a"), tenure(), batch, 1000.0, "id")


def lost(decision: ConsumerDecision) -> LeaseLost:
    """A write of the tenure that made `decision` found another token."""
    return LeaseLost(Save(decision.lease, decision.tenure, TRIM_HORIZON))


def surveyed(rows: Iterable[Lease], seen: Listing | None = None) -> Surveyed:
    """What a survey found."""
    return Surveyed(Survey(list_shards=seen is not None), tuple(rows), seen)


def taken(row: Lease) -> Taken:
    """The lease is this worker's."""
    return Taken(Take(row, ME), row)


def only(kind: type[D], decisions: Iterable[object]) -> D:
    """The one decision of that kind."""
    found = of_kind(kind, decisions)
    assert len(found) == 1, f"{len(found)} of {kind.__name__}: {list(decisions)}"
    return found[0]


def of_kind(kind: type[D], decisions: Iterable[object]) -> list[D]:
    """All decisions of that kind."""
    return [each for each in decisions if isinstance(each, kind)]


def kinds(decisions: Iterable[object]) -> list[str]:
    """The names of the decisions, in order."""
    return [type(each).__name__ for each in decisions]


def ready_leases(
    leases: Iterable[Lease], listed: ShardGraph | None, trim_seconds: float
) -> tuple[Lease, ...]:
    """The unfinished leases that may start; see `Readiness`."""
    rows = {lease.shard: lease for lease in leases}
    readiness = Readiness(rows, listed, trim_seconds)
    return tuple(
        lease
        for lease in rows.values()
        if not lease.finished and readiness.first_unfinished(lease) is None
    )
