"""The source of the checkout as syntax trees, never that of the installed copy."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
Function = ast.FunctionDef | ast.AsyncFunctionDef
Scope = ast.Module | ast.ClassDef | Function


@dataclass(frozen=True, slots=True)
class Source:
    """One file. `module` is its dotted name; a package's is the folder's."""

    path: Path
    module: str
    text: str
    tree: ast.Module

    @property
    def place(self) -> str:
        """The path as a reader of the checkout writes it."""
        return self.path.relative_to(CHECKOUT).as_posix()


@cache
def package() -> tuple[Source, ...]:
    """Every module of `triggerkit`, in the order of paths."""
    return tuple(_read(CHECKOUT / "triggerkit"))


@cache
def suite() -> tuple[Source, ...]:
    """Every Python file below `tests/`."""
    return tuple(_read(CHECKOUT / "tests"))


def _read(folder: Path) -> Iterator[Source]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(CHECKOUT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        yield Source(path, name, text, ast.parse(text, filename=str(path)))


def scoped(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every node with the qualified name of the class or function around it ("" at module level).

    A class or function comes under its own name.
    """
    yield from _scoped(tree, "")


def _scoped(node: ast.AST, around: str) -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        inner = around
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{around}.{child.name}".lstrip(".")
        yield inner, child
        yield from _scoped(child, inner)


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or of an attribute of one, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def imported(node: ast.AST, source: Source) -> list[str]:
    """The dotted names that an import statement brings in, absolute; [] for any other node.

    `from a import b` gives `a.b`: whether `b` is a module is for the caller to judge.
    """
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{source.place}:{node.lineno}: imports are absolute here"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def findings(found: Iterable[object]) -> str:
    """One finding a line, for the message of an assert: pytest cuts long lists short."""
    pairs = found.items() if isinstance(found, Mapping) else ((one, "") for one in found)
    return "".join(f"\n  {name} {rest}".rstrip() for name, rest in pairs)


def check(found: Mapping[str, object], exempt: Mapping[str, str]) -> None:
    """Fail on what was found and is not exempt, and on exemptions that nothing needs any more."""
    bad = {name: where for name, where in found.items() if name not in exempt}
    assert not bad, findings(bad)
    stale = set(exempt) - set(found)
    assert not stale, f"exemptions that nothing needs any more: {sorted(stale)}"
