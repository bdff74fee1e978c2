"""Who holds which shard, and since when. A tenure begins with a take and ends with the next owner."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from proof.facts import Number

from triggerkit.core.model import ShardId, Tenure


@dataclass(slots=True)
class Tried:
    """One record in one tenure, as its calls ended."""

    together: int
    """Which batch it is of; no call may mix two."""
    most: int
    """How many records its next call may hold."""
    spent: int = 0
    """Failed calls since it came nearer to its end: since the quota began."""
    alone: bool = False
    """It ends by itself, and so does its quota."""
    is_sure: bool = True
    """Whether what its calls told is enough to know the quota."""
    not_before_seconds: float = float("-inf")
    """By the clock of its worker."""


@dataclass(slots=True)
class Stay:
    """One tenure of a shard, as the calls show it."""

    behind: int
    """Index of the first record that the row's checkpoint had not passed at the take."""
    reads_from: int | None
    """Index of the first record that this tenure must have met; None while it read from a start rule."""
    accounted: set[Number] = field(default_factory=set)
    farthest: int = -1
    """Index of the last record accounted for."""
    unsaved: set[int] = field(default_factory=set)
    """Indexes of what is accounted for and not behind the checkpoint."""
    failures: Counter[Number] = field(default_factory=Counter)
    tried: dict[Number, Tried] = field(default_factory=dict)
    given_up: set[Number] = field(default_factory=set)
    in_call: set[bytes] = field(default_factory=set)
    next_of_key: dict[bytes, int] = field(default_factory=dict)
    gaps: list[range] = field(default_factory=list)
    """Indexes of what was told to be lost."""
    is_gone: bool = False
    """Its worker was told that the shard is there no more."""


class Tenures:
    """The tenures that hold, and all stays that ever were."""

    def __init__(self) -> None:
        self.held: dict[ShardId, Tenure] = {}
        self.stays: dict[tuple[ShardId, Tenure], Stay] = {}
        self.evicted: set[tuple[ShardId, Tenure]] = set()
        """Lost to an operator, which nothing could tell their workers."""

    def begin(self, shard: ShardId, tenure: Tenure, behind: int | None) -> None:
        """A shard was taken, to go on at index `behind`, or as the start rule says."""
        self.held[shard] = tenure
        self.stays[shard, tenure] = Stay(behind or 0, behind)

    def end(self, shard: ShardId, *, evicted: bool) -> None:
        """Nobody owns it any more."""
        tenure = self.held.pop(shard, None)
        if evicted and tenure is not None:
            self.evicted.add((shard, tenure))

    def stay_of(self, shard: ShardId) -> Stay | None:
        """Of the tenure that holds."""
        tenure = self.held.get(shard)
        return None if tenure is None else self.stays[shard, tenure]
