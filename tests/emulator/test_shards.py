"""Shards: lineage, routing, iterators, expiry and retention."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from emulator.kit import Orders, refused
from triggerkit.emulator import EmulatorError

HOUR_SECONDS = 3600


def ids(shards: list[dict[str, Any]]) -> list[str]:
    return [shard["ShardId"] for shard in shards]


def keys(records: list[dict[str, Any]]) -> list[str]:
    return [record["dynamodb"]["Keys"]["pk"]["S"] for record in records]


def test_a_roll_closes_the_shard_and_goes_on_in_one_child() -> None:
    orders = Orders()
    orders.put("a")
    (parent,) = ids(orders.shards_listed())
    (child,) = orders.emulator.roll("orders")
    orders.put("b")
    listed = {shard["ShardId"]: shard for shard in orders.shards_listed()}
    assert listed[child]["ParentShardId"] == parent
    assert "EndingSequenceNumber" in listed[parent]["SequenceNumberRange"]
    assert "EndingSequenceNumber" not in listed[child]["SequenceNumberRange"]
    assert keys(orders.records(parent)) == ["a"]
    assert keys(orders.records(child)) == ["b"]
    assert orders.emulator.open_shards("orders") == [child]


def test_a_split_shares_the_keys_of_the_parent_between_two_children() -> None:
    orders = Orders()
    left, right = orders.emulator.split("orders")
    for index in range(40):
        orders.put(f"k{index}")
    halves = [set(keys(orders.records(child))) for child in (left, right)]
    assert halves[0] | halves[1] == {f"k{index}" for index in range(40)}
    assert not halves[0] & halves[1]
    assert all(halves)


def test_shard_ids_have_the_length_and_form_of_aws() -> None:
    orders = Orders(shards=4)
    for shard_id in ids(orders.shards_listed()):
        assert 28 <= len(shard_id) <= 65
        assert shard_id.startswith("shardId-")
    assert len(set(ids(orders.shards_listed()))) == 4


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_or_reordered_while_shards_roll_and_split(seed: int) -> None:
    random = Random(seed)
    orders = Orders(shards=2)
    written: dict[str, list[str]] = {}
    for step in range(300):
        if random.random() < 0.05:
            shard = random.choice(orders.emulator.open_shards("orders"))
            turn = orders.emulator.roll if random.random() < 0.6 else orders.emulator.split
            turn("orders", shard)
        key = f"k{random.randrange(12)}"
        orders.put(key, step={"N": f"{step}"})
        written.setdefault(key, []).append(f"{step}")
        orders.emulator.advance(random.random())
    seen: dict[str, list[str]] = {}
    for shard_id in parents_first(orders.shards_listed()):
        for record in orders.records(shard_id):
            key = record["dynamodb"]["Keys"]["pk"]["S"]
            seen.setdefault(key, []).append(record["dynamodb"]["NewImage"]["step"]["N"])
    assert seen == written, f"seed {seed}"


def parents_first(shards: list[dict[str, Any]]) -> list[str]:
    parents = {shard["ShardId"]: shard.get("ParentShardId") for shard in shards}

    def depth(shard_id: str) -> int:
        parent = parents[shard_id]
        return 0 if parent is None else depth(parent) + 1

    return sorted(parents, key=depth)


def test_a_closed_shard_ends_in_the_answer_of_its_last_record() -> None:
    orders = Orders()
    orders.put("a")
    orders.put("b")
    (shard,) = ids(orders.shards_listed())
    orders.emulator.roll("orders")
    first = orders.page(orders.iterator(shard), Limit=1)
    last = orders.page(first["NextShardIterator"], Limit=1)
    assert keys(last["Records"]) == ["b"]
    assert "NextShardIterator" not in last
    assert orders.page(orders.iterator(shard, "LATEST")) == {"Records": []}


def test_an_open_shard_always_gives_a_next_iterator() -> None:
    orders = Orders()
    page = orders.page(orders.iterator(ids(orders.shards_listed())[0]))
    assert page["Records"] == []
    orders.put("a")
    assert keys(orders.page(page["NextShardIterator"])["Records"]) == ["a"]


def test_an_iterator_can_be_used_again_and_gives_the_same_page() -> None:
    orders = Orders()
    orders.put("a")
    iterator = orders.iterator(ids(orders.shards_listed())[0])
    first = orders.page(iterator)
    orders.put("b")
    assert orders.page(iterator, Limit=1)["Records"] == first["Records"]


def test_sequence_number_iterators_start_at_and_after_a_record() -> None:
    orders = Orders()
    for key in "abc":
        orders.put(key)
    (shard,) = ids(orders.shards_listed())
    second = orders.records()[1]["dynamodb"]["SequenceNumber"]
    at = orders.iterator(shard, "AT_SEQUENCE_NUMBER", SequenceNumber=second)
    after = orders.iterator(shard, "AFTER_SEQUENCE_NUMBER", SequenceNumber=second)
    between = orders.iterator(shard, "AT_SEQUENCE_NUMBER", SequenceNumber=str(int(second) + 1))
    assert keys(orders.page(at)["Records"]) == ["b", "c"]
    assert keys(orders.page(after)["Records"]) == ["c"]
    assert keys(orders.page(between)["Records"]) == ["c"]


def test_a_sequence_number_that_was_never_given_out_is_refused() -> None:
    orders = Orders()
    orders.put("a")
    (shard,) = ids(orders.shards_listed())
    last = int(orders.records()[0]["dynamodb"]["SequenceNumber"])
    for number in (str(last + 1), "9" * 40, "1" * 21, "x" * 21, "5"):
        error = refused(
            orders,
            "GetShardIterator",
            StreamArn=orders.stream_arn,
            ShardId=shard,
            ShardIteratorType="AFTER_SEQUENCE_NUMBER",
            SequenceNumber=number,
        )
        assert error.type == "ValidationException", number


def test_a_timestamp_iterator_starts_at_the_first_record_of_that_time() -> None:
    orders = Orders()
    start_seconds = orders.emulator.clock.now_seconds()
    for key in "abc":
        orders.put(key)
        orders.emulator.advance(10)
    (shard,) = ids(orders.shards_listed())
    iterator = orders.iterator(shard, "AT_TIMESTAMP", Timestamp=start_seconds + 10)
    assert keys(orders.page(iterator)["Records"]) == ["b", "c"]
    future = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": start_seconds + 31}
    place = {"StreamArn": orders.stream_arn, "ShardId": shard, **future}
    assert refused(orders, "GetShardIterator", **place).type == "ValidationException"


def test_an_iterator_expires_after_fifteen_minutes() -> None:
    orders = Orders()
    iterator = orders.iterator(ids(orders.shards_listed())[0])
    orders.emulator.advance(15 * 60)
    orders.page(iterator)
    orders.emulator.advance(1)
    error = refused(orders, "GetRecords", ShardIterator=iterator)
    assert error.type == "ExpiredIteratorException"


def test_iterators_expire_on_command_and_later_ones_work() -> None:
    orders = Orders()
    (shard,) = ids(orders.shards_listed())
    iterator = orders.iterator(shard)
    orders.emulator.expire_iterators()
    error = refused(orders, "GetRecords", ShardIterator=iterator)
    assert error.type == "ExpiredIteratorException"
    orders.page(orders.iterator(shard))


def test_records_are_trimmed_after_24_hours_and_reading_them_is_refused() -> None:
    orders = Orders()
    orders.put("a")
    (shard,) = ids(orders.shards_listed())
    first = orders.records()[0]["dynamodb"]["SequenceNumber"]
    orders.emulator.advance(23 * HOUR_SECONDS)
    orders.put("b")
    before = orders.iterator(shard)
    orders.emulator.advance(HOUR_SECONDS + 1)
    assert keys(orders.records()) == ["b"]
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        with pytest.raises(EmulatorError) as caught:
            orders.iterator(shard, kind, SequenceNumber=first)
        assert caught.value.type == "TrimmedDataAccessException"
    assert refused(orders, "GetRecords", ShardIterator=before).type == "ExpiredIteratorException"


def test_an_iterator_before_trimmed_records_is_refused() -> None:
    orders = Orders()
    orders.put("a")
    orders.put("b")
    iterator = orders.iterator(ids(orders.shards_listed())[0])
    first = orders.records()[0]["dynamodb"]["SequenceNumber"]
    orders.emulator.trim("orders", through=first)
    assert (
        refused(orders, "GetRecords", ShardIterator=iterator).type == "TrimmedDataAccessException"
    )
    assert keys(orders.records()) == ["b"]


def test_a_closed_shard_leaves_the_listing_with_its_last_record() -> None:
    orders = Orders()
    orders.put("a")
    (parent,) = ids(orders.shards_listed())
    (child,) = orders.emulator.roll("orders")
    orders.emulator.advance(24 * HOUR_SECONDS + 2)
    (listed,) = orders.shards_listed()
    assert listed["ShardId"] == child
    assert listed["ParentShardId"] == parent, "as AWS tells it, though nothing of it is left"
    with pytest.raises(EmulatorError) as caught:
        orders.iterator(parent)
    assert caught.value.type == "ResourceNotFoundException"


def test_only_a_closed_shard_can_be_dropped_from_the_listing() -> None:
    orders = Orders()
    (parent,) = ids(orders.shards_listed())
    with pytest.raises(ValueError, match="is open"):
        orders.emulator.drop_shard("orders", parent)
    (child,) = orders.emulator.roll("orders")
    orders.emulator.drop_shard("orders", parent)
    assert ids(orders.shards_listed()) == [child]


def test_a_page_holds_at_most_one_megabyte_but_always_one_record() -> None:
    orders = Orders()
    for key in "abcde":
        orders.put(key, body={"S": "x" * 300_000})
    pages = []
    iterator = orders.iterator(ids(orders.shards_listed())[0])
    while True:
        page = orders.page(iterator)
        if not page["Records"]:
            break
        pages.append(keys(page["Records"]))
        iterator = page["NextShardIterator"]
    assert pages == [["a", "b", "c"], ["d", "e"]]


def test_a_page_holds_at_most_1000_records() -> None:
    orders = Orders()
    for index in range(1100):
        orders.put(f"{index}")
    first = orders.page(orders.iterator(ids(orders.shards_listed())[0]))
    assert len(first["Records"]) == 1000
    assert len(orders.page(first["NextShardIterator"])["Records"]) == 100


def test_describe_stream_pages_through_more_than_100_shards() -> None:
    orders = Orders()
    for _ in range(120):
        orders.emulator.advance(1)
        orders.emulator.roll("orders")
    first = orders.call("DescribeStream", StreamArn=orders.stream_arn)["StreamDescription"]
    start = first["LastEvaluatedShardId"]
    second = orders.shards_listed(ExclusiveStartShardId=start)
    assert len(first["Shards"]) == 100
    assert len(second) == 21
    assert len({*ids(first["Shards"]), *ids(second)}) == 121
    three = orders.shards_listed(Limit=3)
    assert ids(three) == ids(first["Shards"])[:3]


def test_the_child_shards_filter_lists_the_children_only() -> None:
    orders = Orders()
    (root,) = ids(orders.shards_listed())
    children = orders.emulator.split("orders")
    orders.emulator.roll("orders", children[0])
    listed = orders.shards_listed(ShardFilter={"Type": "CHILD_SHARDS", "ShardId": root})
    assert set(ids(listed)) == set(children)
    assert {shard["ParentShardId"] for shard in listed} == {root}


def test_a_hidden_shard_is_left_out_of_listings_until_it_is_shown() -> None:
    orders = Orders()
    (root,) = ids(orders.shards_listed())
    (child,) = orders.emulator.roll("orders")
    orders.emulator.faults.hide(child)
    assert ids(orders.shards_listed()) == [root]
    asked = {"Type": "CHILD_SHARDS", "ShardId": root}
    assert orders.shards_listed(ShardFilter=asked) == []
    orders.emulator.faults.show(child)
    assert set(ids(orders.shards_listed())) == {root, child}


def test_rolling_or_splitting_a_closed_shard_is_a_mistake_of_the_test() -> None:
    orders = Orders()
    (root,) = ids(orders.shards_listed())
    orders.emulator.roll("orders")
    with pytest.raises(ValueError, match="closed already"):
        orders.emulator.roll("orders", root)
    with pytest.raises(ValueError, match="hash range"):
        orders.emulator.split("orders", at=0)


def test_controls_name_what_they_do_not_find() -> None:
    with pytest.raises(EmulatorError, match="absent is neither a stream nor a table"):
        Orders().emulator.roll("absent")
