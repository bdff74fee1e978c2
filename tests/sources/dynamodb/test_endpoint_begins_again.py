"""An endpoint that was emptied, restarted or replaced under a reader: the new stream is followed, or told of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from emulator.kit import START_SECONDS, TABLE, stream_on
from sources.fakes import opened
from sources.scripted_server import Good, Misbehaviour, ScriptedServer

from triggerkit.core.model import TRIM_HORIZON, Page, Position, Record, ShardId, after
from triggerkit.emulator import Emulator, VirtualClock
from triggerkit.errors import PositionImpossibleError, ShardGoneError, SourceError
from triggerkit.ports import ShardReader, Source
from triggerkit.sources.shards import order


def emulator_with(*names: str, seconds: float = START_SECONDS, begins: int = 1) -> Emulator:
    """A table with these items; the shard's numbers begin at a place of `seed`."""
    emulator = Emulator(VirtualClock(seconds), seed=begins)
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    write(emulator, *names)
    return emulator


def write(emulator: Emulator, *names: str) -> None:
    for name in names:
        emulator.call("PutItem", {"TableName": "orders", "Item": {"pk": {"S": name}}})


def label(emulator: Emulator) -> str:
    return emulator.stream_arns("orders")[-1].rpartition("/")[2]


class Replaceable(ScriptedServer):
    """The endpoint may get another emulator; `ghost` still answers for the streams that it has."""

    ghost: Emulator | None = None

    def _good(self, operation: str, target: str, body: bytes) -> Good:
        if self.ghost is not None and self._is_about_the_ghost(json.loads(body)):
            present, self.emulator = self.emulator, self.ghost
            try:
                return super()._good(operation, target, body)
            finally:
                self.emulator = present
        return super()._good(operation, target, body)

    def _is_about_the_ghost(self, request: dict[str, Any]) -> bool:
        assert self.ghost is not None
        return label(self.ghost) in str(request.get("StreamArn")) or label(self.ghost) in str(
            request.get("ShardIterator")
        )


@pytest.fixture
def server() -> Iterator[Replaceable]:
    with Replaceable(emulator_with("a", "b", "c")) as started:
        yield started


