"""Kinesis endpoints side by side: the same requests, answers in words that both can agree on.

Sequence numbers are shown by the record that got them, iterators and tokens as what they are, times not at
all. A null member is an absent one, as SDKs read it.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from triggerkit.emulator import Emulator
from triggerkit.emulator.wire import respond

KINESIS = "Kinesis_20131202."
SETTLE_SECONDS = 15.0
TIMES = ("StreamCreationTimestamp", "ApproximateArrivalTimestamp")
TOKENS = ("ShardIterator", "NextShardIterator", "NextToken")
ENDS = ("StartingSequenceNumber", "EndingSequenceNumber")


@dataclass
class KinesisSide:
    """One endpoint, and what only this endpoint calls so."""

    send: Callable[[str, bytes], tuple[int, bytes]]
    numbers: dict[str, str] = field(default_factory=dict)
    """Sequence numbers by the records that got them."""
    iterators: dict[str, str] = field(default_factory=dict)

    def call(self, operation: str, **request: Any) -> Any:
        """Return the answer, or the error's name."""
        status, body = self.send(KINESIS + operation, json.dumps(request).encode())
        try:
            answer = json.loads(body or b"{}")
        except ValueError:
            answer = {}
        if status == 200:
            return answer
        return str(answer.get("__type", "")).rpartition("#")[2] or f"HTTP {status}"

    def settled(self, stream: str, *, gone: bool = False) -> None:
        """Wait until a change of the stream is done."""
        wanted = None if gone else "ACTIVE"
        deadline = time.monotonic() + SETTLE_SECONDS
        while (status := self._status(stream)) != wanted:
            assert time.monotonic() < deadline, f"{stream} is {status}, not {wanted}"

    def clean(self) -> None:
        """Delete every stream, also one that is just changing or going."""
        for stream in self.call("ListStreams")["StreamNames"]:
            deadline = time.monotonic() + SETTLE_SECONDS
            while (status := self._status(stream)) is not None:
                assert time.monotonic() < deadline, f"{stream} did not go, it is {status}"
                # Asked twice, Kinesis Mock deletes what bears the name next, too.
                if status == "ACTIVE":
                    self.call("DeleteStream", StreamName=stream)

    def _status(self, stream: str) -> str | None:
        told = self.call("DescribeStreamSummary", StreamName=stream)
        if isinstance(told, str):
            return None
        return str(told["StreamDescriptionSummary"]["StreamStatus"])

    def forget(self) -> None:
        """Begin another scenario."""
        self.numbers.clear()
        self.iterators.clear()

    def shown(self, answer: Any, stream: str) -> str:
        """Return an answer about a stream in words."""
        if isinstance(answer, str):
            return answer
        return json.dumps(self._plain(answer, stream), sort_keys=True)

    def _plain(self, value: Any, stream: str, name: str = "") -> Any:
        if isinstance(value, dict):
            members = {each: self._plain(value[each], stream, each) for each in value}
            return {each: plain for each, plain in members.items() if plain is not None}
        if isinstance(value, list):
            listed = [self._plain(each, stream) for each in value]
            return sorted(listed) if name == "ParentShards" else listed
        if value is None:
            return None
        if name in TIMES or name in TOKENS or name in ENDS:
            return "present"
        if name == "SequenceNumber":
            return self._record(value, stream)
        if name == "MillisBehindLatest":
            return type(value).__name__
        return value

    def _record(self, number: str, stream: str) -> str:
        named = (each for each in self.numbers if each.startswith(stream))
        return next((each for each in named if self.numbers[each] == number), "unknown")


def emulator_side(emulator: Emulator) -> KinesisSide:
    """Return the emulator, called as its skins call it."""

    def send(target: str, body: bytes) -> tuple[int, bytes]:
        answer = respond(emulator, target, body)
        return answer.status, answer.body

    return KinesisSide(send)


@contextmanager
def server_side(endpoint_url: str, *, keep_alive: bool = True) -> Iterator[KinesisSide]:
    """Yield a server. One whose clock is moved takes a connection that is kept alive for a stale one."""
    address = urlsplit(endpoint_url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)

    def send(target: str, body: bytes) -> tuple[int, bytes]:
        if not keep_alive:
            connection.close()
        headers = {
            "X-Amz-Target": target,
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/kinesis/"
            "aws4_request, SignedHeaders=host, Signature=none",
        }
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    try:
        yield KinesisSide(send)
    finally:
        connection.close()
