"""A damaged answer of the control plane is asked for anew, and never read as one that says less."""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from components import dummy_client
from sources.fakes import opened

from triggerkit.aws.clients import CONTROL_PLANE_ATTEMPTS
from triggerkit.aws.intact import find_corruption
from triggerkit.core.model import TRIM_HORIZON
from triggerkit.emulator import Damage, Emulator, serve
from triggerkit.errors import DamagedReplyError
from triggerkit.ports import Source

TABLE: dict[str, Any] = {
    "TableName": "orders",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
}


def reading(scenario: Callable[[Source, Emulator], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on a source of the table `orders` and the emulator behind its endpoint."""

    async def run(endpoint_url: str, emulator: Emulator) -> None:
        source = opened("dynamodb://orders", endpoint_url=endpoint_url)
        try:
            await source.prepare()
            await scenario(source, emulator)
        finally:
            await source.close()

    emulator = Emulator(seed=1)
    with serve(emulator) as server:
        client = dummy_client("dynamodb", server.endpoint_url)
        client.create_table(**TABLE)
        client.close()
        asyncio.run(run(server.endpoint_url, emulator))


@pytest.mark.parametrize("how", list(Damage))
@pytest.mark.parametrize("operation", ["DescribeStream", "ListStreams", "DescribeTable"])
def test_a_listing_that_comes_damaged_is_asked_for_anew(operation: str, how: Damage) -> None:
    async def scenario(source: Source, emulator: Emulator) -> None:
        intact = await source.list_shards()
        assert len(intact.shards) == 1
        emulator.faults.damage(operation, how, times=2)
        again = await source.list_shards()
        assert (again.shards, again.complete) == (intact.shards, True)
        assert emulator.faults.calls.damage(operation) is None, "the fault was not met"

    reading(scenario)


def test_an_answer_that_always_comes_damaged_is_an_error_that_names_what_was_asked() -> None:
    async def scenario(source: Source, emulator: Emulator) -> None:
        emulator.faults.damage("DescribeStream", Damage.TRUNCATED, times=CONTROL_PLANE_ATTEMPTS)
        with pytest.raises(
            DamagedReplyError, match=r"dynamodb:DescribeStream on stream arn:.*/orders"
        ):
            await source.list_shards()
        assert len((await source.list_shards()).shards) == 1

    reading(scenario)


def test_an_iterator_that_comes_damaged_is_not_used() -> None:
    async def scenario(source: Source, emulator: Emulator) -> None:
        (shard,) = (await source.list_shards()).shards
        before = Counter(emulator.calls)
        emulator.faults.damage("GetShardIterator", Damage.CORRUPTED, times=2)
        page = await source.open(shard.id).fetch(TRIM_HORIZON, 10)
        assert (page.records, page.ended) == ((), False)
        assert emulator.calls["GetShardIterator"] == before["GetShardIterator"] + 3
        assert emulator.calls["GetRecords"] == before["GetRecords"] + 1

    reading(scenario)


def test_a_body_without_checksum_and_length_must_be_text_at_least() -> None:
    assert find_corruption(b'{"Shards":[]}', {}) == ""
    assert find_corruption(b'{"Shards":"\xff"}', {}) == "it is not UTF-8"


def test_a_body_is_held_against_its_checksum() -> None:
    body = b'{"Records":[]}'
    assert find_corruption(body, {"x-amz-crc32": str(zlib.crc32(body))}) == ""
    assert "checksum" in find_corruption(body[:-1], {"x-amz-crc32": str(zlib.crc32(body))})


def test_without_a_checksum_its_length_must_do() -> None:
    assert find_corruption(b"four", {"content-length": "4"}) == ""
    assert find_corruption(b"four", {"content-length": "2", "content-encoding": "gzip"}) == ""
    assert find_corruption(b"fou", {"content-length": "4"}) == "it has 3 of 4 bytes"
