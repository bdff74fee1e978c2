"""Reading ConditionExpression, FilterExpression and KeyConditionExpression.

NOT binds tightest, then AND, then OR, each from left to right; parentheses may enclose conditions and operands. The
operands of every operator are checked here, before any item is looked at.
Source: DynamoDB guide, condition and filter expressions, operators, and functions.
"""

from __future__ import annotations

from typing import TypeAlias

from triggerkit.emulator.expressions import operands
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
from triggerkit.emulator.expressions.placeholders import Placeholders
from triggerkit.emulator.expressions.reader import Reader, Source, Token

MAX_CHOICES = 100
MAX_DEPTH = 100
MAX_OPERATORS = 300
_OPERATOR_WORDS = frozenset({"AND", "BETWEEN", "IN", "NOT", "OR"})
COMPARATORS = ("=", "<>", "<", "<=", ">", ">=")
FUNCTIONS = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
    "size": 1,
}

Term: TypeAlias = Condition | Operand


def read_condition(member: str, text: str, placeholders: Placeholders) -> Condition:
    """Return the condition that `text`, the request's `member`, stands for.

    Raises:
        EmulatorError: ValidationException that opens with "Invalid <member>: ".
    """
    reader = Reader(Source(member, text), placeholders)
    condition = _condition(reader, _either(reader, 0))
    if sum(map(_is_operator, reader.tokens)) > MAX_OPERATORS:
        reader.refuse(
            reader.source.error(
                f"The expression contains too many operators; operator count: {MAX_OPERATORS + 1}"
            )
        )
    reader.finish()
    return condition


def _is_operator(token: Token) -> bool:
    if token.kind == "symbol":
        return token.text in COMPARATORS
    return token.kind == "name" and (
        token.text.upper() in _OPERATOR_WORDS or token.text in FUNCTIONS
    )


def _either(reader: Reader, depth: int) -> Term:
    if depth > MAX_DEPTH:
        raise reader.source.error("The expression contains too many nested parentheses;")
    left = _both(reader, depth)
    while reader.at_keyword("OR"):
        condition = _condition(reader, left)
        reader.advance()
        left = Either(condition, _condition(reader, _both(reader, depth)))
    return left


def _both(reader: Reader, depth: int) -> Term:
    left = _negation(reader, depth)
    while reader.at_keyword("AND"):
        condition = _condition(reader, left)
        reader.advance()
        left = Both(condition, _condition(reader, _negation(reader, depth)))
    return left


def _negation(reader: Reader, depth: int) -> Term:
    if reader.take_keyword("NOT"):
        return Negation(_condition(reader, _negation(reader, depth + 1)))
    return _relation(reader, depth)


def _condition(reader: Reader, term: Term) -> Condition:
    """Return a term that must be a condition where it stands."""
    match term:
        case Attribute() | Literal():
            raise reader.error()
        case Size():
            reader.refuse(operands.misused(reader.source, "size"))
            return Call("attribute_exists", (term,))
        case _:
            return term


def _relation(reader: Reader, depth: int) -> Term:
    left = _term(reader, depth)
    if reader.at_symbol(*COMPARATORS):
        operator = reader.advance().text
        comparison = Comparison(operator, _operand(reader, left), _next_operand(reader, depth))
        reader.refuse(operands.check_comparison(reader.source, comparison))
        return comparison
    if reader.at_keyword("BETWEEN"):
        reader.advance()
        middle, low = _operand(reader, left), _next_operand(reader, depth)
        reader.expect_keyword("AND")
        between = Between(middle, low, _next_operand(reader, depth))
        reader.refuse(operands.check_between(reader.source, between))
        return between
    if reader.at_keyword("IN"):
        reader.advance()
        among = Among(_operand(reader, left), _listed(reader, depth))
        if len(among.choices) > MAX_CHOICES:
            reader.refuse(
                reader.source.error(
                    "The IN operator is provided with too many operands; "
                    f"number of operands: {len(among.choices)}"
                )
            )
        reader.refuse(operands.check_among(reader.source, among))
        return among
    return left


def _term(reader: Reader, depth: int) -> Term:
    if reader.at_symbol("("):
        return _parenthesised(reader, depth)
    if reader.token.kind == "name" and reader.following("("):
        return _call(reader, depth)
    return reader.attribute_or_literal()


def _next_operand(reader: Reader, depth: int) -> Operand:
    return _operand(reader, _term(reader, depth))


def _operand(reader: Reader, term: Term) -> Operand:
    """Return a term that must be an operand where it stands."""
    match term:
        case Attribute() | Literal() | Size():
            return term
        case Call(function, (first, *_)):
            reader.refuse(operands.misused(reader.source, function))
            return first
        case _:
            raise reader.error()


def _parenthesised(reader: Reader, depth: int) -> Term:
    opened = reader.position
    reader.expect_symbol("(")
    term = _either(reader, depth + 1)
    reader.expect_symbol(")")
    reader.refuse_doubled(opened)
    return term


def _call(reader: Reader, depth: int) -> Term:
    function = reader.advance().text
    source = reader.source
    given = _listed(reader, depth)
    wanted = FUNCTIONS.get(function)
    if wanted is None:
        reader.refuse(source.error(f"Invalid function name; function: {function}"))
        return Call("attribute_exists", given[:1])
    if len(given) != wanted:
        reader.refuse(operands.wrong_count(source, function, len(given)))
        return Call("attribute_exists", given[:1])
    if function == "size":
        return _size(reader, given[0])
    call = Call(function, given)
    reader.refuse(operands.check_call(source, call))
    return call


def _size(reader: Reader, of: Operand) -> Size:
    if isinstance(of, Size):
        reader.refuse(operands.wrong_type(reader.source, "size", "N"))
        return of
    size = Size(of)
    reader.refuse(operands.check_size(reader.source, size))
    return size


def _listed(reader: Reader, depth: int) -> tuple[Operand, ...]:
    reader.expect_symbol("(")
    given = [_next_operand(reader, depth + 1)]
    while reader.take_symbol(","):
        given.append(_next_operand(reader, depth + 1))
    reader.expect_symbol(")")
    return tuple(given)
