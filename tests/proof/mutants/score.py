"""What the simulations are worth, from the trials. Rule: every number comes with what it is a part of."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from statistics import median

from proof.mutants import frozen
from proof.mutants.mutant import Mutant
from proof.mutants.trial import SEEDS, Trial


@dataclass(frozen=True, slots=True)
class Score:
    """How many of some bugs the simulations told, that of the core alone and both."""

    name: str
    planted: int
    by_core: int
    told: int
    seeds: tuple[int, ...]

    @property
    def row(self) -> str:
        """One line of the table."""
        needed = ""
        if self.seeds:
            needed = f"; seeds needed: {median(self.seeds):g} (median), {max(self.seeds)} (most)"
        both = f"{self.told} of {self.planted} told"
        return f"{self.name}: {both}, {self.by_core} by worlds of the core alone{needed}"


def score(name: str, bugs: Collection[Mutant], trials: Iterable[Trial]) -> Score:
    """Of those of the trials that were made with these bugs."""
    names = {mutant.name for mutant in bugs}
    made = [trial for trial in trials if trial.mutant.name in names]
    found = [trial.simulation for trial in made if trial.simulation.told]
    # seeds begin with 0
    seeds = tuple(each.seed + 1 for each in found if each.seed is not None)
    return Score(name, len(made), sum(each.told == "core" for each in found), len(found), seeds)


def table(scores: Iterable[Score], trials: Iterable[Trial]) -> str:
    """The scores, what they were measured with, and every bug with what told it."""
    return "\n".join(
        (
            f"Told by simulation alone, within {SEEDS} seeds of each kind of world:",
            *(f"  {each.row}" for each in scores),
            f"Frozen at {frozen.FROZEN_COMMIT[:12]}"
            f" (for the first round at {frozen.FIRST_FROZEN_COMMIT[:12]}):",
            *(f"  {group.row}" for group in frozen.GROUPS),
            *(trial.row for trial in trials),
        )
    )
