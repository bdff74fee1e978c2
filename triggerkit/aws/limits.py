"""What one call may cost: a total time, and a size of its reply.

botocore limits each read of a socket, not the whole: an endpoint that sends a byte every three seconds holds
a call for ever, and one that never stops sending fills the memory. `within` ends a call after a total time
and shuts the connections that it uses, so that the thread it runs on comes back. `limit_replies` gives a
boto3 client a limit of size; botocore follows no redirects by itself.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from triggerkit.errors import EndpointUnreachableError, ReplyTooLargeError
from triggerkit.ports import Runner

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse

T = TypeVar("T")
Body: TypeAlias = bytes | bytearray
"""What a service sent."""

CALL_SECONDS = 20.0
"""The longest that one call of the control plane may take, all of botocore's attempts included."""
REPLY_BYTES = 64 * 2**20
"""The most that its reply may have: a listing, a table. What a read of records may cost, the source says."""
_CHUNK_BYTES = 2**16
_ZIPPED = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 47  # zlib's own detection of the two formats


class OversizedBody(Exception):  # noqa: N818 (a finding; the caller knows what the reply was about)
    """A body is larger than the limit, which `limit_bytes` says."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"it has more than {limit_bytes // 2**20} MiB")
        self.limit_bytes = limit_bytes


class BadEncoding(Exception):  # noqa: N818 (as above)
    """A body is not encoded as its header says."""


class _Shutter:
    """Shuts the connections of one call from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._shut = False

    def watch(self, connection: socket.socket) -> None:
        """This connection is used by the call from now on."""
        with self._lock:
            self._connections.append(connection)
            if self._shut:
                _shut(connection)

    def shut(self) -> None:
        """End what the call reads or writes, now and later."""
        with self._lock:
            self._shut = True
            for connection in self._connections:
                _shut(connection)

    def __enter__(self) -> None:
        _this_thread.shutter = self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _this_thread.shutter = None
        with self._lock:
            self._connections.clear()  # they serve other calls from here on


class _ThisThread(threading.local):
    shutter: _Shutter | None = None


_this_thread = _ThisThread()


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # closed already
        connection.shutdown(socket.SHUT_RDWR)


async def within(
    run: Runner, call: Callable[[], T], action: str, thing: str, seconds: float | None = None
) -> T:
    """What `call` returns. Its time begins when it runs: waiting for a thread does not count.

    `seconds` is how long it may take, `CALL_SECONDS` by default.

    Raises:
        EndpointUnreachableError: it took longer. Whatever `call` raises.
    """
    loop, own_thread = asyncio.get_running_loop(), threading.get_ident()
    shutter, limit_seconds = _Shutter(), CALL_SECONDS if seconds is None else seconds
    over = False

    def begin() -> None:
        if not over:
            limit.reschedule(loop.time() + limit_seconds)

    def watched() -> T:
        if threading.get_ident() != own_thread:
            loop.call_soon_threadsafe(begin)
        with shutter:
            return call()

    limit = asyncio.timeout(None)
    try:
        async with limit:
            return await run(watched)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise too_slow(action, thing, f"no whole answer within {limit_seconds:g} s") from error
    finally:
        over = True
        shutter.shut()  # also when nobody waits for the call any more


def too_slow(action: str, thing: str, why: str) -> EndpointUnreachableError:
    """The error for a call that was given up."""
    return EndpointUnreachableError(
        f"{action} on {thing}: {why}",
        hint="the endpoint, or a proxy before it, is too slow or hangs: look at both",
    )


def too_large(action: str, thing: str, why: OversizedBody) -> ReplyTooLargeError:
    """The error for a reply that was not read to its end."""
    return ReplyTooLargeError(
        f"{action} on {thing}: the reply is too large: {why}",
        hint="no such service sends that much: check endpoint_url and what listens there",
    )


