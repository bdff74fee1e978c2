"""Seeded scenarios about a stream's time: what a reader gets after minutes, hours and days.

Many worlds go along one timeline, so a move of the real server's clock serves them all. A world is one table
on both endpoints; what it asks is chosen by its seed, and both answers are put into words that hold no
sequence number, id or time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from emulator.comparison import Endpoint, create_table
from emulator.listed import Comparison

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ITERATOR_LIFE_SECONDS = 15 * MINUTE
JUST_SECONDS = 40
LIMITS = (ITERATOR_LIFE_SECONDS, DAY)
MOVES = (
    5 * MINUTE,
    ITERATOR_LIFE_SECONDS - JUST_SECONDS,
    ITERATOR_LIFE_SECONDS + JUST_SECONDS,
    3 * HOUR,
    9 * HOUR,
    DAY - JUST_SECONDS,
    DAY + JUST_SECONDS,
)


@dataclass
class Side:
    """One endpoint's table, its streams, and what only this endpoint calls so."""

    endpoint: Endpoint
    table: str
    ahead_seconds: Callable[[], float]
    streams: list[str] = field(default_factory=list)
    numbers: dict[str, str] = field(default_factory=dict)
    iterators: dict[str, str | None] = field(default_factory=dict)
    written_seconds: dict[str, float] = field(default_factory=dict)

    def now_seconds(self) -> float:
        return time.time() + self.ahead_seconds()

    def ask(self, operation: str, **request: Any) -> Any:
        """Return the answer, or the error's name."""
        answer = self.endpoint.send(operation, request)
        return answer.body if answer.succeeded else answer.error

    def meet_stream(self) -> None:
        """Remember the table's stream, when it has one that is not known."""
        described = self.ask("DescribeTable", TableName=self.table)
        arn = described["Table"].get("LatestStreamArn") if isinstance(described, dict) else None
        if arn is not None and arn not in self.streams:
            self.streams.append(arn)

    def shard(self, stream: int) -> Any:
        """Return the one shard of a stream, the error's name, or why there is none."""
        described = self.ask("DescribeStream", StreamArn=self.streams[stream])
        if isinstance(described, str):
            return described
        shards = described["StreamDescription"]["Shards"]
        return shards[0] if len(shards) == 1 else f"{len(shards)} shards"

    def write(self, key: str, number: int | None, shown: str) -> str:
        """Put an item with that number, or remove it; the record will be `shown`."""
        self.written_seconds[shown] = self.now_seconds()
        if number is None:
            told = self.ask("DeleteItem", TableName=self.table, Key={"pk": {"S": key}})
        else:
            item = {"pk": {"S": key}, "n": {"N": str(number)}}
            told = self.ask("PutItem", TableName=self.table, Item=item)
        return told if isinstance(told, str) else "ok"

    def begin(self, label: str, stream: int, kind: str, **place: Any) -> str:
        """Take an iterator under a label."""
        self.iterators.pop(label, None)
        shard = self.shard(stream)
        if isinstance(shard, str):
            return shard
        told = self.ask(
            "GetShardIterator",
            StreamArn=self.streams[stream],
            ShardId=shard["ShardId"],
            ShardIteratorType=kind,
            **place,
        )
        if isinstance(told, str):
            return told
        self.iterators[label] = told["ShardIterator"]
        return "ok"

    def read(self, label: str, limit: int | None = None, *, go_on: bool = False) -> str:
        """Read at an iterator once; `go_on` puts the next one in its place."""
        token = self.iterators.get(label)
        if token is None:
            return "no iterator"
        request: dict[str, Any] = {} if limit is None else {"Limit": limit}
        page = self.ask("GetRecords", ShardIterator=token, **request)
        if isinstance(page, str):
            return page
        following = page.get("NextShardIterator")
        if go_on:
            self.iterators[label] = following
        shown = " ".join(self._shown(record) for record in page["Records"])
        return f"[{shown}]" + ("" if following else " end")

    def _shown(self, record: dict[str, Any]) -> str:
        change = record["dynamodb"]
        image = change.get("NewImage") or change["OldImage"]
        shown = f"{record['eventName'][0]}{image['n']['N']}"
        self.numbers[shown] = change["SequenceNumber"]
        # Whole minutes in DynamoDB Local, whole seconds in AWS.
        age_seconds = self.written_seconds[shown] - change["ApproximateCreationDateTime"]
        return shown if -10 < age_seconds < MINUTE + 10 else f"{shown}, {age_seconds} s too old"

    def described(self, stream: int) -> str:
        """Return a stream's state in words."""
        told = self.ask("DescribeStream", StreamArn=self.streams[stream])
        if isinstance(told, str):
            return told
        description = told["StreamDescription"]
        ranges = [shard["SequenceNumberRange"] for shard in description["Shards"]]
        ended = ["closed" if each.get("EndingSequenceNumber") else "open" for each in ranges]
        return f"{description['StreamStatus']} {' '.join(ended)}"

    def listed(self) -> str:
        told = self.ask("ListStreams", TableName=self.table)
        if isinstance(told, str):
            return told
        known = [self.streams.index(each["StreamArn"]) for each in told["Streams"]]
        return f"streams {sorted(known)}"


