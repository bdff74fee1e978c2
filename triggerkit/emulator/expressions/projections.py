"""ProjectionExpression, and what several document paths cut out of an item.

No two paths of one expression overlap or treat one place as both map and list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import TypeAlias

from triggerkit.emulator.errors import EmulatorError
from triggerkit.emulator.expressions.nodes import Path, shown
from triggerkit.emulator.expressions.placeholders import Placeholders, read_placeholders
from triggerkit.emulator.expressions.reader import Reader, Source
from triggerkit.emulator.requests import Request, optional_text
from triggerkit.emulator.values import Item, Value

_Tree: TypeAlias = "dict[str | int, _Tree]"


def asked_view(request: Request) -> Callable[[Item], Item]:
    """Return what cuts items down to the ProjectionExpression of a request, if it has one.

    Raises:
        EmulatorError: ValidationException.
    """
    projection = optional_text(request, "ProjectionExpression")
    placeholders = read_placeholders(request, {"ProjectionExpression": projection})
    if projection is None:
        return lambda item: item
    paths = read_projection(projection, placeholders)
    placeholders.require_all_used()
    return lambda item: projected(item, paths)


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


def clash(source: Source, paths: Sequence[Path]) -> EmulatorError | None:
    """Return the refusal of paths that contradict each other."""
    for first, second in combinations(paths, 2):
        shared = min(len(first), len(second))
        if first[:shared] == second[:shared]:
            return _refusal(source, "overlap", first, second)
        fork = next(step for step in range(shared) if first[step] != second[step])
        if isinstance(first[fork], int) != isinstance(second[fork], int):
            return _refusal(source, "conflict", first, second)
    return None


def projected(item: Item, paths: Iterable[Path]) -> Item:
    """Return the parts of an item at `paths`; elements of a list close up."""
    tree: _Tree = {}
    for path in paths:
        place = tree
        for step in path:
            place = place.setdefault(step, {})
    return _entries(item, tree)


def _entries(entries: Item, tree: _Tree) -> Item:
    cut = {
        step: _cut(entries[step], branch)
        for step, branch in tree.items()
        if isinstance(step, str) and step in entries
    }
    return {name: value for name, value in cut.items() if value is not None}


def _cut(value: Value, tree: _Tree) -> Value | None:
    if not tree:
        return value
    if "M" in value:
        entries = _entries(value["M"], tree)
        return {"M": entries} if entries else None
    if "L" in value:
        indexes = sorted(step for step in tree if isinstance(step, int))
        cut = [_cut(value["L"][at], tree[at]) for at in indexes if at < len(value["L"])]
        elements = [element for element in cut if element is not None]
        return {"L": elements} if elements else None
    return None


def _refusal(source: Source, verb: str, first: Path, second: Path) -> EmulatorError:
    return source.error(
        f"Two document paths {verb} with each other; must remove or rewrite one of these paths; "
        f"path one: {shown(first)}, path two: {shown(second)}"
    )
