"""ListShards of Kinesis, with its filters and pages.

Rule: a page's token holds all that the next page needs, so nothing is kept between pages.
Source: Kinesis Data Streams API reference, ListShards.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.errors import invalid_argument
from triggerkit.emulator.faults import Faults
from triggerkit.emulator.kinesis import members
from triggerkit.emulator.kinesis.streams import MAX_LISTED, described_shard, kinesis_stream
from triggerkit.emulator.model import Stream
from triggerkit.emulator.requests import (
    Request,
    chosen,
    missing,
    optional_map,
    optional_text,
)
from triggerkit.emulator.shards import Shard
from triggerkit.emulator.site import Site

FILTERS = (
    "AFTER_SHARD_ID",
    "AT_TRIM_HORIZON",
    "FROM_TRIM_HORIZON",
    "AT_LATEST",
    "AT_TIMESTAMP",
    "FROM_TIMESTAMP",
)


@dataclass(frozen=True, slots=True)
class ShardListingApi:
    """The shards of one site's Kinesis streams."""

    site: Site
    faults: Faults

    def operations(self) -> dict[str, Callable[[Request], dict[str, Any]]]:
        """Return the operation by name."""
        return {"ListShards": self.list_shards}

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
        shards = listings.behind(_filtered(stream, shards, wanted), start)
        page, more = listings.page(shards, limit)
        answer: dict[str, Any] = {"Shards": [described_shard(shard) for shard in page]}
        if more:
            place = [stream.arn, page[-1].shard_id, wanted]
            packed = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
            answer["NextToken"] = packed
        return answer


def _filtered(stream: Stream, shards: list[Shard], wanted: Request | None) -> list[Shard]:
    if wanted is None:
        return shards
    kind = chosen(wanted, "Type", FILTERS)
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
