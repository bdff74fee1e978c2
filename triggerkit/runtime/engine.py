"""The engine loop: it owns all domain state, does no work of its own, and never waits.

A report goes into its machine; the events that come out are published, the decisions become tasks, and each
task's answer is the next report. Each machine has one timer, for the moment at which it wants to be woken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass

from triggerkit.core.decisions import Decision, MembershipDecision
from triggerkit.core.events import Event, Observer
from triggerkit.core.mapping import EventSourceMapping
from triggerkit.core.membership import Membership
from triggerkit.core.model import StopReason
from triggerkit.core.reports import MembershipReport, Report, Sessions, StopAsked, Woke
from triggerkit.core.snapshot import MappingSnapshot, snapshot
from triggerkit.ports import Clock
from triggerkit.runtime.deadline import ActingDeadline
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.perform import MembershipPerformer, Performer

log = get_logger()

LONGEST_SLEEP_SECONDS = 60.0


@dataclass(slots=True)
class RunningMapping:
    """One mapping with what performs for it."""

    name: str
    machine: EventSourceMapping
    performer: Performer
    timer: asyncio.TimerHandle | None = None
    wakes_at_seconds: float = 0.0
    """What the timer was set for (monotonic)."""


class Engine:
    """Runs the mappings that share one lease store, and their membership."""

    def __init__(
        self,
        membership: Membership,
        beats: MembershipPerformer,
        mappings: tuple[RunningMapping, ...],
        clock: Clock,
        deadline: ActingDeadline,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.membership = membership
        self.mappings = mappings
        self.beats = beats
        self._clock = clock
        self.deadline = deadline
        self._observers = observers
        self._tasks: dict[asyncio.Task[None], None] = {}  # ordered, so that a run repeats itself
        self._timer: asyncio.TimerHandle | None = None
        self._sessions: Sessions | None = None
        self._stopped = asyncio.Event()
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Begin; to be called on the loop."""
        self._beat(Woke())
        for mapping in self.mappings:
            self.step(mapping, Woke())

    async def wait_stopped(self) -> None:
        """Until every mapping has released every shard.

        Raises:
            Exception: a machine broke an invariant; nothing limps on.
        """
        await self._stopped.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def failure(self) -> BaseException | None:
        """What broke, before anybody waits for it; None while all is well."""
        return self._failure

    def stop(self, reason: StopReason) -> None:
        """Let go of everything; a stronger reason overrides a weaker one."""
        self._beat(StopAsked(reason))
        for mapping in self.mappings:
            self.step(mapping, StopAsked(reason))
        self._check_stopped()

    @property
    def is_opening(self) -> bool:
        """Whether a mapping starts at LATEST and has not opened its shards yet."""
        now = self._clock.now()
        return any(mapping.machine.is_opening(now) for mapping in self.mappings)

    def snapshots(self) -> dict[str, MappingSnapshot]:
        """The present state of every mapping, by name."""
        now = self._clock.now()
        return {mapping.name: snapshot(mapping.machine, now) for mapping in self.mappings}

    def forget_timers(self) -> None:
        """Nothing is woken any more."""
        for mapping in self.mappings:
            if mapping.timer is not None:
                mapping.timer.cancel()
        if self._timer is not None:
            self._timer.cancel()

    async def close(self) -> None:
        """Cancel what is still under way and forget the timers."""
        self.forget_timers()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def step(self, mapping: RunningMapping, report: Report) -> None:
        """One report into a mapping, its decisions out."""
        now = self._clock.now()
        try:
            reaction = mapping.machine.react(report, now)
        except Exception as error:  # noqa: BLE001 - a broken invariant stops the worker, loudly
            self._fail(error)
            return
        self._publish(reaction.events)
        for decision in reaction.decisions:
            self._spawn(self._perform(mapping, decision))
        self._set_timer(mapping)
        self._check_stopped()

    async def _perform(self, mapping: RunningMapping, decision: Decision) -> None:
        self.step(mapping, await mapping.performer.perform(decision))

    def _publish(self, events: tuple[Event, ...]) -> None:
        for event in events:
            publish(self._observers, event)

    def _beat(self, report: MembershipReport) -> None:
        now = self._clock.now()
        try:
            reaction = self.membership.react(report, now)
        except Exception as error:  # noqa: BLE001 - a broken invariant stops the worker, loudly
            self._fail(error)
            return
        self._publish(reaction.events)
        for decision in reaction.decisions:
            self._spawn(self._perform_beat(decision))
        sessions = self.membership.sessions
        if sessions is not None and sessions is not self._sessions:
            self._sessions = sessions
            self.deadline.beat_confirmed(sessions.deadline_seconds)
            for mapping in self.mappings:
                self.step(mapping, sessions)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._call_at(
            self.membership.wake_at_seconds, now.monotonic_seconds, lambda: self._beat(Woke())
        )

    async def _perform_beat(self, decision: MembershipDecision) -> None:
        self._beat(await self.beats.perform(decision))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._stopped.set()

    def _check_stopped(self) -> None:
        if all(mapping.machine.stopped for mapping in self.mappings):
            self._stopped.set()

    def _set_timer(self, mapping: RunningMapping) -> None:
        """Wake the machine when it wishes; most reports do not change that."""
        wakes_at_seconds = mapping.machine.wake_at_seconds
        if mapping.timer is not None:
            if wakes_at_seconds == mapping.wakes_at_seconds:
                return
            mapping.timer.cancel()
        mapping.wakes_at_seconds = wakes_at_seconds
        now_seconds = self._clock.now().monotonic_seconds
        mapping.timer = self._call_at(wakes_at_seconds, now_seconds, lambda: self._wake(mapping))

    def _wake(self, mapping: RunningMapping) -> None:
        mapping.timer = None
        self.step(mapping, Woke())

    def _call_at(
        self, at_seconds: float, now_seconds: float, call: Callable[[], None]
    ) -> asyncio.TimerHandle:
        wait = min(max(0.0, at_seconds - now_seconds), LONGEST_SLEEP_SECONDS)
        return asyncio.get_running_loop().call_later(wait, call)


def publish(observers: Sequence[Observer], event: Event) -> None:
    """Show an event to every observer; one that fails is logged, and the work goes on."""
    for observer in observers:
        try:
            observer(event)
        except Exception as error:
            log.exception(
                "observer_failed", error_type=type(error).__name__, error_message=str(error)
            )
