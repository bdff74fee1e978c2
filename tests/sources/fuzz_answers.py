"""A fuzzer of answers: real ones of every operation that a worker uses, spoilt, and read by the real source.

    python -m sources.fuzz_answers --cases 20000 --seed 1        (with tests/ on PYTHONPATH)

Each case is a small world of its own in virtual time: a table with items on a few shards, a reader that reads
them as the engine does, and an endpoint that spoils some of its answers: other types, members left out,
depth, length, encodings, numbers, statuses. Then the endpoint behaves again. What is checked:

* nothing but errors of `triggerkit.errors` comes out, each with a hint;
* no step asks more than a bounded number of calls;
* in the end every record that was written has been handed on, unless an error or a gap was told that stays;
* what is handed on is a record that was written.

A case is named by its seed and number, and can be run alone: --seed S --only N.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, TypeAlias

from botocore.credentials import Credentials
from emulator.kit import TABLE, stream_on
from sources.fakes import inline

from triggerkit.aws.botocore_transport import BotocoreTransport
from triggerkit.aws.clients import ControlPlane, open_client
from triggerkit.aws.credentials import RenewableCredentials
from triggerkit.aws.intact import refuse_damaged_replies
from triggerkit.aws.sessions import Access
from triggerkit.aws.transport import Transport
from triggerkit.core.model import TRIM_HORIZON, Position, Shard, ShardId, after
from triggerkit.emulator import Emulator
from triggerkit.emulator.wire import respond
from triggerkit.errors import (
    PositionTrimmedError,
    ShardGoneError,
    SourceError,
    TriggerkitError,
)
from triggerkit.ports import Services, Source
from triggerkit.sources.dynamodb.opening import Target
from triggerkit.sources.dynamodb.service import TRAITS, StreamArn
from triggerkit.sources.dynamodb.source import DynamoDBSource
from triggerkit.sources.dynamodb.streams_api import StreamsApi
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.loop import VirtualLoop

OPERATIONS = ("DescribeTable", "ListStreams", "DescribeStream", "GetShardIterator", "GetRecords")
CALLS_A_STEP = 30
"""The most that one question of the engine may cost: a listing of three streams, an iterator made anew, each
tried three times."""
HOSTILE_STEPS = 7
PATIENCE_STEPS = 60

Json: TypeAlias = Any
Spoil: TypeAlias = Callable[[random.Random, bytes], bytes]


class Failed(Exception):  # noqa: N818 (a finding)
    """A case broke a promise."""


# --- what is done to an answer ------------------------------------------------------------------------


def _places(value: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place below the top."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, below in items:
        yield (*path, key)
        yield from _places(below, (*path, key))


def _at(value: Json, path: tuple[Any, ...]) -> Json:
    for key in path:
        value = value[key]
    return value


def _packed(answer: Json) -> bytes:
    """As the emulator writes it: what is not spoilt stays the same."""
    return json.dumps(answer, separators=(",", ":")).encode()


_MARK = "@@spoilt@@"
_RAW = (
    b"NaN", b"Infinity", b"-Infinity", b"9" * 5000, b"-" + b"9" * 5000, b"1e999", b"-0.0", b"1e-400", b"01", b"+1",
    b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\\x41"', b"'a'",
    b'"\\u0000"', b'"\\u001b[2J"', b'"a\nb"', b"undefined", b"None", b"True", b"", b"{", b"[1,]", b"{}{}",
    b"[" * 400 + b"]" * 400, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b'{"M":{"a":' * 300 + b'{"S":"x"}' + b"}}" * 300,
    b'"' + b"x" * 100_000 + b'"',
)  # fmt: skip
_VALUES: tuple[Json, ...] = (
    None, True, False, 0, -1, 7, 2**63, 2**64, -(2**70), 1.5, 1e300, "", " ", "x", "seven", "\u202e", [], {},
    [[]], [None], {"": None}, {"S": "x"}, ["x"], 10**14, 253402300800, -62135596801,
)  # fmt: skip


def spoil_value(rng: random.Random, body: bytes) -> bytes:
    """Another type in one place."""
    return _with(
        rng, body, lambda old: rng.choice([v for v in _VALUES if type(v) is not type(old)])
    )


def spoil_raw(rng: random.Random, body: bytes) -> bytes:
    """Something in one place that JSON does not have, or that nobody reads."""
    return _with(rng, body, lambda _: _MARK).replace(f'"{_MARK}"'.encode(), rng.choice(_RAW))


def spoil_member(rng: random.Random, body: bytes) -> bytes:
    """One member less."""
    answer = json.loads(body)
    paths = [path for path in _places(answer) if isinstance(path[-1], str)]
    if paths:
        path = rng.choice(paths)
        del _at(answer, path[:-1])[path[-1]]
    return _packed(answer)


def spoil_name(rng: random.Random, body: bytes) -> bytes:
    """One member under another name."""
    answer = json.loads(body)
    paths = [path for path in _places(answer) if isinstance(path[-1], str)]
    if paths:
        path = rng.choice(paths)
        parent = _at(answer, path[:-1])
        name = rng.choice([path[-1].lower(), path[-1].upper() + "S", "", "\x00", "x" * 10_000])
        parent[name] = parent.pop(path[-1])
    return _packed(answer)


def spoil_depth(rng: random.Random, body: bytes) -> bytes:
    """One value wrapped many times."""
    depth = rng.choice([1, 2, 33, 200, 600])

    def wrapped(value: Json) -> Json:
        for _ in range(depth):
            value = [value] if rng.random() < 0.5 else {"M": value}
        return value

    return _with(rng, body, wrapped)


def spoil_top(rng: random.Random, body: bytes) -> bytes:
    """Something else than an object around it."""
    return rng.choice(
        [b"", b"null", b"[]", b"{}", b"7", b'"text"', b"[" + body + b"]", body + body, b"<html></html>",
         b"\xef\xbb\xbf" + body, body.decode().encode("utf-16"), b"\x1f\x8b" + body, b"\x00" * 100,
         b" " + body + b" "]
    )  # fmt: skip


def spoil_length(rng: random.Random, body: bytes) -> bytes:
    """Less of it, under a checksum that is right."""
    return body[: rng.randrange(len(body))]


def spoil_twice(rng: random.Random, body: bytes) -> bytes:
    """A member that comes a second time, as null or another type."""
    name = rng.choice(list(json.loads(body)) or ["x"])
    return body.rstrip()[:-1] + f', "{name}": {json.dumps(rng.choice(_VALUES))}}}'.encode()


def _with(rng: random.Random, body: bytes, change: Callable[[Json], Json]) -> bytes:
    answer = json.loads(body)
    paths = list(_places(answer))
    if paths:
        path = rng.choice(paths)
        parent = _at(answer, path[:-1])
        parent[path[-1]] = change(parent[path[-1]])
    try:
        return _packed(answer)
    except RecursionError:
        return b"[" * 2000


SPOILS: tuple[Spoil, ...] = (
    spoil_value, spoil_value, spoil_value, spoil_raw, spoil_raw, spoil_member, spoil_member, spoil_name,
    spoil_depth, spoil_top, spoil_length, spoil_twice,
)  # fmt: skip
_CODES = (
    "InternalServerError", "ThrottlingException", "ValidationException", "ExpiredIteratorException",
    "ResourceNotFoundException", "TrimmedDataAccessException", "AccessDeniedException", "UnknownOperationException",
    "x" * 5000, "", "#", ":",
)  # fmt: skip


@dataclass
class Endpoint:
    """botocore's `before-send` hook: the emulator's answers, spoilt for a while."""

    rng: random.Random
    emulator: Emulator
    operations: frozenset[str]
    share: float
    hostile: bool = True
    calls: Counter[str] = field(default_factory=Counter)
    spoilt: list[str] = field(default_factory=list)
    trims: int = 0

    def __call__(self, request: Any, **_: object) -> Any:
        from botocore.awsrequest import AWSResponse
        from botocore.compat import HTTPHeaders

        target = request.headers["X-Amz-Target"]
        target = target.decode() if isinstance(target, bytes) else target
        operation = target.rpartition(".")[2]
        self.calls[operation] += 1
        answer = respond(self.emulator, target, request.body or b"")
        status, body, headers = answer.status, answer.body, dict(answer.headers)
        if self.hostile and operation in self.operations and self.rng.random() < self.share:
            status, body = self._spoilt(operation, status, body)
            headers["x-amz-crc32"] = str(zlib.crc32(body))
            self._spoil_headers(headers)
        headers = {**headers, "Content-Length": str(len(body))}
        return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), _Body(body))

    def _spoilt(self, operation: str, status: int, body: bytes) -> tuple[int, bytes]:
        rng = self.rng
        if rng.random() < 0.12:
            status = rng.choice(
                [201, 204, 302, 400, 400, 400, 401, 403, 404, 413, 429, 500, 503, 599]
            )
            code = rng.choice(_CODES)
            if code.startswith("Trimmed"):
                self.trims += 1
            body = json.dumps(
                {"__type": code, "message": rng.choice(["", "m", "m" * 5000])}
            ).encode()
            if rng.random() < 0.5:
                self.spoilt.append(f"{operation} {status} {code[:30]}")
                return status, body
        spoil = rng.choice(SPOILS)
        self.spoilt.append(f"{operation} {status} {spoil.__name__}")
        return status, spoil(rng, body)

    def _spoil_headers(self, headers: dict[str, str]) -> None:
        if self.rng.random() < 0.1:
            headers["Date"] = self.rng.choice(
                [
                    "",
                    "x",
                    "Fri, 31 Dec 9999 23:59:59 GMT",
                    "Mon, 01 Jan 0001 00:00:00 GMT",
                    "9" * 500,
                ]
            )
        if self.rng.random() < 0.05:
            headers["Content-Encoding"] = self.rng.choice(["gzip", "br", "deflate", "identity"])
        if self.rng.random() < 0.1:
            headers.pop("x-amz-crc32")


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self._body


# --- the source over it ------------------------------------------------------------------------------------


@cache
def _clients() -> tuple[Any, Any, Any]:
    """boto3's clients for tables, for streams and for GetRecords; making them takes longer than many cases."""
    import boto3

    session = boto3.session.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"
    )
    services = ("dynamodb", "dynamodbstreams", "dynamodbstreams")
    access = Access(endpoint_url="http://fuzzed.invalid:8000")
    tables, streams, reading = (
        open_client(session, service, access, attempts=1) for service in services
    )
    for client in (tables, streams):
        refuse_damaged_replies(client)
    for client in (tables, streams, reading):
        client.meta.events.register_first("before-send.*.*", _present)
    return tables, streams, reading


