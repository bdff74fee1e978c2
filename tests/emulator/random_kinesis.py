"""Seeded scenarios over several Kinesis streams: every operation that a consumer meets in a stream's life.

What to ask is chosen by the seed and by what the first side lists; the second is asked the same. A stream is
either split and merged by hand or scaled by UpdateShardCount: Kinesis Mock scales uneven shards otherwise than
AWS says, and the edges that it makes lie one off.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from emulator.kinesis_sides import KinesisSide
from emulator.listed import Comparison

TOP = 2**128
ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/"
NAMES = ("alpha", "beta", "gamma", "delta")
# Numbers of shards whose edges Kinesis Mock places as AWS does.
COUNTS = (1, 1, 3, 5)
NOT_COMPARED = frozenset(
    {
        "EncryptionType",
        "KeyId",
        "StreamSummaries",
        "StreamARN",
        "WarmThroughput",
        "MaxRecordSizeInKiB",
    }
)
"""Members that one of the two leaves out; the catalogue lists them. So does NextToken of ListStreams."""


@dataclass
class Streams:
    """Several streams on two endpoints that are asked the same."""

    sides: tuple[KinesisSide, KinesisSide]
    random: Random
    comparison: Comparison
    where: str
    step_number: int = 0
    scaled: dict[str, bool] = field(default_factory=dict)
    """The streams there are; True for one that only UpdateShardCount changes."""
    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """Names of the records of each stream and shard."""
    labels: list[str] = field(default_factory=list)
    retention_hours: dict[str, int] = field(default_factory=dict)

    def step(self) -> None:
        """Ask one thing of both."""
        self.step_number += 1
        ways: dict[Callable[[], None], float] = {
            self.create: 5, self.delete: 1.5, self.put: 18, self.put_many: 10, self.split: 8,
            self.merge: 7, self.scale: 5, self.take: 12, self.read: 16, self.read_all: 3,
            self.describe: 5, self.list_shards: 10, self.list_streams: 3, self.retain: 5,
            self.err: 4,
        }  # fmt: skip
        if not self.scaled:
            self.create()
        else:
            self.random.choices(list(ways), list(ways.values()))[0]()

    def ask(self, operation: str, **request: Any) -> list[Any]:
        """Ask both, by name or ARN, compare what they say, and return both answers."""
        stream = request.get("StreamName", "")
        if stream and operation != "CreateStream" and self.random.random() < 0.2:
            request["StreamARN"] = ARN + request.pop("StreamName")
        return self._ask(operation, [request, request], stream)

    def _ask(self, operation: str, requests: list[dict[str, Any]], stream: str) -> list[Any]:
        answers = [
            side.call(operation, **request)
            for side, request in zip(self.sides, requests, strict=True)
        ]
        self._remember_numbers(stream, answers)
        shown = [
            side.shown(self._comparable(operation, stream, answer), stream)
            for side, answer in zip(self.sides, answers, strict=True)
        ]
        where = f"{self.where} step {self.step_number} {requests[0]}"
        self.comparison.judge(self._asked(operation, requests[0]), *shown, where)
        return answers

    def _asked(self, operation: str, request: dict[str, Any]) -> str:
        kind = request.get("ShardFilter", {}).get("Type") or request.get("ShardIteratorType")
        return f"{operation} {kind}" if kind else operation

    def _comparable(self, operation: str, stream: str, answer: Any) -> Any:
        if isinstance(answer, str):
            return answer
        exact = not self.scaled.get(stream, True)
        left_out = NOT_COMPARED if operation == "ListShards" else NOT_COMPARED | {"NextToken"}
        return without(answer, left_out, exact)

    def _remember_numbers(self, stream: str, answers: list[Any]) -> None:
        """Name what was put, if it was, by the stream and the step."""
        for side, answer in zip(self.sides, answers, strict=True):
            if isinstance(answer, dict) and "MillisBehindLatest" not in answer:
                put = [answer] if "SequenceNumber" in answer else answer.get("Records", [])
                for index, each in enumerate(put):
                    side.numbers[f"{stream} {self.step_number}.{index}"] = each["SequenceNumber"]

    def _settle(self, stream: str, *, gone: bool = False) -> None:
        for side in self.sides:
            side.settled(stream, gone=gone)

    def _stream(self, *, scaled: bool | None = None) -> str | None:
        found = [each for each in self.scaled if scaled in (None, self.scaled[each])]
        return self.random.choice(found) if found else None

    def _shards(self, stream: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.sides[0].call("ListShards", StreamName=stream)["Shards"]
        return listed

    def create(self) -> None:
        stream = self.random.choice(NAMES)
        count = self.random.choice(COUNTS)
        before = stream in self.scaled
        scaled = self.scaled.setdefault(stream, self.random.random() < 0.4)
        answers = self.ask("CreateStream", StreamName=stream, ShardCount=count)
        assert (answers[0] == {}) is not before
        if not before:
            self.scaled[stream] = scaled
            self.retention_hours[stream] = 24
            self._settle(stream)

    def delete(self) -> None:
        # Kinesis Mock lets a refused deletion fall on the stream that gets the name a moment later.
        stream = self.random.choice([*self.scaled, "nobody"])
        self.ask("DeleteStream", StreamName=stream)
        if stream in self.scaled:
            self._settle(stream, gone=True)
            del self.scaled[stream]
            self.records = {at: each for at, each in self.records.items() if at[0] != stream}
            # Numbers are told once in a stream only.
            for side in self.sides:
                for name in [each for each in side.numbers if each.startswith(stream)]:
                    del side.numbers[name]
            # What an iterator of a deleted stream answers depends on what has its name now.
            self.labels = [label for label in self.labels if not label.startswith(stream)]

    def _entry(self, stream: str, content: str) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "PartitionKey": self.random.choice("abcdefgh") * self.random.choice((1, 1, 256)),
            "Data": base64.b64encode(content.encode()).decode(),
        }
        if self.random.random() < 0.4:
            shard = self.random.choice(self._shards(stream))["HashKeyRange"]
            low, high = int(shard["StartingHashKey"]), int(shard["EndingHashKey"])
            inside = low + (high - low) // 3
            edges = [inside] if self.scaled[stream] else [low, high, high, inside]
            entry["ExplicitHashKey"] = str(self.random.choice(edges))
        return entry

    def put(self) -> None:
        stream = self._stream() or ""
        entry = self._entry(stream, f"{self.step_number}.0")
        self._note(stream, self.ask("PutRecord", StreamName=stream, **entry)[0])

    def put_many(self) -> None:
        stream = self._stream() or ""
        count = self.random.choice((1, 2, 5, 9))
        entries = [self._entry(stream, f"{self.step_number}.{index}") for index in range(count)]
        self._note(stream, self.ask("PutRecords", StreamName=stream, Records=entries)[0])

    def _note(self, stream: str, answer: Any) -> None:
        for index, each in enumerate(answer.get("Records", [answer])):
            name = f"{stream} {self.step_number}.{index}"
            self.records.setdefault((stream, each["ShardId"]), []).append(name)

    def split(self) -> None:
        stream = self._stream(scaled=False)
        if stream is None:
            return
        shard = self.random.choice(self._shards(stream))
        low, high = (int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending"))
        # At its first, second and last hash key Kinesis Mock splits a shard, and AWS does not.
        at = self.random.choice(((low + high) // 2, low + 2, high - 1, high + 7, TOP))
        if at in (low, low + 1, high):
            return
        request = {"ShardToSplit": shard["ShardId"], "NewStartingHashKey": str(at)}
        self.ask("SplitShard", StreamName=stream, **request)
        self._settle(stream)

    def merge(self) -> None:
        stream = self._stream(scaled=False)
        if stream is None:
            return
        shards = self._shards(stream)
        one, other = self.random.choice(shards), self.random.choice(shards)
        still = [each for each in shards if not is_closed(each)]
        if self.random.random() < 0.75 and len(still) > 1:
            still.sort(key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))
            at = self.random.randrange(len(still) - 1)
            one, other = still[at], still[at + 1]
        if one == other:
            return  # Kinesis Mock merges a shard of two hash keys with itself.
        request = {"ShardToMerge": one["ShardId"], "AdjacentShardToMerge": other["ShardId"]}
        self.ask("MergeShards", StreamName=stream, **request)
        self._settle(stream)

    def scale(self) -> None:
        stream = self._stream(scaled=True)
        if stream is None:
            return
        count = len([each for each in self._shards(stream) if not is_closed(each)])
        target = self.random.choice([count * 2, count] + [count // 2] * (2 - 2 * (count % 2)))
        request = {"TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"}
        if count <= 10 or target < count:
            self.ask("UpdateShardCount", StreamName=stream, **request)
            self._settle(stream)

    def take(self) -> None:
        """Take an iterator and remember it."""
        stream = self._stream() or ""
        shard_id = self.random.choice(self._shards(stream))["ShardId"]
        kinds = ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER")
        kind = self.random.choice((*kinds, "AFTER_SEQUENCE_NUMBER"))
        request: dict[str, Any] = {
            "StreamName": stream,
            "ShardId": shard_id,
            "ShardIteratorType": kind,
        }
        requests = [dict(request), dict(request)]
        if kind == "AT_TIMESTAMP":
            for each in requests:
                each["Timestamp"] = 1_000_000_000
        elif kind.endswith("SEQUENCE_NUMBER"):
            records = self.records.get((stream, shard_id))
            if not records:
                return
            record = self.random.choice(records)
            for side, each in zip(self.sides, requests, strict=True):
                each["StartingSequenceNumber"] = side.numbers[record]
        answers = self._ask("GetShardIterator", requests, stream)
        self._keep(f"{stream} {shard_id} {kind} of step {self.step_number}", answers)

    def _keep(self, label: str, answers: list[Any]) -> None:
        for side, answer in zip(self.sides, answers, strict=True):
            side.iterators[label] = answer["ShardIterator"]
        self.labels.append(label)

    def read(self) -> None:
        """Read at an iterator; the next one may take its place."""
        if not self.labels:
            return
        label = self.random.choice(self.labels[-6:])
        limit = self.random.choice((None, 1, 2, 5, 10_000))
        answers = self._page(label, limit)
        if self.random.random() < 0.6:
            self._go_on(label, answers)

    def _page(self, label: str, limit: int | None) -> list[Any]:
        more = {} if limit is None else {"Limit": limit}
        requests = [{"ShardIterator": side.iterators[label], **more} for side in self.sides]
        return self._ask("GetRecords", requests, label.partition(" ")[0])

    def _go_on(self, label: str, answers: list[Any]) -> bool:
        for side, answer in zip(self.sides, answers, strict=True):
            following = answer.get("NextShardIterator")
            if following:
                side.iterators[label] = following
            elif label in self.labels:
                self.labels.remove(label)
        return label in self.labels

    def read_all(self) -> None:
        self.read_through(self._stream() or "")

    def read_through(self, stream: str) -> None:
        """Read one stream, shard by shard, from its beginning to its end in small pages."""
        for shard in self._shards(stream):
            place = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            label = f"{stream} {shard['ShardId']} through"
            self._keep(label, self.ask("GetShardIterator", StreamName=stream, **place))
            answers = self._page(label, 3)
            while self._go_on(label, answers) and answers[0]["Records"]:
                answers = self._page(label, 3)
            self.labels = [each for each in self.labels if each != label]

    def describe(self) -> None:
        stream = self.random.choice(NAMES)
        if self.random.random() < 0.4:
            self.ask("DescribeStreamSummary", StreamName=stream)
            return
        request: dict[str, Any] = {"StreamName": stream}
        if self.random.random() < 0.5:
            request["Limit"] = self.random.choice((1, 2, 5))
        if stream in self.scaled and self.random.random() < 0.4:
            request["ExclusiveStartShardId"] = self.random.choice(self._shards(stream))["ShardId"]
        self.ask("DescribeStream", **request)

    def list_shards(self) -> None:
        stream = self.random.choice(NAMES)
        request: dict[str, Any] = {"StreamName": stream}
        shard_ids = (
            [each["ShardId"] for each in self._shards(stream)] if stream in self.scaled else []
        )
        match self.random.randrange(5):
            case 0 if shard_ids:
                request["ExclusiveStartShardId"] = self.random.choice(shard_ids)
            case 1 if shard_ids:
                after = {"Type": "AFTER_SHARD_ID", "ShardId": self.random.choice(shard_ids)}
                request["ShardFilter"] = after
            case 2:
                request["ShardFilter"] = {"Type": "AT_LATEST"}
            case 3:
                request["ShardFilter"] = {"Type": "FROM_TRIM_HORIZON"}
            case _:
                pass
        # Kinesis Mock forgets the filter on the next page.
        if "ShardFilter" not in request and self.random.random() < 0.6:
            request["MaxResults"] = self.random.choice((1, 2, 3, 1000))
        answers = self.ask("ListShards", **request)
        for _ in range(20):
            if any(isinstance(answer, str) or not answer.get("NextToken") for answer in answers):
                return
            size = request.get("MaxResults", 1000)
            answers = self._ask(
                "ListShards",
                [{"NextToken": answer["NextToken"], "MaxResults": size} for answer in answers],
                stream,
            )

    def list_streams(self) -> None:
        request: dict[str, Any] = {}
        if self.random.random() < 0.5:
            request["Limit"] = self.random.choice((1, 2, 3))
        if self.random.random() < 0.4:
            request["ExclusiveStartStreamName"] = self._stream()
        self.ask("ListStreams", **request)

    def err(self) -> None:
        """Ask for what is not there."""
        stream, nowhere = self.random.choice(NAMES), "shardId-000000000999"
        record = {"PartitionKey": "a", "Data": "YQ=="}
        asked: list[tuple[str, dict[str, Any]]] = [
            ("PutRecord", {**record, "ExplicitHashKey": str(TOP)}),
            ("PutRecords", {"Records": [record, record | {"ExplicitHashKey": str(TOP + 1)}]}),
            ("GetShardIterator", {"ShardId": nowhere, "ShardIteratorType": "LATEST"}),
            ("SplitShard", {"ShardToSplit": nowhere, "NewStartingHashKey": "9"}),
            ("UpdateShardCount", {"TargetShardCount": 99, "ScalingType": "UNIFORM_SCALING"}),
            ("ListShards", {"ShardFilter": {"Type": "AT_TIMESTAMP"}}),
            ("DescribeStreamSummary", {}),
        ]
        operation, request = self.random.choice(asked)
        self.ask(operation, StreamName=stream, **request)

    def retain(self) -> None:
        """Change how long a stream keeps its records."""
        stream = self.random.choice(NAMES)
        hours = self.random.choice((23, 24, 25, 48, 168, 8760, 8761))
        direction = self.random.choice(("Increase", "Decrease"))
        request = {"StreamName": stream, "RetentionPeriodHours": hours}
        self.ask(f"{direction}StreamRetentionPeriod", **request)
        self.ask("DescribeStreamSummary", StreamName=stream)


def is_closed(shard: dict[str, Any]) -> bool:
    return bool(shard["SequenceNumberRange"].get("EndingSequenceNumber"))


def without(answer: Any, names: frozenset[str], exact: bool) -> Any:
    """Return an answer without those members; hash keys are rounded where they need not be exact."""
    if isinstance(answer, list):
        return [without(each, names, exact) for each in answer]
    if not isinstance(answer, dict):
        return answer
    kept = {name: without(each, names, exact) for name, each in answer.items() if name not in names}
    if not exact and "StartingHashKey" in kept:
        return {name: round(int(key) / 2**64) for name, key in kept.items()}
    return kept
