"""Where the emulator means to differ from Kinesis Mock 0.6.2 and kinesalite 3.3.3, each with its reason.

What was asked is "operation: what is odd about it". Where the two servers differ from each other, kinesalite
mostly has AWS's errors, and Kinesis Mock the younger operations.
"""

from __future__ import annotations

from emulator.listed import Row

VALIDATION = "ValidationException"
INVALID = "InvalidArgumentException"
IN_USE = "ResourceInUseException"
OK = r"ok\b.*"

MODEL = (
    "AWS checks members against its service model and answers ValidationException, as kinesalite "
    "does; Kinesis Mock has errors of its own or fails"
)
ENCRYPTION = "AWS tells EncryptionType where a stream is encrypted, as the emulator's never is"
SUMMARIES = "AWS's model has StreamSummaries beside StreamNames"
CALL_LIMIT = "a call puts at most 5 MB (API reference, PutRecords)"
NO_COUNT = "a stream with provisioned shards needs their number (API reference, CreateStream)"

KINESIS_MOCK: tuple[Row, ...] = (
    Row(r"\w+: .*", VALIDATION, f"({INVALID}|Serialization\\w+|LimitExceeded\\w+|HTTP 500)", MODEL),
    Row("PutRecords: (no record|501 records)", VALIDATION, OK, MODEL),
    Row("ListShards: a limit too high", VALIDATION, OK, MODEL),
    Row("PutRecord: data that is not base64", "SerializationException", "HTTP 500", MODEL),
    Row(
        "GetRecords: a bad iterator", INVALID, "HTTP 500", "Kinesis Mock fails, kinesalite does not"
    ),
    Row("PutRecords?: .*", OK, "ok EncryptionType .*", ENCRYPTION),
    Row("GetRecords: .*", OK, r"ok .* Records\.EncryptionType .*", ENCRYPTION),
    Row("GetRecords: null members", "none", "some", "AWS leaves absent members out"),
    Row(
        "ListStreams: .*", r"ok .* StreamSummaries\b.*", "ok HasMoreStreams StreamNames", SUMMARIES
    ),
    Row(
        "UpdateShardCount: .*", "ok .* StreamARN .*", OK, "AWS's model has StreamARN in the answer"
    ),
    Row("CreateStream: no count", INVALID, OK, NO_COUNT),
    Row(
        "ListShards: (behind a shard|AFTER_SHARD_ID) .*",
        "ok Shards",
        r"ok Shards Shards\..*",
        "behind the last shard there is none (API reference, ListShards); Kinesis Mock begins again",
    ),
    Row(
        "ListShards: AT_TRIM_HORIZON",
        OK,
        r"ok .*ParentShardId.*",
        "only what was open at the trim horizon (API reference, ShardFilter); Kinesis Mock lists all",
    ),
    Row(
        "ListShards: AT_TIMESTAMP long ago",
        "ok Shards",
        r"ok Shards Shards\..*",
        "only what was open at that time (API reference, ShardFilter); Kinesis Mock lists all",
    ),
    Row(
        "ListShards: next page of AT_LATEST",
        r"\['shardId-0*1', 'shardId-0*3'\]",
        r"\['shardId-0*1', 'shardId-0*2'\]",
        "a token goes on with what was asked (API reference, ListShards); Kinesis Mock forgets the filter",
    ),
    Row(
        "GetShardIterator: (AT|AFTER) (a number of another shard|number 0)",
        INVALID,
        "ResourceNotFoundException",
        "a number that did not come from the shard is an invalid argument, as kinesalite has it",
    ),
    Row(
        "GetShardIterator: a number that is not asked for",
        INVALID,
        OK,
        "LATEST takes no number, as kinesalite has it; Kinesis Mock passes over it",
    ),
    Row(
        "SplitShard: (the first|behind the first|the last) hash key",
        INVALID,
        "ok",
        "both halves need more than one hash key, as kinesalite has it",
    ),
    Row(
        "edges of [24] shards",
        ".*",
        ".*",
        "an even number of shards divides the hash space in powers of two (API reference, "
        "CreateStream: evenly); Kinesis Mock begins each shard one key early",
    ),
    Row(
        "edges of 3 shards made of 2",
        ".*",
        ".*",
        "UNIFORM_SCALING makes shards of the same size (API reference, UpdateShardCount); Kinesis "
        "Mock splits as many as it needs in halves",
    ),
)

YOUNGER = "kinesalite 3.3.3 is older than this member"
EITHER_NAME = "StreamName was required when kinesalite was made; now it or StreamARN is"

KINESALITE: tuple[Row, ...] = (
    Row(r"DescribeStream\w*: an ordinary one", r"ok .*StreamModeDetails.*", OK, YOUNGER),
    Row("ListStreams: .*", r"ok .* StreamSummaries\b.*", "ok HasMoreStreams StreamNames", YOUNGER),
    Row(r"\w+: (no name|no StreamName)", INVALID, VALIDATION, EITHER_NAME),
    Row("CreateStream: no count", INVALID, VALIDATION, "it was required when kinesalite was made"),
    Row("PutRecords: more than 5 MB", INVALID, OK, CALL_LIMIT),
    Row(
        "PutRecord: a (negative hash key|hash key with zeros)",
        VALIDATION,
        f"({INVALID}|{OK})",
        "AWS's model: a hash key is 0 or begins with another digit, as a whole",
    ),
    Row(
        "SplitShard: a closed shard",
        IN_USE,
        "ok",
        "what was split once is not eligible for it again (API reference, SplitShard)",
    ),
    Row(
        "MergeShards: (a|with a) closed shard",
        IN_USE,
        INVALID,
        "they are closed and not adjacent: nobody says which is told first; as in Kinesis Mock",
    ),
    Row(
        r"\w+StreamRetentionPeriod: 876[01] hours",
        f"(ok|{INVALID})",
        VALIDATION,
        "AWS keeps records up to 8760 hours now (API reference, IncreaseStreamRetentionPeriod)",
    ),
)
