"""Texts that match a regular expression, drawn from a seed: literals, classes, repeats, groups and branches.

Look-around, back references and conditions are not followed.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

MOST_REPEATS = 3
"""How often a part is repeated beyond its minimum."""
_LETTERS: Final = string.ascii_letters + string.digits
_PRINTABLE: Final = string.ascii_letters + string.digits + "-_.:/ #@"
_CATEGORIES: Final[Mapping[str, str]] = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": string.ascii_letters + string.digits + "_",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": string.ascii_letters,
    "CATEGORY_NOT_WORD": "-.:",
    "CATEGORY_NOT_SPACE": _LETTERS,
}


def matching_text(pattern: str, rng: Random) -> str:
    """A text in which `pattern` is found. Raises ValueError: the pattern is not a simple one."""
    try:
        parsed: Any = re._parser.parse(pattern)  # type: ignore[attr-defined]  # noqa: SLF001 - the only parser there is
        text = _sequence(parsed, rng)
        found = re.search(pattern, text)
    except (re.error, KeyError, RecursionError, OverflowError) as error:
        raise ValueError(f"no text can be made for the pattern {pattern!r}") from error
    if found is None:
        raise ValueError(f"no text can be made for the pattern {pattern!r}")
    return text


def _sequence(parsed: Any, rng: Random) -> str:
    return "".join(_part(op, given, rng) for op, given in parsed)


def _part(op: Any, given: Any, rng: Random) -> str:
    """One node of the parse tree. Raises KeyError: it is of a kind that is not followed."""
    return _PARTS[str(op)](given, rng)


def _branch(given: Any, rng: Random) -> str:
    _, branches = given
    return _sequence(rng.choice(branches), rng)


def _repeat(given: Any, rng: Random) -> str:
    least, most, inner = given
    times = rng.randint(least, min(int(most), least + MOST_REPEATS))
    return "".join(_sequence(inner, rng) for _ in range(times))


def _other_letter(given: Any, rng: Random) -> str:
    return rng.choice([each for each in _LETTERS if each != chr(given)])


_PARTS: Final[Mapping[str, Callable[[Any, Random], str]]] = {
    "ANY": lambda _, rng: rng.choice(_LETTERS),
    "AT": lambda _, __: "",
    "ATOMIC_GROUP": _sequence,
    "BRANCH": _branch,
    "CATEGORY": lambda given, rng: rng.choice(_CATEGORIES[str(given)]),
    "IN": lambda given, rng: rng.choice(_members(given)),
    "LITERAL": lambda given, _: chr(given),
    "MAX_REPEAT": _repeat,
    "MIN_REPEAT": _repeat,
    "NOT_LITERAL": _other_letter,
    "POSSESSIVE_REPEAT": _repeat,
    "SUBPATTERN": lambda given, rng: _sequence(given[-1], rng),
}


def _members(given: Any) -> str:
    """The characters of a class such as `[a-z0-9_]`."""
    negated, found = False, ""
    for op, value in given:
        match str(op):
            case "NEGATE":
                negated = True
            case "LITERAL":
                found += chr(value)
            case "RANGE":
                first, last = value
                found += "".join(map(chr, range(first, min(last, first + 255) + 1)))
            case "CATEGORY":
                found += _CATEGORIES[str(value)]
            case kind:
                raise KeyError(kind)
    return "".join(each for each in _PRINTABLE if each not in found) if negated else found
