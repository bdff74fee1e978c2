"""The handler loop: one thread, hard to kill, closed with what still runs on it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from triggerkit.errors import InternalError
from triggerkit.runtime.pools import HandlerLoop, HandlerThreads, InlineHandlers


async def thread_here() -> threading.Thread:
    return threading.current_thread()


async def failing() -> None:
    raise ValueError("bad")


def test_coroutines_run_on_one_daemon_thread_of_their_own() -> None:
    async def scene() -> set[threading.Thread]:
        loop = HandlerLoop()
        threads = {await loop(thread_here) for _ in range(3)}
        await loop.close()
        return threads

    (thread,) = asyncio.run(scene())
    assert thread.daemon
    assert thread is not threading.current_thread()
    thread.join(10)
    assert not thread.is_alive()


def test_what_a_coroutine_raises_comes_back() -> None:
    async def scene() -> None:
        loop = HandlerLoop()
        with pytest.raises(ValueError, match="bad"):
            await loop(failing)
        await loop.close()

    asyncio.run(scene())


def test_a_cancelled_wait_cancels_the_coroutine() -> None:
    began, cancelled = threading.Event(), threading.Event()

    async def waiting_for_ever() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def scene() -> None:
        loop = HandlerLoop()
        waiting = asyncio.ensure_future(loop(waiting_for_ever))
        while not began.is_set():
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await loop.close()

    asyncio.run(scene())
    assert cancelled.is_set()


def test_user_code_that_exits_or_stops_the_loop_does_not_end_it() -> None:
    def exiting() -> None:
        raise SystemExit(3)

    async def provoking() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.stop)
        loop.call_soon(exiting)

    async def scene() -> bool:
        loop = HandlerLoop()
        await loop(provoking)
        thread = await loop(thread_here)
        alive = thread.is_alive()
        await loop.close()
        return alive

    assert asyncio.run(scene())


def test_closing_cancels_what_still_runs() -> None:
    cleaned: list[str] = []
    began = threading.Event()

    async def lingering() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("up")

    async def scene() -> None:
        loop = HandlerLoop()
        waiting = asyncio.ensure_future(loop(lingering))
        while not began.is_set():
            await asyncio.sleep(0)
        await loop.close()
        await asyncio.wait({waiting})
        assert waiting.cancelled()

    asyncio.run(scene())
    assert cleaned == ["up"]


def test_closing_does_not_wait_for_a_loop_that_user_code_blocks() -> None:
    gate, began = threading.Event(), threading.Event()

    async def blocking() -> None:
        began.set()
        gate.wait(10)

    async def scene() -> None:
        loop = HandlerLoop()
        waiting = asyncio.ensure_future(loop(blocking))
        while not began.is_set():
            await asyncio.sleep(0)
        await loop.close(wait_seconds=0.01)
        assert not waiting.done()
        gate.set()
        await asyncio.wait({waiting})

    asyncio.run(scene())


def test_a_closed_loop_refuses_and_closing_an_unused_one_is_fine() -> None:
    async def scene() -> None:
        loop = HandlerLoop()
        await loop.close()
        await loop.close()
        with pytest.raises(InternalError, match="closed"):
            await loop(thread_here)

    asyncio.run(scene())


def test_each_sync_trigger_has_threads_of_its_own_and_all_async_ones_share_a_loop() -> None:
    async def scene() -> tuple[set[str], bool]:
        threads = HandlerThreads()
        runners = [threads.threads(name, 1) for name in ("one", "two")]
        found = {(await runner(threading.current_thread)).name for runner in runners}
        shared = threads.loop is threads.loop
        await threads.close()
        with pytest.raises(InternalError):
            await runners[0](threading.current_thread)
        return found, shared

    found, shared = asyncio.run(scene())
    assert found == {"triggerkit-handler-one-1", "triggerkit-handler-two-1"}
    assert shared


def test_inline_handlers_run_where_they_are_called() -> None:
    async def scene() -> list[threading.Thread]:
        places = InlineHandlers()
        return [
            await places.threads("one", 4)(threading.current_thread),
            await places.loop(thread_here),
        ]

    assert asyncio.run(scene()) == [threading.current_thread()] * 2
