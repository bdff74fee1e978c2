"""Raw stream records become elements of Lambda's event (E-2 to E-6)."""

from __future__ import annotations

import json
from typing import Any

from triggerkit.sources.dynamodb.change_events import to_event

ARN = "arn:aws:dynamodb:us-east-1:111111111111:table/test-table/stream/2025-11-25T15:47:02.114"
WIRE: dict[str, Any] = {
    "userIdentity": None,
    "awsRegion": "us-east-1",
    "eventSource": "aws:dynamodb",
    "eventVersion": "1.1",
    "eventName": "INSERT",
    "eventID": "7e1f3c0a5b9d4c2e8a6f0d1b2c3e4f50",
    "dynamodb": {
        "StreamViewType": "NEW_IMAGE",
        "SizeBytes": 70,
        "SequenceNumber": "3055800000000004917391842",
        "OldImage": None,
        "NewImage": {
            "binary_key": {"B": "Zm9vYmFy"},
            "set": {"BS": ["Zm9v", "YmFy"]},
            "number": {"N": "100"},
            "gone": {"NULL": True},
            "my_partition_key": {"S": "hello world"},
        },
        "Keys": {"my_partition_key": {"S": "hello world"}},
        "ApproximateCreationDateTime": 1764085655,
    },
}


def event_of(wire: dict[str, Any]) -> dict[str, Any]:
    return dict(to_event(json.dumps(wire).encode(), ARN))


def test_fields_come_in_the_order_of_aws_and_nulls_are_left_out() -> None:
    event = event_of(WIRE)
    assert list(event) == [
        "eventID", "eventName", "eventVersion", "eventSource", "awsRegion", "dynamodb",
        "eventSourceARN",
    ]  # fmt: skip
    assert list(event["dynamodb"]) == [
        "ApproximateCreationDateTime", "Keys", "NewImage", "SequenceNumber", "SizeBytes",
        "StreamViewType",
    ]  # fmt: skip
    assert event["eventSourceARN"] == ARN


def test_images_are_as_on_the_wire_with_binary_as_base64() -> None:
    event = event_of(WIRE)
    assert event["dynamodb"]["NewImage"] == WIRE["dynamodb"]["NewImage"]
    assert event["dynamodb"]["Keys"] == WIRE["dynamodb"]["Keys"]


def test_the_creation_time_is_a_float_of_whole_seconds() -> None:
    for wire_time in (1764085655, 1764085655.0, 1.764085655987e9):
        change = {**WIRE["dynamodb"], "ApproximateCreationDateTime": wire_time}
        at_seconds = event_of({**WIRE, "dynamodb": change})["dynamodb"][
            "ApproximateCreationDateTime"
        ]
        assert isinstance(at_seconds, float)
        assert at_seconds == 1764085655.0


def test_a_removal_by_time_to_live_tells_who_did_it_in_lower_case() -> None:
    identity = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    event = event_of({**WIRE, "eventName": "REMOVE", "userIdentity": identity})
    assert list(event["userIdentity"].items()) == [
        ("type", "Service"),
        ("principalId", "dynamodb.amazonaws.com"),
    ]
    assert list(event)[-2:] == ["userIdentity", "eventSourceARN"]


def test_an_unknown_event_name_and_unknown_fields_pass_through() -> None:
    change = {**WIRE["dynamodb"], "Future": 1}
    event = event_of({**WIRE, "eventName": "UNKNOWN", "later": {"x": 1}, "dynamodb": change})
    assert event["eventName"] == "UNKNOWN"
    assert event["later"] == {"x": 1}
    assert event["dynamodb"]["Future"] == 1


def in_order_of_aws(wire: dict[str, Any]) -> dict[str, Any]:
    change = wire["dynamodb"]
    order = (
        "ApproximateCreationDateTime", "Keys", "NewImage", "OldImage", "SequenceNumber",
        "SizeBytes", "StreamViewType",
    )  # fmt: skip
    names = ("eventID", "eventName", "eventVersion", "eventSource", "awsRegion")
    shaped = {name: wire[name] for name in names}
    return {**shaped, "dynamodb": {n: change[n] for n in order if change.get(n) is not None}}


def test_a_record_that_is_in_order_already_becomes_the_same_event() -> None:
    usual = event_of(in_order_of_aws(WIRE))
    assert json.dumps(usual) == json.dumps(event_of(WIRE))
    for image in ("NewImage", "OldImage"):
        change = {**WIRE["dynamodb"], "NewImage": None, image: {"a": {"S": "b"}}}
        wire = {**WIRE, "dynamodb": change}
        assert json.dumps(event_of(in_order_of_aws(wire))) == json.dumps(event_of(wire))


def test_nulls_are_left_out_in_order_too() -> None:
    wire = in_order_of_aws(WIRE)
    wire["dynamodb"]["NewImage"] = None
    assert "NewImage" not in event_of(wire)["dynamodb"]
    assert "dynamodb" not in event_of({**wire, "dynamodb": None})


def test_each_call_gives_fresh_objects() -> None:
    raw = json.dumps(WIRE).encode()
    one, other = to_event(raw, ARN), to_event(raw, ARN)
    assert one == other
    one["dynamodb"].clear()  # type: ignore[attr-defined]
    assert other["dynamodb"]
