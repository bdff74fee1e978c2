"""How many worlds and events a minute the simulations live through, and how many of the worlds break an invariant.

Two simulations: the core alone on fakes (`tests/simulation`), whose events are calls of its schedule, and whole
workers (`proof.harness`), whose events are callbacks of the loop. One process each, as many as asked.

Run it: `python benchmarks/simulated_worlds.py --seeds 0:1000 --processes 2`. Exit code 1: an invariant was broken;
the seeds are printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from proof.facts import Violation
from proof.harness import Harness, make_plan

SEEDS_AT_ONCE = 25


@dataclass(frozen=True)
class Lived:
    """What some worlds came to. `cpu_seconds` are those of one core."""

    worlds: int = 0
    events: int = 0
    virtual_seconds: float = 0.0
    cpu_seconds: float = 0.0
    broken: dict[int, str] = field(default_factory=dict)

    def __add__(self, other: Lived) -> Lived:
        return Lived(
            self.worlds + other.worlds,
            self.events + other.events,
            self.virtual_seconds + other.virtual_seconds,
            self.cpu_seconds + other.cpu_seconds,
            {**self.broken, **other.broken},
        )


def live_core(seed: int) -> tuple[int, float]:
    """Events and virtual seconds of a fleet of cores. Raises Violation."""
    from simulation.plan import make_plan as make_core_plan
    from simulation.world import World

    world = World(make_core_plan(seed))
    world.run()
    return world.schedule.events, world.schedule.t


def live_workers(seed: int) -> tuple[int, float]:
    """Events and virtual seconds of a fleet of whole workers. Raises Violation."""
    lived = Harness(make_plan(seed)).run()
    return lived.steps, lived.virtual_seconds


SIMULATIONS = {"core": live_core, "workers": live_workers}


def live(simulation: str, seeds: Sequence[int]) -> Lived:
    """Live through the worlds of some seeds, in this process."""
    found = Lived()
    live_one: Callable[[int], tuple[int, float]] = SIMULATIONS[simulation]
    for seed in seeds:
        began = time.process_time()
        broken: dict[int, str] = {}
        events, virtual_seconds = 0, 0.0
        try:
            events, virtual_seconds = live_one(seed)
        except Violation as violation:
            broken[seed] = str(violation).splitlines()[0]
        found += Lived(1, events, virtual_seconds, time.process_time() - began, broken)
    return found


def measure(simulation: str, seeds: range, processes: int) -> tuple[Lived, float]:
    """All worlds of the seeds, and how long that took."""
    parts = [seeds[start : start + SEEDS_AT_ONCE] for start in range(0, len(seeds), SEEDS_AT_ONCE)]
    began = time.perf_counter()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        found = sum(pool.map(partial(live, simulation), parts), Lived())
    return found, time.perf_counter() - began


def read_seeds(text: str) -> range:
    """`A:B` as the range of seeds from A up to, not including, B."""
    first, _, last = text.partition(":")
    return range(int(first), int(last))


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seeds", type=read_seeds, default=range(200), metavar="A:B")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", choices=sorted(SIMULATIONS), action="append")
    given = parser.parse_args()
    broken: dict[int, str] = {}
    print("simulation  worlds  worlds/min  events/min  virtual h  core s  broken")
    for simulation in given.only or SIMULATIONS:
        lived, seconds = measure(simulation, given.seeds, given.processes)
        print(
            f"{simulation:10}  {lived.worlds:6}  {lived.worlds / seconds * 60:10,.0f}"
            f"  {lived.events / seconds * 60:10,.0f}  {lived.virtual_seconds / 3600:9.1f}"
            f"  {lived.cpu_seconds:6.1f}  {len(lived.broken):6}"
        )
        for seed, told in lived.broken.items():
            print(f"    {simulation} seed {seed}: {told}")
        broken |= lived.broken
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
