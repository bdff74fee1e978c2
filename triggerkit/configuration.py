"""The configuration file as layers: every key is known or refused, and every value knows its table.

Reads `pyproject.toml` (under `tool.triggerkit`) or `triggerkit.toml` (without that prefix) and lays the chosen
`env` overlay over it. Which value wins is decided in `settings`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from triggerkit.core.lambda_names import may_be_left_out
from triggerkit.core.options import canonical
from triggerkit.errors import LocatorError, OptionError, UsageError, nearest
from triggerkit.files import SETTINGS_BYTES, parse_toml, read_text

Table: TypeAlias = Mapping[str, object]

_SCALARS: Final = ("target", "app", "state")
_KEYS = (*_SCALARS, "vars", "defaults", "triggers", "dev")  # and "env", but not inside itself
_ENV_LINE = re.compile(
    r"""[ \t]*
    (?: \#[^\n]*
      | (?:export[ \t]+)? (?P<name>[A-Za-z_][A-Za-z0-9_]*) [ \t]*=
        (?: [ \t]*"(?P<double>(?:[^"\\]|\\.)*)" [ \t]*(?:\#[^\n]*)?
          | [ \t]*'(?P<single>[^']*)' [ \t]*(?:\#[^\n]*)?
          | (?P<bare>(?![ \t]*["'])[^\n]*)
        )
    )?
    [ \t]*(?:\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)
"""One assignment, which a quoted value may carry over several lines; a comment; or nothing."""
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Layer:
    """Options that one table gives, in our spelling, unchecked; `origin` names file and table."""

    origin: str
    options: Table
    sources: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the file says for one environment. Layers are ordered from weak to strong.

    `folder` is where relative paths start: the file's folder, else the current one. `target`, `app` and `state`
    are None where the file does not give them, and the state's `${VAR}` are unresolved; `origins` has the table
    that gave each. `notes` are what was read and left out.
    """

    folder: Path
    env: str = ""
    path: Path | None = None
    target: str | None = None
    app: str | None = None
    state: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    vars: Mapping[str, str] = field(default_factory=dict)
    defaults: tuple[Layer, ...] = ()
    triggers: Mapping[str, tuple[Layer, ...]] = field(default_factory=dict)
    dev: Table = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What stands before the name of a table in the file: `tool.triggerkit.`, or nothing."""
        in_project = self.path is None or self.path.name == "pyproject.toml"
        return "tool.triggerkit." if in_project else ""


def load_configuration(path: str | None, *, folder: Path, env: str = "") -> Configuration:
    """Read the file `path`, or the one in `folder` or nearest above it, or none when there is none.

    Args:
        path: from `--config`, relative to `folder`; None looks for `triggerkit.toml` and for a
            `pyproject.toml` that has a `[tool.triggerkit]`, in `folder` and upwards to the root of the
            file system or of the Git repository.
        folder: the current folder.
        env: the overlay to lay over it, from `--env`; empty for none.

    Raises:
        UsageError: the file is missing, is no TOML, has an unknown key or a value of a wrong type, or
            two files hold configuration; `env` has no table while others have one.
        OptionError: an unknown option.
    """
    found = _find(folder) if path is None else _named(folder / path)
    if found is None:
        return Configuration(folder=folder, env=env)
    file, root, prefix = found
    overlays = _table(root, "env", f"{file.name} [{prefix}env]")
    if env and overlays and env not in overlays:
        raise UsageError(
            f"{file}: no [{prefix}env.{env}] for --env {env}", hint=nearest(env, sorted(overlays))
        )
    reader = _Reader(file)
    top = {key: value for key, value in root.items() if key != "env"}
    reader.read(top, prefix, (*_KEYS, "env"))
    for name in overlays:  # a mistake in another environment's table shows today
        overlay = _table(overlays, name, f"{file.name} [{prefix}env]")
        (reader if name == env else _Reader(file)).read(overlay, f"{prefix}env.{name}.", _KEYS)
    return reader.configuration(folder=file.parent, env=env)


def read_env_file(path: Path) -> dict[str, str]:
    """Read `NAME=value` lines, as shells and dotenv files have them.

    `export` may stand before a name. In a bare value a comment begins at a `#` behind a blank. Quoted values
    may have several lines; in double quotes a backslash escapes, and no `${VAR}` is expanded.

    Raises:
        UsageError: naming the file and the line, never the value.
    """
    text = _text(path, "--env-file")
    variables: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _ENV_LINE.match(text, position)
        if match is None or "\0" in match[0]:
            raise _bad_env_line(path, text, position)
        position = match.end()
        if match["name"] is not None:
            variables[match["name"]] = _env_value(match)
    return variables


def apply_env_file(path: Path, environ: MutableMapping[str, str]) -> tuple[str, ...]:
    """Set the variables of `path` that `environ` does not have; their names. Raises UsageError."""
    added = {name: text for name, text in read_env_file(path).items() if name not in environ}
    environ.update(added)
    return tuple(added)


class _Reader:
    """Collects tables, from weak to strong."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.scalars: dict[str, str] = {}
        self.origins: dict[str, str] = {}
        self.vars: dict[str, str] = {}
        self.defaults: list[Layer] = []
        self.triggers: dict[str, list[Layer]] = {}
        self.dev: dict[str, object] = {}
        self.notes: list[str] = []

    def read(self, table: Table, prefix: str, known: Sequence[str]) -> None:
        """Take in one table; `prefix` is its name and a dot, or empty; `known` are its keys."""
        where = self._where(prefix.removesuffix("."))
        for key in table:
            if key not in known:
                hint = "overlays are not nested" if key == "env" else nearest(key, known)
                raise UsageError(f"{where}: unknown key {key!r}", hint=hint)
        for key in _SCALARS:
            if key in table:
                self.scalars[key] = _words(table, key, where)
                self.origins[key] = where
        variables = _table(table, "vars", where)
        self.vars |= {
            name: _words(variables, name, self._where(f"{prefix}vars")) for name in variables
        }
        if "defaults" in table:
            self.defaults.append(self._layer(_table(table, "defaults", where), f"{prefix}defaults"))
        triggers = _table(table, "triggers", where)
        for name in triggers:
            given = _table(triggers, name, self._where(f"{prefix}triggers"))
            self.triggers.setdefault(name, []).append(
                self._layer(given, f"{prefix}triggers.{name}", has_sources=True)
            )
        self.dev |= _table(table, "dev", where)

    def configuration(self, *, folder: Path, env: str) -> Configuration:
        """What was read, frozen."""
        return Configuration(
            folder=folder,
            env=env,
            path=self.file,
            target=self.scalars.get("target"),
            app=self.scalars.get("app"),
            state=self.scalars.get("state"),
            origins=self.origins,
            vars=self.vars,
            defaults=tuple(self.defaults),
            triggers={name: tuple(layers) for name, layers in self.triggers.items()},
            dev=self.dev,
            notes=tuple(self.notes),
        )

    def _where(self, table: str) -> str:
        return f"{self.file.name} [{table}]" if table else self.file.name

    def _layer(self, given: Table, table: str, *, has_sources: bool = False) -> Layer:
        where = self._where(table)
        options = dict(given)
        sources = _sources(options.pop("sources"), where) if "sources" in given else None
        if sources is not None and not has_sources:
            raise OptionError(
                f"{where}: sources belong to one trigger",
                hint="write them in [triggers.NAME]",
            )
        ignored = [name for name, value in options.items() if may_be_left_out(name, value)]
        if ignored:
            self.notes.append(
                f"{where}: {', '.join(ignored)} left out: what Lambda reports about a mapping, not its options"
            )
        options = {name: value for name, value in options.items() if name not in ignored}
        return Layer(where, canonical(options, where=where), sources)


def _find(folder: Path) -> tuple[Path, Table, str] | None:
    for place in (folder, *folder.absolute().parents):
        found = _find_in(place)
        if found is not None or (place / ".git").exists():
            return found
    return None


def _find_in(folder: Path) -> tuple[Path, Table, str] | None:
    own, project = folder / "triggerkit.toml", folder / "pyproject.toml"
    in_project = os.path.isfile(project) and _has_tool(_parsed(project))
    if os.path.isfile(own) and in_project:
        raise UsageError(
            f"both {own} and {project} [tool.triggerkit] hold configuration",
            hint="keep one of them, or choose with --config FILE",
        )
    if os.path.isfile(own):
        return _named(own)
    return _named(project) if in_project else None


def _has_tool(project: Table) -> bool:
    tool = project.get("tool")
    return isinstance(tool, Mapping) and "triggerkit" in tool


def _named(file: Path) -> tuple[Path, Table, str]:
    parsed = _parsed(file)
    if file.name != "pyproject.toml":
        return file, parsed, ""
    if not _has_tool(parsed):
        raise UsageError(f"{file} has no [tool.triggerkit]", hint="add it, or name another file")
    return (
        file,
        _table(_table(parsed, "tool", str(file)), "triggerkit", str(file)),
        "tool.triggerkit.",
    )


def _parsed(file: Path) -> Table:
    return parse_toml(_text(file, "--config"), str(file))


def _text(file: Path, flag: str) -> str:
    if not file.exists():
        raise UsageError(f"{file} does not exist", hint=f"correct {flag} FILE")
    return read_text(file, str(file), SETTINGS_BYTES, hint=f"name a text file with {flag} FILE")


def _table(parent: Table, key: str, where: str) -> Table:
    found = parent.get(key, {})
    if not isinstance(found, dict):
        raise UsageError(f"{where}: {key} is not a table", hint=f"write it as a table: [...{key}]")
    return found


def _words(table: Table, key: str, where: str) -> str:
    found = table[key]
    if not isinstance(found, str):
        raise UsageError(f"{where}: {key} is not text", hint=f'write {key} = "..."')
    return found


def _sources(given: object, where: str) -> tuple[str, ...]:
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise LocatorError(
            f"{where}: sources is not a list of locators",
            hint='write sources = ["dynamodb://TABLE"]',
        )
    return tuple(listed)


def _env_value(match: re.Match[str]) -> str:
    if match["double"] is not None:
        return re.sub(
            r"\\([nrt\\\"'$`])", lambda found: _ESCAPES.get(found[1], found[1]), match["double"]
        )
    if match["single"] is not None:
        return match["single"]
    return re.split(r"\s#", match["bare"], maxsplit=1)[0].strip()


def _bad_env_line(path: Path, text: str, position: int) -> UsageError:
    where = f"{path}, line {text.count(chr(10), 0, position) + 1}"
    line = text[position:].partition("\n")[0]
    if "\0" in line:
        return UsageError(f"{where}: a NUL character", hint="remove it")
    if re.match(r"[ \t]*(export[ \t]+)?[A-Za-z_][A-Za-z0-9_]*[ \t]*=[ \t]*[\"']", line):
        return UsageError(
            f"{where}: a quote that is not closed, or text behind the closing one",
            hint='close it, or write \\" for a quote inside double quotes',
        )
    return UsageError(f"{where}: not NAME=value", hint="write NAME=value")
