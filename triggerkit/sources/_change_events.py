"""From a raw stream record to one element of Lambda's event. Rule: exactly Lambda's shape, fresh each time.

Source: Lambda dev guide, with-ddb; rules E-2 to E-6. The wire is almost that shape already: binary
values are base64 text. What differs: the ARN is added, `userIdentity` changes case, the creation time
is a float, absent images are absent and never null.
"""

from __future__ import annotations

from typing import Any

import msgspec

from triggerkit.ports import Event

_BEFORE_CHANGE = ("eventID", "eventName", "eventVersion", "eventSource", "awsRegion")
_IMAGES = ("Keys", "NewImage", "OldImage")
_AFTER_IMAGES = ("SequenceNumber", "SizeBytes", "StreamViewType")
_KNOWN = frozenset({*_BEFORE_CHANGE, "dynamodb", "userIdentity"})
_KNOWN_OF_CHANGE = frozenset({"ApproximateCreationDateTime", *_IMAGES, *_AFTER_IMAGES})
_DECODER = msgspec.json.Decoder()


def to_event(raw: bytes, stream_arn: str) -> Event:
    """One element of `event["Records"]`; fields that are not known today come last, as they are."""
    return _shaped(_DECODER.decode(raw), stream_arn)


def to_events(raws: list[bytes], stream_arn: str) -> list[Event]:
    """The elements of a whole batch, decoded in one go."""
    wires = _DECODER.decode(b"[" + b",".join(raws) + b"]")
    return [_shaped(wire, stream_arn) for wire in wires]


def _shaped(wire: dict[str, Any], stream_arn: str) -> Event:
    event: Event = {}
    for name in _BEFORE_CHANGE:
        if (value := wire.get(name)) is not None:
            event[name] = value
    change = wire.get("dynamodb")
    if change is not None:
        event["dynamodb"] = _shaped_change(change)
    identity = wire.get("userIdentity")
    if identity is not None:
        event["userIdentity"] = _shaped_identity(identity)
    if not wire.keys() <= _KNOWN:
        event.update(_unknown(wire, _KNOWN))
    event["eventSourceARN"] = stream_arn
    return event


def _shaped_change(wire: dict[str, Any]) -> dict[str, Any]:
    change: dict[str, Any] = {}
    at_seconds = wire.get("ApproximateCreationDateTime")
    if at_seconds is not None:
        change["ApproximateCreationDateTime"] = float(int(at_seconds))
    for name in _IMAGES:
        if (value := wire.get(name)) is not None:
            change[name] = value
    for name in _AFTER_IMAGES:
        if (value := wire.get(name)) is not None:
            change[name] = value
    if not wire.keys() <= _KNOWN_OF_CHANGE:
        change.update(_unknown(wire, _KNOWN_OF_CHANGE))
    return change


def _shaped_identity(wire: dict[str, Any]) -> dict[str, Any]:
    lowered = {name[:1].lower() + name[1:]: value for name, value in wire.items()}
    return {name: lowered[name] for name in sorted(lowered, reverse=True)}  # type, principalId


def _unknown(wire: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in wire.items() if name not in known and value is not None}
