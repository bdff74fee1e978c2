"""GetRecords over both transports: what is sent, and what the answers become. One suite for both."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import ssl
import subprocess
import zlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aws.http_server import (
    BODY,
    DATE,
    DATE_SECONDS,
    Bytes,
    Request,
    Script,
    Server,
    answered,
    good,
    refusal,
)
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from sources.fakes import MovableClock, in_a_thread, inline

from triggerkit.aws import http
from triggerkit.aws.botocore_transport import BotocoreTransport
from triggerkit.aws.clients import open_client
from triggerkit.aws.credentials import CredentialsProvider, KeyRing, RenewableCredentials
from triggerkit.aws.errors import AwsError
from triggerkit.aws.fast_transport import FastTransport, tls_for
from triggerkit.aws.sessions import Access, open_session
from triggerkit.aws.signing import Keys, Scope, Signer
from triggerkit.aws.transport import Endpoint, Transport
from triggerkit.errors import (
    CredentialsError,
    DamagedReplyError,
    EndpointUnreachableError,
    ReplyTooLargeError,
    TriggerkitError,
)
from triggerkit.ports import Services
from triggerkit.sources.dynamodb.service import TRAITS

SCOPE = Scope("eu-west-1", "dynamodb")


class Frozen(NamedTuple):
    access_key: str
    secret_key: str
    token: str | None


class Rotating:
    """Credentials that are others each time they are looked for."""

    method = "custom-process"

    def __init__(self) -> None:
        self.found = 0

    def find(self) -> Any:
        self.found += 1
        return self

    def get_frozen_credentials(self) -> Frozen:
        return Frozen(f"AKID{self.found}", "secret", f"token{self.found}")


class Caller:
    """Makes a transport to a server; keeps the clock that it tells."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = MovableClock()
        self.credentials = RenewableCredentials(Rotating().find)

    def transport(self, url: str, certificates: str = "") -> Transport:
        """To `url`, trusting a CA file of one's own."""
        if self.name == "fast":
            endpoint = Endpoint(url, SCOPE, certificates, behind_proxy=False)
            tls = tls_for(endpoint) if certificates else None
            ring = KeyRing(inline, self.credentials)
            lent = Services(inline, self.clock)
            return FastTransport(endpoint, tls, ring, lent, "stream s", TRAITS)
        access = Access(region=SCOPE.region, endpoint_url=url)
        session = open_session(access, CredentialsProvider(self.credentials))
        client = open_client(session, "dynamodbstreams", access, attempts=1)
        lent = Services(in_a_thread, self.clock)
        return BotocoreTransport(client, self.credentials, lent, "stream s", TRAITS)


