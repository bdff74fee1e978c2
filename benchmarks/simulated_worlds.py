"""How many worlds of whole workers run in a minute, and how many of them break an invariant.

Run it: `python benchmarks/simulated_worlds.py --seeds 0:1000 --processes 2`. Exit code 1: an invariant was broken;
the seeds are printed. Events are callbacks of the loop.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
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


def live(seeds: Sequence[int]) -> Lived:
    """Run the worlds of some seeds, in this process."""
    found = Lived()
    for seed in seeds:
        began = time.process_time()
        broken: dict[int, str] = {}
        events, virtual_seconds = 0, 0.0
        try:
            world = Harness(make_plan(seed)).run()
            events, virtual_seconds = world.steps, world.virtual_seconds
        except Violation as violation:
            broken[seed] = str(violation).splitlines()[0]
        found += Lived(1, events, virtual_seconds, time.process_time() - began, broken)
    return found


def measure(seeds: range, processes: int) -> tuple[Lived, float]:
    """All worlds of the seeds, and how long that took."""
    parts = [seeds[start : start + SEEDS_AT_ONCE] for start in range(0, len(seeds), SEEDS_AT_ONCE)]
    began = time.perf_counter()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        found = sum(pool.map(live, parts), Lived())
    return found, time.perf_counter() - began


def read_seeds(text: str) -> range:
    """`A:B` as the range of seeds from A up to, not including, B."""
    first, _, last = text.partition(":")
    return range(int(first), int(last))


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seeds", type=read_seeds, default=range(200), metavar="A:B")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    lived, seconds = measure(given.seeds, given.processes)
    print("worlds  worlds/min  events/min  virtual h  core s  broken")
    print(
        f"{lived.worlds:6}  {lived.worlds / seconds * 60:10,.0f}"
        f"  {lived.events / seconds * 60:10,.0f}  {lived.virtual_seconds / 3600:9.1f}"
        f"  {lived.cpu_seconds:6.1f}  {len(lived.broken):6}"
    )
    for seed, told in lived.broken.items():
        print(f"    seed {seed}: {told}")
    return 1 if lived.broken else 0


if __name__ == "__main__":
    sys.exit(main())
