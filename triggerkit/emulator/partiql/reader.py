"""A reader over the tokens of one statement: names, paths and values.

Rule: the reader moves forward only; each `?` takes the next parameter, in the order of the text; every
value is canonical when it leaves here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from triggerkit.emulator.errors import EmulatorError, validation
from triggerkit.emulator.expressions.nodes import Literal, Path
from triggerkit.emulator.partiql.tokens import Token, malformed, tokenise
from triggerkit.emulator.values import Value, normalise

MAX_DEPTH = 64
_WORDS = frozenset(
    {
        *("ALL", "AND", "BETWEEN", "BY", "DELETE", "FROM", "IN", "INSERT", "INTO", "IS", "LIKE"),
        *("LIMIT", "NOT", "OR", "ORDER", "REMOVE", "RETURNING", "SELECT", "SET", "UPDATE"),
        *("VALUE", "VALUES", "WHERE"),
    }
)
"""The words that name nothing unless they are quoted."""
_CONSTANTS: dict[str, Value] = {
    "TRUE": {"BOOL": True},
    "FALSE": {"BOOL": False},
    "NULL": {"NULL": True},
}


@dataclass(slots=True)
class Reader:
    """One statement being read."""

    statement: str
    parameters: Sequence[Value]
    tokens: tuple[Token, ...] = field(init=False)
    position: int = 0
    _taken: int = 0

    def __post_init__(self) -> None:
        self.tokens = tokenise(self.statement)

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self.tokens[self.position]

    def error(self, wanted: str) -> EmulatorError:
        """Return the answer to a token that cannot stand where it stands."""
        return malformed(f"expected {wanted} instead of {self.token.text!r}")

    def advance(self) -> Token:
        """Return the next token and go past it."""
        token = self.token
        if token.kind != "end":
            self.position += 1
        return token

    def at_symbol(self, *symbols: str) -> bool:
        """Tell whether one of `symbols` comes next."""
        return self.token.kind == "symbol" and self.token.text in symbols

    def at_word(self, *words: str) -> bool:
        """Tell whether one of the words comes next, in any case of letters."""
        return self.token.kind == "name" and self.token.text.upper() in words

    def take_symbol(self, *symbols: str) -> bool:
        """Go past one of `symbols` if it comes next, and tell so."""
        found = self.at_symbol(*symbols)
        self.position += found
        return found

    def take_word(self, *words: str) -> bool:
        """Go past one of the words if it comes next, and tell so."""
        found = self.at_word(*words)
        self.position += found
        return found

    def expect_symbol(self, symbol: str) -> None:
        """Go past `symbol`. Raises EmulatorError: another token comes next."""
        if not self.take_symbol(symbol):
            raise self.error(repr(symbol))

    def expect_word(self, word: str) -> None:
        """Go past a word. Raises EmulatorError: another token comes next."""
        if not self.take_word(word):
            raise self.error(word)

    def at_function(self) -> bool:
        """Tell whether a name with an opening parenthesis comes next."""
        after = self.tokens[min(self.position + 1, len(self.tokens) - 1)]
        return self.token.kind == "name" and (after.kind, after.text) == ("symbol", "(")

    def name(self) -> str:
        """Return the name that comes next, quoted or not."""
        token = self.token
        plain = token.kind == "name" and token.text.upper() not in _WORDS
        if not plain and token.kind != "quoted":
            raise self.error("a name")
        return self.advance().text

    def path(self) -> Path:
        """Return the document path that comes next."""
        steps: list[str | int] = [self.name()]
        while self.at_symbol(".", "["):
            if self.take_symbol("."):
                steps.append(self.name())
            else:
                steps.append(self._index())
        return tuple(steps)

    def _index(self) -> int:
        self.expect_symbol("[")
        if self.token.kind != "number" or not self.token.text.isdigit():
            raise self.error("an index")
        index = int(self.advance().text)
        self.expect_symbol("]")
        return index

    def at_value(self) -> bool:
        """Tell whether a value comes next."""
        return (
            self.token.kind in ("text", "number")
            or self.at_symbol("?", "[", "{", "<<", "-", "+")
            or self.at_word(*_CONSTANTS)
        )

    def literal(self) -> Literal:
        """Return the value that comes next."""
        return Literal("?", self.value())

    def value(self, depth: int = 0) -> Value:
        """Return the value that comes next, canonical.

        Raises:
            EmulatorError: ValidationException for what is no value.
        """
        if depth > MAX_DEPTH:
            raise malformed("a value is nested too deeply")
        if self.take_symbol("?"):
            return self._parameter()
        if self.token.kind == "text":
            return {"S": self.advance().text}
        if self.token.kind == "number" or self.at_symbol("-", "+"):
            return self._number()
        if self.at_word(*_CONSTANTS):
            return _CONSTANTS[self.advance().text.upper()]
        if self.take_symbol("["):
            return {"L": self._members("]", depth)}
        if self.take_symbol("<<"):
            return self._set(self._members(">>", depth))
        if self.take_symbol("{"):
            return {"M": self._entries(depth)}
        raise self.error("a value")

    def _parameter(self) -> Value:
        self._taken += 1
        if self._taken > len(self.parameters):
            raise mismatched()
        return self.parameters[self._taken - 1]

    def _number(self) -> Value:
        sign = self.advance().text if self.at_symbol("-", "+") else ""
        if self.token.kind != "number":
            raise self.error("a number")
        return normalise({"N": sign + self.advance().text})

    def _members(self, closing: str, depth: int) -> list[Value]:
        members: list[Value] = []
        while not self.take_symbol(closing):
            if members:
                self.expect_symbol(",")
            members.append(self.value(depth + 1))
        return members

    def _set(self, members: list[Value]) -> Value:
        if not members:
            raise validation("Empty bags are not supported")
        kinds = {kind for member in members for kind in member}
        if len(kinds) > 1 or kinds - {"S", "N", "B"}:
            raise validation(
                "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags"
            )
        (kind,) = kinds
        return normalise({f"{kind}S": [member[kind] for member in members]})

    def _entries(self, depth: int) -> dict[str, Value]:
        entries: dict[str, Value] = {}
        while not self.take_symbol("}"):
            if entries:
                self.expect_symbol(",")
            if self.token.kind != "text":
                raise validation(f"Tuple keys must be of type String. Actual: {self.token.text!r}")
            name = self.advance().text
            if name in entries:
                raise validation(f"Duplicate keys in tuple. Key: {name}")
            self.expect_symbol(":")
            entries[name] = self.value(depth + 1)
        return entries

    def finish(self) -> None:
        """Make sure that nothing is left, neither of the statement nor of the parameters.

        Raises:
            EmulatorError: ValidationException.
        """
        self.take_symbol(";")
        if self.token.kind != "end":
            raise self.error("the end")
        if self._taken != len(self.parameters):
            raise mismatched()


def mismatched() -> EmulatorError:
    """Return the answer to more or fewer parameters than question marks."""
    return validation("Number of parameters in request and statement don't match.")


def refuse_plainly(refusal: EmulatorError | None) -> None:
    """Raise a refusal of an expression without the name of the expression's member."""
    if refusal is not None:
        raise validation(refusal.message.partition(": ")[2])


def read_parameters(given: list[Any] | None) -> list[Value]:
    """Return the canonical parameters of a request."""
    return [normalise(value) for value in given or ()]
