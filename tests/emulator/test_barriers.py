"""A call that is held: in process by a thread, over HTTP by nobody; released, cleared, closed or given up."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from components import dummy_client

from emulator.kit import Orders, refused
from triggerkit.emulator import Emulator, EmulatorError, Server, barriers, serve
from triggerkit.emulator import http as over_http
from triggerkit.errors import UsageError

LIMIT_SECONDS = 10.0


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def orders() -> Orders:
    return Orders()


def put(orders: Orders, key: str) -> Callable[[], dict[str, Any]]:
    return lambda: orders.put(key)


def test_a_call_is_held_before_it_is_carried_out(
    orders: Orders, threads: ThreadPoolExecutor
) -> None:
    barrier = orders.emulator.faults.barrier("PutItem")
    held = threads.submit(put(orders, "a"))
    barrier.wait_reached(LIMIT_SECONDS)
    assert orders.get("a") is None  # nobody else waits: the lock is free
    assert not held.done()
    barrier.release()
    assert held.result(LIMIT_SECONDS) == {}
    assert orders.get("a") is not None


def test_a_call_is_held_behind_its_effect(orders: Orders, threads: ThreadPoolExecutor) -> None:
    barrier = orders.emulator.faults.barrier("PutItem", behind=True)
    held = threads.submit(put(orders, "a"))
    barrier.wait_reached(LIMIT_SECONDS)
    assert orders.get("a") is not None
    assert not held.done()
    barrier.release()
    held.result(LIMIT_SECONDS)


def test_one_barrier_holds_one_call(orders: Orders, threads: ThreadPoolExecutor) -> None:
    barrier = orders.emulator.faults.barrier("PutItem")
    held = threads.submit(put(orders, "a"))
    barrier.wait_reached(LIMIT_SECONDS)
    threads.submit(put(orders, "b")).result(LIMIT_SECONDS)
    barrier.release()
    held.result(LIMIT_SECONDS)


def test_two_barriers_hold_two_calls_and_are_released_in_any_order(
    orders: Orders, threads: ThreadPoolExecutor
) -> None:
    first, second = (orders.emulator.faults.barrier("PutItem") for _ in range(2))
    early = threads.submit(put(orders, "early"))
    first.wait_reached(LIMIT_SECONDS)
    late = threads.submit(put(orders, "late"))
    second.wait_reached(LIMIT_SECONDS)
    second.release()
    late.result(LIMIT_SECONDS)
    first.release()
    early.result(LIMIT_SECONDS)
    keys = [record["dynamodb"]["Keys"]["pk"]["S"] for record in orders.records()]
    assert keys == ["late", "early"]


def test_a_lost_race_is_made_on_purpose(orders: Orders, threads: ThreadPoolExecutor) -> None:
    """The write that was sent first arrives last, as an ambiguous write of a lease does."""
    orders.put("lease", owner={"S": "none"})

    def take(owner: str) -> str:
        try:
            orders.update(
                "lease",
                "SET #o = :me",
                ConditionExpression="#o = :none",
                ExpressionAttributeNames={"#o": "owner"},
                ExpressionAttributeValues={":me": {"S": owner}, ":none": {"S": "none"}},
            )
        except EmulatorError as error:
            return error.type
        return "taken"

    barrier = orders.emulator.faults.barrier("UpdateItem")
    first: Future[str] = threads.submit(take, "first")
    barrier.wait_reached(LIMIT_SECONDS)
    assert threads.submit(take, "second").result(LIMIT_SECONDS) == "taken"
    barrier.release()
    assert first.result(LIMIT_SECONDS) == "ConditionalCheckFailedException"


def test_a_barrier_of_one_shard_lets_reads_of_others_pass(
    orders: Orders, threads: ThreadPoolExecutor
) -> None:
    (parent,) = orders.emulator.open_shards("orders")
    (child,) = orders.emulator.roll("orders")
    barrier = orders.emulator.faults.barrier("GetRecords", shard=child)
    orders.page(orders.iterator(parent))
    held = threads.submit(lambda: orders.page(orders.iterator(child)))
    barrier.wait_reached(LIMIT_SECONDS)
    barrier.release()
    assert held.result(LIMIT_SECONDS)["Records"] == []


def test_the_thread_that_made_a_barrier_is_told_instead_of_held(orders: Orders) -> None:
    barrier = orders.emulator.faults.barrier("PutItem")
    with pytest.raises(UsageError, match="would wait for itself"):
        orders.put("a")
    assert orders.get("a") is None
    barrier.release()
    orders.put("a")


def test_a_barrier_that_is_released_early_holds_nobody(orders: Orders) -> None:
    orders.emulator.faults.barrier("PutItem").release()
    orders.put("a")


def test_waiting_for_a_call_that_does_not_come_ends(orders: Orders) -> None:
    barrier = orders.emulator.faults.barrier("PutItem")
    with pytest.raises(TimeoutError, match="no call of PutItem came"):
        barrier.wait_reached(0.01)
    assert (barrier.reached, barrier.released) == (False, False)


def test_clearing_the_faults_lets_held_calls_go(
    orders: Orders, threads: ThreadPoolExecutor
) -> None:
    barrier = orders.emulator.faults.barrier("PutItem")
    held = threads.submit(put(orders, "a"))
    barrier.wait_reached(LIMIT_SECONDS)
    orders.emulator.faults.clear()
    held.result(LIMIT_SECONDS)
    assert orders.get("a") is not None


def test_closing_the_emulator_refuses_what_is_held_in_front(
    orders: Orders, threads: ThreadPoolExecutor
) -> None:
    barrier = orders.emulator.faults.barrier("PutItem")
    held = threads.submit(put(orders, "a"))
    barrier.wait_reached(LIMIT_SECONDS)
    orders.emulator.close()
    with pytest.raises(EmulatorError, match="The emulator was closed"):
        held.result(LIMIT_SECONDS)


def test_a_call_that_nobody_releases_is_refused_in_the_end(
    orders: Orders, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(barriers, "LONGEST_HOLD_SECONDS", 0.05)
    orders.emulator.faults.barrier("PutItem")
    held = threads.submit(refused, orders, "PutItem", TableName="orders", Item={"pk": {"S": "a"}})
    assert "nobody released it" in held.result(LIMIT_SECONDS).message
    assert orders.get("a") is None


# --- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture
def server(orders: Orders) -> Iterator[Server]:
    with serve(orders.emulator) as running:
        yield running


def put_over_http(server: Server, key: str, **config: Any) -> None:
    client = dummy_client("dynamodb", server.endpoint_url, **config)
    try:
        client.put_item(TableName="orders", Item={"pk": {"S": key}})
    finally:
        client.close()


@pytest.mark.parametrize("behind", [False, True])
def test_a_request_is_held_while_the_server_goes_on(
    orders: Orders, server: Server, threads: ThreadPoolExecutor, behind: bool
) -> None:
    barrier = orders.emulator.faults.barrier("PutItem", behind=behind)
    held = threads.submit(put_over_http, server, "a")
    barrier.wait_reached(LIMIT_SECONDS)
    put_over_http(server, "b")
    assert (orders.get("a") is not None) is behind
    assert not held.done()
    barrier.release()
    held.result(LIMIT_SECONDS)
    assert orders.get("a") is not None


def test_a_request_whose_sender_has_gone_is_carried_out_all_the_same(
    orders: Orders, server: Server, threads: ThreadPoolExecutor
) -> None:
    """The ambiguous write: the client gave up, the service did it later."""
    barrier = orders.emulator.faults.barrier("PutItem")
    held = threads.submit(
        put_over_http, server, "a", read_timeout=0.2, retries={"total_max_attempts": 1}
    )
    barrier.wait_reached(LIMIT_SECONDS)
    assert type(held.exception(LIMIT_SECONDS)).__name__ == "ReadTimeoutError"
    assert orders.get("a") is None
    barrier.release()
    put_over_http(server, "b")  # behind the released call, on the one thread of the server
    assert orders.get("a") is not None


def test_closing_the_server_ends_what_is_held(orders: Orders, threads: ThreadPoolExecutor) -> None:
    with serve(orders.emulator) as running:
        barrier = orders.emulator.faults.barrier("PutItem")
        held = threads.submit(put_over_http, running, "a", retries={"total_max_attempts": 1})
        barrier.wait_reached(LIMIT_SECONDS)
    assert type(held.exception(LIMIT_SECONDS)).__name__ == "ConnectionClosedError"
    barrier.release()
    assert orders.get("a") is None
    assert threading.active_count() < 50


def test_a_request_that_nobody_releases_is_answered_in_the_end(
    orders: Orders, server: Server, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_http, "LONGEST_HOLD_SECONDS", 0.05)
    barrier = orders.emulator.faults.barrier("PutItem")
    held = threads.submit(put_over_http, server, "a", retries={"total_max_attempts": 1})
    assert "nobody released it" in str(held.exception(LIMIT_SECONDS))
    barrier.release()
    put_over_http(server, "b")
    assert orders.get("a") is None


def test_a_request_that_was_released_is_answered_once(
    orders: Orders, server: Server, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_http, "LONGEST_HOLD_SECONDS", 0.3)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_SECONDS)
    barrier = orders.emulator.faults.barrier("DescribeTable")

    def asked(operation: str, body: bytes) -> bytes:
        target = {"X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        connection.request("POST", "/", body, target)
        return connection.getresponse().read()

    held = threads.submit(asked, "DescribeTable", b'{"TableName":"orders"}')
    barrier.wait_reached(LIMIT_SECONDS)
    barrier.release()
    assert b"LatestStreamArn" in held.result(LIMIT_SECONDS)
    until = time.monotonic() + 0.6  # past the moment at which it would have been given up
    while time.monotonic() < until:
        assert asked("ListTables", b"{}") == b'{"TableNames":["orders"]}'
    connection.close()


def test_an_emulator_that_is_not_used_holds_nobody() -> None:
    emulator = Emulator()
    emulator.faults.barrier("PutItem")
    emulator.close()
