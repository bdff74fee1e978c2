"""`triggerkit generate-event`: Lambda's exact shape (lambda-contract 2), and what cannot be had."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from click.testing import CliRunner
from e2e.harness import Place

from triggerkit.cli.main import cli
from triggerkit.emulator.sizes import item_size_bytes
from triggerkit.errors import UsageError

IMAGES = {
    "insert": ("NewImage",),
    "modify": ("NewImage", "OldImage"),
    "remove": ("OldImage",),
    "ttl": ("OldImage",),
}
CARRIED = {
    "KEYS_ONLY": (),
    "NEW_IMAGE": ("NewImage",),
    "OLD_IMAGE": ("OldImage",),
    "NEW_AND_OLD_IMAGES": ("NewImage", "OldImage"),
}


def generate(*arguments: str) -> dict[str, Any]:
    """The one record of the event."""
    result = CliRunner().invoke(cli, ["generate-event", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    event = json.loads(result.stdout)
    assert list(event) == ["Records"]
    (record,) = event["Records"]
    assert isinstance(record, dict)
    return record


@pytest.mark.parametrize("view_type", CARRIED)
@pytest.mark.parametrize("action", IMAGES)
def test_a_change_has_lambdas_fields_in_lambdas_order(action: str, view_type: str) -> None:
    record = generate("dynamodb", action, "--view-type", view_type)
    name = {"ttl": "REMOVE"}.get(action, action.upper())
    identity = ("userIdentity",) if action == "ttl" else ()
    assert tuple(record) == (
        "eventID", "eventName", "eventVersion", "eventSource", "awsRegion", "dynamodb",
        *identity, "eventSourceARN",
    )  # fmt: skip
    assert re.fullmatch(r"[0-9a-f]{32}", record["eventID"])
    assert (record["eventName"], record["eventVersion"]) == (name, "1.1")
    assert (record["eventSource"], record["awsRegion"]) == ("aws:dynamodb", "us-east-1")
    assert re.fullmatch(
        r"arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/\d{4}-\d\d-\d\dT[\d:.]{12}",
        record["eventSourceARN"],
    )
    change = record["dynamodb"]
    images = tuple(image for image in IMAGES[action] if image in CARRIED[view_type])
    assert tuple(change) == (
        "ApproximateCreationDateTime", "Keys", *images, "SequenceNumber", "SizeBytes",
        "StreamViewType",
    )  # fmt: skip
    assert isinstance(change["ApproximateCreationDateTime"], float)
    assert change["ApproximateCreationDateTime"].is_integer()
    assert 21 <= len(change["SequenceNumber"]) <= 40
    assert change["StreamViewType"] == view_type
    assert change["SizeBytes"] == sum(
        item_size_bytes(change[part]) for part in ("Keys", *images)
    ), "rule E-4"
    if action == "ttl":
        assert record["userIdentity"] == {
            "type": "Service",
            "principalId": "dynamodb.amazonaws.com",
        }


def test_keys_and_images_are_the_users() -> None:
    record = generate(
        "dynamodb", "modify", "--keys", '{"pk": "a", "sk": 1.50}', "--old", '{"n": 1}',
        "--new", '{"pk": {"S": "a"}, "b": {"B": "AP8="}}', "--table", "users",
        "--region", "eu-west-1",
    )  # fmt: skip
    change = record["dynamodb"]
    assert change["Keys"] == {"pk": {"S": "a"}, "sk": {"N": "1.5"}}
    assert change["OldImage"] == {"pk": {"S": "a"}, "sk": {"N": "1.5"}, "n": {"N": "1"}}
    assert change["NewImage"] == {"pk": {"S": "a"}, "sk": {"N": "1.5"}, "b": {"B": "AP8="}}
    assert record["awsRegion"] == "eu-west-1"
    assert "eu-west-1:123456789012:table/users/" in record["eventSourceARN"]


def test_an_image_may_be_the_key_alone() -> None:
    change = generate("dynamodb", "insert", "--new", "{}")["dynamodb"]
    assert change["NewImage"] == change["Keys"] == {"id": {"S": "101"}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["insert", "--old", "{}"], "an insert has no old image"),
        (["remove", "--new", "{}"], "a removed item has no new image"),
        (["ttl", "--new", "{}"], "a removed item has no new image"),
        (["insert", "--keys", "{bad"], "--keys is not JSON"),
        (["insert", "--keys", "{}"], "--keys is an empty object"),
        (["insert", "--keys", '{"a": 1, "b": 2, "c": 3}'], "more than two attributes"),
        (["insert", "--keys", '{"a": true}'], "BOOL"),
        (["insert", "--keys", '{"a": ""}'], "empty"),
        (["insert", "--new", '{"id": "7"}'], "--new: id is not that of --keys"),
        (["modify", "--new", '{"n": 1}', "--old", '{"n": 1.0}'], "are the same item"),
        (["modify", "--old", "[]"], "--old is a JSON array"),
        (["insert", "--table", "x"], "name"),
    ],
)
def test_what_no_stream_makes_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        generate("dynamodb", *arguments)
    assert said in refused.value.message
    assert "--" in f"{refused.value.message} {refused.value.hint}", "it names the flags"
    assert refused.value.hint


def test_a_kinesis_record_has_lambdas_fields_in_lambdas_order() -> None:
    record = generate("kinesis", "--payload", "é", "--partition-key", "k", "--stream", "clicks")
    assert tuple(record) == (
        "kinesis", "eventSource", "eventVersion", "eventID", "eventName", "invokeIdentityArn",
        "awsRegion", "eventSourceARN",
    )  # fmt: skip
    inner = record["kinesis"]
    assert tuple(inner) == (
        "kinesisSchemaVersion", "partitionKey", "sequenceNumber", "data",
        "approximateArrivalTimestamp",
    )  # fmt: skip
    assert base64.b64decode(inner["data"]).decode() == "é"
    assert record["eventID"] == f"shardId-000000000000:{inner['sequenceNumber']}"
    assert record["eventSourceARN"] == "arn:aws:kinesis:us-east-1:123456789012:stream/clicks"


def test_invoke_takes_what_is_printed(project: Place) -> None:
    event = project.run("generate-event", "dynamodb", "insert", "--keys", '{"id": "7"}')
    assert event.code == 0, event.stderr
    done = project.run("invoke", "-e", "-", stdin=event.stdout)
    assert done.code == 0, done.stderr
    assert "billed 7" in done.stderr


def test_an_unknown_action_names_the_ones_there_are(project: Place) -> None:
    done = project.run("generate-event", "dynamodb", "update")
    assert done.code == 2
    assert "'insert', 'modify', 'remove', 'ttl'" in done.stderr
