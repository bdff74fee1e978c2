"""The emulator over HTTP: headers, errors, damage, and who may speak to it."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from components import dummy_client

from emulator.kit import TABLE, stream_on
from triggerkit.emulator import Damage, Emulator, Server, VirtualClock, serve

PUT = {"TableName": "orders", "Item": {"pk": {"S": "a"}}}


@pytest.fixture
def server() -> Iterator[Server]:
    emulator = Emulator(VirtualClock(1_800_000_000.0))
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    with serve(emulator) as running:
        yield running


@pytest.fixture
def connection(server: Server) -> Iterator[http.client.HTTPConnection]:
    opened = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    yield opened
    opened.close()


def ask(
    connection: http.client.HTTPConnection,
    operation: str = "DynamoDB_20120810.PutItem",
    request: Any = PUT,
    **headers: str,
) -> tuple[http.client.HTTPResponse, bytes]:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    connection.request("POST", "/", body, {"X-Amz-Target": operation, **headers})
    answer = connection.getresponse()
    return answer, answer.read()


def test_an_answer_carries_checksum_request_id_and_the_emulators_date(
    connection: http.client.HTTPConnection,
) -> None:
    answer, body = ask(connection, "DynamoDB_20120810.DescribeTable", {"TableName": "orders"})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/x-amz-json-1.0"
    assert int(answer.headers["x-amz-crc32"]) == zlib.crc32(body)
    assert answer.headers["x-amzn-RequestId"]
    assert answer.headers["Date"] == "Fri, 15 Jan 2027 08:00:00 GMT"


def test_the_date_follows_the_virtual_clock(
    server: Server, connection: http.client.HTTPConnection
) -> None:
    server.emulator.advance(3600)
    answer, _ = ask(connection)
    assert answer.headers["Date"] == "Fri, 15 Jan 2027 09:00:00 GMT"


def test_an_error_has_status_type_and_message(connection: http.client.HTTPConnection) -> None:
    answer, body = ask(connection, "DynamoDB_20120810.DescribeTable", {"TableName": "absent"})
    assert answer.status == 400
    assert json.loads(body) == {
        "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
        "message": "Requested resource not found: Table: absent not found",
    }


def test_one_connection_serves_many_requests(connection: http.client.HTTPConnection) -> None:
    for _ in range(3):
        answer, _ = ask(connection)
        assert answer.status == 200
        assert answer.version == 11
        assert not answer.will_close


@pytest.mark.parametrize("body", [b"{bad", b"[]", b"\xff", b'{"TableName": "\\ud800"}'])
def test_a_body_that_is_no_json_object_is_a_serialization_error(
    connection: http.client.HTTPConnection, body: bytes
) -> None:
    answer, text = ask(connection, request=body)
    assert answer.status == 400
    assert json.loads(text)["__type"].endswith("#SerializationException")


@pytest.mark.parametrize("target", ["DynamoDB_20120810.CreateBackup", "Kinesis_20131202.X", ""])
def test_an_absent_operation_names_the_real_backends(
    connection: http.client.HTTPConnection, target: str
) -> None:
    answer, body = ask(connection, target, {})
    assert answer.status == 400
    error = json.loads(body)
    assert error["__type"].endswith("#UnknownOperationException")
    assert re.search("Use (DynamoDB Local|Kinesis Mock) or AWS", error["message"])
    assert target.rpartition(".")[2] in error["message"]


def test_a_page_of_the_web_is_refused(connection: http.client.HTTPConnection) -> None:
    answer, body = ask(connection, Origin="http://localhost:3000")
    assert answer.status == 403
    assert b"web pages" in body


@pytest.mark.parametrize(
    "host", ["example.com", "example.com:80", "10.0.0.1", "localhost.example.com"]
)
def test_a_host_header_that_is_not_loopback_is_refused(
    connection: http.client.HTTPConnection, host: str
) -> None:
    answer, _ = ask(connection, Host=host)
    assert answer.status == 403


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:8", "a.localhost"]
)
def test_every_name_of_loopback_is_accepted(
    connection: http.client.HTTPConnection, host: str
) -> None:
    answer, _ = ask(connection, Host=host)
    assert answer.status == 200


def test_only_loopback_can_be_bound() -> None:
    for host in ("0.0.0.0", "example.com", ""):
        with pytest.raises(ValueError, match="loopback only"):
            serve(Emulator(), host)


def test_a_port_that_is_taken_is_an_error_at_once(server: Server) -> None:
    with pytest.raises(OSError, match="in use"):
        serve(Emulator(), port=server.port)


def test_only_post_is_answered(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.status == 405
    answer.read()


def test_requests_in_pieces_and_in_one_packet_are_answered_in_order(server: Server) -> None:
    def raw(key: str) -> bytes:
        body = json.dumps({"TableName": "orders", "Item": {"pk": {"S": key}}}).encode()
        head = (
            "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: DynamoDB_20120810.PutItem\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        together = raw("a") + raw("b") + raw("c")
        for index in range(0, len(together), 50):
            peer.sendall(together[index : index + 50])
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 3 or not received.endswith(b"{}"):
            received += peer.recv(65536)
    records = server.emulator.call("Scan", {"TableName": "orders"})
    assert records["Count"] == 3


def test_a_request_that_is_not_http_closes_the_connection(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(b"nonsense\r\n\r\n")
        assert peer.recv(65536).startswith(b"HTTP/1.1 403")
        assert peer.recv(1) == b""


def test_an_endless_head_is_refused(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nX: " + b"y" * 70_000)
        assert peer.recv(65536).startswith(b"HTTP/1.1 431")


def test_a_truncated_answer_shows_in_the_checksum_only(
    server: Server, connection: http.client.HTTPConnection
) -> None:
    for damage in (Damage.TRUNCATED, Damage.CORRUPTED):
        server.emulator.faults.damage("DescribeTable", damage)
        answer, body = ask(connection, "DynamoDB_20120810.DescribeTable", {"TableName": "orders"})
        assert answer.status == 200
        assert int(answer.headers["x-amz-crc32"]) != zlib.crc32(body)
    answer, body = ask(connection, "DynamoDB_20120810.DescribeTable", {"TableName": "orders"})
    assert int(answer.headers["x-amz-crc32"]) == zlib.crc32(body)


def test_a_cut_answer_ends_before_its_length(
    server: Server, connection: http.client.HTTPConnection
) -> None:
    server.emulator.faults.damage("DescribeTable", Damage.CUT)
    with pytest.raises(http.client.IncompleteRead):
        ask(connection, "DynamoDB_20120810.DescribeTable", {"TableName": "orders"})


def test_a_reset_happens_after_the_request_was_carried_out(
    server: Server, connection: http.client.HTTPConnection
) -> None:
    server.emulator.faults.damage("PutItem", Damage.RESET)
    with pytest.raises(ConnectionError):
        ask(connection)
    assert server.emulator.call("Scan", {"TableName": "orders"})["Count"] == 1


def test_latency_holds_one_connection_back_and_no_other(
    server: Server, connection: http.client.HTTPConnection
) -> None:
    held = threading.Event()

    def latency_seconds(operation: str) -> float:
        if operation != "PutItem":
            return 0.0
        held.set()
        return 600.0

    server.emulator.faults.latency_seconds = latency_seconds
    slow = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    slow.request("POST", "/", json.dumps(PUT), {"X-Amz-Target": "DynamoDB_20120810.PutItem"})
    assert held.wait(10)
    answer, _ = ask(connection, "DynamoDB_20120810.ListTables", {})
    assert answer.status == 200
    server.close()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        slow.getresponse()
    slow.close()


def test_an_answer_that_was_held_back_arrives(
    server: Server, connection: http.client.HTTPConnection
) -> None:
    server.emulator.faults.latency_seconds = lambda _operation: 0.01
    for _ in range(2):
        answer, _ = ask(connection)
        assert answer.status == 200


def test_throttling_reaches_the_client_as_often_as_planned(
    server: Server, connection: http.client.HTTPConnection
) -> None:
    server.emulator.faults.throttle("PutItem", 2)
    statuses = [ask(connection)[0].status for _ in range(3)]
    assert statuses == [400, 400, 200]


def test_a_closed_server_answers_no_more_and_closes_twice() -> None:
    running = serve(Emulator())
    running.close()
    running.close()
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", running.port), timeout=1)


def test_boto3_reads_a_stream_over_http(server: Server) -> None:
    table = dummy_client("dynamodb", server.endpoint_url)
    streams = dummy_client("dynamodbstreams", server.endpoint_url)
    table.put_item(TableName="orders", Item={"pk": {"S": "a"}, "b": {"B": b"\x00\xff"}})
    arn = table.describe_table(TableName="orders")["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    (record,) = streams.get_records(ShardIterator=iterator)["Records"]
    assert record["dynamodb"]["NewImage"]["b"] == {"B": b"\x00\xff"}
    assert record["dynamodb"]["ApproximateCreationDateTime"].timestamp() == 1_800_000_000
    with pytest.raises(table.exceptions.ConditionalCheckFailedException):
        table.put_item(
            TableName="orders",
            Item={"pk": {"S": "a"}},
            ConditionExpression="attribute_not_exists(pk)",
        )
    server.emulator.expire_iterators()
    with pytest.raises(streams.exceptions.ExpiredIteratorException):
        streams.get_records(ShardIterator=iterator)
    for client in (table, streams):
        client.close()


def test_writers_on_many_connections_lose_nothing(server: Server) -> None:
    def write(writer: int) -> None:
        own = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for step in range(50):
            item = {"pk": {"S": "hot"}, "by": {"N": f"{writer}"}, "step": {"N": f"{step}"}}
            ask(own, request={"TableName": "orders", "Item": item})
        own.close()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (arn,) = server.emulator.stream_arns("orders")
    (shard,) = server.emulator.open_shards("orders")
    place = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = server.emulator.call("GetShardIterator", place)["ShardIterator"]
    records = server.emulator.call("GetRecords", {"ShardIterator": iterator})["Records"]
    images = [record["dynamodb"]["NewImage"] for record in records]
    assert len(images) == 300
    for writer in range(6):
        steps = [int(image["step"]["N"]) for image in images if image["by"]["N"] == f"{writer}"]
        assert steps == list(range(50))
