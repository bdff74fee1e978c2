"""What a checker gets of a world: facts from outside the machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from triggerkit.core.model import Lease, Record, SessionId, ShardId

BEAT_HOLDS_SECONDS = 6.0 - 1.2
"""How long a confirmed beat lets its sender act: the silence, less the margin (leases.md 6.4, 6.5)."""
Number = str


class Violation(AssertionError):  # noqa: N818 - it is what a world did, not what a caller did
    """An invariant does not hold."""


def require(holds: bool, rule: str, told: str) -> None:
    """Hold a world to a rule.

    Raises:
        Violation: the rule's name, and what was seen.
    """
    if not holds:
        raise Violation(f"{rule}: {told}")


class TrueShard(Protocol):
    """A shard as it is, whatever is listed. `records` are all that were ever written, trimmed ones too."""

    @property
    def id(self) -> ShardId:
        """As lease rows name it."""
        ...

    @property
    def parents(self) -> Sequence[ShardId]:
        """One behind a roll or a split, two behind a merge."""
        ...

    @property
    def children(self) -> Sequence[ShardId]:
        """What it went on in."""
        ...

    @property
    def closed(self) -> bool:
        """Nothing is written to it any more."""
        ...

    @property
    def gone(self) -> bool:
        """Retention has taken it off every listing."""
        ...

    @property
    def records(self) -> Sequence[Record]:
        """In the order of writing."""
        ...


class TrueStream(Protocol):
    """A stream as it is."""

    @property
    def shards(self) -> Mapping[ShardId, TrueShard]:
        """All that ever were."""
        ...

    def is_listed(self, shard: ShardId, /) -> bool:
        """Whether a listing names it now."""
        ...


class WorkerTime(Protocol):
    """The clock of one worker."""

    @property
    def monotonic_seconds(self) -> float:
        """What it reads now."""
        ...


@dataclass(frozen=True, slots=True)
class Write:
    """One write of the lease table that was applied: `before` None is a new row, `after` None a deleted one.

    `verb` is `create`, `take`, `advance`, `release`, `finish`, `forget`, `born of SHARD` for a child's row that the
    end of its parent made. Two are an outsider's: `evict` took the lease away from whoever had it, and `cleanup`
    deleted a finished row.
    """

    verb: str
    by: SessionId | None
    before: Lease | None
    after: Lease | None


@dataclass(frozen=True, slots=True)
class Truth:
    """Where a record was written, and when."""

    shard: TrueShard
    index: int
    created_seconds: float
    record: Record


@dataclass(slots=True)
class Beats:
    """The confirmed beats of one session, as its worker knows them."""

    worker: str
    clock: WorkerTime
    sent_seconds: float = float("-inf")
    lives: bool = True
    expired_seconds: float = float("inf")

    @property
    def deadline_seconds(self) -> float:
        """Until when it may act."""
        return self.sent_seconds + BEAT_HOLDS_SECONDS

    @property
    def may_act(self) -> bool:
        """Whether it may act now."""
        return self.clock.monotonic_seconds < self.deadline_seconds


@dataclass(frozen=True, slots=True)
class CallEnding:
    """How a call ended for the records at these indexes; the others were not tried.

    What is given up is named in `failed` too. A call that names no index was not made: it was throttled.
    """

    done: Sequence[int] = ()
    failed: Sequence[int] = ()
    given_up: Sequence[int] = ()
    one_by_one: bool | None = None
    """Whether the handler tells the end of each record (`.each`); None where nobody knows."""
    wait_seconds: float = 0.0
    """How long the handler, or its service, asked to be left alone; the shortest wait where several asked."""
