"""What the core asks for; every decision is answered by exactly one report (`reports`).

A decision about a held lease carries the lease as last written and its tenure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from triggerkit.core.model import (
    Batch,
    DiscardReason,
    Lease,
    Position,
    Session,
    SessionId,
    ShardId,
    Tenure,
)

# --- decisions of the coordinator ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Survey:
    """Read all leases of the mapping; list the shards too when `list_shards`."""

    list_shards: bool


@dataclass(frozen=True, slots=True)
class Pin:
    """Store the service time from which a mapping that starts at LATEST reads, unless one is stored already."""

    service_seconds: float


@dataclass(frozen=True, slots=True)
class Create:
    """Create these rows in this order, parents first; a row that exists is left alone."""

    leases: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class Take:
    """Become the owner, if the row is still as seen."""

    lease: Lease
    session: SessionId


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete a finished row that nothing needs any more."""

    lease: Lease


# --- decisions of a shard consumer --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read the next page after `position`."""

    lease: Lease
    tenure: Tenure
    position: Position
    limit: int


@dataclass(frozen=True, slots=True)
class Invoke:
    """Call the handler. `deadline_seconds` (monotonic) is the self-fence: no effect after it.

    `request_id` is new for every call.
    """

    lease: Lease
    tenure: Tenure
    batch: Batch
    deadline_seconds: float
    request_id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel or kill every call of this lease that still runs."""

    lease: Lease
    tenure: Tenure


@dataclass(frozen=True, slots=True)
class Discard:
    """Send the batch's failure record to the on-failure destination, if there is one."""

    lease: Lease
    tenure: Tenure
    batch: Batch
    reason: DiscardReason


@dataclass(frozen=True, slots=True)
class Save:
    """Write the checkpoint, fenced."""

    lease: Lease
    tenure: Tenure
    position: Position


@dataclass(frozen=True, slots=True)
class FindChildren:
    """Ask the source for the children of a shard that was read to its end."""

    lease: Lease
    tenure: Tenure


@dataclass(frozen=True, slots=True)
class Finish:
    """In one transaction: SHARD_END on the parent, rows for its children; take those of `take` that are ready.

    `children` None: none are listed yet; the row becomes a persistent to-do (leases.md 6.6 rule 4). `take` None:
    all of them; the children that are not taken are left to other workers.
    """

    lease: Lease
    tenure: Tenure
    children: tuple[Lease, ...] | None
    take: frozenset[ShardId] | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Give the lease up, with a last checkpoint."""

    lease: Lease
    tenure: Tenure
    position: Position


CoordinatorDecision: TypeAlias = Survey | Pin | Create | Take | Forget
ConsumerDecision: TypeAlias = (
    Fetch | Invoke | Cancel | Discard | Save | FindChildren | Finish | Release
)
Decision: TypeAlias = CoordinatorDecision | ConsumerDecision

# --- decisions of the membership ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Beat:
    """Show that this worker lives, and read all sessions. `beat` is the number last confirmed."""

    session: Session


@dataclass(frozen=True, slots=True)
class Expire:
    """Declare another worker's session dead, if its beat is still the one observed."""

    session: Session


MembershipDecision: TypeAlias = Beat | Expire
