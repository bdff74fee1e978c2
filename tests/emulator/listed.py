"""Differences that are meant: each is a row with its reason.

A difference that no row covers fails the comparison at once; a row that never shows fails it at the end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """Answers that may differ: patterns of what was asked and of both answers, whole texts."""

    asked: str
    ours: str
    theirs: str
    reason: str

    def covers(self, asked: str, ours: str, theirs: str) -> bool:
        pairs = ((self.asked, asked), (self.ours, ours), (self.theirs, theirs))
        return all(re.fullmatch(pattern, text, re.DOTALL) for pattern, text in pairs)


@dataclass
class Comparison:
    """What was compared so far with one reference, and what of it differed as listed."""

    rows: Sequence[Row]
    compared: int = 0
    shown: Counter[Row] = field(default_factory=Counter)

    def judge(self, asked: str, ours: str, theirs: str, where: str = "") -> bool:
        """Tell whether two answers are the same.

        Raises:
            AssertionError: they differ and no row says that they may.
        """
        self.compared += 1
        if ours == theirs:
            return True
        listed = next((row for row in self.rows if row.covers(asked, ours, theirs)), None)
        assert listed is not None, f"{where}\nasked  {asked}\nours   {ours}\ntheirs {theirs}"
        self.shown[listed] += 1
        return False

    def vanished(self) -> list[Row]:
        """Return the rows that never showed."""
        return [row for row in self.rows if row not in self.shown]

    def summary(self, scenarios: int) -> str:
        """Return one line that says how much was compared."""
        return (
            f"{scenarios} scenarios, {self.compared} answers compared, {self.shown.total()} differed "
            f"as {len(self.shown)} listed rows say"
        )
