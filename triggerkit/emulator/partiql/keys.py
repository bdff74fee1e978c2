"""What a WHERE says about keys.

Rule: only parts that are joined by AND at the top can name keys; a key is named by an equality with a
value, on either side. Source: DynamoDB guide, PartiQL update, delete and select statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

from triggerkit.emulator.errors import validation
from triggerkit.emulator.expressions.nodes import (
    Among,
    Attribute,
    Between,
    Both,
    Call,
    Comparison,
    Condition,
    Literal,
    Operand,
)
from triggerkit.emulator.keys import given_key
from triggerkit.emulator.store import Table
from triggerkit.emulator.values import Item, Value

_SORT_OPERATORS = frozenset({"=", "<", "<=", ">", ">="})


def conjuncts(where: Condition | None) -> list[Condition]:
    """Return the parts that AND joins at the top."""
    if where is None:
        return []
    if isinstance(where, Both):
        return [*conjuncts(where.left), *conjuncts(where.right)]
    return [where]


def joined(parts: Iterable[Condition]) -> Condition | None:
    """Return one condition of all parts, None when there are none."""
    listed = list(parts)
    return reduce(Both, listed) if listed else None


def equal_value(part: Condition, name: str) -> Value | None:
    """Return the value that a part demands of the attribute `name`, None when it demands none."""
    if not isinstance(part, Comparison) or part.operator != "=":
        return None
    for one, other in ((part.left, part.right), (part.right, part.left)):
        if one == Attribute((name,)) and isinstance(other, Literal):
            return other.value
    return None


def asked_key(table: Table, where: Condition | None) -> tuple[Item, Condition | None]:
    """Return the one key that a WHERE names and what else it demands.

    Raises:
        EmulatorError: ValidationException when it does not name the whole key.
    """
    parts = conjuncts(where)
    key: Item = {}
    for name in table.key_names():
        found = next((part for part in parts if equal_value(part, name) is not None), None)
        if found is None:
            raise validation(
                "Where clause does not contain a mandatory equality on all key attributes"
            )
        value = equal_value(found, name)
        assert value is not None
        key[name] = typed_key(table, name, value)
        parts.remove(found)
    return given_key(table, {"Key": key}), joined(parts)


def typed_key(table: Table, name: str, value: Value) -> Value:
    """Return the value of a key attribute. Raises EmulatorError: it has another type."""
    if table.key_types[name] not in value:
        raise validation(
            f"Key attribute's data type should match its data type in table's schema: Key {name}"
        )
    return value


def asked_partitions(parts: Sequence[Condition], name: str) -> list[Value] | None:
    """Return the partition keys that a SELECT names, None for a scan."""
    for part in parts:
        value = equal_value(part, name)
        if value is not None:
            return [value]
        if isinstance(part, Among) and part.operand == Attribute((name,)):
            listed = [each.value for each in part.choices if isinstance(each, Literal)]
            if len(listed) == len(part.choices):
                return listed
    return None


def narrows(part: Condition, name: str | None) -> bool:
    """Tell whether a part is a key condition of the sort key `name`."""
    if name is None:
        return False
    attribute = Attribute((name,))
    match part:
        case Comparison(operator, left, right):
            return operator in _SORT_OPERATORS and _compares(attribute, left, right)
        case Between(operand, low, high):
            return operand == attribute and all(isinstance(each, Literal) for each in (low, high))
        case Call("begins_with", (first, second)):
            return first == attribute and isinstance(second, Literal)
        case _:
            return False


def _compares(attribute: Attribute, left: Operand, right: Operand) -> bool:
    return (left == attribute and isinstance(right, Literal)) or (
        right == attribute and isinstance(left, Literal)
    )