def run(use: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(use(), 300.0)

    asyncio.run(bounded())


def source_of(server: ScriptedServer, transport: str = "auto") -> Source:
    return opened(f"dynamodb://orders?endpoint_url={server.endpoint_url}&transport={transport}")


async def started(source: Source) -> tuple[ShardId, ShardReader]:
    await source.prepare()
    (shard,) = (await source.list_shards()).shards
    return shard.id, source.open(shard.id)


def names(page: Page) -> list[str]:
    return [json.loads(record.key)["S"] for record in page.records]


async def until_gone(reader: ShardReader, position: Position) -> ShardGoneError:
    """Fetch as the engine does, until the shard is given up."""
    wait_seconds = 0.25
    while True:
        try:
            page = await reader.fetch(position, 100)
            assert page.records == ()
            assert not page.ended
            wait_seconds = 0.25
        except ShardGoneError as error:
            return error
        except SourceError as error:
            if error.permanent or not error.hint:
                raise
            wait_seconds = min(10.0, 2 * wait_seconds)
        await asyncio.sleep(wait_seconds)


async def followed(source: Source, gone: ShardId) -> list[str]:
    """What the shards that come behind hold."""
    children = await source.children(gone)
    assert children.shards, children
    found: list[str] = []
    for child in children.shards:
        assert child.parents == (gone,)
        found += names(await source.open(child.id).fetch(TRIM_HORIZON, 100))
    return found


@pytest.mark.parametrize(
    "later_seconds", [60.0, -3600.0], ids=["a later label", "an earlier label"]
)
def test_b2_a_table_that_was_made_again_is_followed(
    server: Replaceable, later_seconds: float
) -> None:
    async def use() -> None:
        source = source_of(server)
        shard, reader = await started(source)
        last = (await reader.fetch(TRIM_HORIZON, 100)).records[-1]
        server.emulator = emulator_with("d", "e", seconds=START_SECONDS + later_seconds, begins=2)
        error = await until_gone(reader, after(last))
        assert "the table has another stream now" in error.message
        assert label(server.emulator) in error.message
        assert await followed(source, shard) == ["d", "e"]
        await source.close()

    run(use)


def test_b2_while_the_table_is_missing_the_message_says_so_and_then_it_is_followed(
    server: Replaceable,
) -> None:
    async def use() -> None:
        source = source_of(server)
        shard, reader = await started(source)
        last = (await reader.fetch(TRIM_HORIZON, 100)).records[-1]
        server.emulator = Emulator(VirtualClock(START_SECONDS + 60), seed=2)
        with pytest.raises(SourceError, match="the table is gone too") as told:
            await reader.fetch(after(last), 100)
        assert "followed by itself" in told.value.hint
        assert not told.value.permanent
        server.emulator.call("CreateTable", TABLE)
        await asyncio.sleep(1.1)
        with pytest.raises(SourceError, match="the table has no stream now") as told:
            await reader.fetch(after(last), 100)
        assert "enable-stream orders" in told.value.hint
        server.emulator.call(
            "UpdateTable",
            {"TableName": "orders", "StreamSpecification": stream_on()["StreamSpecification"]},
        )
        write(server.emulator, "d")
        await until_gone(reader, after(last))
        assert await followed(source, shard) == ["d"]
        await source.close()

    run(use)


def test_b2_an_endpoint_that_answers_for_the_old_stream_for_ever_is_followed_too(
    server: Replaceable,
) -> None:
    async def use() -> None:
        source = source_of(server)
        shard, reader = await started(source)
        last = (await reader.fetch(TRIM_HORIZON, 100)).records[-1]
        server.ghost = server.emulator
        server.emulator = emulator_with("d", "e", seconds=START_SECONDS + 1, begins=2)
        error = await until_gone(reader, after(last))
        assert "the table has another stream now" in error.message
        assert await followed(source, shard) == ["d", "e"]
        assert server.calls["DescribeTable"] < 10
        await source.close()

    run(use)


def test_b2_a_shard_that_still_brings_records_is_read_although_a_newer_stream_is_there(
    server: Replaceable,
) -> None:
    async def use() -> None:
        source = source_of(server)
        _, reader = await started(source)
        last = (await reader.fetch(TRIM_HORIZON, 100)).records[-1]
        server.ghost = server.emulator
        server.emulator = emulator_with("x", seconds=START_SECONDS + 1, begins=2)
        for number in range(14):
            write(server.ghost, f"n{number}")
            page = await reader.fetch(after(last), 100)
            assert names(page) == [f"n{number}"]
            last = page.records[-1]
            await asyncio.sleep(0.5)
        await source.close()

    run(use)


def test_b2_an_idle_table_costs_one_describe_table_in_five_seconds(server: Replaceable) -> None:
    async def use() -> None:
        source = source_of(server)
        _, reader = await started(source)
        last = (await reader.fetch(TRIM_HORIZON, 100)).records[-1]
        before = server.calls["DescribeTable"]
        for _ in range(24):
            await reader.fetch(after(last), 100)
            await asyncio.sleep(0.25)
        assert server.calls["DescribeTable"] - before <= 2
        assert server.calls["DescribeStream"] <= 2
        await source.close()

    run(use)


# --- numbers that begin again under the same ARN ----------------------------------------------------------


class Restarted(ScriptedServer):
    """One stream with one shard, whose records are a list; it can be emptied with nothing else changed."""

    arn = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000"
    refuses_positions = False
    iterators_survive = False
    honours_positions = True
    life = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.records: list[dict[str, Any]] = []
        self.at_seconds = 1_764_000_000

    def write(self, count: int) -> None:
        for _ in range(count):
            number = len(self.records) + 1
            self.records.append(
                {
                    "eventName": "INSERT",
                    "dynamodb": {
                        "SequenceNumber": str(number),
                        "ApproximateCreationDateTime": self.at_seconds,
                        "Keys": {"pk": {"S": f"life {self.life} number {number}"}},
                    },
                }
            )

    def restart(self, *, later_seconds: int) -> None:
        self.records = []
        self.life += 1
        self.at_seconds += later_seconds

    def _good(self, operation: str, target: str, body: bytes) -> Good:
        status, answer = getattr(self, f"answer_{operation.lower()}")(json.loads(body))
        return Good(status, {}, json.dumps(answer).encode())

    def refusal(self, code: str) -> tuple[int, Any]:
        return 400, {"__type": f"com.amazonaws#{code}", "message": "Invalid SequenceNumber"}

    def answer_describetable(self, _: Any) -> tuple[int, Any]:
        stream = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
        table = {"TableArn": "x", "LatestStreamArn": self.arn, "StreamSpecification": stream}
        return 200, {"Table": table}

    def answer_liststreams(self, _: Any) -> tuple[int, Any]:
        return 200, {"Streams": [{"StreamArn": self.arn}]}

    def answer_describestream(self, _: Any) -> tuple[int, Any]:
        shards = [{"ShardId": "shardId-1", "SequenceNumberRange": {}}]
        return 200, {"StreamDescription": {"StreamStatus": "ENABLED", "Shards": shards}}

    def answer_getsharditerator(self, request: dict[str, Any]) -> tuple[int, Any]:
        start = 0
        if request["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER" and self.honours_positions:
            start = int(request["SequenceNumber"])
            if self.refuses_positions and start > len(self.records):
                return self.refusal("ValidationException")
        return 200, {"ShardIterator": f"{self.life}:{start}"}

    def answer_getrecords(self, request: dict[str, Any]) -> tuple[int, Any]:
        life, start = map(int, request["ShardIterator"].split(":"))
        if life != self.life and not self.iterators_survive:
            return self.refusal("ExpiredIteratorException")
        page = self.records[start : start + request["Limit"]]
        return 200, {
            "Records": page,
            "NextShardIterator": f"{self.life}:{min(start, len(self.records)) + len(page)}"
            if page
            else request["ShardIterator"],
        }


@pytest.fixture
def restarted() -> Iterator[Restarted]:
    with Restarted(Emulator()) as server:
        yield server


async def until_told(reader: ShardReader, position: Position) -> tuple[list[Record], SourceError]:
    """Read as the engine does, until an error; what came before it."""
    found: list[Record] = []
    while True:
        try:
            page = await reader.fetch(position, 100)
        except SourceError as error:
            return found, error
        found += page.records
        if page.records:
            position = after(page.records[-1])
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("same_process", [True, False])
@pytest.mark.parametrize("written", [36, 5], ids=["past the checkpoint", "before the checkpoint"])
@pytest.mark.parametrize("way", ["refuses_positions", "accepts positions", "ignores positions"])
def test_a4_numbers_that_begin_again_are_told_with_the_way_out(
    restarted: Restarted, way: str, written: int, same_process: bool
) -> None:
    """36 new records behind a checkpoint of 20, or 5: none is passed over without a word."""

    async def use() -> None:
        restarted.write(20)
        source = source_of(restarted)
        _, reader = await started(source)
        last = (await reader.fetch(TRIM_HORIZON, 100)).records[-1]
        restarted.restart(later_seconds=3)
        restarted.refuses_positions = way == "refuses_positions"
        restarted.honours_positions = way != "ignores positions"
        restarted.write(written)
        if not same_process:
            await source.close()
            source = source_of(restarted)
            _, reader = await started(source)
        found, error = await until_told(reader, after(last))
        assert type(error) is PositionImpossibleError, error
        assert found == []
        assert error.permanent
        assert "checkpoint 20" in error.message
        assert "--state" in error.hint
        before = sum(restarted.calls.values())
        with pytest.raises(PositionImpossibleError):
            await reader.fetch(after(last), 100)
        assert sum(restarted.calls.values()) - before < 10
        await source.close()

    run(use)


def test_a4_iterators_that_survive_hide_no_restart_from_an_idle_reader(
    restarted: Restarted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "LOOK_SECONDS", 0.5)

    async def use() -> None:
        restarted.write(20)
        source = source_of(restarted)
        _, reader = await started(source)
        last = (await reader.fetch(TRIM_HORIZON, 100)).records[-1]
        for _ in range(4):
            await reader.fetch(after(last), 100)
            await asyncio.sleep(0.25)
        restarted.iterators_survive = True
        restarted.restart(later_seconds=0)
        restarted.write(5)
        found, error = await until_told(reader, after(last))
        assert type(error) is PositionImpossibleError
        assert found == []
        await source.close()

    run(use)


def test_a4_a_restart_of_the_worker_alone_is_no_restart_of_the_numbers(
    restarted: Restarted,
) -> None:
    async def use() -> None:
        restarted.write(20)
        source = source_of(restarted)
        _, reader = await started(source)
        last = (await reader.fetch(TRIM_HORIZON, 100)).records[-1]
        restarted.at_seconds += 100
        restarted.write(3)
        await source.close()
        source = source_of(restarted)
        _, reader = await started(source)
        page = await reader.fetch(after(last), 100)
        assert [record.sequence_number for record in page.records] == ["21", "22", "23"]
        await source.close()

    run(use)


def test_b5_a_horizon_that_is_called_trimmed_is_an_error_and_no_gap(server: Replaceable) -> None:
    """A gap would be read again at once, at the horizon, which is where it comes from."""

    async def use() -> None:
        source = source_of(server)
        _, reader = await started(source)
        before = server.calls["GetRecords"]
        refusal = {"__type": "TrimmedDataAccessException", "message": "trimmed"}
        server.reply("GetRecords", refusal, status=400, times=None)
        with pytest.raises(SourceError, match="trimmed") as told:
            await reader.fetch(TRIM_HORIZON, 100)
        assert type(told.value) is SourceError
        assert told.value.hint
        assert server.calls["GetRecords"] == before + 1
        server.behave()
        assert names(await reader.fetch(TRIM_HORIZON, 100)) == ["a", "b", "c"]
        await source.close()

    run(use)


def test_an_iterator_that_an_endpoint_answers_with_an_odd_500_is_made_anew(
    server: Replaceable,
) -> None:
    """One emulator answers so to iterators from before its restart."""

    async def use() -> None:
        source = source_of(server)
        _, reader = await started(source)
        last = (await reader.fetch(TRIM_HORIZON, 100)).records[-1]
        server.misbehave(Misbehaviour.STATUS_500, "GetRecords", times=3)
        with pytest.raises(SourceError):
            await reader.fetch(after(last), 100)
        before = server.calls["GetShardIterator"]
        write(server.emulator, "d")
        assert names(await reader.fetch(after(last), 100)) == ["d"]
        assert server.calls["GetShardIterator"] > before
        await source.close()

    run(use)
