"""A planted bug before the simulations, and before the unit tests if it passed. Rule: one process a run.

What breaks in another way than by a failed world or test (an import, a test that cannot be collected) tells nothing
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
"""A run that has not ended by then tells nothing: a machine may be slow. Most take a second or two."""

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
    """What told a bug, and how; empty where nothing did. `seed` is that of the world, if it was one."""

    told: str = ""
    why: str = ""
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """How it went with one bug. `tests` is None where the simulation had told it already."""

    mutant: Mutant
    simulation: Finding
    tests: Finding | None = None

    @property
    def survived(self) -> bool:
        """Nothing told it."""
        return not self.simulation.told and (self.tests is None or not self.tests.told)

    @property
    def row(self) -> str:
        """One line of the table."""
        mutant, found = self.mutant, self.simulation if self.simulation.told else self.tests
        by, why = "SURVIVED", ""
        if found is not None and found.told:
            by, why = found.told, found.why[:70]
            by += "" if found.seed is None else f", seed {found.seed}"
        return f"{mutant.name:66} {mutant.file:26} {by}: {why}"


def try_out(mutant: Mutant, folder: Path) -> Trial:
    """Plant it, simulate it, test it."""
    mutant.plant(folder)
    simulation = simulated(mutant, folder)
    if simulation.told:
        return Trial(mutant, simulation)
    return Trial(mutant, simulation, run(folder, "tests", *tests_of(mutant)))


def simulated(mutant: Mutant, folder: Path) -> Finding:
    """What the simulations alone say: that of the core, which is quick, then that of whole workers."""
    for simulation in ("core", "workers"):
        if simulation == "core" and not mutant.file.startswith("core/"):
            continue  # it has adapters of its own
        found = run(folder, simulation, str(SEEDS))
        if found.told:
            return found
    return Finding()


def tests_of(mutant: Mutant) -> tuple[str, ...]:
    """The test files that may tell it."""
    return mutant.tests or TESTS_OF[mutant.file]


def run(folder: Path, how: str, *rest: str) -> Finding:
    """One child process over the copy in `folder`.

    Raises:
        RuntimeError: it broke, so it tells nothing.
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
