"""Evaluating a condition on an item.

This never fails: where an operand is absent or of the wrong type the condition is false, except that `<>` is true
between an absent value and anything, even another absent one.
"""

from __future__ import annotations

import base64
import operator
from collections.abc import Callable
from typing import Any, assert_never

from triggerkit.emulator.expressions.nodes import (
    Among,
    Attribute,
    Between,
    Both,
    Call,
    Comparison,
    Condition,
    Either,
    Literal,
    Negation,
    Operand,
    Path,
    Size,
)
from triggerkit.emulator.sizes import binary_size_bytes
from triggerkit.emulator.values import Item, Value, comparable

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def value_at(item: Item, path: Path) -> Value | None:
    """Return the value at a document path, None when there is none."""
    found: Value | None = item.get(str(path[0]))
    for step in path[1:]:
        if found is None:
            return None
        if isinstance(step, int):
            elements = found.get("L", ())
            found = elements[step] if step < len(elements) else None
        else:
            found = found.get("M", {}).get(step)
    return found


def holds(condition: Condition, item: Item) -> bool:
    """Return whether a condition is true for an item; an absent item is the empty one."""
    match condition:
        case Comparison():
            return _compares(condition, item)
        case Between(operand, low, high):
            middle = _value(operand, item)
            return _ordered("<=", _value(low, item), middle) and _ordered(
                "<=", middle, _value(high, item)
            )
        case Among(operand, choices):
            wanted = _value(operand, item)
            return wanted is not None and any(_value(each, item) == wanted for each in choices)
        case Call(function, operands):
            return _FUNCTIONS[function](*[_value(operand, item) for operand in operands])
        case Both(left, right):
            return holds(left, item) and holds(right, item)
        case Either(left, right):
            return holds(left, item) or holds(right, item)
        case Negation(inner):
            return not holds(inner, item)
        case _:
            assert_never(condition)


def paths_of(condition: Condition) -> list[Path]:
    """Return the document paths that a condition looks at."""
    match condition:
        case Both(left, right) | Either(left, right):
            return [*paths_of(left), *paths_of(right)]
        case Negation(inner):
            return paths_of(inner)
        case Comparison(_, left_operand, right_operand):
            operands: tuple[Operand, ...] = (left_operand, right_operand)
        case Between(operand, low, high):
            operands = (operand, low, high)
        case Among(operand, choices):
            operands = (operand, *choices)
        case Call(_, given):
            operands = given
        case _:
            assert_never(condition)
    sized = [each.of if isinstance(each, Size) else each for each in operands]
    return [each.path for each in sized if isinstance(each, Attribute)]


def _compares(comparison: Comparison, item: Item) -> bool:
    left, right = _value(comparison.left, item), _value(comparison.right, item)
    match comparison.operator:
        case "=":
            return left is not None and left == right
        case "<>":
            return left is None or left != right
        case _:
            return _ordered(comparison.operator, left, right)


def _ordered(sign: str, left: Value | None, right: Value | None) -> bool:
    if left is None or right is None or left.keys() != right.keys():
        return False
    first, second = comparable(left), comparable(right)
    return first is not None and _ORDERS[sign](first, second)


def _value(operand: Operand, item: Item) -> Value | None:
    match operand:
        case Literal(_, value):
            return value
        case Attribute(path):
            return value_at(item, path)
        case Size(of):
            sized = _value(of, item)
            return None if sized is None else _size(sized)
        case _:
            assert_never(operand)


def _size(value: Value) -> Value | None:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return {"N": str(len(content.encode()))}
        case "B":
            return {"N": str(binary_size_bytes(content))}
        case "SS" | "NS" | "BS" | "L" | "M":
            return {"N": str(len(content))}
        case _:
            return None


def _begins(value: Value | None, prefix: Value | None) -> bool:
    if value is None or prefix is None:
        return False
    if "S" in value and "S" in prefix:
        return bool(value["S"].startswith(prefix["S"]))
    if "B" in value and "B" in prefix:
        return base64.b64decode(value["B"]).startswith(base64.b64decode(prefix["B"]))
    return False


def _contains(value: Value | None, part: Value | None) -> bool:
    if value is None or part is None:
        return False
    ((kind, content),) = value.items()
    ((part_kind, part_content),) = part.items()
    match kind:
        case "S" if part_kind == "S":
            return part_content in content
        case "B" if part_kind == "B":
            return base64.b64decode(part_content) in base64.b64decode(content)
        case "SS" | "NS" | "BS":
            return kind == f"{part_kind}S" and part_content in content
        case "L":
            return part in content
        case _:
            return False


def _is_type(value: Value | None, name: Value | None) -> bool:
    return value is not None and name is not None and next(iter(value)) == name.get("S")


_FUNCTIONS: dict[str, Callable[..., bool]] = {
    "attribute_exists": lambda value: value is not None,
    "attribute_not_exists": lambda value: value is None,
    "attribute_type": _is_type,
    "begins_with": _begins,
    "contains": _contains,
}
