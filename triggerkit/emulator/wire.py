"""Requests and answers as bytes, for the HTTP server and the in-process hook.

The checksum header is that of the intact body, whatever a planned damage does to the bytes; every answer carries a
request id and the emulator's own `Date`.
"""

from __future__ import annotations

import email.utils
import itertools
import json
import traceback
import zlib
from dataclasses import dataclass
from functools import lru_cache

from triggerkit.emulator.calls import Call
from triggerkit.emulator.engine import Emulator
from triggerkit.emulator.errors import EmulatorError
from triggerkit.emulator.faults import Damage

CONTENT_TYPE = "application/x-amz-json-1.0"
_REQUEST_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; with `damage` the connection is cut or reset."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    damage: Damage | None = None
    delay_seconds: float = 0.0


def respond(emulator: Emulator, target: str, body: bytes) -> Answer:
    """Return the answer to one request; waits in this thread where the call is held.

    Raises:
        UsageError: this thread made the barrier that holds the call.
    """
    call = take_up(emulator, target, body)
    call.run()
    return answer_of(emulator, call)


def take_up(emulator: Emulator, target: str, body: bytes) -> Call:
    """Return the call that a request is; one that cannot be read is refused when it is carried out."""
    return emulator.open_call(target, _request(body))


def answer_of(emulator: Emulator, call: Call) -> Answer:
    """Return what goes over the wire, damaged and delayed as planned."""
    try:
        status, body = 200, call.answer()
    except EmulatorError as error:
        status, body = error.status, json.dumps(error.body())
    except Exception:  # noqa: BLE001 (every client gets an answer)
        status, body = 500, json.dumps(_internal_failure(call.operation))
    whole = body.encode()
    headers = _headers(emulator, whole)
    faults = emulator.faults
    damage = faults.calls.damage(call.operation)
    if damage is not None:
        call.spoil(damage)
    delay_seconds = faults.delay_seconds(call.operation)
    match damage:
        case Damage.TRUNCATED:
            return Answer(status, headers, whole[: len(whole) // 2], None, delay_seconds)
        case Damage.CORRUPTED:
            return Answer(status, headers, _corrupted(whole), None, delay_seconds)
        case _:
            return Answer(status, headers, whole, damage, delay_seconds)


def _request(body: bytes) -> dict[str, object] | EmulatorError:
    """Return what a body says, or why it cannot be read."""
    try:
        request = json.loads(body or b"{}")
    except (ValueError, UnicodeDecodeError):
        return EmulatorError("SerializationException", "The request is not JSON")
    if not isinstance(request, dict):
        return EmulatorError("SerializationException", "The request is not a JSON object")
    if b"\\ud" in body.lower() and not _is_text(request):
        return EmulatorError("SerializationException", "The request has half a surrogate pair")
    return request


def _is_text(request: dict[str, object]) -> bool:
    """Return whether all strings of a request can be written as UTF-8."""
    try:
        json.dumps(request, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _internal_failure(operation: str) -> dict[str, str]:
    trace = traceback.format_exc(limit=-3)
    return EmulatorError(
        "InternalServerError", f"A fault of triggerkit's embedded endpoint in {operation}: {trace}"
    ).body()


def _headers(emulator: Emulator, body: bytes) -> tuple[tuple[str, str], ...]:
    headers = (
        ("Date", _date(int(emulator.clock.now_seconds()))),
        ("Content-Type", CONTENT_TYPE),
        ("x-amzn-RequestId", f"{next(_REQUEST_NUMBERS):032X}"),
    )
    if not emulator.faults.sends_checksums:
        return headers
    return (*headers, ("x-amz-crc32", str(zlib.crc32(body))))


@lru_cache(maxsize=4)
def _date(seconds: int) -> str:
    return email.utils.formatdate(seconds, usegmt=True)


def _corrupted(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + b"\xff\xfe\xfd\xfc"[: len(body) - middle] + body[middle + 4 :]
