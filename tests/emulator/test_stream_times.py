"""A stream's time in the emulator alone: what the comparison with DynamoDB Local brought to light."""

from __future__ import annotations

from emulator.kit import Orders, refused

DAY_SECONDS = 24 * 3600


def test_an_old_iterator_is_expired_also_when_its_stream_is_gone() -> None:
    orders = Orders()
    orders.put("a")
    iterator = orders.iterator(orders.shards_listed()[0]["ShardId"])
    orders.call("DeleteTable", TableName="orders")
    orders.emulator.advance(DAY_SECONDS + 1)
    assert refused(orders, "GetRecords", ShardIterator=iterator).type == "ExpiredIteratorException"


def test_a_fresh_iterator_of_a_stream_that_goes_finds_nothing() -> None:
    orders = Orders()
    orders.put("a")
    arn, shard_id = orders.stream_arn, orders.shards_listed()[0]["ShardId"]
    orders.call("DeleteTable", TableName="orders")
    orders.emulator.advance(DAY_SECONDS - 60)
    place = {"StreamArn": arn, "ShardId": shard_id, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = orders.call("GetShardIterator", **place)["ShardIterator"]
    orders.emulator.advance(120)
    assert refused(orders, "GetRecords", ShardIterator=iterator).type == "ResourceNotFoundException"
