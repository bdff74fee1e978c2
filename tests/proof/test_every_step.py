"""One small fleet is stopped between any two of its steps, one world for each: nothing is left to chance.

Two workers share a stream that rolls; the first one crashes, or freezes until the other has expired it, or hears no
answer to one of its writes. Whatever the step, every invariant holds and every record comes through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from proof.harness import Event, Harness, Plan, TriggerPlan, WorkerPlan

from triggerkit.core.options import MappingOptions

SMALL = Plan(
    workers=(WorkerPlan(), WorkerPlan(start_seconds=0.3)),
    triggers=(TriggerPlan(MappingOptions(batch_size=3)),),
    events=(
        *(Event(-1.0, "put", key=number % 2) for number in range(4)),
        Event(0.4, "roll"),
        Event(0.5, "put"),
        Event(0.6, "put", key=1),
    ),
    fixed_delays=True,
    troubled_seconds=1.2,
)
MOST_STEPS = 400
"""More than the first worker takes; steps that do not come change nothing."""
AT_ONCE = 40
"""So many steps are one test."""
FROZEN_SECONDS = 15.0
"""Longer than the silence after which a session is expired."""


def steps_of_the_first(plan: Plan) -> int:
    return Harness(plan).run().steps_of["w0.1"]


def with_event(plan: Plan, event: Event) -> Plan:
    return replace(plan, events=(event, *plan.events))


def steps(first: int, last: int) -> Iterator[int]:
    yield from range(max(1, first), min(first + AT_ONCE, last))


@pytest.fixture(scope="module")
def small_steps() -> int:
    found = steps_of_the_first(SMALL)
    assert 100 < found < MOST_STEPS, "make MOST_STEPS fit: no step may be left out"
    return found


@pytest.mark.parametrize("first", range(0, MOST_STEPS, AT_ONCE))
def test_a_crash_at_any_step_loses_nothing(first: int, small_steps: int) -> None:
    for step in steps(first, small_steps):
        crash = Event(-1.0, "crash", seconds=1.0, count=step)
        Harness(with_event(SMALL, crash)).check()


@pytest.mark.parametrize("first", range(0, MOST_STEPS, AT_ONCE))
def test_a_freeze_at_any_step_lets_nobody_act_twice(first: int, small_steps: int) -> None:
    plan = replace(SMALL, troubled_seconds=1.0 + FROZEN_SECONDS)
    for step in steps(first, small_steps):
        freeze = Event(-1.0, "freeze", seconds=FROZEN_SECONDS, count=step)
        Harness(with_event(plan, freeze)).check()


def test_an_answer_lost_at_any_write_costs_nothing() -> None:
    for write in range(16):
        lose = Event(-1.0, "lose", count=1, key=write)
        lived = Harness(with_event(SMALL, lose)).check()
        assert lived.duplicates == 0
        assert set(lived.steps_of) == {"w0.1", "w1.1"}


@pytest.mark.parametrize("handler", ["async", "each", "async each"])
@pytest.mark.parametrize("kind", ["crash", "freeze"])
def test_so_it_is_with_every_kind_of_handler(handler: str, kind: str) -> None:
    trigger = replace(SMALL.triggers[0], handler=handler)
    plan = replace(SMALL, triggers=(trigger,), troubled_seconds=1.0 + FROZEN_SECONDS)
    for step in range(1, steps_of_the_first(plan), 29):
        event = Event(-1.0, kind, seconds=FROZEN_SECONDS, count=step)
        Harness(with_event(plan, event)).check()