@dataclass
class World:
    """One table on two endpoints that are asked the same."""

    sides: tuple[Side, Side]
    random: Random
    comparison: Comparison
    where: str
    number: int = 0
    written: list[str] = field(default_factory=list)
    items: dict[str, int] = field(default_factory=dict)
    labels: int = 0
    kinds: dict[str, str] = field(default_factory=dict)
    enabled: bool = True
    there: bool = True

    def start(self) -> None:
        create_table(*(side.endpoint for side in self.sides), name=self.sides[0].table)
        for side in self.sides:
            side.meet_stream()

    def step(self) -> None:
        """Ask one thing of both."""
        kinds = {
            "write": 30, "begin": 16, "by number": 16, "read": 16, "all": 12,
            "describe": 8, "list": 2, "timestamp": 3, "switch": 4, "drop": 1,
        }  # fmt: skip
        kind = self.random.choices(list(kinds), list(kinds.values()))[0]
        match kind:
            case "write":
                self._write()
            case "begin":
                self._begin()
            case "by number":
                self._by_number()
            case "read":
                self._read()
            case "all":
                self._everything(self._stream())
            case "describe":
                stream = self._stream()
                self._compare("DescribeStream", lambda side: side.described(stream))
            case "list":
                self._compare("ListStreams", lambda side: side.listed())
            case "timestamp":
                self._at_timestamp()
            case "switch":
                self._switch()
            case _:
                self._drop()

    def _compare(self, asked: str, ask: Callable[[Side], str]) -> bool:
        answers = [ask(side) for side in self.sides]
        return self.comparison.judge(asked, *answers, self.where)

    def _stream(self) -> int:
        """Return which stream to ask about, mostly the newest."""
        streams = len(self.sides[0].streams)
        return streams - 1 if self.random.random() < 0.7 else self.random.randrange(streams)

    def _write(self) -> None:
        key = self.random.choice("abc")
        if key in self.items and self.random.random() < 0.3:
            number, shown = None, f"R{self.items[key]}"
        else:
            self.number += 1
            number, shown = self.number, f"{'M' if key in self.items else 'I'}{self.number}"
        told = self._compare("write", lambda side: side.write(key, number, shown))
        if told and self.there:
            if number is None:
                del self.items[key]
            else:
                self.items[key] = number
            if self.enabled:
                self.written.append(shown)
        self._everything(len(self.sides[0].streams) - 1)

    def _everything(self, stream: int) -> None:
        """Read a stream from its trim horizon, which also tells the sequence numbers."""
        self._take("TRIM_HORIZON", "all", stream)
        self._read_at("all")

    def _begin(self) -> None:
        self.labels += 1
        kind = self.random.choice(("TRIM_HORIZON", "LATEST"))
        self._take(kind, f"i{self.labels}", self._stream())

    def _by_number(self) -> None:
        if not self.written:
            return
        self.labels += 1
        kind = self.random.choice(("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"))
        recent = self.random.random() < 0.5
        at = self.random.choice(self.written[-3:] if recent else self.written)
        self._take(kind, f"i{self.labels}", self._stream(), at)
        self._read_at(f"i{self.labels}")

    def _take(self, kind: str, label: str, stream: int, at: str = "") -> None:
        """Take an iterator on both sides, at a record where one is named."""

        def ask(side: Side) -> str:
            number = {"SequenceNumber": side.numbers.get(at, "0" * 25)} if at else {}
            return side.begin(label, stream, kind, **number)

        shard_is_empty = self.sides[0].begin("all", stream, "TRIM_HORIZON") == "ok" and (
            self.sides[0].read("all").startswith("[]")
        )
        self.kinds[label] = f"{kind} of an empty shard" if shard_is_empty else kind
        if not self._compare(kind, ask):
            self._forget(label)

    def _read(self) -> None:
        if not self.labels:
            return
        label = f"i{self.random.randrange(max(1, self.labels - 5), self.labels + 1)}"
        limit = self.random.choice((None, 1, 2))
        self._read_at(label, limit, go_on=self.random.random() < 0.5)

    def _read_at(self, label: str, limit: int | None = None, *, go_on: bool = False) -> None:
        asked = f"read from {self.kinds.get(label)}"
        if not self._compare(asked, lambda side: side.read(label, limit, go_on=go_on)):
            self._forget(label)

    def _forget(self, label: str) -> None:
        """Let nobody go on where the two differed."""
        for side in self.sides:
            side.iterators.pop(label, None)

    def _at_timestamp(self) -> None:
        stream, ago = self._stream(), self.random.choice((-5 * MINUTE, HOUR, 2 * DAY))

        def ask(side: Side) -> str:
            return side.begin("at", stream, "AT_TIMESTAMP", Timestamp=side.now_seconds() - ago)

        self._compare("AT_TIMESTAMP", ask)

    def _switch(self) -> None:
        enable = not self.enabled
        specification: dict[str, Any] = {"StreamEnabled": enable}
        if enable:
            specification["StreamViewType"] = "NEW_AND_OLD_IMAGES"

        def ask(side: Side) -> str:
            request = {"TableName": side.table, "StreamSpecification": specification}
            told = side.ask("UpdateTable", **request)
            side.meet_stream()
            return told if isinstance(told, str) else "ok"

        if self._compare("UpdateTable", ask) and self.there:
            self.enabled = enable

    def _drop(self) -> None:
        def ask(side: Side) -> str:
            told = side.ask("DeleteTable", TableName=side.table)
            return told if isinstance(told, str) else "ok"

        self._compare("DeleteTable", ask)
        self.there = self.enabled = False
