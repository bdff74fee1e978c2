"""Cassettes made line by line: `tape(path, shard("a"), change("a", "1"), closed("a", "b", "c"))`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from triggerkit.cassettes.lines import (
    Ended,
    Header,
    Line,
    Recorded,
    ShardBegun,
    ShardClosed,
)
from triggerkit.cassettes.writing import CassetteFile

LABEL = "2026-01-31T14_30_00.000"
STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-31T14:30:00.000"
START_SECONDS = 1_769_869_800
TTL = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}


def header(**more: Any) -> Header:
    """A table `orders` with the key `id:S`."""
    facts: dict[str, Any] = {
        "triggerkit": "0.1.0",
        "table": "orders",
        "keys": (("id", "S"),),
        "view_type": "NEW_AND_OLD_IMAGES",
        "stream_arn": STREAM,
        "recorded_at": "2026-01-31T14:40:00+00:00",
    }
    return Header(**{**facts, **more})


def named(shard: str, label: str = LABEL) -> str:
    """The id of a shard in a file."""
    return shard if ":" in shard else f"{label}:shardId-{shard}"


def shard(name: str, *parents: str) -> ShardBegun:
    """A shard begins."""
    return ShardBegun(named(name), tuple(map(named, parents)))


def closed(name: str, *children: str) -> ShardClosed:
    """A shard ends."""
    return ShardClosed(named(name), tuple(map(named, children)))


def change(
    name: str,
    key: str,
    new: str | None = "new",
    old: str | None = None,
    *,
    after_seconds: float = 0,
    **more: Any,
) -> Recorded:
    """A record of the item `key` in a shard; `new` and `old` are what its attribute `is` holds."""
    images = {
        image: {"id": {"S": key}, "is": {"S": text}}
        for image, text in (("NewImage", new), ("OldImage", old))
        if text is not None
    }
    event_name = "REMOVE" if new is None else "INSERT" if old is None else "MODIFY"
    record = {
        "eventID": f"{name}-{key}-{new}-{old}",
        "eventName": event_name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": START_SECONDS + after_seconds,
            "Keys": {"id": {"S": key}},
            **images,
            "SequenceNumber": "4421584500000000017450439091",
            "SizeBytes": 26,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        **more,
    }
    return Recorded(named(name), msgspec.Raw(json.dumps(record).encode()))


def tape(path: Path, *lines: Line, first: Header | None = None) -> Path:
    """Write a whole cassette."""
    with CassetteFile(path, force=True) as file:
        file.begin(first or header())
        for line in lines:
            file.write(line)
        file.finish(Ended("tip"))
    return path
