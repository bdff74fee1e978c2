"""docs/extending.md lists the files that an adapter, an option or a command needs, and no other."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from types import ModuleType

import click
import pytest
from architecture.package_tree import CHECKOUT, package
from click.testing import CliRunner

from triggerkit.cli import main
from triggerkit.core.options import MappingOptions

PAGE = (CHECKOUT / "docs/extending.md").read_text(encoding="utf-8")
ENTRY_POINTS = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["entry-points"]
SERVICES = re.compile(r"dynamodb|kinesis|\bsqs\b|\bsns\b|\bs3\b|sqlite", re.IGNORECASE)
SERVICES_IN_THE_CORE = {
    "changes": "the principal of a deletion by Time to Live, which is in the record",
    "item_json": "the form of items that architecture 2 puts there, and what is wrong with one",
    "locators": "an example in a hint",
}
"""Modules of the core that may name a service, with the reason."""


def files_of(section: str) -> list[str]:
    """The files that the table of a section lists."""
    body = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", body, re.MULTILINE)


@pytest.mark.parametrize(
    ("section", "group"),
    [
        ("A source", "triggerkit.sources"),
        ("A destination", "triggerkit.destinations"),
        ("A lease store", "triggerkit.lease_stores"),
    ],
)
def test_each_adapter_of_the_package_is_in_the_files_that_the_page_lists(
    section: str, group: str
) -> None:
    listed = files_of(section)
    for scheme, value in ENTRY_POINTS[group].items():
        for file in listed:
            assert (CHECKOUT / file.replace("NAME", scheme)).exists(), (scheme, file)
        module = value.partition(":")[0].replace(".", "/")
        assert any(file.replace("NAME", scheme).startswith(module) for file in listed), value
    assert "pyproject.toml" in listed


def test_the_example_has_one_adapter_of_each_kind() -> None:
    described = tomllib.loads((CHECKOUT / "examples/adapters/pyproject.toml").read_text())
    assert described["project"]["entry-points"].keys() == ENTRY_POINTS.keys() - {"pytest11"}


def test_no_module_of_the_core_names_a_service() -> None:
    named = {
        source.module.rpartition(".")[2]
        for source in package()
        if source.module.startswith("triggerkit.core.")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if SERVICES.search(node.value) and not _is_docstring(node, source.tree)
    }
    assert named == set(SERVICES_IN_THE_CORE)


def _is_docstring(node: ast.Constant, tree: ast.Module) -> bool:
    return any(isinstance(each, ast.Expr) and each.value is node for each in ast.walk(tree))


def test_each_option_is_declared_in_the_files_that_the_page_lists_and_in_no_other() -> None:
    listed = files_of("An option")
    for option in MappingOptions.model_fields:
        for file in listed:
            assert option in (CHECKOUT / file).read_text(encoding="utf-8"), (option, file)
    declaring = {
        source.path.relative_to(CHECKOUT).as_posix()
        for source in package()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and _fields(node) >= set(MappingOptions.model_fields)
    }
    assert declaring == {file for file in listed if file.startswith("triggerkit/")}


def _fields(node: ast.ClassDef) -> set[str]:
    return {
        each.target.id
        for each in node.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }


def test_each_command_is_in_the_files_that_the_page_lists() -> None:
    for name, (module, _) in main.COMMANDS.items():
        for file in files_of("A command"):
            place = CHECKOUT / file.replace("NAME", module)
            assert place.exists(), (name, file)
            if "NAME" not in file:
                assert name in place.read_text(encoding="utf-8"), (name, file)


def test_a_command_needs_a_module_and_a_line_of_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("greet")
    def greet() -> None:
        """Say hello."""
        click.echo("hello")

    module = ModuleType("triggerkit.cli.greet")
    module.command = greet  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(main.COMMANDS, "greet", ("greet", "Say hello."))
    assert CliRunner().invoke(main.cli, ["greet"]).output == "hello\n"
    assert "Say hello." in CliRunner().invoke(main.cli, ["--help"]).output
