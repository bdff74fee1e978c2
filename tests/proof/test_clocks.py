"""No host's clock decides anything (I13), nor does anything else that no seed draws."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from proof.harness import Harness, Plan, make_plan

SEEDS = (1, 3, 5, 8, 13, 21)
OFFSETS_SECONDS = (0.0, -9.0e8, 3.0e7)
"""A host may think that it is 1998, or next year."""

TESTS = Path(__file__).parents[1]
SCRIPT = """
from proof.harness import Harness, make_plan
for seed in {seeds}:
    print(Harness(make_plan(seed)).run(follow=True).digest)
"""


def at_another_time(plan: Plan, offset_seconds: float) -> Plan:
    workers = (replace(each, wall_offset_seconds=offset_seconds) for each in plan.workers)
    return replace(plan, workers=tuple(workers))


@pytest.mark.parametrize("seed", SEEDS)
def test_wall_clocks_that_are_wrong_change_nothing(seed: int) -> None:
    plan = make_plan(seed)
    digests = {
        Harness(at_another_time(plan, offset)).run(follow=True).digest for offset in OFFSETS_SECONDS
    }
    assert len(digests) == 1


def test_another_process_at_another_time_lives_through_the_same_worlds() -> None:
    """The order of sets and the time zone differ; the clock has moved on in any case."""
    told = set()
    for hash_seed, zone in (("1", "UTC"), ("2", "Pacific/Kiritimati")):
        changed = {"PYTHONHASHSEED": hash_seed, "TZ": zone, "PYTHONPATH": str(TESTS)}
        variables = {**os.environ, **changed}
        script = [sys.executable, "-c", SCRIPT.format(seeds=SEEDS)]
        told.add(subprocess.run(script, env=variables, check=True, capture_output=True).stdout)
    assert len(told) == 1
    assert len(told.pop().split()) == len(SEEDS)
