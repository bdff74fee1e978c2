"""Tries one planted bug: the worlds first, then, if they pass, the unit tests of its file. One process a run.

What breaks in another way than by a failed world or test (an import, a test that cannot be collected) says nothing
about a bug and is an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from proof.mutants.mutant import CHECKOUT, Mutant

SEEDS = 50
LONGEST_SECONDS = 300.0
"""A run that has not ended by then says nothing: a machine may be slow. Most take a few seconds."""

TESTS_OF = {
    "core/batches.py": ("core/test_batches.py",),
    "core/checkpoints.py": ("core/test_consumer.py", "core/test_drain.py"),
    "core/consumer.py": ("core/test_consumer.py", "core/test_drain.py"),
    "core/coordinator.py": ("core/test_coordinator.py", "core/test_regressions.py"),
    "core/ending.py": ("core/test_consumer.py",),
    "core/failure.py": ("core/test_failure.py",),
    "core/lanes.py": ("core/test_lanes.py", "core/test_consumer.py", "core/test_drain.py"),
    "core/leases.py": ("core/test_leases.py", "core/test_regressions.py"),
    "core/lineage.py": ("core/test_lineage.py", "core/test_leases.py"),
    "core/mapping.py": ("core/test_mapping.py",),
    "core/membership.py": ("core/test_membership.py",),
    "core/outcome.py": ("core/test_outcome.py",),
    "core/progress.py": ("core/test_progress.py",),
    "core/reading.py": ("core/test_reading.py", "core/test_consumer.py"),
    "core/takes.py": ("core/test_coordinator.py", "core/test_regressions.py"),
    "lease_stores/_rows.py": ("contracts/test_lease_stores.py",),
    "lease_stores/_sessions.py": ("contracts/test_lease_stores.py",),
    "runtime/deadline.py": ("runtime/test_deadline.py",),
    "runtime/engine.py": ("runtime/test_engine.py",),
    "runtime/perform.py": (
        "runtime/test_perform.py",
        "runtime/test_every_decision_is_answered.py",
    ),
    "runtime/backoff.py": ("runtime/test_backoff.py",),
    "sources/dynamodb/incarnations.py": ("sources/dynamodb/test_incarnations.py",),
    "sources/shards/lineage.py": ("sources/shards/test_lineage.py",),
    "sources/shards/order.py": (
        "sources/shards/test_reader.py",
        "sources/shards/test_broken_order.py",
    ),
    "sources/dynamodb/pages.py": ("sources/dynamodb/test_pages.py",),
    "sources/dynamodb/reader.py": ("sources/shards/test_reader.py",),
    "sources/shards/reader.py": ("sources/shards/test_reader.py",),
    "sources/shards/ring.py": ("sources/shards/test_ring.py",),
    "sources/dynamodb/streams_api.py": ("sources/dynamodb/test_incarnations.py",),
    "sources/shards/track.py": ("sources/shards/test_reader.py",),
}
"""The test files of each file of the package, below `tests/`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What found a bug, and how; empty where nothing did. `seed` is that of the world, if it was one."""

    found_by: str = ""
    why: str = ""
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """How it went with one bug. `tests` is None where a world had found it already."""

    mutant: Mutant
    world: Finding
    tests: Finding | None = None

    @property
    def survived(self) -> bool:
        """Nothing found it."""
        return not self.world.found_by and (self.tests is None or not self.tests.found_by)

    @property
    def row(self) -> str:
        """One line of the table."""
        mutant, found = self.mutant, self.world if self.world.found_by else self.tests
        by, why = "SURVIVED", ""
        if found is not None and found.found_by:
            by, why = found.found_by, found.why[:70]
            by += "" if found.seed is None else f", seed {found.seed}"
        return f"{mutant.name:66} {mutant.file:26} {by}: {why}"


def try_out(mutant: Mutant, folder: Path) -> Trial:
    """Plant it, run worlds, run tests."""
    mutant.plant(folder)
    world = run(folder, "worlds", str(SEEDS))
    if world.found_by:
        return Trial(mutant, world)
    return Trial(mutant, world, run(folder, "tests", *tests_of(mutant)))


def tests_of(mutant: Mutant) -> tuple[str, ...]:
    """The test files that may find it."""
    return mutant.tests or TESTS_OF[mutant.file]


def run(folder: Path, how: str, *rest: str) -> Finding:
    """One child process over the copy in `folder`.

    Raises:
        RuntimeError: it broke, so it says nothing.
    """
    result = folder / f"{how}.json"
    script = str(Path(__file__).with_name("child.py"))
    try:
        ended = subprocess.run(
            [sys.executable, "-P", script, str(folder), str(result), how, *rest],
            cwd=CHECKOUT,
            env=_surroundings(folder),
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{how} {rest} did not end within {LONGEST_SECONDS:g} s") from error
    if ended.returncode or not result.exists():
        raise RuntimeError(f"{how} {rest} broke:\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")
    return Finding(**json.loads(result.read_text(encoding="utf-8")))


def _surroundings(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    kept.pop("PYTHONPATH", None)
    # examples that fail beside a bug must not be tried again without it
    kept |= {"HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")}
    return kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
