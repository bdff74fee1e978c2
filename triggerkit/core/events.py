"""What happened, as typed events: the one account that logs, counters, metrics and checkers read.

Events are made in the core from reports; the runtime adds only the life of the worker. They carry ids and
counts. Where one carries records, so that a checker can look at them, they are left out of its repr.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from triggerkit.core.model import (
    Batch,
    DiscardReason,
    Gap,
    Lease,
    Position,
    SessionId,
    ShardId,
    Tenure,
)
from triggerkit.core.outcome import Outcome


@dataclass(frozen=True, slots=True)
class MappingId:
    """A trigger on one source, by the names that logs show."""

    trigger: str
    source: str


class Operation(Enum):
    """What a worker asks of the outside; the value is what logs call it."""

    BEAT = "Beat"
    SURVEY = "Survey"
    PIN = "Pin"
    CREATE = "Create"
    TAKE = "Take"
    FORGET = "Forget"
    FETCH = "Fetch"
    INVOKE = "Invoke"
    CANCEL = "Cancel"
    DISCARD = "Discard"
    SAVE = "Save"
    FIND_CHILDREN = "FindChildren"
    FINISH = "Finish"
    RELEASE = "Release"
    EXPIRE = "Expire"


# --- shards ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShardTaken:
    """This worker reads the shard from now on, from `position`."""

    mapping: MappingId
    shard: ShardId
    tenure: Tenure
    position: Position


@dataclass(frozen=True, slots=True)
class StreamReplaced:
    """The table, or its stream, was made anew while this worker ran: it reads the new stream from now on.

    `stream` is what the ids of the new shards begin with. Comes once, before its first `ShardTaken`.
    """

    mapping: MappingId
    stream: str


@dataclass(frozen=True, slots=True)
class ReadStarted:
    """A page after `position` was asked for."""

    mapping: MappingId
    shard: ShardId
    tenure: Tenure
    position: Position


@dataclass(frozen=True, slots=True)
class PageRead:
    """A page came with `records` records, or the shard's end; empty pages are not announced."""

    mapping: MappingId
    shard: ShardId
    tenure: Tenure
    records: int
    size_bytes: int
    ended: bool


@dataclass(frozen=True, slots=True)
class GapFound:
    """Records were lost, or may have been: the stream no longer has them (decision 8)."""

    mapping: MappingId
    shard: ShardId
    tenure: Tenure
    gap: Gap
    reason: str


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """Everything up to `position` is done with, and the state says so."""

    mapping: MappingId
    shard: ShardId
    tenure: Tenure
    position: Position


