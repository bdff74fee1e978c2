"""KeyConditionExpression: a condition of a very narrow kind.

Rule: one equality on the partition key and at most one comparison of the sort key, each of a key
attribute with values; everything else is refused before the table is read.
Source: DynamoDB guide, key condition expressions for Query.
"""

from __future__ import annotations

from triggerkit.emulator.errors import EmulatorError, invalid_parameter, validation
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
    Operand,
    Size,
)
from triggerkit.emulator.keys import key_text
from triggerkit.emulator.ranges import Range


def asked_partition(range_: Range, condition: Condition) -> str:
    """Return the one partition key (canonical text) that a key condition asks for.

    Raises:
        EmulatorError: ValidationException when the condition is no key condition of this table.
    """
    parts = _parts(condition)
    asked: dict[str, Condition] = {}
    for part in parts:
        name = _key_name(part)
        if name in asked:
            raise validation("KeyConditionExpressions must only contain one condition per key")
        asked[name] = part
    equality = asked.pop(range_.hash_key, None)
    if equality is None or any(name != range_.sort_key for name in asked):
        missed = range_.hash_key if equality is None else range_.sort_key or range_.hash_key
        raise validation(f"Query condition missed key schema element: {missed}")
    if not isinstance(equality, Comparison) or equality.operator != "=":
        raise validation("Query key condition not supported")
    for part in parts:
        _check_types(range_, part)
    literal = equality.right if isinstance(equality.left, Attribute) else equality.left
    assert isinstance(literal, Literal)
    return key_text(literal.value)


def _parts(condition: Condition) -> list[Condition]:
    if isinstance(condition, Both):
        return [*_parts(condition.left), *_parts(condition.right)]
    return [condition]


def _operands(part: Condition) -> tuple[Operand, ...]:
    match part:
        case Comparison("<>"):
            raise _wrong_operator("<>")
        case Comparison(_, left, right):
            return left, right
        case Between(operand, low, high):
            return operand, low, high
        case Call("begins_with", operands):
            return operands
        case Call(function):
            raise _wrong_operator(function)
        case Either():
            raise _wrong_operator("OR")
        case Among():
            raise _wrong_operator("IN")
        case _:
            raise _wrong_operator("NOT")


def _wrong_operator(operator: str) -> EmulatorError:
    return validation(f"Invalid operator used in KeyConditionExpression: {operator}")


def _key_name(part: Condition) -> str:
    operands = _operands(part)
    if any(isinstance(each, Size) for each in operands):
        raise validation("KeyConditionExpressions cannot contain nested operations")
    paths = [each.path for each in operands if isinstance(each, Attribute)]
    if len(paths) != 1:
        number = "Multiple" if paths else "No"
        raise validation(
            f"Invalid condition in KeyConditionExpression: {number} attribute names used in one "
            "condition"
        )
    name = str(paths[0][0])
    if len(paths[0]) > 1:
        raise validation(
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not "
            f"allowed: Key: {name}"
        )
    return name


def _check_types(range_: Range, part: Condition) -> None:
    name = _key_name(part)
    kind = range_.key_types[name]
    if kind == "N" and isinstance(part, Call):
        raise invalid_parameter("Condition parameter type does not match schema type")
    for operand in _operands(part):
        if not isinstance(operand, Literal):
            continue
        if kind not in operand.value:
            raise invalid_parameter("Condition parameter type does not match schema type")
        if not operand.value[kind]:
            noun = "string" if kind == "S" else "binary"
            raise validation(
                "One or more parameter values are not valid. The AttributeValue for a key "
                f"attribute cannot contain an empty {noun} value. Key: {name}"
            )
