"""The faults of a chaos test. Each is one that real fleets meet, and each ends.

What happens when is drawn from the seed alone. When a world is healed, everything that was refused, delayed or
killed comes back, so that all records that were written must be delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random
from typing import Final, Protocol

from triggerkit.errors import UsageError, nearest

FAULTS: Final[Mapping[str, str]] = {
    "expire": "all shard iterators expire",
    "fail": "a handler fails, before its work or after it",
    "freeze": "a worker stands still between two steps, and goes on as if no time had passed",
    "kill": "a worker crashes, and comes back a little later",
    "late": "new shards are listed late, one after the other",
    "lose": "a write of state is made, and its answer lost",
    "outage": "the on_failure destination is down for a while",
    "roll": "a table's open shards go on in one child each",
    "skew": "each worker's clocks are set otherwise, and run at another rate",
    "split": "an open shard goes on in two children",
    "stale": "a worker reads state as it was some seconds ago",
    "stall": "a worker's calls are not answered for a while",
    "throttle": "AWS refuses a worker's next calls",
}
"""Name to what it does."""
FROM_THE_START: Final = frozenset({"skew"})
"""Those that do not happen at a moment."""
SECONDS_BETWEEN = 1.2
"""In the mean."""
RESTART_SECONDS = (0.0, 0.5, 3.0)
STILL_SECONDS = (0.5, 4.0, 9.0, 15.0)
"""Also longer than the silence after which a worker is taken for dead."""
A_WHILE_SECONDS = (1.0, 3.0, 8.0)
MOST_SHARDS = 6
"""Open ones of a table, after which it splits no more."""


class Troubled(Protocol):
    """The world as trouble finds it."""

    def tables_with_streams(self) -> list[str]:
        """Names, in the order of creation."""
        ...

    def open_shards(self, table: str) -> list[str]:
        """Ids of a table's open shards."""
        ...

    def triggers(self) -> list[str]:
        """Names."""
        ...

    def workers_alive(self) -> list[int]:
        """Numbers of the workers that run."""
        ...

    def do(self, fault: str, target: str | int, strength: float) -> Awaitable[None]:
        """Let it happen."""
        ...


def read_faults(given: str | Iterable[str]) -> frozenset[str]:
    """The names in `"split,kill"` or a sequence. Raises UsageError: there is no such fault."""
    names = given.split(",") if isinstance(given, str) else list(given)
    found = frozenset(name.strip() for name in names if name.strip())
    for name in sorted(found):
        if name == "all":
            return frozenset(FAULTS)
        if name not in FAULTS:
            raise UsageError(f"there is no fault {name!r}", hint=nearest(name, tuple(FAULTS)))
    return found


class Trouble:
    """Draws what happens next."""

    def __init__(self, faults: frozenset[str], rng: Random, world: Troubled) -> None:
        self._faults = sorted(faults - FROM_THE_START)
        self._rng = rng
        self._world = world

    async def brew(self) -> None:
        """Let things happen until cancelled."""
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / SECONDS_BETWEEN))
            await self.strike()

    async def strike(self) -> None:
        """Let one thing happen, if it can."""
        if not self._faults:
            return
        fault = self._rng.choice(self._faults)
        choose: Mapping[str, Callable[[], list[str] | list[int]]] = {
            "expire": _everything,
            "fail": self._world.triggers,
            "late": _everything,
            "outage": _everything,
            "roll": self._world.tables_with_streams,
            "split": self._splittable,
        }
        targets = choose.get(fault, self._world.workers_alive)()
        if not targets:
            return
        target = self._rng.choice(list[str | int](targets))
        strength = {
            "freeze": self._rng.choice(STILL_SECONDS),
            "kill": self._rng.choice(RESTART_SECONDS),
            "late": self._rng.choice(A_WHILE_SECONDS),
            "outage": self._rng.choice(A_WHILE_SECONDS),
            "stale": self._rng.choice(A_WHILE_SECONDS),
            "stall": self._rng.choice(STILL_SECONDS),
        }.get(fault, float(self._rng.randint(1, 3)))
        await self._world.do(fault, target, strength)

    def _splittable(self) -> list[str]:
        tables = self._world.tables_with_streams()
        return [table for table in tables if len(self._world.open_shards(table)) < MOST_SHARDS]


def _everything() -> list[str]:
    """It happens to nobody in particular."""
    return [""]
