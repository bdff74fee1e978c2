"""Worlds in which nothing is wrong, drawn from a seed: a worker there has no reason for a warning.

    PYTHONPATH=tests python -m runtime.healthy_worlds 1000

runs so many and prints how many had one.
"""

from __future__ import annotations

import asyncio
import sys
from random import Random

from runtime.fakes import FakeInvoker
from runtime.stall_world import StallWorld

from triggerkit.core import events
from triggerkit.core.model import SessionId
from triggerkit.core.options import MappingOptions
from triggerkit.core.outcome import Outcome
from triggerkit.ports import Invocation

WARNINGS = (
    events.Waiting,
    events.Blocked,
    events.CallFailed,
    events.BatchFailed,
    events.RecordsDiscarded,
    events.GapFound,
    events.LeaseLost,
    events.SessionLost,
    events.DrainExpired,
)
"""Events that a warning or an error is written of."""


class BusyInvoker(FakeInvoker):
    """Some calls take seconds, some minutes; at most so many of a worker run at once."""

    def __init__(self, rng: Random) -> None:
        super().__init__()
        self._rng = rng
        self._most = rng.choice((1, 1, 3, 100))
        self._turns: dict[SessionId, asyncio.Semaphore] = {}
        self._longest_seconds = rng.choice((0.01, 0.5, 20.0, 100.0))

    async def invoke(self, invocation: Invocation) -> Outcome:
        assert invocation.tenure is not None
        worker = invocation.tenure.session
        async with self._turns.setdefault(worker, asyncio.Semaphore(self._most)):
            await asyncio.sleep(self._rng.uniform(0.0, self._longest_seconds))
            return await super().invoke(invocation)


def warnings_of(seed: int) -> list[str]:
    """Live through one world; what was wrong in it, which should be nothing."""
    rng = Random(seed)
    options = MappingOptions(
        batch_size=rng.choice((1, 10, 100)),
        maximum_batching_window_in_seconds=rng.choice((0, 0, 5, 120)),
        parallelization_factor=rng.choice((1, 1, 2, 10)),
    )
    with StallWorld(options, shards=rng.choice((1, 1, 2, 4)), invoker=BusyInvoker(rng)) as world:
        world.put(rng.randrange(20))
        for _ in range(rng.choice((0, 0, 1))):
            world.roll()
        workers = rng.choice((1, 1, 2))
        for _ in range(workers):
            world.start()
        for _ in range(rng.randrange(4, 10)):
            _let_something_happen(world, rng)
            world.run(rng.choice((0.5, 5.0, 40.0, 100.0)))
        world.run(120.0)
        return [
            f"{seconds:.1f}: {event}"
            for seconds, event in world.events
            if isinstance(event, WARNINGS)
        ]


def _let_something_happen(world: StallWorld, rng: Random) -> None:
    faults = world.emulator.faults
    match rng.choice(
        ("put", "put", "put", "many", "roll", "split", "expire", "lag", "pages", "join")
    ):
        case "put":
            world.put(rng.randrange(1, 5))
        case "many":
            world.put(200)
        case "roll":
            world.roll()
        case "split":
            world.split()
        case "expire":
            world.emulator.expire_iterators()
        case "lag":
            faults.describe_lag(rng.choice((1.0, 8.0)), 2.0)
        case "pages":
            faults.page_size(rng.choice((1, 7)))
        case "join" if world.workers > 1:
            world.stop()
        case _:
            world.start()


def main() -> None:
    """Run so many worlds as the command line says."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    bad = 0
    for seed in range(count):
        if found := warnings_of(seed):
            bad += 1
            print(f"seed {seed}: {found[0]}")
    print(f"{count} healthy worlds, {bad} with a warning")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
