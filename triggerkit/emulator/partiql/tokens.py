"""The text of a statement to tokens.

Rule: this module knows which characters form a token and how an ill-formed statement is worded.
Source: PartiQL specification, lexical structure; DynamoDB guide, PartiQL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from triggerkit.emulator.errors import EmulatorError, validation

MAX_STATEMENT_LENGTH = 8192
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<comment>--[^\n]*)
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
    |(?P<symbol><<|>>|<=|>=|<>|!=|[=<>()\[\]{},.?:+\-*;])
    |(?P<unknown>\S)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `kind` is text, quoted, number, name, symbol, unknown or end."""

    kind: str
    text: str


def malformed(reason: str) -> EmulatorError:
    """Return the answer to a statement that cannot be read."""
    return validation(f"Statement wasn't well formed, can't be processed: {reason}")


def tokenise(statement: str) -> tuple[Token, ...]:
    """Return the tokens of a statement, closed by an end token; quotes are taken off.

    Raises:
        EmulatorError: ValidationException for a statement that is too long.
    """
    if len(statement) > MAX_STATEMENT_LENGTH:
        raise validation(
            "1 validation error detected: Value at 'statement' failed to satisfy constraint: Member "
            f"must have length less than or equal to {MAX_STATEMENT_LENGTH}"
        )
    tokens = []
    for match in _TOKEN.finditer(statement):
        kind = match.lastgroup or "unknown"
        text = match[kind]
        if kind == "comment":
            continue
        if kind in ("text", "quoted"):
            text = text[1:-1].replace(text[0] * 2, text[0])
        tokens.append(Token(kind, text))
    return (*tokens, Token("end", "the end"))
