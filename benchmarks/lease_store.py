"""Saves a second of the SQLite lease store, with and without an fsync for each checkpoint, in one run.

`python benchmarks/lease_store.py [FOLDER]`: FOLDER decides the disk; the present folder by default. The two
stores take turns in short rounds, so that a disk that slows down slows both. The memory store is the peer
that shows what the rules themselves cost.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from triggerkit.core.locators import parse
from triggerkit.core.model import (
    TRIM_HORIZON,
    Lease,
    LeaseKey,
    Now,
    Position,
    PositionKind,
    ShardId,
)
from triggerkit.lease_stores import memory, sqlite
from triggerkit.ports import LeaseStore, Services

T = TypeVar("T")
SHARDS = 100
ROUNDS = 5
ROUND_SECONDS = 1.0
FIRST_SEQUENCE_NUMBER = 300000000000000499659


class NoClock:
    """The stores need none for checkpoints."""

    def now(self) -> Now:
        """The beginning of time."""
        return Now(0.0, 0.0)

    def observe_service_time(self, service_seconds: float) -> None:
        """Learn nothing."""
        del service_seconds


async def inline(call: Callable[[], T]) -> T:
    return call()


class Contender:
    """One store with its leases taken, and what it has done so far."""

    def __init__(self, name: str, store: LeaseStore) -> None:
        self.name = name
        self.store = store
        self.leases: list[Lease] = []
        self.saves = 0
        self.seconds = 0.0
        self.slowest_seconds = 0.0

    async def prepare(self) -> None:
        """Own all shards, each with a first checkpoint."""
        await self.store.prepare()
        session = self.store.fresh_session().id
        rows = tuple(
            Lease(
                LeaseKey(f"bench@dev:m:table:i:shard-{number}"),
                ShardId(f"i:shard-{number}"),
                TRIM_HORIZON,
            )
            for number in range(SHARDS)
        )
        await self.store.create(rows)
        for row in rows:
            taken = await self.store.take(row, session)
            assert taken is not None
            self.leases.append(await self.store.advance(taken, sequence(0)))

    async def save_for(self, seconds: float) -> None:
        """Save round the shards, one save at a time."""
        start = time.perf_counter()
        before = start
        while before - start < seconds:
            shard = self.saves % SHARDS
            position = sequence(1 + self.saves // SHARDS)
            self.leases[shard] = await self.store.advance(self.leases[shard], position)
            self.saves += 1
            now = time.perf_counter()
            self.slowest_seconds = max(self.slowest_seconds, now - before)
            before = now
        self.seconds += before - start

    @property
    def rate(self) -> float:
        """Saves a second."""
        return self.saves / self.seconds


def sequence(number: int) -> Position:
    return Position(PositionKind.AFTER, str(FIRST_SEQUENCE_NUMBER + number), 1_700_000_000.0)


async def compare(folder: Path) -> None:
    services = Services(run=inline, clock=NoClock(), base_path=str(folder))
    contenders = (
        Contender(
            "sqlite FULL", sqlite.open(parse("sqlite:///full.db?synchronous=full"), services)
        ),
        Contender("sqlite NORMAL", sqlite.open(parse("sqlite:///normal.db"), services)),
        Contender("memory", memory.open(parse("memory:"), services)),
    )
    for contender in contenders:
        await contender.prepare()
    for _ in range(ROUNDS):
        for contender in contenders:
            await contender.save_for(ROUND_SECONDS)
    full = contenders[0].rate
    print(f"{'store':<14} {'saves/s':>9} {'x FULL':>7} {'slowest':>10}")
    for contender in contenders:
        slowest = f"{contender.slowest_seconds * 1e3:.2f} ms"
        print(
            f"{contender.name:<14} {contender.rate:>9,.0f} {contender.rate / full:>7.1f} {slowest:>10}"
        )
        await contender.store.close()


def main() -> None:
    parent = sys.argv[1] if len(sys.argv) > 1 else "."
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        asyncio.run(compare(Path(folder).absolute()))


if __name__ == "__main__":
    main()
