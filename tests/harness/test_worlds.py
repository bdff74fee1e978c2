"""Fleets of whole workers keep every invariant of the lease protocol, whatever crashes, freezes or comes late.

A failing test prints the shortest plan that it can find and the last events. That plan goes into `FOUND`, under
what it showed, before the fault is repaired.
"""

from __future__ import annotations

import pytest

from triggerkit.core.options import MappingOptions
from triggerkit.testing.harness import (
    CallOdds,
    Event,
    Harness,
    Odds,
    Plan,
    TriggerPlan,
    WorkerPlan,
    make_plan,
)

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


def test_the_same_plan_is_the_same_world() -> None:
    for seed in range(8):
        harness = Harness(make_plan(seed))
        assert harness.run(follow=True) == harness.run(follow=True)
