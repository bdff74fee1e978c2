"""Fleets from seeds keep every invariant of the lease protocol, whatever crashes, stalls or comes late.

A failing test prints its seed, the world's options and the last events; `World(make_plan(seed)).run()` is the
same world again.
"""

from __future__ import annotations

import pytest
from simulation.plan import make_plan
from simulation.world import World

SEEDS = range(220)
FOUND = {
    87: "a child began because a listing older than it did not name its parent (no shard times)",
    169: "a call that failed as a whole gave up a record that had tries left",
    189: "a child began because a listing older than it did not name its parent",
    405: "a lane began a call behind a release whose answer was lost",
    503: "a stop gave again what one lane had done beyond another",
    1011: "rows of a first survey that raced with a merge",
    2474: "only the worker that ended a shard looked for its children, and it crashed",
    3097: "a first survey at LATEST saw a shard and not its parent",
}
"""Worlds that failed once, and why; seeds stay what they are as long as plans are drawn alike."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_world_keeps_every_invariant(seed: int) -> None:
    World(make_plan(seed)).run()


@pytest.mark.parametrize("seed", [seed for seed in FOUND if seed not in SEEDS])
def test_a_world_that_failed_once_keeps_every_invariant(seed: int) -> None:
    World(make_plan(seed)).run()


def test_the_same_seed_is_the_same_world() -> None:
    once, again = World(make_plan(7)), World(make_plan(7))
    once.run()
    again.run()
    assert once.schedule.events == again.schedule.events
    assert once.describe() == again.describe()
