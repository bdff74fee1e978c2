"""A small table on an emulator with a virtual clock: what most tests of the emulator start from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from triggerkit.emulator import Emulator, EmulatorError, VirtualClock

START_SECONDS = 1_764_085_655.0
TABLE: dict[str, Any] = {
    "TableName": "orders",
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


def stream_on(view_type: str = "NEW_AND_OLD_IMAGES") -> dict[str, Any]:
    return {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view_type}}


@dataclass
class Orders:
    """The table `orders` with its stream on."""

    view_type: str = "NEW_AND_OLD_IMAGES"
    shards: int = 1
    emulator: Emulator = field(init=False)

    def __post_init__(self) -> None:
        self.emulator = Emulator(VirtualClock(START_SECONDS), shards=self.shards)
        self.call("CreateTable", **TABLE, **stream_on(self.view_type))

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        return self.emulator.call(operation, request)

    def put(self, key: str, **attributes: Any) -> dict[str, Any]:
        return self.call("PutItem", TableName="orders", Item={"pk": {"S": key}, **attributes})

    def get(self, key: str) -> dict[str, Any] | None:
        return self.call("GetItem", TableName="orders", Key={"pk": {"S": key}}).get("Item")

    def delete(self, key: str) -> dict[str, Any]:
        return self.call("DeleteItem", TableName="orders", Key={"pk": {"S": key}})

    def update(self, key: str, expression: str, **options: Any) -> dict[str, Any]:
        return self.call(
            "UpdateItem",
            TableName="orders",
            Key={"pk": {"S": key}},
            UpdateExpression=expression,
            **options,
        )

    @property
    def stream_arn(self) -> str:
        arn: str = self.call("DescribeTable", TableName="orders")["Table"]["LatestStreamArn"]
        return arn

    def shards_listed(self, **request: Any) -> list[dict[str, Any]]:
        described = self.call("DescribeStream", StreamArn=self.stream_arn, **request)
        shards: list[dict[str, Any]] = described["StreamDescription"]["Shards"]
        return shards

    def iterator(self, shard_id: str, kind: str = "TRIM_HORIZON", **place: Any) -> str:
        answer = self.call(
            "GetShardIterator",
            StreamArn=self.stream_arn,
            ShardId=shard_id,
            ShardIteratorType=kind,
            **place,
        )
        token: str = answer["ShardIterator"]
        return token

    def page(self, iterator: str, **request: Any) -> dict[str, Any]:
        return self.call("GetRecords", ShardIterator=iterator, **request)

    def records(self, shard_id: str | None = None) -> list[dict[str, Any]]:
        """Return all records of one shard, of the only one unless given."""
        at = shard_id or self.shards_listed()[0]["ShardId"]
        iterator: str | None = self.iterator(at)
        found: list[dict[str, Any]] = []
        while iterator is not None:
            page = self.page(iterator)
            found += page["Records"]
            iterator = page.get("NextShardIterator") if page["Records"] else None
        return found


def refused(orders: Orders, operation: str, **request: Any) -> EmulatorError:
    """Return the error that a request is answered with."""
    with pytest.raises(EmulatorError) as caught:
        orders.call(operation, **request)
    return caught.value
