"""The emulator over HTTP/1.1 on loopback.

Only programs of this machine may speak to it: it binds loopback, the Host header must name loopback, and a request
with an Origin header (a web page's) is refused. One thread serves all connections with a small protocol of its own,
since the emulator answers in microseconds.
"""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Self

from triggerkit.emulator.barriers import LONGEST_HOLD_SECONDS, Barrier
from triggerkit.emulator.calls import Call
from triggerkit.emulator.control import PREFIX as CONTROL_PREFIX
from triggerkit.emulator.control import Control
from triggerkit.emulator.engine import Emulator
from triggerkit.emulator.plans import Damage
from triggerkit.emulator.services import OWN, POST_ONLY, OtherServices, service_of, unserved
from triggerkit.emulator.wire import CONTENT_TYPE, Answer, answer_of, take_up

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024
_REASONS = {200: "OK", 400: "Bad Request", 500: "Internal Server Error"}
_LAST_ROUNDS = 5
_STOP_SECONDS = 5.0
_NO_OTHERS = "Point AWS_ENDPOINT_URL_<SERVICE> at something that serves it."


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
    return Server(emulator, host, port, control, others)


class Server:
    """A running server; leave the context or call `close` to stop it."""

    def __init__(
        self,
        emulator: Emulator,
        host: str = "127.0.0.1",
        port: int = 0,
        control: Control | None = None,
        others: OtherServices | None = None,
    ) -> None:
        if not _loopback(host):
            raise ValueError(f"the embedded endpoint binds loopback only, not {host!r}")
        self.emulator = emulator
        self.control = control
        self.others = others
        self.port = port
        self.connections: set[_Connection] = set()
        self._host = host
        self._failures: list[OSError] = []
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
        return f"http://{host}:{self.port}"

    def refusal(self, request: Head) -> Answer | None:
        """Return the answer to a request for a service that is not served here."""
        if request.service in OWN or not request.service:
            return None
        advice = _NO_OTHERS if self.others is None else self.others.advice(request.service)
        return unserved(request.service, request.headers, advice)

    def close(self) -> None:
        """Stop listening and close every connection; closing twice is no error."""
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
                    lambda: _Connection(self), self._host, self.port, backlog=256
                )
            )
        except OSError as failure:
            self._failures.append(failure)
            self._loop.close()
            self._ready.set()
            return
        self.port = listener.sockets[0].getsockname()[1]
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            listener.close()
            # Aborted transports release their sockets in the next round; one that is being accepted takes more.
            for _ in range(_LAST_ROUNDS):
                for connection in list(self.connections):
                    connection.abort()
                self._loop.run_until_complete(asyncio.sleep(0))
            # not before: a task that accepts a socket, cancelled before its first step, would never close it
            if tasks := asyncio.all_tasks(self._loop):
                for task in tasks:
                    task.cancel()
                self._loop.run_until_complete(asyncio.wait(tasks))
            self._loop.run_until_complete(listener.wait_closed())
            self._loop.close()


class _Connection(asyncio.Protocol):
    """One client's connection: requests are answered one by one, in order."""

    __slots__ = ("_answering", "_buffer", "_forwarding", "_server", "_transport")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._forwarding: asyncio.Task[None] | None = None
        self._buffer = b""
        self._answering = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._server.connections.discard(self)

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
            request = Head(head)
            refusal = request.refusal()
            if refusal is not None:
                self._refuse(*refusal)
                return
            if request.awaits_permission and not rest:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(rest) < request.length:
                return
            self._buffer = rest[request.length :]
            self._answer(request, rest[: request.length])

    def _answer(self, request: Head, body: bytes) -> None:
        server = self._server
        if server.others is not None and request.service in server.others.served:
            self._answering = True
            forward = self._forward(server.others, request, body)
            self._forwarding = asyncio.get_running_loop().create_task(forward)
            return
        refusal = server.refusal(request)
        if refusal is not None:
            self._send(refusal, closes=True)  # the body of an answer to HEAD ends with it
        elif server.control is not None and request.path.startswith(CONTROL_PREFIX):
            answer = server.control.answer(request.path, request.headers, body)
            self._deliver(answer, request.closes)
        else:
            self._carry_out(take_up(server.emulator, request.target, body), request.closes)

    def _carry_out(self, call: Call, closes: bool) -> None:
        """Carry a call out and answer it, each when no barrier holds it any more."""

        def finish() -> None:
            self._deliver(answer_of(self._server.emulator, call), closes)

        def give_up() -> None:
            call.abandon()
            finish()

        def carry_out() -> None:
            call.carry_out()
            self._pass(call.behind, finish, give_up)

        self._pass(call.before, carry_out, give_up)

    def _pass(
        self, barrier: Barrier | None, go_on: Callable[[], None], give_up: Callable[[], None]
    ) -> None:
        """Go on at once, or when the barrier is released; give up after the time limit."""
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

    async def _forward(self, others: OtherServices, request: Head, body: bytes) -> None:
        """Let another service answer; the connection ends after its response."""
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


class Head:
    """The request line and headers of one request; names of headers are lower case."""

    __slots__ = ("_lines", "headers", "length", "path", "service", "target")

    def __init__(self, head: bytes) -> None:
        self._lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in self._lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        self.headers = headers
        self.path = self._lines[0].partition(" ")[2].partition(" ")[0].partition("?")[0]
        self.service = service_of(self._lines[0], headers)
        length = headers.get("content-length", "0")
        self.length = int(length) if length.isdigit() else -1
        self.target = headers.get("x-amz-target", "")

    @property
    def closes(self) -> bool:
        """Whether the connection ends after the answer."""
        return self.headers.get("connection", "").lower() == "close" or self._lines[0].endswith(
            "/1.0"
        )

    @property
    def awaits_permission(self) -> bool:
        """Whether the client sends its body only when it is told to."""
        return self.headers.get("expect", "").lower() == "100-continue"

    def whole(self, body: bytes) -> bytes:
        """Return the request as it came, but for one connection of its own."""
        kept = [
            line
            for line in self._lines
            if line.partition(":")[0].strip().lower() not in ("connection", "expect")
        ]
        return "\r\n".join((*kept, "Connection: close", "", "")).encode("latin-1") + body

    def refusal(self) -> tuple[int, str] | None:
        """Return status and reason where a request is refused for its head."""
        host = self.headers.get("host", "")
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if not _loopback(name):
            return 403, "the Host header must name this machine's loopback"
        if "origin" in self.headers or self.headers.get("sec-fetch-site", "none") != "none":
            return 403, "requests of web pages are refused"
        if not self._lines[0].startswith("POST ") and self.service in POST_ONLY:
            return 405, "the embedded endpoint of triggerkit takes POST only"
        if "transfer-encoding" in self.headers or self.length < 0:
            return 411, "Content-Length is required"
        if self.length > MAX_BODY_BYTES:
            return 413, "the request is too long"
        return None


@lru_cache(maxsize=64)
def _loopback(host: str) -> bool:
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
