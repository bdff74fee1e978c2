"""What `dev` puts behind its port beside the emulator. Nothing is ever passed on to AWS.

SQS, SNS, S3 and EventBridge are moto's (extra `local`), started by the first request for one of them on a
socket in a folder of this user's, so that every request has passed the checks of the one port. With
`--backend` DynamoDB is another endpoint's. Requests and responses are passed on byte by byte.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from triggerkit.errors import UsageError
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.pools import ThreadRunner

if TYPE_CHECKING:
    from moto.server import ThreadedMotoServer

log = get_logger()

MOTO_SERVICES = frozenset({"sqs", "sns", "s3", "events"})
SOCKET_FILE = "moto.sock"
INSTALL_LOCAL = "pip install 'moto[s3,sqs,server]>=5.1'"
"""Installs what the extra `local` consists of, from any folder: triggerkit itself comes from a checkout."""
_NEEDED = ("moto", "flask", "flask_cors", "werkzeug")
_LEFT_OUT = (
    "It has DynamoDB and DynamoDB Streams; start `triggerkit dev --aws` to reach AWS for it."
)


Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def has_local() -> bool:
    """Whether the extra `local` is installed."""
    return all(find_spec(name) is not None for name in _NEEDED)


@dataclass(frozen=True, slots=True)
class Address:
    """Where requests are passed on to."""

    host: str
    port: int
    tls: bool = False


class LocalServices:
    """Implements the emulator's `OtherServices`. `backend` takes DynamoDB; None leaves it to the emulator."""

    def __init__(self, backend: Address | None = None) -> None:
        self._backend = backend
        self._has_moto = has_local()
        self._moto: ThreadedMotoServer | None = None
        self._starting: asyncio.Lock | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._run = ThreadRunner("local-services", 1)

    @property
    def served(self) -> frozenset[str]:
        """Moto's services where moto is installed, and dynamodb with a backend."""
        services = MOTO_SERVICES if self._has_moto else frozenset()
        return services | {"dynamodb"} if self._backend else services

    def advice(self, service: str) -> str:
        """What a person can do to have `service`."""
        if service in MOTO_SERVICES:
            return f"It comes with the extra `local`: {INSTALL_LOCAL}, then start `triggerkit dev` again."
        return _LEFT_OUT

    async def answer(self, service: str, request: bytes) -> bytes:
        """Pass a request on; a failure on the way is an answer too."""
        try:
            if service == "dynamodb" and self._backend is not None:
                return await _passed_on(await _connect(self._backend), request)
            path = await self._moto_socket()
            return await _passed_on(await asyncio.open_unix_connection(path), request)
        except Exception as error:  # noqa: BLE001 - the client must get an answer
            return _bad_gateway(f"{service} could not be asked: {error}")

    def close(self) -> None:
        """Stop what was started."""
        if self._moto is not None:
            self._moto.stop()
        if self._folder is not None:
            self._folder.cleanup()
        self._run.close()

    async def _moto_socket(self) -> str:
        if self._starting is None:  # made on the loop that asks
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="triggerkit-")
            path = f"{self._folder.name}/{SOCKET_FILE}"
            if self._moto is None:
                self._moto = await self._run(lambda: _start_moto(path))
        return path


def read_backend(url: str) -> Address:
    """Read `--backend URL`.

    Raises:
        UsageError: it is no URL of an endpoint, or one of AWS.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        parts, port = urlsplit(""), None
    if not parts.hostname or not port or parts.path.strip("/"):
        raise UsageError(f"--backend {url!r} is not an endpoint URL", hint="write http://HOST:PORT")
    if parts.hostname.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws")):
        raise UsageError(
            f"--backend {url!r} is AWS itself, and dev has dummy credentials only",
            hint="`triggerkit run` reads streams of AWS",
        )
    return Address(parts.hostname, port, parts.scheme == "https")


async def _connect(address: Address) -> Connection:
    tls = ssl.create_default_context() if address.tls else None
    return await asyncio.open_connection(address.host, address.port, ssl=tls)


async def _passed_on(connection: Connection, request: bytes) -> bytes:
    """One request on a connection of its own; the whole response."""
    reader, writer = connection
    try:
        writer.write(request)
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()


def _start_moto(path: str) -> ThreadedMotoServer:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a line for each request
    server = ThreadedMotoServer(f"unix://{path}", 0, verbose=False)
    server.start()
    log.info(
        "local_services_started",
        message="moto serves SQS, SNS, S3 and EventBridge, in memory until dev ends",
    )
    return server


def _bad_gateway(text: str) -> bytes:
    body = text.encode()
    head = (
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
