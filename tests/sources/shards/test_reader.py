"""The reader of a shard over a shard that is a list: what it asks for, and what it makes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sources.list_shard import DATE_SECONDS, SHARD, ListShard, Shared, at, numbers, pin, refused

from triggerkit.aws.transport import damaged
from triggerkit.core.model import LATEST, TRIM_HORIZON, Page, Position, PositionKind, after
from triggerkit.errors import (
    DamagedReplyError,
    EndpointUnreachableError,
    PermissionDeniedError,
    PositionTrimmedError,
    ShardGoneError,
    SourceError,
    ThrottledError,
)
from triggerkit.sources.dynamodb.service import StreamArn
from triggerkit.sources.shards.lineage import ListedStream


def check(use: Callable[[ListShard], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(use(ListShard()), 20)

    asyncio.run(bounded())


def test_reading_on_uses_the_iterator_of_the_page_before() -> None:
    async def use(shard: ListShard) -> None:
        mapping = Shared(shard)
        shard.write(25)
        assert numbers(await mapping.fetch(TRIM_HORIZON, 10)) == list(range(10))
        assert numbers(await mapping.fetch(at(9), 10)) == list(range(10, 20))
        assert numbers(await mapping.fetch(at(19), 10)) == list(range(20, 25))
        assert shard.asked == ["TRIM_HORIZON"] + ["GetRecords 10"] * 3

    check(use)


@pytest.mark.parametrize(("asked", "sent"), [(5000, 1000), (0, 1), (1000, 1000)])
def test_the_limit_stays_within_what_the_service_takes(asked: int, sent: int) -> None:
    async def use(shard: ListShard) -> None:
        await Shared(shard).fetch(TRIM_HORIZON, asked)
        assert shard.asked[-1] == f"GetRecords {sent}"

    check(use)


class Overlapping(ListShard):
    """Each page begins with the last three records of the one before."""

    def _iterator(self, start: int) -> str:
        return super()._iterator(max(0, start - 3))


def test_what_a_page_repeats_is_told_by_numbers_and_not_by_their_texts() -> None:
    async def bounded() -> None:
        shard = Overlapping()
        shard.write(12)
        mapping = Shared(shard)
        assert numbers(await mapping.fetch(TRIM_HORIZON, 10)) == list(range(10))
        assert numbers(await mapping.fetch(at(9), 10)) == [10, 11], "as texts both are before 9"

    asyncio.run(asyncio.wait_for(bounded(), 20))


def test_an_empty_page_in_the_middle_is_not_the_end() -> None:
    async def use(shard: ListShard) -> None:
        mapping = Shared(shard)
        shard.write(1)
        shard.faults = ["empty"]
        page = await mapping.fetch(TRIM_HORIZON)
        assert (page.records, page.ended) == ((), False)
        assert numbers(await mapping.fetch(TRIM_HORIZON)) == [0]

    check(use)


def test_the_last_records_come_with_the_confirmed_end() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(3)
        shard.closed = True
        mapping = Shared(shard)
        page = await mapping.fetch(TRIM_HORIZON)
        assert numbers(page) == [0, 1, 2]
        assert page.ended
        assert shard.asked == [
            "TRIM_HORIZON",
            "GetRecords 100",
            "AFTER_SEQUENCE_NUMBER 2",
            "GetRecords 100",
        ]
        assert (await mapping.fetch(at(2))).ended
        assert len(shard.asked) == 4

    check(use)


def test_one_null_that_a_new_iterator_does_not_confirm_is_no_end() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(3)
        mapping = Shared(shard)
        shard.faults = ["null"]
        page = await mapping.fetch(TRIM_HORIZON)
        assert numbers(page) == [0, 1, 2]
        assert not page.ended

    check(use)


def test_records_that_come_behind_a_null_put_the_end_in_doubt_again() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(2)
        shard.closed = True
        mapping = Shared(shard)
        shard.gate = asyncio.Event()
        fetching = asyncio.ensure_future(mapping.fetch(TRIM_HORIZON, 2))
        while shard.count("GetRecords") < 1:
            await asyncio.sleep(0)
        shard.gate.set()
        while shard.count("GetRecords") < 2:
            await asyncio.sleep(0)
        shard.write(1)
        page = await fetching
        found = numbers(page)
        while not page.ended:
            page = await mapping.fetch(at(found[-1]))
            found += numbers(page)
        assert found == [0, 1, 2]

    check(use)


def test_an_end_that_cannot_be_confirmed_now_does_not_hold_the_records_back() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(2)
        shard.closed = True
        mapping = Shared(shard)
        shard.refuses = {"AFTER_SEQUENCE_NUMBER"}
        page = await mapping.fetch(TRIM_HORIZON)
        assert numbers(page) == [0, 1]
        assert not page.ended
        shard.refuses = set()
        assert (await mapping.fetch(at(1))).ended

    check(use)


def test_records_before_the_end_do_not_say_ended() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(4)
        shard.closed = True
        mapping = Shared(shard)
        await mapping.fetch(TRIM_HORIZON)
        early = await mapping.fetch(TRIM_HORIZON, 2)
        assert (numbers(early), early.ended) == ([0, 1], False)
        late = await mapping.fetch(at(1), 2)
        assert (numbers(late), late.ended) == ([2, 3], True)

    check(use)


def test_an_expired_iterator_is_replaced_behind_the_last_record() -> None:
    async def use(shard: ListShard) -> None:
        mapping = Shared(shard)
        shard.write(3)
        await mapping.fetch(TRIM_HORIZON)
        shard.expire()
        shard.write(1)
        assert numbers(await mapping.fetch(at(2))) == [3]
        assert shard.asked[-2:] == ["AFTER_SEQUENCE_NUMBER 2", "GetRecords 100"]

    check(use)


def test_an_expired_iterator_without_a_record_is_replaced_at_its_start() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(5)
        mapping = Shared(shard)
        assert (await mapping.fetch(at(4))).records == ()
        shard.expire()
        assert (await mapping.fetch(at(4))).records == ()
        assert shard.count("AFTER_SEQUENCE_NUMBER 4") == 2
        assert not shard.count("TRIM_HORIZON")

    check(use)


def test_latest_is_pinned_at_the_time_the_service_names_and_reads_nothing() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(5)
        mapping = Shared(shard)
        page = await mapping.fetch(LATEST)
        assert page == Page(service_seconds=DATE_SECONDS, pinned_seconds=DATE_SECONDS)
        assert shard.asked == ["LATEST"]
        shard.write(2)
        assert numbers(await mapping.fetch(pin(DATE_SECONDS))) == [5, 6]

    check(use)


def test_a_pin_without_its_iterator_leaves_out_what_is_certainly_older() -> None:
    async def use(shard: ListShard) -> None:
        for at_seconds in (100.0, 199.0, 199.5, 200.0):
            shard.write(2, at_seconds)
        mapping = Shared(shard)
        assert numbers(await mapping.fetch(pin(200.0))) == [4, 5, 6, 7]
        assert shard.asked[0] == "TRIM_HORIZON"

    check(use)


def test_pages_that_are_left_out_whole_are_passed_within_one_fetch() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(40, 100.0)
        shard.write(1, 300.0)
        mapping = Shared(shard)
        assert numbers(await mapping.fetch(pin(200.0), 10)) == [40]

    check(use)


def test_a_pin_whose_iterator_expires_goes_on_behind_what_it_left_out() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(3, 100.0)
        mapping = Shared(shard)
        assert (await mapping.fetch(pin(200.0))).records == ()
        shard.expire()
        shard.write(1, 150.0)
        shard.write(1, 250.0)
        assert numbers(await mapping.fetch(pin(200.0))) == [4]
        assert shard.count("TRIM_HORIZON") == 1
        assert shard.count("AFTER_SEQUENCE_NUMBER 2") == 1

    check(use)


def test_once_a_record_was_wanted_nothing_is_left_out_any_more() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(1, 250.0)
        shard.write(1, 150.0)
        mapping = Shared(shard)
        assert numbers(await mapping.fetch(pin(200.0), 1)) == [0]
        assert numbers(await mapping.fetch(at(0), 1)) == [1]

    check(use)


def test_a_time_is_asked_for_and_else_skipped_to() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(3, 100.0)
        shard.write(2, 200.0)
        shard.refuses = {"AT_TIMESTAMP"}
        mapping = Shared(shard)
        when = Position(PositionKind.AT_TIMESTAMP, at_seconds=150.0)
        assert numbers(await mapping.fetch(when)) == [3, 4]
        assert shard.asked[:2] == ["AT_TIMESTAMP", "TRIM_HORIZON"]

    check(use)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ThrottlingException", ThrottledError),
        ("LimitExceededException", ThrottledError),
        ("AccessDeniedException", PermissionDeniedError),
        ("SomethingNew", SourceError),
    ],
)
def test_a_refusal_is_told_in_our_words_and_costs_no_iterator(
    code: str, error: type[SourceError]
) -> None:
    async def use(shard: ListShard) -> None:
        shard.write(1)
        mapping = Shared(shard)
        shard.faults = [refused(code)]
        with pytest.raises(error, match=SHARD) as told:
            await mapping.fetch(TRIM_HORIZON)
        assert code in told.value.message
        assert type(told.value) is error
        assert numbers(await mapping.fetch(TRIM_HORIZON)) == [0]
        assert shard.count("TRIM_HORIZON") == 1

    check(use)


def test_quick_faults_are_tried_again_with_the_same_iterator() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(1)
        mapping = Shared(shard)
        shard.faults = [refused("InternalServerError", 500), EndpointUnreachableError("reset")]
        assert numbers(await mapping.fetch(TRIM_HORIZON)) == [0]
        shard.faults = [damaged("t", "short"), damaged("t", "short")]
        shard.write(1)
        assert numbers(await mapping.fetch(at(0))) == [1]
        assert shard.count("GetRecords") == 6
        assert shard.count("TRIM_HORIZON") == 1

    check(use)


def test_trying_again_has_an_end() -> None:
    async def use(shard: ListShard) -> None:
        mapping = Shared(shard)
        shard.faults = [damaged("t", "short")] * 3
        with pytest.raises(DamagedReplyError):
            await mapping.fetch(TRIM_HORIZON)
        assert shard.count("GetRecords") == 3
        shard.faults = [refused("InternalServerError", 500)] * 3
        with pytest.raises(SourceError, match="InternalServerError"):
            await mapping.fetch(TRIM_HORIZON)
        assert shard.count("TRIM_HORIZON") == 1

    check(use)


def test_a_trimmed_position_is_told_and_the_horizon_can_be_read() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(10)
        mapping = Shared(shard)
        await mapping.fetch(TRIM_HORIZON, 2)
        shard.trimmed = 8
        for _ in range(2):
            with pytest.raises(PositionTrimmedError, match=SHARD):
                await mapping.fetch(at(1), 2)
        assert numbers(await mapping.fetch(TRIM_HORIZON, 5)) == [8, 9]
        assert (await mapping.fetch(at(9), 5)).records == ()
        assert shard.count("TRIM_HORIZON") == 2

    check(use)


def test_a_refused_shard_is_gone_after_a_minute_and_not_before() -> None:
    async def use(shard: ListShard) -> None:
        mapping = Shared(shard)
        shard.refuses = {"iterator"}
        for _ in range(3):
            with pytest.raises(SourceError) as told:
                await mapping.fetch(TRIM_HORIZON)
            assert not isinstance(told.value, ShardGoneError)
            mapping.clock.added_seconds += 25
        with pytest.raises(ShardGoneError, match=SHARD):
            await mapping.fetch(TRIM_HORIZON)

    check(use)


@pytest.mark.parametrize("may_begin_again", [False, True])
def test_an_unknown_table_gives_no_shard_up(*, may_begin_again: bool) -> None:
    async def use(shard: ListShard) -> None:
        shard.may_begin_again = may_begin_again
        mapping = Shared(shard)
        shard.faults = [refused("TableNotFoundException")]
        with pytest.raises(SourceError, match="TableNotFoundException") as told:
            await mapping.fetch(TRIM_HORIZON)
        assert not isinstance(told.value, ShardGoneError)

    check(use)


class GoneBeforeItIsListed(ListShard):
    """The stream is there when it is asked for, and gone when it is listed."""

    async def list_stream(self, arn: StreamArn) -> tuple[ListedStream, float]:
        raise refused("ResourceNotFoundException")


def test_a_stream_that_goes_while_its_shard_is_looked_for_gives_no_shard_up() -> None:
    async def use() -> None:
        shard = GoneBeforeItIsListed()
        shard.refuses = {"iterator"}
        mapping = Shared(shard)
        mapping.clock.added_seconds += 100 * 86_400
        with pytest.raises(SourceError, match="ResourceNotFoundException") as told:
            await mapping.fetch(TRIM_HORIZON)
        assert not isinstance(told.value, ShardGoneError)

    asyncio.run(use())


def test_an_answer_in_between_starts_the_minute_anew() -> None:
    async def use(shard: ListShard) -> None:
        mapping = Shared(shard)
        for _ in range(3):
            shard.refuses = {"iterator"}
            with pytest.raises(SourceError) as told:
                await mapping.fetch(at(50 + len(shard.asked)))
            assert not isinstance(told.value, ShardGoneError)
            shard.refuses = set()
            await mapping.fetch(TRIM_HORIZON)
            mapping.clock.added_seconds += 100

    check(use)


def test_a_shard_of_a_stream_that_is_gone_finishes_nothing() -> None:
    async def use(shard: ListShard) -> None:
        mapping = Shared(shard)
        shard.refuses, shard.stream_gone = {"iterator"}, True
        mapping.clock.added_seconds += 1000
        for _ in range(2):
            with pytest.raises(SourceError, match="stream is gone") as told:
                await mapping.fetch(TRIM_HORIZON)
            assert not isinstance(told.value, ShardGoneError)
            mapping.clock.added_seconds += 1000

    check(use)


def test_many_mappings_at_one_place_wait_for_one_read() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(10)
        mapping = Shared(shard, mappings=6)
        pages = await asyncio.gather(*(mapping.fetch(TRIM_HORIZON) for _ in range(6)))
        assert [numbers(page) for page in pages] == [list(range(10))] * 6
        assert shard.count("GetRecords") == 1
        empty = await asyncio.gather(*(mapping.fetch(at(9)) for _ in range(6)))
        assert not any(page.records for page in empty)
        await mapping.fetch(at(9))
        assert shard.count("GetRecords") == 2

    check(use)


def test_waiting_mappings_get_a_page_that_is_larger_than_the_budget() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(10)
        mapping = Shared(shard, mappings=4, budget_bytes=0)
        pages = await asyncio.gather(*(mapping.fetch(TRIM_HORIZON) for _ in range(4)))
        assert [numbers(page) for page in pages] == [list(range(10))] * 4
        assert shard.count("GetRecords") == 1

    check(use)


def test_a_mapping_alone_asks_the_service_each_time() -> None:
    async def use(shard: ListShard) -> None:
        mapping = Shared(shard)
        await mapping.fetch(TRIM_HORIZON)
        shard.write(1)
        assert numbers(await mapping.fetch(TRIM_HORIZON)) == [0]

    check(use)


def test_mappings_elsewhere_take_turns_so_that_two_read_at_most() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(60)
        mapping = Shared(shard, mappings=4, budget_bytes=0)
        await mapping.fetch(at(49), 5)
        starts = [at(9), at(19), at(29), at(54)]
        pages = await asyncio.gather(*(mapping.fetch(start, 5) for start in starts))
        assert [numbers(page)[0] for page in pages] == [10, 20, 30, 55]
        assert shard.most_reading == 2

    check(use)


def test_a_private_track_goes_on_with_its_own_iterator() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(40)
        mapping = Shared(shard, mappings=2, budget_bytes=0)
        await mapping.fetch(at(29), 5)
        position, found = TRIM_HORIZON, []
        while len(found) < 20:
            page = await mapping.fetch(position, 5)
            found += numbers(page)
            position = after(page.records[-1])
        assert found == list(range(20))
        assert shard.count("TRIM_HORIZON") == 1
        assert shard.count("AFTER_SEQUENCE_NUMBER") == 1

    check(use)


def test_a_mapping_that_catches_up_joins_the_others() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(20)
        mapping = Shared(shard, mappings=2)
        ahead = await mapping.fetch(at(9), 5)
        behind = await mapping.fetch(TRIM_HORIZON, 10)
        assert numbers(behind) == list(range(10))
        reads = shard.count("GetRecords")
        assert numbers(await mapping.fetch(at(9), 5)) == numbers(ahead)
        assert shard.count("GetRecords") == reads

    check(use)


def test_a_read_that_is_cancelled_loses_nothing() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(3)
        shard.gate = asyncio.Event()
        mapping = Shared(shard, mappings=2)
        leaving = asyncio.ensure_future(mapping.fetch(TRIM_HORIZON))
        staying = asyncio.ensure_future(mapping.fetch(TRIM_HORIZON))
        while not shard.reading:
            await asyncio.sleep(0)
        leaving.cancel()
        shard.gate.set()
        assert numbers(await staying) == [0, 1, 2]
        with pytest.raises(asyncio.CancelledError):
            await leaving

    check(use)


def test_a_closed_reader_starts_anew() -> None:
    async def use(shard: ListShard) -> None:
        shard.write(3)
        mapping = Shared(shard)
        await mapping.fetch(TRIM_HORIZON)
        await mapping.reader.close()
        assert numbers(await mapping.fetch(at(0))) == [1, 2]
        assert shard.count("AFTER_SEQUENCE_NUMBER 0") == 1

    check(use)


def test_what_one_mapping_holds_from_before_a_trim_is_no_horizon_for_another() -> None:
    async def scene() -> None:
        shard = ListShard()
        shard.write(6)
        mapping = Shared(shard, mappings=2)
        assert numbers(await mapping.fetch(TRIM_HORIZON)) == list(range(6))
        shard.trimmed = 5
        shard.write(1)
        with pytest.raises(PositionTrimmedError):
            await mapping.fetch(Position(PositionKind.AFTER, "-3"))  # elsewhere: a track of its own
        assert numbers(await mapping.fetch(TRIM_HORIZON)) == [5, 6]
        assert numbers(await mapping.fetch(at(5))) == [6]

    asyncio.run(scene())
