"""Lease policy as pure functions: which rows to create, to take and to delete.

Source: leases.md 6.6 (lineage rules), 6.5 (liveness), 6.7 (shares). No row is created for a shard
whose records were already read, and none is taken before all of its parents are finished.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from triggerkit.core.lineage import ShardGraph
from triggerkit.core.model import (
    TRIM_HORIZON,
    Lease,
    LeaseKey,
    Listing,
    Position,
    PositionKind,
    Session,
    SessionId,
    Shard,
    ShardId,
)

TOMBSTONE_SECONDS = 3600.0
"""A finished row is kept for so much longer than its shard, which could still be listed and read again."""


def lease_key(prefix: str, shard: ShardId) -> LeaseKey:
    """The key of a mapping's lease; `prefix` is `app@env:mapping:source:`."""
    return LeaseKey(f"{prefix}{shard}")


def new_lease(prefix: str, shard: Shard, start: Position) -> Lease:
    """An unowned row with counter 0."""
    return Lease(
        key=lease_key(prefix, shard.id),
        shard=shard.id,
        checkpoint=start,
        parents=shard.parents,
        created_seconds=shard.created_seconds,
    )


def missing_leases(
    listing: Listing, leases: Iterable[Lease], prefix: str, start: Position
) -> tuple[Lease, ...]:
    """Rows to create, ancestors first.

    The first survey of a mapping applies the start rule; afterwards a new shard starts at its trim
    horizon, whatever the start rule was. `start` at LATEST or AT_TIMESTAMP carries its time: with LATEST
    that is the pin, and a shard that was created after it is read whole, whenever it is listed first.
    """
    rows = {lease.shard: lease for lease in leases}
    if all(shard.id in rows for shard in listing.shards):
        return ()
    graph = ShardGraph(listing.shards)
    passed = _passed(rows.values())
    rule = _StartRule(start, not rows, _is_whole(graph, listing.trim_seconds))
    if rule.must_wait:
        return ()
    if _lacks_a_link(graph, passed, rows, listing.trim_seconds):
        return ()  # what comes before it may be over or may be needed
    over = graph.ancestors_of(passed)
    planned: set[ShardId] = {*rows, *passed}
    held: set[ShardId] = set()
    led_to: set[ShardId] = set()  # descendants of a row that an older listing showed as a leaf
    created: list[Lease] = []
    for shard_id in graph.ancestors_first():
        shard = graph[shard_id]
        if any(parent in rows or parent in led_to for parent in shard.parents):
            led_to.add(shard_id)
        # rule 3: a descendant that has started proves that this shard was finished
        if shard_id in planned or shard_id in over:
            continue
        if not held.isdisjoint(shard.parents) or not _is_consistent(
            shard, graph, planned, listing.trim_seconds
        ):
            held.add(shard_id)
        elif (position := rule.position_of(shard, graph, led_to)) is not None:
            planned.add(shard_id)
            created.append(new_lease(prefix, shard, position))
    return tuple(created)


@dataclass(frozen=True, slots=True)
class _StartRule:
    """Where a shard without a row begins.

    `is_first`: the mapping has no row yet. `is_whole`: the listing lacks no link. With LATEST that matters: what
    looks like two leaves may be one line with a link missing.
    """

    start: Position
    is_first: bool
    is_whole: bool

    @property
    def must_wait(self) -> bool:
        """Whether this listing does not show where a first start begins."""
        return self.start.kind is PositionKind.LATEST and self.is_first and not self.is_whole

    def position_of(self, shard: Shard, graph: ShardGraph, led_to: set[ShardId]) -> Position | None:
        """None when what comes after the shard is all that is wanted."""
        if self.start.kind is not PositionKind.LATEST:
            return self.start if self.is_first else TRIM_HORIZON
        if shard.id in led_to or not self._is_from_before(shard):
            return TRIM_HORIZON
        # only the last shard of each line; one that is closed leads to children that are listed late
        children = graph.children(shard.id)
        followed = any(self._is_from_before(graph[child]) for child in children)
        return self.start if self.is_whole and not followed else None

    def _is_from_before(self, shard: Shard) -> bool:
        """Created before the pin; without times, what the first listing shows is."""
        if shard.created_seconds is None:
            return self.is_first
        return shard.created_seconds <= self.start.at_seconds


