"""Timelines: how far the clocks of both endpoints are moved, again and again.

No sum of neighbouring moves lies at a limit, since the host's own clock goes on between two answers: an age is
just before a limit or just behind it, never on it.
"""

from __future__ import annotations

from random import Random

MARGIN_SECONDS = 15


def timeline(
    random: Random, choices: tuple[int, ...], count: int, limits: tuple[int, ...]
) -> list[int]:
    """Return `count` moves in seconds, each one of `choices`, that keep away from the limits."""
    moves: list[int] = []
    while len(moves) < count:
        tried = [*moves, random.choice(choices)]
        ages = [sum(tried[start:]) for start in range(len(tried))]
        if all(abs(age - limit) > MARGIN_SECONDS for age in ages for limit in limits):
            moves = tried
    return moves
