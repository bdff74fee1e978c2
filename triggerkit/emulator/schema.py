"""The key schema of a new table. Rule: every key attribute is defined, and nothing else is.

Source: DynamoDB API reference, CreateTable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from triggerkit.emulator.errors import invalid_parameter
from triggerkit.emulator.requests import Request, chosen, missing, mistyped, optional_list, text

KEY_TYPES = ("S", "N", "B")


@dataclass(frozen=True, slots=True)
class KeySchema:
    """Names and types of the key attributes."""

    hash_key: str
    sort_key: str | None
    types: Mapping[str, str]


def read_schema(request: Request) -> KeySchema:
    """Return the key schema of a CreateTable request.

    Raises:
        EmulatorError: ValidationException when schema and attribute definitions do not fit.
    """
    types: dict[str, str] = {}
    for entry in _entries(request, "AttributeDefinitions"):
        kind = chosen(entry, "AttributeType", ("B", "N", "S"))
        types[text(entry, "AttributeName")] = kind or ""
    keys: list[tuple[str, str | None]] = [
        (text(entry, "AttributeName"), chosen(entry, "KeyType", ("HASH", "RANGE")))
        for entry in _entries(request, "KeySchema")
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
    absent = [name for name in names if name not in types]
    if absent:
        raise invalid_parameter(
            "Some index key attributes are not defined in AttributeDefinitions. "
            f"Keys: [{', '.join(names)}], AttributeDefinitions: [{', '.join(types)}]"
        )
    if len(types) != len(names):
        raise invalid_parameter(
            "Number of attributes in KeySchema does not exactly match number of attributes defined "
            "in AttributeDefinitions"
        )
    return KeySchema(names[0], names[1] if len(names) == 2 else None, types)


def _entries(request: Request, member: str) -> list[Request]:
    listed = optional_list(request, member)
    if listed is None:
        raise missing(member)
    for entry in listed:
        if not isinstance(entry, Mapping):
            raise mistyped(member, entry, "Map")
    return listed
