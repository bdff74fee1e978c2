"""Makes the simulations of one test, closes them, and checks those of a chaos test.

In a chaos test every simulation has the seed and the faults of the current world. Cassettes
that a test names by its marker are played into each simulation before the test gets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triggerkit.cassettes.reading import Cassette, FilePath
from triggerkit.testing.replay import Pace
from triggerkit.testing.simulator import Simulation
from triggerkit.triggers import Triggers


@dataclass(frozen=True, slots=True)
class PlayedCassette:
    """What the marker `triggerkit_cassette` names; see `Simulation.play`."""

    path: Cassette | FilePath
    table: str | None = None
    pace: Pace = "at once"


class SimulationFactory:
    """What the fixture `triggerkit_sim` is: call it to get a `Simulation`."""

    def __init__(
        self,
        seed: int | None = None,
        faults: Iterable[str] = (),
        folder: FilePath = ".",
        cassettes: Sequence[PlayedCassette] = (),
    ) -> None:
        self._seed = seed
        self._faults = faults
        self._folder = folder
        self._cassettes = cassettes
        self._made: list[Simulation] = []

    def __call__(
        self,
        handlers: Triggers[Any] | str,
        *,
        seed: int = 0,
        workers: int = 1,
        faults: str | Iterable[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> Simulation:
        """Make one; see `Simulation` for the arguments. The seed of a troubled test wins."""
        simulation = Simulation(
            handlers,
            seed=seed if self._seed is None else self._seed,
            workers=workers,
            faults=self._faults or faults,
            variables=variables,
            folder=self._folder,
        )
        self._made.append(simulation)
        for one in self._cassettes:
            simulation.play(one.path, table=one.table, pace=one.pace)
        return simulation

    def settle(self) -> None:
        """Let every simulation come to rest that has not, and check it. Raises SimulationError."""
        for simulation in self._made:
            if simulation.lost:
                simulation.run_until_idle()
            simulation.check()

    def close(self) -> None:
        """Close all."""
        while self._made:
            self._made.pop().close()
