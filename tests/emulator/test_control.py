"""`/_sim/` over HTTP, and what the port answers for services that the emulator does not have."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from components import dummy_client

from emulator.kit import TABLE, stream_on
from triggerkit.emulator import Emulator, Server, VirtualClock, serve
from triggerkit.emulator.control import TOKEN_HEADER, Control
from triggerkit.emulator.services import service_of

TOKEN = "a-token"


class Echo:
    """Answers for sqs and s3 with what it was sent."""

    served = frozenset({"sqs", "s3"})

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []

    def advice(self, service: str) -> str:
        return f"Nobody knows {service}."

    async def answer(self, service: str, request: bytes) -> bytes:
        self.seen.append((service, request))
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.fixture
def others() -> Echo:
    return Echo()


@pytest.fixture
def server(others: Echo) -> Iterator[Server]:
    emulator = Emulator(VirtualClock(1_800_000_000.0))
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    with serve(emulator, control=Control(emulator, TOKEN), others=others) as running:
        yield running


def ask(
    server: Server, verb: str, request: Any = None, *, method: str = "POST", **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    body = request if isinstance(request, bytes) else json.dumps(request or {}).encode()
    headers = {TOKEN_HEADER: TOKEN} | headers
    connection.request(method, f"/_sim/{verb}", body, headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, told


def test_a_ping_with_the_token_is_answered(server: Server) -> None:
    assert ask(server, "ping") == (200, {})


@pytest.mark.parametrize("token", ["", "a-toke", "a-token-", "A-TOKEN", "ä"])
def test_without_the_token_nothing_is_done(server: Server, token: str) -> None:
    before = server.emulator.open_shards("orders")
    status, told = ask(server, "roll", {"stream": "orders"}, **{TOKEN_HEADER: token})
    assert status == 403
    assert "token" in told["message"]
    assert server.emulator.open_shards("orders") == before


def test_a_web_page_is_refused_even_with_the_token(server: Server) -> None:
    assert ask(server, "ping", Origin="http://localhost:3000")[0] == 403
    assert ask(server, "ping", Host="evil.example")[0] == 403
    assert ask(server, "ping", method="GET")[0] == 405


def test_without_a_control_the_path_is_nothing_special() -> None:
    with serve(Emulator()) as bare:
        status, told = ask(bare, "ping")
    assert status == 400
    assert told["__type"].endswith("UnknownOperationException")


def test_roll_closes_the_open_shard_and_names_its_child(server: Server) -> None:
    status, told = ask(server, "roll", {"stream": "orders"})
    assert status == 200
    assert told["children"] == server.emulator.open_shards("orders")


def test_split_leaves_two_open_shards(server: Server) -> None:
    (shard,) = server.emulator.open_shards("orders")
    status, told = ask(server, "split", {"stream": "orders", "shard": shard})
    assert status == 200
    assert told["children"] == server.emulator.open_shards("orders")
    assert len(told["children"]) == 2


def test_expire_ends_every_iterator_given_so_far(server: Server) -> None:
    (arn,) = server.emulator.stream_arns("orders")
    (shard,) = server.emulator.open_shards("orders")
    streams = dummy_client("dynamodbstreams", server.endpoint_url)
    iterator = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    assert ask(server, "expire") == (200, {})
    with pytest.raises(streams.exceptions.ExpiredIteratorException):
        streams.get_records(ShardIterator=iterator)
    streams.close()


def test_throttle_refuses_so_many_calls(server: Server) -> None:
    assert ask(server, "throttle", {"operation": "PutItem", "times": 2})[0] == 200
    for _ in range(2):
        planned = server.emulator.faults.calls.error("PutItem")
        assert planned is not None
        assert planned.type == "ThrottlingException"
    assert server.emulator.faults.calls.error("PutItem") is None


def test_ttl_removes_an_item_as_the_service_does(server: Server) -> None:
    server.emulator.call("PutItem", {"TableName": "orders", "Item": {"pk": {"S": "a"}}})
    assert ask(server, "ttl", {"table": "orders", "key": {"pk": {"S": "a"}}}) == (200, {})
    assert server.emulator.call("Scan", {"TableName": "orders"})["Count"] == 0


@pytest.mark.parametrize(
    ("verb", "request_", "status", "said"),
    [
        ("roll", {}, 400, "stream"),
        ("roll", {"stream": "absent"}, 400, "absent"),
        ("roll", {"stream": 7}, 400, "stream"),
        ("roll", {"stream": "orders", "shard": "shardId-none"}, 400, "Shard does not exist"),
        ("split", {"stream": "orders", "shard": []}, 400, "shard"),
        ("throttle", {"operation": "Nonsense"}, 400, "'Nonsense'"),
        ("throttle", {"times": 0}, 400, "times"),
        ("throttle", {"times": 10**9}, 400, "at most 10000"),
        ("ttl", {"table": "orders"}, 400, "key"),
        ("ttl", {"table": "orders", "key": {"pk": {"S": "none"}}}, 400, "no item"),
        ("ttl", {"table": "orders", "key": {"pk": "none"}}, 400, ""),
        ("explode", {}, 404, "known: advance"),
        ("", {}, 404, "known"),
        ("roll", b"{bad", 400, "not JSON"),
        ("roll", b"\xff", 400, "not JSON"),
        ("roll", b"[]", 400, "not a JSON object"),
    ],
)
def test_a_wrong_request_is_answered_and_changes_nothing(
    server: Server, verb: str, request_: Any, status: int, said: str
) -> None:
    before = server.emulator.open_shards("orders")
    answered, told = ask(server, verb, request_)
    assert (answered, said in told["message"]) == (status, True), told
    assert server.emulator.open_shards("orders") == before


def test_a_shard_closes_once(server: Server) -> None:
    (shard,) = server.emulator.open_shards("orders")
    assert ask(server, "roll", {"stream": "orders", "shard": shard})[0] == 200
    for verb in ("roll", "split"):
        status, told = ask(server, verb, {"stream": "orders", "shard": shard})
        assert status == 400
        assert "closed already" in told["message"]


def client_of(service: str, server: Server) -> Any:
    return boto3.client(
        service,
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="triggerkit",
        aws_secret_access_key="triggerkit",
    )


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("sns", lambda sns: sns.list_topics()),  # query protocol, XML
        ("sts", lambda sts: sts.get_caller_identity()),
        ("secretsmanager", lambda secrets: secrets.list_secrets()),  # JSON
        ("lambda", lambda functions: functions.list_functions()),  # REST with JSON
    ],
)
def test_an_unserved_service_is_named_whatever_its_protocol(
    server: Server, service: str, call: Any
) -> None:
    client = client_of(service, server)
    with pytest.raises(ClientError) as refused:
        call(client)
    client.close()
    error = refused.value.response["Error"]
    assert error["Code"] == "UnservedService"
    assert f"{service!r} is not served by the embedded endpoint of triggerkit" in error["Message"]
    assert f"Nobody knows {service}." in error["Message"]


def test_an_unserved_service_is_asked_once_only(server: Server) -> None:
    client = client_of("sns", server)
    attempts: list[int] = []
    client.meta.events.register("before-send", lambda **_: attempts.append(1))
    with pytest.raises(ClientError):
        client.list_topics()
    client.close()
    assert len(attempts) == 1


def test_without_others_s3_is_refused_in_its_own_words() -> None:
    with serve(Emulator()) as bare:
        client = client_of("s3", bare)
        with pytest.raises(ClientError, match="'s3' is not served"):
            client.list_buckets()
        with pytest.raises(ClientError, match="501"):
            client.head_bucket(Bucket="b")
        with pytest.raises(ClientError, match="'s3' is not served"):
            client.put_object(Bucket="b", Key="k", Body=b"x" * 100_000)
        client.close()


def test_a_served_service_gets_the_whole_request(server: Server, others: Echo) -> None:
    client = client_of("sqs", server)
    assert client.list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
    client.close()
    ((service, request),) = others.seen
    head, _, body = request.partition(b"\r\n\r\n")
    assert service == "sqs"
    assert head.startswith(b"POST / HTTP/1.1\r\n")
    assert head.endswith(b"Connection: close")
    assert b"AmazonSQS.ListQueues" in head
    assert body == b"{}"


def asked_by_url(server: Server, service: str, **headers: str) -> int:
    """The status of a GET whose query names `service`, which needs no header of the sender's."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    scope = f"X-Amz-Credential=A%2F20260101%2Fus-east-1%2F{service}%2Faws4_request"
    connection.request("GET", f"/?Action=DeleteQueue&{scope}", headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


@pytest.mark.parametrize("service", ["sqs", "sns", "events", "dynamodb"])
def test_no_address_alone_changes_anything(server: Server, others: Echo, service: str) -> None:
    assert asked_by_url(server, service) == 405
    assert others.seen == []


def test_an_object_is_fetched_by_its_address_but_not_for_a_web_page(
    server: Server, others: Echo
) -> None:
    assert asked_by_url(server, "s3", **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert asked_by_url(server, "s3", **{"Sec-Fetch-Site": "same-site"}) == 403
    assert others.seen == []
    assert asked_by_url(server, "s3", **{"Sec-Fetch-Site": "none"}) == 200
    assert asked_by_url(server, "s3") == 200


def test_the_emulator_still_answers_beside_other_services(server: Server) -> None:
    client = dummy_client("dynamodb", server.endpoint_url)
    assert client.list_tables()["TableNames"] == ["orders"]
    client.close()


@pytest.mark.parametrize(
    ("line", "headers", "service"),
    [
        ("POST / HTTP/1.1", {}, ""),
        ("POST / HTTP/1.1", {"x-amz-target": "DynamoDB_20120810.PutItem"}, "dynamodb"),
        ("POST / HTTP/1.1", {"x-amz-target": "DynamoDBStreams_20120810.GetRecords"}, "dynamodb"),
        ("POST / HTTP/1.1", {"x-amz-target": "AWSEvents.PutEvents"}, ""),
        (
            "GET /b/k?X-Amz-Credential=AK%2F20260101%2Fus-east-1%2Fs3%2Faws4_request HTTP/1.1",
            {},
            "s3",
        ),
        (
            "POST / HTTP/1.1",
            {"authorization": "AWS4-HMAC-SHA256 Credential=A/20260101//SQS/aws4_request, Signed"},
            "sqs",
        ),
        ("POST / HTTP/1.1", {"authorization": "Basic Credential"}, ""),
        ("GET /b/k?AWSAccessKeyId=A&Signature=x%3D&Expires=1 HTTP/1.1", {}, "s3"),
    ],
)
def test_the_service_is_the_one_that_a_request_is_signed_for(
    line: str, headers: dict[str, str], service: str
) -> None:
    assert service_of(line, headers) == service
