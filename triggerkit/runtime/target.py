"""Finds the `Triggers` that TARGET names; each way to fail has a message of its own and keeps the user's traceback.

TARGET is `module:attr`, `module`, or a path of a `.py` file with or without `:attr`. A name that Python
cannot write in an import, such as `my-app`, is fine. Without `attr` it is
`handlers`, or else the only `Triggers` in the module. The user's module runs with its folder importable,
as `python -m` would have it.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import traceback
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from triggerkit.errors import TargetError, TriggerkitError, nearest
from triggerkit.triggers import Triggers

_EXAMPLE = "write TARGET as module:attribute, such as app:handlers"


def load_target(
    target: str, *, folder: Path | None = None, project: Path | None = None
) -> Triggers[Any]:
    """Import the module of `target` and return its `Triggers`.

    Args:
        target: what the user gave, or the configuration's `target`.
        folder: put first on `sys.path`, and where relative paths start; the current folder by default.
        project: the folder of the configuration; importable, too.

    Raises:
        TargetError: no such module, a dependency of it that is missing, no such attribute, not a
            `Triggers`, or the module raised; then `__cause__` has the user's frames only.
        TriggerkitError: a decorator in the module refused something; a note names the line.
    """
    place, _, attribute = target.partition(":")
    if not place:
        raise TargetError(f"target {target!r} names no module", hint=_EXAMPLE)
    folder = Path.cwd() if folder is None else folder
    if project is not None and str(project) not in sys.path:
        sys.path.insert(0, str(project))
    if place.endswith((".yaml", ".yml", ".json")):
        raise TargetError(
            f"target {target!r}: templates are not available in this version", hint=_EXAMPLE
        )
    if place.endswith(".py") or "/" in place:
        module = _import_file(folder / place, target)
    else:
        module = _import_module(place, folder, target)
    return _attribute(module, attribute, target) if attribute else _only(module, target)


def user_traceback(error: BaseException) -> str:
    """The traceback to show for `error`, which `load_target` raised: the user's frames only.

    Empty where there is none to show: a missing module or attribute needs no traceback.
    """
    cause = error.__cause__
    return "" if cause is None else "".join(traceback.format_exception(cause))


def _import_file(file: Path, target: str) -> ModuleType:
    if not file.is_file():
        raise TargetError(f"target {target!r}: {file} does not exist", hint=_near_files(file))
    file = file.resolve()
    if "." in file.stem:
        raise TargetError(
            f"target {target!r}: a file name with a dot in it cannot be imported",
            hint=f"rename it {file.stem.replace('.', '_')}.py",
        )
    root, parts = file.parent, [] if file.stem == "__init__" else [file.stem]
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    module = _import_module(".".join(parts), root, target)
    if Path(module.__file__ or "").resolve() != file:
        raise TargetError(
            f"target {target!r}: its module name {module.__name__!r} is that of {module.__file__}",
            hint="give the file another name",
        )
    return module


def _import_module(name: str, folder: Path, target: str) -> ModuleType:
    if not all(name.split(".")):
        raise TargetError(f"target {target!r}: {name!r} is not a module name", hint=_EXAMPLE)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except TriggerkitError as error:
        _note_line(error)
        raise
    except ModuleNotFoundError as error:
        raise _missing(error, name, folder, target) from None
    except (Exception, SystemExit) as error:
        error.with_traceback(_from_user(error.__traceback__))
        raise TargetError(
            f"target {target!r}: importing {name} raised {_described(error)}",
            hint=f"correct the module; `python -c '{_importing(name)}'` shows the same",
        ) from error


def _importing(name: str) -> str:
    is_written = all(part.isidentifier() for part in name.split("."))
    return f"import {name}" if is_written else f'__import__("{name}")'


def _missing(error: ModuleNotFoundError, name: str, folder: Path, target: str) -> TargetError:
    frames = _from_user(error.__traceback__)
    missing = error.name or ""
    if frames is None and (name == missing or name.startswith(f"{missing}.")):
        return TargetError(
            f"target {target!r}: there is no module {missing!r} in {folder} or the environment",
            hint=_near_modules(missing, folder),
        )
    line = traceback.extract_tb(frames)[-1] if frames is not None else None
    asked_by = f"{line.filename}, line {line.lineno}" if line is not None else name
    return TargetError(
        f"target {target!r}: {asked_by} needs the module {missing!r}, which is not installed",
        hint=f"install it into this environment: {sys.executable} -m pip install ...",
    )


def _attribute(module: ModuleType, attribute: str, target: str) -> Triggers[Any]:
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = _triggers_in(module) or [n for n in vars(module) if not n.startswith("_")]
            raise TargetError(
                f"target {target!r}: module {module.__name__} has no attribute {attribute!r}",
                hint=nearest(attribute, sorted(names)) if names else "the module defines nothing",
            )
        found = getattr(found, part)
    if not isinstance(found, Triggers):
        named = list(_triggers_in(module))
        raise TargetError(
            f"target {target!r}: {attribute} is a {type(found).__name__}, not a Triggers",
            hint=f"Triggers in {module.__name__}: {', '.join(named)}" if named else _EXAMPLE,
        )
    return found


def _only(module: ModuleType, target: str) -> Triggers[Any]:
    named = _triggers_in(module)
    if "handlers" in named:
        return named["handlers"]
    distinct = {id(found): found for found in named.values()}
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    if not distinct:
        raise TargetError(
            f"target {target!r}: module {module.__name__} has no Triggers",
            hint='write handlers = Triggers("NAME") in it, or name another module',
        )
    raise TargetError(
        f"target {target!r}: module {module.__name__} has {len(distinct)} Triggers",
        hint=f"choose one: {', '.join(f'{module.__name__}:{name}' for name in named)}",
    )


def _triggers_in(module: ModuleType) -> dict[str, Triggers[Any]]:
    return {name: found for name, found in vars(module).items() if isinstance(found, Triggers)}


def _from_user(frames: TracebackType | None) -> TracebackType | None:
    """`frames` without those of this file and of the import system at its start."""
    while frames is not None and _is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_machinery(filename: str) -> bool:
    return filename in {__file__, importlib.__file__} or filename.startswith("<frozen importlib")


def _note_line(error: TriggerkitError) -> None:
    frames = traceback.extract_tb(_from_user(error.__traceback__))
    package = str(Path(__file__).parents[1])
    users = [frame for frame in frames if not frame.filename.startswith(package)]
    users = [frame for frame in users if not _is_machinery(frame.filename)]
    if users:
        error.add_note(f"at {users[-1].filename}, line {users[-1].lineno}")


def _described(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _near_modules(missing: str, folder: Path) -> str:
    names = [file.stem for file in folder.glob("*.py")]
    names += [package.parent.name for package in folder.glob("*/__init__.py")]
    if not names:
        return f"{folder} has no Python module: run from the folder that has it, or name the file"
    return f"{nearest(missing.partition('.')[0], sorted(names))} (modules in {folder})"


def _near_files(file: Path) -> str:
    names = sorted(near.name for near in file.parent.glob("*.py"))
    return nearest(file.name, names) if names else "correct the path"
