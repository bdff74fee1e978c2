"""The key schema of a new table. Rule: every key attribute is defined, and nothing else is.

Source: DynamoDB API reference, CreateTable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from triggerkit.emulator.errors import invalid_parameter
from triggerkit.emulator.index_definitions import read_indexes, read_keys, read_types, undefined
from triggerkit.emulator.indexes import Index
from triggerkit.emulator.requests import Request, missing, optional_list


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
    types = read_types(request)
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
