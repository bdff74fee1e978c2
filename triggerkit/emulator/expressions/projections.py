"""Reading ProjectionExpression and cutting items down to it."""

from __future__ import annotations

from itertools import combinations

from triggerkit.emulator.expressions.nodes import Path, shown
from triggerkit.emulator.expressions.placeholders import Placeholders
from triggerkit.emulator.expressions.reader import Reader
from triggerkit.emulator.expressions.tokens import Source


def read_projection(text: str, placeholders: Placeholders) -> tuple[Path, ...]:
    """Return the paths of a ProjectionExpression.

    Raises:
        EmulatorError: ValidationException, also for paths that overlap.
    """
    source = Source("ProjectionExpression", text)
    reader = Reader(source, placeholders)
    paths = [reader.path()]
    while reader.take_symbol(","):
        paths.append(reader.path())
    reader.expect_end()
    for first, second in combinations(paths, 2):
        shared = min(len(first), len(second))
        if first[:shared] == second[:shared]:
            raise source.error(
                "Two document paths overlap with each other; must remove or rewrite one of these "
                f"paths; path one: {shown(first)}, path two: {shown(second)}"
            )
    return tuple(paths)