def held_back(listing: Listing, leases: Iterable[Lease]) -> tuple[ShardId, ...]:
    """Listed shards that need a row and get none: their parents are missing from the listing (rule 3)."""
    rows = {lease.shard: lease for lease in leases}
    without = [shard.id for shard in listing.shards if shard.id not in rows]
    if not without:
        return ()
    passed = _passed(rows.values())
    over = ShardGraph(listing.shards).ancestors_of(passed)
    return tuple(shard for shard in without if shard not in passed and shard not in over)


def _passed(leases: Iterable[Lease]) -> frozenset[ShardId]:
    """Shards that prove all before them to be over; a row knows its parents even where the listing lacks it."""
    proofs = [lease for lease in leases if is_past_parents(lease)]
    return frozenset(shard for lease in proofs for shard in (lease.shard, *lease.parents))


def _is_consistent(
    shard: Shard, graph: ShardGraph, planned: set[ShardId], trim_seconds: float
) -> bool:
    """Every parent has a row, is listed, or was trimmed; else the listing is not whole (rule 3)."""
    if all(parent in planned or parent in graph for parent in shard.parents):
        return True
    return shard.created_seconds is None or _is_older_than_trim(shard, trim_seconds)


def _is_whole(graph: ShardGraph, trim_seconds: float) -> bool:
    return all(_is_consistent(shard, graph, set(), trim_seconds) for shard in graph)


def _lacks_a_link(
    graph: ShardGraph,
    passed: frozenset[ShardId],
    rows: Mapping[ShardId, Lease],
    trim_seconds: float,
) -> bool:
    """Whether the listing leaves out what has started, or a parent of it: what leads there is over already."""
    proofs = [row for row in rows.values() if row.shard in passed and not row.finished]
    hidden = [row for row in proofs if row.created_seconds is not None and row.shard not in graph]
    if not all(_is_older_than_trim(row, trim_seconds) for row in hidden):
        return True
    known, listed = set(rows), (shard for shard in graph if shard.id in passed)
    return not all(_is_consistent(shard, graph, known, trim_seconds) for shard in listed)


def _is_older_than_trim(shard: Shard | Lease, trim_seconds: float) -> bool:
    """The trim test (rule 3): a trimmed parent closed before that time, so its child is as old at least."""
    return shard.created_seconds is not None and shard.created_seconds <= trim_seconds


def has_started(lease: Lease) -> bool:
    """Whether reading went beyond the start; SHARD_END did."""
    return lease.checkpoint.kind in (PositionKind.AFTER, PositionKind.SHARD_END)


def is_past_parents(lease: Lease) -> bool:
    """Whether shards before this one are not wanted any more: it has started, or it began at LATEST."""
    return has_started(lease) or lease.checkpoint.kind is PositionKind.LATEST


