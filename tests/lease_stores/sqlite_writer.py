"""A worker's writes in a process of its own: takes rows and advances them until it is killed.

Arguments: state file, number of shards. Prints `session ID` once and then `SHARD SEQUENCE` after
each confirmed checkpoint.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
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
from triggerkit.errors import LeaseLostError
from triggerkit.lease_stores import sqlite
from triggerkit.ports import LeaseStore, Services

T = TypeVar("T")
PREFIX = "app@dev:m:s:"


class NoClock:
    def now(self) -> Now:
        return Now(0.0, 0.0)

    def observe_service_time(self, service_seconds: float) -> None:
        del service_seconds


async def inline(call: Callable[[], T]) -> T:
    return call()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def take_all(store: LeaseStore, shards: int) -> dict[ShardId, Lease]:
    session = await store.beat(store.fresh_session())
    assert session is not None
    say(f"session {session.id}")
    rows = [
        Lease(LeaseKey(f"{PREFIX}i:s{number}"), ShardId(f"i:s{number}"), TRIM_HORIZON)
        for number in range(shards)
    ]
    await store.create(tuple(rows))
    taken = [await store.take(row, session.id) for row in await store.read(PREFIX)]
    return {lease.shard: lease for lease in taken if lease is not None}


async def write_for_ever(path: str, shards: int) -> None:
    store = sqlite.open(parse(f"sqlite:///{path}"), Services(run=inline, clock=NoClock()))
    await store.prepare()
    leases = await take_all(store, shards)
    while True:
        if not leases:
            leases = await take_all(store, shards)
        for shard, lease in tuple(leases.items()):
            number = int(lease.checkpoint.sequence_number or 0) + 1
            try:
                leases[shard] = await store.advance(
                    lease, Position(PositionKind.AFTER, str(number), float(number))
                )
            except LeaseLostError:
                del leases[shard]
                continue
            say(f"{shard} {number}")


if __name__ == "__main__":
    asyncio.run(write_for_ever(sys.argv[1], int(sys.argv[2])))
