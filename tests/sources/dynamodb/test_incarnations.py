"""Listing and children over endpoints that answer each in its own dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sources.fakes import MovableClock, inline

from triggerkit.aws.clients import ControlPlane
from triggerkit.aws.errors import translated
from triggerkit.core.model import Children, Listing, Shard, ShardId
from triggerkit.errors import (
    ListingUnusableError,
    PermissionDeniedError,
    SourceError,
    ThrottledError,
)
from triggerkit.ports import Services
from triggerkit.sources.dynamodb.incarnations import Incarnations
from triggerkit.sources.dynamodb.service import StreamArn, parse_stream_arn
from triggerkit.sources.dynamodb.streams_api import (
    MOST_EMPTY_PAGES,
    MOST_PAGES,
    Paging,
    StreamsApi,
    TokenBucket,
)
from triggerkit.sources.shards.lineage import shard_name_of

PREFIX = "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/"
FIRST = parse_stream_arn(PREFIX + "2025-01-01T00:00:00.000")
SECOND = parse_stream_arn(PREFIX + "2025-02-01T00:00:00.000")
DATE = "Tue, 25 Nov 2025 15:47:35 GMT"
DATE_SECONDS = 1764085655.0


class Dialect:
    """Both boto3 clients of a service with streams that are dictionaries, and with its own ways."""

    def __init__(self, **streams: dict[str, str | None]) -> None:
        self.streams = {
            arn.text: streams[name]
            for name, arn in (("first", FIRST), ("second", SECOND))
            if name in streams
        }
        self.status = dict.fromkeys(self.streams, "DISABLED")
        if self.streams:
            self.status[max(self.streams)] = "ENABLED"
        self.latest = max(self.streams, default="")
        self.filter = "honoured"
        self.paging = "honoured"
        self.page_shards = 3
        self.vanishes: set[str] = set()
        self.described: list[str] = []
        self.error = ""

    def list_streams(self, **asked: str) -> dict[str, Any]:
        start = asked.get("ExclusiveStartStreamArn", "")
        arns = sorted(arn for arn in self.streams if arn > start)
        answer = self.answered({"Streams": [{"StreamArn": arn} for arn in arns[:1]]})
        if arns[1:]:
            answer["LastEvaluatedStreamArn"] = arns[0]
        return answer

    def describe_table(self, **_: str) -> dict[str, Any]:
        if not self.latest:
            raise self.refused("ResourceNotFoundException")
        return self.answered({"Table": {"TableArn": "x", "LatestStreamArn": self.latest}})

    def describe_stream(self, **asked: Any) -> dict[str, Any]:
        arn = asked["StreamArn"]
        self.described.append(arn)
        if self.error or arn in self.vanishes or arn not in self.streams:
            raise self.refused(self.error or "ResourceNotFoundException")
        shards = self.streams[arn]
        names = list(shards)
        start = asked.get("ExclusiveStartShardId")
        if start is not None and self.paging == "honoured":
            names = [name for name in names if name > start]
        if "ShardFilter" in asked:
            parent = asked["ShardFilter"]["ShardId"]
            match self.filter:
                case "honoured":
                    names = [name for name in names if shards[name] == parent]
                case "parent itself":
                    names = [parent]
                case "refused":
                    raise self.refused("ValidationException")
        page = names[: self.page_shards]
        described = {"StreamStatus": self.status[arn], "Shards": [
            {"ShardId": name, "SequenceNumberRange": {}, "ParentShardId": shards[name]}
            for name in page
        ]}  # fmt: skip
        if names[self.page_shards :] or self.paging == "ignored":
            described["LastEvaluatedShardId"] = page[-1]
        return self.answered({"StreamDescription": described})

    def answered(self, answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "ResponseMetadata": {"HTTPHeaders": {"date": DATE}}}

    def refused(self, code: str) -> ClientError:
        metadata = {"HTTPStatusCode": 400, "HTTPHeaders": {"date": DATE}}
        return ClientError(
            {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": metadata}, "op"
        )

    @property
    def meta(self) -> Any:
        return type("Meta", (), {"region_name": "eu-west-1", "endpoint_url": "http://x"})


def asked(
    dialect: Dialect,
    question: Callable[[Incarnations], Coroutine[Any, Any, Any]],
    arn: StreamArn = SECOND,
    *,
    single: bool = False,
) -> Any:
    async def ask() -> Any:
        clock = MovableClock()
        api = StreamsApi(ControlPlane(Services(inline, clock)), dialect, dialect)
        with translated():
            answer = await question(Incarnations(api, clock, arn, single=single))
        assert set(clock.observed) == {DATE_SECONDS}
        return answer

    return asyncio.run(ask())


def listed(dialect: Dialect, **options: Any) -> Listing:
    listing: Listing = asked(dialect, Incarnations.list_shards, **options)
    return listing


def children(dialect: Dialect, shard: ShardId, **options: Any) -> Children:
    found: Children = asked(dialect, lambda streams: streams.children(shard), **options)
    return found


def names(shards: tuple[Shard, ...]) -> list[str]:
    return [shard_name_of(shard.id) for shard in shards]


CHAIN: dict[str, str | None] = {f"s{n:02}": f"s{n - 1:02}" if n else None for n in range(10)}


def test_all_pages_of_all_streams_are_listed() -> None:
    dialect = Dialect(first={"a": None, "b": "a"}, second=CHAIN)
    listing = listed(dialect)
    assert names(listing.shards) == ["a", "b", *CHAIN]
    assert listing.complete
    assert listing.live
    assert listing.service_seconds == DATE_SECONDS


def test_b3_a_page_token_that_comes_again_is_an_error_that_names_it() -> None:
    dialect = Dialect(second=CHAIN)
    dialect.paging = "ignored"
    with pytest.raises(ListingUnusableError, match="page token 's02' comes a second time") as told:
        listed(dialect)
    assert told.value.hint
    assert len(dialect.described) == 2


@pytest.mark.parametrize(
    ("parents", "named"),
    [
        ({"a": "a"}, "1 shards .*: a"),
        ({"a": "b", "b": "a"}, "2 shards .*: a, b"),
        ({"root": None, "x": "z", "y": "x", "z": "y", "leaf": "x"}, "3 shards .*: x, z, y"),
    ],
)
def test_b3_a_shard_that_is_its_own_ancestor_is_an_error_that_names_it(
    parents: dict[str, str | None], named: str
) -> None:
    dialect = Dialect(second=parents)
    dialect.page_shards = 100
    with pytest.raises(ListingUnusableError, match=named):
        listed(dialect)


def test_b3_pages_without_end_are_given_up() -> None:
    class Endless(Dialect):
        def describe_stream(self, **asked: Any) -> dict[str, Any]:
            self.described.append(asked["StreamArn"])
            name = f"s{len(self.described)}"
            shards = [{"ShardId": name}] if self.filter == "fresh" else []
            return self.answered(
                {"StreamDescription": {"Shards": shards, "LastEvaluatedShardId": name}}
            )

    dialect = Endless(second={"x": None})
    with pytest.raises(ListingUnusableError, match="10 pages in a row say nothing new"):
        listed(dialect)
    assert len(dialect.described) == MOST_EMPTY_PAGES
    dialect.filter = "fresh"
    paging = Paging()
    flaws = [paging.flaw(str(number), 1) for number in range(MOST_PAGES)]
    assert flaws[:-1] == [""] * (MOST_PAGES - 1)
    assert "no end of it" in flaws[-1]


def test_b3_a_listing_of_streams_whose_token_repeats_is_an_error_too() -> None:
    class Repeating(Dialect):
        def list_streams(self, **asked: str) -> dict[str, Any]:
            return self.answered(
                {"Streams": [{"StreamArn": SECOND.text}], "LastEvaluatedStreamArn": SECOND.text}
            )

    with pytest.raises(ListingUnusableError, match=r"ListStreams .* comes a second time"):
        listed(Repeating(second={"x": None}))


def test_a_stream_that_ends_between_two_answers_is_left_out() -> None:
    dialect = Dialect(first={"a": None}, second={"x": None})
    dialect.vanishes = {FIRST.text}
    (root,) = listed(dialect).shards
    assert shard_name_of(root.id) == "x"
    assert root.parents == ()


def test_a_deleted_table_is_listed_while_its_stream_can_be_read() -> None:
    dialect = Dialect(second={"x": None})
    dialect.latest, dialect.status[SECOND.text] = "", "DISABLED"
    listing = listed(dialect)
    assert names(listing.shards) == ["x"]
    assert not listing.live
    assert children(dialect, SECOND.shard_id("x")) == Children((), final=True)


def test_a_table_that_is_gone_with_its_streams_is_an_error() -> None:
    with pytest.raises(SourceError, match="'orders'"):
        listed(Dialect())
    assert children(Dialect(), SECOND.shard_id("x")) == Children((), final=True)


@pytest.mark.parametrize(
    ("code", "error"),
    [("ThrottlingException", ThrottledError), ("AccessDeniedException", PermissionDeniedError)],
)
def test_a_page_that_fails_makes_no_listing(code: str, error: type[SourceError]) -> None:
    dialect = Dialect(second=CHAIN)
    dialect.error = code
    with pytest.raises(error, match=code):
        listed(dialect)


@pytest.mark.parametrize("filtering", ["honoured", "ignored", "parent itself", "refused"])
def test_children_are_found_whatever_becomes_of_the_filter(filtering: str) -> None:
    dialect = Dialect(second={**CHAIN, "t01": "s04"})
    dialect.filter = filtering
    found = children(dialect, SECOND.shard_id("s04"))
    assert names(found.shards) == ["s05", "t01"]
    assert all(child.parents == (SECOND.shard_id("s04"),) for child in found.shards)
    assert not found.final


@pytest.mark.parametrize("filtering", ["honoured", "ignored", "parent itself"])
def test_the_newest_leaf_of_a_stream_that_is_on_has_no_children_yet(filtering: str) -> None:
    dialect = Dialect(second=CHAIN)
    dialect.filter = filtering
    assert children(dialect, SECOND.shard_id("s09")) == Children((), final=False)


def test_a_leaf_of_an_older_stream_goes_on_in_the_roots_of_the_next() -> None:
    dialect = Dialect(first={"a": None, "b": "a", "c": "a"}, second={"x": None, "y": "x"})
    found = children(dialect, FIRST.shard_id("b"))
    assert names(found.shards) == ["x"]
    assert found.shards[0].parents == (FIRST.shard_id("b"), FIRST.shard_id("c"))
    assert not found.final


def test_an_inner_shard_of_an_older_stream_goes_on_in_its_own() -> None:
    dialect = Dialect(first={"a": None, "b": "a"}, second={"x": None})
    assert names(children(dialect, FIRST.shard_id("a")).shards) == ["b"]


def test_a_leaf_whose_stream_is_gone_goes_on_in_the_roots_of_the_next() -> None:
    dialect = Dialect(second={"x": None, "y": "x", "z": None})
    found = children(dialect, FIRST.shard_id("b"))
    assert names(found.shards) == ["x", "z"]
    assert {child.parents for child in found.shards} == {(FIRST.shard_id("b"),)}


def test_a_leaf_of_the_last_stream_that_is_off_has_none_for_good() -> None:
    dialect = Dialect(first={"a": None}, second={"x": None})
    dialect.status[SECOND.text] = "DISABLED"
    assert children(dialect, SECOND.shard_id("x")) == Children((), final=True)


def test_a_stream_arn_alone_knows_no_other_stream() -> None:
    dialect = Dialect(first={"a": None}, second={"x": None})
    assert names(listed(dialect, arn=FIRST, single=True).shards) == ["a"]
    found = children(dialect, FIRST.shard_id("a"), arn=FIRST, single=True)
    assert found == Children((), final=True)


def test_the_arn_of_a_shard_is_known_from_its_id_alone() -> None:
    dialect = Dialect(second={"x": None})

    async def question(streams: Incarnations) -> str:
        await streams.list_shards()
        return streams.arn_of(FIRST.shard_id("gone")).text

    assert asked(dialect, question) == FIRST.text


def test_pages_are_paid_for() -> None:
    bucket = TokenBucket(per_second=5.0, at_once=10.0)
    assert [bucket.reserve(100.0) for _ in range(10)] == [0.0] * 10
    assert [round(bucket.reserve(100.0), 3) for _ in range(3)] == [0.2, 0.4, 0.6]
    assert bucket.reserve(101.0) == 0.0
    assert [bucket.reserve(200.0) for _ in range(10)] == [0.0] * 10
    assert bucket.reserve(200.0) > 0.0


def test_a_stream_that_was_named_once_and_is_over_is_asked_for_no_more() -> None:
    dialect = Dialect(first={"a": None}, second={"b": None})

    async def list_twice(streams: Incarnations) -> list[int]:
        before = len((await streams.list_shards()).shards)
        del dialect.streams[FIRST.text]
        found = [before, len((await streams.list_shards()).shards)]
        times = dialect.described.count(FIRST.text)
        await streams.list_shards()
        assert dialect.described.count(FIRST.text) == times
        return found

    assert asked(dialect, list_twice) == [2, 1]


def test_a_stream_that_is_named_and_cannot_be_described_yet_is_asked_for_again() -> None:
    dialect = Dialect(first={"a": None}, second={"b": None})

    async def list_twice(streams: Incarnations) -> list[int]:
        dialect.vanishes = {SECOND.text}
        early = len((await streams.list_shards()).shards)
        dialect.vanishes = set()
        return [early, len((await streams.list_shards()).shards)]

    assert asked(dialect, list_twice) == [1, 2]