@pytest.fixture(params=["fast", "botocore"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


def meet(
    caller: Caller,
    use: Callable[[Transport, Server], Coroutine[Any, Any, None]],
    *answers: Script | Bytes,
    tls: ssl.SSLContext | None = None,
    certificates: str = "",
) -> None:
    async def bounded() -> None:
        scripts = [one if callable(one) else (lambda _, one=one: one) for one in answers]
        async with Server(*scripts).running(tls) as server:
            transport = caller.transport(server.url, certificates)
            try:
                await asyncio.wait_for(use(transport, server), 30)
            finally:
                await transport.close()

    asyncio.run(bounded())


def read(caller: Caller, *answers: Script | Bytes) -> None:
    """One read, which is to be good."""

    async def use(transport: Transport, server: Server) -> None:
        assert bytes((await transport.get_records("iterator", 7)).body) == BODY

    meet(caller, use, *answers)


def fail(caller: Caller, error: type[TriggerkitError], why: str, *answers: Script | Bytes) -> None:
    """One read, which is to raise, and a good one on the same transport behind it."""

    async def use(transport: Transport, server: Server) -> None:
        with pytest.raises(error, match=why) as raised:
            await transport.get_records("iterator", 7)
        assert "stream s" in raised.value.message
        assert raised.value.hint
        assert bytes((await transport.get_records("iterator", 7)).body) == BODY

    meet(caller, use, *answers, good)


def key_of(request: Request) -> str:
    return request.headers["authorization"].partition("Credential=")[2].partition("/")[0]


# --- what is sent ------------------------------------------------------------------------------------


def test_the_request_asks_for_so_many_records_behind_the_iterator(caller: Caller) -> None:
    async def use(transport: Transport, server: Server) -> None:
        reply = await transport.get_records("iterator", 7)
        assert (bytes(reply.body), reply.service_seconds) == (BODY, DATE_SECONDS)
        assert reply.has_checksum
        (request,) = server.requests
        assert json.loads(request.body) == {"ShardIterator": "iterator", "Limit": 7}
        assert request.headers["x-amz-target"] == "DynamoDBStreams_20120810.GetRecords"
        assert request.headers["content-type"] == "application/x-amz-json-1.0"
        assert request.headers["accept-encoding"] == "identity"
        assert "triggerkit" in request.headers["user-agent"]
        assert request.headers["x-amz-security-token"] == "token1"
        assert key_of(request) == "AKID1"
        assert caller.clock.observed == [DATE_SECONDS]

    meet(caller, use, good)


def test_the_signature_is_the_one_that_botocore_makes_of_the_same_request(caller: Caller) -> None:
    async def use(transport: Transport, server: Server) -> None:
        await transport.get_records("iterator", 7)
        (request,) = server.requests
        names = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        headers = {name: request.headers[name] for name in names.split(";")}
        theirs = AWSRequest("POST", server.url, headers, request.body)
        theirs.context["timestamp"] = request.headers["x-amz-date"]
        signer = SigV4Auth(Credentials("AKID1", "secret", "token1"), SCOPE.service, SCOPE.region)
        canonical = signer.canonical_request(theirs)
        text = signer.string_to_sign(theirs, canonical)
        assert request.headers["authorization"].endswith(
            f"Signature={signer.signature(text, theirs)}"
        )

    meet(caller, use, good)


def test_the_fast_transport_signs_at_service_time_however_wrong_the_host_clock_is() -> None:
    async def use(transport: Transport, server: Server) -> None:
        caller.clock.added_seconds = 3600.0
        await transport.get_records("iterator", 7)
        (request,) = server.requests
        at_seconds = caller.clock.now().service_seconds
        headers = {"host": request.headers["host"]}
        moments = [
            Signer(headers, SCOPE).head(b"", Keys("a", "b"), at_seconds - late).decode()
            for late in range(5)
        ]
        assert any(request.headers["x-amz-date"] in moment for moment in moments)

    caller = Caller("fast")
    meet(caller, use, good)


def test_one_connection_serves_many_requests(caller: Caller) -> None:
    async def use(transport: Transport, server: Server) -> None:
        for _ in range(5):
            await transport.get_records("iterator", 7)
        assert (len(server.requests), len(server.peers)) == (5, 1)

    meet(caller, use, good)


# --- credentials -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_credentials_that_were_rotated_are_looked_for_again_once(caller: Caller, code: str) -> None:
    async def use(transport: Transport, server: Server) -> None:
        assert bytes((await transport.get_records("iterator", 7)).body) == BODY
        assert [key_of(request) for request in server.requests] == ["AKID1", "AKID2"]
        tokens = [request.headers["x-amz-security-token"] for request in server.requests]
        assert tokens == ["token1", "token2"]

    meet(caller, use, refusal(code), good)


def test_credentials_that_are_refused_twice_are_an_error(caller: Caller) -> None:
    async def use(transport: Transport, server: Server) -> None:
        with pytest.raises(AwsError) as raised:
            await transport.get_records("iterator", 7)
        assert isinstance(raised.value.error(), CredentialsError)
        assert len(server.requests) == 2

    meet(caller, use, refusal("ExpiredTokenException"))


# --- errors of the service ---------------------------------------------------------------------------


def test_a_refusal_has_code_text_and_status(caller: Caller) -> None:
    async def use(transport: Transport, server: Server) -> None:
        with pytest.raises(AwsError) as raised:
            await transport.get_records("iterator", 7)
        refused = raised.value
        assert (refused.code, refused.text, refused.status) == (
            "TrimmedDataAccessException",
            "because",
            400,
        )
        assert len(server.requests) == 1

    meet(caller, use, refusal("TrimmedDataAccessException"))


def test_a_refusal_that_is_no_json_is_one_all_the_same(caller: Caller) -> None:
    async def use(transport: Transport, server: Server) -> None:
        with pytest.raises(AwsError) as raised:
            await transport.get_records("iterator", 7)
        assert (raised.value.status, raised.value.passing) == (503, True)
        with pytest.raises(AwsError) as raised:
            await transport.get_records("iterator", 7)
        assert raised.value.code == "SlowDown"

    named = {"x-amzn-errortype": "SlowDown:http://internal.amazon.com/"}
    meet(caller, use, answered(b"<html>", 503), answered(b"[]", 400, **named))


# --- bodies ------------------------------------------------------------------------------------------


def test_a_body_that_is_packed_although_nobody_asked_is_unpacked(caller: Caller) -> None:
    packed = gzip.compress(BODY)
    read(caller, answered(packed, Content_Encoding="gzip"))
    checksum = str(zlib.crc32(BODY))
    read(caller, answered(packed, Content_Encoding="gzip", x_amz_crc32=checksum))


def test_a_body_without_a_length_ends_with_its_connection(caller: Caller) -> None:
    read(caller, Bytes(b"HTTP/1.0 200 OK\r\n\r\n" + BODY, closes=True))


def test_a_body_without_a_checksum_is_not_said_to_have_one(caller: Caller) -> None:
    async def use(transport: Transport, server: Server) -> None:
        assert not (await transport.get_records("iterator", 7)).has_checksum

    meet(caller, use, answered(Date=DATE))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answered(x_amz_crc32="1"), "its checksum is wrong"),
        (answered(BODY, 204), "status 204"),
        (answered(b"\xff"), "not UTF-8"),
        (answered(b"xx", Content_Encoding="gzip"), "no gzip"),
        (Bytes(answered().data[:-3], closes=True), "damaged"),
    ],
    ids=["checksum", "status", "not text", "not packed", "cut body"],
)  # fmt: skip
def test_a_body_that_is_not_what_was_sent_is_damaged(
    caller: Caller, answer: Bytes, why: str
) -> None:
    fail(caller, DamagedReplyError, why, answer)


