"""Runs a worker, and starts it again when code changes.

The worker ends by itself before the next one starts, so positions are saved and leases released. A worker that
ends with an error is not started again before something changed: the same code fails the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from triggerkit.errors import (
    EXIT_DRAIN_EXPIRED,
    EXIT_INTERRUPTED,
    InternalError,
    UsageError,
    ending_in_words,
)
from triggerkit.runtime.logs import get_logger

log = get_logger()

WAITS_FOR_CHANGE = 75
"""How a worker ends whose code must be corrected first; seen by its parent only."""
STOP_NOTICE_SECONDS = 1.0
"""Ctrl-C reaches the worker and us; it may have ended before we have heard."""


class Child(Protocol):
    """A worker that was started."""

    async def wait(self) -> int:
        """Wait for its end; its exit code, negative for a signal. May be asked again."""
        ...

    def stop(self) -> None:
        """Ask it to drain and end; no fault when it has ended."""
        ...

    def kill(self) -> None:
        """End it now; no fault when it has ended."""
        ...


Start: TypeAlias = Callable[[], Awaitable[Child]]
Stopped: TypeAlias = "asyncio.Task[Literal[True]]"


class Reloader:
    """Keeps one worker running.

    `start` starts one, `changes` yields the files that changed (it may end: then nothing changes any more),
    `drain_seconds` is how long a worker may take to end before it is killed.
    """

    def __init__(
        self, start: Start, changes: AsyncIterator[Sequence[Path]], drain_seconds: float
    ) -> None:
        self._start = start
        self._changes = changes
        self._drain_seconds = drain_seconds
        self._stopping = asyncio.Event()
        self._next_change: asyncio.Future[Sequence[Path] | None] | None = None
        self._has_run = False
        self._drain_expired = False

    def stop(self) -> None:
        """Let the worker end; `run` returns then."""
        self._stopping.set()

    def worker_is_ready(self) -> None:
        """Hear that a worker reads: from now on the end of one ends nothing but itself."""
        self._has_run = True

    async def run(self) -> int:
        """Run workers until stopped; the exit code: 14 if the last one did not drain in its time.

        A first worker that fails for another reason than its code ends it all, with that exit code.
        """
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            while not self._stopping.is_set():
                child = await self._start()
                code = await self._while_running(child, stopped)
                if code is not None and await self._is_over(code, stopped):
                    return self._code_at_stop() if self._stopping.is_set() else _exit_code(code)
            return self._code_at_stop()
        finally:
            for waiting in (stopped, self._next_change):
                if waiting is not None:
                    waiting.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await waiting

    async def _while_running(self, child: Child, stopped: Stopped) -> int | None:
        """Until the worker ends by itself (its exit code) or has been made to (None)."""
        ended = asyncio.ensure_future(child.wait())
        try:
            while True:
                change = self._change()
                await _first(ended, stopped, change)
                if ended.done():
                    self._drain_expired = ended.result() == EXIT_DRAIN_EXPIRED
                    return ended.result()
                if stopped.done():
                    await self._end(child, ended)
                    return None
                if self._taken_change():
                    await self._end(child, ended)
                    self._has_run = True
                    return None
        finally:
            if not ended.done():
                child.kill()
                await ended

    def _code_at_stop(self) -> int:
        return EXIT_DRAIN_EXPIRED if self._drain_expired else 0

    async def _end(self, child: Child, ended: asyncio.Future[int]) -> None:
        child.stop()
        await asyncio.wait({ended}, timeout=self._drain_seconds)
        self._drain_expired = not ended.done() or ended.result() == EXIT_DRAIN_EXPIRED
        if not ended.done():
            log.warning(
                "worker_killed",
                message=f"it did not end in {self._drain_seconds:g} s; its unfinished batches are delivered again",
            )
            child.kill()
            await ended

    async def _is_over(self, code: int, stopped: Stopped) -> bool:
        """Whether nothing is to follow a worker that ended by itself; else a change has come."""
        if code in (0, EXIT_INTERRUPTED, EXIT_DRAIN_EXPIRED) or code < 0:
            await asyncio.wait({stopped}, timeout=STOP_NOTICE_SECONDS)
            if stopped.done():
                return True
        elif code != WAITS_FOR_CHANGE and not self._has_run:
            return True
        how = "its code failed" if code == WAITS_FOR_CHANGE else ending_in_words(code)
        if self._change() is None:
            log.warning("worker_ended", ending=how, message=f"the worker has ended: {how}")
            return True
        log.warning(
            "waiting_for_change",
            ending=how,
            message=f"the worker has ended: {how}; it starts again when a file changes",
        )
        while (change := self._change()) is not None:
            await _first(stopped, change)
            if stopped.done():
                return True
            if self._taken_change():
                return False
        return True

    def _change(self) -> asyncio.Future[Sequence[Path] | None] | None:
        """The next change, one wait for all workers; None when there will be none."""
        if self._next_change is None:
            self._next_change = asyncio.ensure_future(anext(self._changes, None))
        done = self._next_change
        over = done.done() and done.result() is None
        return None if over else done

    def _taken_change(self) -> bool:
        """Whether something changed since the last time; says what."""
        waiting = self._next_change
        if waiting is None or not waiting.done():
            return False
        files = waiting.result()
        if files is None:
            return False
        self._next_change = None
        log.info("reloading", files=[path.name for path in files], message=_changed_text(files))
        return True


async def watched(folders: Sequence[Path], files: Sequence[Path]) -> AsyncIterator[Sequence[Path]]:
    """Tell which Python files below `folders`, or which of `files` in them, have changed, as they do.

    Environments and caches are left out. Several changes in a moment come together.
    """
    from watchfiles import PythonFilter, awatch

    wanted = PythonFilter(extra_extensions=tuple({f"/{file.name}" for file in files}))
    try:
        async for changes in awatch(*folders, watch_filter=wanted):
            yield sorted({Path(path) for _, path in changes})
    except (OSError, RuntimeError) as error:  # no more watches, or a folder that went away
        log.warning(
            "not_watching",
            error_message=str(error),
            message="changes are not seen any more: end with Ctrl-C and start again",
        )


async def _first(*waited: asyncio.Future[Any] | None) -> None:
    """Wait for the first of what there is to wait for."""
    there = {one for one in waited if one is not None}
    await asyncio.wait(there, return_when=asyncio.FIRST_COMPLETED)


def _changed_text(files: Sequence[Path]) -> str:
    names = sorted({path.name for path in files})
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{shown} changed: draining, then starting again"


def _exit_code(code: int) -> int:
    """The exit code of `dev` for that of a worker, which a signal may have killed."""
    if code == WAITS_FOR_CHANGE:
        return UsageError.exit_code
    return code if code >= 0 else InternalError.exit_code
