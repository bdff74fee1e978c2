"""TransactWriteItems and TransactGetItems.

All actions are checked against the state before the first of them; then all are committed in the order of the
request, or none. A client token makes a transaction happen once in ten minutes.
Source: DynamoDB API reference, TransactWriteItems and TransactGetItems.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.changes import commit
from triggerkit.emulator.errors import (
    EmulatorError,
    idempotent_mismatch,
    transaction_cancelled,
    validation,
)
from triggerkit.emulator.expressions.projections import asked_view
from triggerkit.emulator.items import Write, plan_check, plan_delete, plan_put, plan_update
from triggerkit.emulator.keys import breaks_schema, given_key, item_key, table_of
from triggerkit.emulator.model import Table
from triggerkit.emulator.requests import (
    Request,
    missing,
    mistyped,
    optional_list,
    optional_text,
    required_map,
    violated,
)
from triggerkit.emulator.site import Site
from triggerkit.emulator.sizes import consumed_by_all, item_size_bytes, read_units, write_units
from triggerkit.emulator.values import Item

MAX_ACTIONS = 100
PAYLOAD_LIMIT_BYTES = 4 * 1024 * 1024
TOKEN_SECONDS = 600
MAX_TOKEN_LENGTH = 36
_TOKENS = "token:"
_TWICE = "Transaction request cannot include multiple operations on one item"
_PLANS: dict[str, Callable[[Table, Request], Write]] = {
    "ConditionCheck": plan_check,
    "Put": plan_put,
    "Delete": plan_delete,
    "Update": plan_update,
}


@dataclass(frozen=True, slots=True)
class TransactionsApi:
    """Transactions over one site."""

    site: Site

    def operations(self) -> dict[str, Callable[[Request], dict[str, Any]]]:
        """Return the operations by name."""
        return {
            "TransactWriteItems": self.transact_write_items,
            "TransactGetItems": self.transact_get_items,
        }

    def transact_write_items(self, request: Request) -> dict[str, Any]:
        """Answer TransactWriteItems."""
        actions = _members(request, "TransactItems")
        token = _Token(self.site, optional_text(request, "ClientRequestToken"), actions)
        if token.was_used():
            return {}
        units = _perform(self.site, [_planned(self.site, action) for action in actions])
        token.use()
        return consumed_by_all(request, units)

    def transact_get_items(self, request: Request) -> dict[str, Any]:
        """Answer TransactGetItems."""
        gets = [required_map(action, "Get") for action in _members(request, "TransactItems")]
        reads = [_read(self.site, get) for get in gets]
        if len({place for place, _ in reads}) < len(reads):
            raise validation(_TWICE)
        units: Counter[str] = Counter()
        responses: list[dict[str, Any]] = []
        for (name, *key), view in reads:
            item = self.site.store.item(name, (key[0], key[1]))
            read = read_units(item_size_bytes(item or {}), {"ConsistentRead": True})
            units[name] += int(2 * read)
            responses.append({} if item is None else {"Item": view(item)})
        return {"Responses": responses, **consumed_by_all(request, units)}


class _Token:
    """The client token of one transaction; without one, nothing is remembered."""

    def __init__(self, site: Site, token: str | None, asked: Sequence[Any]) -> None:
        if token is not None and len(token) > MAX_TOKEN_LENGTH:
            bound = f"Member must have length less than or equal to {MAX_TOKEN_LENGTH}"
            raise violated(token, "ClientRequestToken", bound)
        self._site = site
        self._name = _TOKENS + token if token else None
        text = json.dumps(asked, sort_keys=True)
        self._digest = hashlib.sha256(text.encode()).hexdigest()

    def was_used(self) -> bool:
        """Return whether this very transaction was carried out in the last ten minutes.

        Raises:
            EmulatorError: IdempotentParameterMismatchException, another one was.
        """
        now_seconds = self._site.clock.now_seconds()
        store = self._site.store
        for name, fact in store.facts(_TOKENS) if self._name is not None else ():
            digest, used_seconds = json.loads(fact)
            if now_seconds - used_seconds > TOKEN_SECONDS:
                store.save_fact(name, None)
            elif name == self._name and digest != self._digest:
                raise idempotent_mismatch()
            elif name == self._name:
                return True
        return False

    def use(self) -> None:
        """Remember that the transaction was carried out."""
        if self._name is not None:
            fact = json.dumps([self._digest, self._site.clock.now_seconds()])
            self._site.store.save_fact(self._name, fact)


def _perform(site: Site, actions: Sequence[Write | EmulatorError]) -> dict[str, float]:
    """Carry out all actions or none; return the capacity used by table.

    Raises:
        EmulatorError: TransactionCanceledException with the reasons, ValidationException.
    """
    writes = [each for each in actions if isinstance(each, Write)]
    if len({(write.table.name, write.key) for write in writes}) < len(writes):
        raise validation(_TWICE)
    results = [_result(site, action) for action in actions]
    if any(isinstance(each, EmulatorError) for each in results):
        raise transaction_cancelled(
            [each if isinstance(each, EmulatorError) else None for each in results]
        )
    changes = [each for each in results if not isinstance(each, EmulatorError)]
    size_bytes = sum(item_size_bytes(new or {}) for _, new in changes)
    if size_bytes > PAYLOAD_LIMIT_BYTES:
        raise validation(f"Transaction payload size cannot exceed 4MB. Payload Size: {size_bytes}")
    units: defaultdict[str, float] = defaultdict(float)
    for write, new in changes:
        old = commit(site, write.table, write.key, new)
        units[write.table.name] += 2 * write_units(old, new)
    return units


def _result(site: Site, action: Write | EmulatorError) -> tuple[Write, Item | None] | EmulatorError:
    """Return an action with the new item, or why it cannot be done."""
    if isinstance(action, EmulatorError):
        return action
    try:
        return action, action.result(site.store.item(action.table.name, action.key))
    except EmulatorError as refusal:
        return refusal


def _planned(site: Site, action: Request) -> Write | EmulatorError:
    """Return the write that an action asks for, or why it cannot be done whatever the item is."""
    given = [name for name in _PLANS if action.get(name) is not None]
    if len(given) != 1:
        raise validation(
            "TransactItems can only contain one of Check, Put, Update or Delete"
            if given
            else "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request"
        )
    inner = required_map(action, given[0])
    table = table_of(site, inner)
    try:
        return _PLANS[given[0]](table, inner)
    except EmulatorError as refusal:
        if breaks_schema(refusal):
            return refusal
        raise


def _read(site: Site, get: Request) -> tuple[tuple[str, str, str], Callable[[Item], Item]]:
    table, view = table_of(site, get), asked_view(get)
    try:
        key = item_key(table, given_key(table, get))
    except EmulatorError as refusal:
        raise (transaction_cancelled([refusal]) if breaks_schema(refusal) else refusal) from None
    return (table.name, *key), view


def _members(request: Request, name: str) -> list[Request]:
    listed = optional_list(request, name)
    if listed is None:
        raise missing(name)
    if not 1 <= len(listed) <= MAX_ACTIONS:
        bound = f"less than or equal to {MAX_ACTIONS}" if listed else "greater than or equal to 1"
        raise violated("[...]" if listed else "[]", name, f"Member must have length {bound}")
    for entry in listed:
        if not isinstance(entry, dict):
            raise mistyped(name, entry, "Map")
    return listed
