"""Virtual time: nothing sleeps, the order is asyncio's, and what can never come is said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from triggerkit.errors import SimulationError
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.loop import VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop(VirtualClock())
    yield loop
    loop.close()


def test_a_day_of_sleep_takes_no_time(loop: VirtualLoop) -> None:
    started = time.perf_counter()
    loop.run_until_complete(asyncio.sleep(86_400))
    assert loop.time() == 86_400
    assert time.perf_counter() - started < 5


def test_timers_fire_in_the_order_of_their_moments_and_then_of_their_making(
    loop: VirtualLoop,
) -> None:
    seen: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append(f"{name}@{loop.time():g}")

    async def scene() -> None:
        await asyncio.gather(sleeper("a", 2), sleeper("b", 1), sleeper("c", 1), sleeper("d", 0))

    loop.run_until_complete(scene())
    assert seen == ["d@0", "b@1", "c@1", "a@2"]


def test_a_timeout_is_virtual_too(loop: VirtualLoop) -> None:
    async def scene() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()

    loop.run_until_complete(scene())
    assert loop.time() == 30


def test_a_thread_s_work_is_done_in_place(loop: VirtualLoop) -> None:
    async def scene() -> list[int]:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(sorted, [2, 1])

    assert loop.run_until_complete(scene()) == [1, 2]


def test_waiting_for_what_never_comes_is_an_error_and_no_hang(loop: VirtualLoop) -> None:
    waiting = loop.create_future()
    with pytest.raises(SimulationError, match="can never come"):
        loop.run_until_complete(waiting)


def test_a_connection_is_refused_with_the_way_out(loop: VirtualLoop) -> None:
    with pytest.raises(SimulationError, match="connection") as refusal:
        loop.run_until_complete(asyncio.open_connection("127.0.0.1", 9))
    assert "fake" in refusal.value.hint


def test_service_time_leaps_without_the_loop(loop: VirtualLoop) -> None:
    clock = VirtualClock(100.0)
    clock.pass_seconds(5)
    clock.advance(1000)
    assert clock.now() == (5.0, 1105.0)
    with pytest.raises(ValueError, match="forward only"):
        clock.advance(-1)
