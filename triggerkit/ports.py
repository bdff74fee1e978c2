"""The outside world: a Protocol for each part of it, and what these take and give.

All methods are coroutines that are called on the engine's loop and must not block it; blocking work goes
through the `Runner` that an adapter was opened with. Errors are those of `triggerkit.errors`; anything
else is a fault of the adapter and is reported as such.

An adapter has a function `open(locator, services)`, which an entry point of the group `triggerkit.sources`,
`triggerkit.lease_stores` or `triggerkit.destinations` names; the name of the entry point is the scheme. `open`
refuses locators and keys that it does not know (`check_keys`) with a LocatorError, and calls nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar

from triggerkit.core.locators import Locator, check_keys
from triggerkit.core.model import (
    SHARD_END,
    TRIM_HORIZON,
    Batch,
    Children,
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
from triggerkit.core.outcome import Outcome
from triggerkit.core.traits import SourceTraits

__all__ = [
    "SHARD_END",
    "TRIM_HORIZON",
    "Batch",
    "Children",
    "Clock",
    "Destination",
    "Event",
    "FailureRecord",
    "Invocation",
    "Invoker",
    "Lease",
    "LeaseKey",
    "LeaseStore",
    "Listing",
    "Locator",
    "Now",
    "Outcome",
    "Page",
    "Position",
    "PositionKind",
    "Record",
    "Runner",
    "Services",
    "Session",
    "SessionId",
    "SessionState",
    "Shard",
    "ShardId",
    "ShardReader",
    "Source",
    "SourceTraits",
    "Tenure",
    "check_keys",
]

T = TypeVar("T")
Event: TypeAlias = dict[str, object]


class Clock(Protocol):
    """Monotonic time, and service time learnt from the `Date` headers of answers."""

    def now(self) -> Now:
        """The present moment."""
        ...

    @property
    def first_service_seconds(self) -> float:
        """Service time of the first answer that this process received; the present if there was none."""
        ...

    def observe_service_time(self, service_seconds: float) -> None:
        """Learn the services' clock from an answer just received."""
        ...


