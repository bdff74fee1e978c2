"""What a report costs the core, in lines of it that are run: with many shards no more than with few.

Lines are counted, not seconds, so a busy machine changes nothing. A survey may cost as much as it has rows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest
from core.builders import (
    ME,
    SERVICE_SECONDS,
    asked,
    at,
    listing,
    lost,
    of_kind,
    only,
    sessions,
    settings,
    surveyed,
    taken,
)

import triggerkit.core
from triggerkit.core.coordinator import Cadence
from triggerkit.core.decisions import (
    Create,
    Decision,
    Fetch,
    FindChildren,
    Finish,
    Release,
    Take,
)
from triggerkit.core.mapping import EventSourceMapping, finished_row
from triggerkit.core.model import (
    TRIM_HORIZON,
    Lease,
    Listing,
    Page,
    SessionId,
    ShardId,
    StopReason,
)
from triggerkit.core.reports import (
    Created,
    Fetched,
    Finished,
    Released,
    Report,
    StopAsked,
    Woke,
)

FEW, MANY = 200, 3200
CORE = str(Path(str(triggerkit.core.__file__)).parent)
ROOM = 1.3
"""Heaps grow by a logarithm."""


class Machine:
    """A mapping with so many shards, and how many lines of the core each report to it runs."""

    def __init__(self, shape: dict[str, str], *others: str) -> None:
        self.mapping = EventSourceMapping(TRIM_HORIZON, settings(), Cadence())
        self.seen = listing(shape)
        self.lines = 0
        self.seconds = 0.0
        self.rows: dict[ShardId, Lease] = {}
        self.react(sessions(*others))
        self.create(self.seen)

    def create(self, seen: Listing) -> None:
        """The rows of what is listed."""
        for create in of_kind(Create, self.react(surveyed((), seen))):
            self.rows = {row.shard: row for row in create.leases}
            self.react(Created(asked(Create)))

    def react(self, report: Report) -> tuple[Decision, ...]:
        self.lines, reaction = lines_of(lambda: self.mapping.react(report, at(self.seconds)))
        return reaction.decisions

    def survey(self, seen: Listing | None = None) -> list[Take]:
        return of_kind(Take, self.react(surveyed(tuple(self.rows.values()), seen)))

    def taken(self, take: Take) -> tuple[Decision, ...]:
        row = replace(take.lease, owner=SessionId(ME), counter=take.lease.counter + 1)
        self.rows[row.shard] = row
        return self.react(taken(row))

    def take_all(self) -> list[Fetch]:
        return [only(Fetch, self.taken(take)) for take in self.survey()]

    def read(self, fetch: Fetch, *, ended: bool = False) -> tuple[Decision, ...]:
        return self.react(Fetched(fetch, Page(ended=ended)))

    def finish(self, fetch: Fetch) -> tuple[Decision, ...]:
        finish = only(Finish, self.read(fetch, ended=True))
        self.rows[finish.lease.shard] = finished_row(finish.lease)
        return self.react(Finished(finish, ()))


def lines_of(call: Callable[[], tuple[Decision, ...]]) -> tuple[int, tuple[Decision, ...]]:
    """How many lines of the core a call runs, every turn of a loop for itself; and what it returns."""
    count = 0

    def local(frame: FrameType, event: str, arg: object) -> Callable[..., object]:
        nonlocal count
        del frame, arg
        count += event == "line"
        return local

    def enter(frame: FrameType, event: str, arg: object) -> Callable[..., object] | None:
        del event, arg
        return local if frame.f_code.co_filename.startswith(CORE) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        returned = call()
    finally:
        sys.settrace(before)
    return count, returned


def flat(count: int) -> dict[str, str]:
    return {f"s{number:05}": "" for number in range(count)}


def chain(count: int) -> dict[str, str]:
    return {f"s{n:05}": f"s{n - 1:05}" if n else "" for n in range(count)}


def assert_alike(costs: Iterable[int], what: str) -> None:
    few, many = costs
    assert 0 < many <= ROOM * few, f"{what}: {few} lines with {FEW} shards, {many} with {MANY}"


def costs(scene: Callable[[int], int]) -> tuple[int, int]:
    return scene(FEW), scene(MANY)


# --- a report about one shard -----------------------------------------------------------------------


def test_g1_a_shard_that_was_taken_costs_the_same_among_many() -> None:
    def scene(count: int) -> int:
        machine = Machine(flat(count))
        highest = 0
        for take in machine.survey():
            machine.taken(take)
            highest = max(highest, machine.lines)
        assert len(machine.mapping.consumers) == count
        return highest

    assert_alike(costs(scene), "the costliest Taken")


def test_g1_a_shard_that_was_taken_costs_the_same_while_many_are_left_to_others() -> None:
    def scene(count: int) -> int:
        machine = Machine(flat(count), "b")
        takes = machine.survey()
        assert len(takes) == count // 2
        for take in takes[:20]:
            machine.taken(take)
        return machine.lines

    assert_alike(costs(scene), "Taken beside another worker")


@pytest.mark.parametrize("shape", [flat, chain])
def test_g1_an_empty_page_and_a_beat_and_a_wake_up_cost_the_same_among_many(
    shape: Callable[[int], dict[str, str]],
) -> None:
    def scene(count: int) -> int:
        machine = Machine(shape(count))
        fetch = machine.take_all()[0]
        machine.read(fetch)
        lines = machine.lines
        machine.react(sessions(read_at_seconds=0.1))
        lines += machine.lines
        machine.seconds = 0.2
        machine.react(Woke())
        return lines + machine.lines

    assert_alike(costs(scene), "a page, a beat and a wake-up")


def test_g1_the_end_of_a_shard_costs_the_same_at_every_link_of_a_long_chain() -> None:
    def scene(count: int) -> int:
        machine = Machine(chain(count))
        (fetch,) = machine.take_all()
        highest = 0
        for number in range(FEW - 1):
            take = only(Take, machine.finish(fetch))
            highest = max(highest, machine.lines)
            assert take.lease.shard == f"s{number + 1:05}"
            fetch = only(Fetch, machine.taken(take))
            highest = max(highest, machine.lines)
        return highest

    assert_alike(costs(scene), "the costliest end")


def test_g1_a_shard_with_as_many_parents_as_there_are_costs_each_end_the_same() -> None:
    """The first shard of a stream that was turned on again comes out of all shards of the one before."""

    def scene(count: int) -> int:
        shape = flat(count)
        machine = Machine({**shape, "root": " ".join(shape)})
        fetches = machine.take_all()
        assert len(fetches) == count
        ends = []
        for fetch in reversed(fetches):
            takes = of_kind(Take, machine.finish(fetch))
            ends.append(machine.lines)
        assert [take.lease.shard for take in takes] == ["root"]
        return max(ends[:-1])

    few, many = costs(scene)
    assert many <= MANY + ROOM * few, (
        "one look at the parents that are left, when the first of them ends"
    )


def test_g1_a_lease_that_was_lost_or_released_costs_the_same_among_many() -> None:
    def scene(count: int) -> int:
        machine = Machine(flat(count))
        fetches = machine.take_all()
        machine.react(lost(fetches[0]))
        lines = machine.lines
        releases = of_kind(Release, machine.react(StopAsked(StopReason.REQUESTED)))
        assert len(releases) == count - 1
        machine.react(Released(releases[0]))
        return lines + machine.lines

    assert_alike(costs(scene), "a lost and a released lease")


# --- reports that are as large as the stream ----------------------------------------------------------


@pytest.mark.parametrize("shape", [flat, chain])
@pytest.mark.parametrize("lists", [True, False])
def test_g1_a_survey_costs_each_row_the_same(
    shape: Callable[[int], dict[str, str]], lists: bool
) -> None:
    def scene(count: int) -> int:
        machine = Machine(shape(count))
        machine.survey(machine.seen if lists else None)
        return machine.lines * MANY // count

    assert_alike(costs(scene), "a survey, for each row")


@pytest.mark.parametrize("shape", [flat, chain])
def test_g1_the_first_listing_costs_each_shard_the_same(
    shape: Callable[[int], dict[str, str]],
) -> None:
    def scene(count: int) -> int:
        machine = Machine({})
        machine.react(surveyed((), listing(shape(count))))
        return machine.lines * MANY // count

    assert_alike(costs(scene), "the first listing, for each shard")


def test_g1_a_listing_with_one_new_shard_at_the_end_of_a_long_chain_costs_each_row_the_same() -> (
    None
):
    def scene(count: int) -> int:
        machine = Machine(chain(count))
        machine.rows = {s: finished_row(row) for s, row in list(machine.rows.items())[:-1]}
        create = only(
            Create, machine.react(surveyed(tuple(machine.rows.values()), listing(chain(count))))
        )
        assert len(create.leases) == 1
        return machine.lines * MANY // count

    assert_alike(costs(scene), "a listing, for each shard")


def test_g1_a_worker_that_is_alone_and_holds_all_does_not_survey_all_the_time() -> None:
    machine = Machine(flat(3))
    machine.take_all()
    machine.survey(machine.seen)
    for second in range(1, 900):
        machine.seconds = float(second)
        decisions = machine.react(sessions(deadline_seconds=second + 5.0, read_at_seconds=second))
        assert not [d for d in decisions if "Survey" in type(d).__name__], f"after {second} s"
    decisions = machine.react(sessions("b", deadline_seconds=905.0, read_at_seconds=900.0))
    assert "Survey" in [type(decision).__name__ for decision in decisions], "somebody came"


# --- children that the listing names ------------------------------------------------------------------


def test_g2_children_that_the_listing_names_are_not_asked_for() -> None:
    machine = Machine({"a": "", "b": "a", "c": "a"})
    (fetch,) = machine.take_all()
    decisions = machine.read(fetch, ended=True)
    assert not of_kind(FindChildren, decisions)
    finish = only(Finish, decisions)
    assert finish.children is not None
    assert {child.shard for child in finish.children} == {"b", "c"}
    assert all(child.checkpoint == TRIM_HORIZON for child in finish.children)


def test_g2_children_that_no_listing_names_are_asked_for() -> None:
    machine = Machine({"a": "", "x": ""})
    fetch = machine.take_all()[0]
    only(FindChildren, machine.read(fetch, ended=True))


def surveys(machine: Machine, until: int) -> list[int]:
    """The seconds at which shards were listed, every survey answered at once; time passes as nobody looks."""
    listed = []
    while machine.seconds < until:
        machine.seconds += 1.0
        beat = sessions(deadline_seconds=machine.seconds + 5.0, read_at_seconds=machine.seconds)
        decisions = machine.react(beat)
        for survey in [each for each in decisions if "Survey" in type(each).__name__]:
            lists = bool(getattr(survey, "list_shards", False))
            listed += [round(machine.seconds)] * lists
            seen = replace(machine.seen, service_seconds=SERVICE_SECONDS + machine.seconds)
            machine.react(surveyed(tuple(machine.rows.values()), seen if lists else None))
    return listed


def test_g2_behind_the_ends_of_a_chain_the_shards_are_listed_once_more() -> None:
    """A sibling of a child may be listed later than the child; one look a minute later is for all of them."""
    machine = Machine(chain(30))
    fetches = machine.take_all()
    for number in range(29):
        machine.seconds += 1.0
        (take,) = of_kind(Take, machine.finish(fetches[-1]))
        assert take.lease.shard == f"s{number + 1:05}"
        fetches.append(only(Fetch, machine.taken(take)))
    assert surveys(machine, 800) == [60]


def test_g2_children_that_are_older_than_a_minute_are_known_as_a_whole() -> None:
    shape = chain(10)
    created = dict.fromkeys(shape, SERVICE_SECONDS - 3600.0)
    machine = Machine({})
    machine.seen = listing(shape, created=created)
    machine.create(machine.seen)
    (fetch,) = machine.take_all()
    for _ in range(5):
        (take,) = of_kind(Take, machine.finish(fetch))
        fetch = only(Fetch, machine.taken(take))
    assert surveys(machine, 800) == []


def test_g2_a_second_child_that_is_listed_late_is_found_by_the_look_behind_the_end() -> None:
    machine = Machine({"a": "", "b": "a"})
    (fetch,) = machine.take_all()
    machine.finish(fetch)
    machine.seen = listing({"a": "", "b": "a", "late": "a"})
    machine.seconds = 59.0
    created = []
    for _ in range(4):
        machine.seconds += 1.0
        beat = sessions(deadline_seconds=machine.seconds + 5.0, read_at_seconds=machine.seconds)
        for survey in [d for d in machine.react(beat) if "Survey" in type(d).__name__]:
            lists = bool(getattr(survey, "list_shards", False))
            answer = surveyed(tuple(machine.rows.values()), machine.seen if lists else None)
            created += of_kind(Create, machine.react(answer))
    assert [row.shard for create in created for row in create.leases] == ["late"]
