"""Whole workers on streams that list and read as badly as streams do: nothing is lost, nothing comes twice."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from emulator.dialects import Quirk, speak
from emulator.kit import stream_on

from triggerkit import Triggers
from triggerkit.emulator import Emulator
from triggerkit.testing import Simulation

KEYS = 6
LONGEST_LAG_SECONDS = 60.0
DDB_QUIRKS = (
    Quirk.EXPLICIT_NULLS,
    Quirk.LATE_NULL,
    Quirk.NO_PAGE_LIMIT,
    Quirk.NO_STARTING_SEQUENCE,
    Quirk.SHARD_FILTER_IGNORED,
    Quirk.AT_TIMESTAMP_REFUSED,
)


def handlers_of(seen: dict[str, list[int]]) -> Triggers[Any]:
    handlers: Triggers[Any] = Triggers("orders")

    @handlers.on("dynamodb://orders", batch_size=7, starting_position="TRIM_HORIZON")
    def note(event: dict[str, Any], context: Any) -> None:
        for record in event["Records"]:
            image = record["dynamodb"]["NewImage"]
            seen.setdefault(image["id"]["S"], []).append(int(image["n"]["N"]))

    return handlers


class FaultyWorld:
    """One table, whose stream meets another fault between any two writes."""

    def __init__(self, seed: int, workers: int) -> None:
        self.chance = Random(seed)
        self.seen: dict[str, list[int]] = {}
        self.sim = Simulation(handlers_of(self.seen), seed=seed, workers=workers)
        self.orders = self.sim.table("orders")
        self.written: dict[str, list[int]] = {}

    @property
    def emulator(self) -> Emulator:
        return self.sim.emulator

    def write(self, number: int) -> None:
        key = f"k{self.chance.randrange(KEYS)}"
        self.orders.put(id=key, n=number)
        self.written.setdefault(key, []).append(number)

    def plan_something(self) -> None:
        chance, faults = self.chance, self.emulator.faults
        plans = (
            lambda: faults.empty_pages(chance.randrange(1, 4)),
            lambda: faults.page_size(chance.choice([1, 2, None])),
            lambda: faults.duplicate(2, chance.randrange(1, 4)),
            lambda: faults.visibility_delay(chance.choice([0.0, 0.3, 3.0])),
            lambda: faults.describe_lag(chance.choice([0.0, 2.0, 20.0]), chance.choice([0, 30])),
            lambda: faults.stale_listings(chance.randrange(1, 4), chance.choice([1.0, 30.0])),
            lambda: faults.reorder_listings(chance.random() < 0.5),
            lambda: faults.listing_page_size(chance.choice([1, 2, None])),
            lambda: faults.throttle_above("GetRecords", chance.choice([3, 20, None])),
            lambda: faults.limit_readers(chance.choice([2, None])),
            lambda: faults.limit_reads(chance.choice([5, None]), None),
            lambda: faults.throttle(chance.choice(["DescribeStream", "GetShardIterator"]), 2),
            lambda: speak(self.emulator, chance.sample(DDB_QUIRKS, 2)),
            self.emulator.expire_iterators,
            lambda: self.emulator.roll("orders"),
            self._split,
            self._begin_a_stream,
        )
        chance.choice(plans)()

    def _begin_a_stream(self) -> None:
        """Off and on again: what is written goes on in another stream.

        It does not happen right behind a roll: a shard of the older stream that is listed later than those
        of the newer one cannot be told from one that is not there.
        """
        self.sim.advance(LONGEST_LAG_SECONDS)
        for stream in ({"StreamEnabled": False}, stream_on()["StreamSpecification"]):
            request = {"TableName": "orders", "StreamSpecification": stream}
            self.emulator.call("UpdateTable", request)

    def _split(self) -> None:
        if len(self.emulator.open_shards("orders")) < 6:
            self.emulator.split("orders", self.chance.choice(self.emulator.open_shards("orders")))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("seed", range(10))
def test_every_change_is_handled_once_and_in_order(seed: int, workers: int) -> None:
    world = FaultyWorld(seed, workers)
    with world.sim as sim:
        sim.advance(1.0)  # workers start on a stream that answers
        for number in range(80):
            world.write(number)
            world.plan_something()
            sim.advance(world.chance.choice([0.0, 0.1, 1.0, 5.0]))
        world.emulator.faults.clear()
        speak(world.emulator)
        sim.run_until_idle()
        sim.check()
        assert world.seen == world.written, f"seed {seed}"
        assert not sim.lost, f"seed {seed}"
