"""Seeded scenarios about the time of Kinesis streams: iterators age, records are trimmed, times are asked for.

As in `stream_times.py`, many worlds go along one timeline. A world is one stream on both endpoints; moments are
asked for that lie in the middle of a move, where nothing happened.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from emulator.kinesis_sides import KinesisSide
from emulator.listed import Comparison
from emulator.random_kinesis import is_closed

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ITERATOR_LIFE_SECONDS = 5 * MINUTE
JUST_SECONDS = 30
MOVES = (
    MINUTE,
    ITERATOR_LIFE_SECONDS - JUST_SECONDS,
    ITERATOR_LIFE_SECONDS + JUST_SECONDS,
    2 * HOUR,
)
LIMITS = (ITERATOR_LIFE_SECONDS, DAY, 2 * DAY)
LONG_MOVES = (*MOVES, 9 * HOUR, DAY - JUST_SECONDS, DAY + JUST_SECONDS)


@dataclass(frozen=True)
class Page:
    """One page in words, or an error's name, and how far it is behind the present."""

    shown: str
    ended: bool | None = None
    behind_ms: int = 0


@dataclass
class TimedStream:
    """One stream on two endpoints that are asked the same; `ahead_seconds` tells how far clocks were moved."""

    name: str
    sides: Sequence[KinesisSide]
    random: Random
    comparison: Comparison
    ahead_seconds: Callable[[], int]
    asks_for_times: bool = True
    where: str = ""
    written: int = 0
    labels: int = 0
    kinds: dict[str, str] = field(default_factory=dict)
    retention_hours: int = 24
    marks_seconds: list[float] = field(default_factory=list)
    """Moments at which nothing happened."""
    shards: list[str] = field(default_factory=list)
    places: dict[int, str] = field(default_factory=dict)
    """Shard of each record."""

    def start(self) -> None:
        for side in self.sides:
            told = side.call("CreateStream", StreamName=self.name, ShardCount=1)
            assert told == {}, told
            side.settled(self.name)
        if self.random.random() < 0.3:
            self.keep_longer()

    def mark(self, move_seconds: int) -> None:
        """Remember the middle of a move that is about to be made."""
        now_seconds = time.time() + self.ahead_seconds()
        if move_seconds > 2 * JUST_SECONDS:
            self.marks_seconds.append(round(now_seconds + move_seconds / 2))

    def step(self) -> None:
        ways: dict[Callable[[], None], float] = {
            self.put: 28, self.reshard: 5, self.take: 14, self.by_number: 10,
            self.at_time: 10 * self.asks_for_times,
            self.read: 18, self.read_all: 8, self.list_shards: 6,
        }  # fmt: skip
        self.random.choices(list(ways), list(ways.values()))[0]()

    def _compare(self, asked: str, answers: list[str]) -> bool:
        return self.comparison.judge(asked, *answers, f"{self.name} {self.where}")

    def _listed(self, side: KinesisSide) -> list[dict[str, Any]]:
        shards: list[dict[str, Any]] = side.call("ListShards", StreamName=self.name)["Shards"]
        return shards

    def put(self) -> None:
        self.written += 1
        content = base64.b64encode(str(self.written).encode()).decode()
        request = {"PartitionKey": self.random.choice("abcdefgh"), "Data": content}
        answers: list[str] = []
        for side in self.sides:
            told = side.call("PutRecord", StreamName=self.name, **request)
            side.numbers[f"{self.name} {self.written}"] = told["SequenceNumber"]
            answers.append(told["ShardId"])
        self._compare("put", answers)
        self.places[self.written] = answers[0]

    def reshard(self) -> None:
        still = [shard for shard in self._listed(self.sides[0]) if not is_closed(shard)]
        still.sort(key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))
        if len(still) > 3 or (len(still) > 1 and self.random.random() < 0.5):
            at = self.random.randrange(len(still) - 1)
            pair = (still[at]["ShardId"], still[at + 1]["ShardId"])
            request = {"ShardToMerge": pair[0], "AdjacentShardToMerge": pair[1]}
            operation = "MergeShards"
        else:
            chosen = self.random.choice(still)
            low, high = (int(chosen["HashKeyRange"][f"{e}HashKey"]) for e in ("Starting", "Ending"))
            at = str((low + high) // 2 + 5)
            request = {"ShardToSplit": chosen["ShardId"], "NewStartingHashKey": at}
            operation = "SplitShard"
        answers = []
        for side in self.sides:
            answers.append(str(side.call(operation, StreamName=self.name, **request)))
            side.settled(self.name)
        self._compare(operation, answers)

    def keep_longer(self) -> None:
        """Let the stream keep its records a day longer."""
        self.retention_hours += 24
        request = {"StreamName": self.name, "RetentionPeriodHours": self.retention_hours}
        told = [str(side.call("IncreaseStreamRetentionPeriod", **request)) for side in self.sides]
        self._compare("keep longer", told)

    def list_shards(self) -> None:
        self._compare("list", [listed(self._listed(side)) for side in self.sides])

    def _shard(self) -> str:
        return str(self.random.choice(self._listed(self.sides[0]))["ShardId"])

    def take(self) -> None:
        self._take(self.random.choice(("TRIM_HORIZON", "LATEST")), self._shard(), [{}, {}])

    def at_time(self) -> None:
        """Take an iterator at a moment at which nothing happened, and read there."""
        if not self.marks_seconds:
            return
        place = {"Timestamp": self.random.choice(self.marks_seconds)}
        self._take("AT_TIMESTAMP", self._shard(), [place, place])
        self._read_at(f"i{self.labels}")

    def by_number(self) -> None:
        if not self.places:
            return
        recent = list(self.places)[-4:] if self.random.random() < 0.6 else list(self.places)
        record = self.random.choice(recent)
        kind = self.random.choice(("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"))
        numbers = [
            {"StartingSequenceNumber": side.numbers[f"{self.name} {record}"]} for side in self.sides
        ]
        self._take(kind, self.places[record], numbers)
        self._read_at(f"i{self.labels}")

    def _take(self, kind: str, shard_id: str, places: list[dict[str, Any]]) -> None:
        self.labels += 1
        label = f"i{self.labels}"
        self.kinds[label] = kind
        answers: list[str] = []
        for side, place in zip(self.sides, places, strict=True):
            request = {"StreamName": self.name, "ShardId": shard_id, "ShardIteratorType": kind}
            told = side.call("GetShardIterator", **request, **place)
            answers.append(told if isinstance(told, str) else "ok")
            if not isinstance(told, str):
                side.iterators[f"{self.name} {label}"] = told["ShardIterator"]
        if not self._compare(kind, answers):
            self._forget(label)

    def _forget(self, label: str) -> None:
        for side in self.sides:
            side.iterators.pop(f"{self.name} {label}", None)

    def read(self) -> None:
        if self.labels:
            label = f"i{self.random.randrange(max(1, self.labels - 4), self.labels + 1)}"
            limit = self.random.choice((None, 1, 2))
            self._read_at(label, limit, go_on=self.random.random() < 0.5)

    def read_all(self) -> None:
        for shard in self._listed(self.sides[0]):
            self._take("TRIM_HORIZON", shard["ShardId"], [{}, {}])
            self._read_at(f"i{self.labels}")

    def _read_at(self, label: str, limit: int | None = None, *, go_on: bool = False) -> None:
        pages = [self._page(side, f"{self.name} {label}", limit, go_on) for side in self.sides]
        same = self._compare(f"read from {self.kinds[label]}", [page.shown for page in pages])
        if same and None not in [page.ended for page in pages]:
            same = self._compare("end of a shard", [str(page.ended) for page in pages])
            if not any(page.ended for page in pages):
                self._compare("minutes behind", minutes(*(page.behind_ms for page in pages)))
        if not same:
            self._forget(label)

    def _page(self, side: KinesisSide, label: str, limit: int | None, go_on: bool) -> Page:
        token = side.iterators.get(label)
        if token is None:
            return Page("no iterator")
        page = side.call("GetRecords", ShardIterator=token, **({"Limit": limit} if limit else {}))
        if isinstance(page, str):
            return Page(page)
        following = page.get("NextShardIterator")
        if go_on:
            side.iterators.pop(label)
            if following:
                side.iterators[label] = following
        shown = [base64.b64decode(each["Data"]).decode() for each in page["Records"]]
        return Page(f"[{' '.join(shown)}]", not following, page["MillisBehindLatest"])


def minutes(ours_ms: int, theirs_ms: int) -> list[str]:
    """Return two spans in minutes; within half a minute they are the same, since both clocks go on."""
    if abs(ours_ms - theirs_ms) < 30_000:
        theirs_ms = ours_ms
    return [str(ours_ms // 60_000), str(theirs_ms // 60_000)]


def listed(shards: list[dict[str, Any]]) -> str:
    """Return shards in words."""
    return " ".join(
        f"{shard['ShardId'][-3:]}{'closed' if is_closed(shard) else 'open'}"
        f"<{str(shard.get('ParentShardId'))[-3:]},{str(shard.get('AdjacentParentShardId'))[-3:]}>"
        for shard in shards
    )
