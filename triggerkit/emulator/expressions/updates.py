"""Reading UpdateExpression.

Each clause comes at most once, in any order; no two paths of one expression overlap or treat one place as both map
and list. Source: DynamoDB guide, update expressions.
"""

from __future__ import annotations

from collections.abc import Callable

from triggerkit.emulator.errors import EmulatorError
from triggerkit.emulator.expressions.conditions import FUNCTIONS
from triggerkit.emulator.expressions.nodes import (
    Action,
    AddAction,
    Arithmetic,
    Attribute,
    DeleteAction,
    IfNotExists,
    ListAppend,
    Literal,
    RemoveAction,
    SetAction,
    Term,
)
from triggerkit.emulator.expressions.operands import distinct, misused, wrong_count, wrong_type
from triggerkit.emulator.expressions.placeholders import Placeholders
from triggerkit.emulator.expressions.projections import clash
from triggerkit.emulator.expressions.reader import Reader, Source

CLAUSES = ("SET", "REMOVE", "ADD", "DELETE")
TERM_FUNCTIONS = ("if_not_exists", "list_append")
ADDED_TYPES = frozenset({"N", "SS", "NS", "BS"})
DELETED_TYPES = frozenset({"SS", "NS", "BS"})
LONG_NAMES = {
    "S": "STRING",
    "B": "BINARY",
    "N": "NUMBER",
    "BOOL": "BOOLEAN",
    "L": "LIST",
    "M": "MAP",
}


def read_update(text: str, placeholders: Placeholders) -> tuple[Action, ...]:
    """Return the actions of an UpdateExpression in the order of their writing.

    Raises:
        EmulatorError: ValidationException that opens with "Invalid UpdateExpression: ".
    """
    reader = Reader(Source("UpdateExpression", text), placeholders)
    actions: list[Action] = []
    seen: set[str] = set()
    while not seen or reader.token.kind != "end":
        if not reader.at_keyword(*CLAUSES):
            raise reader.error()
        clause = reader.advance().text.upper()
        if clause in seen:
            reader.refuse(
                reader.source.error(
                    f'The "{clause}" section can only be used once in an update expression;'
                )
            )
        seen.add(clause)
        actions.append(_action(reader, clause))
        while reader.take_symbol(","):
            actions.append(_action(reader, clause))
    reader.refuse(clash(reader.source, [action.path for action in actions]))
    reader.finish()
    return tuple(actions)


def _action(reader: Reader, clause: str) -> Action:
    path = reader.path()
    match clause:
        case "SET":
            reader.expect_symbol("=")
            return SetAction(path, _sum(reader))
        case "REMOVE":
            return RemoveAction(path)
        case "ADD":
            return AddAction(path, _literal(reader, "ADD", ADDED_TYPES))
        case _:
            return DeleteAction(path, _literal(reader, "DELETE", DELETED_TYPES))


def _literal(reader: Reader, operator: str, allowed: frozenset[str]) -> Literal:
    literal = reader.literal()
    kind = next(iter(literal.value))
    if kind not in allowed:
        reader.refuse(
            reader.source.error(
                "Incorrect operand type for operator or function; "
                f"operator: {operator}, operand type: {LONG_NAMES.get(kind, kind)}, "
                f"typeSet: ALLOWED_FOR_{operator}_OPERAND"
            )
        )
    return literal


def _sum(reader: Reader) -> Term:
    """Read what SET assigns: one term, or two with + or - between them."""
    left = _parenthesised(reader, _sum) if reader.at_symbol("(") else _term(reader)
    if reader.at_symbol("+", "-"):
        if isinstance(left, Arithmetic):
            raise reader.error()
        operator = reader.advance().text
        right = _term(reader)
        for operand in (left, right):
            _refuse_appended(reader, operand)
        _require(reader, operator, "N", left, right)
        return Arithmetic(operator, left, right)
    return left


def _parenthesised(reader: Reader, read: Callable[[Reader], Term]) -> Term:
    opened = reader.position
    reader.expect_symbol("(")
    term = read(reader)
    reader.expect_symbol(")")
    reader.refuse_doubled(opened)
    return term


def _term(reader: Reader) -> Term:
    if reader.at_symbol("("):
        return _parenthesised(reader, _term)
    if reader.token.kind == "name" and reader.following("("):
        return _function(reader)
    return reader.attribute_or_literal()


def _function(reader: Reader) -> Term:
    function = reader.advance().text
    reader.expect_symbol("(")
    given = [_term(reader)]
    while reader.take_symbol(","):
        given.append(_term(reader))
    reader.expect_symbol(")")
    refusal = _wrong_function(reader.source, function, len(given))
    if refusal is not None:
        reader.refuse(refusal)
        return given[0]
    first, second = given
    for operand in given:
        _refuse_appended(reader, operand)
    if function == "list_append":
        _require(reader, function, "L", first, second)
        return ListAppend(first, second)
    if not isinstance(first, Attribute):
        reader.refuse(
            reader.source.error(
                f"Operator or function requires a document path; operator or function: {function}"
            )
        )
        return first
    if isinstance(second, Attribute):
        reader.refuse(distinct(reader.source, function, first, (second,)))
    return IfNotExists(first, second)


def _refuse_appended(reader: Reader, operand: Term) -> None:
    """Refuse list_append where it is not the whole value."""
    if isinstance(operand, ListAppend):
        reader.refuse(misused(reader.source, "list_append"))


def _require(reader: Reader, function: str, kind: str, *given: Term) -> None:
    for term in given:
        if isinstance(term, Literal) and kind not in term.value:
            reader.refuse(wrong_type(reader.source, function, next(iter(term.value))))


def _wrong_function(source: Source, function: str, count: int) -> EmulatorError | None:
    if function in FUNCTIONS:
        return source.error(
            f"The function is not allowed in an update expression; function: {function}"
        )
    if function not in TERM_FUNCTIONS:
        return source.error(f"Invalid function name; function: {function}")
    return wrong_count(source, function, count) if count != 2 else None
