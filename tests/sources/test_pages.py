"""Bodies of GetRecords become records, or are damaged; nothing in between."""

from __future__ import annotations

import json
from typing import Any

import pytest

from triggerkit.aws.transport import Reply
from triggerkit.errors import DamagedReplyError
from triggerkit.sources._pages import Decoded, decoded

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
