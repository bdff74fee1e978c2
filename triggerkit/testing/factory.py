"""Makes the simulations of one test. Rule: whatever was made is closed, and a troubled world is checked.

In a troubled test every simulation has the seed and the faults of the world that it is run in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from triggerkit.testing.simulator import Simulation
from triggerkit.triggers import Triggers


class SimulationFactory:
    """What the fixture `triggerkit_sim` is: call it to get a `Simulation`."""

    def __init__(self, seed: int | None = None, faults: Iterable[str] = ()) -> None:
        self._seed = seed
        self._faults = faults
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
        )
        self._made.append(simulation)
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