class Runner(Protocol):
    """Where blocking calls run: a pool thread in production, inline in simulation."""

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Run `call` and return what it returns or raise what it raises."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What the runtime lends an adapter when it opens it.

    `defaults` are the locator keys given for the whole process (`region`, `profile`, `endpoint_url`,
    `endpoint_name`); a key in the locator wins. `base_path` is the folder that relative paths start from.
    Adapters of one process keep in `shared` what they have in common, such as AWS sessions, under keys of
    their own.
    """

    run: Runner
    clock: Clock
    defaults: Mapping[str, str] = field(default_factory=dict)
    base_path: str = "."
    shared: dict[object, object] = field(default_factory=dict)


class ShardReader(Protocol):
    """Reads one shard; owns its iterators. The core never sees an iterator."""

    async def fetch(self, position: Position, limit: int) -> Page:
        """The next page behind `position`, at most `limit` records; may wait up to a second for one.

        A position at LATEST with `at_seconds` 0.0 opens the shard at its tip and answers an empty page
        with `pinned_seconds`. At LATEST with `at_seconds` set it goes on from that pin: with the iterator
        it still has, else from the trim horizon, leaving out records certainly created before the pin.
        `ended` is True only once the end is confirmed (decision 16).

        Raises:
            PositionTrimmedError: the position is older than what the stream keeps.
            ShardGoneError: the shard is gone for good, and the reader has made sure of it.
            ThrottledError, SourceError: not now; the caller comes back.
        """
        ...

    async def close(self) -> None:
        """Forget iterators and buffered pages."""
        ...


class Source(Protocol):
    """One stream (for `dynamodb://TABLE`, all incarnations of the table's stream), shared in a process."""

    @property
    def traits(self) -> SourceTraits:
        """The facts about its service; known before `prepare`, where options are checked against them."""
        ...

    @property
    def arn(self) -> str:
        """The stream's ARN (of the newest incarnation), known after `prepare`."""
        ...

    @property
    def name(self) -> str:
        """Stream, account, Region and endpoint in short, without `:`; part of lease keys."""
        ...

    @property
    def identity(self) -> str:
        """Equal for two sources that read the same stream or streams: one of them then serves both."""
        ...

    @property
    def former_names(self) -> tuple[str, ...]:
        """What `name` was in older versions: rows found under these are moved at the start."""
        ...

    @property
    def iam_actions(self) -> tuple[str, ...]:
        """What a worker's role must allow, such as `dynamodb:GetRecords`."""
        ...

    async def prepare(self) -> None:
        """Resolve and check the stream.

        Raises:
            SourceNotFoundError, StreamDisabledError, CredentialsError, PermissionDeniedError,
            EndpointUnreachableError: with the thing named and the fix as hint.
        """
        ...

    async def list_shards(self) -> Listing:
        """Every shard of every incarnation, all pages. Raises ThrottledError, SourceError."""
        ...

    async def children(self, shard: ShardId) -> Children:
        """The children of `shard`. Raises ThrottledError, SourceError."""
        ...

    def open(self, shard: ShardId) -> ShardReader:
        """The reader of `shard`; one a shard and process."""
        ...

    def shard_name(self, shard: ShardId) -> str:
        """The service's own id of `shard`, for events, documents and logs."""
        ...

    def shard_arn(self, shard: ShardId) -> str:
        """The ARN of the stream incarnation that `shard` belongs to."""
        ...

    def to_event(self, raw: bytes, stream_arn: str) -> Event:
        """One element of `event["Records"]`, fresh, exactly as Lambda shapes it (E-2, E-7).

        `stream_arn` is what `shard_arn` answers for the record's shard.
        """
        ...

    async def close(self) -> None:
        """Close connections and readers."""
        ...


class LeaseStore(Protocol):
    """The lease table and the sessions beside it (leases.md 6.3, 6.5). One serial writer a lease.

    A write whose answer was lost is recognised by its nonce and never taken for a lost lease.
    All methods raise StateError for "not now", and LeaseLostError where named.
    """

    @property
    def checkpoint_interval_seconds(self) -> float:
        """The default least time between two saves of one lease (decision 21)."""
        ...

    async def prepare(self) -> bool:
        """Create what is missing. Returns True when the store was empty: it decides where reading starts.

        Raises:
            StateFormatError: written by a newer version. StateLockedError: another program holds it.
        """
        ...

    async def read(self, prefix: str) -> tuple[Lease, ...]:
        """All leases whose key starts with `prefix`; for a mapping `app@env:mapping:source:`."""
        ...

    async def pin(self, prefix: str, service_seconds: float) -> float:
        """Store from when a mapping reads that starts at LATEST, unless it is stored; what is stored.

        Where leases with that prefix exist and nothing is stored, an earlier version began: what is stored
        then is the earliest pin of these leases, or 0.0 where none has one.
        """
        ...

    async def create(self, leases: tuple[Lease, ...]) -> None:
        """Create rows in this order with counter 0 and no owner; an existing row is left alone."""
        ...

    async def take(self, lease: Lease, session: SessionId) -> Lease | None:
        """Own the row if owner and counter are as in `lease`; the new row, or None when they are not."""
        ...

    async def advance(self, lease: Lease, position: Position) -> Lease:
        """Write the checkpoint under the token of `lease`; the new row. Raises LeaseLostError."""
        ...

    async def finish(
        self,
        lease: Lease,
        children: tuple[Lease, ...] | None,
        session: SessionId,
        take: frozenset[ShardId] | None = None,
    ) -> tuple[Lease, ...]:
        """One transaction: SHARD_END and `children` on the parent, no owner; missing child rows created.

        A child of `take` (None: every child) that is created by this call and whose parents are all finished is
        owned by `session` at once. Any other is created unowned, also a merge child with an unfinished parent.
        An existing row is left as it is.

        Returns:
            The children that `session` owns now. Raises LeaseLostError.
        """
        ...

    async def release(self, lease: Lease, position: Position) -> None:
        """Last checkpoint and no owner, under the token. Raises LeaseLostError."""
        ...

    async def forget(self, lease: Lease) -> bool:
        """Delete the row if it is finished and the counter is as in `lease`; whether it is gone."""
        ...

    async def rename(self, moves: tuple[tuple[str, str], ...]) -> int:
        """Move all rows from the first key prefix of each pair to the second, in one transaction; how many.

        A pair whose old prefix has no rows is no fault: another worker may have moved them.

        Raises:
            StateError: a row is owned by a session that lives, or a new prefix has rows; nothing was moved.
        """
        ...

    async def beat(self, session: Session) -> Session | None:
        """Create the session's row (beat 0) or raise its beat by one; None when it is dead or missing."""
        ...

    async def read_sessions(self) -> tuple[Session, ...]:
        """All session rows; DEAD ones stay for a day."""
        ...

    async def expire(self, session: Session) -> bool:
        """Mark DEAD if the beat is still `session.beat` (or the process is gone); whether it is dead now."""
        ...

    def fresh_session(self) -> Session:
        """A session id never used before: host, pid and random digits; beat -1, as it has no row yet."""
        ...

    async def leave(self, session: Session) -> None:
        """Delete the session's row after a drain."""
        ...

    async def close(self) -> None:
        """Close files and connections."""
        ...


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a handler, before its event is decoded.

    `deadline` tells, whenever it is asked and on any thread, until when this worker may act (monotonic
    seconds; infinite while its beats are confirmed and nothing stops it).
    """

    request_id: str
    trigger: str
    source: Source
    shard: ShardId
    batch: Batch
    deadline: Callable[[], float]
    function_arn: str = ""
    tenure: Tenure | None = None
    """Under which the shard is held: its fencing token."""

    @property
    def attempt(self) -> int:
        """1 for the first call."""
        return self.batch.attempts + 1


class Invoker(Protocol):
    """Calls a trigger's handler. Decodes the event late, where the handler runs."""

    async def start(self) -> None:
        """Enter the lifespan. Raises HandlerError."""
        ...

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Call the handler once; every way it can end is an Outcome, nothing is raised."""
        ...

    async def cancel(self, request_id: str) -> None:
        """Stop a running call if it can be stopped; its `invoke` then ends with an Outcome."""
        ...

    async def close(self) -> None:
        """Leave the lifespan and stop threads; called when nothing runs any more, or after the drain."""
        ...


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """A batch that was given up: Lambda's document (D-1 to D-12) and the event it came from.

    `document` has no item contents. `payload` makes the event's JSON text, for destinations that keep it: up to
    6 MB, so it is called on a thread. Raises DamagedReplyError: a record cannot be read.
    """

    trigger: str
    shard_name: str
    document: Mapping[str, object]
    payload: Callable[[], bytes]


class Destination(Protocol):
    """Where failure records go."""

    async def prepare(self) -> None:
        """Check that it can be written to. Raises DestinationError."""
        ...

    async def send(self, record: FailureRecord) -> None:
        """Deliver once or raise DestinationError; may be repeated, so documents can come twice."""
        ...

    async def close(self) -> None:
        """Close files and connections."""
        ...
