"""The DynamoDB source against servers: the emulator over HTTP, and DynamoDB Local, by both transports."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from components import DynamoDBLocal, dummy_client, running_dynamodb_local
from sources.fakes import MovableClock, isolated_from_aws, services
from sources.fakes import opened as opened_source

from triggerkit.core.locators import parse
from triggerkit.core.model import TRIM_HORIZON, Children, Listing, Position, Record, ShardId, after
from triggerkit.emulator import Damage, Emulator, EmulatorError, Server, VirtualClock, serve
from triggerkit.errors import (
    DamagedReplyError,
    EndpointUnreachableError,
    LocatorError,
    OptionError,
    PermissionDeniedError,
    PositionTrimmedError,
    ShardGoneError,
    SourceError,
    SourceNotFoundError,
    StreamDisabledError,
    ThrottledError,
)
from triggerkit.ports import Source
from triggerkit.sources.dynamodb.source import enable_stream
from triggerkit.sources.shards.lineage import SETTLING_SECONDS
from triggerkit.testing.contracts.sources import (
    LineageContract,
    SourceContract,
    names,
    numbered,
    only_open_shard,
    opened,
    read,
    read_to_the_end,
    run,
)

TRANSPORTS = ["fast", "botocore"]
NUMBERS = itertools.count(1)


class TableWorld:
    """A table with a stream behind an endpoint."""

    def __init__(
        self,
        endpoint_url: str,
        transport: str,
        view_type: str = "NEW_AND_OLD_IMAGES",
        emulator: Emulator | None = None,
    ) -> None:
        self.table = f"source_{next(NUMBERS)}"
        self.endpoint_url = endpoint_url
        self.clock = MovableClock()
        self.client: Any = dummy_client("dynamodb", endpoint_url)
        self._transport = transport
        self._emulator = emulator
        self.client.create_table(
            TableName=self.table,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": view_type},
        )

    @property
    def has_emulator(self) -> bool:
        return self._emulator is not None

    @property
    def emulator(self) -> Emulator:
        assert self._emulator is not None
        return self._emulator

    def open(self, name: str = "") -> Source:
        text = name or f"dynamodb://{self.table}"
        return opened_source(
            f"{text}?transport={self._transport}", self.clock, endpoint_url=self.endpoint_url
        )

    def write(self, *written: str) -> None:
        for name in written:
            self.put(name, number={"N": "1"})

    def put(self, name: str, **attributes: Any) -> None:
        self.client.put_item(TableName=self.table, Item={"pk": {"S": name}, **attributes})

    def roll(self) -> None:
        self.emulator.roll(self.table)

    def split(self) -> None:
        self.emulator.split(self.table)

    def switch_stream(self, on: bool) -> None:
        specification: dict[str, Any] = {"StreamEnabled": on}
        if on:
            specification["StreamViewType"] = "NEW_AND_OLD_IMAGES"
        self.client.update_table(TableName=self.table, StreamSpecification=specification)


@pytest.fixture(autouse=True)
def _no_aws_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    isolated_from_aws(monkeypatch)


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


@pytest.fixture
def server(emulator: Emulator) -> Iterator[Server]:
    with serve(emulator) as running:
        yield running


@pytest.mark.parametrize("transport", TRANSPORTS)
class TestEmulatorKeepsTheContract(SourceContract, LineageContract):
    @pytest.fixture
    def world(self, emulator: Emulator, server: Server, transport: str) -> TableWorld:
        return TableWorld(server.endpoint_url, transport, emulator=emulator)


@pytest.mark.real
@pytest.mark.parametrize("transport", TRANSPORTS)
class TestDynamoDBLocalKeepsTheContract(SourceContract):
    @pytest.fixture
    def world(self, dynamodb_local: DynamoDBLocal, transport: str) -> TableWorld:
        return TableWorld(dynamodb_local.endpoint_url, transport)


@pytest.mark.real
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("view_type", "images"),
    [
        ("KEYS_ONLY", [set(), set(), set()]),
        ("NEW_IMAGE", [{"NewImage"}, {"NewImage"}, set()]),
        ("OLD_IMAGE", [set(), {"OldImage"}, {"OldImage"}]),
        ("NEW_AND_OLD_IMAGES", [{"NewImage"}, {"NewImage", "OldImage"}, {"OldImage"}]),
    ],
)
def test_each_view_type_gives_its_images_in_order(
    dynamodb_local: DynamoDBLocal, view_type: str, images: list[set[str]], transport: str
) -> None:
    world = TableWorld(dynamodb_local.endpoint_url, transport, view_type)
    world.put("a", value={"B": b"foobar"}, nested={"M": {"more": {"L": [{"B": b"x"}]}}})
    world.put("a", value={"SS": ["x", "y"]})
    world.client.delete_item(TableName=world.table, Key={"pk": {"S": "a"}})

    async def use() -> list[dict[str, Any]]:
        async with opened(world) as source:
            shard = await only_open_shard(source)
            records = await read(source.open(shard), TRIM_HORIZON, 3)
            return [
                dict(source.to_event(record.raw, source.shard_arn(shard))) for record in records
            ]

    events = run(use)
    assert [event["eventName"] for event in events] == ["INSERT", "MODIFY", "REMOVE"]
    assert {event["dynamodb"]["StreamViewType"] for event in events} == {view_type}
    assert [{"NewImage", "OldImage"} & event["dynamodb"].keys() for event in events] == images
    assert all(event["dynamodb"]["Keys"] == {"pk": {"S": "a"}} for event in events)
    if "NewImage" in events[0]["dynamodb"]:
        assert events[0]["dynamodb"]["NewImage"] == {
            "pk": {"S": "a"},
            "value": {"B": "Zm9vYmFy"},
            "nested": {"M": {"more": {"L": [{"B": "eA=="}]}}},
        }


@pytest.mark.real
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_disabled_stream_is_drained_and_the_next_one_follows(
    dynamodb_local: DynamoDBLocal, transport: str
) -> None:
    drain_and_follow(TableWorld(dynamodb_local.endpoint_url, transport))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_emulator_drains_and_follows_too(
    emulator: Emulator, server: Server, transport: str
) -> None:
    drain_and_follow(TableWorld(server.endpoint_url, transport, emulator=emulator))


@pytest.mark.real
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_dies_and_comes_back_is_read_on(tmp_path: Path, transport: str) -> None:
    with running_dynamodb_local(tmp_path) as server:
        world = TableWorld(server.endpoint_url, transport)
        world.write("a", "b")

        async def use() -> list[Record]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                records = await read(reader, TRIM_HORIZON, 2)
                server.kill()
                with pytest.raises(EndpointUnreachableError, match="GetRecords"):
                    await reader.fetch(after(records[-1]), 10)
                server.start()
                world.write("c")
                return records + await read(reader, after(records[-1]), 1)

        assert names(run(use)) == ["a", "b", "c"]


async def children_in_time(world: TableWorld, source: Source, shard: ShardId) -> Children:
    if world.has_emulator:
        world.emulator.advance(SETTLING_SECONDS)
    deadline = time.monotonic() + 4 * SETTLING_SECONDS
    while True:
        children = await source.children(shard)
        if children.shards:
            return children
        assert time.monotonic() < deadline, f"no children of {shard}"
        await asyncio.sleep(0.5)


def drain_and_follow(world: TableWorld) -> None:
    async def use() -> tuple[list[Record], list[Record], Listing, Listing]:
        async with opened(world) as source:
            old = await only_open_shard(source)
            world.write("before")
            world.switch_stream(on=False)
            ended = await read_to_the_end(source.open(old))
            alone = await source.children(old)
            assert alone.shards == ()
            assert alone.final
            off = await source.list_shards()
            world.switch_stream(on=True)
            world.write("after")
            assert (await source.children(old)).shards == (), (
                "one of the old stream may be listed late"
            )
            children = await children_in_time(world, source, old)
            (new,) = children.shards
            assert new.parents == (old,)
            assert not children.final
            followed = await read(source.open(new.id), TRIM_HORIZON, 1)
            assert source.shard_arn(old) != source.shard_arn(new.id) == source.arn
            return ended, followed, off, await source.list_shards()

    ended, followed, off, on = run(use)
    assert names(ended) == ["before"]
    assert names(followed) == ["after"]
    assert not off.live
    assert all(shard.closed for shard in off.shards)
    assert on.live
    (old, new) = on.shards
    assert new.parents == (old.id,)
    assert (old.closed, new.closed) == (True, False)


@pytest.mark.parametrize("transport", TRANSPORTS)
class TestOverTheEmulator:
    """What goes wrong on the way, one fault at a time."""

    @pytest.fixture
    def world(self, emulator: Emulator, server: Server, transport: str) -> TableWorld:
        return TableWorld(server.endpoint_url, transport, emulator=emulator)

    def test_two_hundred_and_fifty_shards_are_listed_over_three_pages(
        self, world: TableWorld
    ) -> None:
        for _ in range(249):
            world.roll()

        async def use() -> Listing:
            async with opened(world) as source:
                world.emulator.calls.clear()
                return await source.list_shards()

        listing = run(use)
        assert listing.complete
        assert len({shard.id for shard in listing.shards}) == 250
        assert sum(not shard.closed for shard in listing.shards) == 1
        assert world.emulator.calls["DescribeStream"] == 3
        assert all(shard.created_seconds for shard in listing.shards)

    def test_an_expired_iterator_goes_on_behind_the_last_record(self, world: TableWorld) -> None:
        async def use() -> list[str]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                world.write("a", "b")
                records = await read(reader, TRIM_HORIZON, 2)
                world.emulator.expire_iterators()
                world.write("c")
                return names(await read(reader, after(records[-1]), 1))

        assert run(use) == ["c"]

    def test_an_iterator_that_expires_before_any_record_goes_on_from_the_start(
        self, world: TableWorld
    ) -> None:
        async def use() -> list[str]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                assert not (await reader.fetch(TRIM_HORIZON, 10)).records
                world.write("a")
                world.emulator.expire_iterators()
                return names(await read(reader, TRIM_HORIZON, 1))

        assert run(use) == ["a"]

    def test_a_trimmed_position_is_told(self, world: TableWorld) -> None:
        async def use() -> list[str]:
            async with opened(world) as source:
                shard = await only_open_shard(source)
                reader = source.open(shard)
                world.write("a", "b", "c")
                records = await read(reader, TRIM_HORIZON, 3)
                await reader.close()
                world.emulator.trim(world.table, through=records[1].sequence_number)
                reader = source.open(shard)
                with pytest.raises(PositionTrimmedError, match="shard"):
                    await reader.fetch(after(records[0]), 10)
                return names(await read(reader, TRIM_HORIZON, 1))

        assert run(use) == ["c"]

    def test_a_throttle_is_told_and_the_iterator_stays(self, world: TableWorld) -> None:
        async def use() -> None:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                world.write("a")
                assert (await reader.fetch(TRIM_HORIZON, 1)).records
                (record,) = (await reader.fetch(TRIM_HORIZON, 1)).records
                for kind in ("ThrottlingException", "LimitExceededException"):
                    world.emulator.faults.throttle("GetRecords", type=kind)
                    with pytest.raises(ThrottledError, match=kind):
                        await reader.fetch(after(record), 1)
                made = world.emulator.calls["GetShardIterator"]
                world.write("b")
                assert names(await read(reader, after(record), 1)) == ["b"]
                assert world.emulator.calls["GetShardIterator"] == made

        run(use)

    @pytest.mark.parametrize("damage", [Damage.TRUNCATED, Damage.CORRUPTED, Damage.CUT])
    def test_a_damaged_reply_is_read_again_with_the_same_iterator(
        self, world: TableWorld, damage: Damage
    ) -> None:
        async def use() -> list[str]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                world.write(*numbered("item", 5))
                before = world.emulator.calls["GetShardIterator"]
                world.emulator.faults.damage("GetRecords", damage)
                page = await reader.fetch(TRIM_HORIZON, 5)
                assert not page.ended
                assert world.emulator.calls["GetShardIterator"] == before + 1
                return names(page.records)

        assert run(use) == numbered("item", 5)

    def test_a_reply_that_stays_damaged_is_an_error_and_never_the_end(
        self, world: TableWorld
    ) -> None:
        async def use() -> list[str]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                world.write("a")
                world.emulator.faults.damage("GetRecords", Damage.TRUNCATED, times=3)
                with pytest.raises(DamagedReplyError, match="GetRecords"):
                    await reader.fetch(TRIM_HORIZON, 5)
                return names((await reader.fetch(TRIM_HORIZON, 5)).records)

        assert run(use) == ["a"]

    def test_a_lost_connection_is_tried_again(self, world: TableWorld) -> None:
        async def use() -> list[str]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                world.write("a")
                world.emulator.faults.damage("GetRecords", Damage.RESET)
                return names((await reader.fetch(TRIM_HORIZON, 5)).records)

        assert run(use) == ["a"]

    def test_children_that_are_listed_late_come_later(self, world: TableWorld) -> None:
        async def use() -> None:
            async with opened(world) as source:
                parent = await only_open_shard(source)
                (child,) = world.emulator.roll(world.table)
                world.emulator.faults.hide(child)
                early = await source.children(parent)
                assert early.shards == ()
                assert not early.final
                world.emulator.faults.show(child)
                late = await source.children(parent)
                assert [source.shard_name(shard.id) for shard in late.shards] == [child]

        run(use)

    def test_a_shard_refused_for_a_minute_is_gone(self, world: TableWorld) -> None:
        async def use() -> None:
            async with opened(world) as source:
                shard = await only_open_shard(source)
                world.roll()
                world.emulator.drop_shard(world.table, source.shard_name(shard))
                reader = source.open(shard)
                for added_seconds in (0, 30, 29):
                    world.clock.added_seconds += added_seconds
                    with pytest.raises(SourceError) as told:
                        await reader.fetch(TRIM_HORIZON, 10)
                    assert not isinstance(told.value, ShardGoneError)
                world.clock.added_seconds += 2
                with pytest.raises(ShardGoneError, match="refused for 60 s"):
                    await reader.fetch(TRIM_HORIZON, 10)

        run(use)

    def test_the_answers_tell_the_clock_the_time(self, world: TableWorld) -> None:
        async def use() -> None:
            async with opened(world) as source:
                prepared = len(world.clock.observed)
                assert prepared
                reader = source.open(await only_open_shard(source))
                listed = len(world.clock.observed)
                assert listed > prepared
                page = await reader.fetch(TRIM_HORIZON, 10)
                assert page.service_seconds in world.clock.observed[listed:]

        run(use)

    def test_mappings_at_one_place_share_one_read(self, world: TableWorld) -> None:
        written = numbered("item", 30)

        async def use() -> None:
            async with opened(world) as source:
                shard = await only_open_shard(source)
                readers = [source.open(shard) for _ in range(5)]
                world.write(*written)
                world.emulator.calls.clear()
                pages = await asyncio.gather(*(r.fetch(TRIM_HORIZON, 1000) for r in readers))
                assert [names(page.records) for page in pages] == [written] * 5
                end = after(pages[0].records[-1])
                await asyncio.gather(*(reader.fetch(end, 1000) for reader in readers))
                assert world.emulator.calls["GetRecords"] == 2
                assert world.emulator.calls["GetShardIterator"] == 1

        run(use)

    def test_a_stream_arn_means_that_stream_only(self, world: TableWorld) -> None:
        world.write("before")
        world.switch_stream(on=False)
        world.switch_stream(on=True)
        first, second = world.emulator.stream_arns(world.table)

        async def shards_of(arn: str) -> Listing:
            source = world.open(arn)
            await source.prepare()
            try:
                assert source.arn == arn
                return await source.list_shards()
            finally:
                await source.close()

        old, new = run(lambda: shards_of(first)), run(lambda: shards_of(second))
        assert not old.live
        assert new.live
        assert new.shards[0].parents == ()
        assert {shard.id for shard in old.shards}.isdisjoint(shard.id for shard in new.shards)

    def test_a_table_arn_means_the_table(self, world: TableWorld) -> None:
        arn = world.client.describe_table(TableName=world.table)["Table"]["TableArn"]

        async def use() -> tuple[str, str]:
            one, other = world.open(arn), world.open()
            await one.prepare()
            await other.prepare()
            try:
                return one.name, other.name
            finally:
                await one.close()
                await other.close()

        one, other = run(use)
        assert one == other

    def test_a_stream_that_vanished_is_told_as_such(self, world: TableWorld) -> None:
        async def use() -> None:
            async with opened(world) as source:
                shard = await only_open_shard(source)
                reader = source.open(shard)
                world.client.delete_table(TableName=world.table)
                world.emulator.advance(25 * 3600)
                with pytest.raises(SourceError, match="stream is gone"):
                    await reader.fetch(TRIM_HORIZON, 10)
                with pytest.raises(SourceError, match="is gone"):
                    await source.list_shards()

        run(use)


class TestPrepareNamesTheThingAndTheFix:
    def prepare(self, text: str, endpoint_url: str = "") -> None:
        async def use() -> None:
            source = opened_source(text, endpoint_url=endpoint_url)
            try:
                await source.prepare()
            finally:
                await source.close()

        run(use)

    def test_no_such_table(self, server: Server) -> None:
        TableWorld(server.endpoint_url, "fast")
        with pytest.raises(SourceNotFoundError) as told:
            self.prepare("dynamodb://no_such_table", server.endpoint_url)
        assert "'no_such_table'" in told.value.message
        assert "us-east-1" in told.value.message
        assert server.endpoint_url in told.value.message

    def test_a_mistyped_name_brings_the_near_one(self, server: Server) -> None:
        world = TableWorld(server.endpoint_url, "fast")
        with pytest.raises(SourceNotFoundError) as told:
            self.prepare(f"dynamodb://{world.table[:-1]}", server.endpoint_url)
        assert world.table in told.value.hint

    def test_no_stream(self, server: Server) -> None:
        world = TableWorld(server.endpoint_url, "fast")
        world.switch_stream(on=False)
        with pytest.raises(StreamDisabledError) as told:
            self.prepare(f"dynamodb://{world.table}", server.endpoint_url)
        assert f"triggerkit enable-stream {world.table} NEW_AND_OLD_IMAGES" in told.value.hint

    def test_no_such_stream(self, server: Server) -> None:
        arn = "arn:aws:dynamodb:us-east-1:000000000000:table/none/stream/2026-01-01T00:00:00.000"
        with pytest.raises(SourceNotFoundError, match="2026-01-01"):
            self.prepare(arn, server.endpoint_url)

    def test_a_table_of_another_account(self, server: Server) -> None:
        world = TableWorld(server.endpoint_url, "fast")
        arn = f"arn:aws:dynamodb:us-east-1:999999999999:table/{world.table}"
        with pytest.raises(LocatorError, match="999999999999"):
            self.prepare(arn, server.endpoint_url)

    @pytest.mark.parametrize(
        ("operation", "text"),
        [
            ("DescribeTable", "dynamodb://{}"),
            ("DescribeStream", "dynamodb://{}"),
            ("DescribeStream", "{}"),
        ],
    )
    def test_a_permission_that_is_missing(
        self, emulator: Emulator, server: Server, operation: str, text: str
    ) -> None:
        world = TableWorld(server.endpoint_url, "fast")
        named = world.table if "//" in text else emulator.stream_arns(world.table)[0]
        emulator.faults.fail(operation, EmulatorError("AccessDeniedException", "not authorized"))
        with pytest.raises(PermissionDeniedError) as told:
            self.prepare(text.format(named), server.endpoint_url)
        assert f"dynamodb:{operation}" in told.value.message
        assert f"allow dynamodb:{operation}" in told.value.hint
        assert world.table in told.value.message

    def test_nothing_listens(self) -> None:
        with pytest.raises(EndpointUnreachableError, match=r"127\.0\.0\.1:1\b") as told:
            self.prepare("dynamodb://orders", "http://127.0.0.1:1")
        assert "endpoint_url" in told.value.hint


class TestEnableStream:
    def enable(self, world: TableWorld, view_type: str) -> str:
        locator = parse(f"dynamodb://{world.table}")
        return run(
            lambda: enable_stream(locator, services(endpoint_url=world.endpoint_url), view_type)
        )

    @pytest.fixture
    def world(self, emulator: Emulator, server: Server) -> TableWorld:
        return TableWorld(server.endpoint_url, "fast", emulator=emulator)

    def test_it_turns_a_stream_on(self, world: TableWorld) -> None:
        world.switch_stream(on=False)
        arn = self.enable(world, "KEYS_ONLY")
        assert arn == world.emulator.stream_arns(world.table)[-1]

    def test_on_already_is_fine(self, world: TableWorld) -> None:
        assert [self.enable(world, "NEW_AND_OLD_IMAGES")] == world.emulator.stream_arns(world.table)

    def test_on_with_another_view_type_is_refused(self, world: TableWorld) -> None:
        with pytest.raises(SourceError, match="NEW_AND_OLD_IMAGES") as told:
            self.enable(world, "KEYS_ONLY")
        assert world.table in told.value.hint

    def test_a_view_type_that_does_not_exist(self, world: TableWorld) -> None:
        with pytest.raises(OptionError, match="'ALL'"):
            self.enable(world, "ALL")


def test_retention_takes_records_away_by_the_emulators_clock() -> None:
    emulator = Emulator(VirtualClock())
    with serve(emulator) as server:
        world = TableWorld(server.endpoint_url, "fast", emulator=emulator)
        world.write("a", "b")

        async def use() -> Position:
            async with opened(world) as source:
                shard = await only_open_shard(source)
                reader = source.open(shard)
                records = await read(reader, TRIM_HORIZON, 2)
                await reader.close()
                emulator.advance(25 * 3600)
                world.write("c")
                with pytest.raises(PositionTrimmedError):
                    await source.open(shard).fetch(after(records[0]), 10)
                return after(records[0])

        run(use)
