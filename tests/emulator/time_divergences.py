"""Where the emulator means to differ from the real servers when time passes, each with its reason."""

from __future__ import annotations

from emulator.listed import Row

DYNAMODB_LOCAL_3_3_1: tuple[Row, ...] = (
    Row(
        "(AT|AFTER)_SEQUENCE_NUMBER",
        "TrimmedDataAccessException",
        "ok",
        "AWS refuses an iterator at a number older than the trim point (Streams API reference, "
        "TrimmedDataAccessException, first case); DynamoDB Local gives it and refuses to read there",
    ),
    Row(
        r"read from (TRIM_HORIZON|LATEST) of an empty shard",
        r"\[.*\].*",
        "TrimmedDataAccessException",
        "an iterator that was taken while the shard held nothing begins at the oldest record that is "
        "not trimmed (Streams API reference, GetShardIterator); DynamoDB Local calls it trimmed",
    ),
    Row(
        "AT_TIMESTAMP",
        "ok|ValidationException",
        "InternalFailure",
        "AWS's model has AT_TIMESTAMP, and a time in the future is refused; DynamoDB Local fails",
    ),
)

DYNAMODB_LOCAL_2_6_1_TIME_TO_LIVE: tuple[Row, ...] = ()
DYNAMODB_LOCAL_3_3_1_TIME_TO_LIVE: tuple[Row, ...] = (
    Row(
        "removal by Time to Live",
        'REMOVE by {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"} of .*',
        "UNKNOWN_TO_SDK_VERSION by null of .*",
        "AWS streams a REMOVE with the identity of the service (DynamoDB guide, Streams and Time to "
        "Live), as 2.6.1 does; 3.3.1 names neither",
    ),
)

BEHIND = (
    "how far an answer is behind the present (API reference, GetRecords): the age of what waits to be "
    "read; "
)
KINESIS_MOCK: tuple[Row, ...] = (
    Row(
        "minutes behind",
        r"\d+",
        r"\d+",
        BEHIND + "Kinesis Mock tells how much younger the last record is than the last one read",
    ),
    Row(
        "read what is a day old",
        "0",
        "1",
        "records are gone after the retention period; Kinesis Mock keeps them",
    ),
)
KINESALITE: tuple[Row, ...] = (
    Row("minutes behind", r"\d+", "0", BEHIND + "kinesalite says 0 whatever waits"),
    Row(
        "end of a shard",
        "True",
        "False",
        "a closed shard may end with its last records; kinesalite needs one more empty page",
    ),
    Row(
        "list",
        ".*",
        ".*closed.*",
        "a closed shard leaves the listing when the retention has passed over it (API reference, "
        "ListShards); kinesalite lists it for ever",
    ),
    Row(
        "(AT|AFTER)_SEQUENCE_NUMBER",
        "ResourceNotFoundException",
        "ok",
        "a shard that left the listing cannot be read; kinesalite finds it empty",
    ),
    Row(
        "read what was kept longer too late",
        "0",
        "1",
        "what is older than the retention period stays inaccessible when that grows (API reference, "
        "IncreaseStreamRetentionPeriod); kinesalite forgets only when somebody reads",
    ),
)
