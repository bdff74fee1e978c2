"""The emulator over HTTP/1.1 on loopback.

Rule: only programs of this machine may speak to it: it binds loopback, the Host header must name
loopback, and a request with an Origin header (a web page's) is refused. One thread serves all
connections with a small protocol of its own, since the emulator answers in microseconds.
"""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Self

from triggerkit.emulator.barriers import LONGEST_HOLD_SECONDS, Barrier
from triggerkit.emulator.control import PREFIX as CONTROL_PREFIX
from triggerkit.emulator.control import Control
from triggerkit.emulator.engine import Emulator
from triggerkit.emulator.faults import Damage
from triggerkit.emulator.services import OWN, POST_ONLY, OtherServices, service_of, unserved
from triggerkit.emulator.wire import CONTENT_TYPE, Answer, Exchange

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024
_REASONS = {200: "OK", 400: "Bad Request", 500: "Internal Server Error"}
_LAST_ROUNDS = 5
_STOP_SECONDS = 5.0
_NO_OTHERS = "Point AWS_ENDPOINT_URL_<SERVICE> at something that serves it."


@dataclass(frozen=True, slots=True)
class Behind:
    """What answers behind one port: the emulator, its controls, and other services."""

    emulator: Emulator
    control: Control | None = None
    others: OtherServices | None = None

    def serves_elsewhere(self, service: str) -> bool:
        """Tell whether another service than the emulator takes such a request."""
        return self.others is not None and service in self.others.served

    def refusal(self, request: _Head) -> Answer | None:
        """Return the answer to a request that nothing behind the port is for."""
        if request.service in OWN or not request.service:
            return None
        advice = _NO_OTHERS if self.others is None else self.others.advice(request.service)
        return unserved(request.service, request.headers, advice)


class Server:
    """A running server; leave the context or call `close` to stop it."""

    def __init__(self, behind: Behind, host: str, port: int) -> None:
        if not _loopback(host):
            raise ValueError(f"the embedded endpoint binds loopback only, not {host!r}")
        self.emulator = behind.emulator
        self._behind = behind
        self._host = host
        self._port = port
        self._failures: list[OSError] = []
        self._connections: set[_Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="triggerkit-emulator", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failures:
            self._thread.join()
            raise self._failures[0]

    @property
    def endpoint_url(self) -> str:
        """Where it listens, for `endpoint_url` and AWS_ENDPOINT_URL_DYNAMODB."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    def close(self) -> None:
        """Stop listening and close every connection; closing twice is no fault."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            listener = self._loop.run_until_complete(
                self._loop.create_server(
                    lambda: _Connection(self._behind, self._connections),
                    self._host,
                    self._port,
                    backlog=256,
                )
            )
        except OSError as failure:
            self._failures.append(failure)
            self._loop.close()
            self._ready.set()
            return
        self._port = listener.sockets[0].getsockname()[1]
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            listener.close()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            # Aborted transports release their sockets in the next round; one that is being accepted takes more.
            for _ in range(_LAST_ROUNDS):
                for connection in list(self._connections):
                    connection.abort()
                self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.run_until_complete(listener.wait_closed())
            self._loop.close()


def serve(
    emulator: Emulator,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    control: Control | None = None,
    others: OtherServices | None = None,
) -> Server:
    """Serve an emulator over HTTP from a thread of its own; port 0 takes a free one.

    `control` opens `/_sim/`; `others` answers for the services that the emulator does not have.

    Raises:
        ValueError: `host` is not a loopback address.
        OSError: the port is taken.
    """
    return Server(Behind(emulator, control, others), host, port)


