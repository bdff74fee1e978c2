"""The network between one life of a worker and the world. What was sent arrives, even if the sender has died.

Every call takes its time both ways, and much can go wrong with it: it is refused, its answer is lost though it
was carried out, it is carried out twice, it is slow. All of it is drawn from the seed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from proof.facts import Violation
from proof.plan import Event, Odds

from triggerkit.emulator import EmulatorError
from triggerkit.errors import EndpointUnreachableError, StateError

T = TypeVar("T")

WAYS_SECONDS = (0.002, 0.01, 0.05, 0.2)
FIXED_WAY_SECONDS = 0.01
SLOW_SECONDS = (1.0, 2.7, 5.0, 15.0)


@dataclass(slots=True)
class Weather:
    """What is wrong for everybody at the moment."""

    odds: Odds
    network: Context
    """The context of what is on its way and belongs to nobody any more."""
    fixed_delays: bool = False
    destination_down: bool = False
    is_healed: bool = False


@dataclass(slots=True)
class Troubles:
    """What is wrong for one life at the moment."""

    stalled_until_seconds: float = 0.0
    muted_until_seconds: float = 0.0
    stale_until_seconds: float = 0.0
    refusing: int = 0
    """So many writes of state are refused."""
    throttling: int = 0
    """So many calls of AWS are throttled."""
    losing_at: set[int] = field(default_factory=set)
    """Writes of state that are made, and whose answers are lost, by their number."""


class Wire:
    """One life's. Implements `ports.Runner` for what a worker asks of AWS, and `source.Way`."""

    def __init__(self, rng: Random, weather: Weather) -> None:
        self.troubles = Troubles()
        self.writes = 0
        self._rng = rng
        self._weather = weather

    @property
    def weather(self) -> Weather:
        """What is wrong for everybody."""
        return self._weather

    def now_seconds(self) -> float:
        """The world's time."""
        return asyncio.get_running_loop().time()

    def trouble(self, event: Event) -> None:
        """Something goes wrong for this worker alone."""
        troubles, until_seconds = self.troubles, self.now_seconds() + event.seconds
        match event.kind:
            case "mute":
                troubles.muted_until_seconds = until_seconds
            case "stall":
                troubles.stalled_until_seconds = until_seconds
            case "stale":
                troubles.stale_until_seconds = until_seconds
            case "lose":
                first = self.writes + event.key
                troubles.losing_at.update(range(first, first + event.count))
            case "refuse":
                troubles.refusing += event.count
            case "throttle":
                troubles.throttling += event.count
            case _:
                raise Violation(f"no worker can be told to {event.kind}")

    def heal(self) -> None:
        """Nothing is refused, lost or held back from now on."""
        self.troubles = Troubles()

    def strikes(self, odds: float) -> bool:
        """Whether something of these odds happens now."""
        return odds > 0.0 and self._rng.random() < odds

    def choose(self, choices: tuple[T, ...]) -> T:
        """One of these."""
        return self._rng.choice(choices)

    # --- AWS --------------------------------------------------------------------------------------

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Ask AWS. Raises EndpointUnreachableError, and what `call` raises."""
        if self.strikes(self._weather.odds.unreachable):
            await self._way()
            raise EndpointUnreachableError(
                "nothing answers", hint="the world is troubled: it is asked again"
            )
        return await self.carry(call)

    def refuse(self) -> None:
        """Raise EmulatorError if AWS is too busy for the call that has just arrived."""
        if self.troubles.throttling:
            self.troubles.throttling -= 1
        elif not self.strikes(self._weather.odds.throttled):
            return
        raise EmulatorError("ThrottlingException", "Rate exceeded: the world is troubled")

    def page_limit(self, asked: int) -> int:
        """See `Way`: AWS may give fewer records than it has, and none at all."""
        if self.strikes(self._weather.odds.stingy):
            return min(asked, self._rng.choice((0, 1, 2, 5)))
        return asked

    def transmit(self, body: bytes) -> bytes:
        """See `Way`: half of a reply may be missing, or a member of one that can be read."""
        if not self.strikes(self._weather.odds.damaged):
            return body
        return self._rng.choice((_half, _without_records, _empty))(body)

    # --- the lease store --------------------------------------------------------------------------

    async def read(self, call: Callable[[], T]) -> T:
        """Ask the lease store to read. Raises StateError."""
        if self.strikes(self._weather.odds.read_refused):
            await self._way()
            raise _refused()
        return await self.carry(call)

    async def write(self, call: Callable[[], T]) -> T:
        """Ask the lease store to write.

        Raises:
            StateError: it did not, or it did and the answer was lost (I14); else what `call` raises.
        """
        odds, troubles = self._weather.odds, self.troubles
        number, self.writes = self.writes, self.writes + 1
        if troubles.refusing or self.strikes(odds.write_refused):
            troubles.refusing = max(0, troubles.refusing - 1)
            await self._way()
            raise _refused()
        lost = number in troubles.losing_at
        if not lost and self.strikes(odds.answer_lost):
            if self._rng.random() < 0.5:  # the client asked again by itself
                return await self.carry(lambda: (call(), call())[1])
            lost = True
        answer = await self.carry(call)
        if lost:
            raise StateError("the answer was lost", hint="the world lost it: it is asked again")
        return answer

    async def write_beat(self, call: Callable[[], T]) -> T:
        """As `write`; nothing arrives while the worker's beats are muted."""
        if self.now_seconds() < self.troubles.muted_until_seconds:
            await self._way()
            raise _refused()
        return await self.write(call)

    # --- the way there and back -------------------------------------------------------------------

    async def carry(self, call: Callable[[], T]) -> T:
        """Carry `call` there, and back what it returns or raises."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[T] = loop.create_future()

        def arrive() -> None:
            settle = _performed(call, answered)
            loop.call_later(self._seconds(), settle, context=self._weather.network)

        # it is sent already, or the worker stops with the request in its hand
        sent = self._rng.random() < 0.5
        loop.call_later(self._seconds(), arrive, context=self._weather.network if sent else None)
        return await answered

    async def _way(self) -> None:
        await asyncio.sleep(self._seconds())

    def _seconds(self) -> float:
        if self._weather.fixed_delays:
            seconds = FIXED_WAY_SECONDS
        elif self.strikes(self._weather.odds.slow):
            seconds = self._rng.choice(SLOW_SECONDS)
        else:
            seconds = self._rng.choice(WAYS_SECONDS) * self._rng.uniform(0.5, 1.5)
        stalled_seconds = self.troubles.stalled_until_seconds - asyncio.get_running_loop().time()
        return max(seconds, stalled_seconds)


def _performed(call: Callable[[], T], answered: asyncio.Future[T]) -> Callable[[], None]:
    error: Exception
    try:
        result = call()
    except Exception as raised:  # noqa: BLE001 - carried to the one who waits
        error = raised
    else:
        return lambda: None if answered.done() else answered.set_result(result)
    failure = error
    return lambda: None if answered.done() else answered.set_exception(failure)


def _half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _without_records(body: bytes) -> bytes:
    reply = json.loads(body)
    reply.pop("Records", None)
    return json.dumps(reply).encode()


def _empty(body: bytes) -> bytes:
    del body
    return b"{}"


def _refused() -> StateError:
    return StateError("the store is busy", hint="the world is troubled: it is asked again")
