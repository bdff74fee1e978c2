"""What came of each decision: a report says what happened, never what to do about it.

A report holds the decision that it answers, and the lease again where a write moved its counter.
`EventSourceMapping` drops the reports of a past tenure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeAlias, TypeVar

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
from triggerkit.core.events import Event
from triggerkit.core.model import (
    Children,
    Lease,
    Listing,
    Page,
    Session,
    SessionId,
    StopReason,
)
from triggerkit.core.outcome import Outcome

D = TypeVar("D")


class Reaction(NamedTuple, Generic[D]):
    """What a machine answers to a report: the decisions to carry out, and what happened."""

    decisions: tuple[D, ...] = ()
    events: tuple[Event, ...] = ()


# --- a report to every machine ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotNow:
    """The decision was not carried out, or its answer was lost.

    `wait_seconds` is how long to wait before it is made again; None: waiting alone will not help.
    """

    decision: Decision | MembershipDecision
    wait_seconds: float | None
    error: Exception


# --- reports to the coordinator -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Surveyed:
    """All leases of the mapping, and the shards if they were asked for."""

    decision: Survey
    leases: tuple[Lease, ...]
    listing: Listing | None = None


@dataclass(frozen=True, slots=True)
class Pinned:
    """The service time that is stored: the one that was asked for, or an earlier start's."""

    decision: Pin
    service_seconds: float


@dataclass(frozen=True, slots=True)
class Created:
    """All rows exist now."""

    decision: Create


@dataclass(frozen=True, slots=True)
class Taken:
    """This worker owns the lease; the row is the authoritative checkpoint."""

    decision: Take
    lease: Lease


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The row was not as seen: another worker was faster."""

    decision: Take


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The row is gone, or was changed and stays."""

    decision: Forget


# --- reports to a shard consumer ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetched:
    """One page."""

    decision: Fetch
    page: Page


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The position is older than what the stream keeps."""

    decision: Fetch


@dataclass(frozen=True, slots=True)
class ShardGone:
    """The shard is listed no more or refused for good; the stream itself is there (leases.md 6.6 rule 9)."""

    decision: Fetch


@dataclass(frozen=True, slots=True)
class Invoked:
    """The handler came back."""

    decision: Invoke
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The calls were asked to stop; each still answers with its own `Invoked`."""

    decision: Cancel


@dataclass(frozen=True, slots=True)
class Discarded:
    """The failure record is delivered, or there is no destination."""

    decision: Discard


@dataclass(frozen=True, slots=True)
class Saved:
    """The checkpoint is written; the lease carries the new counter."""

    decision: Save
    lease: Lease


@dataclass(frozen=True, slots=True)
class ChildrenFound:
    """What the source lists as children."""

    decision: FindChildren
    children: Children


@dataclass(frozen=True, slots=True)
class Finished:
    """The shard is at its end; `taken` are the children that this worker owns now."""

    decision: Finish
    taken: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class Released:
    """The lease has no owner."""

    decision: Release


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """A fenced write found another token: this tenure is over."""

    decision: Save | Finish | Release


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
    """What the membership knows: which sessions live or are dead, and until when this worker may act.

    `live` are the sessions that take part in sharing out work, `known` all that are not dead, those that
    drain or are silent included. `read_at_seconds` (monotonic) is the moment before they were read.
    """

    me: SessionId
    live: frozenset[SessionId]
    known: frozenset[SessionId]
    dead: frozenset[SessionId]
    deadline_seconds: float
    read_at_seconds: float


CoordinatorReport: TypeAlias = Surveyed | Pinned | Created | Taken | NotTaken | Forgotten
ConsumerReport: TypeAlias = (
    Fetched
    | Trimmed
    | ShardGone
    | Invoked
    | Cancelled
    | Discarded
    | Saved
    | ChildrenFound
    | Finished
    | Released
    | LeaseLost
)
Report: TypeAlias = CoordinatorReport | ConsumerReport | NotNow | Woke | StopAsked | Sessions

# --- reports to the membership ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Beaten:
    """The beat is confirmed; `sent_at_seconds` (monotonic) is the moment before it was sent."""

    decision: Beat
    session: Session
    sessions: tuple[Session, ...]
    sent_at_seconds: float


@dataclass(frozen=True, slots=True)
class SessionLost:
    """This worker was expired: all leases are lost; go on under a fresh session."""

    decision: Beat
    fresh: Session


@dataclass(frozen=True, slots=True)
class Expired:
    """The session is dead, by this worker or by another."""

    decision: Expire


@dataclass(frozen=True, slots=True)
class NotExpired:
    """The session has beaten meanwhile, or the store did not answer."""

    decision: Expire


MembershipReport: TypeAlias = (
    Beaten | SessionLost | Expired | NotExpired | NotNow | Woke | StopAsked
)
