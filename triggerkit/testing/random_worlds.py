"""Random worlds for triggers that nobody wrote a test for: a seed is a world, from its writes to its end.

Items are those of the user where there are some; else they are made up, as the handlers' annotations want them.
What handlers do with them is theirs; that every record reaches them, in order, is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeAlias

from triggerkit.cassettes.reading import Cassette
from triggerkit.errors import SimulationError
from triggerkit.settings import MappingPlan
from triggerkit.testing.made_items import PlainItems, TypedItems
from triggerkit.testing.raised import Raised, together
from triggerkit.testing.simulator import Simulation
from triggerkit.testing.tables import SimulatedTable
from triggerkit.triggers import Triggers

DELETIONS = 0.15
MOST_WORKERS = 3
LIMIT_SECONDS = 1800.0

MadeItems: TypeAlias = PlainItems | TypedItems


@dataclass(frozen=True, slots=True)
class TriggerTally:
    """The calls of one trigger that reached its handler, and whether one of them did a record."""

    calls: int = 0
    succeeded: bool = False

    def __add__(self, other: TriggerTally) -> TriggerTally:
        """Both together."""
        return TriggerTally(self.calls + other.calls, self.succeeded or other.succeeded)


@dataclass(frozen=True, slots=True)
class Tally:
    """What went through a world, or through several. `again` counts records that were done twice.

    `stuck` is why the last world came to no rest; None when it did.
    """

    worlds: int = 0
    records: int = 0
    again: int = 0
    discarded: int = 0
    triggers: Mapping[str, TriggerTally] = field(default_factory=dict)
    raised: tuple[Raised, ...] = ()
    stuck: SimulationError | None = None

    @property
    def calls(self) -> int:
        """Of all triggers."""
        return sum(each.calls for each in self.triggers.values())

    @property
    def unsuccessful(self) -> list[str]:
        """The triggers that have never done a record."""
        return [name for name, tally in self.triggers.items() if not tally.succeeded]

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        names = dict.fromkeys((*self.triggers, *other.triggers))
        none = TriggerTally()
        return Tally(
            self.worlds + other.worlds,
            self.records + other.records,
            self.again + other.again,
            self.discarded + other.discarded,
            {
                name: self.triggers.get(name, none) + other.triggers.get(name, none)
                for name in names
            },
            together((*self.raised, *other.raised)),
            other.stuck,
        )


@dataclass(frozen=True, slots=True)
class RandomWorlds:
    """Makes worlds. `items` are in DynamoDB JSON, by table; `workers` 0 is another number in each world.

    Where there are `cassettes`, by the table that plays them, they are played and nothing else is written.
    `made` is filled as tables are first written to.
    """

    handlers: Triggers[Any]
    plans: Sequence[MappingPlan]
    faults: frozenset[str]
    writes: int = 40
    workers: int = 0
    items: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    cassettes: Sequence[tuple[str, Cassette]] = ()
    made: dict[str, MadeItems] = field(default_factory=dict)

    def world(self, seed: int) -> Tally:
        """Run the world of a seed.

        Raises:
            SimulationError: a promise was broken.
            TriggerkitError: the triggers cannot run at all, no item can be made for them, or a cassette
                cannot be played.
        """
        rng = Random(f"writes of {seed}")  # noqa: S311 - a world is drawn, no secret
        workers = self.workers or rng.randint(1, MOST_WORKERS)
        with Simulation(self.handlers, seed=seed, workers=workers, faults=self.faults) as sim:
            for table, cassette in self.cassettes:
                sim.play(cassette, table=table)
            if not self.cassettes:
                self._fill(sim, rng)
            try:
                sim.run_until_idle(LIMIT_SECONDS)
            except SimulationError as error:
                return replace(_tally(sim), stuck=error)
            sim.check()
            return _tally(sim)

    def _fill(self, sim: Simulation, rng: Random) -> None:
        tables = [sim.table(name) for name in sim.sources]
        if any(plan.options.starting_position == "LATEST" for plan in self.plans):
            sim.run_until_idle(LIMIT_SECONDS)  # what is written before the start is not for them
        for number in range(self.writes):
            self._write(rng, rng.choice(tables), number)

    def _write(self, rng: Random, table: SimulatedTable, number: int) -> None:
        given = self.items.get(table.name, ())
        item = rng.choice(given) if given else self._made(table).draw(rng, number)
        table.write_wire(dict(item), deletes=rng.random() < DELETIONS)

    def _made(self, table: SimulatedTable) -> MadeItems:
        if table.name not in self.made:
            readers = [plan for plan in self.plans if plan.source_locator.name == table.name]
            self.made[table.name] = TypedItems.if_typed(table.name, table.keys, readers)
        return self.made[table.name]


def _tally(sim: Simulation) -> Tally:
    return Tally(
        worlds=1,
        records=sim.records_written,
        again=len(sim.duplicates),
        discarded=len(sim.discarded),
        triggers={
            name: TriggerTally(len(sim.calls(name)), sim.has_succeeded(name))
            for name in sim.triggers
        },
        raised=sim.raised,
    )
