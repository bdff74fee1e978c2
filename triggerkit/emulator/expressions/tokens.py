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
    r"|(?P<index>[0-9]+)|(?P<symbol><=|>=|<>|[=<>+\-()\[\],.])|(?P<unknown>\S))"
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `kind` is name, alias (#x), value (:x), index, symbol, unknown or end."""

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
        EmulatorError: ValidationException for an empty or overlong text.
    """
    if not source.text:
        raise source.error("The expression can not be empty;")
    size_bytes = len(source.text.encode())
    if size_bytes > MAX_EXPRESSION_BYTES:
        raise source.error(
            f"Expression size has exceeded the maximum allowed size; expression size: {size_bytes}"
        )
    tokens: list[Token] = []
    for match in _TOKEN.finditer(source.text):
        kind = match.lastgroup or "unknown"
        tokens.append(Token(kind, match[kind], match.start(kind), match.end()))
    end = len(source.text)
    tokens.append(Token("end", END, tokens[-1].stop if tokens else 0, end))
    return tuple(tokens)


def syntax_error(source: Source, tokens: tuple[Token, ...], index: int) -> EmulatorError:
    """Return the answer to a token that cannot stand where it stands."""
    token = tokens[index]
    first = tokens[max(index - 1, 0)]
    last = tokens[min(index + 1, len(tokens) - 1)]
    near = source.text[first.start : last.stop]
    return source.error(f'Syntax error; token: "{token.text}", near: "{near}"')
