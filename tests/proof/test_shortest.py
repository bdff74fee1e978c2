"""A failing plan becomes short, and stays a plan that fails for the same reason."""

from __future__ import annotations

from proof.harness import (
    CallOdds,
    Event,
    Odds,
    Plan,
    StreamPlan,
    TriggerPlan,
    WorkerPlan,
    as_text,
    make_plan,
    shortest,
)

from triggerkit.core.options import MappingOptions


def needs_a_crash_behind_a_roll(plan: Plan) -> str:
    kinds = [event.kind for event in plan.events]
    holds = "roll" in kinds and "crash" in kinds[kinds.index("roll") :]
    return "I4" if holds and plan.triggers[-1].options.batch_size > 1 else ""


def test_what_does_not_matter_is_left_out() -> None:
    plan = Plan(
        workers=(WorkerPlan(zero_seconds=5e3), WorkerPlan(rate=1.005), WorkerPlan()),
        triggers=(TriggerPlan(), TriggerPlan(MappingOptions(batch_size=10, timeout=2.0), "async")),
        events=(
            *(Event(0.1 * number, "put") for number in range(20)),
            Event(2.217, "roll", seconds=5.0, key=3),
            *(Event(3 + 0.1 * number, "put") for number in range(20)),
            Event(5.3331, "crash", worker=1, seconds=1.0, count=17),
            Event(6.0, "days"),
        ),
        odds=Odds(slow=0.1, stingy=0.3),
        store="sqlite",
    )
    found = shortest(plan, needs_a_crash_behind_a_roll, 1000)
    assert [(each.kind, each.at_seconds) for each in found.events] == [("roll", 2), ("crash", 5)]
    assert len(found.workers) == len(found.triggers) == 1
    assert (found.odds, found.store) == (Odds(), "memory")
    assert found.events[1].count == 0


def test_no_more_worlds_are_run_than_was_said() -> None:
    asked: list[Plan] = []

    def broken(plan: Plan) -> str:
        asked.append(plan)
        return "I4" if len(plan.events) > 5 else ""

    shortest(make_plan(3), broken, 15)
    assert len(asked) == 15


def test_another_failure_is_not_taken_for_this_one() -> None:
    plan = Plan(events=(Event(1.0, "put"), Event(2.0, "roll")))

    def broken(asked: Plan) -> str:
        return "I4" if len(asked.events) == 2 else "I8"

    assert shortest(plan, broken, 100).events == plan.events


def test_a_plan_that_keeps_every_rule_is_left_as_it_is() -> None:
    plan = make_plan(1)
    assert shortest(plan, lambda _: "", 100) is plan


def test_the_text_of_a_plan_makes_it_again() -> None:
    names = {
        each.__name__: each
        for each in (
            CallOdds,
            Event,
            MappingOptions,
            Odds,
            Plan,
            StreamPlan,
            TriggerPlan,
            WorkerPlan,
        )
    }
    for seed in range(20):
        plan = make_plan(seed)
        assert eval(as_text(plan), names) == plan
