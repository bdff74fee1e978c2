"""Dialects of other endpoints: observed behaviour that AWS does not have, for tests of stream readers.

A quirk is one behaviour that a real endpoint showed; a profile is the quirks of one endpoint, as far as they
lie within the operations that the emulator has. `speak` lets an emulator answer so. A dialect never touches
what the emulator keeps: a stream that was read in a dialect can be read without it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from triggerkit.emulator import Emulator, EmulatorError
from triggerkit.emulator.engine import KINESIS
from triggerkit.emulator.reading import read_token

Quirks: TypeAlias = "str | Quirk | Iterable[str | Quirk]"
Request: TypeAlias = Mapping[str, Any]
Perform: TypeAlias = Callable[[Request], dict[str, Any]]


class Quirk(Enum):
    """One behaviour. Each applies to DynamoDB Streams, to Kinesis, or to both, as it says."""

    AT_TIMESTAMP_BROKEN = "at-timestamp-broken"
    """GetShardIterator AT_TIMESTAMP of a table's stream answers 500 InternalFailure."""
    AT_TIMESTAMP_IGNORED = "at-timestamp-ignored"
    """GetShardIterator AT_TIMESTAMP of a table's stream starts at the trim horizon."""
    AT_TIMESTAMP_REFUSED = "at-timestamp-refused"
    """GetShardIterator AT_TIMESTAMP of a table's stream answers ValidationException."""
    BAD_ITERATOR_BROKEN = "bad-iterator-broken"
    """GetRecords with a text that is no iterator answers 500 InternalFailure."""
    CHILD_SHARDS_MISSING = "child-shards-missing"
    """GetRecords of Kinesis never names ChildShards."""
    DISABLED_STREAM_BROKEN = "disabled-stream-broken"
    """DescribeStream of a stream that was turned off answers 500 InternalFailure."""
    EVENT_ID_WITH_DASHES = "event-id-with-dashes"
    """eventID is a UUID with dashes."""
    EVENT_VERSION_1_0 = "event-version-1-0"
    """eventVersion is 1.0."""
    EXPLICIT_NULLS = "explicit-nulls"
    """Members without a value are null instead of absent."""
    FOREIGN_SEQUENCE_NOT_FOUND = "foreign-sequence-not-found"
    """GetShardIterator with a sequence number of another shard answers ResourceNotFoundException."""
    FOREIGN_SEQUENCE_TRIMMED = "foreign-sequence-trimmed"
    """The same answers TrimmedDataAccessException, for streams of tables."""
    LAST_SHARD_NAMED_ALWAYS = "last-shard-named-always"
    """DescribeStream of a table's stream names LastEvaluatedShardId although nothing follows."""
    LATE_NULL = "late-null"
    """A closed shard ends one empty page behind its last record."""
    LISTING_TOKEN_REFUSED = "listing-token-refused"
    """ListShards refuses its own NextToken."""
    MILLISECOND_TIMES = "millisecond-times"
    """ApproximateCreationDateTime has a fraction."""
    MINUTE_TIMES = "minute-times"
    """ApproximateCreationDateTime is cut to the minute."""
    NEVER_NULL = "never-null"
    """GetRecords of Kinesis gives a next iterator for a closed shard too, for ever."""
    NOT_BEHIND = "not-behind"
    """MillisBehindLatest is always 0."""
    NO_CHECKSUM = "no-checksum"
    """Answers have no x-amz-crc32."""
    NO_PAGE_LIMIT = "no-page-limit"
    """A page may be larger than 1 MB, for Kinesis than 10 MB."""
    NO_STARTING_SEQUENCE = "no-starting-sequence"
    """Listings leave StartingSequenceNumber out."""
    NO_TRIM = "no-trim"
    """Records are never forgotten."""
    PAGING_IGNORED = "paging-ignored"
    """DescribeStream ignores ExclusiveStartShardId and Limit: it lists from the start each time."""
    SHARD_FILTER_IGNORED = "shard-filter-ignored"
    """DescribeStream and ListShards list all shards whatever ShardFilter says."""
    SIZE_ALWAYS_ZERO = "size-always-zero"
    """SizeBytes is 0."""
    STREAM_ARN_UNKNOWN = "stream-arn-unknown"
    """Kinesis takes StreamName only."""
    TTL_EVENT_UNKNOWN = "ttl-event-unknown"
    """A removal by Time to Live has the eventName UNKNOWN_TO_SDK_VERSION and no userIdentity."""
    UNKNOWN_LABEL_ANSWERED = "unknown-label-answered"
    """An ARN with a label that never was means the table's present stream."""


