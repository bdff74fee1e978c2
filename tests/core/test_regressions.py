"""What no other unit test told when it was broken on purpose (tests/proof/mutants): one test for each such bug."""

from __future__ import annotations

from core.builders import (
    HOUR_SECONDS,
    ME,
    PREFIX,
    SERVICE_SECONDS,
    TRIM_SECONDS,
    asked,
    at,
    finished,
    latest,
    lease,
    listing,
    names,
    ready_leases,
    sessions,
    shards,
)

from triggerkit.core.coordinator import Cadence, LeaseCoordinator
from triggerkit.core.decisions import Decision, Survey
from triggerkit.core.leases import missing_leases
from triggerkit.core.lineage import ShardGraph
from triggerkit.core.model import TRIM_HORIZON, Lease, Listing, ShardId
from triggerkit.core.reports import Surveyed

YOUNG = SERVICE_SECONDS - HOUR_SECONDS
HELD = {ShardId("b")}


def derived(coordinator: LeaseCoordinator, seconds: float) -> list[Decision]:
    return coordinator.derive(at(seconds), HELD.__contains__, len(HELD))


def surveyed(
    coordinator: LeaseCoordinator, *rows: Lease, seen: Listing | None = None, seconds: float
) -> list[Decision]:
    coordinator.absorb(Surveyed(asked(Survey), rows, seen), at(seconds))
    return derived(coordinator, seconds)


def coordinator_of(*rows: Lease, seen: Listing) -> LeaseCoordinator:
    """One that has made its first survey, at time 0."""
    coordinator = LeaseCoordinator(PREFIX, TRIM_HORIZON, Cadence())
    coordinator.absorb_sessions(sessions("other"), at(0.0))
    assert derived(coordinator, 0.0) == [Survey(list_shards=True)]
    assert surveyed(coordinator, *rows, seen=seen, seconds=0.0) == []
    return coordinator


def test_rule_4_the_children_of_a_shard_that_another_worker_ended_are_searched_for_soon() -> None:
    coordinator = coordinator_of(lease("a", owner="other"), seen=listing({"a": ""}))
    assert derived(coordinator, 1.5) == [Survey(list_shards=False)]
    assert surveyed(coordinator, finished("a"), seconds=1.5) == []
    assert derived(coordinator, 2.5) == [Survey(list_shards=True)], "that worker may be gone since"


def test_a_minute_after_a_shards_end_its_children_are_looked_for_once_more() -> None:
    coordinator = coordinator_of(lease("a", owner=ME), seen=listing({"a": ""}))
    rows = finished("a", children=tuple(HELD)), lease("b", parents="a", owner=ME, counter=1)
    coordinator.absorb_end(rows[0], rows[1:], at(10.0))
    assert derived(coordinator, 10.0) == [Survey(list_shards=False)]
    surveyed(coordinator, *rows, seconds=10.0)
    assert derived(coordinator, 69.0) == [Survey(list_shards=False)]
    surveyed(coordinator, *rows, seconds=69.0)
    told = "the second child of a split may be listed late"
    assert derived(coordinator, 70.5) == [Survey(list_shards=True)], told


def test_rule_3_nothing_begins_at_latest_while_a_leaf_of_the_listing_misses_its_parent() -> None:
    young = {"a": YOUNG, "c": YOUNG}
    part = listing({"a": "", "c": "b"}, created=young)
    assert missing_leases(part, (), PREFIX, latest()) == ()
    whole = listing({"a": "", "b": "a", "c": "b"}, created=young | {"b": YOUNG})
    assert names(missing_leases(whole, (), PREFIX, latest())) == ["c"]


def test_rule_6_a_young_lease_waits_for_a_parent_that_the_listing_does_not_know() -> None:
    row = lease("b", parents="a", created_seconds=YOUNG)
    seen = ShardGraph(shards({"b": "a"}))
    assert ready_leases((row,), seen, TRIM_SECONDS) == ()
    assert ready_leases((row,), seen, YOUNG) == (row,), "it was trimmed"


def test_rule_6_without_times_a_listing_older_than_the_lease_tells_nothing_of_its_parents() -> None:
    row = lease("b", parents="a")
    assert ready_leases((row,), ShardGraph(shards({"x": ""})), TRIM_SECONDS) == ()
    assert ready_leases((row,), ShardGraph(shards({"b": "a"})), TRIM_SECONDS) == (row,)
    assert ready_leases((row,), ShardGraph(shards({"c": "b"})), TRIM_SECONDS) == (row,)
