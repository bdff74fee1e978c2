"""Text to tokens.

Rule: this module knows which characters form a token and how a syntax error is worded, nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from triggerkit.emulator.errors import EmulatorError, validation

MAX_EXPRESSION_BYTES = 4096
END = "<EOF>"
_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z][A-Za-z0-9_]*)|(?P<alias>\#[A-Za-z0-9_]+)|(?P<value>:[A-Za-z0-9_]+)"
    r"|(?P<index>[0-9]+)|(?P<symbol><=|>=|<>|[=<>+\-()\[\],.]))"
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `kind` is name, alias (#x), value (:x), index, symbol or end."""

    kind: str
    text: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Source:
    """One expression's text, and which request member it came from, for its error texts."""

    member: str
    text: str

    def error(self, reason: str) -> EmulatorError:
        """Return the answer to an expression that is wrong for `reason`."""
        return validation(f"Invalid {self.member}: {reason}")


@lru_cache(maxsize=512)
def tokenise(source: Source) -> tuple[Token, ...]:
    """Return the tokens of an expression, closed by an end token.

    Raises:
        EmulatorError: ValidationException for an empty or overlong text or an unknown character.
    """
    if not source.text.strip():
        raise source.error("The expression can not be empty;")
    if len(source.text.encode()) > MAX_EXPRESSION_BYTES:
        raise source.error("Expression size has exceeded the maximum allowed size;")
    tokens: list[Token] = []
    position, length = 0, len(source.text.rstrip())
    while position < length:
        match = _TOKEN.match(source.text, position)
        if match is None:
            raise _unknown(source, tokens, position)
        kind = match.lastgroup or "symbol"
        tokens.append(Token(kind, match[kind], match.start(kind), match.end()))
        position = match.end()
    tokens.append(Token("end", END, length, length))
    return tuple(tokens)


def syntax_error(source: Source, tokens: tuple[Token, ...], index: int) -> EmulatorError:
    """Return the answer to a token that cannot stand where it stands."""
    token = tokens[index]
    first = tokens[max(index - 1, 0)]
    last = tokens[min(index + 1, len(tokens) - 1)]
    near = source.text[first.start : last.stop].strip()
    return source.error(f'Syntax error; token: "{token.text}", near: "{near}"')


def _unknown(source: Source, tokens: list[Token], position: int) -> EmulatorError:
    rest = source.text[position:].lstrip()
    start = len(source.text) - len(rest)
    first = tokens[-1].start if tokens else start
    near = source.text[first : start + 1].strip()
    return source.error(f'Syntax error; token: "{rest[0]}", near: "{near}"')
