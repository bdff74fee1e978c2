"""Every bug that is planted is told, most of those in the core by the simulation alone.

A bug whose place in the package has changed fails here with "mutant no longer applies"; it is then written anew
for the code as it is, and not left out.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from mutants import after_freeze, in_adapters, in_fleets, in_shards, trial
from mutants.mutant import PACKAGE, Mutant, PlantingFault
from mutants.trial import Finding, Trial, try_out

MUTANTS = (
    *in_shards.MUTANTS,
    *in_fleets.MUTANTS,
    *in_adapters.MUTANTS,
    *after_freeze.MUTANTS,
)
CHILDREN = 2
"""Processes at a time."""
LEAST_PLANTED = 30
LEAST_TOLD = 35
"""By the simulation alone; 41 at the planting. Some need forty seeds, so a change of the core may cost a few."""
UNCHANGED = Mutant("nothing", "core/progress.py", "from __future__", "from __future__", "none")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_bug_still_applies(mutant: Mutant) -> None:
    assert mutant.applied() != (PACKAGE / mutant.file).read_text(encoding="utf-8")
    assert trial.tests_of(mutant)


def test_bugs_have_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= LEAST_PLANTED


@pytest.mark.parametrize("text", ["class Progress", "nowhere to be found", "self"])
def test_a_bug_whose_place_is_not_there_once_is_refused(text: str) -> None:
    mutant = Mutant("m", "core/progress.py", text, "class Progress(", "none")
    with pytest.raises(PlantingFault):
        mutant.applied()


def test_a_copy_without_a_bug_passes_both(tmp_path: Path) -> None:
    """Else what "tells" the bugs would be the copy."""
    UNCHANGED.plant(tmp_path)
    assert trial.run(tmp_path, "core", "5") == Finding()
    assert trial.run(tmp_path, "workers", "5") == Finding()
    assert trial.run(tmp_path, "tests", *trial.tests_of(UNCHANGED)) == Finding()


@pytest.mark.slow
def test_every_bug_is_told(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    def tried(mutant: Mutant) -> Trial:
        with TemporaryDirectory(dir=tmp_path) as folder:  # a copy of the package each: not kept
            return try_out(mutant, Path(folder))

    with ThreadPoolExecutor(CHILDREN) as pool:
        trials = tuple(pool.map(tried, MUTANTS))
    table = trial.table(trials)
    print(table)
    record_property("table", table)
    told = [each for each in trials if each.simulation.told]
    assert not [each.mutant.name for each in trials if each.survived]
    assert len(told) >= LEAST_TOLD, f"the simulation alone told {len(told)}"
