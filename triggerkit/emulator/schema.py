"""Keys and secondary indexes as CreateTable and UpdateTable ask for them.

They are read and checked whole before the table is touched; a new index is filled and ACTIVE when the call returns.
Source: DynamoDB API reference, CreateTable, UpdateTable, Projection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from triggerkit.emulator.errors import EmulatorError, invalid_parameter, not_found, validation
from triggerkit.emulator.indexes import Index
from triggerkit.emulator.requests import (
    Request,
    check_table_name,
    chosen,
    missing,
    mistyped,
    optional_list,
    optional_map,
    positive,
    text,
)

LOCAL, GLOBAL = "LocalSecondaryIndexes", "GlobalSecondaryIndexes"
UPDATES = "GlobalSecondaryIndexUpdates"
MAX_LOCAL, MAX_GLOBAL = 5, 20
MAX_INCLUDED = 100
PROJECTIONS = ("ALL", "KEYS_ONLY", "INCLUDE")


@dataclass(frozen=True, slots=True)
class KeySchema:
    """Names of the table's key attributes, its indexes, and the types of all their keys."""

    hash_key: str
    sort_key: str | None
    types: Mapping[str, str]
    indexes: tuple[Index, ...]


def read_schema(request: Request, mode: str) -> KeySchema:
    """Return keys and indexes of a CreateTable request of the billing mode `mode`.

    Raises:
        EmulatorError: ValidationException when schema and attribute definitions do not fit.
    """
    for member in ("AttributeDefinitions", "KeySchema"):
        if optional_list(request, member) is None:
            raise missing(member)
    types = _read_types(request)
    hash_key, sort_key = read_keys(request)
    names = [hash_key] if sort_key is None else [hash_key, sort_key]
    if any(name not in types for name in names):
        raise undefined(names, types)
    indexes = read_indexes(request, (hash_key, sort_key), types, mode)
    used = dict.fromkeys(names)
    for index in indexes:
        used |= dict.fromkeys(index.key_names())
    if len(types) != len(used) and not indexes:
        raise invalid_parameter(
            "Number of attributes in KeySchema does not exactly match number of attributes defined "
            "in AttributeDefinitions"
        )
    if len(types) != len(used):
        raise invalid_parameter(
            "Some AttributeDefinitions are not used. AttributeDefinitions: "
            f"[{', '.join(types)}], keys used: [{', '.join(used)}]"
        )
    return KeySchema(hash_key, sort_key, types, indexes)


def read_indexes(
    request: Request, keys: tuple[str, str | None], types: Mapping[str, str], mode: str
) -> tuple[Index, ...]:
    """Return the indexes of a CreateTable request, local ones first.

    `keys` are partition and sort key of the table, `types` its definitions, `mode` its billing mode.

    Raises:
        EmulatorError: ValidationException.
    """
    local = [_index(entry, True, mode, types) for entry in entries(request, LOCAL)]
    everywhere = [_index(entry, False, mode, types) for entry in entries(request, GLOBAL)]
    for index in local:
        _check_local(index, *keys)
    if request.get(GLOBAL) == []:
        raise invalid_parameter(f"List of {GLOBAL} is empty")
    if len(local) > MAX_LOCAL:
        raise invalid_parameter(f"Number of {LOCAL} exceeds per-table limit of {MAX_LOCAL}")
    _check_count(everywhere)
    names = [index.name for index in (*local, *everywhere)]
    for name in names:
        if names.count(name) > 1:
            raise invalid_parameter(f"Duplicate index name: {name}")
    return (*local, *everywhere)


def updated_indexes(
    request: Request, indexes: Sequence[Index], types: dict[str, str], mode: str
) -> list[Index]:
    """Return the indexes after an UpdateTable request; `types` gains what new ones define.

    Raises:
        EmulatorError: ValidationException, ResourceNotFoundException, LimitExceededException.
    """
    asked = [_only_action(entry) for entry in entries(request, UPDATES)]
    if sum(action != "Update" for action, _ in asked) > 1:
        raise EmulatorError(
            "LimitExceededException",
            "Subscriber limit exceeded: Only 1 online index can be created or deleted "
            "simultaneously per table",
        )
    after = {index.name: index for index in indexes}
    for action, entry in asked:
        name = text(entry, "IndexName")
        if action == "Create":
            if name in after:
                raise validation("Attempting to create an index which already exists")
            _define(types, request)
            after[name] = _index(entry, False, mode, types)
        elif name not in after or after[name].is_local:
            raise not_found("Requested resource not found")
        elif action == "Delete":
            del after[name]
    _check_count([index for index in after.values() if not index.is_local])
    return list(after.values())


def _define(types: dict[str, str], request: Request) -> None:
    for name, kind in _read_types(request).items():
        if types.setdefault(name, kind) != kind:
            raise invalid_parameter(f"Attribute {name} is defined with another type in the table")


