"""Where user code runs, as an invoker sees it: never on the engine's loop, except in simulation."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Protocol, TypeVar

from triggerkit.ports import Runner

T = TypeVar("T")


class CoroutineRunner(Protocol):
    """The handler loop: called on the engine's loop, runs a coroutine on its own."""

    async def __call__(self, start: Callable[[], Coroutine[object, None, T]], /) -> T:
        """Run `start()` as a task of the handler loop; its result or what it raises.

        Cancelling the wait cancels the task.
        """
        ...


class Places(Protocol):
    """The threads of one process on which user code runs; the runtime owns and closes them."""

    def threads(self, name: str, count: int) -> Runner:
        """`count` threads of the sync trigger `name`, nobody else's."""
        ...

    @property
    def loop(self) -> CoroutineRunner:
        """The one loop that all async triggers of the process share."""
        ...
