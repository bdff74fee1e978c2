"""The public root names everything it offers, explains it, and is cheap to import."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys

from architecture.package_tree import findings, package

import triggerkit

HEAVY = (
    "httptools", "asyncio", "boto3", "botocore", "click", "msgspec", "moto", "pydantic", "rich", "sqlite3",
    "structlog", "tenacity",
)  # fmt: skip
"""What a unit test that imports handlers must not pay for."""

WITHOUT_DOCSTRING = {
    "__version__": "a text",
    "Change": "a type alias: Python has no place for its docstring",
}
"""Public names that carry no docstring, with the reason."""


def test_the_root_lists_its_names_in_order_and_has_each_of_them() -> None:
    names = list(triggerkit.__all__)
    assert names == sorted(names), "sorted, so that a diff shows what came"
    assert [name for name in names if not hasattr(triggerkit, name)] == []


def test_the_root_spells_its_names_out() -> None:
    root = next(source for source in package() if source.module == "triggerkit")
    [value] = [
        statement.value
        for statement in root.tree.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"
    ]
    assert ast.literal_eval(value) == triggerkit.__all__


def test_every_public_name_is_explained() -> None:
    without = [
        name
        for name in triggerkit.__all__
        if name not in WITHOUT_DOCSTRING and not inspect.getdoc(getattr(triggerkit, name))
    ]
    assert not without, findings(without)


def test_importing_the_root_loads_nothing_heavy() -> None:
    look = (
        "import sys; before = set(sys.modules); import triggerkit, json; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=60
    )
    assert [name for name in json.loads(done.stdout) if name in HEAVY] == []


def test_star_imports_are_used_nowhere() -> None:
    bad = [
        f"{source.place}:{node.lineno}"
        for source in package()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]
    assert not bad, findings(bad)
