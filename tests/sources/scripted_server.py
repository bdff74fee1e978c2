"""An endpoint for DynamoDB and its streams that misbehaves as a script tells it to.

Good answers come from the emulator, so that a worker can really work with it. On top of that a test plans
what goes wrong, by operation, for so many answers or until told otherwise:

    with ScriptedServer(emulator) as server:
        server.misbehave(Misbehaviour.DRIPPING_BODY, "GetRecords", times=2)
        server.misbehave(Misbehaviour.HTML)                        # every operation, until `behave()`
        server.reply("DescribeStream", {"StreamDescription": {}})  # a body of the test's own, once
        ... dynamodb://orders?endpoint_url={server.endpoint_url}

`server.calls` counts the requests by operation, `server.elsewhere` holds what came to the address that
redirects lead to.
"""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import threading
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from triggerkit.emulator import Emulator
from triggerkit.emulator.wire import respond

ANY = "*"
ELSEWHERE = "/elsewhere"
MIB = 2**20


class Misbehaviour(Enum):
    """What can go wrong with one answer. The first group is about bytes, the second about what they say."""

    # --- the connection and HTTP ---
    DRIPPING_BODY = "one byte of the body every `drip_seconds`, for ever"
    DRIPPING_HEADERS = "one byte of a header every `drip_seconds`, for ever"
    NO_ANSWER = "the request is read and nothing is answered"
    CLOSED_AT_ONCE = "the connection is closed without an answer"
    CLOSED_IN_HEADERS = "the connection is closed within the headers"
    CLOSED_IN_BODY = "the connection is closed half way through the body"
    REDIRECT = "307 to another origin, which serves well"
    ENDLESS_BODY = "a body without a length that never ends"
    ENDLESS_CHUNKS = "a chunked body that never ends"
    HUGE_LENGTH = "a Content-Length of 100 GB, and a body without end"
    GZIP_BOMB = "300 MiB of blanks before the body, compressed"
    LENGTH_TOO_LARGE = "Content-Length is larger than the body, then the connection is closed"
    LENGTH_TOO_SMALL = "Content-Length is smaller than the body"
    LENGTH_NO_NUMBER = "Content-Length is no number"
    WRONG_CHECKSUM = "x-amz-crc32 of another body"
    BAD_GZIP = "Content-Encoding says gzip and the body is not"
    UNKNOWN_ENCODING = "Content-Encoding says something nobody knows"
    BAD_CHUNKS = "a chunked body whose chunk sizes are no numbers"
    NOT_HTTP = "bytes that are no HTTP"
    MANY_HEADERS = "a thousand headers"
    LONG_HEADER = "a header of a megabyte"
    FAR_DATE = "a Date in the year 9999"
    BAD_DATE = "a Date that is none"
    # --- harmless, and unusual ---
    GZIP = "the good answer, compressed"
    CHUNKED = "the good answer in chunks"
    HTTP_1_0 = "the good answer in HTTP/1.0, closed behind it"
    BLANKS = "the good answer with blanks around it, without a checksum"
    # --- the status ---
    STATUS_201 = "201 with an empty body"
    STATUS_204 = "204 without a body"
    STATUS_401 = "401 with an HTML page"
    STATUS_404 = "404 with an HTML page"
    STATUS_418 = "418 with a JSON text that is no error of AWS"
    STATUS_500 = "500 with an empty body"
    STATUS_503 = "503 with an HTML page"
    ERROR_LIST = "400 with a JSON list"
    ERROR_ODD_TYPES = "400 with numbers for __type and message"
    ERROR_HUGE = "400 with a message without end"
    ERROR_DEEP = "400 with JSON nested 100,000 deep"
    # --- what the body says ---
    EMPTY_BODY = "no body"
    HTML = "an HTML page with status 200"
    NOT_JSON = "half a JSON text"
    JSON_LIST = "a list instead of an object"
    JSON_NULL = "null instead of an object"
    NO_MEMBERS = "an object without members"
    NULL_MEMBERS = "the good answer with null for every member at the top"
    WRONG_TYPES = "the good answer with another type for every value at the ends"
    TEXT_FOR_LISTS = "the good answer with a text for every list"
    DEEP = "the good answer with a member nested 100,000 deep"
    LONG_NUMBER = "the good answer with a number of 5,000 digits for every number"
    NAN = "the good answer with NaN for every number"
    BAD_UTF8 = "the good answer with bytes that are no UTF-8 in its texts"
    LONE_SURROGATE = "the good answer with half a surrogate pair in its texts"
    REPEATED_MEMBERS = "the good answer whose first member comes a second time, as null"


