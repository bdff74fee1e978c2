"""A whole worker in virtual time, over ports that hang, fail or answer wrongly as a test tells them to.

The source is the real one, on the emulator; machines, performers and engine are those that run in production.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from proof.stream import make_table
from runtime.fakes import FakeDestination, FakeInvoker

from triggerkit.core.consumer import ConsumerSettings
from triggerkit.core.coordinator import Cadence
from triggerkit.core.events import Blocked, Event, MappingId, MovedAgain, Waiting
from triggerkit.core.mapping import EventSourceMapping
from triggerkit.core.membership import Membership
from triggerkit.core.model import (
    TRIM_HORIZON,
    LastFailure,
    StopReason,
)
from triggerkit.core.options import MappingOptions
from triggerkit.core.outcome import Failed
from triggerkit.emulator import Emulator
from triggerkit.lease_stores.memory import MemoryLeaseStore
from triggerkit.ports import Invocation, Invoker, Services
from triggerkit.runtime.deadline import ActingDeadline
from triggerkit.runtime.engine import Engine, RunningMapping
from triggerkit.runtime.event_log import EventLog
from triggerkit.runtime.listings import SharedListing
from triggerkit.runtime.perform import MappingParts, MembershipPerformer, Performer
from triggerkit.sources.dynamodb.opening import Target
from triggerkit.sources.dynamodb.service import TRAITS
from triggerkit.sources.dynamodb.source import DynamoDBSource
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.loop import VirtualLoop
from triggerkit.testing.source import EmulatorClient, EmulatorConnector

E = TypeVar("E")
T = TypeVar("T")
TABLE = "orders"
PREFIX = "app:notify:orders:"


class Traps:
    """What goes wrong at the ports, by the name of the method."""

    def __init__(self) -> None:
        self.hanging: dict[str, asyncio.Event] = {}
        self.errors: dict[str, Exception] = {}
        self.answers: dict[str, Callable[[Any], Any]] = {}
        self.refusing: set[str] = set()
        self.calls: Counter[str] = Counter()

    def hang(self, *names: str) -> None:
        """Calls are not answered until `heal`."""
        self.hanging.update((name, asyncio.Event()) for name in names)

    def fail(self, error: Exception, *names: str) -> None:
        self.errors.update((name, error) for name in names)

    def answer(self, name: str, change: Callable[[Any], Any]) -> None:
        """What comes back is changed."""
        self.answers[name] = change

    def refuse(self, name: str) -> None:
        """The call does nothing and answers None."""
        self.refusing.add(name)

    def heal(self) -> None:
        for event in self.hanging.values():
            event.set()
        self.hanging.clear()
        self.errors.clear()
        self.answers.clear()
        self.refusing.clear()


class Trapped:
    """Any port behind the traps."""

    def __init__(self, port: Any, traps: Traps) -> None:
        self._port = port
        self._traps = traps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name == "open":
            return lambda shard: Trapped(found(shard), self._traps)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*given: Any, **named: Any) -> Any:
            traps = self._traps
            traps.calls[name] += 1
            await asyncio.sleep(0.001)
            if name in traps.hanging:
                await traps.hanging[name].wait()
            if name in traps.errors:
                raise traps.errors[name]
            if name in traps.refusing:
                return None
            answer = await found(*given, **named)
            return traps.answers[name](answer) if name in traps.answers else answer

        return call


class Wire:
    """Implements `testing.source.Way`: slow and damaging as the emulator's faults plan it."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def __call__(self, call: Callable[[], T], /) -> T:
        await asyncio.sleep(self._emulator.faults.delay_seconds("GetRecords"))
        return call()

    def refuse(self) -> None:
        pass

    def page_limit(self, asked: int) -> int:
        return asked

    def transmit(self, body: bytes) -> bytes:
        damaged = self._emulator.faults.calls.damage("GetRecords") is not None
        return body[: len(body) // 2] if damaged else body


class SerialInvoker(FakeInvoker):
    """As a sync handler: one call at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = asyncio.Semaphore(1)

    async def invoke(self, invocation: Invocation) -> Any:
        async with self.turn:
            return await super().invoke(invocation)


class FollowingClient(EmulatorClient):
    """Asks the emulator that the world has at present."""

    def __init__(self, world: StallWorld) -> None:
        super().__init__(world.emulator, Wire(world.emulator))
        self._world = world

    @property
    def _emulator(self) -> Emulator:
        return self._world.emulator

    @_emulator.setter
    def _emulator(self, _: Emulator) -> None: ...


class StallWorld:
    """One worker on one table; lives on a loop of its own, in virtual time."""

    def __init__(
        self,
        options: MappingOptions | None = None,
        *,
        shards: int = 1,
        invoker: Invoker | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.loop = VirtualLoop(self.clock)
        self.traps = Traps()
        self.emulator = Emulator(self.clock, shards=shards)
        make_table(self.emulator, TABLE)
        self.invoker = invoker or FakeInvoker()
        self.options = options or MappingOptions()
        self.events: list[tuple[float, Event]] = []
        self.store: Any = Trapped(MemoryLeaseStore(self.clock), self.traps)
        self._written = 0
        self._engines: list[Engine] = []

    def start(self) -> None:
        """One more worker."""
        self.loop.run_until_complete(self._start())

    async def _start(self) -> None:
        services = Services(Wire(self.emulator), self.clock)
        client = FollowingClient(self)
        source = DynamoDBSource(Target(TABLE), EmulatorConnector(client, services), services)
        await source.prepare()
        trapped: Any = Trapped(source, self.traps)
        interval_seconds = 0.0
        settings = ConsumerSettings(
            PREFIX, self.options, interval_seconds, TRAITS, MappingId("notify", TABLE)
        )
        destination: Any = Trapped(FakeDestination(), self.traps)
        ports = MappingParts(
            trigger="notify",
            prefix=PREFIX,
            source=trapped,
            listing=SharedListing(trapped, self.clock),
            store=self.store,
            invoker=self.invoker,
            destination=destination,
        )
        machine = EventSourceMapping(TRIM_HORIZON, settings, Cadence())
        running = RunningMapping("notify", machine, Performer(ports, self.clock))
        membership = Membership(self.store.fresh_session())
        beats = MembershipPerformer(self.store, self.clock)
        deadline = ActingDeadline(self.clock)
        observers = (EventLog(self.clock), self._observe)
        engine = Engine(membership, beats, (running,), self.clock, deadline, observers)
        self._engines.append(engine)
        engine.start()

    def make_anew(self) -> None:
        """The table is deleted and created again: another stream, which knows nothing of the old one."""
        self.delete()
        self.create()

    def delete(self) -> None:
        """The table and its stream are over; what is in the stream can still be read."""
        self.emulator.call("DeleteTable", {"TableName": TABLE})

    def create(self) -> None:
        """A table of that name with a new stream."""
        make_table(self.emulator, TABLE)

    def wipe(self) -> None:
        """The endpoint restarts with nothing but the table, as one that keeps all in memory."""
        self.emulator.close()
        self.emulator = Emulator(self.clock, seed=2)
        self.create()

    @property
    def workers(self) -> int:
        return len(self._engines)

    def stop(self) -> None:
        """The oldest worker drains and ends."""
        self.loop.run_until_complete(self._stop(self._engines.pop(0)))

    async def _stop(self, engine: Engine) -> None:
        engine.stop(StopReason.REQUESTED)
        await engine.wait_stopped()
        await engine.close()

    def split(self) -> None:
        """One open shard goes on in two."""
        self.emulator.split(TABLE, self.open_shards()[0])

    def _observe(self, event: Event) -> None:
        self.events.append((self.clock.monotonic_seconds, event))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.run_until_complete(self._run(seconds))
        for engine in self._engines:
            assert engine.failure is None, engine.failure

    async def _run(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def put(self, count: int = 1) -> None:
        for _ in range(count):
            self._written += 1
            item = {"id": {"S": str(self._written)}}
            self.emulator.call("PutItem", {"TableName": TABLE, "Item": item})

    def roll(self) -> list[str]:
        return self.emulator.roll(TABLE)

    def open_shards(self) -> list[str]:
        return self.emulator.open_shards(TABLE)

    def said(self, kind: type[E]) -> list[tuple[float, E]]:
        """Events of a kind, with when they came."""
        return [(seconds, event) for seconds, event in self.events if isinstance(event, kind)]

    def stalls(self) -> list[Event]:
        """What a healthy worker never says."""
        return [
            event
            for _, event in self.events
            if isinstance(event, Waiting | Blocked)
            or (isinstance(event, MovedAgain) and event.reported)
        ]

    def close(self) -> None:
        self.traps.heal()
        for engine in self._engines:
            self.loop.run_until_complete(engine.close())
        self.loop.run_until_complete(self._end_tasks())
        self.loop.close()
        self.emulator.close()

    async def _end_tasks(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def __enter__(self) -> StallWorld:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def always_failing() -> FakeInvoker:
    """A handler that raises."""
    return FakeInvoker(lambda _: Failed(LastFailure("request", "ValueError", "no")))
