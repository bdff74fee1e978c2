"""Builds the engines of a worker: the one place where mappings, performers and memberships are put together.

`run`, `dev`, `demo`, the simulator, the worlds of the proof and the public `Worker` differ in what they pass
(store, source, invoker, destination, observers) and are wired alike. One engine runs the mappings that
share a lease store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from triggerkit.core.consumer import ConsumerSettings
from triggerkit.core.coordinator import Cadence
from triggerkit.core.events import DrainExpired, Draining, Event, MappingId, Observer, Stopped
from triggerkit.core.mapping import EventSourceMapping
from triggerkit.core.membership import Membership
from triggerkit.core.model import TRIM_HORIZON, Position, PositionKind, StopReason
from triggerkit.core.options import MappingOptions
from triggerkit.core.snapshot import MappingSnapshot
from triggerkit.errors import StateError
from triggerkit.ports import Clock
from triggerkit.runtime.deadline import ActingDeadline
from triggerkit.runtime.engine import Engine, RunningMapping, publish
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.perform import MappingParts, MembershipPerformer, Performer

LAST_RELEASES_SECONDS = 5.0
"""After the drain: how long the releases themselves may take."""


log = get_logger()


class Assembly:
    """The engines of one worker, ready to start; to be used on their loop."""

    def __init__(
        self, engines: Sequence[Engine], clock: Clock, observers: Sequence[Observer]
    ) -> None:
        self._engines = engines
        self._clock = clock
        self._observers = observers

    @property
    def mappings(self) -> tuple[RunningMapping, ...]:
        """Those of all engines."""
        return tuple(mapping for engine in self._engines for mapping in engine.mappings)

    @property
    def failure(self) -> BaseException | None:
        """What broke an engine; None while all is well."""
        failures = (engine.failure for engine in self._engines)
        return next((failure for failure in failures if failure is not None), None)

    @property
    def is_opening(self) -> bool:
        """Whether a mapping that starts at LATEST has still to open its shards."""
        return any(engine.failure is None and engine.is_opening for engine in self._engines)

    def snapshots(self) -> dict[str, MappingSnapshot]:
        """The present state of every mapping, by `trigger:source`."""
        return {
            name: picture
            for engine in self._engines
            for name, picture in engine.snapshots().items()
        }

    def start(self) -> None:
        """Begin."""
        for engine in self._engines:
            engine.start()

    async def wait_ended(self) -> None:
        """Until an engine stops by itself, which only a fault makes it do; for ever without engines.

        Raises:
            Exception: a machine broke an invariant; nothing limps on.
        """
        if not self._engines:
            await asyncio.get_running_loop().create_future()
        waits = [asyncio.ensure_future(engine.wait_stopped()) for engine in self._engines]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if self.failure is not None:
            raise self.failure

    async def drain(self, timeout_seconds: float) -> bool:
        """Let running handlers end, save and release; whether that was done in time.

        After the timeout leases are released without advancing: what is not saved is delivered again. What
        broke an engine meanwhile is in `failure`.
        """
        self._publish(Draining(timeout_seconds))
        ends_at_seconds = self._clock.now().monotonic_seconds + timeout_seconds
        for engine in self._engines:
            engine.deadline.drain_until(ends_at_seconds)
        in_time = await self._stopped_within(StopReason.REQUESTED, timeout_seconds)
        if not in_time:
            self._publish(DrainExpired(timeout_seconds))
            await self._stopped_within(StopReason.DRAIN_EXPIRED, LAST_RELEASES_SECONDS)
        self._publish(Stopped())
        return in_time

    async def close(self) -> None:
        """Cancel what is still under way. Nothing is written."""
        for engine in self._engines:
            await engine.close()

    async def leave(self) -> None:
        """After `close`: end this worker's sessions, so that the others need not wait until they expire.

        Where a lease store cannot be written, the other workers find out by themselves.
        """
        for engine in self._engines:
            try:
                await engine.beats.store.leave(engine.membership.me)
            except StateError as error:
                log.warning(
                    "session_not_ended",
                    error_type=error.code,
                    error_message=error.message,
                    hint=error.hint,
                )

    def forget_timers(self) -> None:
        """Nothing is woken any more."""
        for engine in self._engines:
            engine.forget_timers()

    async def _stopped_within(self, reason: StopReason, seconds: float) -> bool:
        for engine in self._engines:
            engine.stop(reason)
        waits = (engine.wait_stopped() for engine in self._engines)
        try:
            await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), seconds)
        except TimeoutError:
            return False
        return True

    def _publish(self, event: Event) -> None:
        publish(self._observers, event)


def assemble(
    parts: Sequence[MappingParts],
    clock: Clock,
    observers: Sequence[Observer] = (),
    *,
    cadence: Cadence | None = None,
    performer: type[Performer] = Performer,
) -> Assembly:
    """Build the engines of a worker, one for each lease store; each has a session of its own there.

    Args:
        parts: what each mapping is made of.
        clock: the worker's.
        observers: get every event, in order.
        cadence: how often mappings look around.
        performer: performs the decisions of each mapping.
    """
    stores = list({id(each.store): each.store for each in parts}.values())
    engines = []
    for store in stores:
        deadline = ActingDeadline(clock)
        mappings = tuple(
            _mapping(each, clock, deadline, cadence or Cadence(), performer)
            for each in parts
            if each.store is store
        )
        membership = Membership(store.fresh_session())
        beats = MembershipPerformer(store, clock)
        engines.append(Engine(membership, beats, mappings, clock, deadline, observers))
    return Assembly(engines, clock, observers)


def _mapping(
    parts: MappingParts,
    clock: Clock,
    deadline: ActingDeadline,
    cadence: Cadence,
    performer: type[Performer],
) -> RunningMapping:
    interval_seconds = parts.options.checkpoint_interval_seconds
    if interval_seconds is None:
        interval_seconds = parts.store.checkpoint_interval_seconds
    settings = ConsumerSettings(
        prefix=parts.prefix,
        options=parts.options,
        checkpoint_interval_seconds=interval_seconds,
        traits=parts.source.traits,
        mapping=MappingId(parts.trigger, parts.source.name),
    )
    machine = EventSourceMapping(starting_position(parts.options, clock), settings, cadence)
    name = f"{parts.trigger}:{parts.source.name}"
    return RunningMapping(name, machine, performer(replace(parts, deadline=deadline), clock))


def lease_prefix(namespace: str, trigger: str, source: str) -> str:
    """How the keys of a mapping's leases begin (decision 2)."""
    return f"{namespace}:{trigger}:{source}:"


def starting_position(options: MappingOptions, clock: Clock) -> Position:
    """The start rule of a mapping without state: LATEST is the first answer of the service (decision 7)."""
    match options.starting_position:
        case "LATEST":
            return Position(PositionKind.LATEST, at_seconds=clock.first_service_seconds)
        case "AT_TIMESTAMP":
            assert options.starting_position_timestamp is not None  # pydantic has checked it
            return Position(
                PositionKind.AT_TIMESTAMP, at_seconds=options.starting_position_timestamp
            )
        case _:
            return TRIM_HORIZON