HARMLESS = frozenset(
    {
        Misbehaviour.GZIP, Misbehaviour.CHUNKED, Misbehaviour.HTTP_1_0, Misbehaviour.BLANKS,
        Misbehaviour.FAR_DATE, Misbehaviour.BAD_DATE,
    }
)  # fmt: skip
"""After these the answer is still good, and must be understood."""

ENDLESS = (Misbehaviour.DRIPPING_BODY, Misbehaviour.DRIPPING_HEADERS, Misbehaviour.NO_ANSWER)
"""Nothing but a limit of time ends these."""

HOSTILE = tuple(one for one in Misbehaviour if one not in HARMLESS and one not in ENDLESS)
"""These must end in an error at once."""


@dataclass(slots=True)
class Good:
    """The answer that is about to be spoiled."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class _Plan:
    kind: Misbehaviour
    left: int | None


Scripted = dict[str, Any] | list[Any] | bytes | Callable[[dict[str, Any]], Any]


@dataclass(slots=True)
class _Reply:
    body: Scripted
    status: int
    left: int | None


@dataclass
class ScriptedServer:
    """See the module. `drip_seconds` is the pace of what drips."""

    emulator: Emulator
    drip_seconds: float = 3.0
    calls: Counter[str] = field(default_factory=Counter)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    elsewhere: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._plans: dict[str, deque[_Plan]] = {}
        self._replies: dict[str, deque[_Reply]] = {}
        self.stopped = threading.Event()
        self._http = _Listener(self)
        self._other = _Listener(self)
        self.endpoint_url = f"http://127.0.0.1:{self._http.server_port}"
        self.other_url = f"http://127.0.0.1:{self._other.server_port}"
        for listener in (self._http, self._other):
            threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop; answers that never end are ended."""
        self.stopped.set()
        for listener in (self._http, self._other):
            listener.shutdown()
            listener.server_close()

    def misbehave(
        self, kind: Misbehaviour, operation: str = ANY, *, times: int | None = None
    ) -> None:
        """Spoil the next `times` answers to `operation`, or all of them."""
        with self._lock:
            self._plans.setdefault(operation, deque()).append(_Plan(kind, times))

    def reply(
        self, operation: str, body: Scripted, *, status: int = 200, times: int | None = 1
    ) -> None:
        """Answer so instead of the emulator: JSON, bytes, or a function that is given the request."""
        with self._lock:
            self._replies.setdefault(operation, deque()).append(_Reply(body, status, times))

    def behave(self) -> None:
        """Forget everything that was planned."""
        with self._lock:
            self._plans.clear()
            self._replies.clear()

    def answer(self, target: str, body: bytes) -> tuple[Good, Misbehaviour | None]:
        """One answer, and what is to be done to it."""
        operation = target.rpartition(".")[2]
        with self._lock:
            self.calls[operation] += 1
            with suppress(ValueError):
                self.requests.append((operation, json.loads(body)))
            good = self._good(operation, target, body)
            return good, self._planned(operation)

    def _good(self, operation: str, target: str, body: bytes) -> Good:
        scripted = _next(self._replies.get(operation))
        if scripted is None:
            answer = respond(self.emulator, target, body)
            return Good(answer.status, dict(answer.headers), answer.body)
        told = scripted.body
        if callable(told):
            told = told(json.loads(body))
        raw = told if isinstance(told, bytes) else json.dumps(told).encode()
        return Good(scripted.status, {"Content-Type": "application/x-amz-json-1.0"}, raw)

    def _planned(self, operation: str) -> Misbehaviour | None:
        plan = _next(self._plans.get(operation)) or _next(self._plans.get(ANY))
        return plan.kind if plan else None


def _next(planned: deque[Any] | None) -> Any:
    while planned:
        first = planned[0]
        if first.left is None:
            return first
        if first.left > 0:
            first.left -= 1
            return first
        planned.popleft()
    return None


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, script: ScriptedServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        script = self.server.script
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith(ELSEWHERE):
            script.elsewhere.append(dict(self.headers.items()))
        good, kind = script.answer(self.headers.get("X-Amz-Target", ""), body)
        with suppress(OSError):
            for part in _bytes_of(good, kind, script):
                if script.stopped.is_set():
                    break
                self.wfile.write(part)
            self.wfile.flush()
        if kind is not None:  # whatever was left unsaid: the next request gets a new connection
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_WR)


