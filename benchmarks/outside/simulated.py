"""triggerkit as a subject in the process of the judge, in virtual time: for the fast part of the tests.

What runs is `triggerkit.testing`'s simulation, which runs the code of a real worker; only the
processes, the sockets and the waiting are left out.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from outside.judge import Record
from outside.scenarios import Scenario
from outside.stage import NAME
from triggerkit import Triggers
from triggerkit.testing import Simulation

STEP_SECONDS = 0.25
PATIENCE_SECONDS = 120.0


class SimulatedCrew:
    """Workers of a simulation; one record is handed over for each call of `next_delivery`."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._wanted = 0
        self._delivered: list[Record] = []
        self._has_begun = False
        self._workers = scenario.workers
        handlers = Triggers("stage")
        source = f"dynamodb://{NAME}"
        handlers.on(source, starting_position=scenario.position, batch_size=10)(self._hand_over)
        self._simulation = Simulation(handlers, seed=seed, workers=scenario.workers)
        self.emulator = self._simulation.emulator
        self._simulation.table(NAME, view_type="NEW_IMAGE")
        for _ in range(scenario.shards // 2):
            for shard in self.emulator.open_shards(NAME):
                self.emulator.split(NAME, shard)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._simulation.close()

    def begin(self) -> None:
        """Start the workers, or start them again."""
        if self._has_begun:
            for worker in range(self._workers):
                self._simulation.restart(worker)
        self._has_begun = True
        self._simulation.advance(STEP_SECONDS)

    def next_delivery(self, *, is_settling: bool = False) -> Record | None:
        """Let virtual time pass until a handler has taken a record."""
        del is_settling  # waiting costs nothing here
        self._wanted = 1
        for _ in range(int(PATIENCE_SECONDS / STEP_SECONDS)):
            if self._delivered:
                break
            self._simulation.advance(STEP_SECONDS)
        self._wanted = 0
        return self._delivered.pop(0) if self._delivered else None

    def busy(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._simulation.advance(seconds)

    def stop(self) -> None:
        """End the workers as a crash does; a simulation has no other end."""
        self.kill()

    def kill(self, worker: int | None = None) -> None:
        """Crash one worker, or all."""
        for each in range(self._workers) if worker is None else (worker,):
            self._simulation.crash(each, restart_after_seconds=None)

    def freeze(self) -> None:
        """Nothing: between two calls no time passes, so no worker runs."""

    def thaw(self) -> None:
        """Nothing."""

    def failures(self) -> list[str]:
        """Nothing ends a simulated worker but an error that is raised here."""
        return []

    async def _hand_over(self, event: dict[str, Any], _context: object) -> None:
        import asyncio

        for record in event["Records"]:
            while not self._wanted:
                await asyncio.sleep(STEP_SECONDS / 5)
            self._wanted -= 1
            image = record["dynamodb"]["NewImage"]
            self._delivered.append((image["id"]["S"], int(image["number"]["N"])))
