"""Client CPU of reading a stream, beside plain boto3 on the same server in the same run.

A child process answers GetRecords with one canned page: 1000 records of 1 KB, or none. Each reader is
timed by the CPU time of this process, all threads, in rounds that take turns; medians are printed, and how each
compares with boto3 and with `orjson.loads` of the same page, which does nothing but decode. Garbage collection is
set as `triggerkit run` sets it, for all of them.

    python benchmarks/get_records.py [--rounds 7] [--calls 20]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import boto3
import orjson

from triggerkit.aws.transport import Transport, TransportChoice
from triggerkit.core.locators import parse
from triggerkit.ports import Services
from triggerkit.runtime.clock import SystemClock
from triggerkit.sources.dynamodb import change_events
from triggerkit.sources.dynamodb.opening import Access, connect_api, connect_transport
from triggerkit.sources.dynamodb.pages import decoded
from triggerkit.sources.dynamodb.service import parse_stream_arn

RECORDS = 1000
RECORD_BYTES = 1024
STREAM = "arn:aws:dynamodb:us-east-1:111122223333:table/orders/stream/2026-01-01T00:00:00.000"
Read = Callable[[str], Awaitable[int]]


def canned_page(count: int) -> bytes:
    def image(number: int, note: str) -> dict[str, Any]:
        return {
            "pk": {"S": f"customer-{number % 500}"},
            "status": {"S": "PAID"},
            "total": {"N": str(number)},
            "paid": {"BOOL": True},
            "tags": {"SS": ["a", "b"]},
            "address": {"M": {"city": {"S": "Lund"}, "zip": {"N": "22100"}}},
            "note": {"S": note},
        }

    def record(number: int, note: str = "") -> dict[str, Any]:
        change = {
            "ApproximateCreationDateTime": 1764085655,
            "Keys": {"pk": {"S": f"customer-{number % 500}"}},
            "NewImage": image(number, note),
            "OldImage": image(number, ""),
            "SequenceNumber": str(10**24 + number),
            "SizeBytes": RECORD_BYTES,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        }
        made = {
            "eventID": f"{number:032x}",
            "eventName": "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": change,
        }
        missing = RECORD_BYTES - len(json.dumps(made, separators=(",", ":")))
        return made if note or missing <= 0 else record(number, "n" * missing)

    page = {"NextShardIterator": "next", "Records": [record(number) for number in range(count)]}
    return json.dumps(page, separators=(",", ":")).encode()


def serve() -> None:
    """Answer every request on one port; the iterator tells which page is wanted."""
    answers = {name: _http(canned_page(count)) for name, count in (("full", RECORDS), ("none", 0))}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                writer.write(answers["full" if b'"full"' in body else "none"])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(run())


def _http(body: bytes) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
        "Date: Tue, 25 Nov 2025 15:47:35 GMT\r\n"
        f"x-amz-crc32: {zlib.crc32(body)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def in_a_thread(call: Callable[[], Any], /) -> Any:
    return await asyncio.to_thread(call)


def through(transport: Transport, *, events: bool, is_aws: bool = True) -> Read:
    """The way of a page in triggerkit: raw records, and events where a handler wants them.

    The members of records are looked at more closely where the endpoint is not AWS's own.
    """

    async def read(iterator: str) -> int:
        reply = await transport.get_records(iterator, RECORDS)
        page = decoded(reply, 0.0, "shard", is_trusted=is_aws and reply.has_checksum)
        if events:
            _ = [change_events.to_event(record.raw, STREAM) for record in page.records]
        return len(page.records)

    return read


def boto3_loop(client: Any) -> Read:
    """What a hand-written loop does."""

    async def read(iterator: str) -> int:
        return len(client.get_records(ShardIterator=iterator, Limit=RECORDS)["Records"])

    return read


def orjson_loads() -> Read:
    """What decoding alone costs."""
    pages = {"full": canned_page(RECORDS), "none": canned_page(0)}

    async def read(iterator: str) -> int:
        return len(orjson.loads(pages[iterator])["Records"])

    return read


async def cpu_us(read: Read, iterator: str, calls: int) -> float:
    """CPU microseconds a call."""
    started = time.process_time()
    for _ in range(calls):
        await read(iterator)
    return (time.process_time() - started) / calls * 1e6


async def measure(endpoint_url: str, rounds: int, calls: int) -> None:
    access = Access.of(parse("dynamodb://orders"), {"endpoint_url": endpoint_url})
    services = Services(in_a_thread, SystemClock())
    api = await connect_api(access, services)
    arn = parse_stream_arn(STREAM)
    choices: tuple[TransportChoice, ...] = ("fast", "botocore")
    fast, botocore = [
        await connect_transport(api, choice, access, services, arn) for choice in choices
    ]
    readers = {
        "boto3 get_records": boto3_loop(boto3.client("dynamodbstreams", endpoint_url=endpoint_url)),
        "fast, raw records": through(fast, events=False),
        "fast, Lambda events": through(fast, events=True),
        "the same, not from AWS": through(fast, events=True, is_aws=False),
        "botocore transport, raw": through(botocore, events=False),
        "orjson.loads alone": orjson_loads(),
    }
    try:
        for iterator, title, times in (
            ("full", f"page of {RECORDS} records of {RECORD_BYTES} bytes, two images", calls),
            ("none", "empty page", calls * 10),
        ):
            samples: dict[str, list[float]] = {name: [] for name in readers}
            for read in readers.values():
                await read(iterator)
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 20)
            for _ in range(rounds):
                for name, read in readers.items():
                    samples[name].append(await cpu_us(read, iterator, times))
            report(title, {name: statistics.median(each) for name, each in samples.items()})
    finally:
        await fast.close()
        await botocore.close()


def report(title: str, medians: dict[str, float]) -> None:
    print(f"\n{title}: client CPU")
    slowest, floor = medians["boto3 get_records"], medians["orjson.loads alone"]
    for name, us in medians.items():
        print(f"  {name:26}{us:10.0f} us/call", end="")
        if title.startswith("page"):
            print(f" {us / RECORDS:8.2f} us/record  {us / floor:6.2f}x orjson.loads", end="")
        print(f"  {slowest / us:6.1f}x less than boto3")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--calls", type=int, default=20)
    arguments.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.serve:
        serve()
        return
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
    os.environ.setdefault("AWS_REGION", "us-east-1")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline())
            asyncio.run(measure(f"http://127.0.0.1:{port}", chosen.rounds, chosen.calls))
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
