"""The pools: results and errors come back, and no call can end a thread, the loop or an exit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from triggerkit.errors import InternalError
from triggerkit.runtime.pools import ThreadRunner
from triggerkit.testing.inline import InlineRunner


def failing(error: BaseException) -> None:
    raise error


def test_a_call_runs_on_a_daemon_thread_named_after_the_pool() -> None:
    async def scene() -> threading.Thread:
        runner = ThreadRunner("state", 1)
        thread = await runner(threading.current_thread)
        runner.close()
        return thread

    thread = asyncio.run(scene())
    assert thread.daemon
    assert thread.name == "triggerkit-state-1"


def test_calls_beyond_the_threads_wait_and_keep_their_order() -> None:
    seen: list[int] = []

    async def scene() -> list[None]:
        runner = ThreadRunner("state", 1)
        results = await asyncio.gather(
            *(runner(lambda number=number: seen.append(number)) for number in range(50))
        )
        runner.close()
        return results

    asyncio.run(scene())
    assert seen == list(range(50))


def test_two_threads_run_two_calls_at_once() -> None:
    meeting = threading.Barrier(2, timeout=10)

    async def scene() -> list[int]:
        runner = ThreadRunner("control", 2)
        return await asyncio.gather(runner(meeting.wait), runner(meeting.wait))

    assert sorted(asyncio.run(scene())) == [0, 1]


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (ValueError("bad"), ValueError),
        (StopIteration(), RuntimeError),
        (SystemExit(3), InternalError),
        (KeyboardInterrupt(), InternalError),
    ],
)
def test_what_a_call_raises_comes_back_and_the_pool_goes_on(
    raised: BaseException, seen: type[Exception]
) -> None:
    async def scene() -> int:
        runner = ThreadRunner("state", 1)
        with pytest.raises(seen):
            await runner(lambda: failing(raised))
        assert not runner.busy
        return await runner(lambda: 7)

    assert asyncio.run(scene()) == 7


def test_a_cancelled_wait_leaves_the_call_running_and_the_pool_usable() -> None:
    gate = threading.Event()

    async def scene() -> int:
        runner = ThreadRunner("state", 1)
        waiting = asyncio.ensure_future(runner(lambda: gate.wait(10)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert runner.busy
        gate.set()
        return await runner(lambda: 8)

    assert asyncio.run(scene()) == 8


def test_an_answer_for_a_loop_that_is_gone_is_dropped() -> None:
    gate, done = threading.Event(), threading.Event()
    runner = ThreadRunner("state", 1)

    async def scene() -> None:
        waiting = asyncio.ensure_future(runner(lambda: gate.wait(10)))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(scene())
    gate.set()

    async def later() -> bool:
        return await runner(lambda: done.set() or done.is_set())

    assert asyncio.run(later())


def test_a_closed_pool_refuses_calls_and_ends_its_threads() -> None:
    async def scene() -> threading.Thread:
        runner = ThreadRunner("state", 1)
        thread = await runner(threading.current_thread)
        runner.close()
        with pytest.raises(InternalError, match="'state' is closed"):
            await runner(lambda: 1)
        return thread

    thread = asyncio.run(scene())
    thread.join(10)
    assert not thread.is_alive()


HUNG = """
import asyncio, threading
from triggerkit.runtime.pools import HandlerLoop, ThreadRunner

async def main():
    runner, loop = ThreadRunner("hung", 1), HandlerLoop()
    began = threading.Barrier(3, timeout=30)

    def hang():
        began.wait()
        threading.Event().wait()

    async def hang_there():
        hang()

    waits = [asyncio.ensure_future(runner(hang)), asyncio.ensure_future(loop(hang_there))]
    await asyncio.sleep(0)
    began.wait()
    runner.close()
    await loop.close(wait_seconds=0.01)
    for wait in waits:
        wait.cancel()

asyncio.run(main())
print("over")
"""


def test_hung_calls_do_not_hold_up_the_exit_of_the_process() -> None:
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", HUNG],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "over\n"), ended.stderr


def test_the_inline_runner_calls_on_the_spot() -> None:
    assert asyncio.run(InlineRunner()(threading.current_thread)) is threading.current_thread()
