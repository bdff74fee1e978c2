"""Bodies of GetRecords become records, or are damaged; nothing in between."""

from __future__ import annotations

import json
from typing import Any

import pytest

from triggerkit.aws.transport import Reply
from triggerkit.errors import DamagedReplyError
from triggerkit.sources.dynamodb.change_events import to_event
from triggerkit.sources.dynamodb.pages import decoded
from triggerkit.sources.shards.calls import Decoded

NOW_SECONDS = 1_764_085_700.0


def decode(body: bytes | dict[str, Any], service_seconds: float = NOW_SECONDS) -> Decoded:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decoded(Reply(text, service_seconds), 1.0, "shard s")


def record(number: str = "100", **change: Any) -> dict[str, Any]:
    return {"eventName": "INSERT", "dynamodb": {"SequenceNumber": number, **change}}


def test_records_keep_their_order_their_bytes_and_the_iterator() -> None:
    first = record("100", ApproximateCreationDateTime=1764085655, Keys={"pk": {"S": "a"}})
    second = record("99", ApproximateCreationDateTime=1.764085656e9, Keys={"pk": {"S": "b"}})
    page = decode({"Records": [first, second], "NextShardIterator": "next"})

    assert [r.sequence_number for r in page.records] == ["100", "99"]
    assert [r.at_seconds for r in page.records] == [1764085655.0, 1764085656.0]
    assert [json.loads(r.raw) for r in page.records] == [first, second]
    assert page.next_iterator == "next"
    assert page.service_seconds == NOW_SECONDS


def test_raw_bytes_do_not_hold_on_to_the_page() -> None:
    (only,) = decode({"Records": [record()]}).records
    assert type(only.raw) is bytes
    assert type(only.key) is bytes


@pytest.mark.parametrize("body", [{"Records": []}, {"Records": [], "NextShardIterator": None}])
def test_no_records_and_no_iterator_is_a_whole_answer(body: dict[str, Any]) -> None:
    assert decode(body) == Decoded((), None, NOW_SECONDS)


def test_a_composite_key_is_the_same_in_whatever_order_it_comes() -> None:
    keys = {"pk": {"S": "a"}, "sk": {"N": "1"}}
    swapped = dict(reversed(keys.items()))
    one, other = decode({"Records": [record(Keys=keys), record(Keys=swapped)]}).records
    assert one.key == other.key


def test_different_keys_are_different() -> None:
    pairs = [("a", "b"), ("ab", ""), ("", "ab"), ("b", "a")]
    body = {"Records": [record(Keys={"p": {"S": p}, "s": {"S": s}}) for p, s in pairs]}
    assert len({r.key for r in decode(body).records}) == len(pairs)


def test_explicit_nulls_and_missing_fields_are_tolerated() -> None:
    sparse = record("7", ApproximateCreationDateTime=None, Keys=None, NewImage=None)
    bare = {"eventName": "UNKNOWN_TO_SDK_VERSION", "dynamodb": {"SequenceNumber": "8"}, "x": None}
    page = decode({"Records": [sparse, bare], "NextShardIterator": None})

    assert [r.sequence_number for r in page.records] == ["7", "8"]
    assert [r.at_seconds for r in page.records] == [NOW_SECONDS, NOW_SECONDS]
    assert [r.key for r in page.records] == [b"", b""]


def test_a_reply_without_a_date_is_of_this_moment() -> None:
    assert decode({"Records": []}, service_seconds=0.0).service_seconds == 1.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"NextShardIterator":"x"}',
        b'{"Records":null}',
        b'{"Records":[{"dynamodb":{}}]}',
        b'{"Records":[{"eventName":"INSERT"}]}',
        b'{"Records":[{"dynamodb":{"SequenceNumber":"1"}}',
        b"<html>",
    ],
)
def test_what_is_not_whole_is_damaged_and_never_empty(body: bytes) -> None:
    with pytest.raises(DamagedReplyError, match="shard s"):
        decode(body)


def test_a_list_of_records_that_is_there_twice_is_damaged_and_an_attribute_of_that_name_is_not() -> (
    None
):
    first, second = json.dumps([record("1")]), json.dumps([record("2")])
    with pytest.raises(DamagedReplyError, match="`Records` is there twice"):
        decode(f'{{"Records":{first},"NextShardIterator":"x","Records":{second}}}'.encode())
    image = {"Records": {"S": "x"}}
    assert len(decode({"Records": [record("1", NewImage=image)]}).records) == 1


