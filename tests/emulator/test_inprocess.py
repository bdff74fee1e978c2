"""boto3 on the emulator without sockets."""

from __future__ import annotations

import time

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError
from components import dummy_client

from emulator.kit import TABLE, stream_on
from triggerkit.emulator import Damage, Emulator, VirtualClock, attach, detach

NOWHERE = "http://127.0.0.1:1"


def test_an_attached_client_speaks_to_the_emulator() -> None:
    emulator = Emulator()
    table, streams = (dummy_client(name, NOWHERE) for name in ("dynamodb", "dynamodbstreams"))
    for client in (table, streams):
        attach(client, emulator)
    table.create_table(**TABLE, **stream_on())
    table.put_item(TableName="orders", Item={"pk": {"S": "a"}, "b": {"B": b"abc"}})
    item = table.get_item(TableName="orders", Key={"pk": {"S": "a"}})["Item"]
    assert item == {"pk": {"S": "a"}, "b": {"B": b"abc"}}
    (stream,) = streams.list_streams(TableName="orders")["Streams"]
    assert stream["StreamArn"] in emulator.stream_arns("orders")


def test_an_attached_session_gives_attached_clients_and_resources() -> None:
    emulator = Emulator()
    session = boto3.session.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"
    )
    attach(session, emulator)
    orders = session.resource("dynamodb").create_table(**TABLE)
    orders.put_item(Item={"pk": "a", "n": 5})
    assert orders.get_item(Key={"pk": "a"})["Item"]["n"] == 5
    assert emulator.calls["PutItem"] == 1


def test_a_service_that_is_not_here_is_refused_instead_of_called() -> None:
    session = boto3.session.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"
    )
    attach(session, Emulator())
    with pytest.raises(EndpointConnectionError):
        session.client("sqs").list_queues()


def test_a_detached_client_speaks_to_its_endpoint_again() -> None:
    client = dummy_client("dynamodb", NOWHERE, retries={"total_max_attempts": 1})
    attach(client, Emulator())
    client.list_tables()
    detach(client)
    with pytest.raises(EndpointConnectionError):
        client.list_tables()


def test_errors_and_damage_reach_an_attached_client() -> None:
    emulator = Emulator()
    client = dummy_client("dynamodb", NOWHERE, retries={"total_max_attempts": 1})
    attach(client, emulator)
    with pytest.raises(ClientError, match="Table: absent not found"):
        client.describe_table(TableName="absent")
    emulator.faults.damage("ListTables", Damage.RESET)
    with pytest.raises(ConnectionClosedError):
        client.list_tables()
    client.list_tables()


def test_an_answer_that_takes_its_time_moves_a_virtual_clock() -> None:
    emulator = Emulator(VirtualClock(1_800_000_000.0))
    client = dummy_client("dynamodb", NOWHERE)
    attach(client, emulator)
    emulator.faults.latency("ListTables", 30.0, times=2)
    for _ in range(3):
        client.list_tables()
    assert emulator.clock.now_seconds() == 1_800_000_060.0


def test_an_answer_that_takes_its_time_is_waited_for_on_a_real_clock() -> None:
    emulator = Emulator()
    client = dummy_client("dynamodb", NOWHERE)
    attach(client, emulator)
    emulator.faults.latency("ListTables", 0.05)
    began = time.monotonic()
    client.list_tables()
    assert time.monotonic() - began >= 0.05
