"""`POST /_sim/...`: the controls of a running emulator, for the commands of this machine's user.

Rule: without the token nothing is told and nothing is done; the token is made anew at each start and
lies in a file that only its owner reads. A control either happens whole or answers what is wrong.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from triggerkit.emulator.engine import Emulator
from triggerkit.emulator.errors import EmulatorError, not_found, validation
from triggerkit.emulator.requests import Request, optional_text, positive, required_map, text
from triggerkit.emulator.wire import Answer

PREFIX = "/_sim/"
TOKEN_HEADER = "x-triggerkit-token"  # noqa: S105 (the header's name)
THROTTLED_OPERATION = "GetRecords"
MAX_THROTTLES = 10_000


class Control:
    """What `/_sim/` can do to one emulator."""

    def __init__(self, emulator: Emulator, token: str) -> None:
        self._emulator = emulator
        self._token = token.encode()
        self._verbs: dict[str, Callable[[Request], dict[str, Any]]] = {
            "ping": self._ping,
            "roll": self._roll,
            "split": self._split,
            "expire": self._expire,
            "throttle": self._throttle,
            "ttl": self._ttl,
        }

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Carry out the control that `path` names; nothing is raised."""
        given = headers.get(TOKEN_HEADER, "").encode()
        if not hmac.compare_digest(given, self._token):
            return _answer(403, {"message": f"{PREFIX} wants the token of this start"})
        verb = self._verbs.get(path.removeprefix(PREFIX))
        if verb is None:
            known = ", ".join(sorted(self._verbs))
            return _answer(404, {"message": f"{path} does not exist; known: {known}"})
        try:
            return _answer(200, verb(_request(body)))
        except EmulatorError as error:
            return _answer(400, {"message": error.message})
        except ValueError as error:  # a shard that is closed already, or a hash outside of it
            return _answer(400, {"message": str(error)})

    def _ping(self, _request: Request) -> dict[str, Any]:
        return {}

    def _roll(self, request: Request) -> dict[str, Any]:
        stream, shard = self._streaming(request), optional_text(request, "shard")
        return {"children": self._emulator.roll(stream, shard)}

    def _split(self, request: Request) -> dict[str, Any]:
        stream, shard = self._streaming(request), optional_text(request, "shard")
        return {"children": list(self._emulator.split(stream, shard))}

    def _expire(self, _request: Request) -> dict[str, Any]:
        self._emulator.expire_iterators()
        return {}

    def _throttle(self, request: Request) -> dict[str, Any]:
        operation = optional_text(request, "operation") or THROTTLED_OPERATION
        times = positive(request, "times") or 1
        if not self._emulator.knows(operation):
            raise validation(f"there is no operation {operation!r}")
        if times > MAX_THROTTLES:
            raise validation(f"times is {times}, at most {MAX_THROTTLES}")
        self._emulator.faults.throttle(operation, times)
        return {"operation": operation, "times": times}

    def _ttl(self, request: Request) -> dict[str, Any]:
        table, key = text(request, "table"), required_map(request, "key")
        found = self._emulator.call("GetItem", {"TableName": table, "Key": key})
        if "Item" not in found:
            raise not_found(f"table {table!r} has no item with that key")
        self._emulator.expire_item(table, key)
        return {}

    def _streaming(self, request: Request) -> str:
        """Return the table or stream that is named. Raises EmulatorError: its stream is off."""
        name = text(request, "stream")
        self._emulator.open_shards(name)
        return name


def _request(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        raise validation("the request is not JSON") from None
    if not isinstance(request, dict):
        raise validation("the request is not a JSON object")
    return request


def _answer(status: int, body: Mapping[str, Any]) -> Answer:
    return Answer(status, (("Content-Type", "application/json"),), json.dumps(body).encode())
