"""The network between a worker and its services: every answer is a little late, drawn from the seed.

So answers arrive in another order for each seed. A connection that is cut carries nothing
more: its worker has crashed, and what it would still have written is never written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from triggerkit.emulator import EmulatorError
from triggerkit.errors import StateError

T = TypeVar("T")

CALM_SECONDS = (0.0005, 0.001, 0.002, 0.004)
"""How long one way takes in a calm world."""
TROUBLED_SECONDS = (0.0005, 0.002, 0.01, 0.05, 0.2)


class Line:
    """One worker's. Implements `source.Way`, for what a worker asks of AWS."""

    def __init__(self, rng: Random, delays_seconds: tuple[float, ...] = CALM_SECONDS) -> None:
        self._rng = rng
        self._delays_seconds = delays_seconds
        self._stalled_until_seconds = 0.0
        self._stale_until_seconds = 0.0
        self._cut = False
        self.refusing = 0
        """So many calls of AWS are throttled from now on."""
        self.losing = 0
        """So many writes of state are made, and their answers lost."""

    @property
    def is_cut(self) -> bool:
        """Whether the worker is gone."""
        return self._cut

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Ask AWS."""

        async def answer() -> T:
            return call()

        return await self.ask(answer)

    def refuse(self) -> None:
        """See `Way`."""
        if self.refusing:
            self.refusing -= 1
            raise EmulatorError("ThrottlingException", "Rate exceeded: the simulation throttles")

    def page_limit(self, asked: int) -> int:
        """See `Way`: pages are whole."""
        return asked

    def transmit(self, body: bytes) -> bytes:
        """See `Way`: nothing is damaged."""
        return body

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Both ways, with the call in between."""
        await self.way()
        answer = await call()
        await self.way()
        return answer

    async def write(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask the lease store to write. Raises StateError: it did, and the answer was lost (I14)."""
        answer = await self.ask(call)
        if self.losing:
            self.losing -= 1
            raise StateError(
                "the answer was lost", hint="the simulation lost it: it is asked again"
            )
        return answer

    async def way(self) -> None:
        """One way takes its time; longer while the line is stalled, for ever when it is cut."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._rng.choice(self._delays_seconds) * self._rng.uniform(0.5, 1.5))
        while (rest := self._stalled_until_seconds - loop.time()) > 0:
            await asyncio.sleep(rest)
        if self._cut:
            raise asyncio.CancelledError

    @property
    def reads_are_stale(self) -> bool:
        """Whether reads of state show what they showed before."""
        return asyncio.get_running_loop().time() < self._stale_until_seconds

    def stall(self, seconds: float) -> None:
        """Hold everything back for so long, as when the network is away."""
        self._stalled_until_seconds = asyncio.get_running_loop().time() + seconds

    def make_stale(self, seconds: float) -> None:
        """Let reads of state show for so long what they showed before."""
        self._stale_until_seconds = asyncio.get_running_loop().time() + seconds

    def heal(self) -> None:
        """Nothing is refused, lost, held back or stale from now on."""
        self._stalled_until_seconds = self._stale_until_seconds = 0.0
        self.refusing = self.losing = 0

    def cut(self) -> None:
        """The worker crashes: nothing passes any more."""
        self._cut = True
