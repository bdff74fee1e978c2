"""How much comes again after a worker was killed: what the README guarantees, in whole workers."""

from __future__ import annotations

from typing import Any

from triggerkit import Triggers
from triggerkit.testing import Simulation

LANES, BATCH_SIZE, RECORDS = 4, 5, 400


def killed(*, lanes: int, retries: bool) -> tuple[int, int]:
    """Let a worker run, kill it and let another go on: records done before, and how many came again.

    With `retries` the first item fails until the worker was killed.
    """
    failing = {"0"} if retries else set[str]()
    handlers = Triggers("shop")

    @handlers.on("dynamodb://orders", batch_size=BATCH_SIZE, parallelization_factor=lanes)
    def bill(event: Any, context: Any) -> None:
        if failing & {record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]}:
            raise ValueError("not yet")

    with Simulation(handlers, seed=7) as sim:
        for number in range(RECORDS):
            sim.table("orders").put(id=str(number))
        sim.advance(30)
        done = sum(len(call.records) for call in sim.calls(bill) if call.error is None)
        sim.crash(0, restart_after_seconds=1)
        failing.clear()
        sim.run_until_idle()
        assert not sim.lost
        return done, len(sim.duplicates)


def test_f1_a_kill_while_nothing_is_retried_repeats_at_most_a_batch_a_lane() -> None:
    for lanes in (1, LANES):
        done, again = killed(lanes=lanes, retries=False)
        assert (done, again <= lanes * BATCH_SIZE) == (RECORDS, True), again


def test_f1_a_kill_during_a_retry_repeats_nothing_with_one_lane() -> None:
    assert killed(lanes=1, retries=True) == (0, 0)


def test_f1_a_kill_during_a_retry_repeats_all_that_other_lanes_did_since_it_began() -> None:
    done, again = killed(lanes=LANES, retries=True)
    assert done > LANES * BATCH_SIZE, "the other lanes went on beyond the usual room"
    assert again == done


def test_f1_a_kill_repeats_what_was_done_since_the_last_save_and_no_more() -> None:
    handlers = Triggers("shop")

    @handlers.on("dynamodb://orders", checkpoint_interval_seconds=10)
    def bill(event: Any, context: Any) -> None:
        pass

    with Simulation(handlers, seed=7) as sim:
        for number in range(35):
            sim.table("orders").put(id=str(number))
            sim.advance(1)
        sim.crash(0, restart_after_seconds=1)
        sim.advance(30)
        sim.run_until_idle()
        assert not sim.lost
        assert 1 <= len(sim.duplicates) <= 11
