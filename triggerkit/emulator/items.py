"""Operations on one item: PutItem, GetItem, UpdateItem, DeleteItem.

A request is read and checked whole (`plan_*`) before the item is looked at; then the condition is evaluated, the
new item computed, and `commit` alone writes.
Source: DynamoDB API reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.changes import commit
from triggerkit.emulator.errors import condition_failed, invalid_parameter, validation
from triggerkit.emulator.expressions.apply import updated
from triggerkit.emulator.expressions.conditions import read_condition
from triggerkit.emulator.expressions.evaluate import holds
from triggerkit.emulator.expressions.nodes import Action, Condition
from triggerkit.emulator.expressions.placeholders import read_placeholders
from triggerkit.emulator.expressions.projections import asked_view, projected
from triggerkit.emulator.expressions.updates import read_update
from triggerkit.emulator.keys import (
    check_item_key,
    check_updated_index_keys,
    given_key,
    item_key,
    table_of,
)
from triggerkit.emulator.model import ItemKey, Table
from triggerkit.emulator.requests import Request, chosen, optional_text, required_map, text
from triggerkit.emulator.site import Site
from triggerkit.emulator.sizes import consumed, item_size_bytes, read_units, write_units
from triggerkit.emulator.values import ITEM_LIMIT_BYTES, Item, check_nesting, normalise_item

RETURN_VALUES = ("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")
LEGACY_MEMBERS = (
    "AttributeUpdates",
    "AttributesToGet",
    "ConditionalOperator",
    "Expected",
    "KeyConditions",
    "QueryFilter",
    "ScanFilter",
)


@dataclass(frozen=True, slots=True)
class Write:
    """One checked write: where, on what condition, and how the new item comes from the old one."""

    table: Table
    key: ItemKey
    condition: Condition | None
    actions: Sequence[Action]
    renew: Callable[[Item | None], Item | None]
    return_old_on_failure: bool

    def result(self, old: Item | None) -> Item | None:
        """Return the item after this write.

        Raises:
            EmulatorError: the condition fails or the update cannot be applied.
        """
        if self.condition is not None and not holds(self.condition, old or {}):
            raise condition_failed(old if self.return_old_on_failure else None)
        return self.renew(old)


@dataclass(frozen=True, slots=True)
class ItemsApi:
    """Operations on single items of one site."""

    site: Site

    def operations(self) -> dict[str, Callable[[Request], dict[str, Any]]]:
        """Return the operations by name."""
        return {
            "PutItem": self.put_item,
            "GetItem": self.get_item,
            "UpdateItem": self.update_item,
            "DeleteItem": self.delete_item,
        }

    def put_item(self, request: Request) -> dict[str, Any]:
        """Answer PutItem."""
        returned = _returned(request, ("NONE", "ALL_OLD"))
        return self._perform(request, plan_put(table_of(self.site, request), request), returned)

    def delete_item(self, request: Request) -> dict[str, Any]:
        """Answer DeleteItem."""
        returned = _returned(request, ("NONE", "ALL_OLD"))
        write = plan_delete(table_of(self.site, request), request)
        return self._perform(request, write, returned)

    def update_item(self, request: Request) -> dict[str, Any]:
        """Answer UpdateItem."""
        returned = _returned(request, RETURN_VALUES)
        write = plan_update(table_of(self.site, request), request)
        return self._perform(request, write, returned)

    def get_item(self, request: Request) -> dict[str, Any]:
        """Answer GetItem."""
        refuse_legacy(request)
        table = table_of(self.site, request)
        view = asked_view(request)
        item = self.site.store.item(table.name, item_key(table, given_key(table, request)))
        units = read_units(item_size_bytes(item or {}), request)
        capacity = consumed(request, table.name, units)
        return capacity if item is None else {"Item": view(item), **capacity}

    def _perform(self, request: Request, write: Write, returned: str) -> dict[str, Any]:
        old = self.site.store.item(write.table.name, write.key)
        new = write.result(old)
        commit(self.site, write.table, write.key, new)
        attributes = _attributes(write, returned, old, new)
        capacity = consumed(request, write.table.name, write_units(old, new))
        return {"Attributes": attributes, **capacity} if attributes else capacity


def _attributes(write: Write, returned: str, old: Item | None, new: Item | None) -> Item | None:
    """Return what ReturnValues asks for."""
    paths = [action.path for action in write.actions]
    match returned:
        case "ALL_OLD":
            return old
        case "ALL_NEW":
            return new
        case "UPDATED_OLD":
            return projected(old or {}, paths)
        case "UPDATED_NEW":
            return projected(new or {}, paths)
        case _:
            return None


def plan_put(table: Table, request: Request) -> Write:
    """Read a put; the request may also be a PutRequest of a batch."""
    refuse_legacy(request)
    item = normalise_item(required_map(request, "Item"))
    condition, _ = _expressions(request)
    check_item_key(table, item)
    if item_size_bytes(item) > ITEM_LIMIT_BYTES:
        raise validation("Item size has exceeded the maximum allowed size")
    key = item_key(table, item)
    return Write(table, key, condition, (), lambda _old: item, _wants_old(request))


def plan_delete(table: Table, request: Request) -> Write:
    """Read a delete; the request may also be a DeleteRequest of a batch."""
    refuse_legacy(request)
    required_map(request, "Key")
    condition, _ = _expressions(request)
    key = item_key(table, given_key(table, request))
    return Write(table, key, condition, (), lambda _old: None, _wants_old(request))


def plan_update(table: Table, request: Request) -> Write:
    """Read an update."""
    refuse_legacy(request)
    required_map(request, "Key")
    condition, actions = _expressions(request, with_update=True)
    key_attributes = given_key(table, request)
    in_key = [action.path[0] for action in actions if action.path[0] in table.key_names()]

    def renew(old: Item | None) -> Item:
        if in_key:
            raise invalid_parameter(
                f"Cannot update attribute {in_key[0]}. This attribute is part of the key"
            )
        new = updated(key_attributes if old is None else old, actions)
        for path in (action.path for action in actions if len(action.path) > 1):
            check_nesting(new.get(str(path[0])))
        if item_size_bytes(new) > ITEM_LIMIT_BYTES:
            raise validation("Item size to update has exceeded the maximum allowed size")
        check_updated_index_keys(table, new)
        return new

    key = item_key(table, key_attributes)
    return Write(table, key, condition, actions, renew, _wants_old(request))


def plan_check(table: Table, request: Request) -> Write:
    """Read a condition check of a transaction, which writes the item as it is."""
    required_map(request, "Key")
    text(request, "ConditionExpression")
    condition, _ = _expressions(request)
    key = item_key(table, given_key(table, request))
    return Write(table, key, condition, (), lambda old: old, _wants_old(request))


def refuse_legacy(request: Request) -> None:
    """Refuse the members from before expressions.

    Raises:
        EmulatorError: ValidationException that names the member.
    """
    for member in LEGACY_MEMBERS:
        if member in request:
            raise validation(
                f"The embedded endpoint of triggerkit does not have the legacy parameter {member}; "
                "use an expression, or DynamoDB Local or AWS"
            )


def _expressions(
    request: Request, with_update: bool = False
) -> tuple[Condition | None, Sequence[Action]]:
    members: Mapping[str, str | None] = {
        name: optional_text(request, name)
        for name in (("UpdateExpression",) if with_update else ()) + ("ConditionExpression",)
    }
    placeholders = read_placeholders(request, members)
    update, condition = members.get("UpdateExpression"), members["ConditionExpression"]
    actions = () if update is None else read_update(update, placeholders)
    tree = None
    if condition is not None:
        tree = read_condition("ConditionExpression", condition, placeholders)
    placeholders.require_all_used()
    return tree, actions


def _returned(request: Request, allowed: Sequence[str]) -> str:
    returned = chosen(request, "ReturnValues", RETURN_VALUES) or "NONE"
    if returned not in allowed:
        raise validation("Return values set to invalid value")
    return returned


def _wants_old(request: Request) -> bool:
    asked = chosen(request, "ReturnValuesOnConditionCheckFailure", ("ALL_OLD", "NONE"))
    return asked == "ALL_OLD"
