"""Locators: `scheme://name?key=value`, or an ARN; what is wrong with one is said with its text, secrets masked.

One grammar for sources, destinations and state. `${VAR}` and `${VAR:-default}` are resolved by
`resolve`, which is called at `run` and `check` and never at import.
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
_ARN_SCHEMES = {
    "dynamodb": "dynamodb",
    "kinesis": "kinesis",
    "sqs": "sqs",
    "sns": "sns",
    "s3": "s3",
    "lambda": "lambda",
}


@dataclass(frozen=True, slots=True)
class Locator:
    """A resolved locator. `name` is what stands behind `scheme://`, or the whole ARN when `is_arn`.

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
        raise LocatorError(
            f"locator {masked_locator(text)!r}: a $ that begins no variable",
            hint="write ${NAME} or ${NAME:-value}",
        )
    return _VARIABLE.sub(value_of, text)


def parse(text: str) -> Locator:
    """Read a locator whose variables are resolved.

    Raises:
        LocatorError: no scheme, an empty name, blanks around it, or a key given twice or with no value.
    """
    if text != text.strip():
        raise LocatorError(
            f"locator {masked_locator(text)!r} has blanks around it", hint="remove them"
        )
    body, _, query = text.partition("?")
    keys = _keys(text, query)
    if body.startswith("arn:"):
        return Locator(text, _scheme_of_arn(text, body), body, is_arn=True, keys=keys)
    if body in {"memory:", "memory://"}:
        return Locator(text, "memory", "", keys=keys)
    scheme, separator, name = body.partition("://")
    if not separator and body.startswith("file:"):
        scheme, separator, name = "file", ":", body.removeprefix("file:")
    if not separator or not re.fullmatch(r"[a-z][a-z0-9_]*", scheme):
        raise LocatorError(
            f"locator {masked_locator(text)!r} has no scheme",
            hint="write scheme://name, such as dynamodb://orders, or an ARN",
        )
    if not name:
        raise LocatorError(
            f"locator {masked_locator(text)!r} has no name", hint=f"write {scheme}://NAME"
        )
    return Locator(text, scheme, unquote(name), keys=keys)


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
        raise LocatorError(
            f"locator {masked_locator(text)!r}: what follows the ? is not key=value",
            hint="write ?key=value&key=value",
        ) from error
    found: dict[str, str] = {}
    for key, value in pairs:
        if not value:
            raise LocatorError(
                f"locator {masked_locator(text)!r}: key {key!r} has no value",
                hint=f"write {key}=VALUE",
            )
        if found.setdefault(key, value) != value:
            raise LocatorError(
                f"locator {masked_locator(text)!r}: key {key!r} is given twice", hint="keep one"
            )
    return found


def _scheme_of_arn(text: str, arn: str) -> str:
    parts = arn.split(":", 5)
    if len(parts) < 6 or not parts[5] or parts[2] not in _ARN_SCHEMES:
        raise LocatorError(
            f"locator {masked_locator(text)!r} is not an ARN that triggerkit knows",
            hint="write arn:aws:SERVICE:REGION:ACCOUNT:..., "
            f"SERVICE being one of {', '.join(sorted(_ARN_SCHEMES))}",
        )
    return _ARN_SCHEMES[parts[2]]
