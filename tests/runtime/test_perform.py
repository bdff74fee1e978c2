"""What the performer of a membership tells about beats."""

from __future__ import annotations

import asyncio
import io
import json

from runtime.fakes import LoopClock, inline

from triggerkit.core.decisions import Beat
from triggerkit.core.locators import parse
from triggerkit.core.reports import Beaten, SessionLost
from triggerkit.lease_stores import memory
from triggerkit.ports import Services
from triggerkit.runtime.logs import LogSettings, configure_logging
from triggerkit.runtime.perform import MembershipPerformer


def test_a_worker_that_was_buried_says_so_once_and_gets_a_fresh_session() -> None:
    async def scenario() -> tuple[str, str]:
        clock = LoopClock()
        store = memory.open(parse("memory:"), Services(run=inline, clock=clock))
        performer = MembershipPerformer(store, clock)
        beaten = await performer.perform(Beat(store.fresh_session()))
        assert isinstance(beaten, Beaten)
        assert await store.bury(beaten.session)
        lost = await performer.perform(Beat(beaten.session))
        assert isinstance(lost, SessionLost)
        assert isinstance(await performer.perform(Beat(lost.fresh)), Beaten)
        return beaten.session.id, lost.fresh.id

    stream = io.StringIO()
    restore = configure_logging(LogSettings(format="json"), stream)
    try:
        former, fresh = asyncio.run(scenario())
    finally:
        restore()
    (entry,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (entry["event"], entry["session"], entry["fresh_session"]) == (
        "session_lost",
        former,
        fresh,
    )
    assert former != fresh
