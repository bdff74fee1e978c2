"""What stands beside the emulator behind the port of `dev`."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from components import dummy_client

from triggerkit.dev.local_services import Address, LocalServices, read_backend
from triggerkit.emulator import Emulator, Server, serve
from triggerkit.errors import UsageError


def client_of(service: str, server: Server) -> Any:
    return boto3.client(
        service,
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="triggerkit",
        aws_secret_access_key="triggerkit",
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip("flask")
    others = LocalServices()
    with serve(Emulator(), others=others) as running:
        yield running
    others.close()


def test_a_bucket_keeps_objects_of_any_name(server: Server) -> None:
    buckets = client_of("s3", server)
    buckets.create_bucket(Bucket="logs")
    body = bytes(range(256)) * 10_000
    place = {"Bucket": "logs", "Key": "a b/ü+.bin"}
    buckets.put_object(Body=body, Metadata={"written_by": "me"}, **place)
    head = buckets.head_object(**place)
    assert (head["ContentLength"], head["Metadata"]) == (len(body), {"written_by": "me"})
    with buckets.get_object(**place)["Body"] as stream:
        assert stream.read() == body
    url = buckets.generate_presigned_url("get_object", Params=place)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == body
    buckets.delete_object(**place)
    with pytest.raises(ClientError, match="404"):
        buckets.head_object(**place)
    buckets.close()


def test_a_topic_delivers_to_a_queue(server: Server) -> None:
    queues, topics = client_of("sqs", server), client_of("sns", server)
    url = queues.create_queue(QueueName="orders")["QueueUrl"]
    assert url.startswith(server.endpoint_url)
    asked = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    topic = topics.create_topic(Name="orders")["TopicArn"]
    topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=asked["Attributes"]["QueueArn"])
    topics.publish(TopicArn=topic, Message="paid")
    (letter,) = queues.receive_message(QueueUrl=url)["Messages"]
    assert "paid" in letter["Body"]
    queues.close()
    topics.close()


def test_events_are_taken(server: Server) -> None:
    bus = client_of("events", server)
    entry = {"Source": "shop", "DetailType": "paid", "Detail": "{}"}
    assert bus.put_events(Entries=[entry])["FailedEntryCount"] == 0
    bus.close()


def test_what_moto_could_do_besides_is_not_served(server: Server) -> None:
    functions = client_of("lambda", server)
    with pytest.raises(ClientError, match="'lambda' is not served"):
        functions.list_functions()
    functions.close()


def test_a_backend_takes_dynamodb_and_its_streams() -> None:
    with serve(Emulator()) as underneath:
        others = LocalServices(Address("127.0.0.1", underneath.port))
        front = Emulator()
        with serve(front, others=others) as server:
            database = dummy_client("dynamodb", server.endpoint_url)
            streams = dummy_client("dynamodbstreams", server.endpoint_url)
            assert database.list_tables()["TableNames"] == []
            assert streams.list_streams()["Streams"] == []
            database.close()
            streams.close()
        others.close()
        assert not front.calls
        assert underneath.emulator.calls == {"ListTables": 1, "ListStreams": 1}


def test_a_backend_where_nobody_listens_is_an_answer() -> None:
    with serve(Emulator()) as gone:
        address = Address("127.0.0.1", gone.port)
    others = LocalServices(address)
    answer = asyncio.run(others.answer("dynamodb", b"POST / HTTP/1.1\r\n\r\n"))
    others.close()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"dynamodb could not be asked" in answer


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8000", Address("127.0.0.1", 8000)),
        ("http://localhost", Address("localhost", 80)),
        ("https://dynamodb.test/", Address("dynamodb.test", 443, tls=True)),
        ("http://[::1]:8000", Address("::1", 8000)),
    ],
)
def test_a_backend_is_an_url_with_a_host(url: str, address: Address) -> None:
    assert read_backend(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8000", "http://", "http://h:0x", "http://h:99999", "http://h/path",
     "https://dynamodb.eu-west-1.amazonaws.com", "https://dynamodb.cn-north-1.amazonaws.com.cn"],
)  # fmt: skip
def test_what_is_no_endpoint_or_aws_itself_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_backend(url)
    assert refused.value.hint