def _head(status: int, headers: dict[str, str], version: str = "HTTP/1.1") -> bytes:
    lines = [f"{version} {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _whole(good: Good, **changed: str) -> bytes:
    headers = {**good.headers, "Content-Length": str(len(good.body))}
    headers.update({name.replace("_", "-"): value for name, value in changed.items()})
    return _head(good.status, headers) + good.body


def _said(good: Good, body: bytes, status: int = 200) -> bytes:
    """Another body under a checksum and a length that are right."""
    headers = {**good.headers, "x-amz-crc32": str(zlib.crc32(body))}
    return _whole(Good(status, headers, body))


def _bare(good: Good) -> dict[str, str]:
    return {name: value for name, value in good.headers.items() if name.lower() != "x-amz-crc32"}


def _bytes_of(good: Good, kind: Misbehaviour | None, script: ScriptedServer) -> Iterator[bytes]:
    if kind is None:
        yield _whole(good)
        return
    spoilt = spoilt_body(kind, good.body)
    if spoilt is not None:
        yield _said(good, spoilt)
        return
    yield from _spoilt_bytes(good, kind, script)


PAGE = b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"
_STATUSES: dict[Misbehaviour, tuple[int, bytes]] = {
    Misbehaviour.STATUS_201: (201, b""),
    Misbehaviour.STATUS_401: (401, PAGE),
    Misbehaviour.STATUS_404: (404, PAGE),
    Misbehaviour.STATUS_418: (418, b'"a teapot"'),
    Misbehaviour.STATUS_500: (500, b""),
    Misbehaviour.STATUS_503: (503, PAGE),
    Misbehaviour.ERROR_LIST: (400, b'["no"]'),
    Misbehaviour.ERROR_ODD_TYPES: (400, b'{"__type": 7, "message": {"a": [1]}}'),
    Misbehaviour.ERROR_DEEP: (400, b'{"__type":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
}


def _spoilt_bytes(  # noqa: C901, PLR0912 (one line a case)
    good: Good, kind: Misbehaviour, script: ScriptedServer
) -> Iterator[bytes]:
    body, bare = good.body, _bare(good)
    if kind in _STATUSES:
        status, said = _STATUSES[kind]
        yield _said(good, said, status)
        return
    match kind:
        case Misbehaviour.DRIPPING_BODY:
            yield _head(200, {**good.headers, "Content-Length": "10000000"})
            yield from _dripping(script, b'{"Records":[' + b" " * 100, b" ")
        case Misbehaviour.DRIPPING_HEADERS:
            yield from _dripping(script, b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x")
        case Misbehaviour.NO_ANSWER:
            script.stopped.wait()
        case Misbehaviour.CLOSED_AT_ONCE:
            pass
        case Misbehaviour.CLOSED_IN_HEADERS:
            yield b"HTTP/1.1 200 OK\r\nContent-Ty"
        case Misbehaviour.CLOSED_IN_BODY:
            whole = _whole(good)
            yield whole[: len(whole) - max(1, len(body) // 2)]
        case Misbehaviour.REDIRECT:
            there = f"{script.other_url}{ELSEWHERE}"
            yield _head(307, {"Location": there, "Content-Length": "0"})
        case Misbehaviour.ENDLESS_BODY | Misbehaviour.HUGE_LENGTH:
            length = {"Content-Length": str(10**11)} if kind is Misbehaviour.HUGE_LENGTH else {}
            yield _head(200, {**bare, **length, "Connection": "close"})
            yield from itertools.repeat(b" " * 2**16)
        case Misbehaviour.ENDLESS_CHUNKS:
            yield _head(200, {**bare, "Transfer-Encoding": "chunked"})
            yield from itertools.repeat(b"10000\r\n" + b" " * 2**16 + b"\r\n")
        case Misbehaviour.ERROR_HUGE:
            yield _head(400, {**bare, "Connection": "close"}) + b'{"__type":"X","message":"'
            yield from itertools.repeat(b"x" * 2**16)
        case Misbehaviour.GZIP_BOMB:
            bomb = zlib.compressobj(1, wbits=31)
            parts = [bomb.compress(b" " * MIB) for _ in range(300)]
            packed = b"".join([*parts, bomb.compress(body), bomb.flush()])
            yield _whole(Good(200, {**bare, "Content-Encoding": "gzip"}, packed))
        case Misbehaviour.LENGTH_TOO_LARGE:
            yield _whole(good, Content_Length=str(len(body) + 10))
        case Misbehaviour.LENGTH_TOO_SMALL:
            yield _whole(good, Content_Length=str(max(1, len(body) // 2)))
        case Misbehaviour.LENGTH_NO_NUMBER:
            yield _whole(good, Content_Length="many")
        case Misbehaviour.WRONG_CHECKSUM:
            yield _whole(good, x_amz_crc32="1")
        case Misbehaviour.BAD_GZIP:
            yield _whole(Good(200, {**bare, "Content-Encoding": "gzip"}, body))
        case Misbehaviour.UNKNOWN_ENCODING:
            yield _whole(Good(200, {**bare, "Content-Encoding": "zebra"}, body[::-1]))
        case Misbehaviour.BAD_CHUNKS:
            yield _head(200, {**bare, "Transfer-Encoding": "chunked"}) + b"zz\r\n" + body
        case Misbehaviour.NOT_HTTP:
            yield b"SSH-2.0-OpenSSH_9.6\r\n\x00\xff\xfe\r\n\r\n"
        case Misbehaviour.MANY_HEADERS:
            yield _whole(Good(200, {**good.headers, **{f"X-{n}": "y" for n in range(1000)}}, b"{}"))
        case Misbehaviour.LONG_HEADER:
            yield _whole(Good(200, {**good.headers, "X-Long": "y" * MIB}, b"{}"))
        case Misbehaviour.FAR_DATE:
            yield _whole(good, Date="Fri, 31 Dec 9999 23:59:59 GMT")
        case Misbehaviour.BAD_DATE:
            yield _whole(good, Date="yesterday")
        case Misbehaviour.GZIP:
            yield _whole(
                Good(good.status, {**bare, "Content-Encoding": "gzip"}, gzip.compress(body))
            )
        case Misbehaviour.CHUNKED:
            yield _head(good.status, {**good.headers, "Transfer-Encoding": "chunked"})
            for start in range(0, len(body), 7):
                part = body[start : start + 7]
                yield f"{len(part):x}\r\n".encode() + part + b"\r\n"
            yield b"0\r\n\r\n"
        case Misbehaviour.HTTP_1_0:
            yield _head(good.status, good.headers, "HTTP/1.0") + body
        case Misbehaviour.BLANKS:
            yield _whole(Good(good.status, bare, b" \n\t" + body + b"\n "))
        case Misbehaviour.STATUS_204:
            yield _head(204, {})
        case _:
            raise AssertionError(kind)


def _dripping(script: ScriptedServer, start: bytes, drop: bytes) -> Iterator[bytes]:
    yield start
    while not script.stopped.wait(script.drip_seconds):
        yield drop


def spoilt_body(kind: Misbehaviour, body: bytes) -> bytes | None:  # noqa: C901, PLR0911, PLR0912
    """What `kind` makes of a good body; None where it is not about the body."""
    match kind:
        case Misbehaviour.EMPTY_BODY:
            return b""
        case Misbehaviour.HTML:
            return PAGE
        case Misbehaviour.NOT_JSON:
            return body[: max(1, len(body) // 2)]
        case Misbehaviour.JSON_LIST:
            return b"[" + body + b"]"
        case Misbehaviour.JSON_NULL:
            return b"null"
        case Misbehaviour.NO_MEMBERS:
            return b"{}"
        case Misbehaviour.NULL_MEMBERS:
            return json.dumps(dict.fromkeys(json.loads(body))).encode()
        case Misbehaviour.WRONG_TYPES:
            return json.dumps(_ends(json.loads(body), _other_type)).encode()
        case Misbehaviour.TEXT_FOR_LISTS:
            return json.dumps(_lists_as_texts(json.loads(body))).encode()
        case Misbehaviour.DEEP:
            deep = b"[" * 100_000 + b"]" * 100_000
            return body.rstrip()[:-1] + b', "Deep": ' + deep + b"}"
        case Misbehaviour.LONG_NUMBER | Misbehaviour.NAN:
            mark = "@number@"
            marked = json.dumps(_ends(json.loads(body), lambda v: _mark_number(v, mark)))
            number = "9" * 5000 if kind is Misbehaviour.LONG_NUMBER else "NaN"
            return marked.replace(f'"{mark}"', number).encode()
        case Misbehaviour.BAD_UTF8:
            return _with_texts(body, b"\xff\xfe")
        case Misbehaviour.LONE_SURROGATE:
            return _with_texts(body, b"\\ud800")
        case Misbehaviour.REPEATED_MEMBERS:
            first = next(iter(json.loads(body)))
            return body.rstrip()[:-1] + f', "{first}": null}}'.encode()
        case _:
            return None


def _ends(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {name: _ends(one, change) for name, one in value.items()}
    if isinstance(value, list):
        return [_ends(one, change) for one in value]
    return change(value)


def _other_type(value: Any) -> Any:
    return [value] if isinstance(value, str) else "seven"


def _mark_number(value: Any, mark: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return mark if number else value


def _lists_as_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lists_as_texts(one) for name, one in value.items()}
    return "a list" if isinstance(value, list) else value


def _with_texts(body: bytes, bad: bytes) -> bytes:
    mark = "@text@"
    marked = json.dumps(_ends(json.loads(body), lambda v: mark if isinstance(v, str) else v))
    return marked.encode().replace(mark.encode(), b"a" + bad)
