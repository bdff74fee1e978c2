"""From a raw stream record to one element of Lambda's event.

Source: Lambda dev guide, with-ddb; rules E-2 to E-6. The wire has almost that shape already: binary
values are base64 text. What differs: the order of members, the ARN is added, `userIdentity` changes case,
the creation time is a float, absent images are absent and never null.
"""

from __future__ import annotations

from typing import Any

import msgspec

from triggerkit.errors import DamagedReplyError
from triggerkit.ports import Event
from triggerkit.sources.shards.times import END_SECONDS, Told, creation_seconds

_BEFORE_CHANGE = ("eventID", "eventName", "eventVersion", "eventSource", "awsRegion")
_IN_CHANGE = ("Keys", "NewImage", "OldImage", "SequenceNumber", "SizeBytes", "StreamViewType")
_KNOWN = frozenset({*_BEFORE_CHANGE, "dynamodb", "userIdentity"})
_KNOWN_OF_CHANGE = frozenset({"ApproximateCreationDateTime", *_IN_CHANGE})


class _UsualChange(msgspec.Struct, forbid_unknown_fields=True, rename="pascal", gc=False):
    approximate_creation_date_time: float
    keys: dict[str, Any]
    sequence_number: str
    size_bytes: int
    stream_view_type: str
    new_image: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    old_image: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class _UsualRecord(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """A record without an identity, nulls, and fields that are not known today."""

    event_id: str = msgspec.field(name="eventID")
    event_name: str
    event_version: str
    event_source: str
    aws_region: str
    dynamodb: _UsualChange


_USUAL = msgspec.json.Decoder(_UsualRecord)
_ANY = msgspec.json.Decoder()


def to_event(raw: bytes, stream_arn: str) -> Event:
    """One element of `event["Records"]`; fields that are not known today come last, as they are.

    One at a time: decoding a whole batch as one text was not faster.

    Raises:
        DamagedReplyError: it is no JSON.
    """
    try:
        usual = _USUAL.decode(raw)
    except msgspec.ValidationError:
        return _unusual_event(raw, stream_arn)
    except (ValueError, RecursionError) as error:
        raise _unreadable(stream_arn, error) from error
    wire = usual.dynamodb
    at_seconds = wire.approximate_creation_date_time
    if not 0.0 <= at_seconds < END_SECONDS:
        at_seconds = _whole_seconds(at_seconds)
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": float(int(at_seconds)),
        "Keys": wire.keys,
    }
    if wire.new_image is not msgspec.UNSET:
        change["NewImage"] = wire.new_image
    if wire.old_image is not msgspec.UNSET:
        change["OldImage"] = wire.old_image
    change["SequenceNumber"] = wire.sequence_number
    change["SizeBytes"] = wire.size_bytes
    change["StreamViewType"] = wire.stream_view_type
    return {
        "eventID": usual.event_id,
        "eventName": usual.event_name,
        "eventVersion": usual.event_version,
        "eventSource": usual.event_source,
        "awsRegion": usual.aws_region,
        "dynamodb": change,
        "eventSourceARN": stream_arn,
    }


def _whole_seconds(told: Told) -> float:
    """As Lambda has them. The reader has refused what cannot be read; a recording may hold it still."""
    return float(int(creation_seconds(told) or 0.0))


def _unusual_event(raw: bytes, stream_arn: str) -> Event:
    try:
        wire = _ANY.decode(raw)
    except (ValueError, RecursionError) as error:
        raise _unreadable(stream_arn, error) from error
    return _shaped(wire, stream_arn)


def _unreadable(stream_arn: str, error: Exception) -> DamagedReplyError:
    why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
    return DamagedReplyError(
        f"a record of {stream_arn} cannot be read: {why}",
        hint="this is a fault of the endpoint that sent it",
    )


def _shaped(wire: dict[str, Any], stream_arn: str) -> Event:
    event: Event = {name: wire[name] for name in _BEFORE_CHANGE if wire.get(name) is not None}
    change = wire.get("dynamodb")
    if change is not None:
        event["dynamodb"] = _shaped_change(change)
    identity = wire.get("userIdentity")
    if identity is not None:
        event["userIdentity"] = _shaped_identity(identity)
    event.update(_unknown(wire, _KNOWN))
    event["eventSourceARN"] = stream_arn
    return event


def _shaped_change(wire: dict[str, Any]) -> dict[str, Any]:
    change: dict[str, Any] = {}
    at_seconds = wire.get("ApproximateCreationDateTime")
    if at_seconds is not None:
        change["ApproximateCreationDateTime"] = _whole_seconds(at_seconds)
    for name in _IN_CHANGE:
        if (value := wire.get(name)) is not None:
            change[name] = value
    change.update(_unknown(wire, _KNOWN_OF_CHANGE))
    return change


def _shaped_identity(wire: dict[str, Any]) -> dict[str, Any]:
    lowered = {name[:1].lower() + name[1:]: value for name, value in wire.items()}
    return {name: lowered[name] for name in sorted(lowered, reverse=True)}  # type, principalId


def _unknown(wire: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in wire.items() if name not in known and value is not None}