class Readiness:
    """Which leases may start, so that the order of each key is kept: none of their parents is unfinished (S-1).

    A parent without a row counts as finished when another of its descendants has started, or when it was
    trimmed: only a complete listing that is newer than the lease shows which. `rows` may go on changing: a parent's
    row is looked up when it is asked about. `trim_seconds` is that of the listing `listed`.
    """

    __slots__ = ("_listed", "_over", "_rows", "_trim_seconds")

    def __init__(
        self, rows: Mapping[ShardId, Lease], listed: ShardGraph | None, trim_seconds: float
    ) -> None:
        self._rows = rows
        self._listed = listed
        self._trim_seconds = trim_seconds
        self._over: frozenset[ShardId] = frozenset()
        if listed is not None:
            self._over = listed.ancestors_of(_passed(rows.values()))

    def first_unfinished(self, lease: Lease, start: int = 0) -> int | None:
        """The index of the first parent, from `start` on, that `lease` waits for; None when it may start."""
        if has_started(lease):
            return None
        parents = lease.parents
        waits_for = (i for i in range(start, len(parents)) if not self._is_done(parents[i], lease))
        return next(waits_for, None)

    def _is_done(self, parent: ShardId, lease: Lease) -> bool:
        row = self._rows.get(parent)
        if row is not None:
            return row.finished  # also before a row at LATEST: two workers may have begun at once
        if lease.checkpoint.kind is PositionKind.LATEST:
            return True
        listed = self._listed
        if listed is None or parent in listed:
            return parent in self._over
        return _is_trimmed_before(lease, listed, self._trim_seconds)


def _is_trimmed_before(lease: Lease, listed: ShardGraph, trim_seconds: float) -> bool:
    """Whether an unlisted parent of this lease was trimmed, and not only missed by the listing (rule 6)."""
    if lease.created_seconds is not None:
        return _is_older_than_trim(lease, trim_seconds)
    # no times: the listing is newer than the lease if it names it, or names what came out of it
    return lease.shard in listed or bool(listed.children(lease.shard))


def has_unknown_parent(leases: Iterable[Lease], listed: ShardGraph, trim_seconds: float) -> bool:
    """Whether a lease waits for a parent that has no row and is not in this listing."""
    rows = {lease.shard: lease for lease in leases}
    return any(
        parent not in rows and parent not in listed
        for lease in rows.values()
        if not is_past_parents(lease) and not _is_trimmed_before(lease, listed, trim_seconds)
        for parent in lease.parents
    )


def forgettable(leases: Iterable[Lease], listing: Listing) -> tuple[Lease, ...]:
    """Finished rows that nothing needs any more (rule 7, I11).

    Unlisted in a complete listing, older than any shard can still be listed, and every child row has
    left its trim horizon or is gone. A row whose children were never found is a to-do and stays.
    """
    if not listing.complete:
        return ()
    rows = {lease.shard: lease for lease in leases}
    listed = {shard.id for shard in listing.shards}
    parents = {parent for lease in rows.values() for parent in lease.parents}
    waiting = {
        parent for lease in rows.values() if not has_started(lease) for parent in lease.parents
    } | {parent for shard in listing.shards if shard.id not in rows for parent in shard.parents}
    return tuple(
        lease
        for lease in rows.values()
        if lease.finished
        and lease.shard not in listed
        and lease.shard not in waiting
        and (lease.children or lease.shard in parents)
        and is_past_retention(lease, listing)
    )


def is_past_retention(lease: Lease, listing: Listing) -> bool:
    """Whether the shard of `lease` is so old that no later listing has it or its children."""
    created_seconds = lease.created_seconds
    return (
        created_seconds is not None and created_seconds < listing.trim_seconds - TOMBSTONE_SECONDS
    )


def childless(leases: Iterable[Lease]) -> tuple[Lease, ...]:
    """Finished rows whose children are not known: a persistent to-do (rule 4, I10).

    One that ended for good without any stays on the list: a stream may be switched on again.
    """
    rows = tuple(leases)
    parents = {parent for lease in rows for parent in lease.parents}
    return tuple(
        lease
        for lease in rows
        if lease.finished and not lease.children and lease.shard not in parents
    )


def preferred(shard: ShardId, sessions: Iterable[SessionId]) -> SessionId | None:
    """The session that a shard falls to by rendezvous hash; every worker computes the same."""
    weights = [(zlib.crc32(f"{session}|{shard}".encode()), session) for session in sessions]
    return max(weights)[1] if weights else None


def first_to_expire(dead: Session, live: Iterable[SessionId]) -> SessionId | None:
    """Who expires a silent session first; the others wait one interval more."""
    return preferred(ShardId(dead.id), live)
