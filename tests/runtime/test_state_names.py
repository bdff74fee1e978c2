"""Rows under the source names of older versions: moved where it is certain, refused with a command else."""

from __future__ import annotations

import asyncio
import io
import json
import shlex
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from runtime.fakes import LoopClock

from triggerkit.core.locators import parse
from triggerkit.core.model import TRIM_HORIZON, Lease, LeaseKey, SessionId, ShardId
from triggerkit.errors import OrphanedStateError, StateError
from triggerkit.lease_stores import memory
from triggerkit.ports import LeaseStore, Services
from triggerkit.runtime.logs import LogSettings, configure_logging
from triggerkit.runtime.state_names import (
    Claim,
    Known,
    Starting,
    compare_names,
    move_former_rows,
    refuse_orphans,
)
from triggerkit.testing.inline import InlineRunner

OLD = "dynamodb/orders/000000000000/us-east-1"
NEW, OTHER = f"{OLD}/localhost_8000", f"{OLD}/localhost_9000"
STARTING = Starting("shop", "prod", "shop@prod", "sqlite:///state.db", frozenset())


def claim(trigger: str = "bill", source: str = NEW) -> Claim:
    return Claim(trigger, source, (OLD,))


def row(trigger: str, source: str, shard: str = "s1") -> Lease:
    prefix = f"shop@prod:{trigger}:{source}:"
    return Lease(LeaseKey(f"{prefix}i:{shard}"), ShardId(f"i:{shard}"), checkpoint=TRIM_HORIZON)


def use(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def open_store() -> LeaseStore:
    return memory.open(parse("memory:"), Services(run=InlineRunner(), clock=LoopClock()))


async def adopt(store: LeaseStore, *claims: Claim) -> None:
    await move_former_rows(store, replace(STARTING, claims=frozenset(claims)))


async def keys(store: LeaseStore) -> list[str]:
    return [lease.key for lease in await store.read("")]


def test_a2_rows_of_an_older_version_go_on_under_the_new_name() -> None:
    async def story() -> None:
        store = open_store()
        await store.create((row("bill", OLD), row("bill", OLD, "s2"), row("sell", OLD)))
        for _ in range(2):  # a second start, and a second worker, find the work done
            await adopt(store, claim("bill"), claim("sell"))
            assert await keys(store) == [
                row("bill", NEW).key,
                row("bill", NEW, "s2").key,
                row("sell", NEW).key,
            ]

    use(story())


def test_a2_rows_whose_name_is_the_same_today_stay() -> None:
    async def story() -> None:
        store = open_store()
        await store.create((row("bill", OLD), row("bill", "dynamodb/other/000000000000/us-east-1")))
        before = await keys(store)
        await adopt(store, claim(source=OLD))
        assert await keys(store) == before

    use(story())


def test_a2_nothing_moves_when_one_of_several_triggers_cannot_be_moved() -> None:
    async def story() -> None:
        store = open_store()
        session = await store.beat(store.fresh_session())
        assert session is not None
        await store.create((row("bill", OLD), row("sell", OLD)))
        assert await store.take(row("sell", OLD), SessionId(session.id)) is not None
        before = await keys(store)
        with pytest.raises(StateError, match="is held by") as told:
            await adopt(store, claim("bill"), claim("sell"))
        assert "stop that worker first" in told.value.hint
        assert "triggerkit rename" in told.value.hint
        assert await keys(store) == before

    use(story())


def printed_command(error: StateError) -> list[str]:
    """The arguments of the command that a hint prints."""
    words = shlex.split(error.hint[error.hint.index("triggerkit rename") :])
    return words[2:4]


async def carry_out(store: LeaseStore, command: list[str]) -> None:
    old, new = (f"shop@prod:{name}:" for name in command)
    assert await store.rename(((old, new),)) == 1


def test_a2_two_streams_that_claim_the_same_rows_stop_the_start_until_one_is_named() -> None:
    async def story() -> None:
        store = open_store()
        await store.create((row("bill", OLD),))
        claims = (claim(source=NEW), claim(source=OTHER))
        with pytest.raises(StateError, match="for one stream") as told:
            await adopt(store, *claims)
        assert NEW in told.value.message
        assert OTHER in told.value.message
        assert "--app shop --env prod --state sqlite:///state.db" in told.value.hint
        assert await keys(store) == [row("bill", OLD).key]
        await carry_out(store, printed_command(told.value))
        await adopt(store, *claims)
        assert await keys(store) == [row("bill", NEW).key]

    use(story())


def test_a2_rows_under_both_names_stop_the_start_until_the_older_are_put_aside() -> None:
    async def story() -> None:
        store = open_store()
        await store.create((row("bill", OLD), row("bill", NEW, "s2")))
        with pytest.raises(StateError, match="has state under") as told:
            await adopt(store, claim())
        await carry_out(store, printed_command(told.value))
        await adopt(store, claim())
        assert await keys(store) == [row("bill-before", OLD).key, row("bill", NEW, "s2").key]

    use(story())


def test_a2_a_trigger_on_another_endpoint_than_before_is_said_to_begin_anew() -> None:
    claims = frozenset({Claim("bill", OTHER)})
    starting = replace(STARTING, claims=claims, declared=frozenset({"bill", "sell"}))
    for known, expected in (
        ({Known("bill", NEW)}, [("bill", OTHER, NEW)]),
        ({Known("bill", NEW), Known("bill", OTHER)}, []),
        ({Known("sell", NEW)}, []),
    ):
        stream = io.StringIO()
        restore = configure_logging(LogSettings(), stream)
        refuse_orphans(frozenset(known), starting)
        restore()
        told = [json.loads(line) for line in stream.getvalue().splitlines()]
        found = [(each["trigger"], each["source"], each["former_source"]) for each in told]
        assert found == expected


def test_a2_a_trigger_that_was_renamed_with_the_update_is_still_found() -> None:
    async def story() -> None:
        store = open_store()
        await store.create((row("bill", OLD),))
        claims, declared = frozenset({claim("charge")}), frozenset({"charge"})
        starting = replace(STARTING, claims=claims, declared=declared)
        with pytest.raises(OrphanedStateError, match="'charge' on the same source is new"):
            await compare_names(store, starting)

    use(story())
