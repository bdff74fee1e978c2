"""What every source of changes promises, as tests over a `StreamWorld` that a fixture `world` makes.

Waiting is bounded, and no test depends on the moment at which a record becomes visible.

A test module makes the contract its own: `class TestX(SourceContract)` beside a fixture `world`. A world
that can close shards adds `LineageContract`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from triggerkit.core.model import (
    LATEST,
    SHARD_END,
    TRIM_HORIZON,
    Children,
    Listing,
    Page,
    Position,
    PositionKind,
    Record,
    ShardId,
    after,
)
from triggerkit.ports import ShardReader, Source

T = TypeVar("T")
DEADLINE_SECONDS = 30.0


class StreamWorld(Protocol):
    """One empty stream and what writes to it. `write` returns the keys as they show in `Record.key`."""

    def open(self) -> Source:
        """A source of the stream, not prepared yet; a new one each time."""
        ...

    def write(self, *names: str) -> None:
        """One change an item, in this order."""
        ...


class RollingWorld(StreamWorld, Protocol):
    """A world that can close its open shards."""

    def roll(self) -> None:
        """Every open shard goes on in one child."""
        ...

    def split(self) -> None:
        """The open shard goes on in two children."""
        ...


def run(use: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """One test on a loop of its own, bounded in time."""

    async def bounded() -> T:
        return await asyncio.wait_for(use(), DEADLINE_SECONDS * 2)

    return asyncio.run(bounded())


class opened:  # noqa: N801 (reads as a verb: `async with opened(world) as source`)
    """A prepared source that is closed in the end."""

    def __init__(self, world: StreamWorld) -> None:
        self._source = world.open()

    async def __aenter__(self) -> Source:
        await self._source.prepare()
        return self._source

    async def __aexit__(self, *_: object) -> None:
        await self._source.close()


async def only_open_shard(source: Source) -> ShardId:
    listing = await source.list_shards()
    (shard,) = [shard.id for shard in listing.shards if not shard.closed]
    return shard


async def read(
    reader: ShardReader, position: Position, count: int, limit: int = 1000
) -> list[Record]:
    """Read on behind `position` until `count` records are there, or the shard ends."""
    records: list[Record] = []
    until_seconds = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    while len(records) < count:
        assert asyncio.get_running_loop().time() < until_seconds, f"{len(records)} of {count}"
        page = await reader.fetch(position, limit)
        records += page.records
        if page.records:
            position = after(page.records[-1])
        elif page.ended:
            break
        else:
            await asyncio.sleep(0.01)
    return records


async def read_to_the_end(reader: ShardReader, position: Position = TRIM_HORIZON) -> list[Record]:
    """All records up to the confirmed end of the shard."""
    records: list[Record] = []
    until_seconds = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    while asyncio.get_running_loop().time() < until_seconds:
        page = await reader.fetch(position, 1000)
        records += page.records
        if page.records:
            position = after(page.records[-1])
        if page.ended:
            return records
    raise AssertionError("the shard did not end")


def names(records: list[Record] | tuple[Record, ...]) -> list[str]:
    """The item names in their keys, `{"S":"name"}`."""
    return [record.key.decode().split('"')[3] for record in records]


def numbered(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number:04}" for number in range(count)]


class SourceContract:
    """Promises about reading one open shard."""

    def test_name_and_arn_tell_the_stream_and_name_has_no_colon(self, world: StreamWorld) -> None:
        async def use() -> tuple[str, str]:
            async with opened(world) as source:
                return source.name, source.arn

        name, arn = run(use)
        assert ":" not in name
        assert arn.startswith("arn:aws:")

    def test_preparing_twice_is_harmless(self, world: StreamWorld) -> None:
        async def use() -> None:
            async with opened(world) as source:
                await source.prepare()
                assert (await source.list_shards()).shards

        run(use)

    def test_a_new_stream_lists_one_live_root_completely(self, world: StreamWorld) -> None:
        async def use() -> Listing:
            async with opened(world) as source:
                return await source.list_shards()

        listing = run(use)
        assert listing.complete
        assert listing.live
        assert listing.service_seconds > 1_600_000_000
        (shard,) = listing.shards
        assert shard.parents == ()
        assert not shard.closed

    def test_an_open_shard_has_no_children_yet(self, world: StreamWorld) -> None:
        async def use() -> Children:
            async with opened(world) as source:
                return await source.children(await only_open_shard(source))

        assert run(use) == Children((), final=False)

    def test_everything_is_read_from_the_trim_horizon_in_order(self, world: StreamWorld) -> None:
        written = numbered("item", 25)
        world.write(*written)

        async def use() -> list[Record]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                return await read(reader, TRIM_HORIZON, 25)

        records = run(use)
        assert names(records) == written
        assert len({record.sequence_number for record in records}) == 25

    def test_a_page_holds_at_most_as_many_records_as_asked(self, world: StreamWorld) -> None:
        written = numbered("item", 10)
        world.write(*written)

        async def use() -> tuple[Page, list[Record]]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                page = await reader.fetch(TRIM_HORIZON, 3)
                rest = await read(reader, after(page.records[-1]), 7, limit=3)
                return page, rest

        page, rest = run(use)
        assert 1 <= len(page.records) <= 3
        assert page.size_bytes == sum(len(record.raw) for record in page.records)
        assert names([*page.records, *rest][:10]) == written

    def test_reading_behind_a_record_starts_with_the_next_one(self, world: StreamWorld) -> None:
        written = numbered("item", 8)
        world.write(*written)

        async def use() -> list[list[str]]:
            found = []
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                records = await read(reader, TRIM_HORIZON, 8)
            for index in (0, 3, 6):
                async with opened(world) as again:
                    reader = again.open(await only_open_shard(again))
                    found.append(names(await read(reader, after(records[index]), 7 - index)))
            return found

        assert run(use) == [written[1:], written[4:], written[7:]]

    def test_one_position_always_gives_the_same_records(self, world: StreamWorld) -> None:
        world.write(*numbered("item", 12))

        async def use() -> tuple[list[str], list[str], list[str]]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                records = await read(reader, TRIM_HORIZON, 12)
                middle = after(records[5])
                once = names(await read(reader, middle, 6))
                again = names(await read(reader, middle, 6))
                return names(records), once, again

        everything, once, again = run(use)
        assert once == again == everything[6:]

    def test_two_mappings_read_one_shard_at_the_same_time(self, world: StreamWorld) -> None:
        written = numbered("item", 40)

        async def use() -> list[list[Record]]:
            async with opened(world) as source:
                shard = await only_open_shard(source)
                first, second, third = (source.open(shard) for _ in range(3))
                assert first is second is third
                world.write(*written[:20])
                early = await read(first, TRIM_HORIZON, 20)
                reading = [
                    asyncio.ensure_future(read(first, after(early[-1]), 20, limit=7)),
                    asyncio.ensure_future(read(second, TRIM_HORIZON, 40, limit=11)),
                    asyncio.ensure_future(read(third, after(early[9]), 30, limit=1000)),
                ]
                world.write(*written[20:])
                return list(await asyncio.gather(*reading))

        ahead, behind, between = run(use)
        assert names(ahead) == written[20:]
        assert names(behind) == written
        assert names(between) == written[10:]

    def test_latest_starts_with_an_empty_page_and_a_pin(self, world: StreamWorld) -> None:
        world.write("old")

        async def use() -> Page:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                return await reader.fetch(LATEST, 100)

        page = run(use)
        assert page.records == ()
        assert not page.ended
        assert page.pinned_seconds is not None
        assert page.pinned_seconds > 1_600_000_000

    def test_latest_goes_on_from_its_pin_with_what_comes_later_only(
        self, world: StreamWorld
    ) -> None:
        world.write(*numbered("old", 5))

        async def use() -> list[Record]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                pinned = await _pin(reader)
                world.write(*numbered("new", 5))
                return await read(reader, pinned, 5)

        assert names(run(use)) == numbered("new", 5)

    def test_a_pin_survives_the_source_that_made_it(self, world: StreamWorld) -> None:
        async def use() -> list[Record]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                pinned = await _pin(reader)
            world.write(*numbered("new", 5))
            async with opened(world) as later:
                reader = later.open(await only_open_shard(later))
                return await read(reader, pinned, 5)

        assert names(run(use))[-5:] == numbered("new", 5)

    def test_a_time_before_the_first_record_is_the_start(self, world: StreamWorld) -> None:
        async def use() -> list[Record]:
            async with opened(world) as source:
                listing = await source.list_shards()
                world.write("a", "b")
                long_ago = Position(
                    PositionKind.AT_TIMESTAMP, at_seconds=listing.service_seconds - 3600
                )
                return await read(source.open(await only_open_shard(source)), long_ago, 2)

        assert names(run(use)) == ["a", "b"]

    def test_a_closed_reader_can_be_opened_again(self, world: StreamWorld) -> None:
        world.write("a", "b")

        async def use() -> list[Record]:
            async with opened(world) as source:
                shard = await only_open_shard(source)
                reader = source.open(shard)
                first = await read(reader, TRIM_HORIZON, 2)
                await reader.close()
                return await read(source.open(shard), after(first[0]), 1)

        assert names(run(use)) == ["b"]

    def test_behind_the_end_there_is_nothing(self, world: StreamWorld) -> None:
        async def use() -> Page:
            async with opened(world) as source:
                return await source.open(await only_open_shard(source)).fetch(SHARD_END, 10)

        assert run(use).ended

    def test_events_have_the_shape_of_lambda_and_are_fresh(self, world: StreamWorld) -> None:
        world.write("a")

        async def use() -> tuple[dict[str, Any], dict[str, Any], str]:
            async with opened(world) as source:
                shard = await only_open_shard(source)
                (record,) = await read(source.open(shard), TRIM_HORIZON, 1)
                arn = source.shard_arn(shard)
                one, two = (source.to_event(record.raw, arn) for _ in range(2))
                return dict(one), dict(two), source.shard_arn(shard)

        one, two, arn = run(use)
        assert one == two
        assert one["dynamodb"] is not two["dynamodb"]
        assert one["eventSourceARN"] == arn
        assert list(one)[:6] == [
            "eventID", "eventName", "eventVersion", "eventSource", "awsRegion", "dynamodb",
        ]  # fmt: skip
        at_seconds = one["dynamodb"]["ApproximateCreationDateTime"]
        assert isinstance(at_seconds, float)
        assert at_seconds.is_integer()


class LineageContract:
    """Promises about shards that close."""

    def test_a_closed_shard_is_read_to_its_confirmed_end(self, world: RollingWorld) -> None:
        written = numbered("item", 5)
        world.write(*written)

        async def use() -> list[Record]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                world.roll()
                return await read_to_the_end(reader)

        assert names(run(use)) == written

    def test_an_empty_closed_shard_ends(self, world: RollingWorld) -> None:
        async def use() -> Page:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                world.roll()
                return await reader.fetch(TRIM_HORIZON, 10)

        assert run(use).ended

    def test_a_reader_at_the_tip_sees_the_end_come(self, world: RollingWorld) -> None:
        async def use() -> tuple[Page, list[Record]]:
            async with opened(world) as source:
                reader = source.open(await only_open_shard(source))
                pinned = await _pin(reader)
                idle = await reader.fetch(pinned, 10)
                world.write("last")
                world.roll()
                return idle, await read_to_the_end(reader, pinned)

        idle, records = run(use)
        assert not idle.ended
        assert names(records) == ["last"]

    def test_the_child_of_a_roll_is_found_and_listed_with_its_parent(
        self, world: RollingWorld
    ) -> None:
        async def use() -> tuple[ShardId, Children, Listing]:
            async with opened(world) as source:
                parent = await only_open_shard(source)
                world.roll()
                return parent, await source.children(parent), await source.list_shards()

        parent, children, listing = run(use)
        (child,) = children.shards
        assert child.parents == (parent,)
        listed = {shard.id: shard for shard in listing.shards}
        assert listed[child.id].parents == (parent,)
        assert listed[parent].closed
        assert not listed[child.id].closed

    def test_a_split_has_two_children(self, world: RollingWorld) -> None:
        async def use() -> Children:
            async with opened(world) as source:
                parent = await only_open_shard(source)
                world.split()
                return await source.children(parent)

        children = run(use)
        assert len({shard.id for shard in children.shards}) == 2
        assert not children.final

    def test_parent_then_child_give_every_record_once(self, world: RollingWorld) -> None:
        world.write(*numbered("a", 5))
        world.roll()
        world.write(*numbered("b", 5))
        world.roll()
        world.write(*numbered("c", 5))

        async def use() -> list[Record]:
            async with opened(world) as source:
                (root,) = [s.id for s in (await source.list_shards()).shards if not s.parents]
                records = await read_to_the_end(source.open(root))
                (second,) = (await source.children(root)).shards
                records += await read_to_the_end(source.open(second.id))
                (third,) = (await source.children(second.id)).shards
                return records + await read(source.open(third.id), TRIM_HORIZON, 5)

        assert names(run(use)) == numbered("a", 5) + numbered("b", 5) + numbered("c", 5)


async def _pin(reader: ShardReader) -> Position:
    page = await reader.fetch(LATEST, 100)
    assert page.pinned_seconds is not None
    return Position(PositionKind.LATEST, at_seconds=page.pinned_seconds)
