"""Fleets of whole workers keep every invariant of the lease protocol, whatever crashes, freezes or comes late.

A failing test prints the shortest plan that it can find and the last events. That plan goes into `FOUND`, under
what it showed, before the fault is repaired.
"""

from __future__ import annotations

import asyncio

import pytest
from proof.harness import (
    CallOdds,
    Event,
    Harness,
    Odds,
    Parts,
    Plan,
    StreamPlan,
    TriggerPlan,
    WorkerPlan,
    make_plan,
)

from triggerkit.core.decisions import Decision, Finish
from triggerkit.core.options import MappingOptions
from triggerkit.core.reports import Report
from triggerkit.runtime.perform import Performer

SEEDS = range(60)
FOUND: dict[str, Plan] = {
    "a worker that stops while the world heals is followed by another": Plan(
        workers=(WorkerPlan(),),
        events=(Event(0.0, "put"), Event(1.9, "stop", seconds=-1.0)),
        troubled_seconds=2.0,
    ),
    "a shard that retention took whole does not hold its child back": Plan(
        workers=(WorkerPlan(), WorkerPlan()),
        events=(Event(9.0, "roll"), Event(9.5, "days")),
        audit_seconds=30.0,
        troubled_seconds=10.5,
    ),
    "a shard that was split while the first survey listed the stream is from before its pin": Plan(
        seed=1071,
        triggers=(TriggerPlan(MappingOptions(starting_position="LATEST"), has_destination=False),),
        events=(Event(13.0, "put", key=3), Event(13.0, "split", key=1)),
        odds=Odds(write_refused=0.15, answer_lost=0.15, slow=0.1, unreachable=0.05),
        stream=StreamPlan(shards=2, page_shards=1),
        troubled_seconds=14.0,
    ),
    "a stream that is gone for good does not hold back the one that followed it": Plan(
        triggers=(TriggerPlan(MappingOptions(batch_size=1), calls=CallOdds(fails=1.0)),),
        events=(
            Event(0.0, "put"),
            Event(0.1, "put"),
            Event(2.0, "renew", seconds=0.5),
            Event(3.0, "put"),
            Event(38.0, "days"),
            Event(39.0, "put"),
        ),
        audit_seconds=30.0,
        fixed_delays=True,
        troubled_seconds=40.0,
    ),
    "what a reader holds from before a trim is not the trim horizon": Plan(
        seed=3935,
        workers=(WorkerPlan(), WorkerPlan()),
        triggers=(
            TriggerPlan(MappingOptions(batch_size=3), "async", has_destination=False),
            TriggerPlan(MappingOptions(starting_position="LATEST"), has_destination=False),
        ),
        events=(
            Event(2.0, "put"),
            *(Event(4.0, "put") for _ in range(3)),
            Event(8.0, "put"),
            *(Event(9.0, "put") for _ in range(2)),
            Event(10.0, "put"),
            Event(10.5, "expire"),
            Event(11.0, "stall", worker=1, seconds=12.0),
            Event(19.0, "days", worker=1),
        ),
        odds=Odds(
            answer_lost=0.05,
            read_refused=0.05,
            slow=0.1,
            throttled=0.1,
            unreachable=0.05,
            damaged=0.05,
        ),
        stream=StreamPlan(shards=2, page_shards=1),
        troubled_seconds=20.0,
    ),
    "a stream waits for shards of the one before that are listed behind its own": Plan(
        seed=74,
        triggers=(TriggerPlan(has_destination=False), TriggerPlan(has_destination=False)),
        events=(
            Event(2.0, "put"),
            Event(2.6, "put"),
            Event(3.0, "roll", seconds=12.0),
            Event(3.0, "put"),
            Event(3.4, "renew", seconds=0.5),
        ),
        troubled_seconds=4.0,
    ),
}
"""Worlds that failed once, and what they showed."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_world_keeps_every_invariant(seed: int) -> None:
    Harness(make_plan(seed)).check()


@pytest.mark.parametrize("what", FOUND)
def test_a_world_that_failed_once_keeps_every_invariant(what: str) -> None:
    Harness(FOUND[what]).check()


def test_handlers_are_reached_through_crashes_of_every_worker() -> None:
    puts = [Event(0.2 * number, "put", key=number % 4) for number in range(40)]
    crashes = [Event(1.0 + 2.5 * number, "crash", worker=number % 2) for number in range(3)]
    plan = Plan(
        workers=(WorkerPlan(), WorkerPlan(zero_seconds=9.0e5, rate=1.005)),
        triggers=(TriggerPlan(MappingOptions(batch_size=3), "async", calls=CallOdds(fails=0.2)),),
        events=(*puts, *crashes),
        odds=Odds(answer_lost=0.1),
        troubled_seconds=8.0,
    )
    lived = Harness(plan).run()
    assert lived.calls > 40 / 3
    assert lived.virtual_seconds > 8.0


class LateEnd(Performer):
    """Hears long after it was applied that it finished the first shard."""

    async def perform(self, decision: Decision) -> Report:
        report = await super().perform(decision)
        if isinstance(decision, Finish) and not decision.lease.parents:
            await asyncio.sleep(12.0)
        return report


def test_an_end_that_is_told_late_gives_nothing_again() -> None:
    """The worker finds the child as its own row meanwhile, and reads it to its end."""
    puts = [Event(0.2 * number, "put", key=number % 2) for number in range(40)]
    plan = Plan(
        triggers=(TriggerPlan(MappingOptions(batch_size=3)),),
        events=(*puts, Event(2.0, "roll"), Event(10.0, "roll")),
        fixed_delays=True,
        troubled_seconds=20.0,
    )
    assert Harness(plan, Parts(performer=LateEnd)).check().duplicates == 0


def test_the_same_plan_is_the_same_world() -> None:
    for seed in range(8):
        harness = Harness(make_plan(seed))
        assert harness.run(follow=True) == harness.run(follow=True)
