"""What a lease store brings to its contract suite, and fakes that the suite needs. Nothing here waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TypeVar

from triggerkit.core.model import (
    TRIM_HORIZON,
    Lease,
    LeaseKey,
    Now,
    Position,
    PositionKind,
    Session,
    SessionId,
    ShardId,
)
from triggerkit.errors import StateError
from triggerkit.ports import Clock, LeaseStore, Services
from triggerkit.testing.inline import InlineRunner

T = TypeVar("T")
PREFIX = "shop@prod:orders:table-111-local:"
ANNA, BERT, CARL = (SessionId(f"tk:host:{number}:0000000{number}") for number in (1, 2, 3))


class StillClock:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.monotonic_seconds = 1000.0

    def now(self) -> Now:
        return Now(self.monotonic_seconds, 1_700_000_000.0 + self.monotonic_seconds)

    @property
    def first_service_seconds(self) -> float:
        """See `Clock`."""
        return self.now().service_seconds

    def observe_service_time(self, service_seconds: float) -> None:
        del service_seconds


def inline_services(base_path: str = ".", clock: Clock | None = None) -> Services:
    return Services(run=InlineRunner(), clock=clock or StillClock(), base_path=base_path)


@dataclass(frozen=True)
class LeaseStoreRig:
    """One state: `open` gives a prepared handle on it, `age_by_a_day` makes its dead rows old.

    A store for one process gives the same handle again.
    """

    open: Callable[[], LeaseStore]
    age_by_a_day: Callable[[], None]


class AmbiguousStore:
    """Applies what `apply` is given and loses the answer, as a connection that breaks too late."""

    def __init__(self, store: LeaseStore) -> None:
        self.store = store
        self.answers_lost = 0

    async def apply(self, call: Callable[[LeaseStore], Awaitable[object]]) -> None:
        """Await `call` on the store and raise StateError whatever it answers."""
        await call(self.store)
        self.answers_lost += 1
        raise StateError("the answer was lost", hint="repeat the same write")

    async def twice(self, call: Callable[[LeaseStore], Awaitable[T]]) -> T:
        """What a caller sees that repeats a write whose answer was lost."""
        try:
            await self.apply(call)
        except StateError:
            return await call(self.store)
        raise AssertionError("an answer that should be lost was given")


def run(scene: Coroutine[object, object, T]) -> T:
    return asyncio.run(scene)


def new_lease(
    shard: str, *parents: str, start: Position = TRIM_HORIZON, prefix: str = PREFIX
) -> Lease:
    shard_id = ShardId(f"20261123:{shard}")
    return Lease(
        key=LeaseKey(f"{prefix}{shard_id}"),
        shard=shard_id,
        checkpoint=start,
        parents=tuple(ShardId(f"20261123:{parent}") for parent in parents),
        created_seconds=1_700_000_000.25,
    )


def at(sequence_number: int, at_seconds: float = 0.0) -> Position:
    return Position(PositionKind.AFTER, str(sequence_number), at_seconds)


async def stored(store: LeaseStore, lease: Lease) -> Lease:
    rows = [row for row in await store.read(lease.key) if row.key == lease.key]
    assert len(rows) == 1, f"{lease.key}: {rows}"
    return rows[0]


async def created(store: LeaseStore, lease: Lease) -> Lease:
    await store.create((lease,))
    return await stored(store, lease)


async def owned(store: LeaseStore, lease: Lease, session: SessionId = ANNA) -> Lease:
    await store.create((lease,))
    taken = await store.take(await stored(store, lease), session)
    assert taken is not None
    return taken


async def finished(store: LeaseStore, lease: Lease, *children: Lease) -> tuple[Lease, ...]:
    return await store.finish(await owned(store, lease), children, ANNA)


async def beating(store: LeaseStore) -> Session:
    session = await store.beat(store.fresh_session())
    assert session is not None
    return session


def in_threads(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Start all calls at the same moment, each on its own thread; their results in order."""
    waiting = list(calls)
    barrier = threading.Barrier(len(waiting))
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def start(number: int, call: Callable[[], T]) -> None:
        barrier.wait(30)
        try:
            results[number] = call()
        except BaseException as error:  # noqa: BLE001 - shown by the test that waits
            errors.append(error)

    threads = [
        threading.Thread(target=start, args=(number, call)) for number, call in enumerate(waiting)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(waiting))]
