"""The emulator for boto3 clients of this process, without sockets.

No request of an attached client leaves the process: calls to DynamoDB, its Streams and Kinesis are answered here,
and a call to any other service is refused.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any, Protocol

from triggerkit.emulator.engine import DYNAMODB, KINESIS, STREAMS, Emulator
from triggerkit.emulator.faults import Damage
from triggerkit.emulator.site import RealClock
from triggerkit.emulator.wire import respond

_EVENTS = "before-send"
_HOOK_ID = "triggerkit-emulator"


class Hooked(Protocol):
    """A boto3 client or session; both know where their events are registered."""


def attach(session_or_client: Hooked, emulator: Emulator) -> None:
    """Route all calls of a boto3 session's later clients, or of one client, to `emulator`.

    Give the client a Region and any credentials; nothing is signed for AWS and no socket opens.
    """
    _events(session_or_client).register_first(
        f"{_EVENTS}.*.*", _Route(emulator), unique_id=_HOOK_ID
    )


def detach(session_or_client: Hooked) -> None:
    """Undo `attach`."""
    _events(session_or_client).unregister(f"{_EVENTS}.*.*", unique_id=_HOOK_ID)


def _events(session_or_client: Any) -> Any:
    meta = getattr(session_or_client, "meta", None)
    if meta is not None and hasattr(meta, "events"):
        return meta.events
    return session_or_client.events


class _Route:
    """The hook: botocore takes what it returns for the HTTP answer."""

    __slots__ = ("_emulator",)

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def __call__(self, request: Any, **_context: object) -> Any:
        from botocore.awsrequest import AWSResponse
        from botocore.compat import HTTPHeaders
        from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

        target = request.headers.get("X-Amz-Target", "")
        target = target.decode() if isinstance(target, bytes) else target
        if target.partition(".")[0] not in (DYNAMODB, STREAMS, KINESIS):
            raise EndpointConnectionError(endpoint_url=request.url)
        body = request.body or b""
        answer = respond(self._emulator, target, body.encode() if isinstance(body, str) else body)
        if answer.delay_seconds > 0:
            self._wait(answer.delay_seconds)
        if answer.damage in (Damage.RESET, Damage.CUT):
            raise ConnectionClosedError(endpoint_url=request.url)
        headers = {**dict(answer.headers), "Content-Length": str(len(answer.body))}
        return AWSResponse(
            request.url, answer.status, HTTPHeaders.from_dict(headers), _Body(answer.body)
        )

    def _wait(self, seconds: float) -> None:
        """Wait for a delayed answer; a clock that is not real is moved instead."""
        if isinstance(self._emulator.clock, RealClock):
            time.sleep(seconds)
        else:
            self._emulator.advance(seconds)


class _Body(io.BytesIO):
    """A body as urllib3 hands it to botocore."""

    def stream(self, **_options: object) -> Iterator[bytes]:
        yield self.read()
