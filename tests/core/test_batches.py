"""Lanes and batches: the rules B-1 to B-9, and that a lane keeps order and loses nothing."""

from __future__ import annotations

import pytest
from core.builders import batch, numbers, options, record, records
from hypothesis import given, settings
from hypothesis import strategies as st

from triggerkit.core.batches import (
    EVENT_OVERHEAD_BYTES,
    PAYLOAD_LIMIT_BYTES,
    Lane,
    Run,
    lane_of,
    split_into_lanes,
)
from triggerkit.core.model import NEVER, Batch, DiscardReason, Record
from triggerkit.core.options import MappingOptions

MEGABYTE = 1024 * 1024


def filled(*sizes_of_runs: int, now_seconds: float = 0.0, size_bytes: int = 2) -> Lane:
    """A lane with runs of that many records, numbered 0, 1, 2 …"""
    lane, first = Lane(0), 0
    for size in sizes_of_runs:
        add(lane, range(first, first + size), now_seconds, size_bytes)
        first += size
    return lane


def add(lane: Lane, given: range, now_seconds: float = 0.0, size_bytes: int = 2) -> None:
    mine = tuple(record(number, size_bytes=size_bytes) for number in given)
    lane.add(split_into_lanes(mine, given, 1)[0], now_seconds)


def ready_at(lane: Lane, given: MappingOptions, *, ended: bool = False) -> float:
    return lane.ready_at(given, ended=ended)


def drained(lane: Lane, given: MappingOptions) -> list[list[int]]:
    taken = []
    while ready_at(lane, given) < NEVER:
        taken.append(numbers(lane.take(given)))
    return taken


# --- when a batch closes ----------------------------------------------------------------------------


def test_an_empty_lane_has_no_batch() -> None:
    assert ready_at(Lane(0), options()) == NEVER
    assert ready_at(Lane(0), options(), ended=True) == NEVER


def test_b1_a_batch_closes_at_its_size_whatever_the_window() -> None:
    lane, given = filled(3), options(batch_size=3, maximum_batching_window_in_seconds=300)
    assert ready_at(lane, given) == 0.0
    assert numbers(lane.take(given)) == [0, 1, 2]


def test_b1_a_batch_closes_at_six_megabytes_whatever_the_window() -> None:
    given = options(batch_size=100, maximum_batching_window_in_seconds=300)
    lane = filled(5, now_seconds=7.0, size_bytes=MEGABYTE)
    assert ready_at(lane, given) == 307.0
    add(lane, range(5, 6), 8.0, MEGABYTE)
    assert ready_at(lane, given) == 0.0


def test_b1_a_batch_closes_at_the_end_of_the_shard() -> None:
    lane, given = filled(1, now_seconds=7.0), options(maximum_batching_window_in_seconds=300)
    assert ready_at(lane, given) == 307.0
    assert ready_at(lane, given, ended=True) == 0.0


def test_b2_without_a_window_a_batch_is_what_was_read_cut_at_its_size() -> None:
    lane, given = filled(5, now_seconds=7.0), options(batch_size=2)
    assert ready_at(lane, given) <= 7.0
    assert drained(lane, given) == [[0, 1], [2, 3], [4]]


def test_b2_what_was_read_meanwhile_fills_the_batch() -> None:
    assert drained(filled(2, 2, 2), options(batch_size=5)) == [[0, 1, 2, 3, 4], [5]]


def test_b3_the_window_opens_with_the_first_waiting_record() -> None:
    lane, given = filled(1, now_seconds=7.0), options(maximum_batching_window_in_seconds=5)
    assert ready_at(lane, given) == 12.0
    add(lane, range(1, 2), 9.0)
    assert ready_at(lane, given) == 12.0, "a later record does not open it anew"


def test_b3_the_window_opens_when_the_last_call_completed_if_that_was_later() -> None:
    given = options(maximum_batching_window_in_seconds=5)
    lane = filled(1)
    lane.take(given)
    add(lane, range(1, 2), 1.0)
    lane.call_completed(4.0)
    assert ready_at(lane, given) == 9.0


