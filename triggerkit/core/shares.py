"""How the shards of one mapping are shared out among the workers that live, and when a free lease may be taken.

There is no leader: every worker computes the same from the same rows. Each may hold the even share; where it does
not come out even, as many as are left over may hold one more. Source: leases.md 6.7.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

from triggerkit.core.leases import preferred
from triggerkit.core.model import (
    NEVER,
    SessionId,
    ShardId,
)

GRACE_INTERVALS = 3
"""After so many intervals a free lease is taken by any worker, however many it holds: nothing stays unread."""


class EvenShares:
    """The shares of `live` in so many `shards` of the mapping `name`, of which each of them `holds` some."""

    __slots__ = ("_holds", "_live", "_name", "_share", "_spare")

    def __init__(
        self, name: str, shards: int, live: Iterable[SessionId], holds: Mapping[SessionId, int]
    ) -> None:
        self._name = name
        self._live = sorted(live)
        self._share, self._spare = divmod(shards, max(1, len(self._live)))
        self._holds = {session: holds.get(session, 0) for session in self._live}

    def most(self, session: SessionId) -> int:
        """How many `session` may hold beside what the others hold; 0 when it is not among the live."""
        if session not in self._holds:
            return 0
        above = sum(1 for s in self._live if s != session and self._holds[s] > self._share)
        return self._share + (above < self._spare)

    def assign(self, free: Iterable[ShardId]) -> dict[ShardId, SessionId | None]:
        """Which session is to take which of the `free` shards; None when all have their share.

        Workers that look one after the other come to the same result, whatever was taken in between.
        """
        limits, holds = self._limits(), dict(self._holds)
        takers: dict[ShardId, SessionId | None] = {}
        for shard in sorted(free):
            taker = preferred(shard, [s for s in self._live if holds[s] < limits[s]])
            takers[shard] = taker
            if taker is not None:
                holds[taker] += 1
        return takers

    def _limits(self) -> dict[SessionId, int]:
        """The share of each; which of them may hold one more is settled beforehand."""
        limits = dict.fromkeys(self._live, self._share)
        above = [session for session in self._live if self._holds[session] > self._share]
        others = [session for session in self._live if self._holds[session] <= self._share]
        for session in [*above, *sorted(others, key=self._rank)][: self._spare]:
            limits[session] += 1
        return limits

    def _rank(self, session: SessionId) -> bytes:
        # not a CRC, which sorts similar names alike in all mappings
        return blake2b(f"{session}|{self._name}".encode(), digest_size=8).digest()


class Offer(NamedTuple):
    """A free lease: since when (monotonic) this worker has seen it free with that counter, and whose it is.

    `is_ours`: it falls to this worker. `names_us`: its row names this worker already, so a write of its own may
    still be on its way.
    """

    counter: int
    since_seconds: float
    is_ours: bool
    names_us: bool


class Offers:
    """The free leases, in the order in which this worker may take them."""

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._offers: dict[ShardId, Offer] = {}
        self._within: list[tuple[float, bool, ShardId, Offer]] = []
        """Heap by when to take it below the own share; an entry may be out of date."""
        self._beyond: list[tuple[float, bool, ShardId, Offer]] = []
        """Heap by when to take it above the own share."""

    def __len__(self) -> int:
        return len(self._offers)

    def since(self, shard: ShardId, counter: int, now_seconds: float) -> float:
        """Since when the shard is on offer with that counter: from now on, unless it was before."""
        known = self._offers.get(shard)
        return (
            known.since_seconds if known is not None and known.counter == counter else now_seconds
        )

    def replace(self, offers: Mapping[ShardId, Offer]) -> None:
        """These are all."""
        self._offers = {}
        self._within, self._beyond = [], []
        for shard, offer in offers.items():
            self.put(shard, offer)

    def put(self, shard: ShardId, offer: Offer) -> None:
        """One more, or the same one changed."""
        self._offers[shard] = offer
        beyond = offer.since_seconds + GRACE_INTERVALS * self._interval_seconds
        within = offer.since_seconds + (0.0 if offer.is_ours else self._interval_seconds)
        if offer.names_us:
            within = beyond
        heapq.heappush(self._within, (within, not offer.is_ours, shard, offer))
        heapq.heappush(self._beyond, (beyond, not offer.is_ours, shard, offer))

    def drop(self, shard: ShardId) -> None:
        """It is free no more, as far as this worker knows."""
        if self._offers.pop(shard, None) is not None:
            self._forget_outdated()

    def next_at_seconds(self, *, within_share: bool) -> float:
        """When the next one may be taken (monotonic)."""
        heap = self._within if within_share else self._beyond
        while heap and self._offers.get(heap[0][2]) != heap[0][3]:
            heapq.heappop(heap)
        return heap[0][0] if heap else NEVER

    def pop(self, *, within_share: bool) -> ShardId:
        """The next one, which is on offer no more. Only when `next_at_seconds` is not infinite."""
        _, _, shard, _ = heapq.heappop(self._within if within_share else self._beyond)
        del self._offers[shard]
        self._forget_outdated()
        return shard

    def _forget_outdated(self) -> None:
        if not self._offers:
            self._within.clear()
            self._beyond.clear()
