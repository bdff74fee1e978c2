"""A server that answers with the bytes that a test gives it, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

BODY = b'{"Records":[],"NextShardIterator":"next"}'
DATE = "Tue, 25 Nov 2025 15:47:35 GMT"
DATE_SECONDS = 1764085655.0


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent. Names of headers are in lower case."""

    headers: dict[str, str]
    body: bytes
    peer: object


@dataclass(frozen=True, slots=True)
class Bytes:
    """An answer. `piece_bytes`: how much is sent at a time; `closes`: the server hangs up behind it."""

    data: bytes
    piece_bytes: int = 0
    closes: bool = False


Script: TypeAlias = Callable[[Request], Bytes]


def answered(body: bytes = BODY, status: int = 200, **headers: str) -> Bytes:
    """A whole answer of HTTP/1.1."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Bytes("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def good(request: Request) -> Bytes:
    """An empty page, as DynamoDB sends it."""
    return answered(Date=DATE, x_amz_crc32=str(zlib.crc32(BODY)))


def refusal(code: str, status: int = 400) -> Bytes:
    """An error, as DynamoDB sends it."""
    fault = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "because"}
    return answered(json.dumps(fault).encode(), status)


class Server:
    """Gives one answer after the other; the last one again and again."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.requests: list[Request] = []
        self.url = ""
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def peers(self) -> set[object]:
        """The addresses that requests came from: one a connection."""
        return {request.peer for request in self.requests}

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._writers)

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in self._writers:
            writer.close()

    def send_unasked(self, data: bytes) -> None:
        """Send on every connection."""
        for writer in self._writers:
            writer.write(data)

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
        """Listen on loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
        try:
            yield self
        finally:
            server.close()
            self.hang_up()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[1:]
                headers = {
                    name.lower(): value for name, _, value in (one.partition(": ") for one in lines)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Request(headers, body, writer.get_extra_info("peername"))
                self.requests.append(request)
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                await self._send(script(request), writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _send(self, answer: Bytes, writer: asyncio.StreamWriter) -> None:
        step = answer.piece_bytes or len(answer.data) or 1
        for start in range(0, len(answer.data), step):
            writer.write(answer.data[start : start + step])
            await writer.drain()
        if answer.closes:
            raise ConnectionError