def test_b3_a_call_long_ago_opens_no_window_for_a_record_of_now() -> None:
    given = options(maximum_batching_window_in_seconds=5)
    lane = Lane(0)
    lane.call_completed(4.0)
    add(lane, range(1), 100.0)
    assert ready_at(lane, given) == 105.0


def test_b3_five_records_with_batches_of_two_and_a_window_of_five_seconds() -> None:
    given = options(batch_size=2, maximum_batching_window_in_seconds=5)
    lane, seconds, seen = filled(5, now_seconds=10.0), 10.0, []
    while (due := ready_at(lane, given)) < NEVER:
        seconds = max(seconds, due)
        seen.append((numbers(lane.take(given)), round(seconds, 3)))
        seconds += 0.004
        lane.call_completed(seconds)
    assert seen == [([0, 1], 10.0), ([2, 3], 10.004), ([4], 15.008)]


# --- lanes --------------------------------------------------------------------------------------


def test_b4_a_batch_holds_records_of_one_lane_only() -> None:
    mixed = tuple(record(i, key=b"%d" % (i % 7)) for i in range(50))
    runs = split_into_lanes(mixed, range(50), 4)
    for number, run in runs.items():
        assert {lane_of(each.key, 4) for each in run.records} == {number}
        assert list(run.ordinals) == [int(each.sequence_number) for each in run.records]
    assert sorted(n for run in runs.values() for n in run.ordinals) == list(range(50))


def test_b8_records_of_one_key_share_a_lane_in_every_process() -> None:
    assert [lane_of(key, 10) for key in (b"a", b"b", b"user#7", b"")] == [7, 1, 3, 0]


def test_b8_order_is_kept_inside_a_lane() -> None:
    mixed = tuple(record(i, key=b"%d" % (i * 31 % 11)) for i in range(100))
    for run in split_into_lanes(mixed, range(100), 10).values():
        assert list(run.ordinals) == sorted(run.ordinals)


def test_one_lane_takes_a_page_as_one_run() -> None:
    page = records(1, 2, 3)
    ((lane, run),) = split_into_lanes(page, range(4, 7), 1).items()
    assert (lane, run.records, run.ordinals) == (0, page, range(4, 7))
    assert run.size_bytes(0, 3) == 3 * (2 + EVENT_OVERHEAD_BYTES)
    assert run.records is page
    assert split_into_lanes((), range(0), 1) == {}
    assert split_into_lanes((), range(0), 4) == {}


def test_a_batch_of_neighbours_has_one_interval_of_ordinals() -> None:
    given = options(batch_size=10)
    assert filled(3, 3).take(given).ordinals == range(6)
    assert filled(20).take(given).ordinals == range(10)


def test_a_batch_with_holes_names_each_ordinal() -> None:
    lane = Lane(2)
    lane.add(Run(records(0, 2), (0, 2)), 0.0)
    lane.add(Run(records(5), (5,)), 0.0)
    taken = lane.take(options())
    assert (taken.lane, list(taken.ordinals)) == (2, [0, 2, 5])


# --- the payload limit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([MEGABYTE] * 7, [[0, 1, 2, 3, 4], [5, 6]]),
        ([7 * MEGABYTE, 1, 1], [[0], [1, 2]]),
        ([1, 7 * MEGABYTE, 1], [[0], [1], [2]]),
        ([PAYLOAD_LIMIT_BYTES - EVENT_OVERHEAD_BYTES, 1], [[0], [1]]),
        ([PAYLOAD_LIMIT_BYTES - 2 * EVENT_OVERHEAD_BYTES - 1, 1, 1], [[0, 1], [2]]),
    ],
)
@pytest.mark.parametrize("pages", ["one page", "a page a record"])
def test_b6_a_batch_is_cut_before_the_payload_limit(
    sizes: list[int], batches: list[list[int]], pages: str
) -> None:
    all_records = [record(i, size_bytes=size) for i, size in enumerate(sizes)]
    lane = Lane(0)
    if pages == "one page":
        lane.add(split_into_lanes(all_records, range(len(sizes)), 1)[0], 0.0)
    else:
        for i, each in enumerate(all_records):
            lane.add(split_into_lanes((each,), range(i, i + 1), 1)[0], 0.0)
    assert drained(lane, options()) == batches
    assert (lane.waiting, lane.waiting_bytes) == (0, 0)


