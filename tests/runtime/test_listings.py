"""One listing serves whoever asks; one that fails when nobody waits any more is nobody's trouble."""

from __future__ import annotations

import asyncio
import gc

import pytest

from triggerkit.core.model import Listing, Now
from triggerkit.errors import ThrottledError
from triggerkit.runtime.listings import FRESH_SECONDS, SharedListing


class StillClock:
    def now(self) -> Now:
        return Now(0.0, 0.0)

    def observe_service_time(self, service_seconds: float) -> None:
        pass


class HandClock(StillClock):
    seconds = 0.0

    def now(self) -> Now:
        return Now(self.seconds, self.seconds)


class SlowSource:
    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.asked = 0

    async def list_shards(self) -> Listing:
        self.asked += 1
        await asyncio.sleep(0)
        if self.fails:
            raise ThrottledError("later", hint="ask again")
        return Listing((), complete=True, service_seconds=0.0, trim_seconds=0.0)


def test_callers_at_the_same_time_share_one_call() -> None:
    source = SlowSource(fails=False)
    listing = SharedListing(source, StillClock())  # type: ignore[arg-type]

    async def ask() -> None:
        await asyncio.gather(listing.get(), listing.get())
        await listing.get()

    asyncio.run(ask())
    assert source.asked == 1


def test_a_listing_that_is_not_fresh_any_more_is_made_anew() -> None:
    source, clock = SlowSource(fails=False), HandClock()
    listing = SharedListing(source, clock)  # type: ignore[arg-type]

    async def ask() -> None:
        await listing.get()
        clock.seconds = FRESH_SECONDS
        await listing.get()

    asyncio.run(ask())
    assert source.asked == 2


def test_a_failure_reaches_everybody_who_waits() -> None:
    listing = SharedListing(SlowSource(fails=True), StillClock())  # type: ignore[arg-type]

    async def ask() -> None:
        ends = await asyncio.gather(listing.get(), listing.get(), return_exceptions=True)
        assert [type(end) for end in ends] == [ThrottledError, ThrottledError]

    asyncio.run(ask())


def test_a_failure_that_nobody_waits_for_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    listing = SharedListing(SlowSource(fails=True), StillClock())  # type: ignore[arg-type]

    async def ask() -> None:
        asking = asyncio.ensure_future(listing.get())
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(ask())
    gc.collect()
    assert not caplog.records
