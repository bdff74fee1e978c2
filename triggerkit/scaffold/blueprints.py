"""What a `blueprint.toml` says: every key is checked, and no value can end the string that it is put into."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, assert_never, cast, get_args

from triggerkit.errors import UsageError, nearest
from triggerkit.files import SETTINGS_BYTES, parse_toml, read_text

Kind: TypeAlias = Literal["text", "table", "number", "choice", "switch"]

DESCRIPTION = "blueprint.toml"
ALWAYS: Final = ("project", "blueprint")
"""Variables that every template has: the name made of the folder's, and the blueprint's own."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_TABLE = r"[A-Za-z0-9_.-]{3,255}"  # DynamoDB developer guide, HowItWorks.NamingRulesDataTypes
_TEXT = r"[^\s]*"
_HINT = "no blanks, quotes, backslashes, braces, $ or @"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\"'\\`$@{}]")
"""What could end a string of Python, TOML, JSON or a shell, or begin a variable."""
_SWITCHES = {
    **dict.fromkeys(("true", "yes", "y", "on", "enabled"), "true"),
    **dict.fromkeys(("false", "no", "n", "off", "disabled"), "false"),
}
_BLUEPRINT_KEYS = ("name", "title", "sentence", "extras", "variables")
_VARIABLE_KEYS = (
    "ask",
    "kind",
    "default",
    "choices",
    "minimum",
    "maximum",
    "pattern",
    "hint",
    "when",
)


@dataclass(frozen=True, slots=True)
class Variable:
    """One thing that a blueprint asks for.

    `ask` is the prompt. `choices` belong to the kind `choice`, `minimum` and `maximum` to `number`,
    `pattern` (a regular expression for the whole text) and its `hint` to `text`. `when` is
    `NAME=VALUE` of an earlier variable; this one is asked for only then.
    """

    name: str
    ask: str
    kind: Kind
    default: str
    choices: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = 10**9
    pattern: str = _TEXT
    hint: str = _HINT
    when: str = ""

    def matters(self, values: Mapping[str, str]) -> bool:
        """Whether it is asked for, given the values of earlier variables."""
        name, _, value = self.when.partition("=")
        return not self.when or values.get(name) == value

    @property
    def rule(self) -> str:
        """The allowed values, in words."""
        match self.kind:
            case "table":
                return "3 to 255 letters, digits, '_', '.' and '-'"
            case "number":
                return f"a whole number from {self.minimum} to {self.maximum}"
            case "choice":
                return f"one of {', '.join(self.choices)}"
            case "switch":
                return "yes or no"
            case "text":
                return self.hint
            case _ as never:
                assert_never(never)

    def read(self, text: str) -> str:
        """The value that goes into the templates: `true` or `false` for a switch.

        Raises:
            UsageError: naming the variable, the text and the allowed values.
        """
        found = self._value(text.strip())
        if found is None or _UNSAFE.search(found):
            raise UsageError(f"{self.name} {text!r} is not allowed", hint=self.rule)
        return found

    def _value(self, text: str) -> str | None:
        match self.kind:
            case "switch":
                return _SWITCHES.get(text.lower())
            case "choice":
                spelt = {_loose(choice): choice for choice in self.choices}
                return spelt.get(_loose(text))
            case "number":
                digits = re.fullmatch(r"[0-9]{1,9}", text)
                inside = digits and self.minimum <= int(text) <= self.maximum
                return str(int(text)) if inside else None
            case "table":
                return text if re.fullmatch(_TABLE, text) else None
            case "text":
                return text if re.fullmatch(self.pattern, text) else None
            case _ as never:
                assert_never(never)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """One blueprint. `extras` are those of triggerkit that it needs; `origin` is the package that ships it."""

    name: str
    title: str
    sentence: str
    folder: Path
    variables: tuple[Variable, ...] = ()
    extras: tuple[str, ...] = ()
    origin: str = "triggerkit"

    def variable(self, name: str) -> Variable:
        """The variable of that name. Raises UsageError naming those that there are."""
        for variable in self.variables:
            if variable.name == name:
                return variable
        names = [variable.name for variable in self.variables]
        raise UsageError(
            f"blueprint {self.name!r} has no variable {name!r}", hint=nearest(name, names)
        )


def read_blueprint(folder: Path, *, origin: str = "triggerkit") -> Blueprint:
    """Read `blueprint.toml` of `folder`.

    Raises:
        UsageError: it cannot be read, or has a missing, unknown or wrong key, which is named.
    """
    file = folder / DESCRIPTION
    text = read_text(file, str(file), SETTINGS_BYTES, hint="correct that file")
    given = parse_toml(text, str(file))
    _check_keys(given, _BLUEPRINT_KEYS, str(file))
    name = _words(given, "name", str(file))
    if name != folder.name or not _NAME.fullmatch(name):
        raise UsageError(
            f"{file}: name {name!r} is not the folder's",
            hint="name both alike, of small letters, digits and '-'",
        )
    variables = given.get("variables", {})
    if not isinstance(variables, dict):
        raise UsageError(f"{file}: variables is not a table", hint="write [variables.NAME]")
    return Blueprint(
        name=name,
        title=_words(given, "title", str(file)),
        sentence=_words(given, "sentence", str(file)),
        folder=folder,
        variables=tuple(_variable(each, variables[each], str(file)) for each in variables),
        extras=_texts(given, "extras", str(file)),
        origin=origin,
    )


def _variable(name: str, given: object, file: str) -> Variable:
    where = f"{file} [variables.{name}]"
    if not isinstance(given, dict) or not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in ALWAYS:
        raise UsageError(
            f"{where} is no variable",
            hint=f"a table; small letters, digits and '_', and none of {', '.join(ALWAYS)}",
        )
    _check_keys(given, _VARIABLE_KEYS, where)
    kind = _words(given, "kind", where)
    if kind not in get_args(Kind):
        raise UsageError(f"{where}: kind {kind!r}", hint=f"one of {', '.join(get_args(Kind))}")
    variable = Variable(
        name=name,
        ask=_words(given, "ask", where),
        kind=cast(Kind, kind),
        default=_words(given, "default", where),
        choices=_texts(given, "choices", where),
        minimum=_whole(given, "minimum", 0, where),
        maximum=_whole(given, "maximum", 10**9, where),
        pattern=_words(given, "pattern", where) if "pattern" in given else _TEXT,
        hint=_words(given, "hint", where) if "hint" in given else _HINT,
        when=_words(given, "when", where) if "when" in given else "",
    )
    try:
        variable.read(variable.default)
    except (UsageError, re.error) as error:
        raise UsageError(f"{where}: {error}", hint="correct default or pattern") from error
    return variable


def _check_keys(given: Mapping[str, object], known: Sequence[str], where: str) -> None:
    for key in given:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}", hint=nearest(key, known))


def _words(given: Mapping[str, object], key: str, where: str) -> str:
    found = given.get(key)
    if not isinstance(found, str):
        raise UsageError(f"{where}: {key} is not text", hint=f'write {key} = "..."')
    return found


def _whole(given: Mapping[str, object], key: str, otherwise: int, where: str) -> int:
    found = given.get(key, otherwise)
    if not isinstance(found, int) or isinstance(found, bool):
        raise UsageError(f"{where}: {key} is not a whole number", hint=f"write {key} = 1")
    return found


def _texts(given: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    found = given.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise UsageError(f"{where}: {key} is not a list of texts", hint=f'write {key} = ["..."]')
    return tuple(found)


def _loose(text: str) -> str:
    return re.sub(r"[\s-]+", "_", text).lower()
