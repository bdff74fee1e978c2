"""Requests and answers as bytes: what the HTTP server and the in-process hook share.

Rule: the checksum header is that of the intact body, whatever a planned damage does to the bytes;
every answer carries a request id and the emulator's own `Date`.
"""

from __future__ import annotations

import email.utils
import itertools
import json
import traceback
import zlib
from dataclasses import dataclass
from functools import lru_cache

from triggerkit.emulator.engine import Emulator
from triggerkit.emulator.errors import EmulatorError
from triggerkit.emulator.faults import Damage

CONTENT_TYPE = "application/x-amz-json-1.0"
_REQUEST_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `damage` tells the server to spoil the connection, not the bytes."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    damage: Damage | None = None
    delay_seconds: float = 0.0


def respond(emulator: Emulator, target: str, body: bytes) -> Answer:
    """Return the answer to one request; nothing is raised."""
    operation = target.rpartition(".")[2]
    try:
        status, answer = 200, emulator.call_as_json(target, _request(body))
    except EmulatorError as error:
        status, answer = error.status, json.dumps(error.body())
    except Exception:  # noqa: BLE001 (a fault of ours must still be an answer, with its traceback)
        status, answer = 500, json.dumps(_internal_failure(target))
    whole = answer.encode()
    headers = _headers(emulator, whole)
    damage = emulator.faults.planned_damage(operation)
    delay_seconds = emulator.faults.delay_seconds(operation)
    match damage:
        case Damage.TRUNCATED:
            return Answer(status, headers, whole[: len(whole) // 2], None, delay_seconds)
        case Damage.CORRUPTED:
            return Answer(status, headers, _corrupted(whole), None, delay_seconds)
        case _:
            return Answer(status, headers, whole, damage, delay_seconds)


def _request(body: bytes) -> dict[str, object]:
    try:
        request = json.loads(body or b"{}")
    except (ValueError, UnicodeDecodeError):
        raise EmulatorError("SerializationException", "The request is not JSON") from None
    if not isinstance(request, dict):
        raise EmulatorError("SerializationException", "The request is not a JSON object")
    if b"\\ud" in body.lower() and not _is_text(request):
        raise EmulatorError("SerializationException", "The request has half a surrogate pair")
    return request


def _is_text(request: dict[str, object]) -> bool:
    """Tell whether all strings of a request can be written as UTF-8."""
    try:
        json.dumps(request, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _internal_failure(target: str) -> dict[str, str]:
    return {
        "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError",
        "message": f"A fault of triggerkit's embedded endpoint in {target}: "
        f"{traceback.format_exc(limit=-3)}",
    }


def _headers(emulator: Emulator, body: bytes) -> tuple[tuple[str, str], ...]:
    return (
        ("Date", _date(int(emulator.clock.now_seconds()))),
        ("Content-Type", CONTENT_TYPE),
        ("x-amzn-RequestId", f"{next(_REQUEST_NUMBERS):032X}"),
        ("x-amz-crc32", str(zlib.crc32(body))),
    )


@lru_cache(maxsize=4)
def _date(seconds: int) -> str:
    return email.utils.formatdate(seconds, usegmt=True)


def _corrupted(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + b"\xff\xfe\xfd\xfc"[: len(body) - middle] + body[middle + 4 :]
