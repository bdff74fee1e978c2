"""From the bytes of GetRecords to records. Rule: what is not whole is damaged, never empty.

Records stay raw: one pass cuts the body into raw records, a second one reads the few fields that the
core needs (1 us a record together); images are decoded where the handler runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from triggerkit.aws.transport import Reply, damaged
from triggerkit.core.model import Record


class _Envelope(msgspec.Struct, rename="pascal", gc=False):
    records: list[msgspec.Raw]
    next_shard_iterator: str | None = None


class _Change(msgspec.Struct, rename="pascal", gc=False):
    sequence_number: str
    approximate_creation_date_time: float | None = None
    keys: dict[str, msgspec.Raw] | None = None


class _Head(msgspec.Struct, gc=False):
    dynamodb: _Change


class _Heads(msgspec.Struct, rename="pascal", gc=False):
    records: list[_Head]


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_HEADS = msgspec.json.Decoder(_Heads)


@dataclass(frozen=True, slots=True)
class Decoded:
    """One reply: records in stream order, and the iterator that reads on; None at the end."""

    records: tuple[Record, ...]
    next_iterator: str | None
    service_seconds: float


def decoded(reply: Reply, now_service_seconds: float, thing: str) -> Decoded:
    """Cut a reply into records. A record without a creation time is as old as the reply.

    Raises:
        DamagedReplyError: no JSON, no `Records`, or a record without a sequence number.
    """
    service_seconds = reply.service_seconds or now_service_seconds
    try:
        envelope = _ENVELOPE.decode(reply.body)
        if not envelope.records:
            return Decoded((), envelope.next_shard_iterator, service_seconds)
        heads = _HEADS.decode(reply.body).records
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(thing, str(error)) from error
    records = tuple(
        [
            _record(head.dynamodb, raw, service_seconds)
            for head, raw in zip(heads, envelope.records, strict=True)
        ]
    )
    return Decoded(records, envelope.next_shard_iterator, service_seconds)


def _record(change: _Change, raw: msgspec.Raw, service_seconds: float) -> Record:
    at_seconds = change.approximate_creation_date_time
    return Record(
        change.sequence_number,
        service_seconds if at_seconds is None else at_seconds,
        _canonical(change.keys),
        bytes(raw),
    )


def _canonical(keys: dict[str, msgspec.Raw] | None) -> bytes:
    """One text for one item, whatever the order in which the service names its key attributes."""
    if not keys:
        return b""
    if len(keys) == 1:
        (only,) = keys.values()
        return bytes(only)
    return b"".join([bytes(keys[name]) for name in sorted(keys)])
