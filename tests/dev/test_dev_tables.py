"""Tables are made once, and what exists is not made over."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from components import dummy_client

from triggerkit.dev.tables import Made, ensure_table
from triggerkit.emulator import Emulator, attach
from triggerkit.errors import EndpointUnreachableError, SourceError, UsageError
from triggerkit.runtime.item_json import read_items
from triggerkit.runtime.tables import DevTable

ORDERS = DevTable("orders", (("pk", "S"), ("sk", "N")))


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Any]:
    opened = dummy_client("dynamodb", "http://127.0.0.1:1")
    attach(opened, emulator)
    yield opened
    opened.close()


def test_a_table_is_created_once_and_kept(client: Any) -> None:
    items = tuple(read_items(io.BytesIO(b'[{"pk": "a", "sk": 1}]'), "seed"))
    seeded = DevTable("orders", ORDERS.keys, items=items)
    assert ensure_table(client, seeded) is Made.CREATED
    client.delete_item(TableName="orders", Key=items[0])
    assert ensure_table(client, seeded) is Made.KEPT
    assert client.scan(TableName="orders")["Count"] == 0


def test_a_stream_that_is_off_is_turned_on(client: Any) -> None:
    request = ORDERS.request()
    del request["StreamSpecification"]
    client.create_table(**request)
    assert ensure_table(client, ORDERS) is Made.STREAM_ON
    stream = client.describe_table(TableName="orders")["Table"]["StreamSpecification"]
    assert stream == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (DevTable("orders", (("pk", "S"),)), "with the key pk:S,sk:N, not pk:S"),
        (DevTable("orders", (("pk", "S"), ("sk", "S"))), "not pk:S,sk:S"),
        (DevTable("orders", (("sk", "N"), ("pk", "S"))), "not sk:N,pk:S"),
        (DevTable("orders", ORDERS.keys, "KEYS_ONLY"), "view type NEW_AND_OLD_IMAGES, not KEYS_ONLY"),
    ],
)  # fmt: skip
def test_a_table_of_another_shape_is_refused(client: Any, other: DevTable, said: str) -> None:
    ensure_table(client, ORDERS)
    with pytest.raises(UsageError, match=said) as refused:
        ensure_table(client, other)
    assert "--fresh" in refused.value.hint


def test_what_the_endpoint_refuses_is_an_error_of_ours(emulator: Emulator, client: Any) -> None:
    emulator.faults.throttle("CreateTable", 10)
    with pytest.raises(SourceError, match="dynamodb:CreateTable on table 'orders'"):
        ensure_table(client, ORDERS)


def test_an_endpoint_where_nobody_listens_is_named() -> None:
    opened = dummy_client("dynamodb", "http://127.0.0.1:1")
    with pytest.raises(EndpointUnreachableError, match=r"127\.0\.0\.1:1"):
        ensure_table(opened, ORDERS)
    opened.close()
