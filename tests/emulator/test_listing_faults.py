"""What a listing of shards may show: late, stale, in another order, in small pages, or not all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from emulator.clicks import FIRST, AnyStream, Clicks, KinesisStream, TableStream, only_shard
from emulator.kit import Orders
from triggerkit.emulator import Emulator


@pytest.fixture(params=[TableStream, KinesisStream], ids=["table", "kinesis"])
def stream(request: pytest.FixtureRequest) -> AnyStream:
    make: Callable[[], AnyStream] = request.param
    return make()


def ids(shards: list[dict[str, Any]]) -> list[str]:
    return [shard["ShardId"] for shard in shards]


def is_closed(shard: dict[str, Any]) -> bool:
    return "EndingSequenceNumber" in shard["SequenceNumberRange"]


def test_a_hidden_shard_is_in_no_listing_but_can_be_read(stream: AnyStream) -> None:
    (child,) = stream.emulator.roll(stream.name)
    stream.emulator.faults.hide(child)
    assert child not in ids(stream.shards())
    stream.write("a")
    assert stream.keys(stream.page(stream.start(child))) == ["a"]
    stream.emulator.faults.show(child)
    assert child in ids(stream.shards())


def test_a_child_is_listed_late_and_its_parent_is_closed_meanwhile(stream: AnyStream) -> None:
    parent = only_shard(stream)
    stream.emulator.advance(60)
    stream.emulator.faults.describe_lag(10)
    (child,) = stream.emulator.roll(stream.name)
    (only,) = stream.shards()
    assert (only["ShardId"], is_closed(only)) == (parent, True)
    stream.emulator.advance(10)
    assert ids(stream.shards()) == [parent, child]


def test_a_stream_is_listed_late_and_works_meanwhile() -> None:
    orders, clicks = Orders(), Clicks()
    for emulator in (orders.emulator, clicks.emulator):
        emulator.faults.describe_lag(10)
    orders.put("a")
    assert orders.call("ListStreams")["Streams"] == []
    assert clicks.call("ListStreams")["StreamNames"] == []
    assert orders.call("DescribeStream", StreamArn=orders.stream_arn)
    for emulator in (orders.emulator, clicks.emulator):
        emulator.advance(10)
    assert len(orders.call("ListStreams")["Streams"]) == 1
    assert clicks.call("ListStreams")["StreamNames"] == ["clicks"]


def test_siblings_are_listed_one_by_one_in_an_order_of_the_seed(stream: AnyStream) -> None:
    stream.emulator.advance(60)
    stream.emulator.faults.describe_lag(1, spread_seconds=20)
    pair = set(stream.emulator.split(stream.name))
    seen: list[set[str]] = []
    for _ in range(25):
        listed = pair & set(ids(stream.shards()))
        if listed not in seen:
            seen.append(listed)
        stream.emulator.advance(1)
    assert [len(each) for each in seen] == [0, 1, 2]


def test_stale_listings_show_an_earlier_graph_so_many_times(stream: AnyStream) -> None:
    parent = only_shard(stream)
    stream.emulator.advance(60)
    children = list(stream.emulator.split(stream.name))
    stream.emulator.faults.stale_listings(times=2, seconds=30)
    for _ in range(2):
        (only,) = stream.shards()
        assert (only["ShardId"], is_closed(only)) == (parent, False)
    listed = stream.shards()
    assert ids(listed) == [parent, *sorted(children)]
    assert is_closed(listed[0])


def test_a_stale_listing_changes_nothing(stream: AnyStream) -> None:
    stream.emulator.advance(60)
    (child,) = stream.emulator.roll(stream.name)
    stream.emulator.faults.stale_listings(seconds=30)
    stream.shards()
    stream.write("a")
    assert stream.emulator.open_shards(stream.name) == [child]
    assert stream.keys(stream.page(stream.start(child))) == ["a"]


def pages_of_table(orders: Orders) -> list[str]:
    found: list[str] = []
    start: dict[str, str] = {}
    for _ in range(100):
        described = orders.call("DescribeStream", StreamArn=orders.stream_arn, **start)
        found += ids(described["StreamDescription"]["Shards"])
        last = described["StreamDescription"].get("LastEvaluatedShardId")
        if last is None:
            return found
        start = {"ExclusiveStartShardId": last}
    raise AssertionError("the listing does not end")


def pages_of_kinesis(clicks: Clicks) -> list[str]:
    answer = clicks.on("ListShards")
    found = ids(answer["Shards"])
    while "NextToken" in answer:
        answer = clicks.call("ListShards", NextToken=answer["NextToken"])
        found += ids(answer["Shards"])
    return found


@pytest.mark.parametrize("page_size", [1, 3, None])
@pytest.mark.parametrize("reordered", [False, True])
def test_pages_cover_every_shard_once_in_any_order_and_size(
    page_size: int | None, reordered: bool
) -> None:
    orders, clicks = Orders(), Clicks()
    for emulator, name, pages in (
        (orders.emulator, "orders", lambda: pages_of_table(orders)),
        (clicks.emulator, "clicks", lambda: pages_of_kinesis(clicks)),
    ):
        for _ in range(9):
            emulator.advance(1)
            emulator.split(name)
        every = pages()
        assert every == sorted(every)
        emulator.faults.listing_page_size(page_size)
        emulator.faults.reorder_listings(reordered)
        found = pages()
        assert sorted(found) == every
        assert (found == every) is not reordered


def test_describe_stream_of_kinesis_pages_too() -> None:
    clicks = Clicks(shards=5)
    clicks.emulator.faults.listing_page_size(2)
    found: list[str] = []
    start: dict[str, str] = {}
    while True:
        described = clicks.on("DescribeStream", **start)["StreamDescription"]
        found += ids(described["Shards"])
        if not described["HasMoreShards"]:
            break
        start = {"ExclusiveStartShardId": found[-1]}
    assert len(found) == len(set(found)) == 5


def test_the_other_order_is_one_for_each_seed() -> None:
    def order(seed: int) -> list[str]:
        emulator = Emulator(seed=seed)
        emulator.call("Kinesis_20131202.CreateStream", {"StreamName": "s", "ShardCount": 8})
        emulator.faults.reorder_listings()
        return ids(emulator.call("ListShards", {"StreamName": "s"})["Shards"])

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == sorted(order(2))


def test_listings_of_children_are_late_stale_and_paged_like_all() -> None:
    orders = Orders()
    (parent,) = orders.emulator.open_shards("orders")
    orders.emulator.advance(60)
    pair = sorted(orders.emulator.split("orders"))
    wanted = {"ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": parent}}
    faults = orders.emulator.faults
    assert ids(orders.shards_listed(**wanted)) == pair
    faults.stale_listings(1, seconds=5)
    assert ids(orders.shards_listed(**wanted)) == []
    faults.hide(pair[0])
    assert ids(orders.shards_listed(**wanted)) == pair[1:]
    faults.show(pair[0])
    faults.describe_lag(5)
    assert ids(orders.shards_listed(**wanted)) == []
    faults.describe_lag(0)
    faults.listing_page_size(1)
    assert ids(orders.shards_listed(**wanted)) == pair[:1]
    assert ids(orders.shards_listed(**wanted, ExclusiveStartShardId=pair[0])) == pair[1:]


def test_get_records_of_kinesis_names_children_that_are_listed_only() -> None:
    clicks = Clicks()
    clicks.emulator.advance(60)
    left, right = clicks.emulator.split("clicks")
    faults = clicks.emulator.faults

    def children() -> list[str]:
        return ids(clicks.page(clicks.iterator(FIRST))["ChildShards"])

    assert children() == [left, right]
    faults.hide(right)
    assert children() == [left]
    faults.describe_lag(5)
    assert children() == []


def test_filters_of_list_shards_see_what_is_shown() -> None:
    clicks = Clicks()
    clicks.emulator.advance(60)
    clicks.emulator.split("clicks")
    clicks.emulator.faults.stale_listings(1, seconds=30)
    assert clicks.shard_ids(ShardFilter={"Type": "AT_LATEST"}) == [FIRST]
    assert FIRST not in clicks.shard_ids(ShardFilter={"Type": "AT_LATEST"})


def test_a_merge_has_two_parents_and_tables_do_not_merge() -> None:
    clicks = Clicks(shards=2)
    parents = clicks.emulator.open_shards("clicks")
    child = clicks.emulator.merge("clicks")
    assert clicks.emulator.open_shards("clicks") == [child]
    (listed,) = [each for each in clicks.on("ListShards")["Shards"] if each["ShardId"] == child]
    assert [listed["ParentShardId"], listed["AdjacentParentShardId"]] == parents
    with pytest.raises(ValueError, match="no open shard after"):
        clicks.emulator.merge("clicks")
    with pytest.raises(ValueError, match="is no open shard"):
        clicks.emulator.merge("clicks", parents[0])
    with pytest.raises(ValueError, match="never merge"):
        Orders().emulator.merge("orders")


def test_clearing_lists_shards_as_they_are(stream: AnyStream) -> None:
    faults = stream.emulator.faults
    (child,) = stream.emulator.roll(stream.name)
    every = ids(stream.shards())
    faults.hide(child)
    faults.describe_lag(100)
    faults.stale_listings(5)
    faults.reorder_listings()
    faults.listing_page_size(1)
    faults.clear()
    assert ids(stream.shards()) == every
