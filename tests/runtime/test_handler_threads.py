"""The handler loop: one thread, hard to kill, closed with what still runs on it."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable

import pytest

from triggerkit.errors import InternalError
from triggerkit.runtime.pools import HandlerLoop, HandlerThreads
from triggerkit.testing.inline import InlineHandlers


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
        found = [
            await places.threads("one", 4)(threading.current_thread),
            await places.loop(thread_here),
        ]
        await places.close()
        return found

    assert asyncio.run(scene()) == [threading.current_thread()] * 2


def got_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_event_loop()


async def one() -> int:
    await asyncio.sleep(0)
    return 1


USES: list[Callable[[], object]] = [
    lambda: asyncio.get_event_loop().run_until_complete(one()),
    lambda: asyncio.run(one()),
    lambda: asyncio.get_event_loop().close(),
    lambda: asyncio.set_event_loop(None),
    lambda: asyncio.get_event_loop().create_task(asyncio.Event().wait()) and None,
    lambda: asyncio.set_event_loop(asyncio.get_event_loop()),
]


@pytest.mark.parametrize("places_of", [HandlerThreads, InlineHandlers])
@pytest.mark.parametrize("first", range(len(USES)))
def test_c1_c3_a_sync_handler_finds_an_event_loop_whatever_the_call_before_did(
    places_of: type[HandlerThreads | InlineHandlers], first: int
) -> None:
    async def scene() -> list[object]:
        places = places_of()
        call = places.threads("one", 1)
        results = [await call(lambda use=use: use() or 1) for use in (USES[first], *USES[:2])]
        loop = await call(got_loop)
        assert not loop.is_running()
        await places.close()
        assert loop.is_closed()
        assert asyncio.get_running_loop().is_running()
        await asyncio.sleep(0)  # our own task goes on
        return results

    assert asyncio.run(scene()) == [1, 1, 1]
    gc.collect()  # a loop that was left open would be told here


@pytest.mark.parametrize("places_of", [HandlerThreads, InlineHandlers])
def test_c1_c3_an_asynchronous_handler_still_runs_on_the_running_loop(
    places_of: type[HandlerThreads | InlineHandlers],
) -> None:
    async def loops() -> bool:
        return asyncio.get_running_loop() is asyncio.get_event_loop()

    async def scene() -> bool:
        places = places_of()
        found = await places.loop(loops)
        await places.close()
        return found

    assert asyncio.run(scene())


def test_c1_the_loop_is_the_same_in_each_call_of_a_trigger_and_another_for_each_thread() -> None:
    both = threading.Barrier(2, timeout=10)

    def at_once() -> asyncio.AbstractEventLoop:
        both.wait()
        return asyncio.get_event_loop()

    async def scene() -> None:
        threads = HandlerThreads()
        alone = threads.threads("alone", 1)
        assert await alone(got_loop) is await alone(got_loop)
        pair = threads.threads("pair", 2)
        one_loop, other = await asyncio.gather(pair(at_once), pair(at_once))
        assert one_loop is not other
        await threads.close()
        assert one_loop.is_closed()
        assert other.is_closed()

    asyncio.run(scene())


def test_c1_closing_does_not_wait_for_a_thread_that_a_handler_holds() -> None:
    began, gate = threading.Event(), threading.Event()

    async def scene() -> None:
        threads = HandlerThreads()
        call = asyncio.ensure_future(
            threads.threads("one", 1)(lambda: began.set() or gate.wait(10))
        )
        while not began.is_set():
            await asyncio.sleep(0)
        await threads.close()
        assert not call.done()
        gate.set()
        await call

    asyncio.run(scene())


def test_c3_the_loop_that_a_test_has_set_is_set_again_after_each_call() -> None:
    async def scene() -> None:
        places = InlineHandlers()
        await places.threads("one", 1)(got_loop)
        await places.close()

    mine = asyncio.new_event_loop()
    asyncio.set_event_loop(mine)
    try:
        mine.run_until_complete(scene())
        assert asyncio.get_event_loop() is mine
    finally:
        asyncio.set_event_loop(None)
        mine.close()
