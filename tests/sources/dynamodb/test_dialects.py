"""The real source against the dialects of other endpoints: every promise of sources holds in each of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from emulator.dialects import PROFILES, Quirk, speak
from emulator.kit import START_SECONDS
from sources.attached import AttachedWorld, ServedWorld

from triggerkit.core.model import (
    LATEST,
    TRIM_HORIZON,
    Children,
    Listing,
    Position,
    PositionKind,
    Record,
    ShardId,
    after,
)
from triggerkit.emulator import Damage, Emulator, VirtualClock, serve
from triggerkit.errors import ListingUnusableError, PositionTrimmedError, SourceError
from triggerkit.sources.shards.lineage import SETTLING_SECONDS, shard_name_of
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


class TestProfiles(SourceContract, LineageContract):
    @pytest.fixture(params=sorted(PROFILES))
    def world(self, request: pytest.FixtureRequest) -> AttachedWorld:
        region = "ddblocal" if request.param.startswith("dynamodb-local") else "us-east-1"
        return AttachedWorld(quirks=request.param, region=region)


class TestOverHttp(SourceContract, LineageContract):
    """The fast transport reads other bytes than botocore's parser does."""

    @pytest.fixture(params=["explicit-nulls,late-null", "moto", "dynamodb-local-1.25"])
    def world(self, request: pytest.FixtureRequest) -> Iterator[ServedWorld]:
        region = "ddblocal" if request.param.startswith("dynamodb-local") else "us-east-1"
        with serve(speak(Emulator(region=region), request.param)) as server:
            yield ServedWorld(server)


# --- what each of these endpoints was seen to do, one by one ----------------------------------------


def test_a_filter_that_is_ignored_makes_no_shard_its_own_child() -> None:
    world = AttachedWorld(quirks=Quirk.SHARD_FILTER_IGNORED)

    async def use() -> tuple[ShardId, Children]:
        async with opened(world) as source:
            shard = await only_open_shard(source)
            return shard, await source.children(shard)

    _, children = run(use)
    assert children == Children((), final=False)


@pytest.mark.parametrize("seed", range(5))
def test_an_ignored_filter_finds_children_that_are_listed_before_their_parent(seed: int) -> None:
    world = AttachedWorld(quirks=Quirk.SHARD_FILTER_IGNORED, seed=seed)
    world.faults.reorder_listings()

    async def use() -> None:
        async with opened(world) as source:
            parent = await only_open_shard(source)
            for _ in range(4):
                world.roll()
                (child,) = (await source.children(parent)).shards
                assert child.parents == (parent,), f"seed {seed}"
                parent = child.id

    run(use)


def test_a_listing_that_ignores_paging_ends() -> None:
    quirks = [Quirk.PAGING_IGNORED]
    world = AttachedWorld(quirks=quirks)
    for _ in range(3):
        world.split()

    async def use() -> Listing:
        async with opened(world) as source:
            return await source.list_shards()

    listing = run(use)
    assert len(listing.shards) == 7
    assert listing.complete
    assert world.calls("DescribeStream") <= 3


def test_b3_a_last_shard_that_is_named_for_ever_is_an_error_and_hides_no_children() -> None:
    world = AttachedWorld()

    async def use() -> Children:
        async with opened(world) as source:
            parent = await only_open_shard(source)
            world.split()
            speak(
                world.emulator,
                Quirk.PAGING_IGNORED,
                Quirk.LAST_SHARD_NAMED_ALWAYS,
                Quirk.SHARD_FILTER_IGNORED,
            )
            with pytest.raises(ListingUnusableError, match="comes a second time"):
                await source.list_shards()
            return await source.children(parent)

    assert len(run(use).shards) == 2
    assert world.calls("DescribeStream") <= 8


def test_children_on_several_pages_are_all_found() -> None:
    world = AttachedWorld()
    world.faults.listing_page_size(1)

    async def use() -> Children:
        async with opened(world) as source:
            parent = await only_open_shard(source)
            world.split()
            return await source.children(parent)

    assert len(run(use).shards) == 2


