"""What expressions mean once they are read: frozen trees.

A node holds canonical values and resolved names; no placeholder is left in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from triggerkit.emulator.values import Value

Path: TypeAlias = tuple[str | int, ...]
"""A document path: attribute names and list indexes, outermost first."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """The value at a path."""

    path: Path


@dataclass(frozen=True, slots=True)
class Literal:
    """A value of the request; `name` is its placeholder."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Size:
    """The size of an operand."""

    of: Attribute | Literal


Operand: TypeAlias = Attribute | Literal | Size


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right`; the operator is one of = <> < <= > >=."""

    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Between:
    """`low <= operand <= high`."""

    operand: Operand
    low: Operand
    high: Operand


@dataclass(frozen=True, slots=True)
class Among:
    """`operand IN (choices)`."""

    operand: Operand
    choices: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A condition that is a function; `operands` has one or two members."""

    function: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Both:
    """`left AND right`."""

    left: Condition
    right: Condition


@dataclass(frozen=True, slots=True)
class Either:
    """`left OR right`."""

    left: Condition
    right: Condition


@dataclass(frozen=True, slots=True)
class Negation:
    """`NOT condition`."""

    condition: Condition


Condition: TypeAlias = Comparison | Between | Among | Call | Both | Either | Negation


@dataclass(frozen=True, slots=True)
class IfNotExists:
    """The value at a path, or another one when there is none."""

    attribute: Attribute
    otherwise: Term


@dataclass(frozen=True, slots=True)
class ListAppend:
    """Two lists put together."""

    first: Term
    second: Term


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left + right` or `left - right`."""

    operator: str
    left: Term
    right: Term


Term: TypeAlias = Attribute | Literal | IfNotExists | ListAppend | Arithmetic


@dataclass(frozen=True, slots=True)
class SetAction:
    """`SET path = term`."""

    path: Path
    term: Term


@dataclass(frozen=True, slots=True)
class RemoveAction:
    """`REMOVE path`."""

    path: Path


@dataclass(frozen=True, slots=True)
class AddAction:
    """`ADD path value`."""

    path: Path
    literal: Literal


@dataclass(frozen=True, slots=True)
class DeleteAction:
    """`DELETE path value`."""

    path: Path
    literal: Literal


Action: TypeAlias = SetAction | RemoveAction | AddAction | DeleteAction


def shown(path: Path) -> str:
    """Return a path as error texts show it, for example `[a, b, [0]]`."""
    return "[" + ", ".join(f"[{step}]" if isinstance(step, int) else step for step in path) + "]"
