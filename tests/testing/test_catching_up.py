"""Whole workers over the emulator: how often they ask for shards, and who holds them, as shards roll."""

from __future__ import annotations

from collections import Counter

from triggerkit import Triggers
from triggerkit.testing.simulator import Simulation

handlers = Triggers("shop")
seen: list[int] = []


@handlers.on("dynamodb://orders", starting_position="TRIM_HORIZON")
def count(event: dict[str, list[object]], context: object) -> None:
    seen.append(len(event["Records"]))


def describe_calls(sim: Simulation) -> int:
    return len(sim.emulator.log("DescribeStream"))


def test_g2_a_long_chain_is_caught_up_with_a_few_listings() -> None:
    generations = 80
    with Simulation(handlers) as sim:
        table = sim.table("orders", key="id:S")
        for number in range(generations):
            table.put(id=str(number))
            sim.roll("orders")
        sim.run_until_idle()
        assert len(sim.calls("count")) >= generations
        sim.advance(120.0)
        listings = describe_calls(sim)
    assert listings < 10, f"{listings} calls of DescribeStream for {generations} shards"


def test_g2_a_shard_that_rolls_under_a_running_worker_is_asked_about_once() -> None:
    with Simulation(handlers) as sim:
        table = sim.table("orders", key="id:S")
        table.put(id="1")
        sim.run_until_idle()
        before = describe_calls(sim)
        sim.roll("orders")
        table.put(id="2")
        sim.run_until_idle()
        assert describe_calls(sim) - before == 1
        assert len(sim.calls("count")) == 2


def test_g3_a_second_worker_gets_its_share_of_a_table_whose_shards_roll() -> None:
    with Simulation(handlers, workers=2) as sim:
        table = sim.table("orders", key="id:S")
        for _ in range(5):
            sim.split("orders")
        for number in range(20):
            table.put(id=str(number))
        sim.run_until_idle()
        for _ in range(2):
            sim.advance(30.0)
            sim.roll("orders")
            for number in range(20):
                table.put(id=str(number))
            sim.run_until_idle()
        sim.advance(30.0)
        rows = sim._run(sim._world.store.read(""))
        owners = Counter(row.owner for row in rows if not row.finished)
        assert sum(owners.values()) == len(sim.emulator.open_shards("orders"))
        assert len(owners) == 2
        assert max(owners.values()) - min(owners.values()) <= 1