def plain_body(body: Body, headers: Mapping[str, str], limit_bytes: int) -> Body:
    """A body without its `Content-Encoding`, which a server may use although it was not asked for.

    Raises:
        OversizedBody: it unpacks to more than `limit_bytes`. BadEncoding: it does not unpack.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return body
    if encoding not in _ZIPPED:
        raise BadEncoding(f"its encoding {encoding[:40]!r} is not known")
    unzip = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = unzip.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise BadEncoding(f"it is no {encoding}") from error
    if len(plain) > limit_bytes:
        raise OversizedBody(limit_bytes)
    if not unzip.eof:
        raise BadEncoding(f"its {encoding} is cut short")
    return plain


def limit_replies(client: Any, limit_bytes: int) -> None:
    """Let a boto3 client read at most so much of a reply, over connections that `within` can shut.

    botocore has no public place for its HTTP session. Where a later version keeps it elsewhere the client is
    left as it is, and the tests tell.
    """
    endpoint: Any = getattr(client, "_endpoint", None)
    session: Any = getattr(endpoint, "http_session", None)
    if isinstance(session, _LimitedSession):
        session.limit_bytes = limit_bytes
        return
    if not hasattr(session, "_pool_classes_by_scheme"):
        return
    session._pool_classes_by_scheme.update(_watched_pools())  # noqa: SLF001 (see above)
    endpoint.http_session = _LimitedSession(session, limit_bytes)


class _LimitedSession:
    """A botocore HTTP session that reads bodies itself."""

    def __init__(self, session: Any, limit_bytes: int) -> None:
        self._session = session
        self.limit_bytes = limit_bytes

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """Send, and read at most so many bytes.

        Raises:
            OversizedBody: there are more. HTTPClientError: as botocore's own.
        """
        from botocore.awsrequest import AWSResponse
        from botocore.exceptions import ConnectionClosedError, HTTPClientError, ReadTimeoutError
        from urllib3.exceptions import HTTPError, ProtocolError
        from urllib3.exceptions import ReadTimeoutError as ReadTimedOut

        request.stream_output = True  # it comes unread
        response: AWSResponse = self._session.send(request)
        raw: Any = response.raw
        try:
            body = _read(raw.stream(_CHUNK_BYTES), self.limit_bytes)
        except ReadTimedOut as error:
            raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
        except ProtocolError as error:
            raise ConnectionClosedError(
                error=error, request=request, endpoint_url=request.url
            ) from error
        except (HTTPError, OSError, ValueError) as error:
            raise HTTPClientError(error=error) from error
        except OversizedBody:
            raw.close()  # the rest of it would be taken for the next reply
            raise
        headers: Any = response.headers
        return AWSResponse(response.url, response.status_code, headers, _Read(body))

    def close(self) -> None:
        """Close connections."""
        self._session.close()


class _Read:
    """The raw body of a response that was read."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


def _read(chunks: Iterable[bytes], limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size_bytes = 0
    for chunk in chunks:
        parts.append(chunk)
        size_bytes += len(chunk)
        if size_bytes > limit_bytes:
            raise OversizedBody(limit_bytes)
    return b"".join(parts)


@cache
def _watched_pools() -> dict[str, type[Any]]:
    """Connection pools as botocore's, whose connections tell the present call's shutter of themselves."""
    from botocore.awsrequest import (
        AWSHTTPConnection,
        AWSHTTPConnectionPool,
        AWSHTTPSConnection,
        AWSHTTPSConnectionPool,
    )

    def watched(kind: type[Any]) -> type[Any]:
        class Watched(kind):  # type: ignore[misc]
            # A second handle on the socket: TLS takes the first one over.
            _handle: socket.socket | None = None

            def _new_conn(self) -> socket.socket:
                connection: socket.socket = super()._new_conn()
                self._forget_handle()
                self._handle = connection.dup()
                self._watch()
                return connection

            def request(self, *args: Any, **options: Any) -> Any:
                self._watch()
                return super().request(*args, **options)

            def close(self) -> None:
                super().close()
                self._forget_handle()

            def _watch(self) -> None:
                if _this_thread.shutter is not None and self._handle is not None:
                    _this_thread.shutter.watch(self._handle)

            def _forget_handle(self) -> None:
                handle, self._handle = self._handle, None
                if handle is not None:
                    handle.close()

        return Watched

    class WatchedHttpPool(AWSHTTPConnectionPool):
        ConnectionCls = watched(AWSHTTPConnection)

    class WatchedHttpsPool(AWSHTTPSConnectionPool):
        ConnectionCls = watched(AWSHTTPSConnection)

    return {"http": WatchedHttpPool, "https": WatchedHttpsPool}
