"""Statements, read.

Rule: a statement is read whole before its table is looked up; the reading depends on nothing but the text
and its parameters. Source: DynamoDB guide, PartiQL statements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from triggerkit.emulator.errors import validation
from triggerkit.emulator.expressions.nodes import (
    Action,
    AddAction,
    Arithmetic,
    Attribute,
    Condition,
    DeleteAction,
    IfNotExists,
    ListAppend,
    Literal,
    Path,
    RemoveAction,
    SetAction,
    Term,
)
from triggerkit.emulator.expressions.paths import clash
from triggerkit.emulator.expressions.tokens import Source
from triggerkit.emulator.partiql.predicates import read_where
from triggerkit.emulator.partiql.reader import Reader, refuse_plainly
from triggerkit.emulator.partiql.tokens import malformed
from triggerkit.emulator.values import Item, Value


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT; `paths` is None for `*`, `descending` None without ORDER BY."""

    table: str
    index: str | None
    paths: tuple[Path, ...] | None
    where: Condition | None
    order_by: str | None = None
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Exists:
    """EXISTS(SELECT ...), a condition check of a transaction."""

    table: str
    where: Condition | None


@dataclass(frozen=True, slots=True)
class Insert:
    """INSERT INTO table VALUE item."""

    table: str
    item: Item


