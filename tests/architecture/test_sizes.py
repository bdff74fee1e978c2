"""Sizes stay small enough to read. Rule: a limit is raised for a name and a reason, never in general."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest
from architecture.package_tree import Function, Source, check, package, scoped, suite

MAX_FILE_LINES = 450
MAX_TEST_FILE_LINES = 750
"""Tests mirror the package: the cases of one module stay in one file, and are read row by row."""
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 7
MAX_ATTRIBUTES = 12

MORE_ATTRIBUTES = {
    "triggerkit.core.options.MappingOptions": "one field an option: this is the list of options",
    "triggerkit.invokers.context.InvocationContext": "Lambda's context object has these attributes",
    "triggerkit.triggers.Options": "the same list as a TypedDict; a drift test holds the two together",
}
MORE_PARAMETERS: dict[str, str] = {}


def attributes_of(node: ast.ClassDef) -> set[str]:
    """Names that instances carry: annotated fields, slots, and what methods set on `self`."""
    names: set[str] = set()
    for inner in ast.walk(node):
        match inner:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)) if inner in node.body:
                if "ClassVar" not in ast.unparse(inner.annotation):
                    names.add(name)
    return names


def parameters_of(node: Function) -> list[str]:
    """Names of all parameters, `*args` and `**kwargs` included, without `self` and `cls`."""
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [one.arg for one in every if one is not None and one.arg not in {"self", "cls"}]


def is_command(node: Function) -> bool:
    """Whether click calls it: then its parameters are the command's flags, which `--help` lists."""
    return any("command" in ast.unparse(one) for one in node.decorator_list)


def functions_of(source: Source) -> list[tuple[str, Function]]:
    return [
        (f"{source.module}.{name}", node)
        for name, node in scoped(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.mark.parametrize(
    ("files", "limit"), [(package, MAX_FILE_LINES), (suite, MAX_TEST_FILE_LINES)]
)
def test_no_file_is_too_long(files: Callable[[], tuple[Source, ...]], limit: int) -> None:
    lengths = {source.place: source.text.count("\n") for source in files()}
    check({place: lines for place, lines in lengths.items() if lines > limit}, {})


def test_no_function_is_longer_than_60_lines() -> None:
    long = {
        name: length
        for source in package()
        for name, node in functions_of(source)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    check(long, {})


def test_no_function_takes_more_than_7_parameters() -> None:
    wide = {
        name: names
        for source in package()
        for name, node in functions_of(source)
        if len(names := parameters_of(node)) > MAX_PARAMETERS and not is_command(node)
    }
    check(wide, MORE_PARAMETERS)


def test_no_class_has_more_than_12_attributes() -> None:
    wide = {
        name: sorted(names)
        for source in package()
        for inner, node in scoped(source.tree)
        if isinstance(node, ast.ClassDef)
        and (name := f"{source.module}.{inner}")
        and len(names := attributes_of(node)) > MAX_ATTRIBUTES
    }
    check(wide, MORE_ATTRIBUTES)
