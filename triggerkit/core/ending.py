"""The search for the children of a shard that was read to its end."""

from __future__ import annotations

from triggerkit.core.leases import new_lease
from triggerkit.core.model import (
    NEVER,
    TRIM_HORIZON,
    Children,
    Lease,
    Now,
    ShardId,
)

CHILDREN_TRIES = 5
FIRST_CHILDREN_WAIT_SECONDS = 0.1
"""Five tries, doubling: about 3 s in all (leases.md 6.6 rule 4)."""
LONGEST_CHILDREN_WAIT_SECONDS = 4.0
"""Also after an error that waiting cannot cure: what comes after the tries does not depend on an answer."""


class ChildSearch:
    """Asks for the children a few times; then the coordinator's surveys go on looking for them."""

    __slots__ = ("_found", "_next_seconds", "_searching", "_tries")

    def __init__(self) -> None:
        self._found: Children | None = None
        self._tries = 0
        self._searching = False
        self._next_seconds = 0.0

    @property
    def is_over(self) -> bool:
        """Children are known, or the search is left to the coordinator."""
        return self._found is not None or self._tries >= CHILDREN_TRIES

    @property
    def search_at_seconds(self) -> float:
        """When to ask for the children (monotonic)."""
        return NEVER if self.is_over or self._searching else self._next_seconds

    def search(self) -> None:
        """They are asked for."""
        self._searching = True

    def answered(self, children: Children, now: Now) -> None:
        """These are listed; none may be listed yet."""
        self._wait(now, 0.0)
        if children.shards or children.final:
            self._found = children

    def failed(self, now: Now, wait_seconds: float) -> None:
        """No answer came."""
        self._wait(now, min(wait_seconds, LONGEST_CHILDREN_WAIT_SECONDS))

    def _wait(self, now: Now, wait_seconds: float) -> None:
        pause = max(wait_seconds, FIRST_CHILDREN_WAIT_SECONDS * 2.0**self._tries)
        self._searching = False
        self._tries += 1
        self._next_seconds = now.monotonic_seconds + pause

    @property
    def shards(self) -> tuple[ShardId, ...] | None:
        """The children; None while none is known."""
        return None if self._found is None else tuple(child.id for child in self._found.shards)

    def leases(self, prefix: str) -> tuple[Lease, ...] | None:
        """The rows of the children; None while none is known."""
        if self._found is None:
            return None
        return tuple(new_lease(prefix, child, TRIM_HORIZON) for child in self._found.shards)
