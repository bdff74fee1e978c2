"""Where a scenario is played: one stream of the engine, the readers of one subject, one judge.

Everything that a scenario does is drawn from its seed. What happens to the stream happens on the engine,
so the reader meets it as a client of AWS would.
"""

from __future__ import annotations

import base64
import json
from enum import Enum
from random import Random
from typing import Protocol

from outside.judge import Judge, Record, Verdict
from triggerkit.emulator import Damage, Emulator

NAME = "stage"
KEYS = 8
SPARE_RECORDS = 3
MAX_RESTARTS = 2
"""How often a supervisor starts a crew again in one act of a scenario."""
PAGE_RECORDS = 50
TRIMMED_SECONDS = 25 * 3600.0


class Service(Enum):
    """Which stream is read."""

    DYNAMODB = "DynamoDB Streams"
    KINESIS = "Kinesis"


class Crew(Protocol):
    """One or more workers of a subject, who read the stream of one engine."""

    emulator: Emulator

    def begin(self) -> None:
        """Start the workers, and wait until they have a place in the stream.

        The first time they begin where the scenario says, then from what they saved.
        """
        ...

    def next_delivery(self, *, is_settling: bool = False) -> Record | None:
        """Let a handler take one more record; None when none comes for as long as is reasonable.

        Settling is over sooner: nothing may be to come. Between two calls, every handler is busy.
        """
        ...

    def busy(self, seconds: float) -> None:
        """Let so much of the workers' time pass; their handlers are busy."""
        ...

    def stop(self) -> None:
        """Ask the workers to end, and wait for it; what is not handed over is not done."""
        ...

    def kill(self, worker: int | None = None) -> None:
        """End one worker, or all, at once."""
        ...

    def freeze(self) -> None:
        """Let no worker run."""
        ...

    def thaw(self) -> None:
        """Let them run again."""
        ...

    def failures(self) -> list[str]:
        """Return the errors that ended workers since this was last asked."""
        ...


