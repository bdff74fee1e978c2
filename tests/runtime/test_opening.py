"""A throttled stream is no broken stream, also at the start."""

from __future__ import annotations

import asyncio

import pytest
from runtime.fakes import FakeSource, LoopClock

from triggerkit.errors import SourceNotFoundError, ThrottledError
from triggerkit.runtime import opening
from triggerkit.runtime.opening import prepare_patiently
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.loop import VirtualLoop

THROTTLED = ThrottledError("slow down", hint="it is tried again")


def play(source: FakeSource, *, stopped: bool = False) -> float:
    """Prepare in virtual time; the seconds it took."""

    async def scenario() -> float:
        stop = asyncio.Event()
        if stopped:
            stop.set()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await prepare_patiently(source, "dynamodb://orders", LoopClock(), stop)
        return loop.time() - began

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(VirtualClock())) as runner:
        return runner.run(scenario())


def test_throttles_are_waited_out() -> None:
    source = FakeSource(failures=[THROTTLED, THROTTLED, THROTTLED])
    assert play(source) == pytest.approx(0.25 + 0.5 + 1.0)
    assert source.failures == []


def test_patience_ends_after_a_minute() -> None:
    source = FakeSource(failures=[THROTTLED] * 1000)
    with pytest.raises(ThrottledError):
        play(source)
    assert len(source.failures) > 1000 - 2 * opening.PATIENCE_SECONDS


def test_what_is_no_throttle_stops_the_start_at_once() -> None:
    gone = SourceNotFoundError("no table orders", hint="make it")
    source = FakeSource(failures=[gone, THROTTLED])
    with pytest.raises(SourceNotFoundError):
        play(source)
    assert source.failures == [THROTTLED]


def test_a_stop_is_not_waited_through() -> None:
    with pytest.raises(ThrottledError):
        play(FakeSource(failures=[THROTTLED, THROTTLED]), stopped=True)
