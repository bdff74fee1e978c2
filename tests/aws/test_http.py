"""GetRecords over our own HTTP: what is sent, and what becomes of the answers."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import zlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from sources.fakes import MovableClock, inline

from triggerkit.aws.credentials import KeyRing, RenewableCredentials
from triggerkit.aws.errors import AwsError
from triggerkit.aws.http import FastTransport, load_fast_transport
from triggerkit.aws.signing import Keys, Scope, signed
from triggerkit.aws.transport import Endpoint
from triggerkit.errors import (
    CredentialsError,
    DamagedReplyError,
    EndpointUnreachableError,
)

BODY = b'{"Records":[],"NextShardIterator":"next"}'
DATE = "Tue, 25 Nov 2025 15:47:35 GMT"
DATE_SECONDS = 1764085655.0
SCOPE = Scope("eu-west-1", "dynamodb")


class Frozen(NamedTuple):
    access_key: str
    secret_key: str
    token: str | None


class Rotating:
    """Credentials that are others each time they are found."""

    method = "custom-process"

    def __init__(self) -> None:
        self.found = 0

    def find(self) -> Any:
        self.found += 1
        return self

    def get_frozen_credentials(self) -> Frozen:
        return Frozen(f"AKID{self.found}", "secret", f"token{self.found}")


Answer = Callable[[web.Request, bytes], web.StreamResponse]


def good(request: web.Request, body: bytes) -> web.Response:
    checksum = str(zlib.crc32(BODY))
    return web.Response(body=BODY, headers={"Date": DATE, "x-amz-crc32": checksum})


def refusal(code: str, status: int = 400) -> web.Response:
    fault = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "because"}
    return web.Response(status=status, body=json.dumps(fault).encode())


class Exchange:
    """A server that gives one answer after the other, and a transport that talks to it."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[web.Request, bytes]] = []
        self.peers: set[Any] = set()
        self.clock = MovableClock()
        self.credentials = Rotating()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request, body))
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        return self.answers.pop(0)(request, body)

    def transport(self, url: str, tls: ssl.SSLContext | None = None) -> FastTransport:
        endpoint = Endpoint(url, SCOPE, certificates="", behind_proxy=False)
        ring = KeyRing(inline, RenewableCredentials(self.credentials.find))
        return FastTransport(endpoint, tls, ring, self.clock, "stream s")


def exchange(
    use: Callable[[FastTransport, Exchange], Coroutine[Any, Any, None]],
    *answers: Answer,
    server_tls: ssl.SSLContext | None = None,
    client_tls: ssl.SSLContext | None = None,
) -> None:
    async def bounded() -> None:
        meeting = Exchange(*answers)
        app = web.Application()
        app.router.add_post("/", meeting.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls)
        await site.start()
        port = runner.addresses[0][1]
        scheme = "https" if server_tls else "http"
        transport = meeting.transport(f"{scheme}://127.0.0.1:{port}/", client_tls)
        try:
            await asyncio.wait_for(use(transport, meeting), 20)
        finally:
            await transport.close()
            await runner.cleanup()

    asyncio.run(bounded())


def test_a_request_is_signed_at_service_time_and_asks_for_plain_bytes() -> None:
    async def use(transport: FastTransport, meeting: Exchange) -> None:
        meeting.clock.added_seconds = 3600.0
        reply = await transport.get_records("iterator", 7)
        assert (reply.body, reply.service_seconds) == (BODY, DATE_SECONDS)
        ((request, body),) = meeting.requests
        assert json.loads(body) == {"ShardIterator": "iterator", "Limit": 7}
        assert request.headers["x-amz-target"] == "DynamoDBStreams_20120810.GetRecords"
        assert request.headers["accept-encoding"] == "identity"
        names = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        sent = {name: request.headers[name] for name in names.split(";")}
        del sent["x-amz-date"], sent["x-amz-security-token"]
        at_seconds = meeting.clock.now().service_seconds
        ours = [
            signed(sent, body, Keys("AKID1", "secret", "token1"), SCOPE, at_seconds - late)
            for late in range(5)
        ]
        assert request.headers["authorization"] in [headers["authorization"] for headers in ours]
        assert meeting.clock.observed == [DATE_SECONDS]

    exchange(use, good)


