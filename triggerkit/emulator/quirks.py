"""Dialects of other endpoints: what they were seen to do that AWS does not.

Rule: a quirk is one behaviour that a real endpoint showed, and says which; a profile is the quirks of one
endpoint. They are for testing consumers against dialects without the endpoints, and change no state: a
stream that was read in a dialect can be read without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from triggerkit.errors import nearest


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
    LISTING_TOKEN_REFUSED = "listing-token-refused"  # noqa: S105 (no password)
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


def read_quirks(given: str | Quirk | Iterable[str | Quirk]) -> frozenset[Quirk]:
    """Return the quirks that names of profiles and of single quirks stand for; commas separate names.

    Raises:
        ValueError: there is no such name; says the nearest one.
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
    hint = nearest(name, [*sorted(PROFILES), *names])
    raise ValueError(f"there is no quirk or profile {name!r}; {hint}")
