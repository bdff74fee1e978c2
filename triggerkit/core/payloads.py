"""What leaves the worker about a batch that was given up, in AWS's field order.

The document carries no record contents and no error text (D-12); only destinations that store the
event get its text beside it (D-13). Times are service seconds; ids and the present moment come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from triggerkit.core.model import Batch, DiscardReason
from triggerkit.core.traits import SourceTraits

NOWHERE_REGION = "local"
NOWHERE_ACCOUNT = "000000000000"
_VERSION = "1.0"
_EXECUTED_VERSION = "$LATEST"
_FUNCTION_ERROR = "Unhandled"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a batch came from and which function it was for."""

    traits: SourceTraits
    shard_name: str
    stream_arn: str
    function_arn: str


def function_arn(stream_arn: str, function_name: str) -> str:
    """The unqualified ARN that the function would have beside its stream (D-2).

    Partition, Region and account are the stream's; a text that is no ARN gives `local` and zeros.
    """
    parts = stream_arn.split(":", 5)
    if len(parts) == 6 and parts[0] == "arn":
        partition, region, account = parts[1], parts[3], parts[4]
    else:
        partition, region, account = "aws", NOWHERE_REGION, NOWHERE_ACCOUNT
    return f"arn:{partition}:lambda:{region}:{account}:function:{function_name}"


def encode_event(event: Mapping[str, object]) -> bytes:
    """One element of `Records`, or a whole event, as JSON text; `5.0` stays a float (E-2)."""
    return msgspec.json.encode(event)


def event_text(elements: Iterable[bytes]) -> bytes:
    """The event `{"Records": [...]}` as JSON text, spliced from its encoded elements (E-1)."""
    return b'{"Records":[' + b",".join(elements) + b"]}"


def failure_record(
    batch: Batch, reason: DiscardReason, origin: Origin, *, at_seconds: float, request_id: str
) -> dict[str, object]:
    """Lambda's document about a batch that was given up (D-1 to D-12).

    The conditions `DiscardedByHandler` and `InvalidRecord` are our own; Lambda knows the other two only (D-3).

    Args:
        batch: the records given up, oldest first; `attempts` are the calls made for them (F-31).
        reason: the condition.
        origin: shard, stream and function.
        at_seconds: service time now.
        request_id: a fresh id, used when no call was ever made for the batch.
    """
    failure = batch.last_failure
    document: dict[str, object] = {
        "requestContext": {
            "requestId": failure.request_id if failure else request_id,
            "functionArn": origin.function_arn,
            "condition": reason.value,
            "approximateInvokeCount": max(1, batch.attempts),  # F-43
        }
    }
    if reason is not DiscardReason.RECORD_AGE_EXCEEDED:  # F-43: an old batch has no responseContext
        reported = failure is not None and failure.reported
        document["responseContext"] = {
            "statusCode": 200,
            "executedVersion": _EXECUTED_VERSION,
            "functionError": None if reported else _FUNCTION_ERROR,
        }
    document["version"] = _VERSION
    document["timestamp"] = _utc_text(at_seconds, "milliseconds")
    document[origin.traits.batch_info] = _batch_facts(batch, origin)
    return document


def with_payload(document: Mapping[str, object], payload: bytes) -> dict[str, object]:
    """The document with the event as a JSON string after `version` (D-13)."""
    stored: dict[str, object] = {}
    for key, value in document.items():
        stored[key] = value
        if key == "version":
            stored["payload"] = payload.decode()
    return stored


def _batch_facts(batch: Batch, origin: Origin) -> dict[str, object]:
    if not len(batch):  # D-10: the final call of a window may have no records
        return {"shardId": origin.shard_name, "streamArn": origin.stream_arn}
    precision = origin.traits.arrival_precision
    first, last = batch.records[0], batch.records[-1]
    return {
        "shardId": origin.shard_name,
        "startSequenceNumber": first.sequence_number,
        "endSequenceNumber": last.sequence_number,
        "approximateArrivalOfFirstRecord": _utc_text(first.at_seconds, precision),
        "approximateArrivalOfLastRecord": _utc_text(last.at_seconds, precision),
        "batchSize": len(batch),
        "streamArn": origin.stream_arn,
    }


def _utc_text(seconds: float, precision: str) -> str:
    text = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec=precision)
    return f"{text}Z"