# --- times of other endpoints -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    [
        1764085655, 1764085655.0, 1764085655000, 1764085655000000, 1764085655000000000, "1764085655",
        "1764085655000", "2025-11-25T15:47:35Z", "2025-11-25T15:47:35.000Z", "2025-11-25T16:47:35+01:00",
        "20251125T154735Z",
    ],
)  # fmt: skip
def test_c8_a_time_that_can_be_meant_in_one_way_is_read(told: float | str) -> None:
    (only,) = decode({"Records": [record(ApproximateCreationDateTime=told)]}).records
    assert only.at_seconds == 1764085655.0
    event = to_event(only.raw, "arn")
    assert event["dynamodb"]["ApproximateCreationDateTime"] == 1764085655.0  # type: ignore[index]


@pytest.mark.parametrize(
    "told",
    [
        "2025-11-25T15:47:35", "Tue, 25 Nov 2025 15:47:35 GMT", "yesterday", "", "NaN", "9" * 5000, -1,
        -62135596801, 253402300800, 5e9, 1e13, 1e300, True, [1764085655], {"N": "1764085655"},
    ],
)  # fmt: skip
def test_c8_a_time_that_may_mean_something_else_is_refused_by_its_name(told: Any) -> None:
    with pytest.raises(DamagedReplyError, match=r"ApproximateCreationDateTime|creation") as error:
        decode({"Records": [record(ApproximateCreationDateTime=told)]})
    assert "GetRecords on shard s" in error.value.message
    assert str(told) not in error.value.message or len(str(told)) < 3


def test_c8_a_record_without_a_time_is_as_old_as_its_reply_and_its_event_has_none() -> None:
    (only,) = decode({"Records": [record()]}).records
    assert only.at_seconds == NOW_SECONDS
    assert "ApproximateCreationDateTime" not in to_event(only.raw, "arn")["dynamodb"]  # type: ignore[operator]


# --- records that are not what they have to be ----------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"NewImage": []}, "NewImage"),
        ({"NewImage": {"a": "text"}}, "NewImage"),
        ({"NewImage": {"a": {"S": 5}}}, "NewImage"),
        ({"NewImage": {"a": {"N": 5}}}, "NewImage"),
        ({"OldImage": {"a": {"L": [{"M": {"b": {"BOOL": "yes"}}}]}}}, "OldImage"),
        ({"OldImage": 7}, "OldImage"),
        ({"Keys": "text"}, "Keys"),
        ({"SizeBytes": "many"}, "SizeBytes"),
        ({"StreamViewType": 1}, "StreamViewType"),
        ({"SequenceNumber": 7}, "SequenceNumber"),
        ({"SequenceNumber": ""}, "SequenceNumber"),
        ({"SequenceNumber": "9" * 5000}, "SequenceNumber"),
        ({"SequenceNumber": "1\n2"}, "SequenceNumber"),
    ],
)
def test_e5_a_member_of_another_type_is_named(change: dict[str, Any], member: str) -> None:
    with pytest.raises(DamagedReplyError, match=member) as told:
        decode(
            {
                "Records": [
                    record("1"),
                    {"eventName": "INSERT", "dynamodb": {"SequenceNumber": "2", **change}},
                ]
            }
        )
    assert "GetRecords on shard s" in told.value.message


def test_e5_of_a_body_that_is_trusted_only_the_heads_are_read() -> None:
    odd = {"NewImage": {"a": {"S": 5}}, "Keys": {"pk": {"S": "a"}}}
    body = json.dumps({"Records": [record("1", **odd)]}).encode()
    (only,) = decoded(Reply(body, NOW_SECONDS), 1.0, "shard s", is_trusted=True).records
    assert (only.sequence_number, only.key) == ("1", b'{"S": "a"}')
    with pytest.raises(DamagedReplyError, match="NewImage"):
        decoded(Reply(body, NOW_SECONDS), 1.0, "shard s")
    for number in ("", "1\n2"):
        body = json.dumps({"Records": [record("1"), record(number)]}).encode()
        with pytest.raises(DamagedReplyError, match="SequenceNumber"):
            decoded(Reply(body, NOW_SECONDS), 1.0, "shard s", is_trusted=True)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000 + b"]" * 100_000, b'{"M":' * 5000 + b"1" + b"}" * 5000, b"NaN", b'"\\ud800"', b'"\xff"',
        b"9" * 5000, b"1e999",
    ],
    ids=["deep list", "deep map", "NaN", "half a pair", "no UTF-8", "long number", "large number"],
)  # fmt: skip
def test_e5_what_json_does_not_have_is_damaged_wherever_it_stands(raw: bytes) -> None:
    whole = b'{"Records":[{"dynamodb":{"SequenceNumber":"1","NewImage":{"a":{"S":%s}}}}]}' % raw
    with pytest.raises(DamagedReplyError, match="GetRecords on shard s"):
        decode(whole)


def test_e5_what_only_the_handler_would_have_met_is_an_error_with_a_hint() -> None:
    with pytest.raises(DamagedReplyError, match="cannot be read") as told:
        to_event(b'{"dynamodb":{"SequenceNumber":"1"},"unknown":"\\ud800"}', "arn")
    assert told.value.hint
