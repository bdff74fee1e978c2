"""Makes the files of a blueprint. A template is text with `@{names}` in it; nothing in it is run.

A file `NAME.template` becomes `NAME` with every `@{variable}` filled in: `${VAR}` of locators and braces of Python
stay as they are, and `@@{` is a plain `@{`. Every other file is copied. A folder named `VARIABLE=VALUE` at the top
is taken only when the variable has that value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from triggerkit.errors import UsageError, nearest
from triggerkit.scaffold.blueprints import DESCRIPTION, Blueprint

SUFFIX = ".template"
_PLACE = re.compile(r"@@\{|@\{(?P<name>[^}\n]*)\}?")


def render(blueprint: Blueprint, given: Mapping[str, str], *, project: str) -> dict[str, bytes]:
    """The files that `blueprint` becomes: path relative to the folder, with `/`, to its content.

    Args:
        blueprint: which one.
        given: values of its variables; the others have their defaults.
        project: what `@{project}` becomes; see `project_name`.

    Raises:
        UsageError: an unknown variable, a value that is not allowed, or a fault of the blueprint.
    """
    for name in given:
        blueprint.variable(name)
    values = {"project": project, "blueprint": blueprint.name}
    for variable in blueprint.variables:
        values[variable.name] = variable.read(given.get(variable.name, variable.default))
    files: dict[str, bytes] = {}
    for place, source in _sources(blueprint, values):
        if place in files:
            raise UsageError(
                f"blueprint {blueprint.name!r} makes {place} twice", hint=f"remove {source}"
            )
        content = source.read_bytes()
        files[place] = _filled(content, values, source) if source.suffix == SUFFIX else content
    return dict(sorted(files.items()))


def project_name(folder: Path) -> str:
    """A name for the project in `folder`: what state can be kept under."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.name).strip("-.")
    return name or "triggers"


def _sources(blueprint: Blueprint, values: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Each file that is taken: where it goes, and where it is."""
    for source in sorted(blueprint.folder.rglob("*")):
        parts = list(source.relative_to(blueprint.folder).parts)
        compiled = "__pycache__" in parts or source.suffix == ".pyc"
        if compiled or parts == [DESCRIPTION] or (source.is_dir() and not source.is_symlink()):
            continue
        if source.is_symlink() or not source.is_file():
            raise UsageError(f"{source} is not a plain file", hint="a blueprint holds files only")
        if "=" in parts[0] and len(parts) > 1:
            name, _, value = parts[0].partition("=")
            blueprint.variable(name)
            if values[name] != value:
                continue
            del parts[0]
        yield "/".join(parts).removesuffix(SUFFIX), source


def _filled(content: bytes, values: Mapping[str, str], source: Path) -> bytes:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{source} is not UTF-8", hint=f"drop its {SUFFIX} to copy it") from None

    def value_of(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "@{"
        if name in values and match[0].endswith("}"):
            return values[name]
        line = text.count("\n", 0, match.start()) + 1
        raise UsageError(
            f"{source}, line {line}: {match[0]} is no variable",
            hint=f"{nearest(name, list(values))}; @@{{ writes a plain @{{",
        )

    return _PLACE.sub(value_of, text).encode("utf-8")
