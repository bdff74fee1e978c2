"""A life stops between any two of its steps, and nothing of it goes on behind its back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import copy_context

import pytest

from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.processes import LIFE, GatedLoop, Life


@pytest.fixture
def loop() -> Iterator[GatedLoop]:
    loop = GatedLoop(VirtualClock())
    yield loop

    async def cancel_all() -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    loop.run_until_complete(cancel_all())
    loop.close()


def born(name: str = "w0.1") -> Life:
    return Life(name, lambda life: life.end())


def begin(loop: GatedLoop, life: Life, seen: list[str], pause_seconds: float = 1.0) -> None:
    async def live() -> None:
        for number in range(5):
            seen.append(f"{life.name} {number}")
            await asyncio.sleep(pause_seconds)

    context = copy_context()
    context.run(LIFE.set, life)
    loop.create_task(live(), context=context)


def test_a_frozen_life_goes_on_where_it_was(loop: GatedLoop) -> None:
    seen: list[str] = []
    frozen, free = born("frozen"), born("free")
    begin(loop, frozen, seen)
    begin(loop, free, seen)
    loop.call_later(1.5, frozen.freeze)
    loop.call_later(10.0, frozen.thaw)
    loop.run_until_complete(asyncio.sleep(9.0))
    assert [name for name in seen if "frozen" in name] == ["frozen 0", "frozen 1"]
    assert seen[-1] == "free 4"
    loop.run_until_complete(asyncio.sleep(9.0))
    assert [name for name in seen if "frozen" in name] == [f"frozen {n}" for n in range(5)]


def test_an_ended_life_takes_no_step_until_the_world_cleans_up(loop: GatedLoop) -> None:
    seen: list[str] = []
    life = born()
    begin(loop, life, seen)
    loop.call_later(1.5, life.end)
    loop.run_until_complete(asyncio.sleep(20.0))
    assert seen == ["w0.1 0", "w0.1 1"]
    life.clean_up()  # the fixture cancels the task, which must see it


def test_a_life_ends_at_the_step_that_was_said(loop: GatedLoop) -> None:
    for last in range(6):
        life = born()
        life.at_step[last] = life.end
        begin(loop, life, [], 0.0)
        loop.run_until_complete(asyncio.sleep(1.0))
        assert life.steps == last
        life.clean_up()


def test_a_step_that_was_cancelled_while_it_was_parked_is_not_taken(loop: GatedLoop) -> None:
    seen: list[str] = []
    life = born()
    context = copy_context()
    context.run(LIFE.set, life)
    timer = loop.call_later(1.0, seen.append, "rang", context=context)
    life.freeze()
    loop.run_until_complete(asyncio.sleep(2.0))
    timer.cancel()
    life.thaw()
    loop.run_until_complete(asyncio.sleep(2.0))
    assert seen == []


def test_a_life_that_turns_in_circles_is_told(loop: GatedLoop) -> None:
    life = born()

    async def turn() -> None:
        while True:
            await asyncio.sleep(0)

    context = copy_context()
    context.run(LIFE.set, life)
    loop.create_task(turn(), context=context)
    loop.run_until_complete(asyncio.sleep(1.0))
    assert life.ended
    life.clean_up()
