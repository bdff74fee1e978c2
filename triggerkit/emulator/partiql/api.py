"""ExecuteStatement, BatchExecuteStatement and ExecuteTransaction.

Rule: a batch answers each statement by itself; a transaction is TransactWriteItems or TransactGetItems in
other words. Source: DynamoDB API reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.capacity import consumed, consumed_by_all, read_units, write_units
from triggerkit.emulator.errors import EmulatorError, validation
from triggerkit.emulator.expressions.paths import projected
from triggerkit.emulator.items import Write, carry_out, returned_attributes
from triggerkit.emulator.keys import breaks_schema, item_key, table_of
from triggerkit.emulator.partiql.keys import asked_key
from triggerkit.emulator.partiql.reader import read_parameters
from triggerkit.emulator.partiql.selects import read_position, selected
from triggerkit.emulator.partiql.statements import (
    Delete,
    Exists,
    Select,
    Statement,
    Update,
    read_statement,
)
from triggerkit.emulator.partiql.writes import planned
from triggerkit.emulator.requests import (
    Request,
    chosen,
    flag,
    mistyped,
    optional_list,
    optional_text,
    positive,
    text,
)
from triggerkit.emulator.site import Site
from triggerkit.emulator.sizes import item_size_bytes
from triggerkit.emulator.store import ItemKey
from triggerkit.emulator.transactions import MAX_ACTIONS, Planned, Token, perform
from triggerkit.emulator.values import Item

MAX_STATEMENTS = 25
_CODES = {
    "ConditionalCheckFailedException": "ConditionalCheckFailed",
    "DuplicateItemException": "DuplicateItem",
    "ResourceNotFoundException": "ResourceNotFound",
    "ValidationException": "ValidationError",
}


@dataclass(frozen=True, slots=True)
class PartiqlApi:
    """Statements over one site."""

    site: Site

    def operations(self) -> dict[str, Callable[[Request], dict[str, Any]]]:
        """Return the operations by name."""
        return {
            "ExecuteStatement": self.execute_statement,
            "BatchExecuteStatement": self.batch_execute_statement,
            "ExecuteTransaction": self.execute_transaction,
        }

    def execute_statement(self, request: Request) -> dict[str, Any]:
        """Answer ExecuteStatement."""
        statement = _read(request)
        if isinstance(statement, Exists):
            raise validation("EXISTS can only be used in ExecuteTransaction write requests.")
        if isinstance(statement, Select):
            return self._select(statement, request)
        table = table_of(self.site, {"TableName": statement.table})
        write = planned(table, statement, _wants_old(request))
        old, new = carry_out(self.site, write)
        returned = returned_attributes(write, _returning(statement), old, new)
        capacity = consumed(request, table.name, write_units(old, new))
        return {"Items": [returned] if returned else [], **capacity}

    def batch_execute_statement(self, request: Request) -> dict[str, Any]:
        """Answer BatchExecuteStatement; each statement succeeds or fails by itself."""
        asked = _members(request, "Statements", MAX_STATEMENTS)
        entries = [_Entry(self.site, entry) for entry in asked]
        reads = {isinstance(entry.statement, Select) for entry in entries if entry.statement}
        if len(reads) > 1:
            raise validation("Read and write requests together in the same batch is not supported.")
        keys = [entry.place for entry in entries if entry.place is not None]
        if len(set(keys)) < len(keys):
            raise validation("Provided list of item keys contains duplicates")
        units: dict[str, float] = {}
        responses = [entry.answer(units) for entry in entries]
        return {"Responses": responses, **consumed_by_all(request, units)}

    def execute_transaction(self, request: Request) -> dict[str, Any]:
        """Answer ExecuteTransaction."""
        asked = _members(request, "TransactStatements", MAX_ACTIONS)
        statements = [_read(entry) for entry in asked]
        reads = {isinstance(statement, Select) for statement in statements}
        if len(reads) > 1:
            raise validation(
                "ExecuteTransaction API does not support both read and write operations in the "
                "same request."
            )
        if reads == {True}:
            return self._transact_read(statements, request)
        token = Token(self.site, optional_text(request, "ClientRequestToken"), asked)
        if token.was_used():
            return {"Responses": []}
        actions = [
            self._planned(number, statement, entry)
            for number, (statement, entry) in enumerate(zip(statements, asked, strict=True))
        ]
        units = perform(self.site, actions)
        token.use()
        return {"Responses": [], **consumed_by_all(request, units)}

    def _select(self, statement: Select, request: Request) -> dict[str, Any]:
        given = text(request, "Statement")
        start = read_position(optional_text(request, "NextToken"), given)
        limit = positive(request, "Limit")
        strongly = flag(request, "ConsistentRead")
        page = selected(self.site, statement, given, limit, start, strongly)
        capacity = consumed(request, statement.table, read_units(page.size_bytes, request))
        answer: dict[str, Any] = {"Items": page.items, **capacity}
        return answer if page.token is None else {**answer, "NextToken": page.token}

    def _transact_read(self, statements: list[Statement], request: Request) -> dict[str, Any]:
        places: list[tuple[str, ItemKey]] = []
        responses: list[dict[str, Any]] = []
        for number, statement in enumerate(statements):
            assert isinstance(statement, Select)
            place = _only_item(self.site, statement)
            if place is None:
                raise validation(
                    f"Validation failed in TransactStatements[{number}]: Select statements within "
                    "ExecuteTransaction must specify the primary key in the where clause."
                )
            places.append(place)
            item = _read_item(self.site, place, statement)
            responses.append({} if item is None else {"Item": item})
        if len(set(places)) < len(places):
            raise validation("Transaction request cannot include multiple operations on one item")
        units = {name: 2.0 for name, _ in places}
        return {"Responses": responses, **consumed_by_all(request, units)}

    def _planned(self, number: int, statement: Statement, entry: Request) -> Planned:
        assert not isinstance(statement, Select)
        if _returning(statement) != "NONE":
            raise validation(
                f"Validation failed in TransactStatements[{number}]: RETURNING clause is not "
                "supported in ExecuteTransaction."
            )
        table = table_of(self.site, {"TableName": statement.table})
        try:
            return Planned(planned(table, statement, _wants_old(entry)))
        except EmulatorError as refusal:
            if breaks_schema(refusal):
                return Planned(None, refusal)
            if isinstance(statement, Exists):
                place = f"Validation failed in TransactStatements[{number}]"
                raise validation(f"{place}: {refusal.message}") from None
            raise


class _Entry:
    """One statement of a batch; what is wrong with it is its answer."""

    def __init__(self, site: Site, request: Request) -> None:
        self._site = site
        self._request = request
        self._refusal: EmulatorError | None = None
        self._write: Write | None = None
        self.statement: Statement | None = None
        self.place: tuple[str, ItemKey] | None = None
        try:
            self.statement = _read(request)
            self._plan()
        except EmulatorError as refusal:
            self._refusal = refusal

    def _plan(self) -> None:
        match self.statement:
            case Select():
                self.place = _only_item(self._site, self.statement)
                if self.place is None:
                    raise validation("Only single item select is supported")
            case Exists():
                raise validation("EXISTS can only be used in ExecuteTransaction write requests.")
            case None:
                return
            case statement:
                table = table_of(self._site, {"TableName": statement.table})
                write = planned(table, statement, _wants_old(self._request))
                self._write, self.place = write, (table.name, write.key)

    def answer(self, units: dict[str, float]) -> dict[str, Any]:
        """Carry the statement out and return its part of the answer."""
        named = {} if self.place is None else {"TableName": self.place[0]}
        if self._refusal is None:
            try:
                item = self._carry_out(units)
                return named if item is None else {**named, "Item": item}
            except EmulatorError as refusal:
                self._refusal = refusal
        code = _CODES.get(self._refusal.type, self._refusal.type)
        error = {"Code": code, "Message": self._refusal.message, **self._refusal.extra}
        return {"Error": error, **named}

    def _carry_out(self, units: dict[str, float]) -> Item | None:
        statement = self.statement
        assert statement is not None
        assert self.place is not None
        name = self.place[0]
        if isinstance(statement, Select):
            item = _read_item(self._site, self.place, statement)
            size_bytes = item_size_bytes(item or {})
            units[name] = units.get(name, 0.0) + read_units(size_bytes, self._request)
            return item
        assert self._write is not None
        old, new = carry_out(self._site, self._write)
        units[name] = units.get(name, 0.0) + write_units(old, new)
        return returned_attributes(self._write, _returning(statement), old, new)


def _only_item(site: Site, statement: Select) -> tuple[str, ItemKey] | None:
    """Return the place of the one item that a SELECT names by its whole key and nothing else."""
    table = table_of(site, {"TableName": statement.table})
    if statement.index is not None:
        return None
    try:
        key, rest = asked_key(table, statement.where)
    except EmulatorError:
        return None
    return None if rest is not None else (table.name, item_key(table, key))


def _read_item(site: Site, place: tuple[str, ItemKey], statement: Select) -> Item | None:
    """Return what a SELECT shows of one item; nested as GetItem has it, not flat as a page has it."""
    item = site.store.item(*place)
    if item is None or statement.paths is None:
        return item
    return projected(item, statement.paths)


def _read(request: Request) -> Statement:
    parameters = read_parameters(optional_list(request, "Parameters"))
    return read_statement(text(request, "Statement"), parameters)


def _returning(statement: Statement) -> str:
    return statement.returning if isinstance(statement, Update | Delete) else "NONE"


def _wants_old(request: Request) -> bool:
    asked = chosen(request, "ReturnValuesOnConditionCheckFailure", ("ALL_OLD", "NONE"))
    return asked == "ALL_OLD"


def _members(request: Request, name: str, limit: int) -> list[Request]:
    listed: list[Any] = optional_list(request, name) or []
    shown = name[:1].lower() + name[1:]
    if not listed or len(listed) > limit:
        bound = f"less than or equal to {limit}" if listed else "greater than or equal to 1"
        raise validation(
            f"1 validation error detected: Value at '{shown}' failed to satisfy constraint: "
            f"Member must have length {bound}"
        )
    for entry in listed:
        if not isinstance(entry, dict):
            raise mistyped(name, entry, "Map")
    return listed
