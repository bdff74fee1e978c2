"""The contract of lease stores over every store there is; a later one joins with one entry of `RIGS`."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from triggerkit.core.locators import parse
from triggerkit.lease_stores import memory, sqlite
from triggerkit.ports import LeaseStore, Services
from triggerkit.testing.contracts import LeaseStoreContract, LeaseStoreRig
from triggerkit.testing.contracts.lease_rig import StillClock, inline_services

DAY_SECONDS = 24 * 3600.0


def memory_rig(folder: Path, cleanup: ExitStack) -> LeaseStoreRig:
    del folder, cleanup
    clock = StillClock()
    services = inline_services()
    store = memory.open(parse("memory:"), Services(run=services.run, clock=clock))
    assert asyncio.run(store.prepare()) is True

    def age_by_a_day() -> None:
        clock.monotonic_seconds += DAY_SECONDS + 1

    return LeaseStoreRig(open=lambda: store, age_by_a_day=age_by_a_day)


def sqlite_rig(folder: Path, cleanup: ExitStack) -> LeaseStoreRig:
    def open_store() -> LeaseStore:
        store = sqlite.open(parse("sqlite:///state.db"), inline_services(str(folder)))
        asyncio.run(store.prepare())
        cleanup.callback(lambda: asyncio.run(store.close()))
        return store

    def age_by_a_day() -> None:
        with closing(sqlite3.connect(folder / "state.db")) as connection, connection:
            connection.execute("UPDATE session SET dead_at = dead_at - ?", (DAY_SECONDS + 1,))

    open_store()
    return LeaseStoreRig(open=open_store, age_by_a_day=age_by_a_day)


RIGS: dict[str, Callable[[Path, ExitStack], LeaseStoreRig]] = {
    "memory": memory_rig,
    "sqlite": sqlite_rig,
}


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LeaseStoreRig]:
    with ExitStack() as cleanup:
        yield RIGS[request.param](tmp_path, cleanup)


class TestLeaseStores(LeaseStoreContract):
    """Who owns a shard and from where it is read, lost answers, ends, and who lives."""