def test_one_connection_serves_many_requests() -> None:
    async def use(transport: FastTransport, meeting: Exchange) -> None:
        for _ in range(5):
            await transport.get_records("iterator", 7)
        assert len(meeting.requests) == 5
        assert len(meeting.peers) == 1

    exchange(use, *[good] * 5)


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_credentials_that_were_rotated_are_found_anew_once(code: str) -> None:
    async def use(transport: FastTransport, meeting: Exchange) -> None:
        assert (await transport.get_records("iterator", 7)).body == BODY
        users = [
            r.headers["authorization"].split("=")[1].split("/")[0] for r, _ in meeting.requests
        ]
        assert users == ["AKID1", "AKID2"]
        tokens = [request.headers["x-amz-security-token"] for request, _ in meeting.requests]
        assert tokens == ["token1", "token2"]

    exchange(use, lambda *_: refusal(code), good)


def test_credentials_that_are_refused_twice_are_told() -> None:
    async def use(transport: FastTransport, meeting: Exchange) -> None:
        with pytest.raises(AwsError) as told:
            await transport.get_records("iterator", 7)
        assert isinstance(told.value.error(), CredentialsError)
        assert len(meeting.requests) == 2

    exchange(use, *[lambda *_: refusal("ExpiredTokenException")] * 2)


def test_a_refusal_carries_code_text_and_status() -> None:
    async def use(transport: FastTransport, meeting: Exchange) -> None:
        with pytest.raises(AwsError) as told:
            await transport.get_records("iterator", 7)
        refused = told.value
        assert (refused.code, refused.text, refused.status) == (
            "TrimmedDataAccessException",
            "because",
            400,
        )

    exchange(use, lambda *_: refusal("TrimmedDataAccessException"))


def test_a_refusal_that_is_no_json_still_is_one() -> None:
    async def use(transport: FastTransport, meeting: Exchange) -> None:
        with pytest.raises(AwsError) as told:
            await transport.get_records("iterator", 7)
        assert told.value.status == 503
        assert told.value.passing
        with pytest.raises(AwsError) as told:
            await transport.get_records("iterator", 7)
        assert told.value.code == "SlowDown"

    named = {"x-amzn-errortype": "SlowDown:http://internal.amazon.com/"}
    exchange(
        use,
        lambda *_: web.Response(status=503, body=b"<html>"),
        lambda *_: web.Response(status=400, body=b"[]", headers=named),
    )


def test_a_checksum_that_does_not_fit_is_a_damaged_reply() -> None:
    async def use(transport: FastTransport, meeting: Exchange) -> None:
        with pytest.raises(DamagedReplyError, match="stream s"):
            await transport.get_records("iterator", 7)

    exchange(use, lambda *_: web.Response(body=BODY, headers={"x-amz-crc32": "1"}))


def test_nobody_listening_is_told_with_the_host() -> None:
    async def use(transport: FastTransport, meeting: Exchange) -> None:
        nowhere = meeting.transport("http://127.0.0.1:1/")
        try:
            with pytest.raises(EndpointUnreachableError, match=r"127\.0\.0\.1:1") as told:
                await nowhere.get_records("iterator", 7)
            assert "AWS_ENDPOINT_URL" in told.value.hint
        finally:
            await nowhere.close()

    exchange(use)


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


def test_a_certificate_of_ones_own_is_trusted_where_it_is_named(tmp_path: Path) -> None:
    key, certificate = _certificate(tmp_path)
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_tls.load_cert_chain(certificate, key)

    async def trusted(transport: FastTransport, meeting: Exchange) -> None:
        assert (await transport.get_records("iterator", 7)).body == BODY

    async def stranger(transport: FastTransport, meeting: Exchange) -> None:
        with pytest.raises(EndpointUnreachableError, match="certificate"):
            await transport.get_records("iterator", 7)

    endpoint = Endpoint("https://127.0.0.1/", SCOPE, str(certificate), behind_proxy=False)
    knows = load_fast_transport(endpoint)
    exchange(trusted, good, server_tls=server_tls, client_tls=knows)
    exchange(stranger, good, server_tls=server_tls, client_tls=ssl.create_default_context())


def test_a_ca_file_that_is_none_is_refused(tmp_path: Path) -> None:
    endpoint = Endpoint("https://x/", SCOPE, str(tmp_path / "none.pem"), behind_proxy=False)
    with pytest.raises(OSError, match="No such file"):
        load_fast_transport(endpoint)
    assert load_fast_transport(Endpoint("http://x/", SCOPE, "none", behind_proxy=False)) is None


def test_the_host_header_leaves_out_the_port_of_the_scheme() -> None:
    hosts = {
        "https://a.b/": "a.b",
        "https://a.b:443/": "a.b",
        "http://a.b:8000/": "a.b:8000",
        "http://[::1]:8000/": "[::1]:8000",
    }
    found = {url: Endpoint(url, SCOPE, "", behind_proxy=False).host for url in hosts}
    assert found == hosts
