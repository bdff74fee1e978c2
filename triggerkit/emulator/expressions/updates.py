"""Reading UpdateExpression.

Rule: each clause comes at most once, in any order; no two paths of one expression overlap or treat one
place as both map and list. Source: DynamoDB guide, update expressions.
"""

from __future__ import annotations

from itertools import combinations

from triggerkit.emulator.errors import EmulatorError
from triggerkit.emulator.expressions.nodes import (
    Action,
    AddAction,
    Arithmetic,
    DeleteAction,
    IfNotExists,
    ListAppend,
    Literal,
    Path,
    RemoveAction,
    SetAction,
    Term,
    shown,
)
from triggerkit.emulator.expressions.operands import wrong_count, wrong_type
from triggerkit.emulator.expressions.placeholders import Placeholders
from triggerkit.emulator.expressions.reader import Reader
from triggerkit.emulator.expressions.tokens import Source

CLAUSES = ("SET", "REMOVE", "ADD", "DELETE")
TERM_FUNCTIONS = ("if_not_exists", "list_append")
ADDED_TYPES = frozenset({"N", "SS", "NS", "BS"})
DELETED_TYPES = frozenset({"SS", "NS", "BS"})


def read_update(text: str, placeholders: Placeholders) -> tuple[Action, ...]:
    """Return the actions of an UpdateExpression in the order of their writing.

    Raises:
        EmulatorError: ValidationException that opens with "Invalid UpdateExpression: ".
    """
    reader = Reader(Source("UpdateExpression", text), placeholders)
    actions: list[Action] = []
    seen: set[str] = set()
    while reader.token.kind != "end":
        if not reader.at_keyword(*CLAUSES):
            raise reader.error()
        clause = reader.advance().text.upper()
        if clause in seen:
            raise reader.source.error(
                f'The "{clause}" section can only be used once in an update expression;'
            )
        seen.add(clause)
        actions.append(_action(reader, clause))
        while reader.take_symbol(","):
            actions.append(_action(reader, clause))
    _check_paths(reader.source, [action.path for action in actions])
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
            return AddAction(path, _typed(reader, "ADD", ADDED_TYPES))
        case _:
            return DeleteAction(path, _typed(reader, "DELETE", DELETED_TYPES))


def _typed(reader: Reader, operator: str, allowed: frozenset[str]) -> Literal:
    literal = reader.literal()
    kind = next(iter(literal.value))
    if kind not in allowed:
        raise wrong_type(reader.source, "operator", operator, _long_name(kind))
    return literal


def _sum(reader: Reader) -> Term:
    left = _term(reader)
    if reader.at_symbol("+", "-"):
        operator = reader.advance().text
        right = _term(reader)
        for operand in (left, right):
            if isinstance(operand, Literal) and "N" not in operand.value:
                kind = next(iter(operand.value))
                raise wrong_type(reader.source, "operator or function", operator, kind)
        return Arithmetic(operator, left, right)
    return left


def _term(reader: Reader) -> Term:
    if reader.take_symbol("("):
        inner = _sum(reader)
        reader.expect_symbol(")")
        return inner
    if reader.token.kind == "name" and reader.following("("):
        return _function(reader)
    return reader.attribute_or_literal()


def _function(reader: Reader) -> Term:
    function = reader.token.text
    if function not in TERM_FUNCTIONS:
        raise _no_function(reader.source, function)
    reader.advance()
    reader.expect_symbol("(")
    given = [_term(reader)]
    while reader.take_symbol(","):
        given.append(_term(reader))
    reader.expect_symbol(")")
    if len(given) != 2:
        raise wrong_count(reader.source, function, len(given))
    first, second = given
    if function == "list_append":
        for operand in given:
            if isinstance(operand, Literal) and "L" not in operand.value:
                kind = next(iter(operand.value))
                raise wrong_type(reader.source, "operator or function", function, kind)
        return ListAppend(first, second)
    if isinstance(first, (Literal, IfNotExists, ListAppend, Arithmetic)):
        raise reader.source.error(
            f"Operator or function requires a document path; operator or function: {function}"
        )
    return IfNotExists(first, second)


def _no_function(source: Source, function: str) -> EmulatorError:
    known = {"attribute_exists", "attribute_not_exists", "attribute_type", "begins_with"}
    if function in known | {"contains", "size"}:
        return source.error(
            f"The function is not allowed in an update expression; function: {function}"
        )
    return source.error(f"Invalid function name; function: {function}")


def _check_paths(source: Source, paths: list[Path]) -> None:
    for first, second in combinations(paths, 2):
        shared = min(len(first), len(second))
        if first[:shared] == second[:shared]:
            raise source.error(
                "Two document paths overlap with each other; must remove or rewrite one of these "
                f"paths; path one: {shown(first)}, path two: {shown(second)}"
            )
        fork = next(step for step in range(shared) if first[step] != second[step])
        if isinstance(first[fork], int) != isinstance(second[fork], int):
            raise source.error(
                "Two document paths conflict with each other; must remove or rewrite one of these "
                f"paths; path one: {shown(first)}, path two: {shown(second)}"
            )


def _long_name(kind: str) -> str:
    return {
        "S": "STRING",
        "B": "BINARY",
        "N": "NUMBER",
        "BOOL": "BOOLEAN",
        "L": "LIST",
        "M": "MAP",
    }.get(kind, kind)
