"""What a `blueprint.toml` says. Rule: every key is known or refused, and a value can end no string it is put in."""

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
_SAID = {
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
    """One thing that a blueprint asks; `read` says what it may be.

    `ask` is the prompt. `choices` belong to the kind `choice`, `minimum` and `maximum` to `number`,
    `pattern` (a regular expression for the whole text) and its `hint` to `text`. `when` is
    `NAME=VALUE` of a variable above it; the variable is asked only then.
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
        """Whether it is to be asked, given what was said of the variables above it."""
        name, _, value = self.when.partition("=")
        return not self.when or values.get(name) == value

    @property
    def rule(self) -> str:
        """What may be said, in words."""
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

    def read(self, said: str) -> str:
        """The text that goes into the templates: `true` or `false` for a switch.

        Raises:
            UsageError: naming the variable, what was said and what may be said.
        """
        found = self._found(said.strip())
        if found is None or _UNSAFE.search(found):
            raise UsageError(f"{self.name} {said!r} is not allowed", hint=self.rule)
        return found

    def _found(self, said: str) -> str | None:
        match self.kind:
            case "switch":
                return _SAID.get(said.lower())
            case "choice":
                spelt = {_loose(choice): choice for choice in self.choices}
                return spelt.get(_loose(said))
            case "number":
                digits = re.fullmatch(r"[0-9]{1,9}", said)
                inside = digits and self.minimum <= int(said) <= self.maximum
                return str(int(said)) if inside else None
            case "table":
                return said if re.fullmatch(_TABLE, said) else None
            case "text":
                return said if re.fullmatch(self.pattern, said) else None
            case _ as never:
                assert_never(never)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """One blueprint. `extras` are those of triggerkit that it needs; `origin` says who ships it."""

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
    told = parse_toml(text, str(file))
    _check_keys(told, _BLUEPRINT_KEYS, str(file))
    name = _words(told, "name", str(file))
    if name != folder.name or not _NAME.fullmatch(name):
        raise UsageError(
            f"{file}: name {name!r} is not the folder's",
            hint="name both alike, of small letters, digits and '-'",
        )
    variables = told.get("variables", {})
    if not isinstance(variables, dict):
        raise UsageError(f"{file}: variables is not a table", hint="write [variables.NAME]")
    return Blueprint(
        name=name,
        title=_words(told, "title", str(file)),
        sentence=_words(told, "sentence", str(file)),
        folder=folder,
        variables=tuple(_variable(each, variables[each], str(file)) for each in variables),
        extras=_texts(told, "extras", str(file)),
        origin=origin,
    )


def _variable(name: str, told: object, file: str) -> Variable:
    where = f"{file} [variables.{name}]"
    if not isinstance(told, dict) or not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in ALWAYS:
        raise UsageError(
            f"{where} is no variable",
            hint=f"a table; small letters, digits and '_', and none of {', '.join(ALWAYS)}",
        )
    _check_keys(told, _VARIABLE_KEYS, where)
    kind = _words(told, "kind", where)
    if kind not in get_args(Kind):
        raise UsageError(f"{where}: kind {kind!r}", hint=f"one of {', '.join(get_args(Kind))}")
    variable = Variable(
        name=name,
        ask=_words(told, "ask", where),
        kind=cast(Kind, kind),
        default=_words(told, "default", where),
        choices=_texts(told, "choices", where),
        minimum=_whole(told, "minimum", 0, where),
        maximum=_whole(told, "maximum", 10**9, where),
        pattern=_words(told, "pattern", where) if "pattern" in told else _TEXT,
        hint=_words(told, "hint", where) if "hint" in told else _HINT,
        when=_words(told, "when", where) if "when" in told else "",
    )
    try:
        variable.read(variable.default)
    except (UsageError, re.error) as error:
        raise UsageError(f"{where}: {error}", hint="correct default or pattern") from error
    return variable


def _check_keys(told: Mapping[str, object], known: Sequence[str], where: str) -> None:
    for key in told:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}", hint=nearest(key, known))


def _words(told: Mapping[str, object], key: str, where: str) -> str:
    found = told.get(key)
    if not isinstance(found, str):
        raise UsageError(f"{where}: {key} is not text", hint=f'write {key} = "..."')
    return found


def _whole(told: Mapping[str, object], key: str, otherwise: int, where: str) -> int:
    found = told.get(key, otherwise)
    if not isinstance(found, int) or isinstance(found, bool):
        raise UsageError(f"{where}: {key} is not a whole number", hint=f"write {key} = 1")
    return found


def _texts(told: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    found = told.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise UsageError(f"{where}: {key} is not a list of texts", hint=f'write {key} = ["..."]')
    return tuple(found)


def _loose(said: str) -> str:
    return re.sub(r"[\s-]+", "_", said).lower()
