"""Names come from the glossary. Rule: a banned word stands only where the table says who chose it.

Identifiers are cut into words (`old_prefix`, `MappingOptions`); our own modules, classes, functions,
parameters, variables and attributes are looked at.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from architecture.package_tree import Source, check, package

BANNED = frozenset(
    {
        *(
            "manager",
            "helper",
            "util",
            "common",
            "misc",
            "base",
            "abstract",
            "impl",
            "simple",
            "smart",
        ),
        *("data", "info", "obj", "tmp", "process", "processor", "message", "msg", "job", "task"),
        *("poller", "cursor", "magic", "master", "slave", "whitelist", "v2"),
    }
)
"""Their plurals too."""
BANNED_FIRST = frozenset({"do", "handle", "new", "old"})
"""Only at the start of a longer name: `old_prefix`, not `old`, which is DynamoDB's own word for an image."""

EXEMPT = {
    "IN_PROCESS": "a process of the operating system",
    "InProcessInvoker": "a process of the operating system",
    "_PROCESSORS": "structlog calls them so",
    "_task": "an asyncio.Task",
    "base_path": "RFC 3986 calls what relative references start from their base",
    "data_received": "asyncio.Protocol names it",
    "error_message": "a log field of API.md; AWS's errors have the same word",
    "message": "the text of an error, in Python and on AWS's wire",
    "message_of": "the log field `message` of API.md",
    "msg": "the parameter of Lambda's own context.log",
    "new_lease": "the row of a shard that has none yet; new in the stream, not in the code",
    "new_prefix": "the words of `triggerkit rename OLD NEW`",
    "old_prefix": "the words of `triggerkit rename OLD NEW`",
    "process": "a process of the operating system",
    "ProcessIdentity": "a process of the operating system",
    "task": "an asyncio.Task",
    "_tasks": "asyncio.Tasks",
}
"""Identifier to the reason why this word and no other."""


def words_of(identifier: str) -> list[str]:
    """`_readShard_2` becomes `read shard 2`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", identifier)
    return [word.lower() for word in apart.split("_") if word]


def is_banned(identifier: str) -> bool:
    words = words_of(identifier)
    first = len(words) > 1 and words[0] in BANNED_FIRST
    return first or any(word in BANNED or word.removesuffix("s") in BANNED for word in words)


def identifiers_of(source: Source) -> Iterator[tuple[str, int]]:
    """Every name that this file defines or binds, with its line; what it only uses is not its choice."""
    yield source.path.stem, 1
    for node in ast.walk(source.tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name, node.lineno
            case ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name, node.lineno


def banned_names() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for source in package():
        for name, line in identifiers_of(source):
            if is_banned(name):
                found.setdefault(name, []).append(f"{source.place}:{line}")
    return found


def test_no_name_of_ours_is_a_banned_word() -> None:
    check(banned_names(), EXEMPT)


@pytest.mark.parametrize(
    "name", ["LeaseManager", "shard_data", "old_prefix", "handle_report", "_msg", "OBJ", "do_it"]
)
def test_a_banned_word_is_seen_in_every_spelling(name: str) -> None:
    assert is_banned(name)


@pytest.mark.parametrize("name", ["database", "processed", "old", "renewed", "handler", "metadata"])
def test_a_word_that_only_contains_a_banned_one_is_free(name: str) -> None:
    assert not is_banned(name)
