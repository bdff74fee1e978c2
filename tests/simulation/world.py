"""A fleet of cores in one process, from a seed. The same seed is the same world, event by event.

Faults come first; then the world is healed, and everything that was written must be delivered within a bounded
time; at last all workers are asked to stop.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from random import Random

from proof.checker import Checker
from proof.facts import Violation
from simulation.calls import Calls
from simulation.plan import Event, Odds, Plan
from simulation.schedule import Schedule
from simulation.store import SimStore
from simulation.stream import SimStream
from simulation.worker import SimWorker

from triggerkit.core.leases import has_started
from triggerkit.core.reports import Woke

HEALING_SECONDS = 600.0
"""The longest backoff is a minute; a lane of small batches may hold a hundred calls."""
LATEST_START_SECONDS = 5.0
"""A worker that replaces another may start that much later, also into a healed world."""
IDLE_SECONDS = 20.0
"""For a record in an idle fleet: a poll, a batching window, a call, a save."""
IDLE_LINEAGE_SECONDS = 120.0
"""For a new shard whose sibling or parent is listed late, and for the shards of a worker that crashed."""
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
        self.checker = Checker(
            self.stream,
            plan.start,
            plan.options,
            never_twice=plan.never_twice,
            service_seconds=lambda: self.schedule.service_seconds,
            most_unsaved=plan.most_unsaved,
        )
        self.checker.tells_losses()
        self.store = self.fakes.store(self.checker)
        self.odds = plan.odds
        self.poison: set[str] = set()
        self.workers: list[SimWorker] = []
        self._spells: dict[str, float] = {}  # until when
        self._trace: deque[tuple[float, str, object]] = deque(maxlen=TRACE_LINES)

    # --- what workers tell ------------------------------------------------------------------------

    def lag(self, of: str = "") -> float:
        """How long one leg of a call takes."""
        seconds = self.rng.choice((0.002, 0.01, 0.05, 0.2))
        if of == "store" and self.is_within("slow") and self.rng.random() < 0.5:
            seconds += self.rng.choice((1.0, 2.7, 5.0))
        return seconds

    def is_within(self, spell: str) -> bool:
        """Whether something that takes its time goes on now: the same for all workers."""
        return self._spells.get(spell, 0.0) > self.schedule.t

    def note(self, worker: str, what: object) -> None:
        if not isinstance(what, Woke):
            self._trace.append((self.schedule.t, worker, what))

    def drain_expired(self, worker: str) -> None:
        self.note(worker, "drain expired")
        self.checker.drain_expired(worker)

    def lost_session(self, worker: str) -> None:
        self.note(worker, "lost its session")
        if self.plan.calm:
            self.violated("I14: a worker of a calm world was expired")

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
            late = self.rng.choice(self.plan.late_workers)
            self.schedule.at(3.0 + late, self._spawn)
        self.schedule.run_until(3.0 + self.plan.troubled_seconds)
        self._heal()
        self._become_quiet(HEALING_SECONDS)
        self._try_the_idle_fleet()
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
        self._spells.clear()
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

    def _try_the_idle_fleet(self) -> None:
        """A fleet that has nothing to do finds a record, a new shard and a lost worker within their time."""
        self.schedule.run_until(self.schedule.t + self.rng.choice((0.5, 7.0, 20.0)))
        for _ in range(3):
            self._happen(Event(self.schedule.t, "put"))
        self._become_quiet(IDLE_SECONDS)
        self._happen(Event(self.schedule.t, "reshard"))
        alive = [worker for worker in self.workers if worker.lives]
        if len(alive) > 1 and not self.plan.calm:
            crashed = self.rng.choice(alive)
            seconds = self.rng.choice((0.0, 2.0, 5.0))
            self.schedule.after(seconds, lambda: self._crash(crashed))
        for _ in range(3):
            self._happen(Event(self.schedule.t, "put"))
        self._become_quiet(IDLE_LINEAGE_SECONDS)

    def _crash(self, worker: SimWorker) -> None:
        self.note(worker.name, "crash")
        worker.crash()

    def _become_quiet(self, seconds: float) -> None:
        if self.schedule.run_until(self.schedule.t + seconds, self._is_quiet):
            return
        checker = self.checker
        rule = "I5" if checker.outstanding() else "I10" if checker.unfinished() else "L"
        self.violated(
            f"{rule}: after {seconds} s: outstanding {checker.outstanding()[:5]},"
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
                if self.rng.random() < self.plan.poison and self.odds is self.plan.odds:
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
                self.schedule.skipped_seconds += self.rng.choice((26.0, 50.0)) * 3600
            case "minutes":
                self.note("stream", "minutes pass")
                self.schedule.skipped_seconds += self.rng.choice((30.0, 61.0))
            case "throttle" | "slow" | "outage":
                self.note("world", event.kind)
                until = self.schedule.t + self.rng.choice((2.0, 5.0, 9.0))
                self._spells[event.kind] = max(until, self._spells.get(event.kind, 0.0))
            case "evict" | "cleanup":
                self._happen_to_rows(event.kind)
            case _:
                self._happen_to_worker(event.kind)

    def _happen_to_rows(self, kind: str) -> None:
        if kind == "evict":
            self._evict()
        else:
            self._clean_up()

    def _clean_up(self) -> None:
        for shard, row in [*self.store.rows.items()]:
            children = [self.store.rows.get(child) for child in row.lease.children or ()]
            started = [c for c in children if c is not None and has_started(c.lease)]
            if row.lease.finished and children and len(started) == len(children):
                self.note("operator", f"deletes the row of {shard}")
                self.store.clean_up(shard)

    def _evict(self) -> None:
        rows = [row.lease for row in self.store.rows.values() if row.lease.owner is not None]
        if rows:
            lease = self.rng.choice(rows)
            self.note("operator", f"evicts {lease.owner} from {lease.shard}")
            self.store.evict(lease.shard)

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
            worker.crash()
        else:
            worker.stop()
        if self.rng.random() < 0.8 or len(alive) == 1:
            self.schedule.after(self.rng.choice((0.0, 1.0, 4.0)), self._spawn)

    def describe(self) -> str:
        """The seed, the options and the last events."""
        lines = [
            f"seed {self.plan.seed}, {self.plan.theme}, at t={self.schedule.t:.3f}",
            repr(self.plan.options),
        ]
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
