"""Random worlds for triggers that nobody wrote a test for. Rule: a seed is a world, from its writes to its end.

Items are those of the user where there are some; else each has its key and a number. What handlers do with
them is theirs; that every record reaches them, in order, is checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from triggerkit.testing.cassettes import Cassette
from triggerkit.testing.simulator import Simulation
from triggerkit.testing.tables import SimulatedTable
from triggerkit.triggers import Triggers

KEYS = 5
"""Different items of a table whose items are made up."""
DELETIONS = 0.15
MOST_WORKERS = 3
LIMIT_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Tally:
    """What went through a world, or through several. `again` counts records that were done twice."""

    worlds: int = 0
    records: int = 0
    calls: int = 0
    again: int = 0
    discarded: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(
            self.worlds + other.worlds,
            self.records + other.records,
            self.calls + other.calls,
            self.again + other.again,
            self.discarded + other.discarded,
        )


@dataclass(frozen=True, slots=True)
class Storm:
    """Makes worlds. `items` are in DynamoDB JSON, by table; `workers` 0 is another number in each world.

    Where there are `cassettes`, by the table that plays them, they are played and nothing else is written.
    """

    handlers: Triggers[Any]
    faults: frozenset[str]
    writes: int = 40
    workers: int = 0
    items: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
    cassettes: Sequence[tuple[str, Cassette]] = ()

    def world(self, seed: int) -> Tally:
        """Run the world of a seed.

        Raises:
            SimulationError: a promise was broken, or it came to no rest.
            TriggerkitError: the triggers cannot run at all, or a cassette cannot be played.
        """
        rng = Random(f"writes of {seed}")  # noqa: S311 - a world is drawn, no secret
        workers = self.workers or rng.randint(1, MOST_WORKERS)
        with Simulation(self.handlers, seed=seed, workers=workers, faults=self.faults) as sim:
            for table, cassette in self.cassettes:
                sim.play(cassette, table=table)
            if not self.cassettes:
                tables = [sim.table(name) for name in sim.sources]
                for number in range(self.writes):
                    self._write(rng, rng.choice(tables), number)
            sim.run_until_idle(LIMIT_SECONDS)
            sim.check()
            calls = [len(sim.calls(name)) for name in sim.triggers]
            again, discarded = len(sim.duplicates), len(sim.discarded)
            return Tally(1, sim.records_written, sum(calls), again, discarded)

    def _write(self, rng: Random, table: SimulatedTable, number: int) -> None:
        given = (self.items or {}).get(table.name, ())
        if given:
            item = dict(rng.choice(given))
        else:
            item = {**_made_up(table.keys, rng.randrange(KEYS)), "number": {"N": str(number)}}
        table.write_wire(item, deletes=rng.random() < DELETIONS)


def _made_up(keys: Iterable[tuple[str, str]], number: int) -> dict[str, dict[str, str]]:
    texts = {
        "S": str(number),
        "N": str(number),
        "B": ("MDAw", "MDAx", "MDAy", "MDAz", "MDA0")[number],
    }
    return {name: {kind: texts[kind]} for name, kind in keys}