@dataclass(frozen=True, slots=True)
class Update:
    """UPDATE; `returning` is a ReturnValues of UpdateItem."""

    table: str
    actions: tuple[Action, ...]
    where: Condition | None
    returning: str


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE FROM."""

    table: str
    where: Condition | None
    returning: str


_CLAUSES = ("WHERE", "ORDER", "LIMIT", "GROUP", "HAVING", "OFFSET", "JOIN")

Statement: TypeAlias = Select | Exists | Insert | Update | Delete


def read_statement(text: str, parameters: Sequence[Value]) -> Statement:
    """Return what a statement says.

    Raises:
        EmulatorError: ValidationException.
    """
    reader = Reader(text, parameters)
    for word, read in _READERS.items():
        if reader.take_word(word):
            statement = read(reader)
            reader.finish()
            return statement
    raise malformed(f"{text}; a statement is SELECT, INSERT, UPDATE or DELETE")


def _select(reader: Reader) -> Select:
    paths = None
    if not reader.take_symbol("*"):
        listed = [_selected(reader)]
        while reader.take_symbol(","):
            listed.append(_selected(reader))
        paths = tuple(listed)
    reader.expect_word("FROM")
    table = reader.name()
    index = reader.name() if reader.take_symbol(".") else None
    named = reader.token.kind == "name" and not reader.at_word(*_CLAUSES)
    if reader.token.kind == "quoted" or named:
        raise validation("Aliasing is not supported")
    where = read_where(reader)
    order_by, descending = None, False
    if reader.take_word("ORDER"):
        reader.expect_word("BY")
        order_by = reader.name()
        descending = reader.take_word("DESC")
        if not descending:
            reader.take_word("ASC")
    if reader.at_word(*_CLAUSES):
        raise validation(f"Unsupported clause: {reader.token.text.upper()}")
    return Select(table, index, paths, where, order_by, descending)


def _selected(reader: Reader) -> Path:
    if reader.at_function():
        raise validation(f"Unsupported function in SELECT: {reader.token.text}")
    path = reader.path()
    if reader.at_word("AS"):
        raise validation("Aliasing is not supported")
    return path


def _exists(reader: Reader) -> Exists:
    reader.expect_symbol("(")
    reader.expect_word("SELECT")
    select = _select(reader)
    reader.expect_symbol(")")
    return Exists(select.table, select.where)


def _insert(reader: Reader) -> Insert:
    reader.expect_word("INTO")
    table = reader.name()
    reader.expect_word("VALUE")
    if not reader.at_symbol("{"):
        raise validation(
            "Unsupported format in item expression. Please use struct format {...} to express item "
            "values for insert statement."
        )
    return Insert(table, reader.value()["M"])


def _update(reader: Reader) -> Update:
    table = reader.name()
    actions: list[Action] = []
    while reader.at_word("SET", "REMOVE"):
        if reader.take_word("REMOVE"):
            actions.append(RemoveAction(reader.path()))
            continue
        reader.advance()
        actions.append(_assignment(reader))
        while reader.take_symbol(","):
            actions.append(_assignment(reader))
    if not actions:
        raise reader.error("SET or REMOVE")
    where = read_where(reader)
    refuse_plainly(clash(Source("Statement", ""), [action.path for action in actions]))
    return Update(table, tuple(actions), where, _returning(reader))


def _delete(reader: Reader) -> Delete:
    reader.expect_word("FROM")
    table = reader.name()
    where = read_where(reader)
    returning = _returning(reader)
    if returning not in ("NONE", "ALL_OLD"):
        raise validation(
            "Invalid returning clause. Only RETURNING ALL OLD * is allowed in DELETE statements."
        )
    return Delete(table, where, returning)


def _returning(reader: Reader) -> str:
    if not reader.take_word("RETURNING"):
        return "NONE"
    if not reader.at_word("ALL", "MODIFIED"):
        raise reader.error("ALL or MODIFIED")
    extent = "ALL" if reader.advance().text.upper() == "ALL" else "UPDATED"
    if not reader.at_word("OLD", "NEW"):
        raise reader.error("OLD or NEW")
    returning = f"{extent}_{reader.advance().text.upper()}"
    if not reader.take_symbol("*"):
        raise validation("Expected '*' after ( MODIFIED | ALL ) ( NEW | OLD ) in RETURNING clause")
    return returning


def _assignment(reader: Reader) -> Action:
    path = reader.path()
    reader.expect_symbol("=")
    if reader.at_function() and reader.at_word("SET_ADD", "SET_DELETE"):
        return _set_action(reader, path)
    left = _term(reader)
    if not reader.at_symbol("+", "-"):
        return SetAction(path, left)
    operator = reader.advance().text
    right = _term(reader)
    for term in (left, right):
        if isinstance(term, Literal) and "N" not in term.value:
            raise validation(
                "Incorrect operand type for operator or function; operator or function: "
                f"{operator}, operand type: {next(iter(term.value))}"
            )
    return SetAction(path, Arithmetic(operator, left, right))


def _set_action(reader: Reader, path: Path) -> Action:
    function = reader.advance().text.lower()
    reader.expect_symbol("(")
    if reader.path() != path:
        raise validation(f"The first operand of {function} must be the path that is set")
    reader.expect_symbol(",")
    literal = reader.literal()
    reader.expect_symbol(")")
    if not {"SS", "NS", "BS"} & set(literal.value):
        raise validation(
            f"Incorrect operand type for operator or function; operator or function: {function}, "
            f"operand type: {next(iter(literal.value))}"
        )
    return (AddAction if function == "set_add" else DeleteAction)(path, literal)


def _term(reader: Reader) -> Term:
    if reader.at_function():
        return _function(reader)
    return reader.literal() if reader.at_value() else Attribute(reader.path())


def _function(reader: Reader) -> Term:
    function = reader.advance().text.lower()
    if function not in ("list_append", "if_not_exists"):
        raise validation(f"Invalid function name; function: {function}")
    reader.expect_symbol("(")
    first = _term(reader)
    reader.expect_symbol(",")
    second = _term(reader)
    reader.expect_symbol(")")
    if function == "list_append":
        return ListAppend(first, second)
    if not isinstance(first, Attribute):
        raise validation(
            "Operator or function requires a document path; operator or function: if_not_exists"
        )
    return IfNotExists(first, second)


_READERS: dict[str, Callable[[Reader], Statement]] = {
    "SELECT": _select,
    "INSERT": _insert,
    "UPDATE": _update,
    "DELETE": _delete,
    "EXISTS": _exists,
}
