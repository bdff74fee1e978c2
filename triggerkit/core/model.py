"""Facts about streams, leases and sessions, as plain frozen values.

Every value is frozen. Times are seconds: `monotonic` ones order what this process does, `service` ones
come from the services' own clock (HTTP `Date`) and judge the age of records; the host's wall clock
appears nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import NamedTuple, NewType

import msgspec

NEVER = float("inf")
"""A monotonic time that does not come."""

ShardId = NewType("ShardId", str)
"""`incarnation:shard`, unique within a source: a stream made anew uses shard names again."""


def shard_name(shard: ShardId) -> str:
    """The service's own id of the shard."""
    return shard.rpartition(":")[2]


LeaseKey = NewType("LeaseKey", str)
"""`app@env:mapping:source:incarnation:shard`."""
SessionId = NewType("SessionId", str)


class Now(NamedTuple):
    """The present moment; the core has no clock."""

    monotonic_seconds: float
    service_seconds: float


class PositionKind(Enum):
    """Where a position points; the first three are KCL's sentinels (leases.md 1.3)."""

    TRIM_HORIZON = "TRIM_HORIZON"
    LATEST = "LATEST"
    AT_TIMESTAMP = "AT_TIMESTAMP"
    AFTER = "AFTER_SEQUENCE_NUMBER"
    SHARD_END = "SHARD_END"


@dataclass(frozen=True, slots=True)
class Position:
    """A place in one shard. Sequence numbers are opaque here: the order of arrival is the order.

    `at_seconds` is service time: the creation time of the record at an AFTER position, the time itself
    for AT_TIMESTAMP, and for LATEST the pinned start (0.0 until the first reader has pinned it).
    """

    kind: PositionKind
    sequence_number: str = ""
    at_seconds: float = 0.0


TRIM_HORIZON = Position(PositionKind.TRIM_HORIZON)
LATEST = Position(PositionKind.LATEST)
SHARD_END = Position(PositionKind.SHARD_END)


def after(record: Record) -> Position:
    """The position that reads on after `record`."""
    return Position(PositionKind.AFTER, record.sequence_number, record.at_seconds)


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard as the source lists it.

    `created_seconds` is service time, None where the source does not have it (Kinesis).
    """

    id: ShardId
    parents: tuple[ShardId, ...] = ()
    closed: bool = False
    created_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """All shards of a source. Only a complete listing (every page, no error) may justify a deletion.

    `service_seconds` is when it was made; what is older than `trim_seconds` the service may have removed.
    `live` is False when the stream is disabled or gone and will get no new shards.
    """

    shards: tuple[Shard, ...]
    complete: bool
    service_seconds: float
    trim_seconds: float
    live: bool = True


@dataclass(frozen=True, slots=True)
class Children:
    """The children of one shard. `final`: no more will come (the stream is disabled or gone)."""

    shards: tuple[Shard, ...]
    final: bool = False


class Record(msgspec.Struct, frozen=True, gc=False):
    """One stream record, undecoded: `raw` is the source's own JSON, `key` what lanes hash."""

    sequence_number: str
    at_seconds: float
    key: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """What one read returned, oldest record first.

    `ended`: the shard is closed and everything in it was read. `pinned_seconds`: this read opened the
    shard at LATEST at that service time and read nothing yet; the pin must be saved before the next.
    """

    records: tuple[Record, ...] = ()
    size_bytes: int = 0
    ended: bool = False
    service_seconds: float = 0.0
    pinned_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LastFailure:
    """How the last call of a batch failed; the failure record says it (D-1, D-7)."""

    request_id: str
    error_type: str = ""
    error_message: str = ""
    reported: bool = False
    """The call itself succeeded and reported item failures: `functionError` is null (F-6)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one lane, oldest first, and how often they were tried.

    `ordinals` number the records within this tenure of the shard; `attempts` counts the calls since the
    batch last got shorter by progress (F-30, F-31). `not_before_seconds` is monotonic. Where records end one
    by one, the batch is what is left of them, `tries` counts the calls of each, and `attempts` is the highest;
    `given_up` records are not called again: their failure record is next.
    """

    lane: int
    records: Sequence[Record]
    ordinals: Sequence[int]
    attempts: int = 0
    not_before_seconds: float = 0.0
    last_failure: LastFailure | None = None
    tries: Sequence[int] = ()
    """Empty: all records were tried `attempts` times."""
    given_up: DiscardReason | None = None

    def __len__(self) -> int:
        return len(self.records)

    def split(self, index: int) -> tuple[Batch, Batch]:
        """The records before `index` and the rest; both keep the counts."""
        records, ordinals, tries = self.records, self.ordinals, self.tries
        return (
            replace(self, records=records[:index], ordinals=ordinals[:index], tries=tries[:index]),
            replace(self, records=records[index:], ordinals=ordinals[index:], tries=tries[index:]),
        )

    def pick(self, indexes: Sequence[int]) -> Batch:
        """The records at `indexes`, which ascend; each keeps its own count."""
        return replace(
            self,
            records=tuple(self.records[index] for index in indexes),
            ordinals=tuple(self.ordinals[index] for index in indexes),
            tries=tuple(self.tries_of(index) for index in indexes),
        )

    def tries_of(self, index: int) -> int:
        """How often the record at `index` was tried."""
        return self.tries[index] if self.tries else self.attempts


class DiscardReason(Enum):
    """Why records were given up; the values of `requestContext.condition` (D-3), and our own."""

    RETRY_ATTEMPTS_EXHAUSTED = "RetryAttemptsExhausted"
    RECORD_AGE_EXCEEDED = "RecordAgeExceeded"
    DISCARDED_BY_HANDLER = "DiscardedByHandler"
    INVALID_RECORD = "InvalidRecord"


class StopReason(IntEnum):
    """Why a shard is let go; a higher reason overrides a lower one."""

    REQUESTED = 1
    """Finish what runs, save, release."""
    DRAIN_EXPIRED = 2
    """Cancel what runs and release without advancing."""
    LEASE_LOST = 3
    """Somebody else has it: no more writes."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One row of the lease table: which session works on a shard of a mapping, from which position.

    The fencing token is (`owner`, `counter`): every write is conditioned on it and moves the counter by
    one. `children` is None until the shard's end found them. `lost_reason` says why a shard ended as lost.
    """

    key: LeaseKey
    shard: ShardId
    checkpoint: Position
    parents: tuple[ShardId, ...] = ()
    children: tuple[ShardId, ...] | None = None
    owner: SessionId | None = None
    counter: int = 0
    switches: int = 0
    created_seconds: float | None = None
    lost_reason: str | None = None

    @property
    def finished(self) -> bool:
        """All records of the shard are accounted for."""
        return self.checkpoint.kind is PositionKind.SHARD_END


@dataclass(frozen=True, slots=True)
class Tenure:
    """One stay of a lease with one session: fixed from take to loss. `counter` is the one at the take."""

    session: SessionId
    counter: int


class SessionState(Enum):
    """The life of a worker's session row (leases.md 6.5)."""

    LIVE = "LIVE"
    DRAINING = "DRAINING"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True)
class Session:
    """One worker's session as the store shows it.

    `gone` is a fact the store can know on one host: same boot, and no process with that id and start time.
    """

    id: SessionId
    beat: int
    state: SessionState = SessionState.LIVE
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """Records that were trimmed before they were read: lost, and reported (decision 8).

    From after `last_seen` up to, not including, `resumed_at`; empty strings and zeros where unknown.
    """

    last_seen: str
    resumed_at: str
    from_seconds: float
    to_seconds: float
