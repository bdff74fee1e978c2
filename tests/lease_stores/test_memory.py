"""What the memory store alone promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from triggerkit.core.locators import parse
from triggerkit.core.model import TRIM_HORIZON, Lease, LeaseKey, Now, ShardId
from triggerkit.errors import LocatorError
from triggerkit.lease_stores import memory
from triggerkit.ports import LeaseStore, Services

T = TypeVar("T")


class NoClock:
    def now(self) -> Now:
        return Now(0.0, 0.0)

    def observe_service_time(self, service_seconds: float) -> None:
        del service_seconds


class NeverRun:
    async def __call__(self, call: Callable[[], T], /) -> T:
        raise AssertionError(f"{call} blocks nothing and needs no thread")


def opened(text: str = "memory:") -> LeaseStore:
    return memory.open(parse(text), Services(run=NeverRun(), clock=NoClock()))


def test_each_store_is_its_own() -> None:
    async def scene() -> None:
        one, other = opened(), opened()
        await one.create((Lease(LeaseKey("a:s1"), ShardId("s1"), TRIM_HORIZON),))
        assert len(await one.read("")) == 1
        assert await other.read("") == ()

    asyncio.run(scene())


def test_it_is_new_once() -> None:
    store = opened()
    assert [asyncio.run(store.prepare()) for _ in range(3)] == [True, False, False]


def test_session_ids_repeat_from_run_to_run() -> None:
    assert [opened().fresh_session().id for _ in range(2)] == ["tk:memory:0:00000001"] * 2


@pytest.mark.parametrize(
    ("text", "said"), [("memory://orders", "has no name"), ("memory:?mode=x", "unknown key")]
)
def test_a_bad_locator_is_refused(text: str, said: str) -> None:
    with pytest.raises(LocatorError, match=said):
        opened(text)
