"""WHERE to a condition.

Rule: NOT binds tightest, then AND, then OR; the operands of an operator are checked as those of a
ConditionExpression are. Source: DynamoDB guide, PartiQL operators and functions.
"""

from __future__ import annotations

from typing import TypeAlias

from triggerkit.emulator.errors import EmulatorError, validation
from triggerkit.emulator.expressions import operands
from triggerkit.emulator.expressions.conditions import FUNCTIONS
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
    Size,
)
from triggerkit.emulator.expressions.tokens import Source
from triggerkit.emulator.partiql.reader import MAX_DEPTH, Reader, refuse_plainly
from triggerkit.emulator.partiql.tokens import malformed

_COMPARATORS = ("=", "<>", "!=", "<", "<=", ">", ">=")
_SOURCE = Source("Statement", "")
_NULL_TYPE = Literal("NULL", {"S": "NULL"})

Term: TypeAlias = Condition | Operand


def read_where(reader: Reader) -> Condition | None:
    """Return the condition behind WHERE, None when there is no WHERE."""
    return _condition(reader, _either(reader, 0)) if reader.take_word("WHERE") else None


def _either(reader: Reader, depth: int) -> Term:
    if depth > MAX_DEPTH:
        raise malformed("a condition is nested too deeply")
    left = _both(reader, depth)
    while reader.take_word("OR"):
        left = Either(_condition(reader, left), _condition(reader, _both(reader, depth)))
    return left


def _both(reader: Reader, depth: int) -> Term:
    left = _negation(reader, depth)
    while reader.take_word("AND"):
        left = Both(_condition(reader, left), _condition(reader, _negation(reader, depth)))
    return left


def _negation(reader: Reader, depth: int) -> Term:
    if depth > MAX_DEPTH:
        raise malformed("a condition is nested too deeply")
    if reader.take_word("NOT"):
        return Negation(_condition(reader, _negation(reader, depth + 1)))
    return _relation(reader, depth)


def _relation(reader: Reader, depth: int) -> Term:
    left = _term(reader, depth)
    if reader.at_symbol(*_COMPARATORS):
        sign = reader.advance().text
        operator = "<>" if sign == "!=" else sign
        comparison = Comparison(operator, _operand(left), _next_operand(reader, depth))
        refuse_plainly(operands.check_comparison(_SOURCE, comparison))
        return comparison
    if reader.take_word("IS"):
        return _is(reader, _operand(left))
    negated = reader.take_word("NOT")
    found = _among_or_between(reader, left, depth)
    if found is None:
        if negated:
            raise reader.error("IN or BETWEEN")
        return left
    return Negation(found) if negated else found


def _among_or_between(reader: Reader, left: Term, depth: int) -> Condition | None:
    if reader.take_word("BETWEEN"):
        low = _next_operand(reader, depth)
        reader.expect_word("AND")
        between = Between(_operand(left), low, _next_operand(reader, depth))
        refuse_plainly(operands.check_between(_SOURCE, between))
        return between
    if reader.take_word("IN"):
        among = Among(_operand(left), _choices(reader, depth))
        refuse_plainly(operands.check_among(_SOURCE, among))
        return among
    if reader.at_word("LIKE") or reader.at_symbol("+", "-", "*"):
        raise validation(
            f"Unsupported operator in Condition Expression. Operator: {reader.token.text.lower()}"
        )
    return None


def _is(reader: Reader, operand: Operand) -> Condition:
    negated = reader.take_word("NOT")
    found: Condition
    if reader.take_word("MISSING"):
        found = Call("attribute_not_exists", (_attribute(operand),))
    else:
        reader.expect_word("NULL")
        found = Call("attribute_type", (_attribute(operand), _NULL_TYPE))
    return Negation(found) if negated else found


def _choices(reader: Reader, depth: int) -> tuple[Operand, ...]:
    closing = ")" if reader.take_symbol("(") else "]"
    if closing == "]":
        reader.expect_symbol("[")
    choices = [_next_operand(reader, depth + 1)]
    while reader.take_symbol(","):
        choices.append(_next_operand(reader, depth + 1))
    reader.expect_symbol(closing)
    return tuple(choices)


def _term(reader: Reader, depth: int) -> Term:
    if reader.take_symbol("("):
        term = _either(reader, depth + 1)
        reader.expect_symbol(")")
        return term
    if reader.at_function():
        return _call(reader, depth)
    return reader.literal() if reader.at_value() else Attribute(reader.path())


def _call(reader: Reader, depth: int) -> Term:
    function = reader.advance().text.lower()
    reader.expect_symbol("(")
    given = [_next_operand(reader, depth + 1)]
    while reader.take_symbol(","):
        given.append(_next_operand(reader, depth + 1))
    reader.expect_symbol(")")
    wanted = FUNCTIONS.get(function)
    if wanted is None:
        raise validation(f"Invalid function name; function: {function}")
    if len(given) != wanted:
        refuse_plainly(operands.wrong_count(_SOURCE, function, len(given)))
    if function == "size":
        if isinstance(given[0], Size):
            raise validation("size cannot be taken of a size")
        size = Size(given[0])
        refuse_plainly(operands.check_size(_SOURCE, size))
        return size
    call = Call(function, tuple(given))
    refuse_plainly(operands.check_call(_SOURCE, call))
    return call


def _next_operand(reader: Reader, depth: int) -> Operand:
    return _operand(_term(reader, depth))


def _operand(term: Term) -> Operand:
    if isinstance(term, Attribute | Literal | Size):
        return term
    raise _misplaced("condition", "value")


def _attribute(operand: Operand) -> Attribute:
    if isinstance(operand, Attribute):
        return operand
    raise _misplaced("value", "path")


def _condition(reader: Reader, term: Term) -> Condition:
    if isinstance(term, Attribute | Literal | Size):
        raise reader.error("an operator")
    return term


def _misplaced(found: str, wanted: str) -> EmulatorError:
    return malformed(f"a {found} stands where a {wanted} is wanted")