@dataclass(frozen=True, slots=True)
class ShardFinished:
    """The shard was read to its end and everything in it is done with.

    `children` are the shards that follow, None if none was found; `taken` are those that this worker reads next.
    """

    mapping: MappingId
    shard: ShardId
    tenure: Tenure
    children: tuple[ShardId, ...] | None
    taken: tuple[Lease, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReleaseStarted:
    """The shard is being given up: nothing of it begins any more."""

    mapping: MappingId
    shard: ShardId
    tenure: Tenure


@dataclass(frozen=True, slots=True)
class ShardReleased:
    """The shard was given up; another worker may take it."""

    mapping: MappingId
    shard: ShardId
    tenure: Tenure


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """Another worker owns the shard now."""

    mapping: MappingId
    shard: ShardId
    tenure: Tenure


# --- batches --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BatchStarted:
    """The handler is called; `attempt` is 1 for the first call of these records."""

    mapping: MappingId
    shard: ShardId
    tenure: Tenure
    attempt: int
    records: int
    first_sequence_number: str
    last_sequence_number: str
    batch: Batch = field(repr=False)


@dataclass(frozen=True, slots=True)
class BatchDone:
    """The handler came back without a failure; `outcome` says whether for all records or for some.

    `iterator_age_seconds` is how old the last record was when the call ended.
    """

    mapping: MappingId
    shard: ShardId
    tenure: Tenure
    attempt: int
    records: int
    first_sequence_number: str
    last_sequence_number: str
    duration_seconds: float
    iterator_age_seconds: float
    outcome: Outcome = field(repr=False)
    batch: Batch = field(repr=False)


@dataclass(frozen=True, slots=True)
class BatchFailed:
    """The handler failed, for all of its records or for some, or could not be called."""

    mapping: MappingId
    shard: ShardId
    tenure: Tenure
    attempt: int
    records: int
    first_sequence_number: str
    last_sequence_number: str
    duration_seconds: float
    iterator_age_seconds: float
    outcome: Outcome = field(repr=False)
    batch: Batch = field(repr=False)


@dataclass(frozen=True, slots=True)
class DiscardStarted:
    """A failure record is on its way to the on-failure destination, if there is one."""

    mapping: MappingId
    shard: ShardId
    tenure: Tenure
    condition: DiscardReason
    records: int
    batch: Batch = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecordsDiscarded:
    """Records were given up, and their failure record is delivered."""

    mapping: MappingId
    shard: ShardId
    tenure: Tenure
    condition: DiscardReason
    attempts: int
    records: int
    first_sequence_number: str
    last_sequence_number: str
    request_id: str
    batch: Batch = field(repr=False)


# --- what does not move ---------------------------------------------------------------------------


class WaitCause(Enum):
    """What a shard, or a mapping, waits for."""

    REPLY = "a reply of the service"
    CREDENTIALS = "credentials that the service accepts"
    ERROR = "a call that keeps failing"
    LISTING = "a listing of the shards that can be used"
    PARENT = "its parent shard"
    SHARD_END = "the end of a closed shard"
    OWNER = "a worker to take it"
    HANDLER = "the handler"
    DESTINATION = "the on-failure destination"
    LEASE_STORE = "the lease store"


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A call of a service or of the lease store failed, and is made again after `wait_seconds`."""

    mapping: MappingId | None
    operation: Operation
    shard: ShardId | None
    wait_seconds: float
    error: Exception


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing has moved for `waited_seconds` although something is expected; repeated at growing intervals.

    `shards` stopped together; none: it is about the mapping or the worker as a whole. `since_seconds` is service
    time. `detail` says what is known of the cause, `ends_when` what ends it. `expected`: it may take so long, as
    a call of a handler without a timeout may.
    """

    mapping: MappingId | None
    shards: tuple[ShardId, ...]
    operation: Operation | None
    cause: WaitCause
    since_seconds: float
    waited_seconds: float
    detail: str = field(repr=False)
    ends_when: str
    error: Exception | None = field(repr=False, default=None)
    expected: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """Waiting does not help: somebody has to act.

    It is tried again every five minutes, and every ten seconds what the lease store refuses.
    `shards` are blocked by the same thing; none: the mapping as a whole is. `cause` says what is wrong, `fix`
    what to do about it.
    """

    mapping: MappingId | None
    shards: tuple[ShardId, ...]
    operation: Operation | None
    cause: str = field(repr=False)
    fix: str
    error: Exception | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class MovedAgain:
    """What had failed, waited or been blocked goes on. `reported`: a `Waiting` or `Blocked` came before."""

    mapping: MappingId | None
    shards: tuple[ShardId, ...]
    operation: Operation | None
    after_seconds: float
    reported: bool


# --- the worker -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The other workers took this one for dead: it lets go of its shards and joins again."""

    session: SessionId
    fresh: SessionId


@dataclass(frozen=True, slots=True)
class Started:
    """The worker runs: everything was prepared, and reading begins."""

    triggers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draining:
    """The worker was asked to stop; running handlers have `timeout_seconds`."""

    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class DrainExpired:
    """Handlers still run, or the state cannot be written: what is not saved is delivered again."""

    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """The worker has released everything that it could."""


Event: TypeAlias = (
    ShardTaken
    | StreamReplaced
    | ReadStarted
    | PageRead
    | GapFound
    | CheckpointSaved
    | ShardFinished
    | ReleaseStarted
    | ShardReleased
    | LeaseLost
    | BatchStarted
    | BatchDone
    | BatchFailed
    | DiscardStarted
    | RecordsDiscarded
    | CallFailed
    | Waiting
    | Blocked
    | MovedAgain
    | SessionLost
    | Started
    | Draining
    | DrainExpired
    | Stopped
)

Observer: TypeAlias = Callable[[Event], None]
"""Is called on the engine's loop with each event, in order; must not block."""


def ignore(event: Event) -> None:
    """The observer that looks at nothing."""
