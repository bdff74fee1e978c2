"""Applying an update to an item.

Every term is computed on the item as it was before the update. The old item is never changed, the new one shares
with it what did not change. List elements are removed last, the highest index first, so that all indexes of one
expression mean the old positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, assert_never

from triggerkit.emulator.errors import validation
from triggerkit.emulator.expressions.evaluate import value_at
from triggerkit.emulator.expressions.nodes import (
    Action,
    AddAction,
    Arithmetic,
    Attribute,
    DeleteAction,
    IfNotExists,
    ListAppend,
    Literal,
    Path,
    RemoveAction,
    SetAction,
    Term,
)
from triggerkit.emulator.values import Item, Value, calculate, sorted_set

Container: TypeAlias = Any
"""A dict of attributes or a list of elements that belongs to the new item alone."""

_WRONG_TYPE = "An operand in the update expression has an incorrect data type"
_NO_PLACE = "The document path provided in the update expression is invalid for update"
_NO_ATTRIBUTE = "The provided expression refers to an attribute that does not exist in the item"


def updated(old: Item, actions: Sequence[Action]) -> Item:
    """Return `old` after all actions.

    Raises:
        EmulatorError: ValidationException when the item does not allow an action.
    """
    writes: list[tuple[Path, Value]] = []
    removals: list[Path] = []
    for action in actions:
        match action:
            case SetAction(path, term):
                _require_place(old, path)
                writes.append((path, _computed(term, old)))
            case RemoveAction(path):
                removals.append(path)
            case AddAction(path, literal):
                writes.append((path, _added(value_at(old, path), literal.value)))
            case DeleteAction(path, literal):
                remaining = _without(value_at(old, path), literal.value)
                if remaining is None:
                    removals.append(path)
                else:
                    writes.append((path, remaining))
            case _:
                assert_never(action)
    new = _Copy(old)
    for path, value in sorted(writes, key=lambda write: _list_order(write[0])):
        new.write(path, value)
    for path in sorted(removals, key=_list_order, reverse=True):
        new.remove(path, value_at(old, path) is not None)
    return new.item


def _require_place(old: Item, path: Path) -> None:
    """Refuse a path whose last step has no map or list to go into."""
    if len(path) > 1:
        parent = value_at(old, path[:-1])
        if parent is None or ("L" if isinstance(path[-1], int) else "M") not in parent:
            raise validation(_NO_PLACE)


def _list_order(path: Path) -> int:
    last = path[-1]
    return last if isinstance(last, int) else -1


def _computed(term: Term, old: Item) -> Value:
    match term:
        case Literal(_, value):
            return value
        case Attribute(path):
            found = value_at(old, path)
            if found is None:
                raise validation(_NO_ATTRIBUTE)
            return found
        case IfNotExists(attribute, otherwise):
            found = value_at(old, attribute.path)
            return found if found is not None else _computed(otherwise, old)
        case ListAppend(first, second):
            head = _typed(first, old, "L")
            return {"L": head + _typed(second, old, "L")}
        case Arithmetic(operator, left, right):
            number = _typed(left, old, "N")
            return {"N": calculate(number, operator, _typed(right, old, "N"))}
        case _:
            assert_never(term)


def _typed(term: Term, old: Item, kind: str) -> Any:
    """Return the content of a term that must have the type `kind`."""
    value = _computed(term, old)
    if kind not in value:
        raise validation(_WRONG_TYPE)
    return value[kind]


def _added(current: Value | None, addition: Value) -> Value:
    if current is None:
        return addition
    ((kind, content),) = addition.items()
    if kind not in current:
        raise validation(_WRONG_TYPE)
    if kind == "N":
        return {"N": calculate(current["N"], "+", content)}
    return {kind: sorted_set(kind, {*current[kind], *content})}


def _without(current: Value | None, subtraction: Value) -> Value | None:
    if current is None:
        return None
    ((kind, content),) = subtraction.items()
    if kind not in current:
        raise validation(_WRONG_TYPE)
    left = set(current[kind]).difference(content)
    return {kind: sorted_set(kind, left)} if left else None


class _Copy:
    """A new item that copies only the containers on written paths."""

    __slots__ = ("_own", "item")

    def __init__(self, old: Item) -> None:
        self.item: Item = dict(old)
        self._own: set[Path] = {()}

    def write(self, path: Path, value: Value) -> None:
        """Put a value at a path; an index beyond a list's end appends."""
        container, last = self._container(path), path[-1]
        if isinstance(last, int) and last >= len(container):
            container.append(value)
        else:
            container[last] = value

    def remove(self, path: Path, existed: bool) -> None:
        """Take away what is at a path; what did not exist before the update is not touched."""
        container, last = self._container(path), path[-1]
        if not existed:
            return
        if isinstance(last, int):
            del container[last : last + 1]
        else:
            container.pop(last, None)

    def _container(self, path: Path) -> Container:
        """Return the map or list that holds the last step of `path`, owned by this copy."""
        container: Container = self.item
        for depth, step in enumerate(path[:-1], start=1):
            value = _element(container, step)
            kind = "L" if isinstance(path[depth], int) else "M"
            if value is None or kind not in value:
                raise validation(_NO_PLACE)
            if path[:depth] not in self._own:
                self._own.add(path[:depth])
                value = {kind: value[kind].copy()}
                container[step] = value
            container = value[kind]
        return container


def _element(container: Container, step: str | int) -> Value | None:
    if isinstance(step, int):
        return container[step] if step < len(container) else None
    found: Value | None = container.get(step)
    return found
