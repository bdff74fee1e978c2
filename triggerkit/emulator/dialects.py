"""Requests as a dialect hears them, and answers as it speaks them.

Rule: a dialect never touches what the store keeps: whatever it changes is a copy. What cannot be told
from a request and its answer (where a page ends, what is forgotten) is decided where pages are made.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.errors import EmulatorError, invalid_argument, not_found, validation
from triggerkit.emulator.quirks import Quirk
from triggerkit.emulator.requests import Request
from triggerkit.emulator.site import Site

_TIMES = {Quirk.MINUTE_TIMES, Quirk.MILLISECOND_TIMES}
_IN_RECORDS = _TIMES | {
    Quirk.EVENT_ID_WITH_DASHES,
    Quirk.EVENT_VERSION_1_0,
    Quirk.EXPLICIT_NULLS,
    Quirk.SIZE_ALWAYS_ZERO,
    Quirk.TTL_EVENT_UNKNOWN,
}
_LISTINGS = frozenset({"DescribeStream", "ListShards"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """One set of quirks at one site, for one of the two services."""

    quirks: frozenset[Quirk]
    site: Site
    is_kinesis: bool

    def perform(
        self, operation: str, request: Request, perform: Callable[[Request], dict[str, Any]]
    ) -> dict[str, Any]:
        """Carry out an operation in this dialect.

        Raises:
            EmulatorError: the answer is an error.
        """
        heard = self._heard(operation, request)
        try:
            answer = perform(heard)
        except EmulatorError as error:
            raise self._refused(operation, request, error) from error
        if operation in _LISTINGS:
            return self._listed(operation, answer)
        if operation == "GetRecords":
            return self._read(answer)
        return answer

    # --- requests -----------------------------------------------------------------------------------

    def _heard(self, operation: str, request: Request) -> Request:
        dropped: set[str] = set()
        if operation in _LISTINGS and Quirk.SHARD_FILTER_IGNORED in self.quirks:
            dropped.add("ShardFilter")
        if operation == "DescribeStream" and Quirk.PAGING_IGNORED in self.quirks:
            dropped |= {"ExclusiveStartShardId", "Limit"}
        self._refuse_unknown(operation, request)
        heard = {name: value for name, value in request.items() if name not in dropped}
        if not self.is_kinesis:
            self._hear_streams(operation, heard)
        return heard

    def _refuse_unknown(self, operation: str, request: Request) -> None:
        """Raise what this dialect answers to members that it does not know."""
        if not self.is_kinesis:
            return
        if Quirk.STREAM_ARN_UNKNOWN in self.quirks and request.get("StreamARN") is not None:
            raise invalid_argument("StreamARN is not known here; StreamName is required.")
        token = request.get("NextToken")
        if operation == "ListShards" and Quirk.LISTING_TOKEN_REFUSED in self.quirks and token:
            raise EmulatorError("ExpiredNextTokenException", "The NextToken is invalid.")

    def _hear_streams(self, operation: str, heard: dict[str, Any]) -> None:
        if Quirk.UNKNOWN_LABEL_ANSWERED in self.quirks and "StreamArn" in heard:
            heard["StreamArn"] = self._present_stream(heard["StreamArn"])
        if operation == "GetShardIterator" and heard.get("ShardIteratorType") == "AT_TIMESTAMP":
            if Quirk.AT_TIMESTAMP_BROKEN in self.quirks:
                raise EmulatorError("InternalFailure", "The request failed.", 500)
            if Quirk.AT_TIMESTAMP_REFUSED in self.quirks:
                raise validation("Invalid ShardIteratorType")
            if Quirk.AT_TIMESTAMP_IGNORED in self.quirks:
                heard["ShardIteratorType"] = "TRIM_HORIZON"
        if operation == "DescribeStream" and Quirk.DISABLED_STREAM_BROKEN in self.quirks:
            stream = self.site.store.stream(str(heard.get("StreamArn")))
            if stream is not None and not stream.enabled:
                raise EmulatorError("InternalFailure", "The request failed.", 500)

    def _present_stream(self, arn: object) -> object:
        """Return the ARN of the table's present stream for one that never was."""
        if not isinstance(arn, str) or self.site.store.stream(arn) is not None:
            return arn
        name = arn.partition(":table/")[2].partition("/")[0]
        table = self.site.store.table(name)
        return arn if table is None or table.stream_arn is None else table.stream_arn

    # --- refusals -----------------------------------------------------------------------------------

    def _refused(self, operation: str, request: Request, error: EmulatorError) -> EmulatorError:
        is_invalid = error.type in {"ValidationException", "InvalidArgumentException"}
        if not is_invalid:
            return error
        if operation == "GetRecords" and "ShardIterator" in error.message:
            if Quirk.BAD_ITERATOR_BROKEN in self.quirks:
                return EmulatorError("InternalFailure", "The request failed.", 500)
        elif operation == "GetShardIterator" and _names_a_sequence_number(request):
            if Quirk.FOREIGN_SEQUENCE_NOT_FOUND in self.quirks:
                return not_found("The sequence number is not in this shard.")
            if Quirk.FOREIGN_SEQUENCE_TRIMMED in self.quirks and not self.is_kinesis:
                return EmulatorError("TrimmedDataAccessException", "The record is not there.")
        return error

    # --- answers ------------------------------------------------------------------------------------

    def _listed(self, operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        described = answer if operation == "ListShards" else answer["StreamDescription"]
        described = {**described, "Shards": [self._shard(each) for each in described["Shards"]]}
        shards = described["Shards"]
        if not self.is_kinesis:
            if Quirk.LAST_SHARD_NAMED_ALWAYS in self.quirks and shards:
                described["LastEvaluatedShardId"] = shards[-1]["ShardId"]
            self._add_nulls(described, "LastEvaluatedShardId")
        elif operation == "ListShards":
            self._add_nulls(described, "NextToken")
        return described if operation == "ListShards" else {"StreamDescription": described}

    def _shard(self, shard: Mapping[str, Any]) -> dict[str, Any]:
        numbers = dict(shard["SequenceNumberRange"])
        if Quirk.NO_STARTING_SEQUENCE in self.quirks:
            del numbers["StartingSequenceNumber"]
        self._add_nulls(numbers, "EndingSequenceNumber")
        told = {**shard, "SequenceNumberRange": numbers}
        adjacent = ("AdjacentParentShardId",) if self.is_kinesis else ()
        self._add_nulls(told, "ParentShardId", *adjacent)
        return told

    def _read(self, answer: dict[str, Any]) -> dict[str, Any]:
        told = dict(answer)
        if self.is_kinesis:
            if Quirk.CHILD_SHARDS_MISSING in self.quirks:
                told.pop("ChildShards", None)
            if Quirk.NOT_BEHIND in self.quirks:
                told["MillisBehindLatest"] = 0
            self._add_nulls(told, "ChildShards")
        elif self.quirks & _IN_RECORDS:
            told["Records"] = [self._record(record) for record in told["Records"]]
        self._add_nulls(told, "NextShardIterator")
        return told

    def _record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        told = {**record, "dynamodb": dict(record["dynamodb"])}
        change = told["dynamodb"]
        at_seconds = change["ApproximateCreationDateTime"]
        if Quirk.MINUTE_TIMES in self.quirks:
            change["ApproximateCreationDateTime"] = float(at_seconds - at_seconds % 60)
        elif Quirk.MILLISECOND_TIMES in self.quirks:
            change["ApproximateCreationDateTime"] = at_seconds + 0.25
        if Quirk.SIZE_ALWAYS_ZERO in self.quirks:
            change["SizeBytes"] = 0
        if Quirk.EVENT_ID_WITH_DASHES in self.quirks:
            told["eventID"] = str(uuid.UUID(told["eventID"]))
        if Quirk.EVENT_VERSION_1_0 in self.quirks:
            told["eventVersion"] = "1.0"
        if Quirk.TTL_EVENT_UNKNOWN in self.quirks and told.pop("userIdentity", None) is not None:
            told["eventName"] = "UNKNOWN_TO_SDK_VERSION"
        self._add_nulls(told, "userIdentity")
        self._add_nulls(change, "NewImage", "OldImage")
        return told

    def _add_nulls(self, told: dict[str, Any], *names: str) -> None:
        if Quirk.EXPLICIT_NULLS in self.quirks:
            for name in names:
                told.setdefault(name, None)


def _names_a_sequence_number(request: Request) -> bool:
    return any(request.get(name) for name in ("SequenceNumber", "StartingSequenceNumber"))
