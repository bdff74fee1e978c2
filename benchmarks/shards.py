"""What one shard costs the core and the engine, from few shards to many.

On virtual time, with a source that answers at once and a lease store in memory: start, ten empty reads of every
shard, stop. `flat` has all shards open side by side; in the `chain` each came out of the one before, and is read to
its end before the next.

    python benchmarks/shards.py [--shards 100 1000 5000 20000] [--rounds 3]

Printed: CPU milliseconds a shard (the best of the rounds), how often DescribeStream was called, and the ratio
of the largest CPU of a shape to the smallest. Exit code 1: that ratio is above 1.5.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from io import StringIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from instant import InstantStream, InstantWorker

from triggerkit.commands.run import tune_garbage_collector
from triggerkit.lease_stores.memory import MemoryLeaseStore
from triggerkit.runtime.logs import LogSettings, configure_logging
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.loop import VirtualLoop

POLLS = 10
BAR = 1.5
LOOK_SECONDS = 0.1


def live(shape: str, shards: int) -> tuple[float, int]:
    """CPU seconds a shard, and how often the service was asked for shards."""
    clock = VirtualClock()
    loop = VirtualLoop(clock)
    stream = InstantStream(clock, POLLS)
    if shape == "chain":
        stream.add_chain(shards)
    else:
        for number in range(shards):
            stream.add(f"shard-{number:06}")
    worker = InstantWorker(stream, MemoryLeaseStore(clock), clock)
    last = list(stream.shards)[-1] if shape == "chain" else None

    def is_read() -> bool:
        if last is not None:
            return stream.reads[last] >= POLLS
        return len(stream.reads) == shards and min(stream.reads.values()) >= POLLS

    async def run() -> None:
        worker.start()
        while not is_read():
            await asyncio.sleep(LOOK_SECONDS)
        await worker.stop()

    gc.collect()
    began = time.process_time()
    loop.run_until_complete(run())
    took = time.process_time() - began
    loop.close()
    return took / shards, stream.listings + stream.searches


def main() -> int:
    """Print the table."""
    tune_garbage_collector()  # as `triggerkit run` does after the import of the handlers
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--shards", type=int, nargs="+", default=[100, 1000, 5000, 20000])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    configure_logging(LogSettings("json", "critical"), StringIO())
    live("flat", 100)  # imports and caches
    is_above = False
    print(f"{'shape':<6} {'shards':>7} {'CPU ms/shard':>13} {'listings':>9}")
    for shape in ("flat", "chain"):
        costs: list[float] = []
        for shards in given.shards:
            runs = [live(shape, shards) for _ in range(given.rounds)]
            cost, listings = min(runs)
            costs.append(cost)
            print(f"{shape:<6} {shards:>7} {cost * 1e3:>13.3f} {listings:>9}")
        ratio = max(costs) / min(costs)
        is_above = is_above or ratio > BAR
        print(f"{shape:<6} {'ratio':>7} {ratio:>13.2f} (bar: {BAR})")
    return 1 if is_above else 0


if __name__ == "__main__":
    sys.exit(main())
