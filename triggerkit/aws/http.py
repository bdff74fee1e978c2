"""GetRecords over aiohttp with our own signature; nothing in here blocks the event loop.

aiohttp is imported when a transport is made: its import costs about 0.15 s.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

from triggerkit.aws import limits
from triggerkit.aws.clients import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, service_time
from triggerkit.aws.credentials import KeyRing
from triggerkit.aws.errors import AwsError
from triggerkit.aws.intact import DamagedBody, checked_body, error_in
from triggerkit.aws.limits import (
    GET_RECORDS_BYTES,
    OversizedBody,
    too_large,
    too_slow,
)
from triggerkit.aws.signing import Keys, signed
from triggerkit.aws.transport import GET_RECORDS, Endpoint, Reply, damaged
from triggerkit.errors import EndpointUnreachableError
from triggerkit.ports import Clock

if TYPE_CHECKING:
    import aiohttp

KEEP_ALIVE_SECONDS = 30.0
READ_BUFFER_BYTES = 2**20


def load_fast_transport(endpoint: Endpoint) -> ssl.SSLContext | None:
    """Do what would hold the loop for long: the import and, for https, reading the CA file. Blocks."""
    import aiohttp  # noqa: F401 (imported for the one who comes next)

    if not endpoint.url.startswith("https:"):
        return None
    return ssl.create_default_context(cafile=endpoint.certificates)


class FastTransport:
    """One keep-alive session to one endpoint. Signs with service time, so a skewed host clock is no fault."""

    def __init__(
        self,
        endpoint: Endpoint,
        tls: ssl.SSLContext | None,
        key_ring: KeyRing,
        clock: Clock,
        thing: str,
    ) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._key_ring = key_ring
        self._clock = clock
        self._thing = thing
        self._session: aiohttp.ClientSession | None = None
        self._headers = {
            "content-type": "application/x-amz-json-1.0",
            "host": endpoint.host,
            "x-amz-target": "DynamoDBStreams_20120810.GetRecords",
        }

    async def get_records(self, iterator: str, limit: int) -> Reply:
        """See `Transport`. Credentials that expired or were rotated are found anew once."""
        body = json.dumps({"ShardIterator": iterator, "Limit": limit}).encode()
        keys = await self._key_ring.keys()
        try:
            return await self._post(body, keys)
        except AwsError as refusal:
            if not refusal.about_credentials:
                raise
            if not await self._key_ring.renew(keys, refusal.code):
                self._key_ring.explain(refusal, renewed=False)
                raise
        try:
            return await self._post(body, await self._key_ring.keys())
        except AwsError as refusal:
            self._key_ring.explain(refusal, renewed=True)
            raise

    async def close(self) -> None:
        """Close connections and end the look for credentials."""
        await self._key_ring.close()
        if self._session is not None:
            await self._session.close()

    async def _post(self, body: bytes, keys: Keys) -> Reply:
        import aiohttp

        session = self._open_session()
        at_seconds = self._clock.now().service_seconds
        headers = signed(self._headers, body, keys, self._endpoint.scope, at_seconds)
        try:
            async with (
                asyncio.timeout(limits.CALL_SECONDS),
                session.post(
                    self._endpoint.url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                answer = await self._read(response)
        except aiohttp.ClientPayloadError as error:
            raise damaged(self._thing, "it was cut short") from error
        except TimeoutError as error:
            raise too_slow(GET_RECORDS, self._thing) from error
        except OversizedBody as error:
            raise too_large(GET_RECORDS, self._thing, error) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._unreachable(error) from error
        service_seconds = service_time(response.headers.get("date", ""))
        if service_seconds:
            self._clock.observe_service_time(service_seconds)
        if response.status >= 300:
            raise self._refusal(response.status, response.headers, answer)
        try:
            whole = checked_body(answer, response.status, response.headers, GET_RECORDS_BYTES)
        except DamagedBody as error:
            raise damaged(self._thing, str(error)) from error
        except OversizedBody as error:
            raise too_large(GET_RECORDS, self._thing, error) from error
        return Reply(whole, service_seconds)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts: list[bytes] = []
        size_bytes = 0
        async for chunk in response.content.iter_any():
            parts.append(chunk)
            size_bytes += len(chunk)
            if size_bytes > GET_RECORDS_BYTES:
                response.close()  # the rest of it would be taken for the next reply
                raise OversizedBody(GET_RECORDS_BYTES)
        return b"".join(parts)

    def _open_session(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, ssl=self._tls or True, keepalive_timeout=KEEP_ALIVE_SECONDS
                ),
                timeout=aiohttp.ClientTimeout(
                    sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=READ_TIMEOUT_SECONDS
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Unzipping costs more than a page's way over the network inside a Region.
                headers={"Accept-Encoding": "identity", "User-Agent": "triggerkit"},
                auto_decompress=False,  # it has no limit
                read_bufsize=READ_BUFFER_BYTES,
            )
        return self._session

    def _unreachable(self, error: Exception) -> EndpointUnreachableError:
        why = str(error) or type(error).__name__
        return EndpointUnreachableError(
            f"{GET_RECORDS} on {self._thing}: no answer from {self._endpoint.url}: {why}",
            hint="check endpoint_url, AWS_ENDPOINT_URL_DYNAMODB_STREAMS and that the server runs; "
            "behind a proxy or firewall this host must be allowed",
        )

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> AwsError:
        code, text = error_in(body, headers.get("x-amzn-errortype", ""))
        return AwsError(code, text, status, action=GET_RECORDS, thing=self._thing)
