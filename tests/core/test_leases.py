"""Lease policy on small shapes: which rows to create, to take, to forget (S-1 to S-11, leases.md 6.6)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from core.builders import (
    HOUR_SECONDS,
    PREFIX,
    SERVICE_SECONDS,
    TRIM_SECONDS,
    after,
    finished,
    latest,
    lease,
    listing,
    names,
    ready_leases,
    session,
    shards,
    starts,
)
from core.test_lineage import acyclic_shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from triggerkit.core.leases import (
    childless,
    first_to_expire,
    forgettable,
    has_started,
    held_back,
    lease_key,
    missing_leases,
    new_lease,
    preferred,
)
from triggerkit.core.lineage import ShardGraph
from triggerkit.core.model import (
    TRIM_HORIZON,
    Lease,
    Listing,
    Position,
    PositionKind,
    SessionId,
    Shard,
    ShardId,
)

TRIM, LATE = "TRIM_HORIZON", "LATEST"
YOUNG = SERVICE_SECONDS - HOUR_SECONDS
OLD = SERVICE_SECONDS - 25 * HOUR_SECONDS - 1
CHAIN = {"a": "", "b": "a", "c": "b"}
MERGE = {"p": "", "q": "", "m": "p q"}


def missing(seen: Listing, *rows: Lease, start: Position = TRIM_HORIZON) -> dict[str, str]:
    return starts(missing_leases(seen, rows, PREFIX, start))


# --- rows to create: the first survey ---------------------------------------------------------------


def test_a_new_row_is_unowned_and_knows_its_shard() -> None:
    shard = Shard(ShardId("b"), parents=(ShardId("a"),), created_seconds=YOUNG)
    row = new_lease(PREFIX, shard, TRIM_HORIZON)
    assert row == lease("b", parents="a", created_seconds=YOUNG)
    assert (row.owner, row.counter, row.key) == (None, 0, f"{PREFIX}b")
    assert lease_key(PREFIX, ShardId("b")) == row.key


@pytest.mark.parametrize(
    ("rule", "shape", "start", "created"),
    [
        ("S-3, from the horizon, ancestors first", CHAIN, TRIM_HORIZON, dict.fromkeys("abc", TRIM)),
        ("S-3, a merge", MERGE, TRIM_HORIZON, dict.fromkeys("pqm", TRIM)),
        ("S-4, a parent that is not listed", {"b": "trimmed"}, TRIM_HORIZON, {"b": TRIM}),
        ("S-3, LATEST wants leaves only", CHAIN, latest(), {"c": LATE}),
        ("S-3, LATEST, a split", {"a": "", "b": "a", "c": "a"}, latest(), {"b": LATE, "c": LATE}),
        (
            "S-3, AT_TIMESTAMP wants all",
            CHAIN,
            Position(PositionKind.AT_TIMESTAMP, at_seconds=YOUNG),
            dict.fromkeys("abc", "AT_TIMESTAMP"),
        ),
        ("an empty stream", {}, TRIM_HORIZON, {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_first_survey_applies_the_start_rule(
    rule: str, shape: dict[str, str], start: Position, created: dict[str, str]
) -> None:
    found = missing(listing(shape), start=start)
    assert found == created, rule
    assert list(found) == list(created), "parents come first"


def test_s5_a_row_at_latest_carries_the_time_at_which_it_was_made() -> None:
    (row,) = missing_leases(listing({"a": ""}), (), PREFIX, latest(SERVICE_SECONDS + 7))
    assert row.checkpoint == latest(SERVICE_SECONDS + 7)


def test_rule_3_a_young_shard_whose_parent_is_not_listed_is_not_created_even_at_first() -> None:
    seen = listing({"b": "a", "c": "b", "x": ""}, created={"b": YOUNG, "c": YOUNG})
    assert missing(seen) == {"x": TRIM}
    assert set(held_back(seen, missing_leases(seen, (), PREFIX, TRIM_HORIZON))) == {"b", "c"}


# --- rows to create: later surveys ------------------------------------------------------------------

GENERATIONS = {
    **dict.fromkeys("012345", ""),
    "6": "0 1",
    "7": "2 3",
    "8": "6 7",
    "9": "5",
    "10": "5",
}
"""The worked example of leases.md 3.2: 6 and 7 merge, then 8; 4 lives through; 5 splits."""


def test_worked_example_from_the_horizon_leaves_out_only_what_was_read() -> None:
    rows = [lease(name, after(1)) for name in "457"]
    created = missing(listing(GENERATIONS), *rows)
    assert set(created) == {"0", "1", "6", "8", "9", "10"}, "2 and 3 were read before 7 began"
    assert set(created.values()) == {TRIM}


def test_worked_example_a_child_that_has_not_started_hides_no_ancestor() -> None:
    rows = [lease(name, after(1)) for name in "45"] + [lease("7", parents="2 3")]
    assert set(missing(listing(GENERATIONS), *rows)) == {*"012368", "9", "10"}


def test_worked_example_at_latest_what_was_closed_before_the_start_is_not_wanted() -> None:
    times = dict.fromkeys([*"012345"], SERVICE_SECONDS - 3 * HOUR_SECONDS)
    times |= {"6": YOUNG, "7": YOUNG}
    times |= dict.fromkeys(["8", "9", "10"], SERVICE_SECONDS + 60)
    rows = [lease(name, latest()) for name in "457"]
    seen = listing(GENERATIONS, created=times, service_seconds=SERVICE_SECONDS + 120)
    assert missing(seen, *rows, start=latest()) == {
        "10": TRIM,
        "6": LATE,
        "8": TRIM,
        "9": TRIM,
    }
    (six,) = [
        row for row in missing_leases(seen, rows, PREFIX, latest()) if row.shard == ShardId("6")
    ]
    assert six.checkpoint == latest(), "from the time of the first survey, not of this one"


@pytest.mark.parametrize("proof", [latest(), after(3)])
def test_rule_3_a_row_proves_its_parents_over_though_the_listing_leaves_its_shard_out(
    proof: Position,
) -> None:
    rows = [lease("b", proof, parents="a")]
    assert missing(listing({"a": "", "x": ""}), *rows, start=latest()) == {"x": TRIM}
    assert held_back(listing({"a": ""}), rows) == ()


def test_rule_3_a_first_survey_at_latest_waits_for_every_link_of_a_line() -> None:
    times = {"a": YOUNG, "c": YOUNG, "d": YOUNG}
    seen = listing({"a": "", "c": "b", "d": "c"}, created=times)
    assert missing(seen, start=latest()) == {}, "a looks like a leaf, for b is left out"


def test_rule_3_a_survey_that_is_completed_at_latest_waits_for_every_link_of_a_line() -> None:
    times = {"a": YOUNG, "c": YOUNG}
    seen = listing({"a": "", "c": "b", "x": ""}, created=times)
    assert missing(seen, lease("x", latest()), start=latest()) == {}, "b may lead from a to c"


@pytest.mark.parametrize("proof", [latest(), after(3)])
def test_rule_3_nothing_is_made_of_a_listing_that_lacks_a_link_before_what_has_started(
    proof: Position,
) -> None:
    times = {"a": YOUNG, "c": YOUNG}
    seen = listing({"a": "", "c": "b"}, created=times)
    assert missing(seen, lease("c", proof, parents="b"), start=latest()) == {}, "a leads to c"


def test_rule_3_nothing_is_made_of_a_listing_that_leaves_out_what_has_started() -> None:
    started = lease("c", after(3), parents="b", created_seconds=YOUNG)
    seen = listing({"a": ""}, created={"a": YOUNG})
    assert missing(seen, started, start=latest()) == {}, "the listing is older than the row"
    assert held_back(seen, [started]) == ("a",), "so it is repeated soon"


def test_rule_2_what_came_out_of_a_row_begins_at_its_horizon_though_it_is_older_than_the_pin() -> (
    None
):
    times = {"a": YOUNG, "b": YOUNG, "c": YOUNG}
    seen = listing(CHAIN, created=times)
    told = "a survey that was older took a for a leaf; what a leads to waits for it"
    assert missing(seen, lease("a", latest()), start=latest()) == {"b": TRIM, "c": TRIM}, told


def test_s3_shards_found_later_start_at_their_horizon_whatever_the_start_rule_was() -> None:
    rows = [lease("a", after(3))]
    assert missing(listing(CHAIN), *rows, start=latest()) == {"b": TRIM, "c": TRIM}


def test_a_first_survey_at_latest_that_was_cut_short_is_completed_at_latest() -> None:
    shape = {"a": "", "b": "a", "x": "", "y": "x", "z": "x"}
    seen = listing(shape, created=dict.fromkeys("abxyz", YOUNG))
    assert missing(seen, lease("b", latest(), parents="a"), start=latest()) == {
        "y": LATE,
        "z": LATE,
    }


def test_s8_a_shard_that_was_finished_and_forgotten_is_not_read_again() -> None:
    assert missing(listing(CHAIN), lease("c", after(9), parents="b")) == {}
    assert missing(listing(CHAIN), finished("c")) == {}


def test_rule_3_a_row_that_began_at_latest_hides_its_ancestors() -> None:
    assert missing(listing(CHAIN), lease("c", latest(), parents="b"), start=latest()) == {}


def test_s11_a_shard_missing_from_a_listing_keeps_its_row() -> None:
    assert (
        missing(listing({"a": ""}), lease("a", after(1)), lease("b", after(1), parents="a")) == {}
    )


@dataclass(frozen=True)
class Inconsistent:
    """A child, how old it is, and what is known of its parents."""

    rule: str
    shape: dict[str, str]
    created: dict[str, float | None]
    held: set[str]
    rows: tuple[Lease, ...] = field(default=(lease("other", after(1)),))


@pytest.mark.parametrize(
    "case",
    [
        Inconsistent("trimmed: older than a day", {"b": "a"}, {"b": OLD}, set()),
        Inconsistent("young: the listing is not whole", {"b": "a"}, {"b": YOUNG}, {"b"}),
        Inconsistent(
            "exactly a day old", {"b": "a"}, {"b": SERVICE_SECONDS - 24 * HOUR_SECONDS}, set()
        ),
        Inconsistent("no age is told (Kinesis)", {"b": "a"}, {"b": None}, set()),
        Inconsistent("its parent has a row", {"b": "a"}, {"b": YOUNG}, set(), (finished("a"),)),
        Inconsistent("its parent is listed", {"a": "", "b": "a"}, {"b": YOUNG}, set()),
        Inconsistent(
            "one of two parents has a row", {"m": "p q"}, {"m": YOUNG}, {"m"}, (finished("p"),)
        ),
        Inconsistent(
            "a grandchild waits with its parent",
            {"b": "a", "c": "b"},
            {"b": YOUNG, "c": YOUNG},
            {"b", "c"},
        ),
    ],
    ids=lambda case: case.rule,
)
def test_rule_3_the_trim_test_holds_back_what_an_unwhole_listing_shows(case: Inconsistent) -> None:
    seen = listing(case.shape, created=case.created)
    created = missing_leases(seen, case.rows, PREFIX, TRIM_HORIZON)
    rows = (*case.rows, *created)
    assert set(case.shape) - set(names(rows)) == case.held
    assert set(held_back(seen, rows)) == case.held


# --- rows to take -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Readiness:
    """Rows, the last complete listing (None: there was none), and what may be taken."""

    rule: str
    rows: tuple[Lease, ...]
    shape: dict[str, str] | None
    ready: list[str]


READY = (
    Readiness("S-1, a root", (lease("a"),), CHAIN, ["a"]),
    Readiness(
        "S-1, a child waits for its parent", (lease("a"), lease("b", parents="a")), CHAIN, ["a"]
    ),
    Readiness(
        "S-1, a parent that is half read is not finished",
        (lease("a", after(1)), lease("b", parents="a")),
        CHAIN,
        ["a"],
    ),
    Readiness(
        "S-1, a child of a finished parent", (finished("a"), lease("b", parents="a")), CHAIN, ["b"]
    ),
    Readiness(
        "S-17, a merge waits for both",
        (finished("p"), lease("q"), lease("m", parents="p q")),
        MERGE,
        ["q"],
    ),
    Readiness(
        "S-17, a merge of two finished",
        (finished("p"), finished("q"), lease("m", parents="p q")),
        MERGE,
        ["m"],
    ),
    Readiness("S-4, an unlisted parent", (lease("b", parents="a"),), {"b": "a"}, ["b"]),
    Readiness("rule 6, a listed parent without a row", (lease("b", parents="a"),), CHAIN, []),
    Readiness("rule 6, no listing yet", (lease("b", parents="a"),), None, []),
    Readiness("no listing yet, a root", (lease("a"),), None, ["a"]),
    Readiness(
        "rule 3, another descendant has started",
        (lease("b", parents="a"), lease("c", after(1), parents="a")),
        {"a": "", "b": "a", "c": "a"},
        ["b", "c"],
    ),
    Readiness(
        "a row that has started goes on, whatever its parents",
        (lease("a", after(1)), lease("b", after(5), parents="a")),
        CHAIN,
        ["a", "b"],
    ),
    Readiness(
        "a row at LATEST does not wait for what was never wanted",
        (lease("b", latest(), parents="a"),),
        CHAIN,
        ["b"],
    ),
    Readiness("a row at LATEST, no listing yet", (lease("b", latest(), parents="a"),), None, ["b"]),
    Readiness(
        "a row at LATEST waits for a parent that has a row",
        (lease("a", latest()), lease("b", latest(), parents="a")),
        CHAIN,
        ["a"],
    ),
    Readiness("S-8, a finished row is never ready", (finished("a"),), CHAIN, []),
    Readiness(
        "S-2, a closed shard is read like any other", (lease("a"),), {"a": "", "b": "a"}, ["a"]
    ),
)


@pytest.mark.parametrize("case", READY, ids=lambda case: case.rule)
def test_a_shard_is_ready_when_no_parent_of_it_is_unfinished(case: Readiness) -> None:
    listed = None if case.shape is None else ShardGraph(shards(case.shape))
    assert names(ready_leases(case.rows, listed, TRIM_SECONDS)) == case.ready


def test_only_a_record_or_the_end_starts_a_row() -> None:
    assert has_started(lease("a", after(1)))
    assert has_started(finished("a"))
    for position in (TRIM_HORIZON, latest(), Position(PositionKind.AT_TIMESTAMP, at_seconds=1.0)):
        assert not has_started(lease("a", position))


# --- rows to forget -------------------------------------------------------------------------------


def ended(name: str = "a", created_seconds: float | None = OLD, **given: object) -> Lease:
    return finished(name, created_seconds=created_seconds, **given)


CHILD = lease("b", after(1), parents="a")


@pytest.mark.parametrize(
    ("rule", "rows", "seen", "forgotten"),
    [
        ("unlisted, old, its child has started", (ended(), CHILD), listing({"b": "a"}), ["a"]),
        ("still listed", (ended(), CHILD), listing({"a": "", "b": "a"}), []),
        ("the listing is not complete", (ended(), CHILD), listing({}, complete=False), []),
        ("too young", (ended(created_seconds=OLD + 2), CHILD), listing({}), []),
        ("its age is not known", (ended(created_seconds=None), CHILD), listing({}), []),
        ("its child has not started", (ended(), lease("b", parents="a")), listing({}), []),
        (
            "its child waits at LATEST",
            (ended(), lease("b", latest(), parents="a")),
            listing({}),
            [],
        ),
        (
            "its child is finished",
            (ended(), finished("b", parents=(ShardId("a"),))),
            listing({}),
            ["a"],
        ),
        ("its children were never found", (ended(), lease("x", after(1))), listing({}), []),
        ("its children are known and gone", (ended(children=(ShardId("b"),)),), listing({}), ["a"]),
        (
            "one of two children has not started",
            (ended(), CHILD, lease("c", parents="a")),
            listing({}),
            [],
        ),
        ("it is not finished", (lease("a", after(1), created_seconds=OLD), CHILD), listing({}), []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rule_7_a_finished_row_is_kept_while_anything_may_need_it(
    rule: str, rows: tuple[Lease, ...], seen: Listing, forgotten: list[str]
) -> None:
    assert names(forgettable(rows, seen)) == forgotten, rule


@pytest.mark.parametrize(
    ("rule", "rows", "left"),
    [
        ("no child is known", (ended(),), ["a"]),
        ("a row names it as parent", (ended(), CHILD), []),
        ("its children were found, their rows are gone", (ended(children=(ShardId("b"),)),), []),
        ("it ended for good, until the stream is switched on again", (ended(children=()),), ["a"]),
        ("it is not finished", (lease("a", after(1)),), []),
        ("a merge is the child of both", (ended("p"), ended("q"), lease("m", parents="p q")), []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rule_4_a_finished_row_without_children_is_a_to_do(
    rule: str, rows: tuple[Lease, ...], left: list[str]
) -> None:
    assert names(childless(rows)) == left, rule


# --- who takes what -------------------------------------------------------------------------------

FLEET = [SessionId(f"worker-{i}") for i in range(5)]


def test_every_worker_computes_the_same_preference_in_any_order() -> None:
    for number in range(50):
        shard = ShardId(f"shard-{number}")
        assert preferred(shard, FLEET) == preferred(shard, reversed(FLEET))
    assert preferred(ShardId("x"), []) is None


def test_a_worker_that_leaves_moves_only_its_own_shards() -> None:
    ids = [ShardId(f"shard-{number}") for number in range(200)]
    before = {shard: preferred(shard, FLEET) for shard in ids}
    for shard in ids:
        if before[shard] != FLEET[0]:
            assert preferred(shard, FLEET[1:]) == before[shard]


def test_preferences_are_spread_over_the_fleet() -> None:
    falls_to = Counter(preferred(ShardId(f"shard-{number}"), FLEET) for number in range(1000))
    assert set(falls_to) == set(FLEET)
    assert max(falls_to.values()) < 400


def test_one_of_the_living_buries_first() -> None:
    assert first_to_expire(session("dead"), FLEET) in FLEET
    assert first_to_expire(session("dead"), []) is None


# --- what holds for any shape -----------------------------------------------------------------------


@settings(derandomize=True, deadline=None, max_examples=150)
@given(data=st.data(), shape=acyclic_shapes())
def test_rows_are_made_once_parents_first_and_every_shard_is_reached(
    data: st.DataObject, shape: dict[str, str]
) -> None:
    positions = st.sampled_from([None, TRIM_HORIZON, after(1), "finished"])
    rows: list[Lease] = []
    for name, parents in shape.items():
        match data.draw(positions):
            case None:
                pass
            case Position() as position:
                rows.append(lease(name, position, parents=parents))
            case _:
                rows.append(finished(name, parents=tuple(map(ShardId, parents.split()))))
    seen = listing(shape)
    created = missing_leases(seen, rows, PREFIX, TRIM_HORIZON)
    place = {row.shard: index for index, row in enumerate(created)}
    for row in created:
        assert all(place[p] < place[row.shard] for p in row.parents if p in place)
    together = (*rows, *created)
    assert len({row.shard for row in together}) == len(together)
    assert missing_leases(seen, together, PREFIX, TRIM_HORIZON) == ()
    assert held_back(seen, together) == ()


@settings(derandomize=True, deadline=None, max_examples=150)
@given(shape=acyclic_shapes())
def test_from_an_empty_store_every_shard_is_read_once_behind_its_parents(
    shape: dict[str, str],
) -> None:
    """Take what is ready, finish it, and go on: nothing is stuck and no child runs early."""
    seen = listing(shape)
    graph = ShardGraph(seen.shards)
    rows = {row.shard: row for row in missing_leases(seen, (), PREFIX, TRIM_HORIZON)}
    order: list[str] = []
    while ready := ready_leases(rows.values(), graph, TRIM_SECONDS):
        assert not {p for row in ready for p in row.parents if p in rows} - set(order)
        order.append(str(ready[-1].shard))
        rows[ready[-1].shard] = finished(order[-1], parents=ready[-1].parents)
    assert sorted(order) == sorted(shape)
