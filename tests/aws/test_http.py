"""Our HTTP client: bytes on a socket become an answer or an error; unsafe connections are not used again."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from aws.http_server import BODY, Bytes, Request, Server, answered, good
from sources.fakes import inline

from triggerkit.aws import http
from triggerkit.aws.http import Answer, CutShortError, HttpClient, HttpError
from triggerkit.aws.limits import OversizedBody
from triggerkit.runtime.pools import ThreadRunner

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
H = b"HTTP/1.1 200 OK\r\n"
BIG = bytes(range(256)) * 4000
LIMIT_BYTES = 2 * 2**20


def chunked(body: bytes, size_bytes: int = 8192) -> bytes:
    pieces = (body[start : start + size_bytes] for start in range(0, len(body), size_bytes))
    chunks = b"".join(b"%x;name=value\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return H + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n"


def with_length(body: bytes, told: int | None = None, head: bytes = H) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body) if told is None else told, body)


def meet(
    use: Callable[[HttpClient, Server], Coroutine[Any, Any, None]],
    *answers: Bytes | Callable[[Request], Bytes],
    call_seconds: float = 20.0,
) -> None:
    async def bounded() -> None:
        scripts = [one if callable(one) else (lambda _, one=one: one) for one in answers]
        async with Server(*scripts).running() as server:
            client = HttpClient(server.url, None, inline, LIMIT_BYTES, call_seconds)
            try:
                await asyncio.wait_for(use(client, server), 30)
            finally:
                await client.close()

    asyncio.run(bounded())


async def event_of(condition: Callable[[], bool]) -> None:
    """Let the loop run until the other side of a socket has noticed."""
    while not condition():
        await asyncio.sleep(0)


@contextmanager
def full_listener() -> Iterator[tuple[str, int]]:
    """An address that neither accepts nor refuses a connection: its queue is full."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()


WHOLE = {
    "a length": (with_length(b"hi"), b"hi"),
    "no body": (with_length(b""), b""),
    "1 MB": (with_length(BIG), BIG),
    "chunks": (chunked(b"hello you", 5), b"hello you"),
    "1 MB of chunks": (chunked(BIG), BIG),
    "100 first": (b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + with_length(b"hi"), b"hi"),
    "no content": (b"HTTP/1.1 204 N\r\n\r\n", b""),
}


