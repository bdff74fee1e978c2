"""How far a shard was read, and when to read on."""

from __future__ import annotations

import pytest
from core.builders import (
    SERVICE_SECONDS,
    after,
    at,
    latest,
    lease,
    page,
    record,
    records,
    tenure,
)

from triggerkit.core.model import LATEST, TRIM_HORIZON, Gap, Page, Position
from triggerkit.core.reading import (
    BUSY_POLL_SECONDS,
    Reading,
    first_read_position,
)
from triggerkit.sources.dynamodb.service import TRAITS

LIMIT = TRAITS.page_records
IDLE_SECONDS = 1.0


def absorb(reading: Reading, read: Page, seconds: float = 0.0) -> None:
    reading.absorb(read, at(seconds), TRAITS, IDLE_SECONDS)


def started(position: Position = TRIM_HORIZON) -> Reading:
    return Reading(position)


def test_the_position_is_behind_the_last_record_read() -> None:
    reading = started()
    absorb(reading, page(1, 2, 3))
    assert reading.position == after(3)
    assert reading.last_record_seconds == SERVICE_SECONDS


def test_b11_a_flowing_shard_is_read_four_times_a_second() -> None:
    reading = started()
    absorb(reading, page(1), 10.0)
    assert reading.next_at_seconds == 10.0 + BUSY_POLL_SECONDS == 10.25


@pytest.mark.parametrize(
    ("why", "read"),
    [
        ("full by count", Page(records(*range(LIMIT)))),
        ("full by size", Page(records(1), size_bytes=TRAITS.full_page_bytes)),
        ("a backlog", Page((record(1, at_seconds=95.0),), service_seconds=100.5)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_b11_nothing_is_waited_for_while_there_is_more(why: str, read: Page) -> None:
    reading = started()
    absorb(reading, read, 10.0)
    assert reading.next_at_seconds == 10.0


def test_a_record_of_this_moment_is_no_backlog() -> None:
    reading = started()
    absorb(reading, Page((record(1, at_seconds=95.0),), service_seconds=100.0), 10.0)
    assert reading.next_at_seconds == 10.25


def test_b12_an_empty_page_is_not_the_end_and_moves_nothing() -> None:
    reading = started(after(7))
    absorb(reading, page())
    assert not reading.ended
    assert reading.position == after(7)
    assert reading.empty_pages == 1
    assert reading.last_record_seconds is None


def test_s2_only_an_ended_page_is_the_end_with_or_without_records() -> None:
    for read in (page(ended=True), page(1, ended=True)):
        reading = started()
        absorb(reading, read)
        assert reading.ended


def test_a_shard_without_records_is_read_rarely_only_after_ten_seconds() -> None:
    reading = started()
    waits = {}
    for seconds in (0.0, 5.0, 9.9, 10.0, 60.0):
        absorb(reading, page(), seconds)
        waits[seconds] = pytest.approx(reading.next_at_seconds - seconds)
    assert waits == {0.0: 0.25, 5.0: 0.25, 9.9: 0.25, 10.0: 1.0, 60.0: 1.0}
    absorb(reading, page(1), 61.0)
    absorb(reading, page(), 62.0)
    assert reading.next_at_seconds == 62.25
    assert reading.empty_pages == 1


def test_a_read_that_failed_comes_back_at_its_time() -> None:
    reading = started()
    reading.failed(42.0)
    assert reading.next_at_seconds == 42.0


def test_s7_after_trimming_the_reader_goes_on_at_the_horizon_and_tells_what_was_lost() -> None:
    reading = started()
    absorb(reading, page(1, 2))
    reading.trimmed(at(0.0))
    assert reading.position == TRIM_HORIZON
    assert reading.next_at_seconds == 0.0
    assert reading.gaps == []
    absorb(reading, page())  # not known yet
    assert reading.gaps == []
    absorb(reading, Page((record(9, at_seconds=SERVICE_SECONDS + 50),)))
    assert reading.gaps == [Gap("2", "9", SERVICE_SECONDS, SERVICE_SECONDS + 50)]
    absorb(reading, page(10))
    assert len(reading.gaps) == 1


def test_s7_a_second_answer_of_that_kind_does_not_forget_where_the_loss_began() -> None:
    reading = started(after(5))
    reading.trimmed(at(0.0))
    reading.trimmed(at(0.0))
    absorb(reading, page(9))
    assert [gap.last_seen for gap in reading.gaps] == ["5"]


def test_s7_a_loss_up_to_the_end_of_the_shard_is_told() -> None:
    reading = started(after(5))
    reading.trimmed(at(0.0))
    absorb(reading, page(ended=True))
    assert reading.gaps == [Gap("5", "", SERVICE_SECONDS, 0.0)]


def test_two_losses_are_told_apart() -> None:
    reading = started(after(1))
    for number in (5, 9):
        reading.trimmed(at(0.0))
        absorb(reading, page(number))
    assert [(gap.last_seen, gap.resumed_at) for gap in reading.gaps] == [("1", "5"), ("5", "9")]


def test_a_pin_is_unsaved_until_it_is_the_checkpoint() -> None:
    reading = started(LATEST)
    assert not reading.pin_unsaved(latest(5.0)), "nothing is pinned yet"
    assert reading.pinned(8.0, latest(5.0)) == latest(8.0)
    assert reading.position == latest(8.0)
    assert reading.pin_unsaved(latest(5.0))
    assert not reading.pin_unsaved(latest(8.0))


@pytest.mark.parametrize(
    ("why", "checkpoint", "counter", "position"),
    [
        ("the first tenure opens the tip", latest(5.0), 1, LATEST),
        ("a later one goes on from the pin", latest(5.0), 2, latest(5.0)),
        ("a horizon", TRIM_HORIZON, 1, TRIM_HORIZON),
        ("a record", after(3), 1, after(3)),
    ],
)
def test_s5_a_tenure_starts_where_the_row_says(
    why: str, checkpoint: Position, counter: int, position: Position
) -> None:
    row = lease("a", checkpoint, owner="me", counter=counter)
    assert first_read_position(row, tenure(counter), at_tip=True) == position
