"""Whether colours are written: `--color`, else NO_COLOR and FORCE_COLOR, else whether a terminal is there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, TextIO, TypeAlias, get_args

ColourChoice: TypeAlias = Literal["auto", "always", "never"]
COLOUR_CHOICES: tuple[str, ...] = get_args(ColourChoice)


class _Chosen:
    """What `--color` says in this process."""

    choice: ColourChoice = "auto"


def choose_colours(choice: ColourChoice) -> None:
    """Take over what `--color` says."""
    _Chosen.choice = choice


def chosen_colours() -> ColourChoice:
    """What `--color` said."""
    return _Chosen.choice


def forced_colours(environ: Mapping[str, str] = os.environ) -> bool | None:
    """True: always. False: never. None: in a terminal.

    `--color` wins over the environment, and NO_COLOR over FORCE_COLOR; an empty variable says nothing.
    """
    if _Chosen.choice != "auto":
        return _Chosen.choice == "always"
    if environ.get("NO_COLOR"):
        return False
    return True if environ.get("FORCE_COLOR") else None


def wants_colours(stream: TextIO) -> bool:
    """Whether colours may be written there."""
    forced = forced_colours()
    if forced is not None:
        return forced
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


def is_terminal(stream: TextIO) -> bool:
    """Whether a person may be looking."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False
