"""The leases of one mapping by shard, and which of them may start.

A survey replaces all rows, which costs as much as it has rows. What this worker itself does to a row changes
that row and those that waited for it, and no other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from triggerkit.core.leases import Readiness
from triggerkit.core.lineage import ShardGraph
from triggerkit.core.model import Lease, ShardId


class LeaseRows:
    """Rows by shard, with the sets of those that are ready, and of those that wait for something unknown."""

    __slots__ = ("_readiness", "_rows", "_waiting", "ready", "stuck")

    def __init__(self) -> None:
        self._rows: dict[ShardId, Lease] = {}
        self._readiness = Readiness(self._rows, None, 0.0)
        self._waiting: dict[ShardId, list[tuple[ShardId, int]]] = {}
        """By the parent that it waits for: a shard, and the index of that parent. One entry a shard."""
        self.ready: set[ShardId] = set()
        """Unfinished shards none of whose parents is unfinished, held or not."""
        self.stuck: set[ShardId] = set()
        """Shards that wait for a parent without a row: only a survey or a listing can show more."""

    def __contains__(self, shard: object) -> bool:
        return shard in self._rows

    def __getitem__(self, shard: ShardId) -> Lease:
        return self._rows[shard]

    def get(self, shard: ShardId) -> Lease | None:
        """The row of `shard`."""
        return self._rows.get(shard)

    @property
    def all(self) -> Collection[Lease]:
        """Every row."""
        return self._rows.values()

    def replace(
        self, leases: Iterable[Lease], listed: ShardGraph | None, trim_seconds: float
    ) -> None:
        """Take over what a survey found; `trim_seconds` is that of the listing `listed`."""
        self._rows = {lease.shard: lease for lease in leases}
        self._readiness = Readiness(self._rows, listed, trim_seconds)
        self._waiting = {}
        self.ready, self.stuck = set(), set()
        for lease in self._rows.values():
            if not lease.finished:
                self._place(lease, 0)

    def put(self, lease: Lease) -> list[ShardId]:
        """Write one row; the other shards that are ready by it."""
        shard = lease.shard
        self._rows[shard] = lease
        if not lease.finished:
            if shard not in self.ready:
                self.stuck.discard(shard)
                self._place(lease, 0)
            return []
        self.ready.discard(shard)
        self.stuck.discard(shard)
        freed = [
            child
            for child, index in self._waiting.pop(shard, ())
            if self._is_waiting(child) and self._place(self._rows[child], index)
        ]
        return list(dict.fromkeys(freed))

    def drop(self, shard: ShardId) -> None:
        """Remove the row of a finished shard, if it is there."""
        self._rows.pop(shard, None)

    def _is_waiting(self, shard: ShardId) -> bool:
        lease = self._rows.get(shard)
        return lease is not None and not lease.finished and shard not in self.ready

    def _place(self, lease: Lease, start: int) -> bool:
        """Sort an unfinished row in; its parents before the index `start` are finished. Whether it is ready."""
        index = self._readiness.first_unfinished(lease, start)
        if index is None:
            self.ready.add(lease.shard)
            return True
        parent = lease.parents[index]
        if parent in self._rows:
            self._waiting.setdefault(parent, []).append((lease.shard, index))
        else:
            self.stuck.add(lease.shard)
        return False
