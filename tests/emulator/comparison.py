"""Two endpoints side by side: the same requests, answers in one canonical form.

Numbers are compared by value, sets without order, and of a stream record only what both endpoints can
agree on: DynamoDB Local rounds creation times to minutes, calls its Region `ddblocal` and writes
eventIDs with dashes.
"""

from __future__ import annotations

import http.client
import json
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol
from urllib.parse import urlsplit

from triggerkit.emulator import Emulator
from triggerkit.emulator.wire import respond

DYNAMODB = "DynamoDB_20120810."
STREAMS = "DynamoDBStreams_20120810."
STREAM_OPERATIONS = {"ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"}


@dataclass(frozen=True)
class Outcome:
    """One answer: `error` is empty for success, else AWS's name of the error."""

    error: str
    text: str
    body: Any

    @property
    def succeeded(self) -> bool:
        return not self.error


class Endpoint(Protocol):
    """Something that answers DynamoDB's operations."""

    def send(self, operation: str, request: dict[str, Any]) -> Outcome: ...


class EmulatorEndpoint:
    """The emulator, called as its skins call it."""

    def __init__(self, emulator: Emulator | None = None) -> None:
        self.emulator = emulator or Emulator()

    def send(self, operation: str, request: dict[str, Any]) -> Outcome:
        answer = respond(self.emulator, target(operation), json.dumps(request).encode())
        return outcome(answer.status, answer.body)


class HttpEndpoint:
    """A server, over one connection that is kept alive."""

    def __init__(self, endpoint_url: str) -> None:
        address = urlsplit(endpoint_url)
        assert address.hostname is not None
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)

    def send(self, operation: str, request: dict[str, Any]) -> Outcome:
        headers = {
            "X-Amz-Target": target(operation),
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/dynamodb/"
            "aws4_request, SignedHeaders=host, Signature=none",
        }
        self._connection.request("POST", "/", json.dumps(request), headers)
        answer = self._connection.getresponse()
        return outcome(answer.status, answer.read())

    def close(self) -> None:
        self._connection.close()


def target(operation: str) -> str:
    return (STREAMS if operation in STREAM_OPERATIONS else DYNAMODB) + operation


def outcome(status: int, body: bytes) -> Outcome:
    answer = json.loads(body)
    if status == 200:
        return Outcome("", "", canonical(answer))
    error = str(answer.get("__type", "")).rpartition("#")[2]
    text = answer.get("message", answer.get("Message", ""))
    told = answer.get("Item")
    if "CancellationReasons" in answer:
        told = [{**reason, "Message": ""} for reason in answer["CancellationReasons"]]
    return Outcome(error, text, canonical(told))


def canonical(value: Any) -> Any:
    """Return JSON with numbers by value and sets sorted."""
    if isinstance(value, list):
        return [canonical(element) for element in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((kind, content),) = value.items()
        if kind == "N" and isinstance(content, str):
            return {"N": plain(content)}
        if kind == "NS" and isinstance(content, list):
            return {"NS": sorted(plain(number) for number in content)}
        if kind in {"SS", "BS"} and isinstance(content, list):
            return {kind: sorted(content)}
    # DynamoDB Local answers ConsumedCapacity unasked when a delete finds nothing.
    return {name: canonical(value[name]) for name in sorted(value) if name != "ConsumedCapacity"}


def plain(number: str) -> str:
    try:
        return format(Decimal(number).normalize() + 0, "f")
    except InvalidOperation:
        return number


def read_stream(endpoint: Endpoint, table: str) -> list[Any]:
    """Return all records of a table's current stream, shard by shard, in what is comparable."""
    described = endpoint.send("DescribeTable", {"TableName": table}).body["Table"]
    return read_stream_arn(endpoint, described["LatestStreamArn"])


def read_stream_arn(endpoint: Endpoint, arn: str) -> list[Any]:
    shards = endpoint.send("DescribeStream", {"StreamArn": arn}).body["StreamDescription"]["Shards"]
    records: list[Any] = []
    for shard in shards:
        place = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = endpoint.send("GetShardIterator", place).body["ShardIterator"]
        while iterator:
            page = endpoint.send("GetRecords", {"ShardIterator": iterator}).body
            records += [comparable_record(record) for record in page["Records"]]
            iterator = page.get("NextShardIterator") if page["Records"] else None
    return records


def comparable_record(record: dict[str, Any]) -> dict[str, Any]:
    change = record["dynamodb"]
    assert len(record["eventID"].replace("-", "")) == 32
    assert 21 <= len(change["SequenceNumber"]) <= 40
    return {
        "eventName": record["eventName"],
        "eventVersion": record["eventVersion"],
        "eventSource": record["eventSource"],
        "userIdentity": record.get("userIdentity"),
        "Keys": change["Keys"],
        "NewImage": restored(change.get("NewImage")),
        "OldImage": restored(change.get("OldImage")),
        "SizeBytes": change["SizeBytes"],
        "StreamViewType": change["StreamViewType"],
    }


def restored(image: Any) -> Any:
    """Return an image with its empty maps, which DynamoDB Local 3.3.1 streams as `{}`."""
    if image is None:
        return None
    return {name: restored_value(value) for name, value in image.items()}


def restored_value(value: dict[str, Any]) -> dict[str, Any]:
    if not value or "M" in value:
        return {"M": restored(value.get("M", {}))}
    if "L" in value:
        return {"L": [restored_value(element) for element in value["L"]]}
    return value


def by_key(records: list[Any]) -> dict[str, list[Any]]:
    """Return records by item key, in their order; DynamoDB promises order per item only."""
    grouped: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        grouped[json.dumps(record["Keys"], sort_keys=True)].append(record)
    return dict(grouped)


def all_items(endpoint: Endpoint, table: str) -> list[str]:
    """Return all items of a table in an order of our own."""
    items: list[Any] = []
    start: dict[str, Any] = {}
    while True:
        page = endpoint.send("Scan", {"TableName": table, "ConsistentRead": True, **start}).body
        items += page["Items"]
        if "LastEvaluatedKey" not in page:
            return sorted(json.dumps(item, sort_keys=True) for item in items)
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def create_table(
    *endpoints: Endpoint,
    name: str,
    sort_key: str | None = None,
    view_type: str | None = "NEW_AND_OLD_IMAGES",
) -> None:
    """Create one table on each endpoint; the sort key `sk` has the type `sort_key`."""
    request: dict[str, Any] = {
        "TableName": name,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    if sort_key is not None:
        request["KeySchema"].append({"AttributeName": "sk", "KeyType": "RANGE"})
        request["AttributeDefinitions"].append({"AttributeName": "sk", "AttributeType": sort_key})
    if view_type is not None:
        request["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view_type}
    for endpoint in endpoints:
        created = endpoint.send("CreateTable", request)
        assert created.succeeded, created
