"""What the shell answers. Rule: a report says what happened, never what to do about it.

A report about a held lease echoes its shard and tenure, and carries the lease again where a write moved
its counter. A report of a past tenure is dropped in one place, `EventSourceMapping.react`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from triggerkit.core.model import (
    Batch,
    Children,
    DiscardReason,
    Lease,
    Listing,
    Page,
    Session,
    SessionId,
    ShardId,
    StopReason,
    Tenure,
)
from triggerkit.core.outcome import Outcome

# --- reports to the coordinator -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Surveyed:
    """All leases of the mapping, and the shards if they were asked for."""

    leases: tuple[Lease, ...]
    listing: Listing | None = None


@dataclass(frozen=True, slots=True)
class SurveyFailed:
    """Not now."""

    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Created:
    """All rows exist now."""


@dataclass(frozen=True, slots=True)
class CreateFailed:
    """Some prefix of the rows exists; the next survey tells which."""

    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Taken:
    """This worker owns the lease; the row is the authoritative checkpoint."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The row was not as seen: somebody else was faster."""

    shard: ShardId


@dataclass(frozen=True, slots=True)
class TakeFailed:
    """Not now."""

    shard: ShardId
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The row is gone, or was changed and stays."""

    shard: ShardId


@dataclass(frozen=True, slots=True)
class ForgetFailed:
    """Not now."""

    shard: ShardId
    wait_seconds: float


# --- reports to a shard consumer ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetched:
    """One page."""

    shard: ShardId
    tenure: Tenure
    page: Page


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """Not now."""

    shard: ShardId
    tenure: Tenure
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The position is older than what the stream keeps."""

    shard: ShardId
    tenure: Tenure


@dataclass(frozen=True, slots=True)
class ShardGone:
    """The shard is listed no more or refused for good; the stream itself is there (leases.md 6.6 rule 9)."""

    shard: ShardId
    tenure: Tenure


@dataclass(frozen=True, slots=True)
class Invoked:
    """The handler came back."""

    shard: ShardId
    tenure: Tenure
    batch: Batch
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The calls were told to stop; each still answers with its own `Invoked`."""

    shard: ShardId
    tenure: Tenure


@dataclass(frozen=True, slots=True)
class Discarded:
    """The failure record is delivered, or there is no destination."""

    shard: ShardId
    tenure: Tenure
    batch: Batch


@dataclass(frozen=True, slots=True)
class DiscardFailed:
    """The destination cannot be reached: the lane is held (decision 6)."""

    shard: ShardId
    tenure: Tenure
    batch: Batch
    reason: DiscardReason
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Saved:
    """The checkpoint is written; the lease carries the new counter."""

    shard: ShardId
    tenure: Tenure
    lease: Lease


@dataclass(frozen=True, slots=True)
class SaveFailed:
    """Not now."""

    shard: ShardId
    tenure: Tenure
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class ChildrenFound:
    """What the source lists as children."""

    shard: ShardId
    tenure: Tenure
    children: Children


@dataclass(frozen=True, slots=True)
class ChildrenFailed:
    """Not now."""

    shard: ShardId
    tenure: Tenure
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The shard is at its end; `taken` are the children that this worker owns now."""

    shard: ShardId
    tenure: Tenure
    taken: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class FinishFailed:
    """Not now."""

    shard: ShardId
    tenure: Tenure
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Released:
    """The lease has no owner."""

    shard: ShardId
    tenure: Tenure


@dataclass(frozen=True, slots=True)
class ReleaseFailed:
    """Not now."""

    shard: ShardId
    tenure: Tenure
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """A fenced write found another token: this tenure is over."""

    shard: ShardId
    tenure: Tenure


# --- reports without a decision -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Woke:
    """`wake_at` has come."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Let everything go, for this reason."""

    reason: StopReason


@dataclass(frozen=True, slots=True)
class Sessions:
    """What the membership knows: who lives, who is dead, and until when this worker may act.

    `live` are the sessions that take part in sharing out work, `known` all that are not dead, those that
    drain or are silent included. `read_at_seconds` (monotonic) is the moment before they were read.
    """

    me: SessionId
    live: frozenset[SessionId]
    known: frozenset[SessionId]
    dead: frozenset[SessionId]
    deadline_seconds: float
    read_at_seconds: float


CoordinatorReport: TypeAlias = (
    Surveyed
    | SurveyFailed
    | Created
    | CreateFailed
    | Taken
    | NotTaken
    | TakeFailed
    | Forgotten
    | ForgetFailed
)
ConsumerReport: TypeAlias = (
    Fetched
    | FetchFailed
    | Trimmed
    | ShardGone
    | Invoked
    | Cancelled
    | Discarded
    | DiscardFailed
    | Saved
    | SaveFailed
    | ChildrenFound
    | ChildrenFailed
    | Finished
    | FinishFailed
    | Released
    | ReleaseFailed
    | LeaseLost
)
Report: TypeAlias = CoordinatorReport | ConsumerReport | Woke | StopAsked | Sessions

# --- reports to the membership ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Beaten:
    """The beat is confirmed; `sent_at_seconds` (monotonic) is the moment before it was sent."""

    session: Session
    sessions: tuple[Session, ...]
    sent_at_seconds: float


@dataclass(frozen=True, slots=True)
class BeatFailed:
    """No answer: nothing is lost yet, nothing may start past the deadline."""

    wait_seconds: float


@dataclass(frozen=True, slots=True)
class SessionLost:
    """This worker was buried: all leases are lost; go on under a fresh session."""

    fresh: Session


@dataclass(frozen=True, slots=True)
class Buried:
    """The session is dead, by this worker or by another."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class NotBuried:
    """The session has beaten meanwhile, or the store did not answer."""

    session: SessionId


MembershipReport: TypeAlias = (
    Beaten | BeatFailed | SessionLost | Buried | NotBuried | Woke | StopAsked
)
