"""One tree of errors. A code names one class for ever, and every error that is raised has a hint."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

import pytest
from architecture.package_tree import dotted, findings, package, scoped

from triggerkit import errors
from triggerkit.errors import TriggerkitError

WITHOUT_HINT = {
    "InternalError": "a fault of triggerkit: the user can do nothing about it",
    "LeaseLostError": "the core answers it; no user sees it",
    "ThrottledError": "always retried by the core",
    "DamagedReplyError": "always read again",
    "PositionTrimmedError": "the core records the gap and goes on",
}
"""Classes whose raisers need no hint, with the reason."""


WAITING_CURES = {
    "InternalError": "a fault of triggerkit, which an operator cannot repair",
    "SourceError": "a fault of the service, which it repairs",
    "SourceNotFoundError": "a table that is made anew is followed within seconds",
    "ShardGoneError": "the core records the gap and goes on with its children",
    "StreamDisabledError": "a stream that is turned on again is followed within seconds",
    "CredentialsError": "what expires is renewed, without triggerkit",
    "EndpointUnreachableError": "networks and servers come back",
    "ThrottledError": "the service asks to wait",
    "PositionTrimmedError": "reading goes on at what is left",
    "ListingUnusableError": "a later listing may be whole",
    "ReplyTooLargeError": "a later reply may be as the service sends them",
    "DamagedReplyError": "a later reply may be whole",
    "StateError": "a disk gets room again",
    "StateLockedError": "the other program ends its transaction",
    "LeaseLostError": "the core answers it",
    "HandlerError": "a handler's failures have rules of their own",
    "ImageNotInStream": "as any failure of a handler",
    "ImageMismatchError": "as any failure of a handler",
    "DestinationError": "a disk gets room again, and a service comes back",
    "SimulationError": "no worker meets it",
}
"""What `permanent` does not hold for, with the reason; for all others somebody has to act."""


def tree_of(root: type[TriggerkitError]) -> Iterator[type[TriggerkitError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree_of(child)


CLASSES = tuple(tree_of(TriggerkitError))


def test_codes_are_unique_and_each_class_has_its_own() -> None:
    assert [c.__name__ for c in CLASSES if "code" not in vars(c)] == []
    assert [code for code, times in Counter(c.code for c in CLASSES).items() if times > 1] == []


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_a_code_is_a_slug_that_says_what_the_class_says(error: type[TriggerkitError]) -> None:
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in error.__name__)
    assert error.code == words.strip("_").removesuffix("_error")


def test_b6_each_class_says_whether_waiting_alone_can_cure_it() -> None:
    passing = {each.__name__ for each in CLASSES if not each.permanent}
    assert passing - {"TriggerkitError"} == WAITING_CURES.keys()


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_an_exit_code_is_one_of_the_listed(error: type[TriggerkitError]) -> None:
    assert error.exit_code in errors.EXIT_CODES


def test_no_error_of_triggerkit_is_defined_elsewhere() -> None:
    names = {c.__name__ for c in CLASSES}
    strays = [
        f"{source.place}:{node.lineno} {node.name}"
        for source in package()
        if source.module != "triggerkit.errors"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and names & {dotted(one) for one in node.bases}
    ]
    assert not strays, findings(strays)


def made_errors() -> Iterator[tuple[str, str, ast.Call]]:
    """(place, class, call) wherever an error of the tree is made, raised at once or not."""
    names = {c.__name__ for c in CLASSES}
    for source in package():
        for around, node in scoped(source.tree):
            if isinstance(node, ast.Call):
                name = dotted(node.func).rpartition(".")[2]
                if name in names:
                    yield f"{source.place}:{node.lineno} in {around}", name, node


def test_whoever_makes_an_error_gives_a_hint() -> None:
    bad = [
        f"{place}: {name}"
        for place, name, call in made_errors()
        if name not in WITHOUT_HINT and "hint" not in {one.arg for one in call.keywords}
    ]
    assert not bad, findings(bad)


def test_a_hint_is_more_than_an_empty_text() -> None:
    bad = [
        place
        for place, _, call in made_errors()
        for one in call.keywords
        if one.arg == "hint" and isinstance(one.value, ast.Constant) and not one.value.value
    ]
    assert not bad, findings(bad)


def test_the_root_is_never_raised() -> None:
    assert [place for place, name, _ in made_errors() if name == "TriggerkitError"] == []


def test_nothing_raises_a_bare_exception() -> None:
    bad = [
        f"{source.place}:{node.lineno}"
        for source in package()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and dotted(node.exc.func) in {"Exception", "BaseException", "RuntimeError"}
    ]
    assert not bad, findings(bad)