def _read_types(request: Request) -> dict[str, str]:
    """Return the types of AttributeDefinitions, by name."""
    types: dict[str, str] = {}
    for entry in entries(request, "AttributeDefinitions"):
        name = text(entry, "AttributeName")
        kind = chosen(entry, "AttributeType", ("B", "N", "S"))
        if kind is None:
            raise missing("attributeDefinitions.attributeType")
        if name in types:
            raise invalid_parameter(f"Duplicate AttributeName in AttributeDefinitions: {name}")
        types[name] = kind
    return types


def read_keys(request: Request) -> tuple[str, str | None]:
    """Return partition key and sort key of a KeySchema.

    Raises:
        EmulatorError: ValidationException when they are none.
    """
    keys: list[tuple[str, str | None]] = [
        (text(entry, "AttributeName"), chosen(entry, "KeyType", ("HASH", "RANGE")))
        for entry in entries(request, "KeySchema")
    ]
    if not keys or keys[0][1] != "HASH":
        raise invalid_parameter(
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type"
        )
    if len(keys) > 2:
        raise invalid_parameter("Invalid KeySchema: a table has one or two key attributes")
    if len(keys) == 2 and keys[1][1] != "RANGE":
        raise invalid_parameter(
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"
        )
    names = [name for name, _ in keys]
    if len(set(names)) != len(names):
        raise invalid_parameter(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name"
        )
    return names[0], names[1] if len(names) == 2 else None


def undefined(names: Sequence[str], types: Mapping[str, str]) -> EmulatorError:
    """Return the answer to key attributes that have no type."""
    return invalid_parameter(
        "Some index key attributes are not defined in AttributeDefinitions. "
        f"Keys: [{', '.join(names)}], AttributeDefinitions: [{', '.join(types)}]"
    )


def entries(request: Request, name: str) -> list[Request]:
    """Return a list of structures; absent is empty."""
    listed: list[Any] = optional_list(request, name) or []
    for entry in listed:
        if not isinstance(entry, Mapping):
            raise mistyped(name, entry, "Map")
    return listed


def _index(entry: Request, is_local: bool, mode: str, types: Mapping[str, str]) -> Index:
    name = check_table_name(text(entry, "IndexName"))
    hash_key, sort_key = read_keys(entry)
    names = [hash_key] if sort_key is None else [hash_key, sort_key]
    if any(each not in types for each in names):
        raise undefined(names, types)
    kinds = tuple(types[each] for each in names)
    index = Index(name, is_local, hash_key, sort_key, kinds, *_projection(entry))
    units = optional_map(entry, "ProvisionedThroughput")
    if is_local or mode == "PAY_PER_REQUEST":
        return index
    if units is None:
        raise invalid_parameter(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified for index: " + name
        )
    read_units = positive(units, "ReadCapacityUnits") or 1
    write_units = positive(units, "WriteCapacityUnits") or 1
    return replace(index, read_units=read_units, write_units=write_units)


def _projection(entry: Request) -> tuple[str, tuple[str, ...]]:
    asked = optional_map(entry, "Projection")
    kind = None if asked is None else chosen(asked, "ProjectionType", PROJECTIONS)
    if asked is None or kind is None:
        raise invalid_parameter("Unknown ProjectionType: null")
    included = optional_list(asked, "NonKeyAttributes")
    if kind == "INCLUDE" and not included:
        raise invalid_parameter("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
    if kind != "INCLUDE" and included is not None:
        raise invalid_parameter(f"ProjectionType is {kind}, but NonKeyAttributes is specified")
    for name in included or ():
        if not isinstance(name, str):
            raise mistyped("NonKeyAttributes", name, "String")
    names = tuple(included or ())
    if len(set(names)) < len(names):
        raise invalid_parameter("NonKeyAttributes must not contain duplicates")
    if len(names) > MAX_INCLUDED:
        raise invalid_parameter(f"NonKeyAttributes has more than {MAX_INCLUDED} names")
    return kind, names


def _check_local(index: Index, hash_key: str, sort_key: str | None) -> None:
    if sort_key is None:
        raise invalid_parameter(
            "Table KeySchema does not have a range key, which is required when specifying a "
            "LocalSecondaryIndex"
        )
    if index.sort_key is None:
        raise invalid_parameter(
            f"Index KeySchema does not have a range key for index: {index.name}"
        )
    if index.hash_key != hash_key:
        raise invalid_parameter(
            "Index KeySchema does not have the same leading hash key as table KeySchema for index: "
            f"{index.name}. index hash key: {index.hash_key}, table hash key: {hash_key}"
        )


def _check_count(indexes: Sequence[Index]) -> None:
    if len(indexes) > MAX_GLOBAL:
        raise invalid_parameter(
            f"GlobalSecondaryIndex count exceeds the per-table limit of {MAX_GLOBAL}"
        )


def _only_action(entry: Request) -> tuple[str, Request]:
    given = [name for name in ("Create", "Update", "Delete") if entry.get(name) is not None]
    if len(given) != 1:
        raise invalid_parameter(
            "One of GlobalSecondaryIndexUpdate Create, Update, Delete must not be null"
            if not given
            else "Only one of GlobalSecondaryIndexUpdate Create, Update, Delete may be given"
        )
    action = given[0]
    inner = optional_map(entry, action)
    assert inner is not None
    return action, inner
