"""Which operands an operator or function of a condition takes.

Rule: only what the request itself says is checked here (placeholders' types, equal operands); what an
item holds decides at run time and never raises.
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
from triggerkit.emulator.expressions.tokens import Source
from triggerkit.emulator.values import Value, comparable

ORDERED_TYPES = frozenset("SNB")
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
    """Return the answer to a function with too many or too few operands."""
    return source.error(
        "Incorrect number of operands for operator or function; "
        f"operator or function: {function}, number of operands: {count}"
    )


def wrong_type(source: Source, noun: str, name: str, kind: str) -> EmulatorError:
    """Return the answer to an operand of a type that the operator or function does not take."""
    return source.error(
        f"Incorrect operand type for operator or function; {noun}: {name}, operand type: {kind}"
    )


def check_size(source: Source, size: Size) -> None:
    """Refuse the size of a value that has none."""
    kind = type_of(size.of)
    if kind is not None and kind not in SIZED_TYPES:
        raise wrong_type(source, "operator or function", "size", kind)


def check_comparison(source: Source, comparison: Comparison) -> None:
    """Refuse ordering of types without order, and comparing a thing with itself."""
    operator = comparison.operator
    if operator not in {"=", "<>"}:
        for operand in (comparison.left, comparison.right):
            _require_ordered(source, operator, operand)
    _require_distinct(source, operator, comparison.left, (comparison.right,))


def check_between(source: Source, between: Between) -> None:
    """Refuse bounds of types without order, of two types, or the wrong way round."""
    for operand in (between.operand, between.low, between.high):
        _require_ordered(source, "BETWEEN", operand)
    low, high = between.low, between.high
    if not (isinstance(low, Literal) and isinstance(high, Literal)):
        return
    if type_of(low) != type_of(high):
        raise source.error(
            "The BETWEEN operator requires same data type for lower and upper bounds; "
            f"lower bound operand: AttributeValue: {_shown(low.value)}, "
            f"upper bound operand: AttributeValue: {_shown(high.value)}"
        )
    if comparable(low.value) > comparable(high.value):
        raise source.error(
            "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; "
            f"lower bound operand: AttributeValue: {_shown(low.value)}, "
            f"upper bound operand: AttributeValue: {_shown(high.value)}"
        )


def check_among(source: Source, among: Among) -> None:
    """Refuse a thing among itself."""
    _require_distinct(source, "IN", among.operand, among.choices)


def check_call(source: Source, call: Call) -> None:
    """Refuse operands that a function does not take."""
    first, function = call.operands[0], call.function
    if function in {"attribute_exists", "attribute_not_exists"}:
        if not isinstance(first, Attribute):
            raise source.error(
                f"Operator or function requires a document path; operator or function: {function}"
            )
        return
    second = call.operands[1]
    match function:
        case "attribute_type":
            _check_type_name(source, second)
        case "begins_with":
            for operand in (first, second):
                kind = type_of(operand)
                if kind is not None and kind not in {"S", "B"}:
                    raise wrong_type(source, "operator or function", function, kind)
        case _:
            pass
    _require_distinct(source, function, first, (second,))


def _check_type_name(source: Source, operand: Operand) -> None:
    kind = type_of(operand)
    if kind != "S":
        if kind is None:
            raise wrong_type(source, "operator or function", "attribute_type", "{}")
        raise wrong_type(source, "operator or function", "attribute_type", kind)
    assert isinstance(operand, Literal)
    name = operand.value["S"]
    if name not in TYPE_NAMES:
        raise source.error(
            f"Invalid attribute type name found; type: {name}, "
            "valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"
        )


def _require_ordered(source: Source, operator: str, operand: Operand) -> None:
    kind = type_of(operand)
    if kind is not None and kind not in ORDERED_TYPES:
        raise wrong_type(source, "operator", operator, kind)


def _require_distinct(
    source: Source, operator: str, first: Operand, others: tuple[Operand, ...]
) -> None:
    if isinstance(first, Attribute) and first in others:
        raise source.error(
            "The first operand must be distinct from the remaining operands for this operator or "
            f"function; operator: {operator}, first operand: {shown(first.path)}"
        )


def _shown(value: Value) -> str:
    ((kind, content),) = value.items()
    text = content if isinstance(content, str) else json.dumps(content)
    return "{" + f"{kind}:{text}" + "}"
