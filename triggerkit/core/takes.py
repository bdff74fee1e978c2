"""The leases of one mapping as this worker knows them, and which of them it takes.

A free lease is taken by the worker that it falls to (`shares`), never before its parents are finished, and never
while its owner may live.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from triggerkit.core.decisions import Finish, Take
from triggerkit.core.lineage import ShardGraph
from triggerkit.core.model import (
    NEVER,
    Lease,
    Now,
    SessionId,
    ShardId,
)
from triggerkit.core.reports import Sessions
from triggerkit.core.rows import LeaseRows
from triggerkit.core.shares import EvenShares, Offer, Offers


@dataclass(frozen=True, slots=True)
class End:
    """A shard whose end is being written: its children, and those of them that this worker may take with it."""

    children: tuple[Lease, ...] = ()
    granted: frozenset[ShardId] | None = None
    """None: all of them."""

    @property
    def grants(self) -> int:
        """How many of the children this worker will hold."""
        return len(self.children) if self.granted is None else len(self.granted)


class Takes:
    """Every write is conditional, so two workers that decide the same at once are harmless."""

    def __init__(self, prefix: str, interval_seconds: float) -> None:
        """`interval_seconds`: how often leases are read; a free one is left to its taker for so long."""
        self.rows = LeaseRows()
        """As last surveyed; those held here are ahead of it."""
        self.sessions: Sessions | None = None
        self.look_at_seconds = 0.0
        """When leases may become free for this worker (monotonic)."""
        self._prefix = prefix
        self._surveyed_at_seconds = NEVER
        self._taking: set[ShardId] = set()  # a Take is under way
        self._retry_at_seconds: dict[ShardId, float] = {}  # when a Take that failed is made again
        self._doubtful: set[ShardId] = set()  # not as surveyed: the next survey shows what they are
        self._ending: dict[ShardId, End] = {}
        self._births = self._grants = 0  # the sums over those
        self._offers = Offers(interval_seconds)
        self._must_offer_all = True  # rows or workers have changed as a whole
        self._to_offer: list[ShardId] = []  # rows that have changed since
        self._others: Counter[SessionId] = Counter()  # how many shards each other worker holds
        self._has_absent_owner = False  # of a ready lease: a later read of the sessions shows more

    @property
    def is_alone(self) -> bool:
        """No other worker lives, drains or is silent."""
        return self.sessions is not None and len(self.sessions.known) == 1

    @property
    def is_settled(self) -> bool:
        """Nobody else writes these rows, and each is held here, finished, or waits for one that is."""
        return self.is_alone and not (
            len(self._offers)
            or self._to_offer
            or self.rows.stuck
            or self._doubtful
            or self._retry_at_seconds
            or self._has_absent_owner
        )

    # --- absorbing ------------------------------------------------------------------------------

    def absorb_sessions(self, sessions: Sessions) -> bool:
        """Learn which workers live; whether that has changed."""
        known, self.sessions = self.sessions, sessions
        changed = known is None or (known.live, known.dead) != (sessions.live, sessions.dead)
        if changed or self._has_absent_owner or (known and known.known != sessions.known):
            self._must_offer_all = True
        return changed

    def surveyed(
        self, leases: tuple[Lease, ...], listed: ShardGraph | None, trim_seconds: float, now: Now
    ) -> None:
        """These are all rows; `trim_seconds` is that of the listing `listed`."""
        self.rows.replace(leases, listed, trim_seconds)
        self._doubtful.clear()
        self._surveyed_at_seconds = now.monotonic_seconds
        self._must_offer_all = True

    def taken(self, lease: Lease) -> None:
        """This worker owns the lease."""
        self._taking.discard(lease.shard)
        self._put(lease)

    def not_taken(self, shard: ShardId, retry_at_seconds: float | None = None) -> None:
        """The row was not as seen; or, with `retry_at_seconds`, the call failed."""
        self._taking.discard(shard)
        self._doubtful.add(shard)
        if retry_at_seconds is not None:
            self._retry_at_seconds[shard] = retry_at_seconds

    def forgotten(self, shard: ShardId) -> None:
        """The row of a finished shard is deleted."""
        self.rows.drop(shard)

    def let_go(self, shard: ShardId) -> None:
        """A shard is not held here any more."""
        self._forget_end(shard)
        self._to_offer.append(shard)

    def finished(self, row: Lease, taken: Iterable[Lease]) -> tuple[End, tuple[Lease, ...]]:
        """A shard held here is at its end; what was known of it, and those of the `taken` children that may start.

        A slow reply can arrive after a child was taken by itself: it is left out.
        """
        end = self._forget_end(row.shard)
        self._put(row)
        fresh = tuple(child for child in taken if not self._has_gone_on(child))
        for child in fresh:
            self._put(child)
        return end, fresh

    def _has_gone_on(self, lease: Lease) -> bool:
        known = self.rows.get(lease.shard)
        return lease.shard in self._taking or (known is not None and known.counter > lease.counter)

    def _put(self, lease: Lease) -> None:
        self._offers.drop(lease.shard)
        self._to_offer += self.rows.put(lease)

    # --- the end of a shard -----------------------------------------------------------------------

    def grant(self, finish: Finish, held: int) -> Finish:
        """The same decision, with the children that this worker may take; the others are left to others.

        A worker that is alone takes all. A child that has a row already is offered like any other lease.
        """
        shard, children = finish.lease.shard, finish.children or ()
        self._forget_end(shard)
        granted: frozenset[ShardId] | None = None
        if self.sessions is not None and not self.is_alone:
            new = [child.shard for child in children if child.shard not in self.rows]
            births = self._births + len(children) - len(self._ending) - 1
            shares = self._even_shares(self.sessions, births)
            room = shares.most(self.sessions.me) - (self._mine(held) - 1)
            granted = frozenset(new[: max(0, room)])
        end = self._ending[shard] = End(children, granted)
        self._births += len(children)
        self._grants += end.grants
        return replace(finish, take=granted)

    def _forget_end(self, shard: ShardId) -> End:
        end = self._ending.pop(shard, None)
        if end is None:
            return End()
        self._births -= len(end.children)
        self._grants -= end.grants
        return end

    def needs_survey(self, end: End) -> bool:
        """Whether only a survey shows what became of a child of this end."""
        return any(self._is_unclear(child.shard, end) for child in end.children)

    def _is_unclear(self, child: ShardId, end: End) -> bool:
        row = self.rows.get(child)
        if row is None:  # it was there already or has another parent, unless it was left to others
            return end.granted is None or child in end.granted
        # another parent may have been finished by another worker meanwhile
        return not self.is_alone and not row.finished and child not in self.rows.ready

    def _mine(self, held: int) -> int:
        """How many shards this worker holds once what is under way is done."""
        return held - len(self._ending) + self._grants + len(self._taking)

    def _even_shares(self, sessions: Sessions, births: int = 0) -> EvenShares:
        shards = len(self.rows.ready) + births
        return EvenShares(self._prefix, shards, sessions.live, self._others)

    # --- deriving ---------------------------------------------------------------------------------

    def derive(self, now: Now, is_blocked: Callable[[ShardId], bool], held: int) -> list[Take]:
        """The leases to take now; sets `look_at_seconds`."""
        self.look_at_seconds = NEVER  # what changes it is a report, or an offer's time
        sessions = self.sessions
        if sessions is None or sessions.deadline_seconds <= now.monotonic_seconds:
            return []
        if self._must_offer_all or self._to_offer:
            self._offer(sessions, now, is_blocked, held)
        most = self._even_shares(sessions).most(sessions.me)
        takes: list[Take] = []
        while True:
            within_share = self.is_alone or self._mine(held) < most
            next_at = self._offers.next_at_seconds(within_share=within_share)
            if next_at > now.monotonic_seconds:
                self.look_at_seconds = next_at
                return takes
            shard = self._offers.pop(within_share=within_share)
            if not is_blocked(shard):
                self._taking.add(shard)
                takes.append(Take(self.rows[shard], sessions.me))

    def _offer(
        self, sessions: Sessions, now: Now, is_blocked: Callable[[ShardId], bool], held: int
    ) -> None:
        """Look for free leases among the rows that changed, and say which worker is to take which.

        Every worker that sees the same rows says the same.
        """
        if self._must_offer_all:
            self._count_others(sessions)
        for shard, at_seconds in list(self._retry_at_seconds.items()):
            if at_seconds <= now.monotonic_seconds or shard not in self.rows.ready:
                del self._retry_at_seconds[shard]
        shards = self.rows.ready if self._must_offer_all else self._to_offer
        free = [
            self.rows[shard]
            for shard in shards
            if shard in self.rows.ready
            and shard not in self._taking
            and shard not in self._doubtful
            and shard not in self._retry_at_seconds
            and not is_blocked(shard)
            and self.is_free(self.rows[shard], sessions)
        ]
        holds = {**self._others, sessions.me: self._mine(held)}
        shares = EvenShares(self._prefix, len(self.rows.ready), sessions.live, holds)
        takers = {} if self.is_alone else shares.assign(lease.shard for lease in free)
        offers: dict[ShardId, Offer] = {}
        for lease in free:
            taker = takers.get(lease.shard, sessions.me)
            since = self._offers.since(lease.shard, lease.counter, now.monotonic_seconds)
            is_ours, names_us = taker == sessions.me, lease.owner == sessions.me
            offers[lease.shard] = Offer(lease.counter, since, is_ours, names_us)
        if self._must_offer_all:
            self._offers.replace(offers)
        else:
            for shard, offer in offers.items():
                self._offers.put(shard, offer)
        self._must_offer_all = False
        self._to_offer.clear()

    def _count_others(self, sessions: Sessions) -> None:
        owners = Counter(self.rows[shard].owner for shard in self.rows.ready)
        self._others = Counter(
            {
                owner: count
                for owner, count in owners.items()
                if owner is not None and owner in sessions.live and owner != sessions.me
            }
        )
        gone = owners.keys() - sessions.known - sessions.dead - {None, sessions.me}
        self._has_absent_owner = bool(gone)

    def is_free(self, lease: Lease, sessions: Sessions) -> bool:
        """Whether no living worker owns the lease."""
        owner: SessionId | None = lease.owner
        if owner is None or owner in sessions.dead or owner == sessions.me:
            return True
        # absent counts only if the sessions were read after the row was: its owner may be newer than they
        return owner not in sessions.known and sessions.read_at_seconds > self._surveyed_at_seconds
