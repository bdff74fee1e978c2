"""Reading one expression: its tokens, and what conditions, updates and projections share.

A reader moves forward only. A wrong token ends the reading with a syntax error at once; what is wrong in meaning
(an undefined placeholder, a bad operand) is noted and raised only when the whole text was read: DynamoDB too
reports errors of syntax first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from triggerkit.emulator.errors import EmulatorError, validation
from triggerkit.emulator.expressions.nodes import Attribute, Literal, Path
from triggerkit.emulator.expressions.placeholders import Placeholders
from triggerkit.emulator.expressions.reserved import GRAMMAR_WORDS, RESERVED_WORDS

MAX_PATH_STEPS = 32
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


@dataclass(slots=True)
class Reader:
    """One expression being read."""

    source: Source
    placeholders: Placeholders
    tokens: tuple[Token, ...] = field(init=False)
    position: int = field(default=0, init=False)
    _refusal: EmulatorError | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.tokens = tokenise(self.source)

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self.tokens[self.position]

    def following(self, symbol: str) -> bool:
        """Return whether the token after the next one is `symbol`."""
        after = self.tokens[min(self.position + 1, len(self.tokens) - 1)]
        return after.kind == "symbol" and after.text == symbol

    def error(self) -> EmulatorError:
        """Return the syntax error of the token that comes next."""
        return syntax_error(self.source, self.tokens, self.position)

    def advance(self) -> Token:
        """Return the next token and go past it."""
        token = self.token
        if token.kind != "end":
            self.position += 1
        return token

    def at_symbol(self, *symbols: str) -> bool:
        """Return whether one of `symbols` comes next."""
        return self.token.kind == "symbol" and self.token.text in symbols

    def at_keyword(self, *words: str) -> bool:
        """Return whether one of the keywords comes next, in upper or lower case."""
        return self.token.kind == "name" and self.token.text.upper() in words

    def take_symbol(self, symbol: str) -> bool:
        """Go past `symbol` if it comes next; return whether it did."""
        if self.at_symbol(symbol):
            self.position += 1
            return True
        return False

    def take_keyword(self, word: str) -> bool:
        """Go past a keyword if it comes next; return whether it did."""
        if self.at_keyword(word):
            self.position += 1
            return True
        return False

    def expect_symbol(self, symbol: str) -> None:
        """Go past `symbol`.

        Raises:
            EmulatorError: another token comes next.
        """
        if not self.take_symbol(symbol):
            raise self.error()

    def expect_keyword(self, word: str) -> None:
        """Go past a keyword.

        Raises:
            EmulatorError: another token comes next.
        """
        if not self.take_keyword(word):
            raise self.error()

    def refuse(self, error: EmulatorError | None) -> None:
        """Keep the first error of meaning, which `finish` raises; None is no error."""
        if self._refusal is None:
            self._refusal = error

    def refuse_doubled(self, opened: int) -> None:
        """Refuse the parentheses just closed, opened at `opened`, if they hold only another pair."""
        texts = [token.text for token in self.tokens[opened + 1 : self.position - 1]]
        if texts[0] != "(" or texts[-1] != ")":
            return
        level = 0
        for index, text in enumerate(texts):
            level += (text == "(") - (text == ")")
            if level == 0:
                if index == len(texts) - 1:
                    self.refuse(self.source.error("The expression has redundant parentheses;"))
                return

    def finish(self) -> None:
        """Make sure that nothing is left and nothing was refused.

        Raises:
            EmulatorError: a token is left, or what was refused first.
        """
        if self.token.kind != "end":
            raise self.error()
        if self._refusal is not None:
            raise self._refusal

    def path(self) -> Path:
        """Return the document path that comes next."""
        steps: list[str | int] = [self._step()]
        while self.at_symbol(".", "["):
            if self.take_symbol("."):
                steps.append(self._step())
            else:
                self.expect_symbol("[")
                if self.token.kind != "index":
                    raise self.error()
                steps.append(int(self.advance().text))
                self.expect_symbol("]")
        if len(steps) > MAX_PATH_STEPS:
            self.refuse(
                self.source.error(
                    f"The document path has too many nesting levels; nesting levels: {len(steps)}"
                )
            )
        return tuple(steps)

    def literal(self) -> Literal:
        """Return the value placeholder that comes next."""
        if self.token.kind != "value":
            raise self.error()
        name = self.advance().text
        literal = self.placeholders.literal(name)
        if literal is None:
            self.refuse(
                self.source.error(
                    "An expression attribute value used in expression is not defined; "
                    f"attribute value: {name}"
                )
            )
            return Literal(name, {"S": ""})
        return literal

    def attribute_or_literal(self) -> Attribute | Literal:
        """Return the path or value that comes next."""
        return self.literal() if self.token.kind == "value" else Attribute(self.path())

    def _step(self) -> str:
        token = self.token
        if token.kind == "alias":
            self.position += 1
            return self._named(token.text)
        word = token.text.upper()
        if token.kind != "name" or word in GRAMMAR_WORDS:
            raise self.error()
        if word in RESERVED_WORDS:
            self.refuse(
                self.source.error(
                    f"Attribute name is a reserved keyword; reserved keyword: {token.text}"
                )
            )
        self.position += 1
        return token.text

    def _named(self, alias: str) -> str:
        name = self.placeholders.name(alias)
        if name is None:
            self.refuse(
                self.source.error(
                    "An expression attribute name used in the document path is not defined; "
                    f"attribute name: {alias}"
                )
            )
            return alias
        return name
