"""Keys of items: what a table's schema demands of them.

A key is checked against the schema before anything else is done with an item, and becomes the canonical text
under which the store keeps it. Source: DynamoDB guide, naming rules and data types.
"""

from __future__ import annotations

from collections.abc import Callable

from triggerkit.emulator.errors import EmulatorError, invalid_parameter, not_found, validation
from triggerkit.emulator.indexes import Index
from triggerkit.emulator.model import ItemKey, Table
from triggerkit.emulator.requests import Request, required_map, table_name
from triggerkit.emulator.site import Site
from triggerkit.emulator.sizes import value_size_bytes
from triggerkit.emulator.values import Item, Value, normalise_item

HASH_KEY_LIMIT_BYTES = 2048
SORT_KEY_LIMIT_BYTES = 1024
_MISMATCH = "The provided key element does not match the schema"


def table_of(site: Site, request: Request) -> Table:
    """Return the table that an operation on items names.

    Raises:
        EmulatorError: ResourceNotFoundException.
    """
    table = site.store.table(table_name(request))
    if table is None:
        raise not_found("Requested resource not found")
    return table


def described_table(site: Site, request: Request) -> Table:
    """Return the table that an operation on tables names; the same as `table_of`, with another text."""
    name = table_name(request)
    table = site.store.table(name)
    if table is None:
        raise not_found(f"Requested resource not found: Table: {name} not found")
    return table


def empty_key(name: str, kind: str) -> EmulatorError:
    """Return the answer to a key attribute of type `kind` that is empty."""
    return validation(
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain "
        f"an empty {_noun(kind)} value. Key: {name}"
    )


def _noun(kind: str) -> str:
    return "string" if kind == "S" else "binary"


def given_key(table: Table, request: Request, member: str = "Key") -> Item:
    """Return the canonical key attributes in a request's `member`."""
    key = normalise_item(required_map(request, member))
    if len(key) != len(table.key_names()):
        raise validation("The number of conditions on the keys is invalid")
    _check(table, key, lambda _name, _value: validation(_MISMATCH))
    return key


def check_item_key(table: Table, item: Item) -> None:
    """Refuse an item whose key attributes are absent, mistyped, empty or too long."""

    def wrong(name: str, value: Value | None) -> EmulatorError:
        if value is None:
            return invalid_parameter(f"Missing the key {name} in the item")
        return invalid_parameter(
            f"Type mismatch for key {name} expected: {table.key_types[name]} "
            f"actual: {next(iter(value))}"
        )

    _check(table, item, wrong)
    for index in table.indexes:
        for name in index.key_names():
            _check_index_key(table, index, name, item.get(name))


def check_updated_index_keys(table: Table, item: Item) -> None:
    """Refuse an update that leaves an index key mistyped, empty or too long."""
    for index in table.indexes:
        for name in index.key_names():
            value = item.get(name)
            if value is not None and table.key_types[name] not in value:
                raise validation(
                    "The update expression attempted to update the secondary index key to "
                    "unsupported type"
                )
            if value is not None and not next(iter(value.values())):
                raise validation(
                    "One or more parameter values are not valid. The update expression attempted "
                    "to update a secondary index key to a value that is not supported. The "
                    f"AttributeValue for a key attribute cannot contain an empty "
                    f"{_noun(table.key_types[name])} value."
                )
            _check_index_key(table, index, name, value)


def _check_index_key(table: Table, index: Index, name: str, value: Value | None) -> None:
    if value is None:
        return
    kind = table.key_types[name]
    if kind not in value:
        raise invalid_parameter(
            f"Type mismatch for Index Key {name} Expected: {kind} Actual: {next(iter(value))} "
            f"IndexName: {index.name}"
        )
    if not value[kind]:
        raise validation(
            "One or more parameter values are not valid. A value specified for a secondary index "
            "key is not supported. The AttributeValue for a key attribute cannot contain an empty "
            f"{_noun(kind)} value. IndexName: {index.name}, IndexKey: {name}"
        )
    limit = HASH_KEY_LIMIT_BYTES if name == index.hash_key else SORT_KEY_LIMIT_BYTES
    if value_size_bytes(value) > limit:
        raise invalid_parameter(
            f"Size limit exceeded: index key {name} has more than {limit} bytes IndexName: "
            f"{index.name}"
        )


def breaks_schema(error: EmulatorError) -> bool:
    """Return whether an error says that a key attribute is of another type than its schema's."""
    return error.message == _MISMATCH or "Type mismatch for" in error.message


def item_key(table: Table, attributes: Item) -> ItemKey:
    """Return the store's key of checked key attributes or of a whole item."""
    return key_text(attributes[table.hash_key]), (
        "" if table.sort_key is None else key_text(attributes[table.sort_key])
    )


def key_text(value: Value) -> str:
    """Return the canonical text of a key attribute's value."""
    (content,) = value.values()
    assert isinstance(content, str)
    return content


def _check(
    table: Table, attributes: Item, wrong: Callable[[str, Value | None], EmulatorError]
) -> None:
    for name in table.key_names():
        value = attributes.get(name)
        kind = table.key_types[name]
        if value is None or kind not in value:
            raise wrong(name, value)
        if not value[kind]:
            raise empty_key(name, kind)
        _check_length(name == table.hash_key, value)


def _check_length(hash_key: bool, value: Value) -> None:
    size_bytes = value_size_bytes(value)
    if hash_key and size_bytes > HASH_KEY_LIMIT_BYTES:
        raise invalid_parameter("Size of hashkey has exceeded the maximum size limit of2048 bytes")
    if not hash_key and size_bytes > SORT_KEY_LIMIT_BYTES:
        raise invalid_parameter(
            "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
        )
