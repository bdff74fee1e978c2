"""Tests can be trusted: no patched internals, no unseeded randomness, no name of a machine."""

from __future__ import annotations

import ast

from architecture.package_tree import dotted, findings, imported, package, suite

UNSEEDED = {
    f"random.{name}"
    for name in (
        "random",
        "randint",
        "randrange",
        "choice",
        "choices",
        "shuffle",
        "sample",
        "uniform",
    )
}


def test_no_test_patches_what_it_tests() -> None:
    bad = [
        f"{source.place}:{getattr(node, 'lineno', 0)}"
        for source in suite()
        for node in ast.walk(source.tree)
        for name in imported(node, source)
        if name.startswith("unittest.mock") or name == "mock"
    ]
    assert not bad, findings(bad)


def test_chance_in_tests_comes_from_a_seed() -> None:
    bad = []
    for source in suite():
        brought = {name for node in ast.walk(source.tree) for name in imported(node, source)}
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call):
                continue
            name = dotted(node.func)
            # without `import random`, `random.choice` is a method of a generator that has a seed
            unseeded = name in UNSEEDED and "random" in brought
            if unseeded or (name in {"Random", "random.Random"} and not node.args):
                bad.append(f"{source.place}:{node.lineno}")
    assert not bad, findings(bad)


def test_only_the_command_line_prints() -> None:
    bad = [
        f"{source.place}:{node.lineno}"
        for source in package()
        if not source.module.startswith("triggerkit.cli")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and dotted(node.func) == "print"
    ]
    assert not bad, findings(bad)
