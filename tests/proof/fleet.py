"""The workers of a world, and what happens to them. A worker that crashes or stops comes back as another life.

A life that was asked to stop keeps its place until it has released everything; then the next one starts, as on
a host with one place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from proof.facts import Violation
from proof.network import Wire
from proof.plan import Event
from proof.worker import Surroundings, Worker

from triggerkit.testing.processes import Life

RESTART_AGAIN_SECONDS = 1.0
NEVER_SECONDS = -2.0
"""Until its restart: its place stays empty, as long as another one does not."""


class Fleet:
    """All lives of a world; to be used on its loop."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._places: list[Worker | None] = [None] * len(around.plan.workers)
        self._begun = [0] * len(self._places)
        self._ended: list[Worker] = []
        self._in_store: list[Event] = []
        self._given_up: set[int] = set()
        self._stays_up = False
        self._ends = False

    @property
    def workers(self) -> list[Worker]:
        """Those that live."""
        return [worker for worker in self._places if worker is not None]

    @property
    def everybody(self) -> list[Worker]:
        """Those that live and those that have lived."""
        return [*self._ended, *self.workers]

    def start(self, number: int) -> None:
        """Start the worker of that place, unless it runs or the place was given up."""
        if self._places[number] is not None or number in self._given_up:
            return
        self._begun[number] += 1
        name = f"w{number}.{self._begun[number]}"
        rng = Random(f"{name} of {self._around.plan.seed}")
        worker = Worker(
            self._around,
            self._around.plan.workers[number],
            Life(name, self._spins),
            Wire(Random(rng.random()), self._around.weather),
            rng,
            lambda worker: self._over(number, worker),
        )
        self._places[number] = worker
        in_store, self._in_store = self._in_store, []
        worker.start()
        for event in in_store:
            self.strike(event)

    def heal(self) -> None:
        """Whoever is frozen thaws, whoever is away comes back, and from now on nobody stays away."""
        self._stays_up = True
        self._in_store.clear()
        for worker in self.workers:
            worker.wire.heal()
            worker.life.at_step.clear()
            worker.life.thaw()
        for number in range(len(self._places)):
            self.start(number)

    def lose(self, worker: Worker, *, crashes: bool) -> None:
        """Crash or stop one that lives; nobody takes its place."""
        self._given_up.add(self._places.index(worker))
        if crashes:
            worker.crash()
        else:
            worker.stop()

    def stop(self) -> None:
        """Ask all to stop; nobody comes back."""
        self._ends = True
        for worker in self.workers:
            worker.stop()

    def later(self, seconds: float, call: Callable[..., None], *given: Any) -> None:
        """Call, whatever becomes of whoever is running now."""
        network = self._around.weather.network
        asyncio.get_running_loop().call_later(seconds, call, *given, context=network)

    def strike(self, event: Event) -> None:
        """Let something happen to one worker, if it lives."""
        worker = self._places[event.worker % len(self._places)]
        if worker is None and event.kind in {"crash", "freeze", "lose"} and event.count:
            self._in_store.append(event)  # its next life does not get far
        if worker is None or worker.stopping:
            return
        match event.kind:
            case "crash":
                self._at_step(worker, event.count, lambda: self._crash(worker, event))
            case "freeze":
                self._at_step(worker, event.count, lambda: self._freeze(worker, event.seconds))
            case "stop":
                worker.stop()
                self._come_back(event)
            case _:
                worker.wire.trouble(event)

    # --- inside -------------------------------------------------------------------------------------

    def _at_step(self, worker: Worker, count: int, strike: Callable[[], None]) -> None:
        """Let it happen now, or between two steps that are still to come."""
        if count:
            worker.life.at_step[worker.life.steps + count] = strike
        else:
            strike()

    def _crash(self, worker: Worker, event: Event) -> None:
        self._around.witness.note(worker.life.name, f"crashes at step {worker.life.steps}")
        worker.crash()
        self._come_back(event)

    def _freeze(self, worker: Worker, seconds: float) -> None:
        self._around.witness.note(worker.life.name, f"freezes at step {worker.life.steps}")
        worker.life.freeze()
        self.later(seconds, worker.life.thaw)

    def _come_back(self, event: Event) -> None:
        """Some time later, or only when the world heals, or not at all."""
        number = event.worker % len(self._places)
        if event.seconds >= 0:
            self.later(event.seconds, self._start_again, number)
        elif event.seconds == NEVER_SECONDS and len(self._given_up) + 1 < len(self._places):
            self._given_up.add(number)

    def _start_again(self, number: int) -> None:
        worker = self._places[number]
        if worker is not None and worker.stopping:
            self.later(RESTART_AGAIN_SECONDS, self._start_again, number)
        elif not self._ends:
            self.start(number)

    def _over(self, number: int, worker: Worker) -> None:
        """A life has ended; one that could not begin is followed by another a little later."""
        self._ended.append(worker)
        if self._places[number] is worker:
            self._places[number] = None
        could_not_begin = worker.assembly is None and not worker.stopping
        if not self._ends and (could_not_begin or self._stays_up):
            self.later(RESTART_AGAIN_SECONDS, self._start_again, number)

    def _spins(self, life: Life) -> None:
        self._around.witness.break_off(Violation(f"W: {life.name} turns in circles"))
        life.end()
