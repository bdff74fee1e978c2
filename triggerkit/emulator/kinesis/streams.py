"""Streams and shards of Kinesis: create, describe, list, split, merge, scale.

A parent that was split or merged stays listed with its records until the retention has passed. A page's token holds
all that the next page needs, so nothing is kept between pages.
Source: Kinesis Data Streams API reference.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.errors import EmulatorError, invalid_argument, not_found
from triggerkit.emulator.faults import Faults
from triggerkit.emulator.kinesis import members
from triggerkit.emulator.model import Stream
from triggerkit.emulator.requests import (
    Request,
    chosen,
    missing,
    optional_map,
    optional_text,
    positive,
    violated,
)
from triggerkit.emulator.shards import (
    HASH_SPACE,
    KINESIS_OFFSET,
    RETENTION_SECONDS,
    Shard,
    ShardGraph,
)
from triggerkit.emulator.site import Site
from triggerkit.emulator.streams import described_shard

ON_DEMAND_SHARDS = 4
MAX_SHARDS = 10_000
MAX_LISTED = 10_000
_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_ON_DEMAND = "on-demand:"
_RETENTION = "retention-hours:"
MAX_RETENTION_HOURS = 8760
_FILTERS = (
    "AFTER_SHARD_ID",
    "AT_TRIM_HORIZON",
    "FROM_TRIM_HORIZON",
    "AT_LATEST",
    "AT_TIMESTAMP",
    "FROM_TIMESTAMP",
)


def kinesis_arn(site: Site, name: str) -> str:
    """Return the ARN of a Kinesis stream."""
    return f"arn:aws:kinesis:{site.region}:{site.account}:stream/{name}"


def kinesis_stream(site: Site, faults: Faults, request: Request) -> Stream:
    """Return the stream that StreamARN or StreamName names, after its retention has passed over it.

    Raises:
        EmulatorError: InvalidArgumentException, ResourceNotFoundException.
    """
    arn = optional_text(request, "StreamARN")
    if arn is None:
        arn = kinesis_arn(site, _name(request))
    stream = site.store.stream(arn)
    if stream is None or not stream.is_kinesis:
        name = arn.rpartition("/")[2]
        raise not_found(f"Stream {name} under account {site.account} not found.")
    if faults.keeps_records:
        return stream
    retention_seconds = retention_hours(site, stream) * 3600
    if stream.graph.retain(site.clock.now_seconds(), retention_seconds):
        site.store.save_stream(stream)
    return stream


def retention_hours(site: Site, stream: Stream) -> int:
    """Return how long the records of a stream are kept."""
    return int(site.store.fact(_RETENTION + stream.table_name) or RETENTION_SECONDS // 3600)


def listed_shard(stream: Stream, shard_id: str) -> Shard:
    """Return a shard. Raises EmulatorError: ResourceNotFoundException."""
    found = stream.graph.shards.get(shard_id)
    if found is None:
        raise not_found(f"Could not find shard {shard_id} in stream {stream.table_name}.")
    return found


def _listed(shard: Shard) -> dict[str, Any]:
    """Return a shard as listings show it."""
    described = {**described_shard(shard), "HashKeyRange": hash_range(shard)}
    if shard.adjacent_parent_id is not None:
        described["AdjacentParentShardId"] = shard.adjacent_parent_id
    return described


def hash_range(shard: Shard) -> dict[str, str]:
    """Return the hash keys of a shard; both ends belong to it."""
    return {"StartingHashKey": str(shard.low), "EndingHashKey": str(shard.high - 1)}


@dataclass(frozen=True, slots=True)
class KinesisStreamsApi:
    """The control plane of one site's Kinesis streams."""

    site: Site
    faults: Faults

    def operations(self) -> dict[str, Callable[[Request], dict[str, Any]]]:
        """Return the operations by name."""
        return {
            "CreateStream": self.create_stream,
            "DecreaseStreamRetentionPeriod": self.decrease_retention,
            "DeleteStream": self.delete_stream,
            "DescribeStream": self.describe_stream,
            "DescribeStreamSummary": self.describe_stream_summary,
            "IncreaseStreamRetentionPeriod": self.increase_retention,
            "ListShards": self.list_shards,
            "ListStreams": self.list_streams,
            "MergeShards": self.merge_shards,
            "SplitShard": self.split_shard,
            "UpdateShardCount": self.update_shard_count,
        }

    def create_stream(self, request: Request) -> dict[str, Any]:
        """Answer CreateStream; the stream is ACTIVE at once, on demand with four shards."""
        if request.get("StreamName") is None:
            raise missing("StreamName")
        name = _name(request)
        mode = optional_map(request, "StreamModeDetails") or {}
        count = positive(request, "ShardCount")
        on_demand = chosen(mode, "StreamMode", ("PROVISIONED", "ON_DEMAND")) == "ON_DEMAND"
        if count is None and not on_demand:
            raise invalid_argument("ShardCount must be at least 1 in PROVISIONED mode.")
        if (count or 0) > MAX_SHARDS:
            raise EmulatorError("LimitExceededException", f"At most {MAX_SHARDS} shards a stream.")
        arn = kinesis_arn(self.site, name)
        if self.site.store.stream(arn) is not None:
            raise EmulatorError(
                "ResourceInUseException",
                f"Stream {name} under account {self.site.account} already exists.",
            )
        now_seconds = self.site.clock.now_seconds()
        graph = ShardGraph(self.site.digest(arn), self.site.store.next_sequence, KINESIS_OFFSET)
        graph.grow(count or ON_DEMAND_SHARDS, now_seconds)
        stream = Stream(arn, "", name, "", [], now_seconds, graph, is_kinesis=True)
        self.site.store.save_stream(stream)
        self.site.store.save_fact(_ON_DEMAND + name, "yes" if on_demand else None)
        return {}

    def delete_stream(self, request: Request) -> dict[str, Any]:
        """Answer DeleteStream; the stream is gone at once."""
        stream = kinesis_stream(self.site, self.faults, request)
        self.site.store.drop_stream(stream.arn)
        for fact in (_ON_DEMAND, _RETENTION):
            self.site.store.save_fact(fact + stream.table_name, None)
        return {}

    def increase_retention(self, request: Request) -> dict[str, Any]:
        """Answer IncreaseStreamRetentionPeriod."""
        return self._retain(request, +1)

    def decrease_retention(self, request: Request) -> dict[str, Any]:
        """Answer DecreaseStreamRetentionPeriod; what is older is gone with the next call."""
        return self._retain(request, -1)

    def describe_stream(self, request: Request) -> dict[str, Any]:
        """Answer DescribeStream."""
        stream = kinesis_stream(self.site, self.faults, request)
        limit = members.bounded(request, "Limit", MAX_LISTED) or 100
        start = members.optional_shard_id(request, "ExclusiveStartShardId") or ""
        listings, now_seconds = self.faults.listings, self.site.clock.now_seconds()
        shards = listings.shown(stream.graph.listed(), now_seconds, listings.take_age())
        page, more = listings.page(listings.after(shards, start), limit)
        return {
            "StreamDescription": {
                **self._described(stream),
                "Shards": [_listed(shard) for shard in page],
                "HasMoreShards": more,
            }
        }

    def describe_stream_summary(self, request: Request) -> dict[str, Any]:
        """Answer DescribeStreamSummary."""
        stream = kinesis_stream(self.site, self.faults, request)
        return {
            "StreamDescriptionSummary": {
                **self._described(stream),
                "OpenShardCount": len(stream.graph.open_shards()),
                "ConsumerCount": 0,
            }
        }

    def list_streams(self, request: Request) -> dict[str, Any]:
        """Answer ListStreams."""
        limit = members.bounded(request, "Limit", MAX_LISTED) or 100
        start = optional_text(request, "NextToken")
        start = start or optional_text(request, "ExclusiveStartStreamName") or ""
        listings, now_seconds = self.faults.listings, self.site.clock.now_seconds()
        streams = [
            each
            for each in self.site.store.streams()
            if each.is_kinesis and listings.lists(each.arn, each.created_seconds, now_seconds)
        ]
        found = [each for each in streams if each.table_name > start]
        answer: dict[str, Any] = {
            "StreamNames": [stream.table_name for stream in found[:limit]],
            "StreamSummaries": [self._summed_up(stream) for stream in found[:limit]],
            "HasMoreStreams": len(found) > limit,
        }
        return answer | ({"NextToken": found[limit - 1].table_name} if len(found) > limit else {})

    def list_shards(self, request: Request) -> dict[str, Any]:
        """Answer ListShards with all its filters."""
        limit = members.bounded(request, "MaxResults", MAX_LISTED) or 1000
        token = optional_text(request, "NextToken")
        start = members.optional_shard_id(request, "ExclusiveStartShardId") or ""
        if token is not None and (start or request.get("StreamName") or request.get("ShardFilter")):
            raise invalid_argument("NextToken and StreamName cannot be provided together.")
        wanted = optional_map(request, "ShardFilter")
        if token is not None:
            arn, start, wanted = _read_token(token)
            request = {"StreamARN": arn}
        stream = kinesis_stream(self.site, self.faults, request)
        listings, now_seconds = self.faults.listings, self.site.clock.now_seconds()
        shards = listings.shown(stream.graph.listed(), now_seconds, listings.take_age())
        shards = listings.after(_filtered(stream, shards, wanted), start)
        page, more = listings.page(shards, limit)
        answer: dict[str, Any] = {"Shards": [_listed(shard) for shard in page]}
        if more:
            place = [stream.arn, page[-1].shard_id, wanted]
            packed = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
            answer["NextToken"] = packed
        return answer

    def split_shard(self, request: Request) -> dict[str, Any]:
        """Answer SplitShard."""
        shard_id = members.shard_id(request, "ShardToSplit")
        at = members.hash_key(request, "NewStartingHashKey")
        if at is None:
            raise missing("NewStartingHashKey")
        stream = kinesis_stream(self.site, self.faults, request)
        shard = _open_shard(stream, shard_id)
        # Neither the first nor the last hash key of a shard can begin a new one.
        if not shard.low + 1 < at < shard.high - 1:
            raise invalid_argument(
                f"NewStartingHashKey {at} used in SplitShard() on shard {shard.shard_id} in "
                f"stream {stream.table_name} under account {self.site.account} is not both greater "
                f"than one plus the shard's StartingHashKey {shard.low} and less than the shard's "
                f"EndingHashKey {shard.high - 1}."
            )
        stream.graph.split(shard.shard_id, self.site.clock.now_seconds(), at)
        self.site.store.save_stream(stream)
        return {}

    def merge_shards(self, request: Request) -> dict[str, Any]:
        """Answer MergeShards."""
        shard_id = members.shard_id(request, "ShardToMerge")
        adjacent_id = members.shard_id(request, "AdjacentShardToMerge")
        stream = kinesis_stream(self.site, self.faults, request)
        shard, adjacent = _open_shard(stream, shard_id), _open_shard(stream, adjacent_id)
        if shard.high != adjacent.low:
            raise invalid_argument(
                f"Shards {shard.shard_id} and {adjacent.shard_id} in stream {stream.table_name} "
                f"under account {self.site.account} are not an adjacent pair of shards eligible for "
                "merging"
            )
        now_seconds = self.site.clock.now_seconds()
        stream.graph.merge(shard.shard_id, adjacent.shard_id, now_seconds)
        self.site.store.save_stream(stream)
        return {}

    def update_shard_count(self, request: Request) -> dict[str, Any]:
        """Answer UpdateShardCount: splits where a new edge lies, then merges across old edges."""
        stream = kinesis_stream(self.site, self.faults, request)
        if chosen(request, "ScalingType", ("UNIFORM_SCALING",)) is None:
            raise missing("ScalingType")
        target = members.bounded(request, "TargetShardCount", MAX_SHARDS)
        if target is None:
            raise missing("TargetShardCount")
        current = len(stream.graph.open_shards())
        if not current / 2 <= target <= current * 2:
            raise invalid_argument(
                f"UpdateShardCount cannot scale from {current} to {target} shards: at most double, at "
                "least half."
            )
        if target != current:
            self._scale(stream, target)
        return {
            "StreamName": stream.table_name,
            "StreamARN": stream.arn,
            "CurrentShardCount": current,
            "TargetShardCount": target,
        }

    def _retain(self, request: Request, direction: int) -> dict[str, Any]:
        stream = kinesis_stream(self.site, self.faults, request)
        hours = positive(request, "RetentionPeriodHours")
        if hours is None:
            raise missing("RetentionPeriodHours")
        least_hours, now_hours = RETENTION_SECONDS // 3600, retention_hours(self.site, stream)
        if not least_hours <= hours <= MAX_RETENTION_HOURS:
            raise invalid_argument(
                f"Retention period must be from {least_hours} to {MAX_RETENTION_HOURS} hours, not {hours}."
            )
        if (hours - now_hours) * direction < 0:
            word = "longer" if direction > 0 else "shorter"
            raise invalid_argument(
                f"Requested retention period ({hours} hours) for stream {stream.table_name} must not be "
                f"{'shorter' if direction > 0 else 'longer'} than its present one ({now_hours} hours); "
                f"this operation makes it {word}."
            )
        self.site.store.save_fact(_RETENTION + stream.table_name, str(hours))
        return {}

    def _scale(self, stream: Stream, target: int) -> None:
        graph, now_seconds = stream.graph, self.site.clock.now_seconds()
        edges = [HASH_SPACE * index // target for index in range(target)]
        for edge in edges:
            shard = next(each for each in graph.open_shards() if each.low <= edge < each.high)
            if shard.low != edge:
                graph.split(shard.shard_id, now_seconds, edge)
        for edge in edges:
            shard_id = next(each.shard_id for each in graph.open_shards() if each.low == edge)
            while True:
                high = graph.shards[shard_id].high
                following = [each for each in graph.open_shards() if each.low == high]
                if not following or high in edges:
                    break
                shard_id = graph.merge(shard_id, following[0].shard_id, now_seconds)
        self.site.store.save_stream(stream)

    def _described(self, stream: Stream) -> dict[str, Any]:
        return {
            **self._summed_up(stream),
            "RetentionPeriodHours": retention_hours(self.site, stream),
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE",
        }

    def _summed_up(self, stream: Stream) -> dict[str, Any]:
        on_demand = self.site.store.fact(_ON_DEMAND + stream.table_name) is not None
        return {
            "StreamName": stream.table_name,
            "StreamARN": stream.arn,
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": "ON_DEMAND" if on_demand else "PROVISIONED"},
            "StreamCreationTimestamp": stream.created_seconds,
        }


def _open_shard(stream: Stream, shard_id: str) -> Shard:
    shard = listed_shard(stream, shard_id)
    if shard.closed:
        raise EmulatorError(
            "ResourceInUseException",
            f"Shard {shard_id} in stream {stream.table_name} has already been merged or split, and "
            "thus is not eligible for merging or splitting.",
        )
    return shard


def _name(request: Request) -> str:
    name = optional_text(request, "StreamName")
    if name is None:
        raise invalid_argument("Either StreamName or StreamARN is required.")
    if not _NAME.fullmatch(name):
        raise violated(
            name, "StreamName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
        )
    return name


def _filtered(stream: Stream, shards: list[Shard], wanted: Request | None) -> list[Shard]:
    if wanted is None:
        return shards
    kind = chosen(wanted, "Type", _FILTERS)
    match kind:
        case None:
            raise missing("shardFilter.type")
        case "AFTER_SHARD_ID":
            start = members.optional_shard_id(wanted, "ShardId")
            if start is None:
                raise invalid_argument("ShardId is required for a ShardFilter of AFTER_SHARD_ID.")
            return [shard for shard in shards if shard.shard_id > start]
        case "AT_LATEST":
            return [shard for shard in shards if not shard.closed]
        case "AT_TRIM_HORIZON":
            return [shard for shard in shards if shard.parent_id not in stream.graph.shards]
        case "FROM_TRIM_HORIZON":
            return shards
        case _:
            seconds = _seconds(wanted)
            return [shard for shard in shards if _lives(shard, kind, seconds)]


def _lives(shard: Shard, kind: str, seconds: float) -> bool:
    ended_before = shard.closed_seconds is not None and shard.closed_seconds < seconds
    return not ended_before and (kind == "FROM_TIMESTAMP" or shard.created_seconds <= seconds)


def _seconds(wanted: Request) -> float:
    seconds = wanted.get("Timestamp")
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise invalid_argument("Timestamp is required for this type of ShardFilter.")
    return float(seconds)


def _read_token(token: str) -> tuple[str, str, Request | None]:
    try:
        arn, start, wanted = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError, binascii.Error):
        raise invalid_argument("The NextToken is invalid.") from None
    return arn, start, wanted
