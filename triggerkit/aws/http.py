"""A small HTTP/1.1 client for `POST /` to one endpoint, on asyncio and httptools.

The parser reads heads and chunks. A body whose length is announced is received into a buffer of that size,
without a copy and without the parser: a page of 1 MB costs a third of what a stream of pieces costs.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.staggered import staggered_race
from functools import partial
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

import httptools

from triggerkit.aws.clients import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS
from triggerkit.aws.limits import Body, OversizedBody
from triggerkit.ports import Runner

KEEP_ALIVE_SECONDS = 30.0
"""How long an idle connection is kept. AWS closes it after about a minute, without notice."""
HEAD_BYTES = 64 * 2**10
"""The most that the head of an answer may have; llhttp has no limit of its own."""
_SCRATCH_BYTES = 64 * 2**10
_NEXT_ADDRESS_SECONDS = 0.25
"""How long one address of a host may take before the next is tried beside it."""
_Address: TypeAlias = tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]


class HttpError(OSError):
    """No answer, or none that is HTTP."""


class CutShortError(HttpError):
    """The connection ended inside the body."""


class Answer(NamedTuple):
    """Status, headers with lower-case names, and the body as it was sent."""

    status: int
    headers: dict[str, str]
    body: Body


class HttpClient:
    """Keep-alive connections to one endpoint, as many as there are requests at a time. For one event loop.

    `limit_bytes` is the most that a body may have, `call_seconds` the longest that a request may take. Names are
    looked up in `run`: a lookup that hangs in the event loop's own threads would hold up the exit.
    """

    def __init__(
        self,
        url: str,
        tls: ssl.SSLContext | None,
        run: Runner,
        limit_bytes: int,
        call_seconds: float,
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (80 if tls is None else 443)
        self._tls = tls
        self._run = run
        self._lookup: asyncio.Future[list[_Address]] | None = None
        self._idle: dict[_Connection, None] = {}  # the one used last is at the end
        self._busy: set[_Connection] = set()
        self._closed = False
        self.limit_bytes = limit_bytes
        self.call_seconds = call_seconds
        self.scratch = memoryview(bytearray(_SCRATCH_BYTES))
        """What is received outside of announced bodies: one connection at a time, and it is read at once."""

    async def post(self, request: bytes) -> Answer:
        """Send a whole request and wait for its answer, however it says that it went.

        On a connection that was kept, the server may have closed it meanwhile: if nothing came back, the request is
        sent once more on a fresh one.

        Raises:
            HttpError, CutShortError, OversizedBody, OSError: no whole answer.
            TimeoutError: it took longer than `call_seconds`, or nothing came for `READ_TIMEOUT_SECONDS`; it says
                which.
        """
        loop = asyncio.get_running_loop()
        until_seconds = loop.time() + self.call_seconds
        connection = self._take(loop.time())
        if connection is not None:
            try:
                return await self._ask(connection, request, until_seconds)
            except OSError as error:
                if connection.has_received or isinstance(error, TimeoutError):
                    raise
        return await self._ask(await self._connect(until_seconds), request, until_seconds)

    async def close(self) -> None:
        """Close all connections; requests under way fail."""
        self._closed = True
        for connection in (*self._idle, *self._busy):
            connection.abort()

    async def _ask(self, connection: _Connection, request: bytes, until_seconds: float) -> Answer:
        self._busy.add(connection)
        try:
            return await connection.ask(request, until_seconds)
        except BaseException:
            connection.abort()  # the rest of an answer would be taken for the next one
            raise
        finally:
            self._busy.discard(connection)
            if not connection.is_closed:
                self._idle[connection] = None

    def _take(self, now_seconds: float) -> _Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if now_seconds - connection.used_at_seconds < KEEP_ALIVE_SECONDS:
                return connection
            connection.abort()
        return None

    async def _connect(self, until_seconds: float) -> _Connection:
        loop = asyncio.get_running_loop()
        seconds = min(until_seconds - loop.time(), CONNECT_TIMEOUT_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self, loop),
                    sock=await self._dial(),
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
        except TimeoutError as error:
            raise HttpError(f"no connection within {seconds:.3g} s") from error
        if self._closed:
            connection.abort()
            raise HttpError("the client is closed")
        return connection

    async def _dial(self) -> socket.socket:
        """A connection to the address that answers first."""
        attempts = [partial(_dialled, *address) for address in await self._addresses()]
        connection: socket.socket | None
        connection, _, errors = await staggered_race(attempts, _NEXT_ADDRESS_SECONDS)
        if connection is None:
            raise HttpError("; ".join(dict.fromkeys(str(error) for error in errors)))
        return connection

    async def _addresses(self) -> list[_Address]:
        """Look the host up. One lookup serves all who wait, so that one which hangs holds one thread."""
        if self._lookup is None or self._lookup.done():
            self._lookup = asyncio.ensure_future(self._run(self._look_up))
        return await asyncio.shield(self._lookup)

    def _look_up(self) -> list[_Address]:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]

    def forget(self, connection: _Connection) -> None:
        """The connection is closed."""
        self._idle.pop(connection, None)


async def _dialled(
    family: socket.AddressFamily, address: tuple[str | int | bytes, ...]
) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


class _Connection(asyncio.BufferedProtocol):
    """One connection: one request at a time, and its answer."""

    def __init__(self, client: HttpClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.is_closed = False
        self.used_at_seconds = 0.0
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(
            self
        )  # it never sees a body of announced length
        self.has_received = False
        self._head_bytes = 0
        self._has_head = False
        self._is_whole = False
        self._keeps_alive = False
        self._status = 0
        self._headers: dict[str, str] = {}
        self._length: int | None = None
        self._is_chunked = False
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._body: bytearray | None = None
        self._view: memoryview | None = None

    async def ask(self, request: bytes, until_seconds: float) -> Answer:
        """Send, and wait. See `HttpClient.post` for what it raises."""
        self._begin()
        if self._transport is None or self.is_closed:
            raise HttpError("the server has closed the connection")
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answer = answer
        self.used_at_seconds = self._loop.time()
        self._until_seconds = until_seconds
        self._watch()
        self._transport.write(request)
        return await answer

    def abort(self) -> None:
        """Close at once."""
        self.is_closed = True
        self._body = self._view = None  # the parser refers to this object: it lives for a while
        self._parts = []
        self._stop_watching()
        self._client.forget(self)
        if self._transport is not None:
            self._transport.abort()

    def _watch(self) -> None:
        """Fail when nothing comes for long, or the whole takes too long; one timer for both."""
        now_seconds = self._loop.time()
        silent_until_seconds = self.used_at_seconds + READ_TIMEOUT_SECONDS
        if now_seconds >= self._until_seconds:
            self._fail(TimeoutError(f"no whole answer within {self._client.call_seconds:g} s"))
        elif now_seconds >= silent_until_seconds:
            self._fail(TimeoutError(f"nothing came for {READ_TIMEOUT_SECONDS:g} s"))
        else:
            due_seconds = min(silent_until_seconds, self._until_seconds)
            self._timer = self._loop.call_at(due_seconds, self._watch)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- called by the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BufferedProtocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - a hint
        """See `asyncio.BufferedProtocol`."""
        return self._client.scratch if self._view is None else self._view[self._size_bytes :]

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        if self._answer is None:  # no request is open: these bytes answer nothing
            self.abort()
            return
        self.has_received = True
        self.used_at_seconds = self._loop.time()
        if self._body is not None:
            self._size_bytes += nbytes
            if self._size_bytes == len(self._body):
                self._finish(self._body)
            return
        try:
            self._parser.feed_data(self._client.scratch[:nbytes])
        except httptools.HttpParserUpgrade:
            self._fail(HttpError("the server speaks another protocol"))
            return
        except httptools.HttpParserError as error:
            if not self._is_whole:
                self._fail(_cause_of(error))
                return
            self._keeps_alive = False  # bytes behind a whole answer
        self._after_feeding(nbytes)

    def _after_feeding(self, nbytes: int) -> None:
        if self._is_whole:
            self._finish(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
        elif not self._has_head:
            self._head_bytes += nbytes
            if self._head_bytes > HEAD_BYTES:
                self._fail(HttpError("the head of the answer is too long"))
        elif self._length is not None:
            self._body = bytearray(self._length)
            self._body[: self._size_bytes] = b"".join(self._parts)
            self._view = memoryview(self._body)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BufferedProtocol`."""
        parts = self._parts
        self.abort()
        if not self._has_head:
            self._fail(HttpError(str(exc or "the server has closed the connection")))
        elif self._length is None and not self._is_chunked and exc is None:
            self._finish(b"".join(parts))  # a body of HTTP/1.0: it ends with the connection
        else:
            self._fail(CutShortError("the connection ended inside the body"))

    # --- called by the parser ---

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools.HttpResponseParser`."""
        if not self._is_whole:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """See `httptools.HttpResponseParser`."""
        if self._is_whole:
            return
        status = self._parser.get_status_code()
        if status < 200:  # such as 100 Continue: the answer comes behind it
            self._headers.clear()
            return
        self._has_head = True
        self._status = status
        self._keeps_alive = self._parser.should_keep_alive()  # later it always says no
        self._is_chunked = "transfer-encoding" in self._headers
        length = self._headers.get("content-length")
        if length is not None and not self._is_chunked:
            self._length = int(length)
            self._check_size(self._length)

    def on_body(self, part: bytes) -> None:
        """See `httptools.HttpResponseParser`."""
        if not self._is_whole:
            self._parts.append(part)
            self._size_bytes += len(part)
            self._check_size(self._size_bytes)

    def on_message_begin(self) -> None:
        """See `httptools.HttpResponseParser`."""
        if self._is_whole:
            self._keeps_alive = False  # a second answer to one request

    def on_message_complete(self) -> None:
        """See `httptools.HttpResponseParser`."""
        if self._has_head:
            self._is_whole = True

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._client.limit_bytes:
            raise OversizedBody(self._client.limit_bytes)

    # --- how a request ends ---

    def _finish(self, body: Body) -> None:
        answer, self._answer = self._answer, None
        self._body = self._view = None
        self._stop_watching()
        if not self._keeps_alive:
            self.abort()
        if answer is not None and not answer.done():
            answer.set_result(Answer(self._status, self._headers, body))

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        self.abort()
        if answer is not None and not answer.done():
            answer.set_exception(error)


def _cause_of(error: httptools.HttpParserError) -> Exception:
    """Why the parser stopped: one of our limits, or something that is no HTTP."""
    cause = error.__context__
    return cause if isinstance(cause, OversizedBody) else HttpError(f"it is no HTTP: {error}")