class _Connection(asyncio.Protocol):
    """One client's connection: requests are answered one by one, in order."""

    __slots__ = ("_answering", "_behind", "_buffer", "_connections", "_forwarding", "_transport")

    def __init__(self, behind: Behind, connections: set[_Connection]) -> None:
        self._behind = behind
        self._forwarding: asyncio.Task[None] | None = None
        self._connections = connections
        self._buffer = b""
        self._answering = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._connections.discard(self)

    def abort(self) -> None:
        """Close at once, without an answer."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, received: bytes) -> None:
        self._buffer += received
        if not self._answering:
            self._read()

    def _read(self) -> None:
        """Take whole requests off the buffer and answer them."""
        while self._transport is not None and not self._answering:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                if len(head) > MAX_HEAD_BYTES:
                    self._refuse(431, "the request's head is too long")
                return
            request = _Head(head)
            if request.refusal is not None:
                self._refuse(*request.refusal)
                return
            if request.awaits_permission and not rest:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(rest) < request.length:
                return
            self._buffer = rest[request.length :]
            self._answer(request, rest[: request.length])

    def _answer(self, request: _Head, body: bytes) -> None:
        if self._behind.serves_elsewhere(request.service):
            self._answering = True
            loop = asyncio.get_running_loop()
            self._forwarding = loop.create_task(self._forward(request, body))
            return
        refusal = self._behind.refusal(request)
        if refusal is not None:
            self._send(refusal, closes=True)  # the body of an answer to HEAD ends with it
            return
        control = self._behind.control
        if control is not None and request.path.startswith(CONTROL_PREFIX):
            self._deliver(control.answer(request.path, request.headers, body), request.closes)
        else:
            self._take_up(Exchange(self._behind.emulator, request.target, body), request.closes)

    def _take_up(self, exchange: Exchange, closes: bool) -> None:
        """Carry a request out and answer it, each when no barrier holds it any more."""
        call = exchange.call

        def finish() -> None:
            self._deliver(exchange.answer(), closes)

        def give_up() -> None:
            call.abandon()
            finish()

        def carry_out() -> None:
            exchange.carry_out()
            self._pass(call.behind, finish, give_up)

        self._pass(call.before, carry_out, give_up)

    def _pass(
        self, barrier: Barrier | None, go_on: Callable[[], None], give_up: Callable[[], None]
    ) -> None:
        """Go on at once, or when the barrier is released; give up where nobody does that."""
        if barrier is None:
            go_on()
            return
        self._answering = True
        loop = asyncio.get_running_loop()
        patience = loop.call_later(LONGEST_HOLD_SECONDS, give_up)

        def resume() -> None:
            if not patience.cancelled() and patience.when() > loop.time():
                patience.cancel()
                go_on()

        def released() -> None:
            with suppress(RuntimeError):  # the server was closed, and its loop with it
                loop.call_soon_threadsafe(resume)

        barrier.when_released(released)

    def _deliver(self, answer: Answer, closes: bool) -> None:
        """Send an answer when it is due; the connection's next request waits for that."""
        if answer.delay_seconds > 0:
            self._answering = True
            loop = asyncio.get_running_loop()
            loop.call_later(answer.delay_seconds, self._answer_late, answer, closes)
        elif self._answering:
            self._answer_late(answer, closes)
        else:
            self._send(answer, closes)

    async def _forward(self, request: _Head, body: bytes) -> None:
        """Let another service answer; the connection ends behind its response."""
        others = self._behind.others
        assert others is not None
        response = await others.answer(request.service, request.whole(body))
        if self._transport is not None:
            self._transport.write(response)
            self._transport.close()

    def _answer_late(self, answer: Answer, closes: bool) -> None:
        self._answering = False
        self._send(answer, closes)
        self._read()

    def _send(self, answer: Answer, closes: bool) -> None:
        if self._transport is None:
            return
        if answer.damage is Damage.RESET:
            self._transport.abort()
            return
        lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Error')}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        lines.append(f"Content-Length: {len(answer.body)}")
        if closes:
            lines.append("Connection: close")
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        if answer.damage is Damage.CUT:
            self._transport.write(head + answer.body[: len(answer.body) // 2])
            self._transport.close()
            return
        self._transport.write(head + answer.body)
        if closes:
            self._transport.close()

    def _refuse(self, status: int, reason: str) -> None:
        body = f'{{"message":"{reason}"}}'.encode()
        self._send(Answer(status, (("Content-Type", CONTENT_TYPE),), body), closes=True)


class _Head:
    """The request line and headers of one request."""

    __slots__ = (
        "_lines",
        "awaits_permission",
        "closes",
        "headers",
        "length",
        "path",
        "refusal",
        "service",
        "target",
    )

    def __init__(self, head: bytes) -> None:
        request_line, *lines = head.decode("latin-1").split("\r\n")
        self._lines = (request_line, *lines)
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        self.headers = headers
        self.path = request_line.partition(" ")[2].partition(" ")[0].partition("?")[0]
        self.service = service_of(request_line, headers)
        length = headers.get("content-length", "0")
        self.length = int(length) if length.isdigit() else -1
        self.target = headers.get("x-amz-target", "")
        self.closes = headers.get("connection", "").lower() == "close" or request_line.endswith(
            "/1.0"
        )
        self.awaits_permission = headers.get("expect", "").lower() == "100-continue"
        self.refusal = self._judge(request_line, headers)

    def whole(self, body: bytes) -> bytes:
        """Return the request as it came, but for one connection of its own."""
        kept = [
            line
            for line in self._lines
            if line.partition(":")[0].strip().lower() not in ("connection", "expect")
        ]
        return "\r\n".join((*kept, "Connection: close", "", "")).encode("latin-1") + body

    def _judge(self, request_line: str, headers: dict[str, str]) -> tuple[int, str] | None:
        if not _loopback(_host_name(headers.get("host", ""))):
            return 403, "the Host header must name this machine's loopback"
        if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
            return 403, "requests of web pages are refused"
        if not request_line.startswith("POST ") and self.service in POST_ONLY:
            return 405, "the embedded endpoint of triggerkit takes POST only"
        if "transfer-encoding" in headers or self.length < 0:
            return 411, "Content-Length is required"
        if self.length > MAX_BODY_BYTES:
            return 413, "the request is too long"
        return None


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


@lru_cache(maxsize=64)
def _loopback(host: str) -> bool:
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
