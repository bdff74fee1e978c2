"""A small reader of a table's stream, right unless a fault is planted in it: what the judge is tried on."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any

from outside.judge import Record
from outside.stage import NAME

from triggerkit.emulator import Emulator, EmulatorError, VirtualClock


class Fault(Enum):
    NONE = "none"
    LAST_PAGE_DROPPED = "the page that ends a shard is dropped"
    CHILDREN_AT_ONCE = "children are read beside their parents"
    NO_CHILDREN = "shards are listed once"
    CHILDREN_AT_TIP = "children are read from their tip"
    EMPTY_IS_END = "a page without records ends a shard"
    RAISES = "an expired iterator ends the reader"
    SAVES_TOO_EARLY = "a place is saved before its records are handed over"


class Toy:
    """A crew of one; its place in each shard is the number of the last record, or how it begins."""

    def __init__(self, fault: Fault, position: str, seed: int = 0) -> None:
        self.emulator = Emulator(VirtualClock(), seed=seed)
        self._fault = fault
        self._position = position
        self._saved: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self._iterators: dict[str, str | None] = {}
        self._page: deque[tuple[str, dict[str, Any]]] = deque()
        self._failures: list[str] = []

    def begin(self) -> None:
        self._places = dict(self._saved)
        self._iterators = {}
        self._page.clear()
        self._follow(is_first=not self._saved)

    def next_delivery(self, *, is_settling: bool = False) -> Record | None:
        for _ in range(40):
            if self._page:
                shard, record = self._page.popleft()
                self._places[shard] = record["dynamodb"]["SequenceNumber"]
                if self._fault is not Fault.SAVES_TOO_EARLY:
                    self._saved = dict(self._places)
                image = record["dynamodb"]["NewImage"]
                return image["id"]["S"], int(image["number"]["N"])
            try:
                self._read()
            except EmulatorError as error:
                self._failures.append(error.type)
                return None
            self.emulator.advance(0.2)
        return None

    def busy(self, seconds: float) -> None:
        self.emulator.advance(seconds)

    def stop(self) -> None:
        self._page.clear()

    def kill(self, worker: int | None = None) -> None:
        self._page.clear()

    def freeze(self) -> None:
        pass

    def thaw(self) -> None:
        pass

    def failures(self) -> list[str]:
        failures, self._failures = self._failures, []
        return failures

    def _read(self) -> None:
        for shard, iterator in list(self._iterators.items()):
            if iterator is None:
                continue
            try:
                page = self._call("GetRecords", {"ShardIterator": iterator})
            except EmulatorError as error:
                if error.type != "ExpiredIteratorException" or self._fault is Fault.RAISES:
                    raise
                self._iterators[shard] = self._iterator(shard)
                continue
            following = page.get("NextShardIterator")
            records = page["Records"]
            if not records and self._fault is Fault.EMPTY_IS_END:
                following = None
            if following is None and self._fault is Fault.LAST_PAGE_DROPPED:
                records = []
            self._page += [(shard, record) for record in records]
            if records and self._fault is Fault.SAVES_TOO_EARLY:
                self._saved[shard] = records[-1]["dynamodb"]["SequenceNumber"]
            self._iterators[shard] = following
        if self._fault is not Fault.NO_CHILDREN:
            self._follow()

    def _follow(self, *, is_first: bool = False) -> None:
        """Begin shards whose parents have ended."""
        arn = self.emulator.stream_arns(NAME)[-1]
        answer = self._call("DescribeStream", {"StreamArn": arn})
        shards = answer["StreamDescription"]["Shards"]
        listed = {shard["ShardId"] for shard in shards}
        for shard in shards:
            name, parent = shard["ShardId"], shard.get("ParentShardId")
            is_ready = parent not in listed or self._iterators.get(parent, "") is None
            if name in self._iterators:
                continue
            if is_ready or self._fault is Fault.CHILDREN_AT_ONCE:
                if name not in self._places:
                    self._places[name] = self._beginning(is_first)
                self._iterators[name] = self._iterator(name)

    def _beginning(self, is_first: bool) -> str:
        if is_first:
            return self._position
        return "LATEST" if self._fault is Fault.CHILDREN_AT_TIP else "TRIM_HORIZON"

    def _iterator(self, shard: str) -> str:
        place = self._places[shard]
        request = {"StreamArn": self.emulator.stream_arns(NAME)[-1], "ShardId": shard}
        if place.isdigit():
            request |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": place}
        else:
            request["ShardIteratorType"] = place
        iterator: str = self._call("GetShardIterator", request)["ShardIterator"]
        return iterator

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        return self.emulator.call(f"DynamoDBStreams_20120810.{operation}", request)