class Stage:
    """What scenarios are written with."""

    def __init__(self, crew: Crew, service: Service, seed: int, shards: int) -> None:
        self.service = service
        self.judge = Judge()
        self.rng = Random(seed)
        self.faults = crew.emulator.faults
        self._crew = crew
        self._emulator = crew.emulator
        self._restarts = 0
        self._has_failed = False
        self._children: list[str] = []
        self.faults.page_size(PAGE_RECORDS)
        self._open_stream(shards)

    # --- the stream -------------------------------------------------------------------------------

    def some(self, least: int, most: int) -> int:
        """Draw a number."""
        return self.rng.randint(least, most)

    def write(self, count: int, *, is_probe: bool = False) -> None:
        """Write records of keys that the seed chooses."""
        for _ in range(count):
            key = f"key-{self.rng.randrange(KEYS)}"
            self._put(self.judge.write(key, is_probe))

    def roll(self) -> None:
        """Close every open shard; each goes on in one child."""
        self._children += self._emulator.roll(NAME)

    def split(self) -> None:
        """Close every open shard; each goes on in two children."""
        for shard in self._emulator.open_shards(NAME):
            self._children += self._emulator.split(NAME, shard)

    def merge(self) -> None:
        """Merge the first two open shards (Kinesis); the second answers slowly."""
        _, adjacent, *_ = self._emulator.open_shards(NAME)
        self._emulator.merge(NAME)
        self.faults.empty_pages(self.some(4, 8), adjacent)

    def hide_children(self) -> None:
        """Leave out of the listings what the last roll or split made."""
        for shard in self._children:
            self.faults.hide(shard)

    def show_children(self) -> None:
        """List it again."""
        for shard in self._children:
            self.faults.show(shard)

    def hide_all(self) -> None:
        """List no shard at all."""
        self._children = self._emulator.open_shards(NAME)
        self.hide_children()

    def trim(self) -> None:
        """Let a day and an hour pass: what was written is trimmed, and not owed if it has not come."""
        self.pass_seconds(TRIMMED_SECONDS)
        self.judge.forgive()

    def trim_parents(self) -> None:
        """The same; closed shards leave the listing, and their children go on naming them."""
        self.faults.keeps_records = True  # else the engine's children forget who their parent was
        self.trim()
        open_shards = self._emulator.open_shards(NAME)
        for shard in self._listed_shards():
            self._emulator.trim(NAME, shard)
            if shard not in open_shards:
                self.faults.hide(shard)

    def pass_seconds(self, seconds: float) -> None:
        """Let the service's time go on."""
        self._emulator.advance(seconds)

    def expire_iterators(self) -> None:
        """Make every iterator handed out so far expire."""
        self._emulator.expire_iterators()

    def throttle(self, times: int) -> None:
        """Refuse the next reads of the shard that is listed last."""
        error = {
            Service.DYNAMODB: "ThrottlingException",
            Service.KINESIS: "ProvisionedThroughputExceededException",
        }
        last = max(self._emulator.open_shards(NAME))
        self.faults.throttle("GetRecords", times, error[self.service], last)

    def damage(self, how: Damage, times: int = 1) -> None:
        """Spoil the next answers to reads."""
        self.faults.damage("GetRecords", how, times)

    # --- the crew ---------------------------------------------------------------------------------

    def begin(self, *, at_tip: bool = False) -> None:
        """Start the crew; at the tip, what lies there already is not owed."""
        if at_tip:
            self.judge.forgive()
        self._crew.begin()
        self._has_failed = self._note_failures()

    def take(self, count: int) -> None:
        """Let the handlers take so many records; then they are busy."""
        self._restarts = 0
        for _ in range(count):
            if not self._take_one():
                return

    def busy(self, seconds: float) -> None:
        """Let a call of the handlers take so long."""
        self._crew.busy(seconds)

    def let_run(self) -> None:
        """Take all that comes."""
        self._restarts = 0
        while self._take_one(is_settling=True):
            pass

    def drain(self) -> None:
        """Take until nothing is owed or nothing more comes; then see whether later records still come."""
        self._take_owed()
        if self.judge.owed:
            self.write(SPARE_RECORDS * KEYS, is_probe=True)
            self._take_owed()

    def restart(self) -> None:
        """Stop the crew in good order, and start it anew."""
        self.stop()
        self.begin()

    def stop(self) -> None:
        """Stop the crew in good order."""
        self._crew.stop()

    def crash(self) -> None:
        """Kill the crew, and start it anew."""
        self._crew.kill()
        self.begin()

    def kill_worker(self, worker: int) -> None:
        """Kill one worker for good."""
        self._crew.kill(worker)

    def freeze(self) -> None:
        """Stop the crew's processes where they are."""
        self._crew.freeze()

    def thaw(self) -> None:
        """Let them go on."""
        self._crew.thaw()

    def verdict(self) -> Verdict:
        """Judge what has happened."""
        return self.judge.verdict()

    # --- inside -----------------------------------------------------------------------------------

    def _take_owed(self) -> None:
        self._restarts = 0
        while self.judge.owed and self._take_one():
            pass

    def _take_one(self, *, is_settling: bool = False) -> bool:
        """Take one record; a crew that ended with an error is started again, as a supervisor would."""
        while True:
            record = None
            if not self._has_failed:
                record = self._crew.next_delivery(is_settling=is_settling)
            if record is not None:
                self.judge.deliver(record)
                return True
            self._has_failed = self._note_failures() or self._has_failed
            if not self._has_failed or self._restarts == MAX_RESTARTS:
                return False
            self._restarts += 1
            self._crew.kill()
            self.begin()

    def _note_failures(self) -> bool:
        failures = self._crew.failures()
        for failure in failures:
            self.judge.fail(failure)
        return bool(failures)

    def _open_stream(self, shards: int) -> None:
        if self.service is Service.KINESIS:
            request = {"StreamName": NAME, "ShardCount": shards}
            self._emulator.call("Kinesis_20131202.CreateStream", request)
            return
        try:
            self._emulator.open_shards(NAME)
        except Exception:  # noqa: BLE001 (the crew may have made it)
            self._emulator.call("CreateTable", TABLE)

    def _put(self, record: Record) -> None:
        key, number = record
        if self.service is Service.KINESIS:
            content = base64.b64encode(json.dumps({"key": key, "number": number}).encode())
            request = {"StreamName": NAME, "PartitionKey": key, "Data": content.decode()}
            self._emulator.call("Kinesis_20131202.PutRecord", request)
            return
        item = {"id": {"S": key}, "number": {"N": str(number)}}
        self._emulator.call("PutItem", {"TableName": NAME, "Item": item})

    def _listed_shards(self) -> list[str]:
        if self.service is Service.KINESIS:
            answer = self._emulator.call("Kinesis_20131202.ListShards", {"StreamName": NAME})
            return [shard["ShardId"] for shard in answer["Shards"]]
        arn = self._emulator.stream_arns(NAME)[-1]
        answer = self._emulator.call("DynamoDBStreams_20120810.DescribeStream", {"StreamArn": arn})
        return [shard["ShardId"] for shard in answer["StreamDescription"]["Shards"]]


TABLE = {
    "TableName": NAME,
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
}
