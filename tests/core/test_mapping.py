"""The one door of a mapping: what is stale, what wakes, what starts and stops."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from core.builders import (
    ME,
    PREFIX,
    SERVICE_SECONDS,
    after,
    asked,
    at,
    finished,
    kinds,
    latest,
    lease,
    listing,
    lost,
    names,
    of_kind,
    only,
    options,
    page,
    record,
    refused,
    sessions,
    settings,
    shards,
    surveyed,
    taken,
    tenure,
)
from core.test_failure import RAISED

from triggerkit.core.coordinator import Cadence
from triggerkit.core.decisions import (
    Cancel,
    Create,
    Decision,
    Discard,
    Fetch,
    FindChildren,
    Finish,
    Forget,
    Invoke,
    Pin,
    Release,
    Save,
    Survey,
    Take,
)
from triggerkit.core.events import Blocked, Event, MovedAgain, WaitCause, Waiting
from triggerkit.core.mapping import EventSourceMapping, finished_row
from triggerkit.core.model import (
    LATEST,
    TRIM_HORIZON,
    Children,
    DiscardReason,
    LastFailure,
    Lease,
    Page,
    Position,
    SessionId,
    ShardId,
    StopReason,
)
from triggerkit.core.outcome import Failed, RecordFailure, RecordsEnded, Succeeded
from triggerkit.core.phases import Phase
from triggerkit.core.reports import (
    Cancelled,
    ChildrenFound,
    Created,
    Discarded,
    Fetched,
    Finished,
    Forgotten,
    Invoked,
    NotNow,
    NotTaken,
    Pinned,
    Reaction,
    Released,
    Report,
    Saved,
    StopAsked,
    Woke,
)
from triggerkit.errors import StateUnusableError

NEVER = float("inf")
A, B = ShardId("a"), ShardId("b")


@dataclass
class House:
    """A mapping, the time, and the last decisions."""

    start: Position = TRIM_HORIZON
    given: dict[str, object] = field(default_factory=dict)
    seconds: float = 0.0
    mapping: EventSourceMapping = field(init=False)

    def __post_init__(self) -> None:
        self.mapping = EventSourceMapping(self.start, settings(options(**self.given)), Cadence())

    def react(self, report: Report, seconds: float | None = None) -> tuple[Decision, ...]:
        self.seconds = self.seconds if seconds is None else seconds
        return self.mapping.react(report, at(self.seconds)).decisions

    def is_stopped(self) -> bool:
        return self.mapping.stopped

    def wake(self, seconds: float) -> tuple[Decision, ...]:
        return self.react(Woke(), seconds)

    def take(self, shard: str, checkpoint: Position = TRIM_HORIZON, counter: int = 1) -> Fetch:
        """Hold a shard whose first read is under way."""
        row = lease(shard, checkpoint, owner=ME, counter=counter)
        return only(Fetch, self.react(taken(row)))

    def fetched(self, fetch: Fetch, *numbers: int, ended: bool = False) -> tuple[Decision, ...]:
        read = page(*numbers, ended=ended)
        return self.react(Fetched(fetch, read))

    def invoked(self, invoke: Invoke, seconds: float | None = None) -> tuple[Decision, ...]:
        report = Invoked(invoke, Succeeded())
        return self.react(report, seconds)


def joined(*others: str, **given: object) -> House:
    """A mapping on a worker with a confirmed session; its first survey is under way."""
    house = House(given=dict(given))
    assert house.react(sessions(*others)) == (Survey(list_shards=True),)
    return house


# --- a life -----------------------------------------------------------------------------------------


def test_from_nothing_to_the_first_call() -> None:
    house = House()
    assert house.wake(0.0) == ()
    assert house.mapping.wake_at_seconds == NEVER, "nothing may begin without a session"
    house.react(sessions())
    (create,) = house.react(surveyed((), listing({"a": ""})))
    assert isinstance(create, Create)
    assert kinds(house.react(Created(asked(Create)))) == ["Survey"]
    (take,) = house.react(surveyed(create.leases))
    assert take == Take(lease("a"), SessionId(ME))
    fetch = only(Fetch, house.react(taken(lease("a", owner=ME, counter=1))))
    invoke = only(Invoke, house.fetched(fetch, 1, 2))
    save = only(Save, house.invoked(invoke))
    assert save.position == after(2)
    assert [consumer.lease.shard for consumer in house.mapping] == ["a"]


@pytest.mark.parametrize(
    "report",
    [
        refused(Survey, wait=1.0),
        refused(Create, wait=1.0),
        NotTaken(asked(Take)),
        refused(Take, A, wait=1.0),
        refused(Forget, A, wait=1.0),
    ],
    ids=lambda report: type(report).__name__,
)
def test_what_could_not_be_done_is_not_repeated_at_once(report: Report) -> None:
    house = joined()
    house.react(surveyed((lease("a"),), listing({"a": "", "b": ""})))
    assert house.react(report, 0.1) == ()
    assert house.wake(0.2) == ()
    assert house.mapping.wake_at_seconds > 0.2


def test_old_rows_are_forgotten_after_a_complete_listing() -> None:
    house = joined()
    old = finished("a", created_seconds=SERVICE_SECONDS - 26 * 3600)
    child = lease("b", after(1), parents="a", owner="x")
    decisions = house.react(surveyed((old, child), listing({"b": ""})))
    assert only(Forget, decisions).lease == old
    house.react(Forgotten(asked(Forget)))
    assert names(house.mapping.coordinator.rows) == ["b"]


# --- stale reports ------------------------------------------------------------------------------------


def test_a_report_of_a_past_tenure_is_dropped_and_counted() -> None:
    house = joined()
    fetch = house.take("a", counter=5)
    stale = Fetched(asked(Fetch, held=tenure(4)), page(1, 2))
    assert house.react(stale) == ()
    assert house.mapping.stale_reports == 1
    assert house.mapping.consumers[A].outstanding == 0
    assert "Invoke" in kinds(house.fetched(fetch, 1))


def test_a_report_about_a_shard_that_is_not_held_is_dropped_and_counted() -> None:
    house = joined()
    assert house.react(refused(Fetch, A, tenure(), 1.0)) == ()
    assert house.react(Cancelled(asked(Cancel))) == ()
    assert house.mapping.stale_reports == 2


def test_a_shard_is_taken_again_only_after_the_call_of_the_earlier_tenure_came_back() -> None:
    house = joined()
    invoke = only(Invoke, house.fetched(house.take("a"), 1))
    house.react(lost(invoke))
    free = lease("a", counter=9)
    assert of_kind(Take, house.react(surveyed((free,), listing({"a": ""})), 1.0)) == []
    assert of_kind(Take, house.wake(30.0)) == []
    decisions = house.invoked(invoke, 31.0)
    assert house.mapping.stale_reports == 1
    assert [take.lease for take in of_kind(Take, decisions)] == [free], "at once"


def test_every_call_of_an_earlier_tenure_is_waited_for() -> None:
    house = joined(parallelization_factor=2, batch_size=1)
    fetch = house.take("a")
    read = Page((record(1, key=b""), record(2, key=b"a")))
    first, second = of_kind(Invoke, house.react(Fetched(fetch, read)))
    house.react(lost(fetch))
    house.react(surveyed((lease("a", counter=9),), listing({"a": ""})))
    assert of_kind(Take, house.invoked(first)) == []
    assert len(of_kind(Take, house.invoked(second))) == 1


def test_a_call_of_a_held_shard_that_returns_is_no_reason_to_look_around() -> None:
    house = joined()
    house.react(surveyed((lease("a", owner=ME),), listing({"a": ""})))
    invoke = only(Invoke, house.fetched(house.take("a"), 1))
    assert of_kind(Survey, house.invoked(invoke)) == []


# --- waking -------------------------------------------------------------------------------------------


def test_the_time_to_wake_is_a_level_the_earliest_of_all() -> None:
    house = joined()
    house.react(surveyed((lease("x", owner="y"),), listing({"x": ""})))
    first, second = house.take("a"), house.take("b")
    house.react(refused(Fetch, A, first.tenure, 0.9))
    house.react(refused(Fetch, B, second.tenure, 0.4))
    assert house.mapping.wake_at_seconds == 0.4
    assert house.mapping.wake_at_seconds == 0.4, "asking changes nothing"
    assert [fetch.lease.shard for fetch in of_kind(Fetch, house.wake(0.4))] == ["b"]
    assert house.mapping.wake_at_seconds == 0.9
    assert house.wake(0.5) == ()
    assert house.mapping.wake_at_seconds == 0.9
    assert [fetch.lease.shard for fetch in of_kind(Fetch, house.wake(0.9))] == ["a"]
    assert house.mapping.wake_at_seconds == 1.5, "the next survey"


def test_waking_late_does_everything_that_is_due_in_one_call() -> None:
    house = joined()
    for shard in ("a", "b", "c"):
        fetch = house.take(shard)
        house.react(refused(Fetch, ShardId(shard), fetch.tenure, 1.0))
    assert sorted(kinds(house.wake(50.0))) == ["Fetch", "Fetch", "Fetch"]


def test_a_wake_up_that_has_become_later_is_looked_at_and_put_off() -> None:
    house = joined()
    fetch = house.take("a")
    house.react(surveyed((), listing({})))
    house.fetched(fetch)  # to be read on at 0.25
    house.react(refused(Fetch, A, fetch.tenure, 0.6))  # a second answer moves it
    assert house.mapping.wake_at_seconds == 0.25
    assert house.wake(0.25) == ()
    assert house.mapping.wake_at_seconds == 0.6


def test_a_wake_up_that_has_become_earlier_comes_then_and_not_twice() -> None:
    house = joined()
    fetch = house.take("a")
    invoke = only(Invoke, house.fetched(fetch, 1))
    house.wake(0.25)
    house.react(refused(Fetch, A, fetch.tenure, 0.75))
    retry = Failed(RAISED, retry_after_seconds=0.25)
    house.react(Invoked(invoke, retry))
    assert house.mapping.wake_at_seconds == 0.5
    assert kinds(house.wake(0.5)) == ["Invoke"]
    assert kinds(house.wake(1.0)) == ["Fetch"]
    assert of_kind(Fetch, house.wake(1.1)) == []


def test_a_wake_up_of_a_shard_that_is_gone_does_nothing() -> None:
    house = joined()
    fetch = house.take("a")
    house.react(refused(Fetch, A, fetch.tenure, 0.3))
    house.react(lost(fetch))
    assert of_kind(Fetch, house.wake(0.3)) == []


def test_waking_for_nothing_decides_nothing_and_leaves_no_wish_in_the_past() -> None:
    house = joined()
    house.take("a")
    for seconds in range(1, 50):
        assert house.wake(float(seconds)) == ()
        assert house.mapping.wake_at_seconds > seconds


# --- the end of a shard ---------------------------------------------------------------------------------


def at_end(house: House, shard: str = "a") -> Finish:
    """Everything of a shard is read and done; its end is being written."""
    fetch = house.take(shard)
    assert only(FindChildren, house.fetched(fetch, ended=True)).tenure == fetch.tenure
    found = ChildrenFound(
        asked(FindChildren, fetch.lease.shard, fetch.tenure), Children(shards({"b": shard}))
    )
    return only(Finish, house.react(found))


CHILD = lease("b", parents="a", owner=ME, counter=1)


def test_children_that_come_with_the_end_start_at_once() -> None:
    house = joined()
    finish = at_end(house)
    decisions = house.react(Finished(finish, (CHILD,)))
    assert only(Fetch, decisions).lease == CHILD
    assert only(Fetch, decisions).position == TRIM_HORIZON
    assert list(house.mapping.consumers) == ["b"]
    rows = {row.shard: row for row in house.mapping.coordinator.rows}
    assert rows[A].finished
    assert rows[A].counter == finish.lease.counter + 1
    assert rows[B] == CHILD


def test_children_that_went_on_before_the_end_was_told_do_not_start_again() -> None:
    """The answer took so long that this worker found them as its own, and read them to their end."""
    house = joined()
    finish = at_end(house)
    house.react(surveyed((finished("a"), finished("b", counter=5))), 10.0)
    decisions = house.react(Finished(finish, (CHILD,)), 11.0)
    assert not of_kind(Fetch, decisions)
    assert list(house.mapping.consumers) == []


def test_children_that_are_being_taken_when_the_end_is_told_start_with_the_take() -> None:
    house = joined()
    finish = at_end(house)
    house.react(surveyed((finished("a"), CHILD)), 10.0)
    take = only(Take, house.wake(20.0))
    assert take.lease == CHILD
    assert not of_kind(Fetch, house.react(Finished(finish, (CHILD,)), 20.1))
    held = replace(CHILD, counter=2)
    assert only(Fetch, house.react(taken(held), 20.2)).tenure == tenure(2)


def test_an_end_without_taken_children_is_followed_by_a_search() -> None:
    house = joined()
    house.react(surveyed((), listing({})))
    finish = at_end(house)
    assert kinds(house.react(Finished(finish, ()), 10.0)) == ["Survey"]
    house.react(surveyed((finished("a"),)), 10.0)
    assert only(Survey, house.wake(11.5)).list_shards


def test_the_finished_row_has_no_owner_and_a_new_counter() -> None:
    row = replace(lease("a", after(7), parents="p", owner=ME, counter=4), lost_reason="gone")
    done = finished_row(row)
    assert done.finished
    assert (done.owner, done.counter, done.lost_reason, done.parents) == (None, 5, "gone", ("p",))
    assert done.key == f"{PREFIX}a"


# --- stopping -------------------------------------------------------------------------------------------


def test_a_stop_drains_every_shard_and_takes_no_more() -> None:
    house = joined(batch_size=1)
    idle = house.take("b")
    invoke = only(Invoke, house.fetched(house.take("a"), 1, 2))
    assert not house.is_stopped()
    (release,) = house.react(StopAsked(StopReason.REQUESTED))
    assert isinstance(release, Release)
    assert release.lease.shard == "b"
    house.react(Released(asked(Release, "b", idle.tenure)))
    assert not house.is_stopped(), "a call still runs"
    assert only(Release, house.invoked(invoke)).position == after(1)
    assert house.react(Released(asked(Release, held=invoke.tenure))) == ()
    assert house.is_stopped()
    assert house.react(surveyed((lease("a"),), listing({"a": ""}))) == ()
    assert house.mapping.wake_at_seconds == NEVER


def test_a_mapping_with_nothing_is_stopped_at_once() -> None:
    house = joined()
    assert house.react(StopAsked(StopReason.REQUESTED)) == ()
    assert house.mapping.stopped


def test_a_take_that_was_under_way_at_a_stop_is_given_back() -> None:
    house = joined()
    house.react(StopAsked(StopReason.REQUESTED))
    (release,) = house.react(taken(lease("a", after(3), owner=ME, counter=8)))
    assert isinstance(release, Release)
    assert release.position == after(3)
    assert not house.mapping.stopped


def test_children_of_an_end_that_was_under_way_at_a_stop_are_given_back() -> None:
    house = joined()
    finish = at_end(house)
    assert house.react(StopAsked(StopReason.REQUESTED)) == ()
    (release,) = house.react(Finished(finish, (CHILD,)))
    assert isinstance(release, Release)
    assert release.lease == CHILD
    assert house.mapping.consumers[B].phase is Phase.DRAINING


def test_an_expired_drain_cancels_and_releases() -> None:
    house = joined()
    house.fetched(house.take("a"), 1)
    assert house.react(StopAsked(StopReason.REQUESTED)) == ()
    assert kinds(house.react(StopAsked(StopReason.DRAIN_EXPIRED))) == ["Cancel", "Release"]
    assert house.react(StopAsked(StopReason.REQUESTED)) == (), "a weaker wish changes nothing"


# --- sessions -------------------------------------------------------------------------------------------


def test_a_new_session_of_this_worker_loses_every_lease() -> None:
    house = joined()
    invoke = only(Invoke, house.fetched(house.take("a"), 1))
    house.take("b")
    decisions = house.react(sessions(me="me again", dead=[ME]))
    assert kinds(decisions).count("Cancel") == 2
    assert house.mapping.consumers == {}
    assert of_kind(Save, house.invoked(invoke)) == []
    assert house.mapping.stale_reports == 1


def test_what_an_earlier_session_took_is_not_started() -> None:
    house = joined()
    house.react(sessions(me="me again"))
    house.react(taken(lease("a", owner=ME, counter=1)))
    assert house.mapping.consumers == {}


def test_6_5_rule_3_a_worker_past_its_deadline_pauses_and_goes_on_with_all_its_leases() -> None:
    house = House()
    house.react(sessions(deadline_seconds=5.0))
    fetch = house.take("a")
    house.seconds = 6.0
    assert of_kind(Invoke, house.fetched(fetch, 1)) == []
    assert of_kind(Invoke, house.react(sessions(deadline_seconds=5.0), 7.0)) == [], "no news"
    (invoke,) = of_kind(Invoke, house.react(sessions(deadline_seconds=12.0), 8.0))
    assert invoke.deadline_seconds == 12.0
    assert list(house.mapping.consumers) == ["a"]


def test_a_worker_without_a_session_calls_nothing() -> None:
    house = House()
    fetch = only(Fetch, house.react(taken(lease("a", owner=ME, counter=1))))
    assert of_kind(Invoke, house.fetched(fetch, 1)) == []
    assert len(of_kind(Invoke, house.react(sessions()))) == 1


def unusable(decision: Decision) -> NotNow:
    """The state cannot be used, says the store."""
    return NotNow(decision, None, StateUnusableError("the file is gone"))


def busy_with_failed_save() -> House:
    """A shard that does nothing before it is saved, which the store refused at 1 s."""
    house = House(given={"batch_size": 1})
    house.react(sessions(deadline_seconds=5.0))
    first = only(Invoke, house.fetched(house.take("a"), *range(1, 9)))
    decisions = house.invoked(first, 1.0)
    house.react(unusable(only(Save, decisions)))
    assert house.invoked(only(Invoke, decisions)) == ()
    return house


def test_a_save_that_a_short_fault_of_the_store_refused_is_made_again_after_ten_seconds() -> None:
    house = busy_with_failed_save()
    house.react(sessions(deadline_seconds=100.0), 3.0)
    assert not of_kind(Save, house.wake(10.9))
    assert only(Save, house.wake(11.0)).position == after(2)


def test_a_save_is_made_again_with_the_first_beat_after_the_deadline_though_nothing_was_tried() -> (
    None
):
    house = busy_with_failed_save()
    (save,) = of_kind(Save, house.react(sessions(deadline_seconds=20.0), 7.0))
    assert save.position == after(2)


@pytest.mark.parametrize("reason", [StopReason.REQUESTED, StopReason.DRAIN_EXPIRED])
def test_a_stop_does_not_wait_to_write_what_the_store_has_refused(reason: StopReason) -> None:
    house = joined()
    invoke = only(Invoke, house.fetched(house.take("a"), 1))
    house.react(unusable(only(Save, house.invoked(invoke, 1.0))))
    assert only(Release, house.react(StopAsked(reason), 2.0)).position == after(1)


def test_a_drain_that_expires_does_not_wait_to_write_what_the_store_has_refused() -> None:
    house = joined()
    house.take("a")
    release = only(Release, house.react(StopAsked(StopReason.REQUESTED), 1.0))
    house.react(unusable(release))
    assert only(Release, house.react(StopAsked(StopReason.DRAIN_EXPIRED), 2.0)) == release


# --- odd answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [finished("a", owner=SessionId(ME)), lease("a", counter=3)],
    ids=["it is finished", "nobody owns it"],
)
def test_a_row_that_cannot_be_held_is_looked_at_again(row: Lease) -> None:
    house = joined()
    house.react(surveyed((), listing({})))
    assert "Survey" in kinds(house.react(taken(row), 0.5))
    assert house.mapping.consumers == {}


def test_a_lease_that_is_held_is_not_started_twice() -> None:
    house = joined()
    house.take("a")
    before = house.mapping.consumers[A]
    house.react(taken(lease("a", owner=ME, counter=2)))
    assert house.mapping.consumers[A] is before


def test_the_start_rule_reaches_the_rows() -> None:
    house = House(start=LATEST)
    assert house.react(sessions()) == (Pin(SERVICE_SECONDS),)
    assert house.react(Pinned(asked(Pin), SERVICE_SECONDS)) == (Survey(list_shards=True),)
    (create,) = house.react(surveyed((), listing({"a": "", "b": "a"})))
    assert isinstance(create, Create)
    assert [(row.shard, row.checkpoint) for row in create.leases] == [("b", latest())]


def test_answers_in_any_order_come_to_the_same_checkpoint() -> None:
    """A save may answer before or after the next call does."""
    for saves_first in (True, False):
        house = joined(batch_size=1, maximum_retry_attempts=0)
        decisions = house.fetched(house.take("a"), 1, 2)
        decisions = house.invoked(only(Invoke, decisions))
        invoke, save = only(Invoke, decisions), only(Save, decisions)
        row = replace(save.lease, checkpoint=save.position, counter=2)
        saved = Saved(save, row)
        failed = Invoked(invoke, Failed(RAISED))
        seen = [*house.react(saved if saves_first else failed)]
        seen += house.react(failed if saves_first else saved)
        discard = only(Discard, seen)
        last = only(Save, house.react(Discarded(discard)))
        assert (last.position, last.lease.counter) == (after(2), 2)


# --- records that do not fit the handler's type -----------------------------------------------------


MISFIT = LastFailure("id", "ImageMismatchError", "an item does not fit Order: total (missing)")


def reading(**given: object) -> tuple[House, Fetch]:
    """A mapping that reads a shard."""
    house = joined(**given)
    house.react(surveyed((lease("a"),), listing({"a": ""})))
    return house, house.take("a")


def all_invalid(house: House, invoke: Invoke, seconds: float = 1.0) -> Reaction[Decision]:
    every = tuple(RecordFailure(index, MISFIT) for index in range(len(invoke.batch)))
    outcome = RecordsEnded((), invalid=every)
    report = Invoked(invoke, outcome)
    house.seconds = seconds
    return house.mapping.react(report, at(seconds))


def blocked_in(reaction: Reaction[Decision]) -> list[Blocked]:
    return [event for event in reaction.events if isinstance(event, Blocked)]


def test_f7_an_invalid_record_that_is_retried_blocks_its_lane_with_field_and_fix() -> None:
    house, fetch = reading()
    invoke = only(Invoke, house.fetched(fetch, 1))
    (blocked,) = blocked_in(all_invalid(house, invoke))
    assert blocked.shards == ("a",)
    assert (
        "record 1 can never be handled: an item does not fit Order: total (missing)"
        in blocked.cause
    )
    assert "set on_failure" in blocked.fix
    assert not of_kind(Invoke, house.wake(299.0)), "tried again every five minutes"
    again = only(Invoke, house.wake(305.0))
    assert not blocked_in(all_invalid(house, again, 305.0)), "it is said already"
    third = only(Invoke, house.wake(610.0))
    report = Invoked(third, Succeeded())
    events = house.mapping.react(report, at(610.0)).events
    assert [event.reported for event in events if isinstance(event, MovedAgain)] == [True]


def test_an_invalid_record_that_is_given_up_after_its_last_try_is_not_blocked_any_more() -> None:
    house, fetch = reading(maximum_retry_attempts=1)
    invoke = only(Invoke, house.fetched(fetch, 1))
    assert blocked_in(all_invalid(house, invoke))
    last = all_invalid(house, only(Invoke, house.wake(305.0)), 305.0)
    assert not blocked_in(last)
    assert [event.reported for event in last.events if isinstance(event, MovedAgain)] == [True]
    (discard,) = of_kind(Discard, last.decisions)
    assert discard.reason is DiscardReason.RETRY_ATTEMPTS_EXHAUSTED


def test_f7_an_invalid_record_that_is_given_up_blocks_nothing() -> None:
    house, fetch = reading(on_failure="file:x")
    invoke = only(Invoke, house.fetched(fetch, 1, 2))
    reaction = all_invalid(house, invoke)
    assert not blocked_in(reaction)
    (discard,) = of_kind(Discard, reaction.decisions)
    assert discard.reason is DiscardReason.INVALID_RECORD


def test_f7_a_type_that_none_of_the_first_hundred_records_fits_blocks_the_trigger() -> None:
    house, fetch = reading(on_failure="file:x", batch_size=60)
    first = only(Invoke, house.fetched(fetch, *range(1, 151)))
    reaction = all_invalid(house, first)
    assert not blocked_in(reaction)
    discards = of_kind(Discard, reaction.decisions)
    while discards:
        (discard,) = discards
        decisions = house.react(Discarded(discard))
        for save in of_kind(Save, decisions):
            row = replace(save.lease, checkpoint=save.position)
            decisions += house.react(Saved(save, row))
        discards = of_kind(Discard, decisions)
    second = only(Invoke, decisions)
    reaction = all_invalid(house, second, 2.0)
    (blocked,) = blocked_in(reaction)
    assert blocked.shards == ()
    assert "none of the first 120 records fits the type" in blocked.cause
    assert "correct the annotation" in blocked.fix
    for seconds in (3.0, 30.0, 400.0):
        assert not of_kind(Discard, house.wake(seconds)), "no more is given up"
        assert not of_kind(Invoke, house.react(sessions(deadline_seconds=seconds + 10), seconds))
    assert of_kind(Release, house.react(StopAsked(StopReason.REQUESTED), 401.0))


def test_f7_one_record_that_fits_among_the_first_hundred_is_enough() -> None:
    house, fetch = reading(on_failure="file:x", batch_size=200)
    invoke = only(Invoke, house.fetched(fetch, *range(1, 151)))
    every = tuple(RecordFailure(index, MISFIT) for index in range(1, 150))
    report = Invoked(invoke, RecordsEnded((0,), invalid=every))
    reaction = house.mapping.react(report, at(1.0))
    assert not blocked_in(reaction)
    assert of_kind(Discard, reaction.decisions)


def test_b9_a_call_that_outlives_its_lease_is_reported_while_its_shard_waits_for_it() -> None:
    house = joined()
    invoke = only(Invoke, house.fetched(house.take("a"), 1))
    house.react(lost(invoke))
    events: list[Event] = []
    for seconds in range(1, 41):
        house.seconds = float(seconds)
        events += house.mapping.react(Woke(), at(house.seconds)).events
    told = [event for event in events if isinstance(event, Waiting) and event.shards]
    assert [(event.cause, event.shards) for event in told] == [(WaitCause.HANDLER, (A,))]
    report = Invoked(invoke, Succeeded())
    moved = [e for e in house.mapping.react(report, at(41.0)).events if isinstance(e, MovedAgain)]
    assert [event.shards for event in moved] == [(A,)]
