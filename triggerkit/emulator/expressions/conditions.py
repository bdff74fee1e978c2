"""Reading ConditionExpression, FilterExpression and KeyConditionExpression.

Rule: NOT binds tightest, then AND, then OR, each from left to right; every operator's operands are
checked here, before any item is seen. Source: DynamoDB guide, condition and filter expressions,
operators, and functions.
"""

from __future__ import annotations

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
    Negation,
    Operand,
    Size,
)
from triggerkit.emulator.expressions.placeholders import Placeholders
from triggerkit.emulator.expressions.reader import Reader
from triggerkit.emulator.expressions.tokens import Source

MAX_CHOICES = 100
MAX_DEPTH = 250
COMPARATORS = ("=", "<>", "<", "<=", ">", ">=")
FUNCTIONS = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
}


def read_condition(member: str, text: str, placeholders: Placeholders) -> Condition:
    """Return the condition that `text`, the request's `member`, stands for.

    Raises:
        EmulatorError: ValidationException that opens with "Invalid <member>: ".
    """
    source = Source(member, text)
    reader = Reader(source, placeholders)
    condition = _either(reader, 0)
    reader.expect_end()
    return condition


def _either(reader: Reader, depth: int) -> Condition:
    if depth > MAX_DEPTH:
        raise reader.source.error("The expression contains too many nested parentheses;")
    left = _both(reader, depth)
    while reader.take_keyword("OR"):
        left = Either(left, _both(reader, depth))
    return left


def _both(reader: Reader, depth: int) -> Condition:
    left = _negation(reader, depth)
    while reader.take_keyword("AND"):
        left = Both(left, _negation(reader, depth))
    return left


def _negation(reader: Reader, depth: int) -> Condition:
    if reader.take_keyword("NOT"):
        return Negation(_negation(reader, depth + 1))
    return _simple(reader, depth)


def _simple(reader: Reader, depth: int) -> Condition:
    if reader.at_symbol("("):
        return _parenthesised(reader, depth)
    function = reader.token.text
    if reader.token.kind == "name" and reader.following("(") and function != "size":
        return _call(reader)
    left = _operand(reader)
    if reader.at_symbol(*COMPARATORS):
        operator = reader.advance().text
        comparison = Comparison(operator, left, _operand(reader))
        operands.check_comparison(reader.source, comparison)
        return comparison
    if reader.take_keyword("BETWEEN"):
        low = _operand(reader)
        reader.expect_keyword("AND")
        between = Between(left, low, _operand(reader))
        operands.check_between(reader.source, between)
        return between
    if reader.take_keyword("IN"):
        return _among(reader, left)
    raise reader.error()


def _parenthesised(reader: Reader, depth: int) -> Condition:
    """Read `( condition )`, or `( operand ) operator operand`, which the grammar allows too."""
    opened = reader.position
    reader.expect_symbol("(")
    doubled = reader.at_symbol("(")
    condition = _either(reader, depth + 1)
    closed_before = reader.tokens[reader.position - 1].text == ")"
    reader.expect_symbol(")")
    if doubled and closed_before and _encloses(reader, opened + 1):
        raise reader.source.error("The expression has redundant parentheses;")
    return condition


def _encloses(reader: Reader, opened: int) -> bool:
    """Tell whether the parenthesis at `opened` closes just before the one that was closed last."""
    level = 0
    for position in range(opened, reader.position - 1):
        text = reader.tokens[position].text
        level += (text == "(") - (text == ")")
        if level == 0:
            return position == reader.position - 2
    return False


def _call(reader: Reader) -> Condition:
    function = reader.token.text
    if function not in FUNCTIONS:
        raise reader.source.error(f"Invalid function name; function: {function}")
    given = _arguments(reader)
    if len(given) != FUNCTIONS[function]:
        raise operands.wrong_count(reader.source, function, len(given))
    call = Call(function, given)
    operands.check_call(reader.source, call)
    return call


def _arguments(reader: Reader) -> tuple[Operand, ...]:
    reader.advance()
    reader.expect_symbol("(")
    given = [_operand(reader)]
    while reader.take_symbol(","):
        given.append(_operand(reader))
    reader.expect_symbol(")")
    return tuple(given)


def _among(reader: Reader, left: Operand) -> Condition:
    reader.expect_symbol("(")
    choices = [_operand(reader)]
    while reader.take_symbol(","):
        choices.append(_operand(reader))
    reader.expect_symbol(")")
    if len(choices) > MAX_CHOICES:
        raise operands.wrong_count(reader.source, "IN", len(choices) + 1)
    among = Among(left, tuple(choices))
    operands.check_among(reader.source, among)
    return among


def _operand(reader: Reader) -> Operand:
    if reader.token.kind == "name" and reader.following("("):
        if reader.token.text != "size":
            raise _misplaced(reader)
        given = _arguments(reader)
        if len(given) != 1:
            raise operands.wrong_count(reader.source, "size", len(given))
        of = given[0]
        if isinstance(of, Size):
            raise operands.wrong_type(reader.source, "operator or function", "size", "N")
        size = Size(of)
        operands.check_size(reader.source, size)
        return size
    if reader.token.kind == "value":
        return reader.literal()
    return Attribute(reader.path())


def _misplaced(reader: Reader) -> Exception:
    function = reader.token.text
    if function in FUNCTIONS:
        return reader.source.error(
            "The function is not allowed to be used this way in an expression; "
            f"function: {function}"
        )
    return reader.source.error(f"Invalid function name; function: {function}")
