"""Text that would act on a terminal, and what tells whether it came through."""

from __future__ import annotations

import unicodedata

NASTY = (
    "a\x1b]0;pwned\x07\x1b[31mred\nforged\rforged\x9b2J\u202egnol\u200bzero\x7f\u2028x\u2066\ufeff"
)
"""A window title, a colour, forged lines, a C1 sequence, turned and invisible letters."""


def unsafe(text: str) -> set[str]:
    """Characters that a terminal obeys or does not show; lines and tabs are fine."""
    return {
        one
        for one in text
        if one not in "\n\t" and unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    }


def forged(text: str) -> list[str]:
    """Lines that outside text has begun."""
    return [line for line in text.splitlines() if line.startswith("forged")]


def assert_harmless(text: str) -> None:
    """Nothing of `NASTY` acts."""
    assert not unsafe(text), ascii(text)
    assert not forged(text), ascii(text)
