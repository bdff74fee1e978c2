"""Which operands an operator or function of a condition takes.

Each check returns the refusal, or None. Only what the request itself says is checked (types of values, equal
operands); what an item holds is decided at run time and never an error.
"""

from __future__ import annotations

import json

from triggerkit.emulator.errors import EmulatorError
from triggerkit.emulator.expressions.nodes import (
    Among,
    Attribute,
    Between,
    Call,
    Comparison,
    Literal,
    Operand,
    Size,
    shown,
)
from triggerkit.emulator.expressions.reader import Source
from triggerkit.emulator.values import Value, comparable

ORDERED_TYPES = frozenset("SNB")
PREFIX_TYPES = frozenset("SB")
SIZED_TYPES = frozenset({"S", "B", "SS", "NS", "BS", "L", "M"})
TYPE_NAMES = frozenset({"S", "N", "B", "SS", "NS", "BS", "BOOL", "NULL", "L", "M"})


def type_of(operand: Operand) -> str | None:
    """Return the type tag of an operand when the request fixes it."""
    match operand:
        case Literal(value=value):
            return next(iter(value))
        case Size():
            return "N"
        case _:
            return None


def wrong_count(source: Source, function: str, count: int) -> EmulatorError:
    """Return the refusal of a function with too many or too few operands."""
    return source.error(
        "Incorrect number of operands for operator or function; "
        f"operator or function: {function}, number of operands: {count}"
    )


def wrong_type(source: Source, function: str, kind: str) -> EmulatorError:
    """Return the refusal of an operand of a type that the operator or function does not take."""
    return source.error(
        "Incorrect operand type for operator or function; "
        f"operator or function: {function}, operand type: {kind}"
    )


def misused(source: Source, function: str) -> EmulatorError:
    """Return the refusal of a function in a place where it cannot stand."""
    return source.error(
        f"The function is not allowed to be used this way in an expression; function: {function}"
    )


def check_size(source: Source, size: Size) -> EmulatorError | None:
    """Refuse the size of a value that has none."""
    return _typed(source, "size", (size.of,), SIZED_TYPES)


def check_comparison(source: Source, comparison: Comparison) -> EmulatorError | None:
    """Refuse ordering of types without order, and comparing a thing with itself."""
    operator, left, right = comparison.operator, comparison.left, comparison.right
    refusal = None
    if operator not in {"=", "<>"}:
        refusal = _typed(source, operator, (left, right), ORDERED_TYPES)
    return refusal or distinct(source, operator, left, (right,))


def check_between(source: Source, between: Between) -> EmulatorError | None:
    """Refuse bounds of types without order, of two types, or the wrong way round."""
    operand, low, high = between.operand, between.low, between.high
    return (
        _typed(source, "BETWEEN", (operand, low, high), ORDERED_TYPES)
        or _bounds(source, low, high)
        or distinct(source, "BETWEEN", operand, (low, high))
    )


def check_among(source: Source, among: Among) -> EmulatorError | None:
    """Refuse a thing among itself."""
    return distinct(source, "IN", among.operand, among.choices)


def check_call(source: Source, call: Call) -> EmulatorError | None:
    """Refuse operands that a function does not take."""
    first, function = call.operands[0], call.function
    if function in {"attribute_exists", "attribute_not_exists"}:
        if isinstance(first, Attribute):
            return None
        return source.error(
            f"Operator or function requires a document path; operator or function: {function}"
        )
    second = call.operands[1]
    refusal = distinct(source, function, first, (second,))
    if refusal is not None:
        return refusal
    if function == "attribute_type":
        return _type_name(source, second)
    if function == "begins_with":
        return _typed(source, function, (first, second), PREFIX_TYPES)
    return None


def _type_name(source: Source, operand: Operand) -> EmulatorError | None:
    if not isinstance(operand, Literal) or "S" not in operand.value:
        return wrong_type(source, "attribute_type", type_of(operand) or "any")
    name = operand.value["S"]
    if name in TYPE_NAMES:
        return None
    return source.error(
        f"Invalid attribute type name found; type: {name}, "
        "valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"
    )


def _typed(
    source: Source, function: str, operands: tuple[Operand, ...], allowed: frozenset[str]
) -> EmulatorError | None:
    for operand in operands:
        kind = type_of(operand)
        if kind is not None and kind not in allowed:
            return wrong_type(source, function, kind)
    return None


def _bounds(source: Source, low: Operand, high: Operand) -> EmulatorError | None:
    if not (isinstance(low, Literal) and isinstance(high, Literal)):
        return None
    if type_of(low) != type_of(high):
        demand = "same data type for lower and upper bounds"
    elif comparable(low.value) > comparable(high.value):
        demand = "upper bound to be greater than or equal to lower bound"
    else:
        return None
    return source.error(
        f"The BETWEEN operator requires {demand}; lower bound operand: AttributeValue: "
        f"{_shown(low.value)}, upper bound operand: AttributeValue: {_shown(high.value)}"
    )


def distinct(
    source: Source, operator: str, first: Operand, others: tuple[Operand, ...]
) -> EmulatorError | None:
    """Refuse a path that is also among the other operands."""
    if isinstance(first, Attribute) and first in others:
        return source.error(
            "The first operand must be distinct from the remaining operands for this operator or "
            f"function; operator: {operator}, first operand: {shown(first.path)}"
        )
    return None


def _shown(value: Value) -> str:
    ((kind, content),) = value.items()
    text = content if isinstance(content, str) else json.dumps(content)
    return "{" + f"{kind}:{text}" + "}"
