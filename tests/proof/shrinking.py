"""Makes a failing plan short. Every step keeps the failure.

First events go, by halves and quarters down to single ones; then workers, triggers, faults and options; at last
times become round. Greedy, and again from the front until nothing helps or the runs are used up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import TypeVar

from proof.plan import (
    WORKER_KINDS,
    CallOdds,
    Event,
    Odds,
    Plan,
    StreamPlan,
    TriggerPlan,
    WorkerPlan,
)

from triggerkit.core.options import MappingOptions

T = TypeVar("T")


def shortest(plan: Plan, broken: Callable[[Plan], str], runs: int) -> Plan:
    """A plan that breaks the same rule and has as little in it as could be found.

    Args:
        plan: one that fails.
        broken: the rule that a plan breaks; empty when it breaks none.
        runs: how often `broken` may be asked.
    """
    search = _Search(broken, runs)
    rule = search.ask(plan)
    if not rule:
        return plan
    while True:
        before = plan
        plan = _fewer_events(plan, rule, search)
        plan = _simpler(plan, rule, search)
        if plan == before or not search.runs:
            return plan


class _Search:
    """Counts what it asks."""

    def __init__(self, broken: Callable[[Plan], str], runs: int) -> None:
        self._broken = broken
        self.runs = runs

    def ask(self, plan: Plan) -> str:
        if not self.runs:
            return ""
        self.runs -= 1
        return self._broken(plan)


def _fewer_events(plan: Plan, rule: str, search: _Search) -> Plan:
    """Leave out slices of the events, from halves of them to single ones."""
    size = max(1, len(plan.events) // 2)
    while plan.events:
        start = 0
        while start < len(plan.events):
            events = plan.events[:start] + plan.events[start + size :]
            shorter = replace(plan, events=events)
            if search.ask(shorter) == rule:
                plan = shorter
            else:
                start += size
        if size == 1 or not search.runs:
            break
        size = max(1, size // 2)
    return plan


def _simpler(plan: Plan, rule: str, search: _Search) -> Plan:
    """Take each simplification that keeps the failure, one subject after the other."""
    for simplifications in (_without_some, _plainer_worlds, _plainer_parts, _shorter_times):
        tried: list[Plan] = []
        while (simpler := _untried(simplifications(plan), plan, tried)) is not None:
            tried.append(simpler)
            if search.ask(simpler) == rule:
                plan = simpler
    return plan


def _untried(plans: Iterator[Plan], present: Plan, tried: list[Plan]) -> Plan | None:
    return next((plan for plan in plans if plan != present and plan not in tried), None)


def _without_some(plan: Plan) -> Iterator[Plan]:
    for number in range(len(plan.workers) if len(plan.workers) > 1 else 0):
        yield _without_worker(plan, number)
    for number in range(len(plan.triggers) if len(plan.triggers) > 1 else 0):
        yield replace(plan, triggers=_without(plan.triggers, number))


def _plainer_worlds(plan: Plan) -> Iterator[Plan]:
    yield replace(plan, odds=Odds())
    for name in ("store", "stream", "same_host", "audit_seconds", "idle_seconds"):
        yield _at_default(plan, name, Plan())
    yield replace(plan, fixed_delays=True)
    for each in fields(StreamPlan):
        yield replace(plan, stream=_at_default(plan.stream, each.name, StreamPlan()))
    for each in fields(Odds):
        yield replace(plan, odds=_at_default(plan.odds, each.name, Odds()))


def _plainer_parts(plan: Plan) -> Iterator[Plan]:
    for number, trigger in enumerate(plan.triggers):
        for simpler in _simpler_triggers(trigger):
            yield replace(plan, triggers=_with(plan.triggers, number, simpler))
    for number, worker in enumerate(plan.workers):
        for name in ("zero_seconds", "rate", "wall_offset_seconds", "start_seconds"):
            simpler_worker = _at_default(worker, name, WorkerPlan())
            yield replace(plan, workers=_with(plan.workers, number, simpler_worker))


def _simpler_triggers(trigger: TriggerPlan) -> Iterator[TriggerPlan]:
    blank = MappingOptions.model_validate({})
    for name in MappingOptions.model_fields:
        given = {**trigger.options.model_dump(exclude_defaults=True), name: getattr(blank, name)}
        yield replace(trigger, options=MappingOptions.model_validate(given))
    yield replace(trigger, has_destination=False)
    for each in fields(CallOdds):
        yield replace(trigger, calls=_at_default(trigger.calls, each.name, CallOdds()))
    if "each" in trigger.handler:
        yield replace(trigger, handler="sync")


def _shorter_times(plan: Plan) -> Iterator[Plan]:
    last_seconds = max((event.at_seconds for event in plan.events), default=0.0)
    for digits in (0, 1):
        if (soon := round(last_seconds + 1.0, digits)) < plan.troubled_seconds:
            yield replace(plan, troubled_seconds=soon)
        for number, event in enumerate(plan.events):
            rounded = replace(event, at_seconds=float(round(event.at_seconds, digits)))
            if rounded.at_seconds != event.at_seconds:
                events = _with(plan.events, number, rounded)
                yield replace(plan, events=tuple(sorted(events, key=_at)))
    for number, event in enumerate(plan.events):
        for name in ("key", "count"):
            plain = _at_default(event, name, Event(0.0, "put"))
            yield replace(plan, events=_with(plan.events, number, plain))


def _without_worker(plan: Plan, number: int) -> Plan:
    """Events of the others keep whom they happen to."""
    events = [
        replace(event, worker=max(0, event.worker - (event.worker >= number)))
        for event in plan.events
        if event.worker != number or event.kind not in WORKER_KINDS
    ]
    return replace(plan, workers=_without(plan.workers, number), events=tuple(events))


def _at(event: Event) -> float:
    return event.at_seconds


def _at_default(whole: T, name: str, blank: T) -> T:
    return replace(whole, **{name: getattr(blank, name)})  # type: ignore[type-var]


def _without(parts: tuple[T, ...], index: int) -> tuple[T, ...]:
    return parts[:index] + parts[index + 1 :]


def _with(parts: tuple[T, ...], index: int, part: T) -> tuple[T, ...]:
    return (*parts[:index], part, *parts[index + 1 :])