_endpoint: Endpoint | None = None
_transport: BotocoreTransport | None = None


def _present(request: Any, **context: object) -> Any:
    assert _endpoint is not None
    return _endpoint(request, **context)


class Connecting:
    """Implements `sources.dynamodb.opening.Connector`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def api(self) -> StreamsApi:
        tables, streams, _ = _clients()
        return StreamsApi(ControlPlane(self._services), tables, streams)

    async def transport(self, api: StreamsApi, arn: StreamArn) -> Transport:
        global _transport
        if _transport is None:
            credentials = RenewableCredentials(lambda: Credentials("testing", "testing"))
            _transport = BotocoreTransport(
                _clients()[2], credentials, self._services, "the stream", TRAITS
            )
        return _Kept(_transport)


class _Kept:
    """A transport that outlives its source."""

    def __init__(self, transport: BotocoreTransport) -> None:
        self._transport = transport
        self.get_records = transport.get_records

    async def close(self) -> None:
        pass


# --- one case ------------------------------------------------------------------------------------------------


@dataclass
class Reading:
    """A shard as the engine reads it."""

    shard: Shard
    position: Position = TRIM_HORIZON
    ended: bool = False


class Case:
    """One world; `run` returns how it ended."""

    def __init__(self, seed: int, number: int) -> None:
        self.rng = random.Random(f"{seed}/{number}")
        self.clock = VirtualClock()
        self.emulator = Emulator(self.clock, seed=number)
        self.written: dict[str, dict[str, Any]] = {}
        self.delivered: set[str] = set()
        self.told: Counter[str] = Counter()
        self.shards: dict[ShardId, Reading] = {}
        self.gaps = 0
        self.last_error: TriggerkitError | None = None
        self.endpoint = Endpoint(
            self.rng,
            self.emulator,
            frozenset(self.rng.sample(OPERATIONS, self.rng.choice([1, 1, 2, 5]))),
            self.rng.choice([0.15, 0.5, 1.0]),
        )
        self.most_calls = 0

    def _write(self, count: int) -> None:
        for _ in range(count):
            name = f"item {len(self.written)}"
            item = {
                "pk": {"S": name},
                "n": {"N": str(len(self.written))},
                "l": {"L": [{"S": "a"}, {"BOOL": True}, {"NULL": True}, {"B": "YQ=="}]},
                "m": {"M": {"a": {"NS": ["1", "2"]}, "e": {"M": {}}}},
            }
            self.written[name] = item
            self.emulator.call("PutItem", {"TableName": "orders", "Item": item})

    def run(self) -> str:
        """Raises Failed."""
        global _endpoint
        _endpoint = self.endpoint
        self.emulator.call("CreateTable", {**TABLE, **stream_on()})
        self._write(self.rng.randrange(1, 6))
        for _ in range(self.rng.randrange(3)):
            (self.emulator.roll if self.rng.random() < 0.5 else self.emulator.split)("orders")
            self._write(self.rng.randrange(1, 4))
        loop = VirtualLoop(self.clock)
        try:
            loop.run_until_complete(self._read())
        finally:
            loop.close()
        return self._ending()

    def _ending(self) -> str:
        if self.delivered >= self.written.keys():
            return "all handed on, behind errors" if self.told else "all handed on, no error"
        if self.gaps:
            return "not all handed on, and a gap was told"
        if self.last_error is not None:
            return f"not all handed on, and an error stays: {self.last_error.code}"
        missing = sorted(self.written.keys() - self.delivered)
        raise Failed(f"lost without a word: {missing}; spoilt: {self.endpoint.spoilt}")

    async def _read(self) -> None:
        services = Services(inline, self.clock, {})
        source = DynamoDBSource(Target("orders"), Connecting(services), services)
        for step in range(HOSTILE_STEPS + PATIENCE_STEPS):
            self.endpoint.hostile = step < HOSTILE_STEPS
            if step == HOSTILE_STEPS:
                self._write(1)
            self.last_error = None
            if await self._asked(source.prepare()) and await self._asked(self._list(source)):
                for reading in list(self.shards.values()):
                    await self._asked(self._fetch(source, reading))
            done = self.delivered >= self.written.keys()
            if not self.endpoint.hostile and done and self.last_error is None:
                break
            await asyncio.sleep(0.25 if step < HOSTILE_STEPS else 5.0)

    async def _asked(self, question: Any) -> bool:
        """Ask as the engine does; whether there was an answer."""
        before = sum(self.endpoint.calls.values())
        try:
            await question
        except TriggerkitError as error:
            self.last_error = error
            if not isinstance(error, SourceError) or not error.hint or not error.message:
                raise Failed(
                    f"{type(error).__name__} without a hint, or of another kind: {error}"
                ) from error
            self.told[error.code] += 1
            return False
        except Exception as error:
            shown = "".join(traceback.format_exception(error, limit=-6))
            raise Failed(f"{shown}\nspoilt: {self.endpoint.spoilt[-5:]}") from error
        finally:
            calls = sum(self.endpoint.calls.values()) - before
            self.most_calls = max(self.most_calls, calls)
            if calls > CALLS_A_STEP:
                raise Failed(f"{calls} calls for one question; spoilt: {self.endpoint.spoilt[-5:]}")
        return True

    async def _list(self, source: Source) -> None:
        listing = await source.list_shards()
        for shard in listing.shards:
            self.shards.setdefault(shard.id, Reading(shard))

    async def _fetch(self, source: Source, reading: Reading) -> None:
        if reading.ended:
            return
        try:
            page = await source.open(reading.shard.id).fetch(
                reading.position, self.rng.choice([1, 3, 1000])
            )
        except PositionTrimmedError as error:
            self.told[error.code] += 1
            self.gaps += 1
            reading.position = TRIM_HORIZON
            return
        except ShardGoneError as error:
            self.told[error.code] += 1
            self.gaps += 1
            reading.ended = True
            return
        for record in page.records:
            self._hand_on(source.to_event(record.raw, source.shard_arn(reading.shard.id)))
        if page.records:
            reading.position = after(page.records[-1])
        reading.ended = page.ended
        if page.ended:
            for child in (await source.children(reading.shard.id)).shards:
                self.shards.setdefault(child.id, Reading(child))

    def _hand_on(self, event: dict[str, Any]) -> None:
        change = event["dynamodb"]
        image = change.get("NewImage")
        keys = change.get("Keys")
        for part in (image, keys):
            name = part.get("pk", {}).get("S") if isinstance(part, dict) else None
            if name in self.written:
                self.delivered.add(name)
                return


@dataclass
class Score:
    """How the cases ended."""

    endings: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    spoilt: Counter[str] = field(default_factory=Counter)
    most_calls: int = 0
    calls: int = 0

    def add(self, other: Score) -> None:
        """Take in the score of other cases."""
        self.endings += other.endings
        self.told += other.told
        self.failures += other.failures
        self.spoilt += other.spoilt
        self.most_calls = max(self.most_calls, other.most_calls)
        self.calls += other.calls


def fuzz(seed: int, numbers: range) -> Score:
    """Run these cases."""
    score = Score()
    for number in numbers:
        case = Case(seed, number)
        try:
            ending = case.run()
        except Failed as failure:
            ending = "BROKEN"
            score.failures.append(f"--seed {seed} --only {number}: {failure}")
        score.endings[ending] += 1
        score.told.update(case.told.keys())
        for one in case.endpoint.spoilt:
            score.spoilt[one.partition(" ")[0]] += 1
        score.most_calls = max(score.most_calls, case.most_calls)
        score.calls += sum(case.endpoint.calls.values())
    return score


def main(arguments: list[str]) -> int:
    """Run, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m sources.fuzz_answers")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one case, by its number")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args(arguments)
    whole = range(given.cases) if given.only is None else range(given.only, given.only + 1)
    parts = [
        range(start, min(start + 100, whole.stop)) for start in range(whole.start, whole.stop, 100)
    ]
    began_seconds = time.monotonic()
    score = Score()
    with ProcessPoolExecutor(given.processes) as pool:
        for part in pool.map(partial(fuzz, given.seed), parts):
            score.add(part)
    print(
        f"{len(whole)} hostile cases, seed {given.seed}, {time.monotonic() - began_seconds:.0f} s"
    )
    print(f"{score.spoilt.total()} answers spoilt: {dict(sorted(score.spoilt.items()))}")
    print(f"{score.calls} calls in all, at most {score.most_calls} for one question")
    print("how the cases ended:")
    for ending, count in score.endings.most_common():
        print(f"{count:7} {ending}")
    print("in how many cases each error was told:")
    for code, count in score.told.most_common():
        print(f"{count:7} {code}")
    for failure in score.failures[:20]:
        print(failure, file=sys.stderr)
    return 1 if score.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
