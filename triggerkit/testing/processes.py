"""Processes of a simulation: a frozen one runs its steps later and in order, a crashed one never does.

A step is one callback of the loop: a task that continues, a timer that fires, an answer that arrives. The
context of a callback, which asyncio passes from task to task, says which worker it belongs to. So a worker can
stop between any two steps, and neither it nor the code under test knows about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import TypeVarTuple, Unpack

from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.loop import VirtualLoop

Ts = TypeVarTuple("Ts")

LIFE: ContextVar[Life | None] = ContextVar("life", default=None)
"""The life that a callback belongs to; None for the world and for what is under way on the network."""
TIMER_SECONDS = 1e-6
"""A timer is a little late, as a real one is: the rounding of clocks must not make it early for ever."""
SPIN_STEPS = 5_000
SPIN_SECONDS = 0.01
"""So many steps of one worker in so little time: it turns in circles."""


class Life:
    """One life of a worker, from its start to its stop or crash."""

    def __init__(self, name: str, on_spin: Callable[[Life], None]) -> None:
        self.name = name
        self.steps = 0
        self.ended = False
        self.frozen = False
        self.at_step: dict[int, Callable[[], None]] = {}
        """What happens in place of that step, which is taken later or never."""
        self._parked: list[Step] = []
        self._on_spin = on_spin
        self._spun_from_seconds = 0.0

    def admits(self, step: Step) -> bool:
        """Whether a step is taken now; else it is parked."""
        if not (self.ended or self.frozen):
            strike = self.at_step.pop(self.steps, None)
            if strike is not None:
                strike()
        if self.ended or self.frozen:
            self._parked.append(step)
            return False
        self.steps += 1
        if self.steps % SPIN_STEPS == 0:
            now_seconds = step.loop.time()
            if now_seconds - self._spun_from_seconds < SPIN_SECONDS:
                self._on_spin(self)
            self._spun_from_seconds = now_seconds
        return True

    def freeze(self) -> None:
        """No step is taken from now on."""
        self.frozen = True

    def thaw(self) -> None:
        """The steps that waited are taken, in their order."""
        self.frozen = False
        self._release()

    def end(self) -> None:
        """No step is ever taken again, until the world cleans up."""
        self.ended = True

    def clean_up(self) -> None:
        """The world is over: let the tasks of this life see that they were cancelled."""
        self.ended = self.frozen = False
        self.at_step.clear()
        self._release()

    def _release(self) -> None:
        parked, self._parked = self._parked, []
        for step in parked:
            step.again()


class Step:
    """A callback that belongs to a life. `handle` is what its owner may cancel."""

    __slots__ = ("args", "callback", "context", "handle", "life", "loop")

    def __init__(
        self,
        loop: GatedLoop,
        life: Life,
        callback: Callable[..., object],
        args: tuple[object, ...],
        context: Context,
    ) -> None:
        self.loop = loop
        self.life = life
        self.callback = callback
        self.args = args
        self.context = context
        self.handle: asyncio.Handle | None = None

    def __call__(self) -> None:
        """Take the step, unless its life says otherwise."""
        if self.handle is not None and self.handle.cancelled():
            return
        if self.life.admits(self):
            self.callback(*self.args)

    def again(self) -> None:
        """Take it up again behind what is ready already."""
        self.loop.call_ungated(self)


class GatedLoop(VirtualLoop):
    """A virtual loop on which every callback of a worker is a `Step`."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.steps = 0

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As asyncio's, through the gate."""
        self.steps += 1
        context = copy_context() if context is None else context
        life = context.get(LIFE)
        if life is None:
            return super().call_soon(callback, *args, context=context)
        step = Step(self, life, callback, args, context)
        step.handle = super().call_soon(step, context=context)
        return step.handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As asyncio's, through the gate."""
        self.steps += 1
        context = copy_context() if context is None else context
        life = context.get(LIFE)
        if life is None:
            return super().call_at(when, callback, *args, context=context)
        step = Step(self, life, callback, args, context)
        when = max(when, self.time() + TIMER_SECONDS)
        step.handle = handle = super().call_at(when, step, context=context)
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """There is one thread only."""
        return self.call_soon(callback, *args, context=context)

    def call_ungated(self, step: Step) -> None:
        """Take a step up again, whose first handle is used up but may still be cancelled."""
        super().call_soon(step, context=step.context)
