"""How listings show the shards: late, stale, in another order, in small pages, or not at all.

Only the listing changes, never the shards: one that is not listed can be read and written. Which shard is late by
how much, and the other order, come from the seed and the shard's id, so a page never depends on the one before.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from triggerkit.emulator.shards import Shard


@dataclass(slots=True)
class ListingPlans:
    """What is planned for listings. `lag_spread_seconds` sets siblings apart."""

    seed: int = 0
    lag_seconds: float = 0.0
    lag_spread_seconds: float = 0.0
    page_shards: int | None = None
    reordered: bool = False
    stale_seconds: deque[float] = field(default_factory=deque)
    hidden: dict[str, None] = field(default_factory=dict)

    def take_age(self) -> float:
        """Return how old the shards are that the next listing shows, in seconds, and count it."""
        return self.stale_seconds.popleft() if self.stale_seconds else 0.0

    def shown(
        self, shards: Iterable[Shard], now_seconds: float, age_seconds: float = 0.0
    ) -> list[Shard]:
        """Return the shards that a listing shows, as it shows them, in its order."""
        found = [
            shard
            for shard in shards
            if self.lists(shard.shard_id, shard.created_seconds, now_seconds)
        ]
        if age_seconds > 0:
            found = _as_of(found, now_seconds - age_seconds)
        return sorted(found, key=lambda shard: self._place(shard.shard_id))

    def after(self, shards: Iterable[Shard], start: str) -> list[Shard]:
        """Return the shards that come after the one named `start`, listed or not; all for ""."""
        if not start:
            return list(shards)
        place = self._place(start)
        return [shard for shard in shards if self._place(shard.shard_id) > place]

    def page(self, shards: list[Shard], limit: int) -> tuple[list[Shard], bool]:
        """Return the first page, and whether more follow."""
        size = limit if self.page_shards is None else min(limit, self.page_shards)
        return shards[:size], len(shards) > size

    def lists(self, name: str, created_seconds: float, now_seconds: float) -> bool:
        """Return whether a shard, or a stream by its ARN, is listed by now."""
        if name in self.hidden:
            return False
        lag_seconds = self.lag_seconds
        if self.lag_spread_seconds:
            lag_seconds += self.lag_spread_seconds * self._share(name)
        return now_seconds - created_seconds >= lag_seconds

    def _place(self, shard_id: str) -> str:
        return self._digest("order", shard_id) if self.reordered else shard_id

    def _share(self, name: str) -> float:
        return int(self._digest("lag", name)[:8], 16) / 2**32

    def _digest(self, purpose: str, name: str) -> str:
        text = f"{self.seed}|{purpose}|{name}"
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _as_of(shards: list[Shard], then_seconds: float) -> list[Shard]:
    """Return shards as they were: later ones missing, later closed ones open."""
    found = []
    for shard in shards:
        if shard.created_seconds > then_seconds:
            continue
        closed = shard.closed_seconds is not None and shard.closed_seconds > then_seconds
        found.append(replace(shard, ending_sequence=None, closed_seconds=None) if closed else shard)
    return found
