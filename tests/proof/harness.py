"""Whole workers on one virtual clock, from a seed. The workers are real, and every invariant always holds.

Each worker is what production runs: engine, performers, machines, reader, invoker and lease store. Around them
are the emulator, a network on which calls are refused, repeated and lost, and hosts with different clocks. A
worker may crash or freeze between any two of its steps. A world that breaks an invariant is made as short as
possible, and printed as the Python text that makes it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO

from proof.facts import Violation
from proof.plan import (
    CallOdds,
    Event,
    Odds,
    Plan,
    StreamPlan,
    TriggerPlan,
    WorkerPlan,
    as_text,
)
from proof.random_plan import make_plan
from proof.shrinking import shortest
from proof.world import Parts, World

from triggerkit.runtime.logs import LogSettings, configure_logging

__all__ = [
    "CallOdds",
    "Event",
    "Harness",
    "Lived",
    "Odds",
    "Parts",
    "Plan",
    "StreamPlan",
    "TriggerPlan",
    "Violation",
    "WorkerPlan",
    "as_text",
    "broken_rule",
    "make_plan",
    "run_plan",
    "shortest",
]

SHRINKING_RUNS = 400
"""How many worlds are lived through at most to find a shorter one."""


@dataclass(frozen=True, slots=True)
class Lived:
    """What a world came to that kept every invariant. `digest` is that of all that happened, if asked for.

    `steps` are callbacks of the loop, `steps_of` those of each life of a worker, such as `w0.1`.
    """

    steps: int
    virtual_seconds: float
    calls: int
    duplicates: int
    digest: str = ""
    steps_of: Mapping[str, int] = field(default_factory=dict)


class Harness:
    """Lives through the world of one plan, as often as asked: it is the same every time.

    Args:
        plan: what happens; `make_plan(seed)` draws one.
        parts: what stands for the outside, unless it is ours.
    """

    def __init__(self, plan: Plan, parts: Parts | None = None) -> None:
        self.plan = plan
        self._parts = parts

    def run(self, *, follow: bool = False) -> Lived:
        """Live through it once.

        Args:
            follow: take a digest of all that happens, which takes as long again.

        Raises:
            Violation: an invariant does not hold; says which, and what happened last.
        """
        restore = configure_logging(LogSettings("json", "critical"), StringIO())
        try:
            world = World(self.plan, self._parts)
            world.witness.follows = follow
            world.run()
        finally:
            restore()
        checkers = list(world.witness.checkers.values())
        return Lived(
            world.steps,
            world.clock.monotonic_seconds,
            sum(checker.calls for checker in checkers),
            sum(checker.duplicates for checker in checkers),
            world.witness.digest if follow else "",
            world.steps_of,
        )

    def check(self, runs: int = SHRINKING_RUNS) -> Lived:
        """Live through it; if it breaks an invariant, look for a shorter world that breaks the same.

        Raises:
            Violation: with the shortest plan that was found, as Python text, and its last events.
        """
        try:
            return self.run()
        except Violation as violation:
            found = shortest(self.plan, lambda plan: broken_rule(plan, self._parts), runs)
            told = violation if found == self.plan else _violation_of(found, self._parts)
            raise Violation(f"seed {self.plan.seed}: {told}\n\nPLAN = {as_text(found)}") from None


def run_plan(plan: Plan) -> Lived:
    """Live through a plan once, as a committed test does. Raises Violation."""
    return Harness(plan).run()


def broken_rule(plan: Plan, parts: Parts | None = None) -> str:
    """The rule that a world breaks, such as `I4`; empty when it breaks none."""
    violation = _violation_of(plan, parts)
    return "" if violation is None else str(violation).partition(":")[0]


def _violation_of(plan: Plan, parts: Parts | None) -> Violation | None:
    try:
        Harness(plan, parts).run()
    except Violation as violation:
        return violation
    return None
