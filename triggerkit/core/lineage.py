"""The shard graph of one listing: which shards came out of which.

A parent that is not listed is no part of the graph: whether it was trimmed or is only missing from this
listing is for `leases` to judge (leases.md 6.6 rule 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from triggerkit.core.model import Shard, ShardId


class ShardGraph:
    """Shards by id, with their children; immutable once built."""

    __slots__ = ("_children", "_shards")

    def __init__(self, shards: Iterable[Shard]) -> None:
        self._shards = {shard.id: shard for shard in shards}
        self._children: dict[ShardId, list[ShardId]] = {}
        for shard in self._shards.values():
            for parent in shard.parents:
                if parent != shard.id:  # a filter that was ignored makes a shard its own child
                    self._children.setdefault(parent, []).append(shard.id)

    def __contains__(self, shard: object) -> bool:
        return shard in self._shards

    def __iter__(self) -> Iterator[Shard]:
        return iter(self._shards.values())

    def __getitem__(self, shard: ShardId) -> Shard:
        return self._shards[shard]

    def children(self, shard: ShardId) -> tuple[ShardId, ...]:
        """Listed shards that name `shard` as a parent, in listing order."""
        return tuple(self._children.get(shard, ()))

    def listed_parents(self, shard: ShardId) -> tuple[ShardId, ...]:
        """Parents of `shard` that are in the listing."""
        return tuple(p for p in self._shards[shard].parents if p in self._shards and p != shard)

    def leaves(self) -> tuple[ShardId, ...]:
        """Shards without listed children."""
        return tuple(shard for shard in self._shards if not self._children.get(shard))

    def ancestors_first(self) -> tuple[ShardId, ...]:
        """Every shard after all of its listed parents; among equals, in id order.

        A cycle, which no service should list, is cut where the walk first meets it.
        """
        ordered: list[ShardId] = []
        state: dict[ShardId, bool] = {}  # False: on the stack, True: placed
        for root in sorted(self._shards):
            stack = [root]
            while stack:
                shard = stack[-1]
                if shard in state:
                    stack.pop()
                    if not state[shard]:
                        state[shard] = True
                        ordered.append(shard)
                    continue
                state[shard] = False
                parents = sorted(self.listed_parents(shard), reverse=True)
                stack.extend(parent for parent in parents if parent not in state)
        return tuple(ordered)

    def ancestors_of(self, among: Iterable[ShardId]) -> frozenset[ShardId]:
        """Every shard that has a transitive child among these, listed or only named as a parent.

        One pass over the graph, however many shards are asked about.
        """
        found: set[ShardId] = set()
        stack = [shard for shard in among if shard in self._shards]
        while stack:
            shard = stack.pop()
            for parent in self._shards[shard].parents:
                if parent == shard or parent in found:
                    continue
                found.add(parent)
                if parent in self._shards:
                    stack.append(parent)
        return frozenset(found)