@pytest.mark.parametrize("written", [0, 1, 5])
def test_a_null_that_comes_one_empty_page_late_ends_the_shard_once(written: int) -> None:
    world = AttachedWorld(quirks=Quirk.LATE_NULL)
    world.write(*numbered("item", written))
    world.roll()

    async def use() -> list[Record]:
        async with opened(world) as source:
            (root,) = [shard.id for shard in (await source.list_shards()).shards if shard.closed]
            return await read_to_the_end(source.open(root))

    assert names(run(use)) == numbered("item", written)


def test_a_range_without_a_starting_number_is_a_shard_all_the_same() -> None:
    world = AttachedWorld(quirks=Quirk.NO_STARTING_SEQUENCE)
    world.roll()

    async def use() -> list[bool]:
        async with opened(world) as source:
            return sorted(shard.closed for shard in (await source.list_shards()).shards)

    assert run(use) == [False, True]


def events_of(world: AttachedWorld, count: int) -> list[dict[str, Any]]:
    async def use() -> list[dict[str, Any]]:
        async with opened(world) as source:
            shard = await only_open_shard(source)
            records = await read(source.open(shard), TRIM_HORIZON, count)
            return [
                dict(source.to_event(record.raw, source.shard_arn(shard))) for record in records
            ]

    return run(use)


def test_explicit_nulls_are_absent_members() -> None:
    world = AttachedWorld(quirks=Quirk.EXPLICIT_NULLS)
    world.write("a")
    (event,) = events_of(world, 1)
    assert "userIdentity" not in event
    assert "OldImage" not in event["dynamodb"]
    assert event["dynamodb"]["NewImage"] == {"pk": {"S": "a"}}


def test_an_unknown_event_name_is_handed_on_as_it_is() -> None:
    world = AttachedWorld(quirks=Quirk.TTL_EVENT_UNKNOWN)
    world.write("a")
    world.emulator.expire_item("orders", {"pk": {"S": "a"}})
    world.write("b")
    events = events_of(world, 3)
    assert [event["eventName"] for event in events] == [
        "INSERT", "UNKNOWN_TO_SDK_VERSION", "INSERT",
    ]  # fmt: skip
    assert "userIdentity" not in events[1]