_OLDER_DYNAMODB_LOCAL = frozenset(
    {
        Quirk.AT_TIMESTAMP_REFUSED,
        Quirk.EVENT_ID_WITH_DASHES,
        Quirk.MINUTE_TIMES,
        Quirk.NO_PAGE_LIMIT,
        Quirk.SHARD_FILTER_IGNORED,
    }
)

PROFILES: Final[Mapping[str, frozenset[Quirk]]] = MappingProxyType(
    {
        "dynamodb-local": frozenset(
            {
                Quirk.AT_TIMESTAMP_BROKEN,
                Quirk.EVENT_ID_WITH_DASHES,
                Quirk.MINUTE_TIMES,
                Quirk.NO_PAGE_LIMIT,
                Quirk.TTL_EVENT_UNKNOWN,
            }
        ),
        "dynamodb-local-1.25": _OLDER_DYNAMODB_LOCAL,
        "dynamodb-local-2.6": _OLDER_DYNAMODB_LOCAL,
        "kinesalite": frozenset(
            {
                Quirk.CHILD_SHARDS_MISSING,
                Quirk.LATE_NULL,
                Quirk.NOT_BEHIND,
                Quirk.NO_PAGE_LIMIT,
                Quirk.SHARD_FILTER_IGNORED,
                Quirk.STREAM_ARN_UNKNOWN,
            }
        ),
        "kinesis-mock": frozenset(
            {
                Quirk.BAD_ITERATOR_BROKEN,
                Quirk.EXPLICIT_NULLS,
                Quirk.FOREIGN_SEQUENCE_NOT_FOUND,
                Quirk.NO_TRIM,
            }
        ),
        "ministack": frozenset(
            {
                Quirk.AT_TIMESTAMP_REFUSED,
                Quirk.CHILD_SHARDS_MISSING,
                Quirk.EVENT_ID_WITH_DASHES,
                Quirk.FOREIGN_SEQUENCE_TRIMMED,
                Quirk.LISTING_TOKEN_REFUSED,
                Quirk.NO_CHECKSUM,
                Quirk.NO_STARTING_SEQUENCE,
                Quirk.SIZE_ALWAYS_ZERO,
            }
        ),
        "moto": frozenset(
            {
                Quirk.AT_TIMESTAMP_IGNORED,
                Quirk.BAD_ITERATOR_BROKEN,
                Quirk.CHILD_SHARDS_MISSING,
                Quirk.DISABLED_STREAM_BROKEN,
                Quirk.EVENT_VERSION_1_0,
                Quirk.LISTING_TOKEN_REFUSED,
                Quirk.MILLISECOND_TIMES,
                Quirk.NEVER_NULL,
                Quirk.NO_CHECKSUM,
                Quirk.NO_PAGE_LIMIT,
                Quirk.NO_TRIM,
                Quirk.PAGING_IGNORED,
                Quirk.SHARD_FILTER_IGNORED,
                Quirk.UNKNOWN_LABEL_ANSWERED,
            }
        ),
        "roto": frozenset({Quirk.CHILD_SHARDS_MISSING}),
    }
)
"""Endpoint to what it was seen to do, as far as it lies within the operations that the emulator has."""


def read_quirks(given: Quirks) -> frozenset[Quirk]:
    """Return the quirks that names of profiles and of single quirks stand for; commas separate names.

    Raises:
        ValueError: there is no such name.
    """
    each = [given] if isinstance(given, (str, Quirk)) else list(given)
    found: set[Quirk] = set()
    for one in each:
        if isinstance(one, Quirk):
            found.add(one)
            continue
        for name in one.split(","):
            found |= _named(name.strip())
    return frozenset(found)


