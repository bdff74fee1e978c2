"""What a worker should hold of one mapping: surveys, rows, takes, clean-up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from core.builders import (
    HOUR_SECONDS,
    ME,
    PREFIX,
    SERVICE_SECONDS,
    NoLuckError,
    after,
    asked,
    at,
    finished,
    kinds,
    latest,
    lease,
    listing,
    names,
    of_kind,
    only,
    refused,
    sessions,
    starts,
    surveyed,
    taken,
)

from triggerkit.core.coordinator import Cadence, LeaseCoordinator
from triggerkit.core.decisions import (
    Create,
    Decision,
    Forget,
    Pin,
    Survey,
    Take,
)
from triggerkit.core.leases import preferred
from triggerkit.core.model import LATEST, TRIM_HORIZON, Lease, Listing, Position, ShardId
from triggerkit.core.reports import (
    CoordinatorReport,
    Created,
    Forgotten,
    NotNow,
    NotTaken,
    Pinned,
    Sessions,
)

NEVER = float("inf")
OLD = SERVICE_SECONDS - 26 * HOUR_SECONDS


@dataclass
class Desk:
    """A coordinator, and what is held and blocked beside it."""

    start: Position = TRIM_HORIZON
    held: set[ShardId] = field(default_factory=set)
    coordinator: LeaseCoordinator = field(init=False)

    def __post_init__(self) -> None:
        self.coordinator = LeaseCoordinator(PREFIX, self.start, Cadence())

    def derive(self, seconds: float) -> list[Decision]:
        return self.coordinator.derive(at(seconds), self.held.__contains__, len(self.held))

    def hear(self, report: CoordinatorReport | NotNow | Sessions, seconds: float) -> list[Decision]:
        if isinstance(report, Sessions):
            self.coordinator.absorb_sessions(report, at(seconds))
        elif isinstance(report, NotNow):
            made: Any = report.decision
            self.coordinator.absorb_not_now(made, report.wait_seconds or 0.0, at(seconds))
        else:
            self.coordinator.absorb(report, at(seconds))
        return self.derive(seconds)

    def surveyed(
        self, *rows: Lease, seen: Listing | None = None, seconds: float = 0.0
    ) -> list[Decision]:
        """Answer the survey that is under way."""
        return self.hear(surveyed(rows, seen), seconds)


def opened(*others: str, start: Position = TRIM_HORIZON) -> Desk:
    """A desk whose first survey is under way at time 0."""
    desk = Desk(start)
    if start == LATEST:
        assert desk.hear(sessions(*others), 0.0) == [Pin(SERVICE_SECONDS)]
        assert desk.hear(Pinned(asked(Pin), SERVICE_SECONDS), 0.0) == [Survey(list_shards=True)]
    else:
        assert desk.hear(sessions(*others), 0.0) == [Survey(list_shards=True)]
    return desk


def taken_shards(decisions: Iterable[Decision]) -> list[str]:
    return [str(take.lease.shard) for take in of_kind(Take, decisions)]


def falls_to(name: str, *fleet: str) -> str:
    """A shard that rendezvous hashing gives to `name`."""
    ids = sessions(*fleet).live
    return next(s for s in (f"s{i}" for i in range(99)) if preferred(ShardId(s), ids) == name)


# --- surveys ----------------------------------------------------------------------------------------


def test_nothing_is_done_and_nobody_is_woken_before_the_own_session_is_known() -> None:
    desk = Desk()
    assert desk.derive(0.0) == []
    assert desk.coordinator.wake_at_seconds == NEVER


def test_the_first_survey_lists_the_shards_and_later_ones_only_the_rows() -> None:
    desk = opened()
    desk.surveyed(lease("a", owner="b"), seen=listing({"a": ""}))
    assert desk.coordinator.wake_at_seconds == 1.5
    assert desk.derive(1.4) == []
    assert desk.derive(1.5) == [Survey(list_shards=False)]


def test_one_survey_at_a_time() -> None:
    desk = opened()
    assert desk.derive(100.0) == []
    assert desk.hear(sessions("new"), 100.0) == []


def test_a_survey_that_failed_comes_back_at_its_time() -> None:
    desk = opened()
    assert desk.hear(refused(Survey, wait=7.0), 1.0) == []
    assert desk.coordinator.wake_at_seconds == 8.0
    assert desk.derive(7.9) == []
    assert desk.derive(8.0) == [Survey(list_shards=True)]


def test_a_survey_asked_for_while_one_runs_is_made_behind_it() -> None:
    desk = opened()
    desk.coordinator.look_again(at(0.5))
    decisions = desk.surveyed(seen=listing({}), seconds=0.6)
    assert kinds(decisions) == ["Survey"], "what is under way may have read too early"


def test_a_change_among_the_workers_is_followed_by_a_survey_at_once() -> None:
    desk = opened("b")
    desk.surveyed(seen=listing({}))
    assert desk.hear(sessions("b"), 0.2) == [], "no change"
    assert desk.hear(sessions("b", "c"), 0.4) == [Survey(list_shards=False)]
    desk.surveyed(seconds=0.5)
    assert desk.hear(sessions("b", dead=["c"]), 0.6) == [Survey(list_shards=False)]


def test_a_complete_listing_is_repeated_only_after_the_audit_interval() -> None:
    desk = opened()
    desk.surveyed(lease("a", owner="b"), seen=listing({"a": ""}))
    assert desk.derive(899.0) == [Survey(list_shards=False)]
    desk.surveyed(lease("a", owner="b"), seconds=899.0)
    assert desk.derive(900.5) == [Survey(list_shards=True)]


def test_s11_a_listing_that_is_not_complete_decides_nothing_and_is_repeated_soon() -> None:
    desk = opened()
    assert desk.surveyed(seen=listing({"b": "a"}, complete=False)) == []
    assert not desk.coordinator.surveyed
    assert desk.derive(1.5) == [Survey(list_shards=True)]


# --- rows -------------------------------------------------------------------------------------------


def test_missing_rows_are_created_parents_first_in_one_decision() -> None:
    desk = opened()
    (create,) = desk.surveyed(seen=listing({"b": "a", "a": "", "c": "b"}))
    assert isinstance(create, Create)
    assert names(create.leases) == ["a", "b", "c"]
    assert not desk.coordinator.surveyed
    assert desk.derive(0.1) == [], "once"


def test_created_rows_are_surveyed_at_once() -> None:
    desk = opened()
    desk.surveyed(seen=listing({"a": ""}))
    assert desk.hear(Created(asked(Create)), 0.1) == [Survey(list_shards=False)]
    assert desk.coordinator.surveyed
    assert desk.surveyed(lease("a"), seconds=0.2) == [Take(lease("a"), ME)]


def test_rows_that_could_not_be_created_are_created_after_another_look() -> None:
    desk = opened()
    desk.surveyed(seen=listing({"a": "", "b": ""}))
    assert desk.hear(refused(Create, wait=5.0), 0.5) == []
    assert not desk.coordinator.surveyed, "not every row exists"
    assert "Create" not in kinds(desk.derive(5.4))
    desk.surveyed(seconds=5.4)
    assert desk.derive(5.5) == [Survey(list_shards=True)]
    decisions = desk.surveyed(lease("a", owner="b"), seen=listing({"a": "", "b": ""}), seconds=5.6)
    assert names(only(Create, decisions).leases) == ["b"]


def test_s3_rows_at_latest_carry_the_pin_and_not_the_time_of_the_listing() -> None:
    desk = opened(start=LATEST)
    seen = listing({"a": "", "b": "a"}, service_seconds=SERVICE_SECONDS + 1234.0)
    (row,) = only(Create, desk.surveyed(seen=seen)).leases
    assert (row.shard, row.checkpoint) == ("b", latest())


def test_a1_nothing_is_surveyed_before_the_pin_is_stored() -> None:
    desk = Desk(LATEST)
    assert desk.hear(sessions(), 3.0) == [Pin(SERVICE_SECONDS + 3.0)]
    assert desk.derive(60.0) == [], "one at a time"
    assert desk.hear(NotNow(Pin(0.0), 5.0, NoLuckError()), 60.0) == []
    assert desk.derive(65.0) == [Pin(SERVICE_SECONDS + 3.0)], "what was proposed stays the start"
    assert desk.hear(Pinned(asked(Pin), SERVICE_SECONDS - 100.0), 66.0) == [
        Survey(list_shards=True)
    ]
    seen = listing({"a": ""}, created={"a": SERVICE_SECONDS - 200.0})
    (row,) = only(Create, desk.surveyed(seen=seen, seconds=66.0)).leases
    assert row.checkpoint == latest(SERVICE_SECONDS - 100.0), "an earlier start wins"


def test_a1_a_shard_that_was_created_after_the_pin_is_read_whole_whenever_it_is_listed() -> None:
    desk = opened(start=LATEST)
    desk.surveyed(seen=listing({}, service_seconds=SERVICE_SECONDS + 1.0))
    seen = listing(
        {"old": "", "a": "old", "b": "a"},
        created={"old": SERVICE_SECONDS - 9.0, "a": SERVICE_SECONDS + 2, "b": SERVICE_SECONDS + 5},
        service_seconds=SERVICE_SECONDS + 20.0,
    )
    rows = only(Create, desk.surveyed(seen=seen, seconds=1.5)).leases
    assert starts(rows) == {"old": "LATEST", "a": "TRIM_HORIZON", "b": "TRIM_HORIZON"}


def test_a_listing_that_comes_while_rows_are_created_changes_nothing() -> None:
    desk = opened()
    desk.surveyed(seen=listing({"a": ""}))
    desk.coordinator.search_now(at(0.0))
    assert desk.derive(1.5) == [Survey(list_shards=True)]
    assert desk.surveyed(seen=listing({"a": "", "b": ""}), seconds=1.6) == []


# --- the search for what is missing -------------------------------------------------------------------


def listings_within(desk: Desk, until: float, seen: Listing, *rows: Lease) -> list[float]:
    """The times of the surveys that list shards, each answered at once with the same."""
    times, seconds = [], 0.0
    while seconds <= until:
        for survey in of_kind(Survey, desk.derive(seconds)):
            if survey.list_shards:
                times.append(seconds)
            desk.surveyed(*rows, seen=seen if survey.list_shards else None, seconds=seconds)
        seconds += 0.5
    return times


def test_rule_4_a_finished_shard_without_children_is_listed_again_ever_more_rarely() -> None:
    desk = opened()
    seen = listing({"a": ""})
    desk.surveyed(finished("a"), seen=seen)
    times = listings_within(desk, 100.0, seen, finished("a"))
    waits = [round(later - sooner) for sooner, later in pairwise(times)]
    assert times[0] <= 1.5
    assert waits[:4] == pytest.approx([2, 4, 8, 16], abs=1)
    assert all(26 <= wait <= 31 for wait in waits[4:]), "one of them is the look behind the end"


def test_rule_4_the_search_ends_when_the_children_appear() -> None:
    desk = opened()
    desk.surveyed(finished("a"), seen=listing({"a": ""}))
    desk.derive(1.5)
    decisions = desk.surveyed(finished("a"), seen=listing({"a": "", "b": "a"}), seconds=1.5)
    assert names(only(Create, decisions).leases) == ["b"]
    rows = (finished("a"), lease("b", owner="x", parents="a"))
    desk.hear(Created(asked(Create)), 1.6)
    desk.surveyed(*rows, seconds=1.6)
    found = listings_within(desk, 200.0, listing({"a": "", "b": "a"}), *rows)
    assert found == pytest.approx([60.0], abs=1.5), "once more, for a sibling that is listed late"


@pytest.mark.parametrize(("name", "listed"), [(ME, [160.0]), ("b", [])])
def test_an_end_that_another_worker_wrote_is_looked_behind_by_one_of_those_who_live(
    name: str, listed: list[float]
) -> None:
    shard = falls_to(name, "b")
    seen = listing({shard: "", "child": shard})
    rows = (finished(shard, children=("child",)), lease("child", owner="b", parents=shard))
    desk = opened("b")
    desk.surveyed(lease(shard, owner="b"), seen=listing({shard: ""}))
    desk.derive(100.0)
    desk.surveyed(*rows, seconds=100.0)
    assert listings_within(desk, 300.0, seen, *rows) == pytest.approx(listed, abs=1.5)


def test_rule_4_a_finished_shard_that_is_long_unlisted_is_searched_for_no_more() -> None:
    for created, searched in ((OLD, False), (SERVICE_SECONDS - HOUR_SECONDS, True), (None, False)):
        desk = opened()
        row = finished("a", created_seconds=created)
        desk.surveyed(row, seen=listing({"x": ""}))
        desk.hear(Created(asked(Create)), 0.0)
        desk.surveyed(row, lease("x", owner="b"))
        found = listings_within(desk, 10.0, listing({"x": ""}), row, lease("x", owner="b"))
        assert bool(found) is searched


def test_a_live_stream_that_lists_no_shards_yet_is_listed_again_soon() -> None:
    desk = opened(start=LATEST)
    desk.surveyed(seen=listing({}))
    assert desk.derive(1.5) == [Survey(list_shards=True)]
    decisions = desk.surveyed(seen=listing({"a": ""}), seconds=1.5)
    assert names(only(Create, decisions).leases) == ["a"]


def test_rule_3_a_listing_that_is_not_whole_is_repeated_soon() -> None:
    desk = opened()
    young = SERVICE_SECONDS - HOUR_SECONDS
    seen = listing({"b": "a", "x": ""}, created={"b": young})
    desk.surveyed(lease("x", after(1), owner="y"), seen=seen)
    assert desk.derive(1.5) == [Survey(list_shards=True)]
    whole = listing({"a": "", "b": "a", "x": ""}, created={"b": young})
    decisions = desk.surveyed(lease("x", after(1), owner="y"), seen=whole, seconds=1.5)
    assert names(only(Create, decisions).leases) == ["a", "b"]


def test_a_shard_that_ended_without_children_is_searched_for_soon() -> None:
    desk = opened()
    desk.surveyed(lease("a", owner="b"), seen=listing({"a": ""}))
    desk.coordinator.absorb_end(finished("a"), (), at(100.0))
    desk.coordinator.search_now(at(100.0))
    assert desk.derive(100.0) == [Survey(list_shards=False)]
    desk.surveyed(finished("a"), seconds=100.0)
    assert desk.derive(101.5) == [Survey(list_shards=True)]


# --- takes ------------------------------------------------------------------------------------------


def test_a_lone_worker_takes_every_ready_row_at_once() -> None:
    desk = opened()
    rows = (lease("a"), lease("b"), lease("c", parents="a"))
    decisions = desk.surveyed(*rows, seen=listing({"a": "", "b": "", "c": "a"}))
    assert decisions == [Take(lease("a"), ME), Take(lease("b"), ME)]
    assert desk.derive(0.1) == [], "once"


@pytest.mark.parametrize(
    ("rule", "owner", "is_free"),
    [
        ("nobody's", None, True),
        ("its owner lives", "b", False),
        ("its owner drains", "leaving", False),
        ("6.5 rule 2, its owner is expired", "dead", True),
        ("6.5 rule 5, its owner is absent, sessions read before the row", "absent", False),
    ],
)
def test_a_row_is_free_when_its_owner_cannot_live(
    rule: str, owner: str | None, is_free: bool
) -> None:
    desk = Desk()
    desk.hear(sessions("b", draining=["leaving"], dead=["dead"]), 0.0)
    row = lease("a", owner=owner)
    decisions = desk.surveyed(row, seen=listing({"a": ""}), seconds=1.0)
    later = desk.derive(6.0)
    assert bool(taken_shards([*decisions, *later])) is is_free, rule


def test_6_5_rule_5_an_absent_owner_counts_once_the_sessions_are_younger_than_the_row() -> None:
    desk = opened()
    assert desk.surveyed(lease("a", owner="absent"), seen=listing({"a": ""}), seconds=1.0) == []
    assert taken_shards(desk.hear(sessions(read_at_seconds=1.0), 1.1)) == []
    assert taken_shards(desk.hear(sessions(read_at_seconds=1.2), 1.3)) == ["a"]


def test_past_the_deadline_nothing_is_taken() -> None:
    desk = Desk()
    desk.hear(sessions(deadline_seconds=5.0), 0.0)
    assert desk.surveyed(lease("a"), seen=listing({"a": ""}), seconds=5.0) == []
    assert taken_shards(desk.hear(sessions(deadline_seconds=9.0), 5.1)) == ["a"]


def test_a_shard_that_is_held_or_still_has_a_call_running_is_not_taken() -> None:
    desk = opened()
    desk.held = {ShardId("a")}
    assert taken_shards(
        desk.surveyed(lease("a"), lease("b"), seen=listing({"a": "", "b": ""}))
    ) == ["b"]


def test_6_7_a_row_that_falls_to_another_is_left_alone_for_one_interval() -> None:
    mine, theirs = falls_to(ME, "b"), falls_to("b", "b")
    desk = opened("b")
    rows = (lease(theirs), lease(mine))
    decisions = desk.surveyed(*rows, seen=listing({mine: "", theirs: ""}))
    assert taken_shards(decisions) == [mine]
    assert desk.coordinator.wake_at_seconds == 1.5
    assert taken_shards(desk.derive(1.4)) == []
    desk.held = {ShardId(mine)}
    desk.hear(taken(lease(mine, owner=ME, counter=1)), 1.4)
    assert taken_shards(desk.derive(1.5)) == [], "over its quota now: others go first"
    assert taken_shards(desk.derive(4.5)) == [theirs], "but nothing stays unread"


def test_6_7_a_worker_under_its_quota_takes_what_the_preferred_one_left() -> None:
    theirs = falls_to("b", "b")
    desk = opened("b")
    assert taken_shards(desk.surveyed(lease(theirs), seen=listing({theirs: ""}))) == []
    assert taken_shards(desk.derive(1.4)) == []
    assert taken_shards(desk.derive(1.5)) == [theirs]


def test_6_7_a_worker_takes_its_even_share_before_it_leaves_the_rest_for_a_while() -> None:
    desk = opened("b", "c")
    ids = [f"s{i}" for i in range(6)]
    decisions = desk.surveyed(*map(lease, ids), seen=listing(dict.fromkeys(ids, "")))
    later = desk.derive(1.5)
    assert len(taken_shards([*decisions, *later])) == 2


def test_a_row_that_already_names_this_session_waits_for_its_answer() -> None:
    desk = opened()
    row = lease("a", owner=ME, counter=3)
    assert taken_shards(desk.surveyed(row, seen=listing({"a": ""}))) == []
    desk.derive(1.5)
    assert taken_shards(desk.surveyed(row, seconds=1.5)) == []
    assert taken_shards(desk.derive(4.5)) == ["a"]


def test_a_row_that_changes_is_a_new_offer() -> None:
    desk = opened()
    desk.surveyed(lease("a", owner=ME, counter=3), seen=listing({"a": ""}))
    desk.derive(1.5)
    desk.surveyed(lease("a", owner=ME, counter=4), seconds=1.5)
    assert taken_shards(desk.derive(4.5)) == []
    desk.surveyed(lease("a", owner=ME, counter=4), seconds=4.5)
    assert taken_shards(desk.derive(6.0)) == ["a"]


def test_who_was_too_late_looks_before_it_tries_again() -> None:
    desk = opened()
    desk.surveyed(lease("a"), seen=listing({"a": ""}))
    assert desk.hear(NotTaken(asked(Take)), 0.1) == []
    assert names(desk.coordinator.rows) == ["a"], "the row is there, whoever has it"
    assert desk.hear(sessions(), 0.5) == []
    assert desk.derive(1.5) == [Survey(list_shards=False)]
    assert taken_shards(desk.surveyed(lease("a", counter=2), seconds=1.6)) == ["a"]


def test_a_take_that_failed_is_tried_again_after_the_wait() -> None:
    desk = opened()
    desk.surveyed(lease("a"), seen=listing({"a": ""}))
    assert desk.hear(refused(Take, ShardId("a"), wait=0.7), 0.1) == []
    assert desk.coordinator.wake_at_seconds == pytest.approx(0.8)
    assert desk.derive(0.8) == [Survey(list_shards=False)]
    assert taken_shards(desk.surveyed(lease("a"), seconds=0.9)) == ["a"]


def test_what_was_taken_is_known_before_the_next_survey() -> None:
    desk = opened()
    desk.surveyed(lease("a"), seen=listing({"a": ""}))
    mine = lease("a", owner=ME, counter=1)
    desk.hear(taken(mine), 0.1)
    assert list(desk.coordinator.rows) == [mine]


def test_the_end_of_a_shard_makes_its_children_ready_at_once() -> None:
    desk = opened()
    rows = (lease("p", owner=ME), finished("q"), lease("m", parents="p q"))
    shape = listing({"p": "", "q": "", "m": "p q"})
    desk.held = {ShardId("p")}
    assert taken_shards(desk.surveyed(*rows, seen=shape)) == []
    desk.held = set()
    taken = lease("x", owner=ME, parents="p", counter=1)
    desk.coordinator.absorb_end(finished("p"), (taken,), at(0.1))
    decisions = desk.derive(0.1)
    assert taken_shards(decisions) == ["m"]
    assert "Survey" not in kinds(decisions), "it shows nothing that is not known"
    assert taken in desk.coordinator.rows


# --- clean-up -----------------------------------------------------------------------------------------


def old_chain() -> tuple[Lease, Lease]:
    return finished("a", created_seconds=OLD), lease("b", after(1), parents="a", owner="x")


def test_rule_7_old_rows_are_forgotten_once() -> None:
    desk = opened()
    rows, seen = old_chain(), listing({"b": "a"}, created={"b": OLD})
    desk.surveyed(*rows, seen=seen)
    forgets = desk.coordinator.forgets(desk.held.__contains__, seen)
    assert forgets == [Forget(rows[0])]
    assert desk.coordinator.forgets(desk.held.__contains__, seen) == []
    desk.hear(Forgotten(asked(Forget)), 0.1)
    assert names(desk.coordinator.rows) == ["b"]


def test_a_row_that_could_not_be_forgotten_is_looked_at_again() -> None:
    desk = opened()
    rows, seen = old_chain(), listing({"b": "a"}, created={"b": OLD})
    desk.surveyed(*rows, seen=seen)
    desk.coordinator.forgets(desk.held.__contains__, seen)
    desk.hear(refused(Forget, ShardId("a"), wait=3.0), 0.1)
    assert names(desk.coordinator.rows) == ["a", "b"]
    assert desk.coordinator.forgets(desk.held.__contains__, seen) == [Forget(rows[0])]


def test_a_row_whose_shard_is_blocked_is_not_forgotten() -> None:
    desk = opened()
    rows, seen = old_chain(), listing({"b": "a"}, created={"b": OLD})
    desk.surveyed(*rows, seen=seen)
    desk.held = {ShardId("a")}
    assert desk.coordinator.forgets(desk.held.__contains__, seen) == []


def test_a_mapping_is_surveyed_once_all_shards_are_listed_and_have_rows() -> None:
    desk = opened()
    assert not desk.coordinator.surveyed
    desk.surveyed(replace(lease("a"), owner=None), seen=listing({"a": ""}))
    assert desk.coordinator.surveyed
