"""From the bytes of GetRecords to records. What is not whole is damaged, never empty.

Records stay raw: one pass cuts the body into raw records, a second one reads the few members that the core needs;
images are decoded where the handler runs. Where the sender is not known to keep to the types of the API, the second
pass looks at every member, which costs three times as much.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from triggerkit.aws.transport import Reply, damaged
from triggerkit.core.model import Record
from triggerkit.sources.shards.calls import Decoded
from triggerkit.sources.shards.times import END_SECONDS, Told, creation_seconds


class _Envelope(msgspec.Struct, rename="pascal", gc=False):
    records: list[msgspec.Raw]
    next_shard_iterator: str | None = None


class _Value(msgspec.Struct, gc=False):
    """One attribute value. It is only looked at: handlers get what came."""

    S: str | None = None
    N: str | None = None
    B: str | None = None
    BOOL: bool | None = None
    NULL: bool | None = None
    M: dict[str, _Value] | None = None
    L: list[_Value] | None = None
    SS: list[str] | None = None
    NS: list[str] | None = None
    BS: list[str] | None = None


class _Change(msgspec.Struct, rename="pascal", gc=False):
    sequence_number: str
    approximate_creation_date_time: float | str | None = None
    keys: dict[str, msgspec.Raw] | None = None


class _Head(msgspec.Struct, gc=False):
    dynamodb: _Change


class _Heads(msgspec.Struct, rename="pascal", gc=False):
    records: list[_Head]


class _WholeChange(_Change, rename="pascal", gc=False):
    new_image: dict[str, _Value] | None = None
    old_image: dict[str, _Value] | None = None
    size_bytes: int | None = None
    stream_view_type: str | None = None


class _WholeRecord(_Head, rename="camel", gc=False):
    dynamodb: _WholeChange
    event_id: str | None = msgspec.field(default=None, name="eventID")
    event_name: str | None = None
    event_version: str | None = None
    event_source: str | None = None
    aws_region: str | None = None
    user_identity: dict[str, str | None] | None = None


class _WholeRecords(msgspec.Struct, rename="pascal", gc=False):
    records: list[_WholeRecord]


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_HEADS = msgspec.json.Decoder(_Heads)
_WHOLE_RECORDS = msgspec.json.Decoder(_WholeRecords)
_VALUE = msgspec.json.Decoder(_Value)
LONGEST_NUMBER = 128
"""Characters of a sequence number; AWS's have at most 40."""


def decoded(
    reply: Reply, now_service_seconds: float, thing: str, *, is_trusted: bool = False
) -> Decoded:
    """Cut a reply into records. A record without a creation time is as old as the reply.

    `is_trusted`: the types of images and other members that are not needed here are those of the API.

    Raises:
        DamagedReplyError: no JSON, no `Records`, a record without a sequence number, or a member that is not
            what it has to be; the message names the member.
    """
    service_seconds = reply.service_seconds or now_service_seconds
    try:
        envelope = _ENVELOPE.decode(reply.body)
        if not is_trusted and reply.body.count(b'"Records"') > 1:  # an attribute may have that name
            json.loads(reply.body, object_pairs_hook=_one_of_each)
        if not envelope.records:
            return Decoded((), envelope.next_shard_iterator, service_seconds)
        if is_trusted:
            heads: Sequence[_Change] = [head.dynamodb for head in _HEADS.decode(reply.body).records]
        else:
            heads = [one.dynamodb for one in _WHOLE_RECORDS.decode(reply.body).records]
            _check_keys(heads)
        _check_numbers(heads)
        records = tuple(
            [
                Record(
                    head.sequence_number, _time(head, service_seconds), _key(head.keys), bytes(raw)
                )
                for head, raw in zip(heads, envelope.records, strict=True)
            ]
        )
    except RecursionError as error:
        raise damaged(thing, "it is nested too deep") from error
    except ValueError as error:  # msgspec's errors, and those of UTF-8, are such
        raise damaged(thing, str(error)) from error
    return Decoded(records, envelope.next_shard_iterator, service_seconds)


def _check_keys(heads: Sequence[_Change]) -> None:
    for head in heads:
        for value in (head.keys or {}).values():
            _VALUE.decode(value)


def _one_of_each(members: list[tuple[str, object]]) -> None:
    """Refuse an object that has a list of records twice: only the last one would be seen."""
    if sum(name == "Records" for name, _ in members) > 1:
        raise ValueError("`Records` is there twice")


def _check_numbers(heads: Sequence[_Change]) -> None:
    numbers = [head.sequence_number for head in heads]
    text, sizes = "".join(numbers), [len(number) for number in numbers]
    fit = min(sizes) > 0 and max(sizes) <= LONGEST_NUMBER
    if not (fit and text.isascii() and text.isprintable()):
        raise ValueError("`SequenceNumber` is no sequence number")


def _time(head: _Change, service_seconds: float) -> float:
    at_seconds = head.approximate_creation_date_time
    if type(at_seconds) is float and 0.0 <= at_seconds < END_SECONDS:
        return at_seconds
    return _odd_time(at_seconds, service_seconds)


def _odd_time(told: Told, service_seconds: float) -> float:
    try:
        at_seconds = creation_seconds(told)
    except ValueError as error:
        raise ValueError(f"`ApproximateCreationDateTime` cannot be read: {error}") from error
    return service_seconds if at_seconds is None else at_seconds


def _key(keys: dict[str, msgspec.Raw] | None) -> bytes:
    """One text for one item, whatever the order in which the service names its key attributes."""
    if not keys:
        return b""
    if len(keys) == 1:
        (only,) = keys.values()
        return bytes(only)
    return b"".join([bytes(keys[name]) for name in sorted(keys)])
