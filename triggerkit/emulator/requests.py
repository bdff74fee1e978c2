"""Reading members of a request.

Nothing is assumed about a request's JSON: a missing, mistyped or out-of-range member gets the answer that AWS
gives, and operations read members with these functions only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from triggerkit.emulator.errors import EmulatorError, validation

Request: TypeAlias = Mapping[str, Any]

_TABLE_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")


def member(name: str) -> str:
    """Return a member's name as constraint texts spell it."""
    return name[:1].lower() + name[1:]


def violated(value: object, name: str, constraint: str) -> EmulatorError:
    """Return the answer to a member that breaks a constraint of the service model."""
    return validation(
        f"1 validation error detected: Value '{value}' at '{member(name)}' failed to satisfy "
        f"constraint: {constraint}"
    )


def missing(name: str) -> EmulatorError:
    """Return the answer to a required member that is absent."""
    return validation(
        f"1 validation error detected: Value null at '{member(name)}' failed to satisfy "
        "constraint: Member must not be null"
    )


def mistyped(name: str, value: object, wanted: str) -> EmulatorError:
    """Return the answer to a member whose JSON type is wrong."""
    return EmulatorError(
        "SerializationException",
        f"{name}: {type(value).__name__} can not be converted to {wanted}",
    )


def optional_text(request: Request, name: str) -> str | None:
    """Return a string member, None when absent."""
    value = request.get(name)
    if value is not None and not isinstance(value, str):
        raise mistyped(name, value, "String")
    return value


def text(request: Request, name: str) -> str:
    """Return a required string member."""
    value = optional_text(request, name)
    if value is None:
        raise missing(name)
    return value


def chosen(request: Request, name: str, allowed: Sequence[str]) -> str | None:
    """Return a member that must be one of `allowed`, None when absent."""
    value = optional_text(request, name)
    if value is not None and value not in allowed:
        listed = ", ".join(allowed)
        raise violated(value, name, f"Member must satisfy enum value set: [{listed}]")
    return value


def flag(request: Request, name: str) -> bool:
    """Return a boolean member; absent is false."""
    value = request.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise mistyped(name, value, "Boolean")
    return value


def positive(request: Request, name: str) -> int | None:
    """Return an integer member of at least 1, None when absent."""
    value = request.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise mistyped(name, value, "Integer")
    if value < 1:
        raise violated(value, name, "Member must have value greater than or equal to 1")
    return value


def optional_map(request: Request, name: str) -> Mapping[str, Any] | None:
    """Return a structure member, None when absent."""
    value = request.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise mistyped(name, value, "Map")
    return value


def required_map(request: Request, name: str) -> Mapping[str, Any]:
    """Return a required structure member."""
    value = optional_map(request, name)
    if value is None:
        raise missing(name)
    return value


def optional_list(request: Request, name: str) -> list[Any] | None:
    """Return a list member, None when absent."""
    value = request.get(name)
    if value is not None and not isinstance(value, list):
        raise mistyped(name, value, "List")
    return value


def table_name(request: Request) -> str:
    """Return TableName; an ARN stands for the table that it names.

    Raises:
        EmulatorError: ValidationException for a name outside DynamoDB's rules.
    """
    name = text(request, "TableName")
    if name.startswith("arn:"):
        name = name.rpartition(":table/")[2].partition("/")[0]
    return check_table_name(name)


def check_table_name(name: str) -> str:
    """Return the name of a table or index.

    Raises:
        EmulatorError: ValidationException for a name outside DynamoDB's rules.
    """
    if not _TABLE_NAME.fullmatch(name):
        raise validation(
            "Invalid table/index name.  Table/index names must be between 3 and 255 characters "
            "long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'"
        )
    return name
