"""How many planted bugs the worlds find, from the trials."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from statistics import median

from proof.mutants.mutant import Mutant
from proof.mutants.trial import SEEDS, Trial


@dataclass(frozen=True, slots=True)
class Score:
    """How many of some bugs worlds found, and how many seeds each took."""

    name: str
    planted: int
    seeds: tuple[int, ...]

    @property
    def found(self) -> int:
        """By worlds."""
        return len(self.seeds)

    @property
    def row(self) -> str:
        """One line of the table."""
        needed = ""
        if self.seeds:
            needed = f"; seeds needed: {median(self.seeds):g} (median), {max(self.seeds)} (most)"
        return f"{self.name}: {self.found} of {self.planted}{needed}"


def score(name: str, bugs: Collection[Mutant], trials: Iterable[Trial]) -> Score:
    """Of those of the trials that were made with these bugs."""
    names = {mutant.name for mutant in bugs}
    made = [trial.world for trial in trials if trial.mutant.name in names]
    seeds = tuple(each.seed + 1 for each in made if each.seed is not None)  # seeds begin with 0
    return Score(name, len(made), seeds)


def table(scores: Iterable[Score], trials: Iterable[Trial]) -> str:
    """The scores, and every bug with what found it."""
    return "\n".join(
        (
            f"Found by worlds alone, within {SEEDS} seeds:",
            *(f"  {each.row}" for each in scores),
            *(trial.row for trial in trials),
        )
    )
