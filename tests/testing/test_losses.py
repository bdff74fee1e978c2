"""What is lost, and what a start at LATEST must not lose: whole workers over the emulator."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from triggerkit import Triggers
from triggerkit.errors import SimulationError
from triggerkit.runtime.logs import LogSettings, configure_logging
from triggerkit.testing import Simulation

DAYS_SECONDS = 26 * 3600.0


class Shop:
    """A trigger on `orders` that notes the keys that it gets, and the simulation that runs it."""

    def __init__(self, **options: Any) -> None:
        self.keys: list[str] = []
        handlers = Triggers("shop", maximum_retry_attempts=5)

        @handlers.on("dynamodb://orders", **options)
        def note(event: Any, context: Any) -> None:
            self.keys += [each["dynamodb"]["Keys"]["id"]["S"] for each in event["Records"]]

        self.sim = Simulation(handlers)

    def put(self, *keys: str) -> None:
        for key in keys:
            self.sim.table("orders").put(id=key)


@contextmanager
def shop(**options: Any) -> Iterator[Shop]:
    made = Shop(**options)
    with made.sim:
        yield made


@contextmanager
def log() -> Iterator[list[dict[str, Any]]]:
    entries: list[dict[str, Any]] = []
    stream = io.StringIO()
    restore = configure_logging(LogSettings("json", "info"), stream)
    try:
        yield entries
    finally:
        restore()
        entries += [json.loads(line) for line in stream.getvalue().splitlines()]


# --- A1: LATEST is one moment -----------------------------------------------------------------------


def test_a1_a_start_at_latest_keeps_its_moment_while_listings_show_no_shard() -> None:
    with shop(starting_position="LATEST") as made:
        made.sim.emulator.faults.describe_lag(20)
        made.sim.table("orders")
        made.sim.advance(10)
        made.put("1", "2")
        made.sim.advance(120)
        made.put("3")
        made.sim.run_until_idle()
        assert made.keys == ["1", "2", "3"]
        assert made.sim.lost == ()


def test_a1_a_restart_before_the_first_listing_that_shows_a_shard_loses_nothing() -> None:
    with shop(starting_position="LATEST") as made:
        made.sim.emulator.faults.describe_lag(60)
        made.sim.table("orders")
        made.sim.advance(10)
        made.put("1")
        made.sim.crash(restart_after_seconds=5.0)
        made.sim.advance(20)
        made.put("2")
        made.sim.emulator.faults.describe_lag(0)
        made.sim.run_until_idle()
        assert made.keys == ["1", "2"]


def test_a1_a_shard_that_rolled_before_it_was_listed_is_read_whole() -> None:
    with shop(starting_position="LATEST") as made:
        made.sim.emulator.faults.describe_lag(20)
        made.sim.table("orders")
        made.sim.advance(8)
        for key in ("1", "2", "3"):
            made.put(key)
            made.sim.roll("orders")
        made.put("4")
        made.sim.advance(60)
        made.sim.run_until_idle()
        assert made.keys == ["1", "2", "3", "4"]


def test_a1_what_was_written_before_the_start_does_not_come() -> None:
    with shop(starting_position="LATEST") as made:
        made.put("before")
        made.sim.advance(0.0)
        made.put("after")
        made.sim.run_until_idle()
        assert made.keys == ["after"]


def test_a1_the_simulator_sees_what_a_start_at_latest_loses() -> None:
    """A record that is written once the trigger runs counts, whatever the worker makes of it."""
    with shop(starting_position="LATEST") as made:
        made.sim.table("orders")
        made.sim.advance(1.0)
        made.sim.crash(restart_after_seconds=None)
        made.put("1")
        assert [each.key for each in made.sim.lost] == ["1"]


# --- A5: a loss is told, with both ends -------------------------------------------------------------


def test_a5_a_worker_that_was_away_longer_than_retention_says_what_is_lost() -> None:
    with log() as entries, shop() as made:
        made.put("1")
        made.sim.run_until_idle()
        made.sim.crash(restart_after_seconds=None)
        made.put("2")
        made.sim.roll("orders")
        made.put("3")
        made.sim.advance(DAYS_SECONDS)
        made.put("4")
        made.sim.restart()
        before_seconds = made.sim.now_seconds
        made.sim.run_until_idle()
        assert made.sim.now_seconds - before_seconds < 15.0, (
            "the listing shows at once that it is gone"
        )
        assert made.keys == ["1", "4"]
        assert [each.key for each in made.sim.lost] == ["2", "3"]
        with pytest.raises(SimulationError, match="2 records are lost"):
            made.sim.check()
    gone, trimmed = [entry for entry in entries if entry["event"] == "records_lost"]
    assert gone["level"] == "error"
    assert gone["last_sequence_number"].isdigit()
    assert gone["first_sequence_number"] == "SHARD_END"
    # the child is still there, without its first record
    assert trimmed["last_sequence_number"] == "TRIM_HORIZON"
    assert trimmed["first_sequence_number"].isdigit()


def test_a5_records_that_were_trimmed_from_the_middle_of_a_shard_have_both_ends() -> None:
    with log() as entries, shop() as made:
        made.put("1")
        made.sim.run_until_idle()
        made.sim.crash(restart_after_seconds=None)
        made.put("2", "3")
        made.sim.advance(DAYS_SECONDS - 3600.0)
        made.put("4")
        made.sim.advance(3600.0)
        made.sim.restart()
        made.sim.run_until_idle()
        assert made.keys == ["1", "4"]
        assert [each.key for each in made.sim.lost] == ["2", "3"]
    (lost,) = [entry for entry in entries if entry["event"] == "records_lost"]
    assert lost["last_sequence_number"].isdigit()
    assert lost["first_sequence_number"].isdigit()
