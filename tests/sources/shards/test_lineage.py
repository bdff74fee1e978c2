"""Shards over all incarnations of a table's stream."""

from __future__ import annotations

import pytest

from triggerkit.core.model import Shard, ShardId
from triggerkit.errors import LocatorError
from triggerkit.sources.dynamodb.service import StreamArn, parse_stream_arn
from triggerkit.sources.shards.lineage import (
    ListedShard,
    ListedStream,
    children_of,
    created_seconds,
    lineage,
    shard_name_of,
)

PREFIX = "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/"
OLD = parse_stream_arn(PREFIX + "2026-01-01T00:00:00.000")
NEW = parse_stream_arn(PREFIX + "2026-02-01T00:00:00.000")


def stream(
    arn: StreamArn, *shards: tuple[str, str | None] | tuple[str, str | None, bool], status: str
) -> ListedStream:
    listed = tuple(ListedShard(name, parent, bool(ended)) for name, parent, *ended in shards)
    return ListedStream(arn.incarnation, status.startswith("ENABL"), arn.made_seconds, listed)


def by_name(shards: tuple[Shard, ...]) -> dict[str, Shard]:
    return {shard_name_of(shard.id): shard for shard in shards}


def test_an_arn_is_taken_apart() -> None:
    assert (OLD.region, OLD.account, OLD.table) == ("eu-west-1", "111122223333", "orders")
    assert OLD.label == "2026-01-01T00:00:00.000"
    assert OLD.shard_id("shardId-1") == "2026-01-01T00_00_00.000:shardId-1"
    assert shard_name_of(ShardId("2026-01-01T00_00_00.000:shardId-1")) == "shardId-1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "orders",
        "arn:aws:dynamodb:eu-west-1:1:table/orders",
        "arn:aws:dynamodb:eu-west-1:1:table/orders/index/by_date",
        "arn:aws:dynamodb:eu-west-1:1:table/orders/stream/",
        "arn:aws:kinesis:eu-west-1:1:stream/orders",
    ],
)
def test_other_texts_are_no_stream_arns(text: str) -> None:
    with pytest.raises(LocatorError, match="no ARN of a DynamoDB stream"):
        parse_stream_arn(text)


def test_parents_are_kept_whether_they_are_listed_or_not() -> None:
    shards = by_name(lineage([stream(NEW, ("b", "a"), ("c", "b"), status="ENABLED")]))
    assert shards["b"].parents == (NEW.shard_id("a"),)
    assert shards["c"].parents == (NEW.shard_id("b"),)


def test_a_shard_is_closed_by_its_end_or_by_listed_children() -> None:
    shards = by_name(
        lineage(
            [stream(NEW, ("a", None), ("b", "a"), ("c", None, True), ("d", None), status="ENABLED")]
        )
    )
    assert {name: shard.closed for name, shard in shards.items()} == {
        "a": True,
        "b": False,
        "c": True,
        "d": False,
    }


def test_all_shards_of_a_disabled_stream_are_closed() -> None:
    assert all(s.closed for s in lineage([stream(NEW, ("a", None), status="DISABLED")]))


def test_roots_of_a_newer_stream_are_children_of_all_leaves_of_the_older() -> None:
    shards = lineage(
        [
            stream(OLD, ("a", None), ("b", "a"), ("c", "a"), status="DISABLED"),
            stream(NEW, ("x", None), ("y", "x"), ("z", "gone"), status="ENABLED"),
        ]
    )
    found = by_name(shards)
    assert found["x"].parents == (OLD.shard_id("b"), OLD.shard_id("c"))
    assert found["y"].parents == (NEW.shard_id("x"),)
    assert found["z"].parents == (NEW.shard_id("gone"),)
    assert found["b"].closed
    assert not found["y"].closed


def test_a_stream_without_shards_hands_on_the_leaves_before_it() -> None:
    middle = parse_stream_arn(PREFIX + "2026-01-15T00:00:00.000")
    shards = by_name(
        lineage(
            [
                stream(OLD, ("a", None), status="DISABLED"),
                stream(middle, status="DISABLED"),
                stream(NEW, ("x", None), status="ENABLING"),
            ]
        )
    )
    assert shards["x"].parents == (OLD.shard_id("a"),)


def test_the_same_shard_name_in_two_streams_is_two_shards() -> None:
    shards = lineage(
        [stream(OLD, ("a", None), status="DISABLED"), stream(NEW, ("a", None), status="ENABLED")]
    )
    assert len({shard.id for shard in shards}) == 2


def test_children_are_those_that_name_the_parent_whatever_was_sent() -> None:
    sent = [
        ListedShard("p", None, ended=True),  # the filter was ignored: the parent itself
        ListedShard("q", "q", ended=False),
        ListedShard("c1", "p", ended=False),
        ListedShard("c1", "p", ended=False),
        ListedShard("c2", "p", ended=True),
        ListedShard("g", "c1", ended=False),
    ]
    children = children_of(NEW.incarnation, "p", sent)
    assert [shard_name_of(child.id) for child in children] == ["c1", "c2"]
    assert {child.parents for child in children} == {(NEW.shard_id("p"),)}
    assert children_of(NEW.incarnation, "q", sent) == ()


def test_an_id_of_aws_tells_when_a_shard_was_made() -> None:
    assert created_seconds("shardId-00000001764085655123-0a1b2c3d") == 1764085655.123
    assert created_seconds("shardId-000000000000") is None
    assert created_seconds("shardId-x0000001764085655123-0a1b2c3d") is None
    assert created_seconds("anything") is None