def _named(name: str) -> frozenset[Quirk]:
    if not name:
        return frozenset()
    if name in PROFILES:
        return PROFILES[name]
    names = {quirk.value: quirk for quirk in Quirk}
    if name in names:
        return frozenset({names[name]})
    raise ValueError(f"there is no quirk or profile {name!r}")


def speak(emulator: Emulator, *given: Quirks) -> Emulator:
    """Let an emulator answer as other endpoints do, or as AWS does where nothing is given; return it.

    Raises:
        ValueError: there is no such profile or quirk.
    """
    quirks = frozenset[Quirk]().union(*(read_quirks(each) for each in given))

    def perform(target: str, request: Request, perform_as_aws: Perform) -> dict[str, Any]:
        service, _, operation = target.rpartition(".")
        dialect = Dialect(quirks, emulator, service == KINESIS)
        return dialect.perform(operation, request, perform_as_aws)

    emulator.dialect = perform if quirks else None
    emulator.faults.keeps_records = Quirk.NO_TRIM in quirks
    emulator.faults.limits_page_bytes = Quirk.NO_PAGE_LIMIT not in quirks
    emulator.faults.sends_checksums = Quirk.NO_CHECKSUM not in quirks
    return emulator


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
    """The quirks of an emulator, for one of the two services."""

    quirks: frozenset[Quirk]
    emulator: Emulator
    is_kinesis: bool

    def perform(self, operation: str, request: Request, perform: Perform) -> dict[str, Any]:
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
            return self._read(request, answer)
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
            raise EmulatorError(
                "InvalidArgumentException", "StreamARN is not known here; StreamName is required."
            )
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
                raise EmulatorError("ValidationException", "Invalid ShardIteratorType")
            if Quirk.AT_TIMESTAMP_IGNORED in self.quirks:
                heard["ShardIteratorType"] = "TRIM_HORIZON"
        if (
            operation == "DescribeStream"
            and Quirk.DISABLED_STREAM_BROKEN in self.quirks
            and self._status(heard.get("StreamArn")) == "DISABLED"
        ):
            raise EmulatorError("InternalFailure", "The request failed.", 500)

    def _status(self, arn: object) -> str | None:
        """Return the status of a stream, None where there is no such stream."""
        try:
            described = self.emulator.peek("DescribeStream", {"StreamArn": arn})
        except EmulatorError:
            return None
        status: str = described["StreamDescription"]["StreamStatus"]
        return status

    def _present_stream(self, arn: object) -> object:
        """Return the ARN of the table's present stream for one that never was."""
        if not isinstance(arn, str) or self._status(arn) is not None:
            return arn
        name = arn.partition(":table/")[2].partition("/")[0]
        try:
            table = self.emulator.peek("DescribeTable", {"TableName": name})["Table"]
        except EmulatorError:
            return arn
        return table.get("LatestStreamArn", arn)

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
                return EmulatorError(
                    "ResourceNotFoundException", "The sequence number is not in this shard."
                )
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

    def _read(self, request: Request, answer: dict[str, Any]) -> dict[str, Any]:
        told = dict(answer)
        never_ends = self.is_kinesis and Quirk.NEVER_NULL in self.quirks
        ends_late = Quirk.LATE_NULL in self.quirks and answer["Records"]
        if "NextShardIterator" not in answer and (never_ends or ends_late):
            told["NextShardIterator"] = self._next_iterator(request, answer)
            told.pop("ChildShards", None)
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

    def _next_iterator(self, request: Request, answer: Mapping[str, Any]) -> str:
        """Return an iterator after the last record of an answer."""
        place = read_token(request["ShardIterator"])
        numbers = [record.get("dynamodb", record) for record in answer["Records"]]
        after = int(numbers[-1]["SequenceNumber"]) if numbers else place.after
        now_seconds = self.emulator.clock.now_seconds()
        return replace(place, after=after, issued_seconds=now_seconds).token()

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