def test_a_body_without_end_is_given_up(caller: Caller) -> None:
    many = b"x" * (TRAITS.reply_bytes + 1)
    fail(
        caller, ReplyTooLargeError, "16 MiB", Bytes(b"HTTP/1.1 200 OK\r\n\r\n" + many, closes=True)
    )


# --- connections -------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"<html>"], ids=["nothing", "no HTTP"])
def test_no_answer_names_the_endpoint(caller: Caller, data: bytes) -> None:
    fail(caller, EndpointUnreachableError, "127", Bytes(data, closes=True))


def test_a_redirect_is_not_followed(caller: Caller) -> None:
    async def use(transport: Transport, server: Server) -> None:
        with pytest.raises(AwsError) as raised:
            await transport.get_records("iterator", 7)
        assert raised.value.status == 307
        assert len(server.requests) == 1

    meet(caller, use, answered(b"", 307, Location="http://127.0.0.1:1/"))


def test_nobody_listening_is_an_error_with_the_host(caller: Caller) -> None:
    async def use() -> None:
        transport = caller.transport("http://127.0.0.1:1/")
        try:
            with pytest.raises(EndpointUnreachableError, match=r"127\.0\.0\.1:1") as raised:
                await transport.get_records("iterator", 7)
            assert "endpoint_url" in raised.value.hint
        finally:
            await transport.close()

    asyncio.run(use())


def test_an_endpoint_that_falls_silent_is_an_error_with_the_time_it_was_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "READ_TIMEOUT_SECONDS", 0.1)
    fail(Caller("fast"), EndpointUnreachableError, "nothing came for 0.1 s", Bytes(b""))


# --- certificates ------------------------------------------------------------------------------------


def _certificate(folder: Path) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not on PATH; it makes the certificate of this test")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
            "-keyout", key, "-out", certificate, "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return key, certificate


def test_a_certificate_of_ones_own_is_trusted_where_it_is_named(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = _certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    body = b'{"Records":[' + b" " * 2**20 + b"]}"

    async def trusted(transport: Transport, server: Server) -> None:
        for _ in range(3):
            assert bytes((await transport.get_records("iterator", 7)).body) == body
        assert len(server.peers) == 1

    async def stranger(transport: Transport, server: Server) -> None:
        with pytest.raises(EndpointUnreachableError, match=r"certificate|SSL"):
            await transport.get_records("iterator", 7)
        assert server.requests == []

    default = ssl.get_default_verify_paths().cafile or ""
    meet(
        caller,
        stranger,
        good,
        tls=tls,
        certificates=default or "/etc/ssl/certs/ca-certificates.crt",
    )
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    meet(caller, trusted, answered(body), tls=tls, certificates=str(certificate))


def test_a_ca_file_that_is_none_is_refused(tmp_path: Path) -> None:
    endpoint = Endpoint("https://x/", SCOPE, str(tmp_path / "none.pem"), behind_proxy=False)
    with pytest.raises(OSError, match="No such file"):
        tls_for(endpoint)
    assert tls_for(Endpoint("http://x/", SCOPE, "none", behind_proxy=False)) is None


def test_the_host_header_leaves_out_the_port_of_the_scheme() -> None:
    hosts = {
        "https://a.b/": "a.b",
        "https://a.b:443/": "a.b",
        "http://a.b:8000/": "a.b:8000",
        "http://[::1]:8000/": "[::1]:8000",
    }
    found = {url: Endpoint(url, SCOPE, "", behind_proxy=False).host for url in hosts}
    assert found == hosts
