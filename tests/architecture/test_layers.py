"""Imports go down only. import-linter checks the layers; this file checks what it cannot express."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest
from architecture.package_tree import CHECKOUT, Source, check, findings, imported, package, scoped

LAZY_ANYWHERE = tuple(
    f"triggerkit.{name}" for name in ("cli", "commands", "dev", "testing", "registry")
)
"""Commands import what they need when they run; a registry and a test harness load by name."""

LAZY: dict[str, str] = {}
"""Other functions that import parts of the package, with the reason."""

CORE_MAY_USE = {"msgspec": None, "pydantic": "options", "pydantic_core": "options"}
"""Packages from outside that the core imports, and the one module that may."""


EMULATOR_ALSO_USES = {
    "triggerkit.emulator.inprocess imports botocore": "this skin answers inside a botocore client",
}


PARTS_OF_A_WORKER = {
    "Engine",
    "EventSourceMapping",
    "Membership",
    "MembershipPerformer",
}
"""What only `runtime/assembly.py` puts together."""


def module_names() -> set[str]:
    return {source.module for source in package()}


def target_of(name: str, modules: set[str]) -> str:
    """The module that `import name` loads: `a.b.c` may be the name `c` of module `a.b`."""
    return name if name in modules else name.rpartition(".")[0]


def lazy_imports(source: Source) -> list[tuple[str, str]]:
    """(function, module) of every import of ours that runs inside a function."""
    return [
        (f"{source.module}.{around}", name)
        for around, node in scoped(source.tree)
        if around and node.__class__ in {ast.Import, ast.ImportFrom}
        for name in imported(node, source)
        if name.startswith("triggerkit")
    ]


def top_level_imports(source: Source) -> set[str]:
    """Modules of ours that importing `source` loads."""
    modules = module_names()
    found = set()
    for statement in source.tree.body:
        for name in imported(statement, source):
            if name.startswith("triggerkit"):
                found.add(target_of(name, modules))
    return found - {source.module}


def test_the_contracts_of_import_linter_are_kept() -> None:
    run = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=CHECKOUT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_import_cycle_exists() -> None:
    try:
        TopologicalSorter(
            {source.module: top_level_imports(source) for source in package()}
        ).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_parts_of_the_package_are_imported_at_the_top_of_a_module() -> None:
    lazy = {
        function: name
        for source in package()
        if not source.module.startswith(LAZY_ANYWHERE)
        for function, name in lazy_imports(source)
    }
    check(lazy, LAZY)


def test_the_core_uses_the_standard_library_and_msgspec_and_pydantic_in_its_options() -> None:
    bad = []
    for source in package():
        if not source.module.startswith("triggerkit.core"):
            continue
        for node in ast.walk(source.tree):
            for name in imported(node, source):
                top = name.partition(".")[0]
                if top in sys.stdlib_module_names or top == "triggerkit":
                    continue
                where = CORE_MAY_USE.get(top, "nowhere")
                if where not in {None, source.path.stem}:
                    bad.append(f"{source.place}:{getattr(node, 'lineno', 0)} imports {name}")
    assert not bad, findings(bad)


def test_the_emulator_uses_the_standard_library_alone() -> None:
    found = {
        f"{source.module} imports {name.partition('.')[0]}": name
        for source in package()
        if source.module.startswith("triggerkit.emulator")
        for node in ast.walk(source.tree)
        for name in imported(node, source)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not name.startswith(("triggerkit.emulator", "triggerkit.errors"))
    }
    check(found, EMULATOR_ALSO_USES)


def test_a_worker_is_put_together_in_one_place() -> None:
    found = {
        f"{source.place}:{node.lineno} makes {ast.unparse(node.func)}"
        for source in package()
        if source.module != "triggerkit.runtime.assembly"
        and not source.module.startswith("triggerkit.emulator")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in PARTS_OF_A_WORKER
    }
    assert not found, findings(sorted(found))
