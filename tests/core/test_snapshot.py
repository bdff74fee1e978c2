"""The picture of a mapping: cheap, whole, and without contents."""

from __future__ import annotations

from dataclasses import replace

from core.builders import (
    ME,
    SERVICE_SECONDS,
    NoLuckError,
    after,
    asked,
    at,
    finished,
    latest,
    lease,
    listing,
    of_kind,
    only,
    page,
    surveyed,
    tenure,
)
from core.test_failure import RAISED
from core.test_mapping import A, House, joined

from triggerkit.core.decisions import (
    Discard,
    Fetch,
    Invoke,
    Save,
    Take,
)
from triggerkit.core.model import Gap, StopReason
from triggerkit.core.outcome import Failed
from triggerkit.core.phases import Phase
from triggerkit.core.reports import (
    Discarded,
    Fetched,
    Invoked,
    NotNow,
    NotTaken,
    Saved,
    StopAsked,
    Trimmed,
)
from triggerkit.core.snapshot import (
    PAGES_AT_TIP,
    MappingSnapshot,
    ShardSnapshot,
    snapshot,
)


def picture(house: House) -> MappingSnapshot:
    return snapshot(house.mapping, at(house.seconds))


def the_shard(house: House) -> ShardSnapshot:
    (shard,) = picture(house).shards
    return shard


def read_to_the_tip(house: House, fetch: Fetch) -> None:
    for _ in range(PAGES_AT_TIP):
        house.react(Fetched(fetch, page()))
        house.wake(house.seconds + 0.25)


def house_with(*shards: str) -> House:
    """A mapping that knows these shards, each owned by another worker."""
    house = joined("x")
    rows = tuple(lease(shard, owner="x") for shard in shards)
    house.react(surveyed(rows, listing(dict.fromkeys(shards, ""))))
    return house


def test_a_mapping_that_has_not_looked_around_is_not_at_its_tip() -> None:
    assert picture(House()) == MappingSnapshot((), 0, 0, surveyed=False, stale_reports=0)
    assert not picture(House()).at_tip


def test_a_mapping_without_shards_is_at_its_tip() -> None:
    house = joined()
    house.react(surveyed((), listing({})))
    assert picture(house).at_tip


def test_a_held_shard_is_shown_as_it_is() -> None:
    house = joined()
    house.react(surveyed((), listing({})))
    fetch = house.take("a", after(7))
    assert the_shard(house) == ShardSnapshot(
        shard=A,
        phase=Phase.RUNNING,
        position=after(7),
        outstanding=0,
        attempts=0,
        holding_failure_record=False,
        at_tip=False,
        iterator_age_seconds=None,
        last_failure=None,
        gaps=(),
    )
    house.seconds = 5.0
    house.fetched(fetch, 8, 9)
    assert the_shard(house).outstanding == 2
    assert the_shard(house).iterator_age_seconds == 5.0
    house.react(StopAsked(StopReason.REQUESTED))
    assert the_shard(house).phase is Phase.DRAINING


def test_a_record_from_ahead_of_the_clock_has_no_negative_age() -> None:
    house = joined()
    fetch = house.take("a")
    house.seconds = -3.0
    house.fetched(fetch, 1)
    assert the_shard(house).iterator_age_seconds == 0.0


def test_a_batch_that_is_tried_again_shows_its_attempts_and_failure() -> None:
    house = joined()
    invoke = only(Invoke, house.fetched(house.take("a"), 1))
    house.react(Invoked(invoke, Failed(RAISED)))
    assert (the_shard(house).attempts, the_shard(house).last_failure) == (1, RAISED)
    assert len(of_kind(Invoke, house.wake(1.0))) == 1
    assert (the_shard(house).attempts, the_shard(house).last_failure) == (1, RAISED), (
        "meanwhile too"
    )


def test_a_lane_that_waits_for_a_destination_is_shown() -> None:
    house = joined(maximum_retry_attempts=0)
    invoke = only(Invoke, house.fetched(house.take("a"), 1))
    failed = house.react(Invoked(invoke, Failed(RAISED)))
    discard = only(Discard, failed)
    house.react(NotNow(discard, 5.0, NoLuckError()))
    assert the_shard(house).holding_failure_record
    house.wake(5.0)
    house.react(Discarded(discard))
    assert not the_shard(house).holding_failure_record


def test_a_loss_is_shown() -> None:
    house = joined()
    fetch = house.take("a", after(3))
    house.react(Trimmed(fetch))
    house.react(Fetched(fetch, page(9)))
    assert the_shard(house).gaps == (Gap("3", "9", SERVICE_SECONDS, SERVICE_SECONDS),)


def test_the_tip_is_some_empty_pages_with_everything_saved() -> None:
    house = house_with("a")
    fetch = house.take("a")
    invoke = only(Invoke, house.fetched(fetch, 1))
    read_to_the_tip(house, fetch)
    assert not picture(house).at_tip, "a record is outstanding"
    save = only(Save, house.invoked(invoke))
    assert not picture(house).at_tip, "its checkpoint is not saved"
    house.react(Saved(save, replace(save.lease, checkpoint=save.position)))
    assert picture(house).at_tip
    house.fetched(fetch, 2)
    assert not picture(house).at_tip


def test_a_mapping_is_at_its_tip_only_if_it_holds_every_unfinished_shard() -> None:
    house = house_with("a", "b")
    read_to_the_tip(house, house.take("a"))
    assert (picture(house).unfinished, len(picture(house).shards)) == (2, 1)
    assert the_shard(house).at_tip
    assert not picture(house).at_tip


def test_a_row_that_somebody_else_was_faster_to_take_is_still_unfinished() -> None:
    house = joined()
    house.react(surveyed((lease("b"),), listing({"b": ""})))
    read_to_the_tip(house, house.take("a"))
    house.react(NotTaken(asked(Take, "b")))
    assert picture(house).unfinished == 2
    assert not picture(house).at_tip


def test_finished_rows_are_counted_and_stale_reports_too() -> None:
    house = joined()
    house.react(surveyed((finished("p"), lease("a", latest(), owner=ME)), listing({"a": "p"})))
    fetch = house.take("a", after(1), counter=2)
    house.react(Fetched(replace(fetch, tenure=tenure(1)), page(1)))
    shown = picture(house)
    assert (shown.unfinished, shown.finished, shown.stale_reports) == (1, 1, 1)
    assert of_kind(Fetch, house.wake(9.0)) == []
