"""What a read of a shard may meet, of a table's stream and of Kinesis: planned, counted, never a loss."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from emulator.clicks import AnyStream, KinesisStream, TableStream, only_shard, walk
from triggerkit.emulator import EmulatorError

KINDS = [TableStream, KinesisStream]
TOO_MANY = {
    "orders": "LimitExceededException",
    "clicks": "ProvisionedThroughputExceededException",
}


@pytest.fixture(params=KINDS, ids=["table", "kinesis"])
def stream(request: pytest.FixtureRequest) -> AnyStream:
    make: Callable[[], AnyStream] = request.param
    return make()


def test_an_empty_page_comes_before_records_and_reading_goes_on(stream: AnyStream) -> None:
    stream.write("a", "b")
    shard = only_shard(stream)
    stream.emulator.faults.empty_pages(2, shard)
    pages = [stream.page(stream.start(shard))]
    pages += [stream.page(pages[0]["NextShardIterator"])]
    assert [stream.keys(page) for page in pages] == [[], []]
    assert walk(stream, pages[1]["NextShardIterator"], 1) == (["a", "b"], False)


def test_an_empty_page_of_a_closed_shard_is_not_its_end(stream: AnyStream) -> None:
    shard = only_shard(stream)
    stream.emulator.roll(stream.name)
    stream.emulator.faults.empty_pages()
    page = stream.page(stream.start(shard))
    assert page["Records"] == []
    assert walk(stream, page["NextShardIterator"]) == ([], True)


def test_empty_pages_of_one_shard_do_not_meet_another(stream: AnyStream) -> None:
    shard = only_shard(stream)
    stream.write("a")
    stream.emulator.roll(stream.name)
    (child,) = stream.emulator.open_shards(stream.name)
    stream.write("b")
    stream.emulator.faults.empty_pages(1, child)
    assert walk(stream, stream.start(shard), 1) == (["a"], True)
    assert walk(stream, stream.start(child), 1) == ([], False)


def test_a_page_holds_no_more_records_than_planned(stream: AnyStream) -> None:
    stream.write(*"abcde")
    stream.emulator.faults.page_size(2)
    iterator = stream.start(only_shard(stream))
    sizes = []
    for _ in range(3):
        page = stream.page(iterator)
        sizes.append(len(page["Records"]))
        iterator = page["NextShardIterator"]
    assert sizes == [2, 2, 1]
    stream.emulator.faults.page_size(None)
    assert len(stream.page(stream.start(only_shard(stream)))["Records"]) == 5


def test_a_planned_page_size_is_never_more_than_was_asked_for(stream: AnyStream) -> None:
    stream.write(*"abc")
    stream.emulator.faults.page_size(2)
    page = stream.page(stream.start(only_shard(stream)), Limit=1)
    assert stream.keys(page) == ["a"]


def test_a_page_begins_again_with_the_last_records_of_the_one_before(stream: AnyStream) -> None:
    stream.write("a", "b")
    shard = only_shard(stream)
    first = stream.page(stream.start(shard))
    stream.write("c")
    stream.emulator.faults.duplicate(times=1, records=2, shard=shard)
    second = stream.page(first["NextShardIterator"])
    assert stream.keys(second) == ["a", "b", "c"]
    assert second["Records"][:2] == first["Records"]
    assert walk(stream, second["NextShardIterator"], 1) == ([], False)


def test_a_page_of_nothing_but_duplicates_sets_nobody_back(stream: AnyStream) -> None:
    stream.write("a", "b", "c")
    first = stream.page(stream.start(only_shard(stream)), Limit=2)
    stream.emulator.faults.duplicate(records=2)
    again = stream.page(first["NextShardIterator"], Limit=1)
    rest = stream.page(again["NextShardIterator"])
    assert [stream.keys(page) for page in (first, again, rest)] == [["a", "b"], ["a"], ["c"]]


def test_a_delay_that_begins_behind_a_reader_shows_it_nothing_twice(stream: AnyStream) -> None:
    stream.write("a", "b")
    page = stream.page(stream.start(only_shard(stream)), Limit=1)
    stream.emulator.faults.visibility_delay(5)
    held = stream.page(page["NextShardIterator"])
    assert stream.keys(held) == []
    stream.emulator.advance(5)
    assert walk(stream, held["NextShardIterator"], 1) == (["b"], False)


def test_a_duplicate_waits_for_a_page_that_has_something_before_it(stream: AnyStream) -> None:
    stream.write("a")
    stream.emulator.faults.duplicate()
    first = stream.page(stream.start(only_shard(stream)))
    again = stream.page(first["NextShardIterator"])
    rest = stream.page(again["NextShardIterator"])
    assert [stream.keys(page) for page in (first, again, rest)] == [["a"], ["a"], []]


def test_a_record_is_read_only_after_the_visibility_delay(stream: AnyStream) -> None:
    shard = only_shard(stream)
    stream.emulator.faults.visibility_delay(2.0)
    horizon, tip = stream.start(shard), stream.start(shard, "LATEST")
    stream.write("a")
    stream.emulator.advance(1)
    stream.write("b")
    assert walk(stream, horizon, 1) == ([], False)
    stream.emulator.advance(1)
    assert walk(stream, horizon, 1) == walk(stream, tip, 1) == (["a"], False)
    stream.emulator.advance(1)
    assert walk(stream, horizon, 1) == walk(stream, tip, 1) == (["a", "b"], False)


def test_a_shard_does_not_end_before_its_records_can_be_seen(stream: AnyStream) -> None:
    shard = only_shard(stream)
    stream.emulator.faults.visibility_delay(2.0)
    stream.write("a")
    stream.emulator.roll(stream.name)
    assert walk(stream, stream.start(shard), 3) == ([], False)
    stream.emulator.advance(2)
    assert walk(stream, stream.start(shard), 3) == (["a"], True)


def test_the_tip_is_behind_the_last_record_that_can_be_seen(stream: AnyStream) -> None:
    stream.emulator.faults.visibility_delay(5.0)
    stream.write("early")
    stream.emulator.advance(4)
    stream.write("late")
    tip = stream.start(only_shard(stream), "LATEST")
    stream.emulator.advance(10)
    assert walk(stream, tip, 1) == (["early", "late"], False)


def test_a_third_reader_of_one_shard_is_refused_until_one_stops(stream: AnyStream) -> None:
    shard = only_shard(stream)
    stream.emulator.faults.limit_readers(2)
    first, second, third = (stream.start(shard) for _ in range(3))
    first = stream.page(first)["NextShardIterator"]
    stream.page(second)
    with pytest.raises(EmulatorError) as refused:
        stream.page(third)
    assert refused.value.type == TOO_MANY[stream.name]
    assert "2 others read this shard" in refused.value.message
    stream.page(first)  # the same reader goes on
    stream.emulator.advance(1.5)
    stream.page(third)


def test_a_reader_that_came_to_the_end_makes_room(stream: AnyStream) -> None:
    shard = only_shard(stream)
    stream.emulator.faults.limit_readers(1)
    stream.emulator.roll(stream.name)
    for _ in range(3):
        assert walk(stream, stream.start(shard)) == ([], True)


def test_the_limit_of_readers_is_one_of_each_shard(stream: AnyStream) -> None:
    parent = only_shard(stream)
    left, right = stream.emulator.split(stream.name)
    stream.emulator.faults.limit_readers(1)
    for shard in (parent, left, right):
        stream.page(stream.start(shard))


def test_a_shard_is_read_so_many_times_a_second_only(stream: AnyStream) -> None:
    stream.emulator.faults.limit_reads()
    iterator = stream.start(only_shard(stream))
    for _ in range(5):
        iterator = stream.page(iterator)["NextShardIterator"]
    with pytest.raises(EmulatorError, match="more than 5 times a second") as refused:
        stream.page(iterator)
    assert refused.value.type == TOO_MANY[stream.name]
    stream.emulator.advance(1)
    stream.page(iterator)
    stream.emulator.faults.limit_reads(None, None)
    for _ in range(9):
        stream.page(iterator)


def test_a_shard_gives_so_many_bytes_a_second_only(stream: AnyStream) -> None:
    stream.write(*(letter * 200 for letter in "abc"))
    stream.emulator.faults.limit_reads(None, 100)
    iterator = stream.page(stream.start(only_shard(stream)))["NextShardIterator"]
    with pytest.raises(EmulatorError, match="read more than 100 bytes a second"):
        stream.page(iterator)
    stream.emulator.advance(1)
    stream.page(iterator)


def test_a_throttle_meets_the_shard_that_it_was_planned_for(stream: AnyStream) -> None:
    parent = only_shard(stream)
    stream.emulator.roll(stream.name)
    (child,) = stream.emulator.open_shards(stream.name)
    stream.emulator.faults.throttle("GetRecords", times=2, shard=child)
    stream.page(stream.start(parent))
    for _ in range(2):
        with pytest.raises(EmulatorError, match="ThrottlingException"):
            stream.page(stream.start(child))
    stream.page(stream.start(child))


def test_calls_above_a_rate_are_throttled(stream: AnyStream) -> None:
    stream.emulator.faults.throttle_above("GetShardIterator", 2)
    shard = only_shard(stream)
    for _ in range(2):
        stream.start(shard)
    with pytest.raises(EmulatorError, match="ThrottlingException"):
        stream.start(shard)
    stream.emulator.advance(1)
    stream.start(shard)
    stream.emulator.faults.throttle_above("GetShardIterator", None)
    for _ in range(5):
        stream.start(shard)


def test_clearing_forgets_all_plans_for_reads(stream: AnyStream) -> None:
    faults = stream.emulator.faults
    stream.write("a", "b", "c")
    faults.empty_pages(3)
    faults.page_size(1)
    faults.duplicate(3)
    faults.visibility_delay(100)
    faults.limit_reads(0, 0)
    faults.limit_readers(0)
    faults.throttle_above("GetRecords", 0)
    faults.clear()
    assert walk(stream, stream.start(only_shard(stream)), 1) == (["a", "b", "c"], False)


def plan_something(chance: Random, stream: AnyStream) -> None:
    faults = stream.emulator.faults
    match chance.randrange(6):
        case 0:
            faults.empty_pages(chance.randrange(1, 3))
        case 1:
            faults.page_size(chance.choice([1, 2, 5, None]))
        case 2:
            faults.duplicate(1, chance.randrange(1, 4))
        case 3:
            faults.visibility_delay(chance.choice([0.0, 0.0, 0.5, 2.0]))
        case 4:
            stream.emulator.advance(chance.random())


def number_of(record: dict[str, Any]) -> int:
    return int(record.get("SequenceNumber") or record["dynamodb"]["SequenceNumber"])


@pytest.mark.parametrize("seed", range(20))
def test_every_record_is_read_once_and_in_order_whatever_is_planned(
    stream: AnyStream, seed: int
) -> None:
    """A reader that leaves out what it has seen loses nothing, and is told of no end too early."""
    chance = Random(seed)
    written: list[str] = []
    found: list[str] = []
    last = 0
    iterator: str | None = stream.start(only_shard(stream))
    for step in range(200):
        if step < 60:
            written.append(f"k{step:03}")
            stream.write(written[-1])
        if step == 60:
            stream.emulator.roll(stream.name)
        plan_something(chance, stream)
        assert iterator is not None, f"seed {seed}"
        page = stream.page(iterator)
        numbers = [number_of(record) for record in page["Records"]]
        assert all(one < other for one, other in pairwise(numbers)), f"seed {seed}"
        for key, number in zip(stream.keys(page), numbers, strict=True):
            if number > last:
                found.append(key)
                last = number
        iterator = page.get("NextShardIterator")
        if iterator is None:
            break
    assert iterator is None, f"seed {seed}"
    assert found == written, f"seed {seed}"
