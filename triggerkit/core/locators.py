"""Locators: `scheme://name?key=value`, `scheme:name` in short, or an ARN, whose service is the scheme.

One grammar for sources, destinations and state; what a name may be is for the adapter of the scheme to say.
`${VAR}` and `${VAR:-default}` are resolved by `resolve`, which is called at `run` and `check` and never at import.
Errors show the locator with its secrets masked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from triggerkit.core.masking import masked_locator
from triggerkit.errors import LocatorError

SHARED_KEYS = frozenset({"region", "profile", "role_arn", "external_id", "endpoint_url"})
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_SCHEME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Locator:
    """A resolved locator. `name` is what follows `scheme://` or `scheme:`, or the whole ARN when `is_arn`.

    `text` and `keys` may hold secrets; people see `shown`.
    """

    text: str
    scheme: str
    name: str
    is_arn: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The text with its secrets masked."""
        return masked_locator(self.text)

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"Locator({self.shown!r})"


def resolve(text: str, variables: Mapping[str, str]) -> str:
    """Replace `${VAR}` and `${VAR:-default}`; a variable that is set to nothing is nothing.

    Raises:
        LocatorError: a variable is not set and has no default, or a `$` begins no variable.
    """

    def value_of(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name in variables:
            return variables[name]
        if default is not None:
            return default
        raise LocatorError(
            f"locator {masked_locator(text)!r}: ${{{name}}} is not set",
            hint=f"export {name}=..., add it to [tool.triggerkit.vars], "
            f"or give a default: ${{{name}:-value}}",
        )

    if "$" in _VARIABLE.sub("", text):
        raise _error(text, "has a $ that begins no variable", "write ${NAME} or ${NAME:-value}")
    return _VARIABLE.sub(value_of, text)


def parse(text: str) -> Locator:
    """Read a locator whose variables are resolved.

    Raises:
        LocatorError: no scheme, a half ARN, blanks around it, or a key given twice or with no value.
    """
    if text != text.strip():
        raise _error(text, "has blanks around it", "remove them")
    body, _, query = text.partition("?")
    keys = _keys(text, query)
    scheme, colon, name = body.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        raise _error(
            text, "has no scheme", "write scheme://name, such as dynamodb://orders, or an ARN"
        )
    if scheme != "arn":
        return Locator(text, scheme, unquote(name.removeprefix("//")), keys=keys)
    parts = body.split(":", 5)
    if len(parts) < 6 or not parts[5] or not _SCHEME.fullmatch(parts[2]):
        raise _error(text, "is no whole ARN", "write arn:aws:SERVICE:REGION:ACCOUNT:...")
    return Locator(text, parts[2], body, is_arn=True, keys=keys)


def check_keys(locator: Locator, allowed: frozenset[str]) -> None:
    """Refuse keys that neither the adapter nor every locator knows.

    Raises:
        LocatorError: naming the key and the ones that exist.
    """
    known = allowed | SHARED_KEYS
    for key in locator.keys:
        if key not in known:
            raise LocatorError(
                f"locator {locator.shown!r}: unknown key {key!r}",
                hint=f"known keys: {', '.join(sorted(known))}",
            )


def _keys(text: str, query: str) -> dict[str, str]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise _error(
            text, "has something else than key=value after the ?", "write ?key=value&key=value"
        ) from error
    found: dict[str, str] = {}
    for key, value in pairs:
        if not value:
            raise _error(text, f"has no value for the key {key!r}", f"write {key}=VALUE")
        if found.setdefault(key, value) != value:
            raise _error(text, f"has the key {key!r} twice", "keep one")
    return found


def _error(text: str, why: str, hint: str) -> LocatorError:
    return LocatorError(f"locator {masked_locator(text)!r} {why}", hint=hint)