@pytest.mark.parametrize("piece_bytes", [0, 7919], ids=["at once", "in odd pieces"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer_is_read_and_its_connection_serves_the_next(
    name: str, piece_bytes: int
) -> None:
    data, body = WHOLE[name]

    async def use(client: HttpClient, server: Server) -> None:
        for _ in range(3):
            assert bytes((await client.post(REQUEST)).body) == body
        assert len(server.peers) == 1

    meet(use, Bytes(data, piece_bytes))


@pytest.mark.parametrize("name", sorted(set(WHOLE) - {"1 MB", "1 MB of chunks"}))
def test_an_answer_that_comes_byte_by_byte_is_the_same(name: str) -> None:
    data, body = WHOLE[name]

    async def use(client: HttpClient, server: Server) -> None:
        for _ in range(2):
            assert bytes((await client.post(REQUEST)).body) == body
        assert len(server.peers) == 1

    meet(use, Bytes(data, 1))


@pytest.mark.parametrize(
    "data",
    [
        with_length(b"hi", head=H + b"Connection: close\r\n"),
        with_length(b"hi", head=b"HTTP/1.0 200 OK\r\n"),
        with_length(b"hiZZ", told=2),
        with_length(b"hi") + with_length(b"no"),
        b"HTTP/1.0 200 OK\r\n\r\nhi",
        H + b"\r\nhi",
    ],
    ids=["close", "1.0", "bytes behind it", "two answers", "1.0 to the end", "1.1 to the end"],
)
def test_an_answer_behind_which_nothing_can_be_trusted_ends_its_connection(data: bytes) -> None:
    async def use(client: HttpClient, server: Server) -> None:
        for _ in range(2):
            answer = await client.post(REQUEST)
            assert (answer.status, bytes(answer.body)) == (200, b"hi")
        assert len(server.peers) == 2

    meet(use, Bytes(data, closes=data.endswith(b"\r\n\r\nhi") and b"Length" not in data))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (with_length(b"hi", told=9), CutShortError),
        (H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe", CutShortError),
        (H + b"Content-Le", HttpError),
        (b"", HttpError),
        (b"<html>", HttpError),
        (b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nabc", HttpError),
        (H + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", HttpError),
        (H + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HttpError),
        (H + b"X: " + b"a" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n", HttpError),
        (with_length(b"hi", told=99_999_999), OversizedBody),
        (H + b"\r\n" + b"x" * (LIMIT_BYTES + 1), OversizedBody),
        (chunked(b"x" * (LIMIT_BYTES + 1)), OversizedBody),
    ],
    ids=[
        "cut body", "cut chunk", "cut head", "nothing", "html", "upgrade", "two lengths",
        "length and chunks", "long head", "huge length", "large to the end", "large chunks",
    ],
)  # fmt: skip
def test_what_is_no_whole_answer_is_an_error_and_is_asked_once(
    data: bytes, error: type[Exception]
) -> None:
    async def use(client: HttpClient, server: Server) -> None:
        with pytest.raises(error) as raised:
            await client.post(REQUEST)
        assert type(raised.value) is error
        assert len(server.requests) == 1
        assert bytes((await client.post(REQUEST)).body) == BODY
        assert len(server.peers) == 2

    meet(use, Bytes(data, closes=True), good)


def test_a_connection_that_the_server_closed_meanwhile_is_replaced() -> None:
    async def use(client: HttpClient, server: Server) -> None:
        await client.post(REQUEST)
        server.hang_up()
        assert (await client.post(REQUEST)).status == 200
        assert len(server.peers) == 2

    meet(use, good)


def test_a_request_that_a_kept_connection_swallowed_is_sent_once_more_and_no_more() -> None:
    async def use(client: HttpClient, server: Server) -> None:
        await client.post(REQUEST)
        with pytest.raises(HttpError):
            await client.post(REQUEST)
        assert len(server.requests) == 3

    meet(use, good, Bytes(b"", closes=True))


def test_a_request_whose_answer_has_begun_is_not_sent_again() -> None:
    async def use(client: HttpClient, server: Server) -> None:
        await client.post(REQUEST)
        with pytest.raises(HttpError):
            await client.post(REQUEST)
        assert len(server.requests) == 2

    meet(use, good, Bytes(H + b"Content-", closes=True), good)


def test_bytes_that_nobody_asked_for_are_not_taken_for_an_answer() -> None:
    async def use(client: HttpClient, server: Server) -> None:
        await client.post(REQUEST)
        server.send_unasked(with_length(b"unasked"))
        await event_of(lambda: server.connections == 0)
        assert bytes((await client.post(REQUEST)).body) == BODY
        assert len(server.peers) == 2

    meet(use, good)


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "KEEP_ALIVE_SECONDS", 0.0)

    async def use(client: HttpClient, server: Server) -> None:
        for _ in range(2):
            await client.post(REQUEST)
        assert len(server.peers) == 2

    meet(use, good)


def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    async def use(client: HttpClient, server: Server) -> None:
        for _ in range(2):
            await asyncio.gather(*[client.post(REQUEST) for _ in range(20)])
        assert len(server.requests) == 40
        assert len(server.peers) == 20

    meet(use, good)


def test_a_request_that_is_cancelled_takes_its_connection_with_it() -> None:
    async def use(client: HttpClient, server: Server) -> None:
        asking = asyncio.create_task(client.post(REQUEST))
        await event_of(lambda: bool(server.requests))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert bytes((await client.post(REQUEST)).body) == BODY
        assert len(server.peers) == 2

    meet(use, Bytes(with_length(b"hi", told=9)), good)


@pytest.mark.parametrize("data", [b"", H, with_length(b"hi", told=9)])
@pytest.mark.parametrize(
    ("call_seconds", "read_seconds", "limit"),
    [(0.1, 20.0, "no whole answer within 0.1 s"), (20.0, 0.1, "nothing came for 0.1 s")],
)
def test_an_answer_that_stops_is_given_up_and_the_error_names_the_limit(
    data: bytes,
    call_seconds: float,
    read_seconds: float,
    limit: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "READ_TIMEOUT_SECONDS", read_seconds)

    async def use(client: HttpClient, server: Server) -> None:
        with pytest.raises(TimeoutError, match=limit):
            await client.post(REQUEST)
        assert len(server.requests) == 1
        assert (await client.post(REQUEST)).status == 200

    meet(use, Bytes(data), good, call_seconds=call_seconds)


def test_a_client_that_is_closed_leaves_nobody_waiting() -> None:
    async def use(client: HttpClient, server: Server) -> None:
        asking = asyncio.create_task(client.post(REQUEST))
        await event_of(lambda: bool(server.requests))
        await client.close()
        with pytest.raises(HttpError):
            await asking

    meet(use, Bytes(b""))


def test_names_of_headers_are_in_lower_case_and_a_status_is_whatever_came() -> None:
    async def use(client: HttpClient, server: Server) -> None:
        answer = await client.post(REQUEST)
        assert answer == Answer(
            503, {"content-length": "2", "x-amzn-errortype": "Busy"}, bytearray(b"no")
        )

    meet(use, answered(b"no", 503, **{"X-Amzn-ErrorType": "Busy"}))


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (H + b"Content-Length: 1900000\r\n\r\n", b"x" * 1_800_000),
        (H + b"Transfer-Encoding: chunked\r\n\r\n200000\r\n", b"x" * 1_800_000),
    ],
    ids=["a length", "chunks"],
)
def test_a_body_that_was_cut_short_is_freed_at_once(head: bytes, body: bytes) -> None:
    async def use(client: HttpClient, server: Server) -> None:
        await client.post(REQUEST)
        gc.disable()
        tracemalloc.start()
        try:
            with suppress(CutShortError):
                await client.post(REQUEST)
            await event_of(lambda: server.connections == 0)
            held_bytes, most_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
        assert most_bytes > len(body)
        assert held_bytes < len(body) / 2

    meet(use, good, Bytes(head + body, closes=True))


def test_a_lookup_that_hangs_holds_up_no_exit_and_only_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end, lookups = threading.Event(), list[str]()

    def hang(host: str, *_: object, **__: object) -> list[Any]:
        lookups.append(host)
        may_end.wait(20)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    pool = ThreadRunner("lookups", 8)

    async def use() -> None:
        client = HttpClient("http://orders.test/", None, pool, LIMIT_BYTES, 20.0)
        asking = [asyncio.create_task(client.post(REQUEST)) for _ in range(3)]
        await event_of(lambda: bool(lookups))
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        again = asyncio.create_task(client.post(REQUEST))
        await asyncio.sleep(0)
        again.cancel()
        await client.close()

    asyncio.run(use())
    assert pool.busy, "asyncio.run waited for the lookup"
    may_end.set()
    pool.close()
    assert lookups == ["orders.test"]


def test_a_host_whose_first_address_does_not_answer_is_reached_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use(client: HttpClient, server: Server) -> None:
        with full_listener() as silent:
            address = socket.getaddrinfo(
                "127.0.0.1", urlsplit(server.url).port, type=socket.SOCK_STREAM
            )[0]
            found = [(*address[:4], silent), address]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            assert bytes((await client.post(REQUEST)).body) == BODY

    meet(use, good)


def test_a_host_that_does_not_let_connect_is_an_error_that_names_that_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "CONNECT_TIMEOUT_SECONDS", 0.1)

    async def use() -> None:
        with full_listener() as silent:
            url = f"http://127.0.0.1:{silent[1]}/"
            client = HttpClient(url, None, inline, LIMIT_BYTES, 20.0)
            with pytest.raises(HttpError, match=r"no connection within 0\.1 s"):
                await client.post(REQUEST)

    asyncio.run(use())


def test_addresses_that_all_refuse_are_named_in_the_error() -> None:
    async def use() -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            client = HttpClient(f"http://127.0.0.1:{port}/", None, inline, LIMIT_BYTES, 20.0)
            with pytest.raises(HttpError, match=f"127.0.0.1.*{port}"):
                await client.post(REQUEST)

    asyncio.run(use())
