"""The names and values that a request gives to its expressions.

Every placeholder that is used must be given and every one given must be used; values are made canonical first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from triggerkit.emulator.errors import EmulatorError, validation
from triggerkit.emulator.expressions.nodes import Literal
from triggerkit.emulator.requests import Request, optional_map
from triggerkit.emulator.values import Value, normalise

_NAMES = "ExpressionAttributeNames"
_VALUES = "ExpressionAttributeValues"


@dataclass(slots=True)
class Placeholders:
    """ExpressionAttributeNames and ExpressionAttributeValues of one request."""

    names: Mapping[str, str]
    values: Mapping[str, Value]
    _used: set[str] = field(default_factory=set)

    def name(self, alias: str) -> str | None:
        """Return the attribute name that `#alias` stands for, None when it is not given."""
        self._used.add(alias)
        return self.names.get(alias)

    def literal(self, name: str) -> Literal | None:
        """Return the value that `:name` stands for, None when it is not given."""
        self._used.add(name)
        value = self.values.get(name)
        return None if value is None else Literal(name, value)

    def require_all_used(self) -> None:
        """Refuse placeholders that no expression mentions.

        Raises:
            EmulatorError: ValidationException that names them.
        """
        for member, given in ((_NAMES, self.names), (_VALUES, self.values)):
            unused = [key for key in given if key not in self._used]
            if unused:
                raise validation(
                    f"Value provided in {member} unused in expressions: keys: "
                    "{" + ", ".join(unused) + "}"
                )


def read_placeholders(request: Request, expressions: Mapping[str, str | None]) -> Placeholders:
    """Return the placeholders of a request; `expressions` are the request's by member name.

    Raises:
        EmulatorError: ValidationException for placeholders without an expression, bad keys or values.
    """
    names = optional_map(request, _NAMES)
    values = optional_map(request, _VALUES)
    if names is None and values is None:
        return Placeholders({}, {})
    if not any(expressions.values()):
        if names is not None:
            raise validation(f"{_NAMES} can only be specified when using expressions")
        raise validation(
            f"{_VALUES} can only be specified when using expressions: {_absent(expressions)}"
        )
    return Placeholders(_checked_names(names), _checked_values(values))


def _absent(expressions: Mapping[str, str | None]) -> str:
    members = list(expressions)
    return f"{' and '.join(members)} {'is' if len(members) == 1 else 'are'} null"


def _checked_names(names: Mapping[str, object] | None) -> dict[str, str]:
    if names is None:
        return {}
    if not names:
        raise validation(f"{_NAMES} must not be empty")
    checked = {}
    for key, name in names.items():
        _check_key(_NAMES, key, "#")
        if not isinstance(name, str) or not name:
            raise validation(f"{_NAMES} contains invalid value: Empty attribute name for key {key}")
        checked[key] = name
    return checked


def _checked_values(values: Mapping[str, object] | None) -> dict[str, Value]:
    if values is None:
        return {}
    if not values:
        raise validation(f"{_VALUES} must not be empty")
    checked = {}
    for key, value in values.items():
        _check_key(_VALUES, key, ":")
        try:
            checked[key] = normalise(value)
        except EmulatorError as wrong:
            if wrong.type != "ValidationException":
                raise
            raise validation(
                f"{_VALUES} contains invalid value: {wrong.message} for key {key}"
            ) from None
    return checked


def _check_key(member: str, key: str, mark: str) -> None:
    if not re.fullmatch(mark + "[A-Za-z0-9_]+", key):
        raise validation(f'{member} contains invalid key: Syntax error; key: "{key}"')