# --- what comes back ------------------------------------------------------------------------------


def test_b13_what_comes_back_goes_first_and_is_not_merged_with_later_records() -> None:
    lane, given = filled(6), options(batch_size=4)
    taken = lane.take(given)
    first, second = taken.split(1)
    lane.put_back((first, second))
    add(lane, range(6, 8))
    assert drained(lane, given) == [[0], [1, 2, 3], [4, 5, 6, 7]]


def test_what_comes_back_waits_for_its_time_even_at_the_end_of_the_shard() -> None:
    lane, given = filled(2), options()
    lane.put_back((batch(1, not_before_seconds=42.0),))
    assert ready_at(lane, given, ended=True) == 42.0


def test_a_lane_tells_what_it_is_at_and_where_it_begins() -> None:
    lane = filled(3)
    assert (lane.head, lane.first_ordinal) == (None, 0)
    again, held, running = (batch(number, attempts=number) for number in (3, 2, 1))
    lane.put_back((again,))
    assert (lane.head, lane.first_ordinal) == (again, 0)
    lane.hold(held, DiscardReason.RECORD_AGE_EXCEEDED, 9.0)
    assert lane.head == held
    lane.under_way = running
    assert lane.head == running
    assert (Lane(0).head, Lane(0).first_ordinal) == (None, NEVER)


def test_a_batch_that_is_held_is_remembered_with_its_reason() -> None:
    lane = Lane(0)
    lane.hold(batch(1), DiscardReason.RECORD_AGE_EXCEEDED, 9.0)
    assert lane.held is not None
    assert (lane.held.reason, lane.held.not_before_seconds) == (
        DiscardReason.RECORD_AGE_EXCEEDED,
        9.0,
    )


@settings(derandomize=True, deadline=None, max_examples=200)
@given(data=st.data(), batch_size=st.integers(1, 9), lanes=st.integers(1, 3))
def test_a_lane_keeps_order_and_loses_nothing(
    data: st.DataObject, batch_size: int, lanes: int
) -> None:
    """Any sequence of pages, takes and splits that come back, with small and huge records."""
    given_options = options(batch_size=batch_size)
    queues = [Lane(number) for number in range(lanes)]
    left: list[list[int]] = [[] for _ in range(lanes)]
    added: list[list[int]] = [[] for _ in range(lanes)]
    total = 0
    sizes = st.sampled_from([0, 10, 100_000, 3 * MEGABYTE, 7 * MEGABYTE])
    for _ in range(data.draw(st.integers(0, 25))):
        if data.draw(st.booleans()):
            page: list[Record] = []
            for number in range(total, total + data.draw(st.integers(0, 8))):
                key = b"%d" % data.draw(st.integers(0, 5))
                page.append(record(number, key=key, size_bytes=data.draw(sizes)))
            ordinals = range(total, total + len(page))
            total += len(page)
            for number, run in split_into_lanes(page, ordinals, lanes).items():
                queues[number].add(run, 0.0)
                added[number] += numbers(run.records)
        else:
            lane = queues[data.draw(st.integers(0, lanes - 1))]
            if lane.ready_at(given_options, ended=False) == NEVER:
                continue
            taken = lane.take(given_options)
            _check(taken, lane, batch_size)
            kept = data.draw(st.integers(0, len(taken)))
            again = taken.split(kept)[1]
            if len(again):
                half = data.draw(st.integers(0, len(again)))
                lane.put_back([part for part in again.split(half) if len(part)])
            left[lane.number] += numbers(taken)[:kept]
    for lane in queues:
        left[lane.number] += [n for taken in drained(lane, given_options) for n in taken]
        assert (lane.waiting, lane.waiting_bytes) == (0, 0)
    assert left == added


def _check(taken: Batch, lane: Lane, batch_size: int) -> None:
    assert 1 <= len(taken) <= batch_size
    assert taken.lane == lane.number
    assert list(taken.ordinals) == numbers(taken)
    size = sum(len(each.raw) + EVENT_OVERHEAD_BYTES for each in taken.records)
    assert size <= PAYLOAD_LIMIT_BYTES or len(taken) == 1
    assert lane.waiting >= 0
    assert lane.waiting_bytes >= 0
