"""Tests can be trusted. Rule: no patched internals, no unseeded chance, no name of a machine."""

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
    bad = [
        f"{source.place}:{node.lineno}"
        for source in suite()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and (
            dotted(node.func) in UNSEEDED
            or (dotted(node.func) in {"Random", "random.Random"} and not node.args)
        )
    ]
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
