"""A fleet in one process, from a seed. Rule: the same seed is the same world, event by event.

A world is troubled first; then it is healed, and everything that was written must come through within a bounded
time; at last all workers are asked to stop.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from random import Random

from simulation.calls import Calls
from simulation.plan import Event, Odds, Plan
from simulation.schedule import Schedule
from simulation.store import SimStore
from simulation.stream import SimStream
from simulation.worker import SimWorker

from triggerkit.core.reports import Woke
from triggerkit.testing.checker import Checker
from triggerkit.testing.truth import Violation

HEALING_SECONDS = 600.0
"""The longest backoff is a minute; a lane of small batches may hold a hundred calls."""
LATEST_START_SECONDS = 5.0
"""A worker that replaces another may start that much later, also into a healed world."""
TRACE_LINES = 60


@dataclass(frozen=True, slots=True)
class Fakes:
    """What stands for the outside; the checker's own tests put in broken ones."""

    stream: type[SimStream] = SimStream
    store: type[SimStore] = SimStore
    calls: type[Calls] = Calls
    worker: type[SimWorker] = SimWorker


class World:
    """One stream, one lease table, some workers, and everything that goes wrong."""

    def __init__(self, plan: Plan, fakes: Fakes | None = None) -> None:
        self.plan = plan
        self.fakes = fakes or Fakes()
        self.rng = Random(plan.seed + 1_000_003)
        self.schedule = Schedule()
        self.stream = self.fakes.stream(self.rng, self.schedule, plan.stream)
        self.checker = Checker(self.stream, plan.start, plan.options, never_twice=plan.never_twice)
        self.store = self.fakes.store(self.checker)
        self.odds = plan.odds
        self.poison: set[str] = set()
        self.workers: list[SimWorker] = []
        self.crashes = 0
        self._trace: deque[tuple[float, str, object]] = deque(maxlen=TRACE_LINES)

    # --- what workers tell ------------------------------------------------------------------------

    def lag(self) -> float:
        """How long one leg of a call takes."""
        return self.rng.choice((0.002, 0.01, 0.05, 0.2))

    def note(self, worker: str, what: object) -> None:
        if not isinstance(what, Woke):
            self._trace.append((self.schedule.t, worker, what))

    def drain_expired(self, worker: str) -> None:
        self.note(worker, "drain expired")
        self.checker.never_twice = False

    def lost_session(self, worker: str) -> None:
        self.note(worker, "lost its session")
        if self.plan.calm:
            self.violated("I14: a worker of a calm world was buried")

    def violated(self, told: str) -> None:
        raise Violation(told)

    # --- running ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Live to the end. Raises Violation, with the seed and a trace."""
        try:
            self._live()
        except Exception as error:
            raise Violation(f"{error}\n{self.describe()}") from error

    def _live(self) -> None:
        for event in self.plan.events:
            self.schedule.at(event.t + 3.0, lambda event=event: self._happen(event))
        for _ in range(self.plan.workers):
            self.schedule.at(3.0 + self.rng.choice((0.0, 0.0, 0.3, 5.0)), self._spawn)
        self.schedule.run_until(3.0 + self.plan.troubled_seconds)
        self._heal()
        if not self.schedule.run_until(self.schedule.t + HEALING_SECONDS, self._is_quiet):
            self._tell_what_is_left()
        self.schedule.run_until(self.schedule.t + LATEST_START_SECONDS)
        for worker in self.workers:
            if not worker.over and not worker.stopping:
                worker.stop()
        self.schedule.run_until(self.schedule.t + 60.0, lambda: all(w.over for w in self.workers))
        running = [worker.name for worker in self.workers if not worker.over]
        if running or self.checker.owned():
            self.violated(f"L: {running} did not stop, {self.checker.owned()} are owned")

    def _heal(self) -> None:
        self.note("world", "healed")
        self.odds = Odds()
        if self.plan.options.maximum_retry_attempts < 0:
            self.poison.clear()  # nothing else would ever end it
        for worker in self.workers:
            worker.freeze(0.0)
            worker.mute(0.0)
        if not any(worker.lives for worker in self.workers):
            self._spawn()

    def _is_quiet(self) -> bool:
        checker = self.checker
        return not (checker.outstanding() or checker.unfinished() or checker.unsaved())

    def _tell_what_is_left(self) -> None:
        checker = self.checker
        self.violated(
            f"L: after {HEALING_SECONDS} s: outstanding {checker.outstanding()[:5]},"
            f" unfinished {checker.unfinished()}, unsaved {checker.unsaved()}"
        )

    def _spawn(self) -> None:
        worker = self.fakes.worker(self, f"w{len(self.workers)}", Random(self.rng.random()))
        self.workers.append(worker)
        self.note(worker.name, "starts")
        worker.start()

    def _happen(self, event: Event) -> None:
        match event.kind:
            case "put":
                record, shard = self.stream.put()
                self.checker.put(record, shard, self.schedule.service_seconds)
                if self.rng.random() < self.plan.poison:
                    self.poison.add(record.sequence_number)
            case "reshard":
                self.note("stream", self.stream.reshard())
            case "trim":
                self.checker.lost(self.stream.trim())
            case "days" if any(worker.surveys for worker in self.workers):
                # no listing is a day old when it arrives
                self.schedule.after(0.3, lambda: self._happen(event))
            case "days":
                self.note("stream", "days pass")
                self.checker.lost(self.stream.days_passed())
                self.schedule.days_passed_seconds += self.rng.choice((26.0, 50.0)) * 3600
            case _:
                self._happen_to_worker(event.kind)

    def _happen_to_worker(self, kind: str) -> None:
        alive = [worker for worker in self.workers if worker.lives]
        if not alive:
            return
        worker = self.rng.choice(alive)
        self.note(worker.name, kind)
        if kind == "freeze":
            worker.freeze(self.rng.choice((0.5, 3.0, 4.6, 7.0, 15.0)))
            return
        if kind == "mute":
            worker.mute(self.rng.choice((4.6, 7.0, 10.0)))
            return
        if kind == "crash":
            self.crashes += 1
            worker.crash()
        else:
            worker.stop()
        if self.rng.random() < 0.8 or len(alive) == 1:
            self.schedule.after(self.rng.choice((0.0, 1.0, 4.0)), self._spawn)

    def describe(self) -> str:
        """The seed, the options and the last events."""
        lines = [f"seed {self.plan.seed} at t={self.schedule.t:.3f}", repr(self.plan.options)]
        lines += [f"{self.plan.start} {self.plan.stream} {self.plan.odds}"]
        lines += [f"{t:9.3f} {who:6} {_in_short(what)}" for t, who, what in self._trace]
        return "\n".join(lines)


def _in_short(what: object) -> str:
    """The shard, the position and the numbers of a report or a decision; the rest is left out."""
    text = _LEASE.sub(r"\1 at \2 by \3", str(what))
    text = _RECORD.sub(r"\1", _POSITION.sub(r"\1 \2", text))
    return text[:200]


_LEASE = re.compile(
    r"Lease\(key='[^']*', shard='([^']*)', checkpoint=(Position\([^)]*\)).*?"
    r"owner=([^,]*, counter=\d+).*?lost_reason=[^)]*\)"
)
_POSITION = re.compile(r"Position\(kind=<[^:]*: '([^']*)'>, (?:sequence_number='([^']*)')[^)]*\)")
_RECORD = re.compile(r"Record\(sequence_number='([^']*)', .*?raw=b'[^']*'\)")
