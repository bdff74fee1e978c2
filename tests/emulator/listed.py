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

    def figures(self, reference: str, scenarios: int) -> tuple[str, int, int, int, int]:
        """Return what the property `comparison` of a test tells; all tests together show a table of it."""
        return figures(reference, scenarios, self.compared, self.shown.total(), len(self.shown))


def figures(
    reference: str, scenarios: int, answers: int, differed: int = 0, rows: int = 0
) -> tuple[str, int, int, int, int]:
    """Return how much was compared with a reference: answers, those that differed, the rows that say so."""
    return reference, scenarios, answers, differed, rows
