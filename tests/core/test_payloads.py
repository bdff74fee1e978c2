"""Failure records and event texts, compared with saved samples and rule by rule."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from triggerkit.core.model import Batch, DiscardReason, LastFailure, Record
from triggerkit.core.payloads import (
    Origin,
    encode_event,
    event_text,
    failure_record,
    function_arn,
    with_payload,
)
from triggerkit.sources.dynamodb.service import TRAITS

SAMPLES = Path(__file__).parent / "samples"
DDB_ARN = "arn:aws:dynamodb:us-east-1:111111111111:table/t/stream/2025-11-25T16:06:50.002"
KINESIS_ARN = "arn:aws:kinesis:eu-west-1:111111111111:stream/test-stream"
KINESIS = replace(
    TRAITS, kind="record", batch_info="KinesisBatchInfo", arrival_precision="milliseconds"
)
ITEMS = Origin(
    TRAITS, "shardId-00000001764085640000-1a2b3c4d", DDB_ARN, function_arn(DDB_ARN, "fn")
)
DATA = Origin(KINESIS, "shardId-000000000000", KINESIS_ARN, function_arn(KINESIS_ARN, "fn"))
AT_SECONDS = 1764086881.123  # 2025-11-25T16:08:01.123Z
FRESH_ID = "00000000-0000-4000-8000-000000000009"


def batch_of(
    *records: tuple[str, float], attempts: int = 0, failure: LastFailure | None = None
) -> Batch:
    made = tuple(Record(number, at, b"k", b"{}") for number, at in records)
    return Batch(0, made, range(len(made)), attempts=attempts, last_failure=failure)


def ordered(value: object) -> str:
    """JSON text: equal only when the order of the fields is equal too."""
    return json.dumps(value)


def sample(name: str) -> str:
    return ordered(json.loads((SAMPLES / f"{name}.json").read_text())["document"])


def test_a_reported_failure_of_items_looks_like_the_recorded_one() -> None:
    failure = LastFailure("5b3d1c52-5b0e-4e0f-9d6b-2f0c3a0d5a11", reported=True)
    batch = batch_of(("3055800000000004917391842", 1764086832.9), attempts=4, failure=failure)
    document = failure_record(
        batch,
        DiscardReason.RETRY_ATTEMPTS_EXHAUSTED,
        ITEMS,
        at_seconds=AT_SECONDS,
        request_id=FRESH_ID,
    )
    assert ordered(document) == sample("ddb_reported")


def test_a_raised_failure_of_kinesis_records_keeps_milliseconds() -> None:
    failure = LastFailure("0b6f4f0e-9a53-4a3f-9f0e-c1f6f3a0c002", "ValueError", "secret text")
    number = "4966941234567890123456789012345678901234567890123456789"
    batch = batch_of(
        (number + "0", 1764088062.113), (number + "1", 1764088063.0), attempts=3, failure=failure
    )
    document = failure_record(
        batch,
        DiscardReason.RETRY_ATTEMPTS_EXHAUSTED,
        DATA,
        at_seconds=1764088065.004,
        request_id=FRESH_ID,
    )
    assert ordered(document) == sample("kinesis_raised")
    assert "secret text" not in ordered(document)  # D-12


def test_a_batch_too_old_that_was_never_tried_counts_one_call_and_has_no_response() -> None:
    batch = batch_of(
        ("3055800000000004917391842", 1764086832.0), ("3055800000000004917391843", 1764086833.0)
    )
    document = failure_record(
        batch,
        DiscardReason.RECORD_AGE_EXCEEDED,
        ITEMS,
        at_seconds=AT_SECONDS,
        request_id=FRESH_ID,
    )
    assert ordered(document) == sample("ddb_too_old")


def test_a_batch_too_old_that_was_tried_tells_its_calls_and_the_last_request() -> None:
    batch = batch_of(("1", 5.0), attempts=8, failure=LastFailure("last-id", "ValueError"))
    document = failure_record(
        batch, DiscardReason.RECORD_AGE_EXCEEDED, ITEMS, at_seconds=9.0, request_id=FRESH_ID
    )
    assert document["requestContext"] == {
        "requestId": "last-id",
        "functionArn": "arn:aws:lambda:us-east-1:111111111111:function:fn",
        "condition": "RecordAgeExceeded",
        "approximateInvokeCount": 8,
    }
    assert "responseContext" not in document  # F-43


def test_a_batch_discarded_by_its_handler_has_a_condition_of_our_own() -> None:
    batch = batch_of(("1", 5.0), attempts=1, failure=LastFailure("id", "Discard", "bad order"))
    document = failure_record(
        batch, DiscardReason.DISCARDED_BY_HANDLER, DATA, at_seconds=9.0, request_id=FRESH_ID
    )
    assert '"condition": "DiscardedByHandler"' in ordered(document)
    assert '"functionError": "Unhandled"' in ordered(document)


def test_an_empty_final_batch_names_its_shard_only() -> None:
    document = failure_record(
        batch_of(),
        DiscardReason.RETRY_ATTEMPTS_EXHAUSTED,
        DATA,
        at_seconds=9.0,
        request_id=FRESH_ID,
    )
    assert document["KinesisBatchInfo"] == {
        "shardId": "shardId-000000000000",
        "streamArn": KINESIS_ARN,
    }


def test_the_payload_is_a_json_string_behind_the_version() -> None:
    document = failure_record(
        batch_of(("1", 5.0)),
        DiscardReason.RETRY_ATTEMPTS_EXHAUSTED,
        ITEMS,
        at_seconds=9.0,
        request_id=FRESH_ID,
    )
    text = event_text([encode_event({"eventID": "a"}), encode_event({"eventID": "é"})])
    stored = with_payload(document, text)
    names = list(stored)
    assert names[names.index("version") + 1] == "payload"
    assert names.index("payload") < names.index("timestamp")
    payload = stored["payload"]
    assert isinstance(payload, str)
    assert json.loads(payload) == {"Records": [{"eventID": "a"}, {"eventID": "é"}]}
    assert "payload" not in document


def test_an_event_of_no_records_is_still_an_event() -> None:
    assert json.loads(event_text([])) == {"Records": []}


def test_whole_second_times_stay_floats_in_an_event() -> None:
    assert encode_event({"t": 1764085655.0}) == b'{"t":1764085655.0}'


@pytest.mark.parametrize(
    ("stream_arn", "arn"),
    [
        (DDB_ARN, "arn:aws:lambda:us-east-1:111111111111:function:notify"),
        (
            "arn:aws-cn:kinesis:cn-north-1:222222222222:stream/s",
            "arn:aws-cn:lambda:cn-north-1:222222222222:function:notify",
        ),
        ("orders", "arn:aws:lambda:local:000000000000:function:notify"),
        ("", "arn:aws:lambda:local:000000000000:function:notify"),
    ],
)
def test_a_function_lives_where_its_stream_lives(stream_arn: str, arn: str) -> None:
    assert function_arn(stream_arn, "notify") == arn
