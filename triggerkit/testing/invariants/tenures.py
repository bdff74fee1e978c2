"""Who holds which shard, and what it did since. Rule: a tenure begins with a take, ends with the next owner."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from triggerkit.core.model import ShardId, Tenure
from triggerkit.testing.truth import Number


@dataclass(slots=True)
class Stay:
    """One tenure of a shard, as the calls show it."""

    behind: int
    """Index of the first record that the row's checkpoint had not passed at the take."""
    accounted: set[Number] = field(default_factory=set)
    failures: Counter[Number] = field(default_factory=Counter)
    given_up: set[Number] = field(default_factory=set)
    in_call: set[bytes] = field(default_factory=set)
    next_of_key: dict[bytes, int] = field(default_factory=dict)


class Tenures:
    """The tenures that hold, and all stays that ever were."""

    def __init__(self) -> None:
        self.held: dict[ShardId, Tenure] = {}
        self.stays: dict[tuple[ShardId, Tenure], Stay] = {}

    def begin(self, shard: ShardId, tenure: Tenure, behind: int) -> None:
        """A shard was taken."""
        self.held[shard] = tenure
        self.stays[shard, tenure] = Stay(behind)

    def end(self, shard: ShardId) -> None:
        """Nobody owns it any more."""
        self.held.pop(shard, None)
