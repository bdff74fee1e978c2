"""A small Kinesis stream on an emulator with a virtual clock, and either kind of stream by the same words."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from emulator.kit import START_SECONDS, Orders
from triggerkit.emulator import Emulator, VirtualClock

KINESIS = "Kinesis_20131202."
TOP = 2**128
FIRST = "shardId-000000000000"


@dataclass
class Clicks:
    """The stream `clicks`."""

    shards: int = 1
    path: Path | None = None
    emulator: Emulator = field(init=False)

    def __post_init__(self) -> None:
        self.emulator = Emulator(VirtualClock(START_SECONDS), path=self.path)
        if not self.call("ListStreams")["StreamNames"]:
            self.call("CreateStream", StreamName="clicks", ShardCount=self.shards)

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        return self.emulator.call(KINESIS + operation, request)

    def on(self, operation: str, **request: Any) -> dict[str, Any]:
        return self.call(operation, StreamName="clicks", **request)

    def put(self, key: str, content: str = "x", **request: Any) -> dict[str, Any]:
        encoded = base64.b64encode(content.encode()).decode()
        return self.on("PutRecord", PartitionKey=key, Data=encoded, **request)

    def shard_ids(self, **request: Any) -> list[str]:
        return [shard["ShardId"] for shard in self.on("ListShards", **request)["Shards"]]

    def iterator(self, shard_id: str, kind: str = "TRIM_HORIZON", **place: Any) -> str:
        answer = self.on("GetShardIterator", ShardId=shard_id, ShardIteratorType=kind, **place)
        token: str = answer["ShardIterator"]
        return token

    def page(self, iterator: str, **request: Any) -> dict[str, Any]:
        return self.call("GetRecords", ShardIterator=iterator, **request)

    def keys(self, shard_id: str, kind: str = "TRIM_HORIZON", **place: Any) -> list[str]:
        records = self.page(self.iterator(shard_id, kind, **place))["Records"]
        return [record["PartitionKey"] for record in records]


class AnyStream(Protocol):
    """A stream with one open shard, of a table or of Kinesis."""

    name: str
    emulator: Emulator

    def write(self, *keys: str) -> None: ...
    def shards(self, **request: Any) -> list[dict[str, Any]]: ...
    def start(self, shard_id: str, kind: str = "TRIM_HORIZON") -> str: ...
    def page(self, iterator: str, **request: Any) -> dict[str, Any]: ...
    def keys(self, page: dict[str, Any]) -> list[str]: ...


class TableStream:
    """The stream of the table `orders`."""

    name = "orders"

    def __init__(self) -> None:
        self.orders = Orders()
        self.emulator = self.orders.emulator

    def write(self, *keys: str) -> None:
        for key in keys:
            self.orders.put(key)

    def shards(self, **request: Any) -> list[dict[str, Any]]:
        return self.orders.shards_listed(**request)

    def start(self, shard_id: str, kind: str = "TRIM_HORIZON") -> str:
        return self.orders.iterator(shard_id, kind)

    def page(self, iterator: str, **request: Any) -> dict[str, Any]:
        return self.orders.page(iterator, **request)

    def keys(self, page: dict[str, Any]) -> list[str]:
        return [record["dynamodb"]["Keys"]["pk"]["S"] for record in page["Records"]]


class KinesisStream:
    """The stream `clicks`."""

    name = "clicks"

    def __init__(self) -> None:
        self.clicks = Clicks()
        self.emulator = self.clicks.emulator

    def write(self, *keys: str) -> None:
        for key in keys:
            self.clicks.put(key)

    def shards(self, **request: Any) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.clicks.on("ListShards", **request)["Shards"]
        return listed

    def start(self, shard_id: str, kind: str = "TRIM_HORIZON") -> str:
        return self.clicks.iterator(shard_id, kind)

    def page(self, iterator: str, **request: Any) -> dict[str, Any]:
        return self.clicks.page(iterator, **request)

    def keys(self, page: dict[str, Any]) -> list[str]:
        return [record["PartitionKey"] for record in page["Records"]]


def only_shard(stream: AnyStream) -> str:
    (shard,) = stream.emulator.open_shards(stream.name)
    return shard


def walk(
    stream: AnyStream, iterator: str | None, pages: int = 20, **request: Any
) -> tuple[list[str], bool]:
    """Read at most so many pages; the keys that came, and whether the shard ended."""
    keys: list[str] = []
    for _ in range(pages):
        if iterator is None:
            return keys, True
        page = stream.page(iterator, **request)
        keys += stream.keys(page)
        iterator = page.get("NextShardIterator")
    return keys, iterator is None
