"""Shards and their ancestry over all incarnations of a stream. Rule: pure, from what was listed.

A table whose stream is turned off and on again gets a new stream that uses shard names anew, so a
shard's id here starts with its incarnation. The roots of a newer incarnation are children of all
leaves of the older one: what happened before is read first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from triggerkit.core.model import Shard, ShardId
from triggerkit.errors import InternalError, LocatorError

SETTLING_SECONDS = 12.0
"""How late the last shards of a stream may be listed that was turned off."""
_EPOCH_DIGITS = 20
_DISABLED = frozenset({"DISABLING", "DISABLED"})


@dataclass(frozen=True, slots=True)
class StreamArn:
    """A DynamoDB stream's ARN, taken apart."""

    text: str
    region: str
    account: str
    table: str
    label: str

    @property
    def incarnation(self) -> str:
        """The stream's label without `:`, as lease keys need it."""
        return self.label.replace(":", "_")

    def shard_id(self, name: str) -> ShardId:
        """The id of this stream's shard `name`."""
        return ShardId(f"{self.incarnation}:{name}")


def parse_stream_arn(text: str) -> StreamArn:
    """Take `arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE/stream/LABEL` apart.

    Raises:
        LocatorError: it is not such an ARN.
    """
    parts = text.split(":", 5)
    resource = parts[5].split("/", 3) if len(parts) == 6 else []
    if len(resource) != 4 or resource[0] != "table" or resource[2] != "stream" or not resource[3]:
        raise LocatorError(
            f"{text!r} is no ARN of a DynamoDB stream",
            hint="it looks like arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE/stream/LABEL",
        )
    return StreamArn(text, parts[3], parts[4], resource[1], resource[3])


def shard_name_of(shard: ShardId) -> str:
    """The service's own id in `incarnation:shard`."""
    return shard.partition(":")[2]


@dataclass(frozen=True, slots=True)
class ListedShard:
    """One shard as DescribeStream gives it."""

    name: str
    parent: str | None
    ended: bool
    """It has an EndingSequenceNumber."""


@dataclass(frozen=True, slots=True)
class ListedStream:
    """One incarnation: its status and all shards that were listed. `flaw`: why not every page was seen."""

    arn: StreamArn
    status: str
    shards: tuple[ListedShard, ...]
    flaw: str = ""

    @property
    def live(self) -> bool:
        """It gets new shards; an unknown status counts as that."""
        return self.status not in _DISABLED


def lineage(streams: Sequence[ListedStream]) -> tuple[Shard, ...]:
    """All shards of all incarnations; `streams` oldest first."""
    shards: list[Shard] = []
    leaves: tuple[ShardId, ...] = ()
    for stream, newer in zip(streams, [*streams[1:], None], strict=True):
        with_children = {shard.parent for shard in stream.shards}
        closed_by_stream = not stream.live or newer is not None
        shards += [
            Shard(
                stream.arn.shard_id(shard.name),
                parents_of(stream.arn, shard, leaves),
                shard.ended or closed_by_stream or shard.name in with_children,
                created_seconds(shard.name),
            )
            for shard in stream.shards
        ]
        if stream.shards:
            leaves = tuple(
                stream.arn.shard_id(shard.name)
                for shard in stream.shards
                if shard.name not in with_children
            )
    return tuple(shards)


def cycle_in(shards: Iterable[ListedShard]) -> tuple[str, ...]:
    """Shards of which each names the next one as its parent, and the last the first; () if there are none."""
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
    arn: StreamArn, shard: ListedShard, older_leaves: tuple[ShardId, ...] = ()
) -> tuple[ShardId, ...]:
    """The parent that the service names, listed or not; for a root the leaves of the older stream."""
    if shard.parent is None:
        return older_leaves
    return (arn.shard_id(shard.parent),)


def children_of(arn: StreamArn, parent: str, listed: Iterable[ListedShard]) -> tuple[Shard, ...]:
    """The shards among `listed` that name `parent`; an endpoint may ignore the filter and send any."""
    found = {shard.name: shard for shard in listed if shard.parent == parent != shard.name}
    return tuple(
        Shard(arn.shard_id(shard.name), parents_of(arn, shard), shard.ended, created_seconds(name))
        for name, shard in found.items()
    )


def created_seconds(name: str) -> float | None:
    """When a shard was created: its id carries epoch milliseconds in 20 digits, where AWS made it."""
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
    made_seconds = labelled_seconds(stream.arn.label)
    return made_seconds is not None and service_seconds - made_seconds < age_seconds


def labelled_seconds(label: str) -> float | None:
    """When a stream was made, as its label has it: 2026-01-01T00:00:00.000, in UTC."""
    try:
        return datetime.fromisoformat(label).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def newest(streams: Sequence[ListedStream]) -> ListedStream:
    """The incarnation that was made last."""
    if not streams:
        raise InternalError("no stream was listed", hint="report this")
    return streams[-1]
