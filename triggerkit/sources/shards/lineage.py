"""Shards and their ancestry over all incarnations of a stream, from what was listed.

A stream that is turned off and on again, or made anew, may use shard names again, so a shard's id here starts with
its incarnation. The roots of a newer incarnation are children of all leaves of the older one: what happened before
is read first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from triggerkit.core.model import Shard, ShardId

SETTLING_SECONDS = 12.0
"""How late the last shards of a stream may be listed that was turned off."""
_EPOCH_DIGITS = 20


def shard_id(incarnation: str, name: str) -> ShardId:
    """The id of the shard `name` of one incarnation; no `:` in either."""
    return ShardId(f"{incarnation}:{name}")


def shard_name_of(shard: ShardId) -> str:
    """The service's own id in `incarnation:shard`."""
    return shard.partition(":")[2]


@dataclass(frozen=True, slots=True)
class ListedShard:
    """One shard as the service lists it."""

    name: str
    parent: str | None
    ended: bool
    """It has an ending sequence number."""


@dataclass(frozen=True, slots=True)
class ListedStream:
    """One incarnation and all its shards that were listed.

    `live`: it gets new shards. `made_seconds` is service time. `flaw`: why not every page was seen.
    """

    incarnation: str
    live: bool
    made_seconds: float | None
    shards: tuple[ListedShard, ...]
    flaw: str = ""


def lineage(streams: Sequence[ListedStream]) -> tuple[Shard, ...]:
    """All shards of all incarnations; `streams` oldest first."""
    shards: list[Shard] = []
    leaves: tuple[ShardId, ...] = ()
    for stream, newer in zip(streams, [*streams[1:], None], strict=True):
        with_children = {shard.parent for shard in stream.shards}
        closed_by_stream = not stream.live or newer is not None
        shards += [
            Shard(
                shard_id(stream.incarnation, shard.name),
                parents_of(stream.incarnation, shard, leaves),
                shard.ended or closed_by_stream or shard.name in with_children,
                created_seconds(shard.name),
            )
            for shard in stream.shards
        ]
        if stream.shards:
            leaves = tuple(
                shard_id(stream.incarnation, shard.name)
                for shard in stream.shards
                if shard.name not in with_children
            )
    return tuple(shards)


def cycle_in(shards: Iterable[ListedShard]) -> tuple[str, ...]:
    """A ring of shards in which each names the next one as its parent; () if there is none."""
    parents = {shard.name: shard.parent for shard in shards}
    done: set[str] = set()
    for name in parents:
        line: dict[str, None] = {}
        at: str | None = name
        while at is not None and at in parents and at not in done:
            if at in line:
                names = tuple(line)
                return names[names.index(at) :]
            line[at] = None
            at = parents[at]
        done.update(line)
    return ()


def parents_of(
    incarnation: str, shard: ListedShard, older_leaves: tuple[ShardId, ...] = ()
) -> tuple[ShardId, ...]:
    """The parent that the service names, listed or not; for a root the leaves of the older stream."""
    if shard.parent is None:
        return older_leaves
    return (shard_id(incarnation, shard.parent),)


def children_of(incarnation: str, parent: str, listed: Iterable[ListedShard]) -> tuple[Shard, ...]:
    """The shards among `listed` that name `parent`; an endpoint may ignore the filter and send any."""
    found = {shard.name: shard for shard in listed if shard.parent == parent != shard.name}
    return tuple(
        Shard(
            shard_id(incarnation, name),
            parents_of(incarnation, shard),
            shard.ended,
            created_seconds(name),
        )
        for name, shard in found.items()
    )


def created_seconds(name: str) -> float | None:
    """When a shard was created, where its id has epoch milliseconds in 20 digits, as those of DynamoDB do."""
    digits = name.removeprefix("shardId-").partition("-")[0]
    if len(digits) != _EPOCH_DIGITS or not digits.isdecimal():
        return None
    return int(digits) / 1000


def connected(
    streams: Sequence[ListedStream], service_seconds: float, retention_seconds: float
) -> tuple[ListedStream, ...]:
    """The streams up to one whose shards are not all listed yet; `streams` oldest first.

    A stream has shards as long as it has records, so a young one without any is listed late. What is newer
    would look as if it came right behind the older ones, and its shards would pass for read. So would a
    shard that was made right before its stream was turned off: what follows it waits for a moment.
    """
    for index, (stream, newer) in enumerate(pairwise(streams), start=1):
        waits = (
            _is_younger(newer, SETTLING_SECONDS, service_seconds)
            if stream.shards
            else _is_younger(stream, retention_seconds, service_seconds)
        )
        if waits:
            return tuple(streams[:index])
    return tuple(streams)


def _is_younger(stream: ListedStream, age_seconds: float, service_seconds: float) -> bool:
    made_seconds = stream.made_seconds
    return made_seconds is not None and service_seconds - made_seconds < age_seconds
