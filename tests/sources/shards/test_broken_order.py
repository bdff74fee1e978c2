"""An endpoint that breaks the order of its own shard: every record is handed on, or an error says why not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sources.list_shard import DATE_SECONDS, ListShard, Shared

from triggerkit.aws.transport import Reply
from triggerkit.core.model import TRIM_HORIZON, Position, PositionKind, after
from triggerkit.errors import DamagedReplyError, SourceError


def record(number: str, name: str = "", at_seconds: float | None = DATE_SECONDS) -> dict[str, Any]:
    change: dict[str, Any] = {"SequenceNumber": number, "Keys": {"pk": {"S": name or number}}}
    if at_seconds is not None:
        change["ApproximateCreationDateTime"] = at_seconds
    return {"eventName": "INSERT", "dynamodb": change}


class Paged(ListShard):
    """GetRecords answers with these pages, one after the other, and then with empty ones."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        super().__init__()
        self.pages = list(pages)

    def _answer(self, iterator: int, limit: int) -> Reply:
        page = self.pages.pop(0) if self.pages else []
        answer = {"Records": page, "NextShardIterator": self._iterator(0)}
        return Reply(json.dumps(answer).encode(), DATE_SECONDS)


def read(shard: Paged, start: Position = TRIM_HORIZON) -> tuple[list[str], str]:
    """The names of what is handed on, with `start` as checkpoint; and the error that ended it, if one did."""

    async def use() -> tuple[list[str], str]:
        mapping, position = Shared(shard), start
        found: list[str] = []
        for _ in range(len(shard.pages) + 3):
            try:
                page = await mapping.fetch(position)
            except SourceError as error:
                return found, error.message
            found += [json.loads(one.raw)["dynamodb"]["Keys"]["pk"]["S"] for one in page.records]
            if page.records:
                position = after(page.records[-1])
        return found, ""

    return asyncio.run(asyncio.wait_for(use(), 20))


@pytest.mark.parametrize(
    ("pages", "handed_on"),
    [
        ([["3", "2", "1"]], ["1", "2", "3"]),
        ([["1", "10", "9"], ["11"]], ["1", "9", "10", "11"]),
        ([["1", "2"], ["1", "2", "3"]], ["1", "2", "3"]),
        ([["1", "2", "3"], ["3", "2", "4"]], ["1", "2", "3", "4"]),
        ([["1", "1", "2"]], ["1", "2"]),
        ([["1"], ["1"], ["1"], ["2"]], ["1", "2"]),
        ([["9"], ["10"], ["9", "11"]], ["9", "10", "11"]),
        ([["b", "a"], ["a", "c"]], ["b", "a", "c"]),
    ],
)
def test_e6_what_was_not_seen_is_handed_on_in_order(
    pages: list[list[str]], handed_on: list[str]
) -> None:
    shard = Paged(*[[record(number) for number in page] for page in pages])
    assert read(shard) == (handed_on, "")


@pytest.mark.parametrize(
    ("pages", "handed_on", "late"),
    [
        ([["1", "2", "4"], ["3", "5"]], ["1", "2", "4"], "the record 3 comes behind 4"),
        ([["3"], ["2"], ["1"], ["4"]], ["3"], "the record 2 comes behind 3"),
        ([["1", "20"], ["20", "3", "30"]], ["1", "20"], "the record 3 comes behind 20"),
    ],
)
def test_e6_a_number_that_moves_across_pages_is_an_error_that_names_it(
    pages: list[list[str]], handed_on: list[str], late: str
) -> None:
    found, told = read(Paged(*[[record(number) for number in page] for page in pages]))
    assert (found, late in told) == (handed_on, True)


@pytest.mark.parametrize(
    "pages",
    [
        [[record("1", "one"), record("1", "another")]],
        [[record("1", "one")], [record("1", "another"), record("2")]],
        [[record("1"), record("2", "two")], [record("3")], [record("2", "another")]],
    ],
    ids=["in one page", "across pages", "two pages later"],
)
def test_e6_one_number_for_two_records_is_an_error_that_names_it(pages: list[Any]) -> None:
    found, told = read(Paged(*pages))
    assert "another" not in found
    assert "two different records have the sequence number" in told


def test_e6_a_slow_mapping_is_not_carried_past_records_by_one_that_comes_again() -> None:
    """A record that comes again long after must not stand for its first place in what is kept."""

    async def use() -> None:
        first = [record(str(number)) for number in range(1, 1101)]
        shard = Paged(first[:600], first[600:], [*first[:1], record("2000")])
        fast = Shared(shard, mappings=2)
        position = TRIM_HORIZON
        seen: list[str] = []
        for _ in range(30):
            page = await fast.fetch(position, 1000)
            seen += [one.sequence_number for one in page.records]
            if page.records:
                position = after(page.records[-1])
        assert seen == [str(number) for number in range(1, 1101)] + ["2000"]
        slow = await fast.fetch(after_number("1"), 1000)
        assert slow.records[0].sequence_number == "2"

    asyncio.run(asyncio.wait_for(use(), 20))


def after_number(number: str, at_seconds: float = DATE_SECONDS) -> Position:
    return Position(PositionKind.AFTER, number, at_seconds)


def test_a4_a_page_behind_a_checkpoint_may_begin_with_the_checkpoint_itself() -> None:
    shard = Paged([record("7"), record("8")])
    assert read(shard, after_number("7")) == (["8"], "")
    shard = Paged([record("7", at_seconds=None), record("8", at_seconds=None)])
    assert read(shard, after_number("7")) == (["8"], "")


def test_a4_older_records_behind_a_checkpoint_were_done_and_younger_ones_are_told() -> None:
    shard = Paged([record("5", at_seconds=DATE_SECONDS - 10), record("8")])
    assert read(shard, after_number("7")) == (["8"], "")
    for number in ("1", "7"):
        found, told = read(Paged([record(number, at_seconds=DATE_SECONDS + 1)]), after_number("7"))
        assert (found, "the checkpoint 7 cannot belong to" in told) == ([], True)


def test_a_damaged_page_is_asked_for_again_with_the_same_iterator() -> None:
    shard = Paged([record("1", "one"), record("1", "another")], [record("1", "one"), record("2")])

    async def use() -> None:
        mapping = Shared(shard)
        with pytest.raises(DamagedReplyError):
            await mapping.fetch(TRIM_HORIZON)
        page = await mapping.fetch(TRIM_HORIZON)
        assert [one.sequence_number for one in page.records] == ["1", "2"]

    asyncio.run(asyncio.wait_for(use(), 20))
