"""Reading ProjectionExpression. Rule: no two of its paths overlap."""

from __future__ import annotations

from triggerkit.emulator.expressions.nodes import Path
from triggerkit.emulator.expressions.paths import clash
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
    reader.refuse(clash(source, paths))
    reader.finish()
    return tuple(paths)
