"""INSERT, UPDATE, DELETE and EXISTS as writes.

Rule: an UPDATE wants its item to exist, a DELETE does not care, an INSERT wants it not to; all else is
what the item operations do. Source: DynamoDB guide, PartiQL insert, update and delete statements.
"""

from __future__ import annotations

from typing import assert_never

from triggerkit.emulator.errors import duplicate_item, validation
from triggerkit.emulator.expressions.nodes import (
    Attribute,
    Both,
    Call,
    Condition,
    Either,
)
from triggerkit.emulator.items import Write, update_write
from triggerkit.emulator.keys import check_item_key, item_key
from triggerkit.emulator.partiql.keys import asked_key, typed_key
from triggerkit.emulator.partiql.statements import Delete, Exists, Insert, Update
from triggerkit.emulator.sizes import item_size_bytes
from triggerkit.emulator.store import Table
from triggerkit.emulator.values import ITEM_LIMIT_BYTES, Item, normalise_item


def planned(
    table: Table, statement: Insert | Update | Delete | Exists, return_old_on_failure: bool
) -> Write:
    """Return the write that a statement stands for.

    Raises:
        EmulatorError: ValidationException when it does not fit the table.
    """
    match statement:
        case Insert():
            return _insert(table, statement)
        case Update(_, actions, where, _):
            key, rest = asked_key(table, where)
            condition = _exists(table) if rest is None else Both(_exists(table), rest)
            return update_write(table, key, condition, actions, return_old_on_failure)
        case Delete(_, where, _):
            key, rest = asked_key(table, where)
            allowed = None if rest is None else Either(_is_absent(table), rest)
            return Write(
                table, item_key(table, key), allowed, (), lambda _old: None, return_old_on_failure
            )
        case Exists(_, where):
            key, rest = asked_key(table, where)
            if rest is None:
                raise validation(
                    "EXISTS() must contain a single item read with additional condition"
                )
            return Write(
                table, item_key(table, key), Both(_exists(table), rest), (), lambda old: old,
                return_old_on_failure,
            )  # fmt: skip
        case _:
            assert_never(statement)


def _insert(table: Table, statement: Insert) -> Write:
    # A set or number inside was read as a value; depth is checked for the item as a whole.
    item = normalise_item(statement.item)
    for name in table.key_names():
        if name not in item:
            raise validation(f"Key attribute should be present in the item: Key {name}")
        typed_key(table, name, item[name])
    check_item_key(table, item)
    if item_size_bytes(item) > ITEM_LIMIT_BYTES:
        raise validation("Item size has exceeded the maximum allowed size")

    def renew(old: Item | None) -> Item:
        if old is not None:
            raise duplicate_item()
        return item

    return Write(table, item_key(table, item), None, (), renew, False)


def _exists(table: Table) -> Condition:
    return Call("attribute_exists", (Attribute((table.hash_key,)),))


def _is_absent(table: Table) -> Condition:
    return Call("attribute_not_exists", (Attribute((table.hash_key,)),))