@pytest.mark.parametrize("quirks", ["", "explicit-nulls", "moto"])
def test_the_identity_of_time_to_live_is_spelt_as_lambda_spells_it(quirks: str) -> None:
    world = AttachedWorld(quirks=quirks)
    world.write("a")
    world.emulator.expire_item("orders", {"pk": {"S": "a"}})
    removal = events_of(world, 2)[1]
    assert removal["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


@pytest.mark.parametrize(
    "quirks",
    ["", "at-timestamp-broken", "at-timestamp-refused", "at-timestamp-ignored"],
)
def test_a_time_to_start_at_is_kept_whatever_the_endpoint_makes_of_it(quirks: str) -> None:
    clock = VirtualClock(START_SECONDS)
    world = AttachedWorld(speak(Emulator(clock), quirks))
    world.write("long ago")
    clock.advance(100)
    start = Position(PositionKind.AT_TIMESTAMP, at_seconds=clock.now_seconds())
    clock.advance(5)
    world.write("a", "b")

    async def use() -> list[Record]:
        async with opened(world) as source:
            reader = source.open(await only_open_shard(source))
            return await read(reader, start, 2)

    assert names(run(use)) == ["a", "b"]


def test_times_cut_to_the_minute_lose_nothing_behind_a_pin() -> None:
    clock = VirtualClock(START_SECONDS + 50)
    world = AttachedWorld(speak(Emulator(clock, region="ddblocal"), "dynamodb-local"))

    async def use() -> list[Record]:
        async with opened(world) as source:
            reader = source.open(await only_open_shard(source))
            page = await reader.fetch(LATEST, 10)
            assert page.pinned_seconds is not None
            pinned = Position(PositionKind.LATEST, at_seconds=page.pinned_seconds)
        clock.advance(5)
        world.write("a")  # its time is cut to before the pin
        async with opened(world) as later:
            reader = later.open(await only_open_shard(later))
            return await read(reader, pinned, 1)

    assert names(run(use)) == ["a"]


def test_an_iterator_that_grew_old_under_a_long_handler_is_made_anew() -> None:
    clock = VirtualClock(START_SECONDS)
    world = AttachedWorld(Emulator(clock))
    world.write("a", "b")

    async def use() -> list[Record]:
        async with opened(world) as source:
            reader = source.open(await only_open_shard(source))
            records = await read(reader, TRIM_HORIZON, 1, limit=1)
            clock.advance(16 * 60)
            world.write("c")
            return records + await read(reader, after(records[-1]), 2)

    assert names(run(use)) == ["a", "b", "c"]


def test_a_number_of_a_forgotten_record_is_told_and_never_passed_over() -> None:
    for quirks in ("", "foreign-sequence-trimmed"):
        world = AttachedWorld(quirks=quirks)
        world.write("a", "b", "c")

        async def use(world: AttachedWorld = world) -> None:
            async with opened(world) as source:
                shard = await only_open_shard(source)
                records = await read(source.open(shard), TRIM_HORIZON, 3)
            world.emulator.trim("orders", through=records[1].sequence_number)
            async with opened(world) as source:
                with pytest.raises(PositionTrimmedError):
                    await source.open(shard).fetch(after(records[0]), 10)

        run(use)


@pytest.mark.parametrize("damage", list(Damage))
@pytest.mark.parametrize("quirks", ["", "no-checksum"])
@pytest.mark.parametrize("operation", ["GetRecords", "DescribeStream", "ListStreams"])
def test_a_damaged_answer_is_asked_for_again_and_never_believed(
    operation: str, quirks: str, damage: Damage
) -> None:
    world = AttachedWorld(quirks=quirks)
    written = numbered("item", 30)
    world.write(*written[:20])
    world.roll()
    world.write(*written[20:])

    async def use() -> list[Record]:
        async with opened(world) as source:
            world.faults.damage(operation, damage, times=2)
            shards = (await patiently(source.list_shards)).shards
            (root,) = [shard for shard in shards if not shard.parents]
            (child,) = [shard for shard in shards if shard.parents]
            found = await read(source.open(root.id), TRIM_HORIZON, 20)
            page = await source.open(root.id).fetch(after(found[-1]), 10)
            assert (page.records, page.ended) == ((), True)
            return found + await read(source.open(child.id), TRIM_HORIZON, 10)

    assert names(run(use)) == written


async def patiently(ask: Callable[[], Coroutine[Any, Any, Listing]]) -> Listing:
    """Ask as the coordinator does: what fails for now is asked again."""
    for _ in range(3):
        try:
            return await ask()
        except SourceError:
            continue
    return await ask()


def test_a_label_that_never_was_is_no_stream_of_ours() -> None:
    """An endpoint that answers for it anyway answers with the present stream: no shard comes twice."""
    clock = VirtualClock(START_SECONDS)
    world = AttachedWorld(speak(Emulator(clock), Quirk.UNKNOWN_LABEL_ANSWERED))
    world.write("a")
    world.turn_off()
    clock.advance(1)
    world.turn_on()
    world.write("b")
    clock.advance(SETTLING_SECONDS)

    async def use() -> Listing:
        async with opened(world) as source:
            return await source.list_shards()

    shards = run(use).shards
    assert len({shard.id for shard in shards}) == len(shards) == 2


@pytest.mark.parametrize("records", [1, 3])
def test_records_that_come_again_are_handed_on_once(records: int) -> None:
    world = AttachedWorld()
    written = numbered("item", 12)
    world.write(*written[:6])

    async def use() -> list[Record]:
        async with opened(world) as source:
            reader = source.open(await only_open_shard(source))
            found = await read(reader, TRIM_HORIZON, 6, limit=4)
            world.faults.duplicate(times=2, records=records)
            again = await reader.fetch(after(found[-1]), 10)
            assert (again.records, again.ended) == ((), False)
            world.write(*written[6:])
            found += await read(reader, after(found[-1]), 6, limit=4)
            world.faults.duplicate(times=3, records=records)
            world.roll()
            return found + await read_to_the_end(reader, after(found[-1]))

    assert names(run(use)) == written


def test_a_stream_whose_shards_are_listed_late_is_not_jumped_over() -> None:
    """Off and on and off and on: the third stream shows its shard before the second does."""
    clock = VirtualClock(START_SECONDS)
    world = AttachedWorld(Emulator(clock))

    def again() -> str:
        world.turn_off()
        clock.advance(1)
        world.turn_on()
        (arn,) = world.emulator.stream_arns("orders")[-1:]
        (shard,) = world.emulator.open_shards("orders")
        clock.advance(1)
        return f"{arn.rpartition('/')[2].replace(':', '_')}:{shard}"

    async def use() -> tuple[Listing, Children, Listing]:
        async with opened(world) as source:
            first = await only_open_shard(source)
            second = again()
            world.faults.hide(shard_name_of(ShardId(second)))
            third = again()
            clock.advance(SETTLING_SECONDS)
            early = await source.list_shards()
            children = await source.children(first)
            world.faults.clear()
            late = await source.list_shards()
            parents = {shard.id: shard.parents for shard in late.shards}
            assert parents == {first: (), second: (first,), third: (second,)}
            return early, children, late

    early, children, late = run(use)
    assert len(early.shards) == 1
    assert children.shards == ()
    assert (early.complete, late.complete) == (False, True)


def test_a_shard_that_is_listed_later_than_the_next_stream_is_not_jumped_over() -> None:
    """It was made right before its stream was turned off, so its parent looks like the last shard."""
    clock = VirtualClock(START_SECONDS)
    world = AttachedWorld(Emulator(clock))

    async def use() -> tuple[ShardId, Listing, Children, Listing]:
        async with opened(world) as source:
            first = await only_open_shard(source)
            world.roll()
            (child,) = world.emulator.open_shards("orders")
            world.faults.hide(child)
            world.turn_off()
            clock.advance(1)
            world.turn_on()
            clock.advance(SETTLING_SECONDS - 1)
            early, children = await source.list_shards(), await source.children(first)
            world.faults.clear()
            clock.advance(1)
            return first, early, children, await source.list_shards()

    first, early, children, late = run(use)
    assert ([shard.id for shard in early.shards], early.complete) == ([first], False)
    assert children.shards == ()
    line = [shard.parents for shard in late.shards]
    assert line == [(), (first,), (late.shards[1].id,)]


def test_a_stream_that_was_seen_is_not_forgotten_while_it_is_listed_late() -> None:
    """It was the table's own stream a moment ago, and ListStreams does not have it yet."""
    clock = VirtualClock(START_SECONDS)
    world = AttachedWorld(Emulator(clock))
    clock.advance(60)

    async def use() -> Listing:
        async with opened(world) as source:
            for _ in range(2):
                world.turn_off()
                clock.advance(1)
                world.turn_on()
                clock.advance(1)
                await source.list_shards()
            clock.advance(SETTLING_SECONDS)
            world.faults.hide(world.emulator.stream_arns("orders")[1])
            return await source.list_shards()

    assert len(run(use).shards) == 3


def test_a_stream_whose_shards_are_gone_after_a_day_holds_nobody_back() -> None:
    clock = VirtualClock(START_SECONDS)
    world = AttachedWorld(speak(Emulator(clock), Quirk.NO_TRIM))
    (old,) = world.emulator.open_shards("orders")
    world.turn_off()
    clock.advance(25 * 3600)
    world.turn_on()
    world.emulator.drop_shard(world.emulator.stream_arns("orders")[0], old)

    async def use() -> Listing:
        async with opened(world) as source:
            return await source.list_shards()

    listing = run(use)
    assert (len(listing.shards), listing.complete) == (1, True)
