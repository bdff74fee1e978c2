"""Docstrings are whole sentences."""

from __future__ import annotations

import ast

from architecture.package_tree import findings, package, scoped


def test_docstrings_are_sentences() -> None:
    """The first paragraph ends as a sentence, a list or an example does."""
    bad = []
    for source in package():
        for name, node in [("", source.tree), *scoped(source.tree)]:
            if not isinstance(
                node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            ):
                continue
            text = ast.get_docstring(node)
            if text is not None and not text.split("\n\n")[0].rstrip().endswith((".", ":", "?")):
                bad.append(f"{source.place} {name}: {text.splitlines()[0]}")
    assert not bad, findings(bad)


def test_no_docstring_speaks_of_itself() -> None:
    starts = ("This module", "This class", "This function", "This method", "A class that")
    bad = [
        f"{source.place} {name}"
        for source in package()
        for name, node in [("", source.tree), *scoped(source.tree)]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (ast.get_docstring(node) or "").startswith(starts)
    ]
    assert not bad, findings(bad)
