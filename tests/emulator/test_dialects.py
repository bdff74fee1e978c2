"""Dialects of other endpoints: each quirk does what it says, to the one service or both, and no more."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from emulator.clicks import FIRST, Clicks, KinesisStream, TableStream, only_shard, walk
from emulator.dialects import PROFILES, Quirk, read_quirks, speak
from emulator.kit import Orders, refused
from triggerkit.emulator import Emulator, EmulatorError, attach, serve


def orders_with(*quirks: Quirk | str) -> Orders:
    orders = Orders()
    speak(orders.emulator, *quirks)
    return orders


def clicks_with(*quirks: Quirk | str, shards: int = 1) -> Clicks:
    clicks = Clicks(shards=shards)
    speak(clicks.emulator, *quirks)
    return clicks


def only_record(orders: Orders) -> dict[str, Any]:
    orders.put("a")
    (record,) = orders.records()
    return record


def start_at_a_time(orders: Orders) -> list[str]:
    """Which of two records come from the time of the second on."""
    orders.put("early")
    orders.emulator.advance(10)
    orders.put("late")
    shard = orders.shards_listed()[0]["ShardId"]
    iterator = orders.iterator(
        shard, "AT_TIMESTAMP", Timestamp=orders.emulator.clock.now_seconds() - 1
    )
    return [one["dynamodb"]["Keys"]["pk"]["S"] for one in orders.page(iterator)["Records"]]


def test_names_are_profiles_and_single_quirks() -> None:
    assert read_quirks("moto") == PROFILES["moto"]
    assert read_quirks("late-null, explicit-nulls") == {Quirk.LATE_NULL, Quirk.EXPLICIT_NULLS}
    assert read_quirks(["roto", Quirk.LATE_NULL]) == PROFILES["roto"] | {Quirk.LATE_NULL}
    assert read_quirks("") == read_quirks([]) == frozenset()
    with pytest.raises(ValueError, match="no quirk or profile 'kinesalit'"):
        read_quirks("kinesalit")


def test_every_quirk_belongs_to_a_profile_or_is_a_worst_case() -> None:
    seen = frozenset().union(*PROFILES.values())
    assert set(Quirk) - seen == {Quirk.LAST_SHARD_NAMED_ALWAYS}


@pytest.mark.parametrize(
    ("quirk", "error"),
    [
        (Quirk.AT_TIMESTAMP_BROKEN, "InternalFailure"),
        (Quirk.AT_TIMESTAMP_REFUSED, "ValidationException"),
    ],
)
def test_a_time_to_start_at_may_be_refused(quirk: Quirk, error: str) -> None:
    assert start_at_a_time(orders_with()) == ["late"]
    with pytest.raises(EmulatorError, match=error):
        start_at_a_time(orders_with(quirk))
    clicks = clicks_with(quirk)  # Kinesis knows the type
    clicks.put("a")
    assert clicks.keys(FIRST, "AT_TIMESTAMP", Timestamp=0) == ["a"]


def test_a_time_to_start_at_may_be_ignored() -> None:
    assert start_at_a_time(orders_with(Quirk.AT_TIMESTAMP_IGNORED)) == ["early", "late"]


@pytest.mark.parametrize("make", [Orders, Clicks])
def test_a_text_that_is_no_iterator_may_break_the_endpoint(
    make: Callable[[], Orders | Clicks],
) -> None:
    stream = make()
    for quirks, status in (((), 400), ((Quirk.BAD_ITERATOR_BROKEN,), 500)):
        speak(stream.emulator, *quirks)
        with pytest.raises(EmulatorError) as caught:
            stream.page("nonsense")
        assert caught.value.status == status


def test_children_may_be_left_out_of_the_last_page() -> None:
    clicks = clicks_with(Quirk.CHILD_SHARDS_MISSING)
    clicks.emulator.split("clicks")
    page = clicks.page(clicks.iterator(FIRST))
    assert "ChildShards" not in page
    assert "NextShardIterator" not in page


def test_a_stream_that_was_turned_off_may_not_be_described_any_more() -> None:
    orders = orders_with(Quirk.DISABLED_STREAM_BROKEN)
    arn = orders.stream_arn
    orders.call("UpdateTable", TableName="orders", StreamSpecification={"StreamEnabled": False})
    assert refused(orders, "DescribeStream", StreamArn=arn).status == 500
    speak(
        orders.emulator,
    )
    assert orders.call("DescribeStream", StreamArn=arn)


def test_records_may_be_spelt_in_other_ways_and_are_kept_as_they_were() -> None:
    orders = orders_with()
    plain = only_record(orders)
    speak(
        orders.emulator, Quirk.EVENT_ID_WITH_DASHES, Quirk.EVENT_VERSION_1_0, Quirk.SIZE_ALWAYS_ZERO
    )
    (odd,) = orders.records()
    assert odd["eventID"].replace("-", "") == plain["eventID"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", odd["eventID"])
    assert odd["eventVersion"] == "1.0"
    assert odd["dynamodb"]["SizeBytes"] == 0
    speak(
        orders.emulator,
    )
    assert orders.records() == [plain]


@pytest.mark.parametrize(
    ("quirk", "seconds"), [(Quirk.MINUTE_TIMES, 1_764_085_620.0), (Quirk.MILLISECOND_TIMES, None)]
)
def test_times_may_be_coarser_or_finer(quirk: Quirk, seconds: float | None) -> None:
    change = only_record(orders_with(quirk))["dynamodb"]
    at_seconds = change["ApproximateCreationDateTime"]
    assert isinstance(at_seconds, float)
    assert at_seconds == seconds if seconds else not at_seconds.is_integer()


def test_members_without_a_value_may_be_null() -> None:
    orders = orders_with(Quirk.EXPLICIT_NULLS)
    record = only_record(orders)
    assert record["userIdentity"] is None
    assert record["dynamodb"]["OldImage"] is None
    described = orders.call("DescribeStream", StreamArn=orders.stream_arn)["StreamDescription"]
    assert described["LastEvaluatedShardId"] is None
    (shard,) = described["Shards"]
    assert shard["ParentShardId"] is None
    assert shard["SequenceNumberRange"]["EndingSequenceNumber"] is None
    clicks = clicks_with(Quirk.EXPLICIT_NULLS)
    assert clicks.page(clicks.iterator(FIRST))["ChildShards"] is None
    clicks.emulator.roll("clicks")
    assert clicks.page(clicks.iterator(FIRST))["NextShardIterator"] is None
    listed = clicks.on("ListShards")
    assert listed["NextToken"] is None
    assert listed["Shards"][0]["AdjacentParentShardId"] is None


def test_a_number_of_another_shard_may_have_other_answers() -> None:
    orders, clicks = Orders(), Clicks()
    number = "9" * 22
    place = {"StreamArn": orders.stream_arn, "ShardId": orders.shards_listed()[0]["ShardId"]}
    of_table = {**place, "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number}
    for quirk, types in (
        (None, ("ValidationException", "InvalidArgumentException")),
        (Quirk.FOREIGN_SEQUENCE_NOT_FOUND, ("ResourceNotFoundException",) * 2),
        (
            Quirk.FOREIGN_SEQUENCE_TRIMMED,
            ("TrimmedDataAccessException", "InvalidArgumentException"),
        ),
    ):
        for stream in (orders, clicks):
            speak(stream.emulator, *([quirk] if quirk else []))
        with pytest.raises(EmulatorError) as caught:
            clicks.iterator(FIRST, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number)
        assert (refused(orders, "GetShardIterator", **of_table).type, caught.value.type) == types


def test_a_last_shard_may_be_named_although_nothing_follows() -> None:
    orders = orders_with(Quirk.LAST_SHARD_NAMED_ALWAYS)
    described = orders.call("DescribeStream", StreamArn=orders.stream_arn)["StreamDescription"]
    assert described["LastEvaluatedShardId"] == described["Shards"][-1]["ShardId"]


@pytest.mark.parametrize("make", [TableStream, KinesisStream])
@pytest.mark.parametrize("written", [0, 2])
def test_the_end_may_come_one_empty_page_late(
    make: Callable[[], TableStream | KinesisStream], written: int
) -> None:
    stream = make()
    speak(stream.emulator, Quirk.LATE_NULL)
    shard = only_shard(stream)
    stream.write(*"ab"[:written])
    stream.emulator.roll(stream.name)
    page = stream.page(stream.start(shard))
    assert ("NextShardIterator" in page) is bool(written)
    assert walk(stream, page.get("NextShardIterator")) == ([], True)


def test_the_end_of_a_kinesis_shard_may_never_come() -> None:
    stream = KinesisStream()
    speak(stream.emulator, Quirk.NEVER_NULL)
    shard = only_shard(stream)
    stream.write("a")
    stream.emulator.roll(stream.name)
    assert walk(stream, stream.start(shard), 9) == (["a"], False)


def test_a_listing_may_refuse_its_own_token() -> None:
    clicks = clicks_with(Quirk.LISTING_TOKEN_REFUSED, shards=3)
    token = clicks.on("ListShards", MaxResults=1)["NextToken"]
    with pytest.raises(EmulatorError, match="ExpiredNextTokenException"):
        clicks.call("ListShards", NextToken=token)


def test_a_reader_may_never_be_told_that_it_is_behind() -> None:
    clicks = Clicks()
    clicks.put("a")
    clicks.emulator.advance(5)
    clicks.put("b")
    clicks.emulator.advance(5)
    page = clicks.page(clicks.iterator(FIRST), Limit=1)
    assert page["MillisBehindLatest"] == 5000
    speak(clicks.emulator, Quirk.NOT_BEHIND)
    assert clicks.page(clicks.iterator(FIRST), Limit=1)["MillisBehindLatest"] == 0


@pytest.mark.parametrize("quirks", [[], [Quirk.NO_CHECKSUM]])
def test_answers_may_have_no_checksum(quirks: list[Quirk]) -> None:
    with serve(speak(Emulator(), *quirks)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        target = {"X-Amz-Target": "DynamoDB_20120810.ListTables"}
        connection.request("POST", "/", b"{}", target)
        answer = connection.getresponse()
        answer.read()
        connection.close()
    assert (answer.headers["x-amz-crc32"] is None) is bool(quirks)


def test_a_page_may_be_larger_than_allowed() -> None:
    orders, clicks = orders_with(Quirk.NO_PAGE_LIMIT), clicks_with(Quirk.NO_PAGE_LIMIT)
    for number in range(12):
        orders.put(str(number), text={"S": "x" * 200_000})
        clicks.put(str(number), "x" * 950_000)
    shard = orders.shards_listed()[0]["ShardId"]
    assert len(orders.page(orders.iterator(shard))["Records"]) == 12
    assert len(clicks.page(clicks.iterator(FIRST))["Records"]) == 12


def test_a_range_may_have_no_start() -> None:
    orders, clicks = (each(Quirk.NO_STARTING_SEQUENCE) for each in (orders_with, clicks_with))
    assert orders.shards_listed()[0]["SequenceNumberRange"] == {}
    assert clicks.on("ListShards")["Shards"][0]["SequenceNumberRange"] == {}


@pytest.mark.parametrize("make", [TableStream, KinesisStream])
def test_records_may_never_be_forgotten(make: Callable[[], TableStream | KinesisStream]) -> None:
    stream = make()
    speak(stream.emulator, Quirk.NO_TRIM)
    stream.write("a")
    stream.emulator.advance(50 * 3600)
    shard = only_shard(stream)
    assert walk(stream, stream.start(shard), 1) == (["a"], False)
    speak(
        stream.emulator,
    )
    assert walk(stream, stream.start(shard), 1) == ([], False)


def test_a_listing_may_ignore_its_filter_and_its_pages() -> None:
    orders, clicks = Orders(), Clicks()
    for stream, name in ((orders, "orders"), (clicks, "clicks")):
        stream.emulator.roll(name)
        speak(stream.emulator, Quirk.SHARD_FILTER_IGNORED, Quirk.PAGING_IGNORED)
    root, child = (shard["ShardId"] for shard in orders.shards_listed())
    wanted = {"Type": "CHILD_SHARDS", "ShardId": root}
    assert len(orders.shards_listed(ShardFilter=wanted)) == 2
    assert len(orders.shards_listed(ExclusiveStartShardId=child, Limit=1)) == 2
    assert len(clicks.shard_ids(ShardFilter={"Type": "AT_LATEST"})) == 2


def test_kinesis_may_know_names_only() -> None:
    clicks = clicks_with(Quirk.STREAM_ARN_UNKNOWN)
    arn = clicks.on("DescribeStreamSummary")["StreamDescriptionSummary"]["StreamARN"]
    with pytest.raises(EmulatorError, match="StreamARN is not known here"):
        clicks.call("ListShards", StreamARN=arn)


def test_a_removal_by_time_to_live_may_have_an_unknown_name() -> None:
    orders = orders_with(Quirk.TTL_EVENT_UNKNOWN)
    orders.put("a")
    orders.emulator.expire_item("orders", {"pk": {"S": "a"}})
    removal = orders.records()[1]
    assert removal["eventName"] == "UNKNOWN_TO_SDK_VERSION"
    assert "userIdentity" not in removal


def test_a_label_that_never_was_may_mean_the_present_stream() -> None:
    orders = orders_with(Quirk.UNKNOWN_LABEL_ANSWERED)
    present = orders.stream_arn
    label = present.rpartition("/")[2]
    never = present.replace(label, "1999-01-01T00:00:00.000")
    told = orders.call("DescribeStream", StreamArn=never)["StreamDescription"]
    assert told["StreamArn"] == present
    nowhere = never.replace("orders", "absent")
    assert refused(orders, "DescribeStream", StreamArn=nowhere).type == "ResourceNotFoundException"


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize("make", [TableStream, KinesisStream])
def test_no_profile_loses_or_reorders_records(
    make: Callable[[], TableStream | KinesisStream], profile: str
) -> None:
    stream = make()
    speak(stream.emulator, profile)
    shard = only_shard(stream)
    stream.write(*"abcdef")
    found, _ = walk(stream, stream.start(shard), Limit=2)
    assert "".join(found) == "abcdef"


def test_a_dialect_is_spoken_to_boto3_too() -> None:
    session = boto3.session.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"
    )
    clicks = clicks_with("kinesis-mock")
    attach(session, clicks.emulator)
    listed = session.client("kinesis").list_shards(StreamName="clicks")
    assert "NextToken" not in listed  # boto3 leaves nulls out
    assert len(listed["Shards"]) == 1
