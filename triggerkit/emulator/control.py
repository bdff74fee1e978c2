"""`POST /_sim/...`: the controls of a running emulator, for the commands of this machine's user.

Rule: without the token nothing is told and nothing is done; the token is made anew at each start and
lies in a file that only its owner reads. A control either happens whole or answers what is wrong.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

from triggerkit.emulator.control_fields import Fields
from triggerkit.emulator.control_verbs import VERBS
from triggerkit.emulator.engine import Emulator
from triggerkit.emulator.errors import EmulatorError, validation
from triggerkit.emulator.wire import Answer

PREFIX = "/_sim/"
TOKEN_HEADER = "x-triggerkit-token"  # noqa: S105 (the header's name)


class Control:
    """What `/_sim/` can do to one emulator."""

    def __init__(self, emulator: Emulator, token: str) -> None:
        self._emulator = emulator
        self._token = token.encode()

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Carry out the control that `path` names; nothing is raised."""
        given = headers.get(TOKEN_HEADER, "").encode()
        if not hmac.compare_digest(given, self._token):
            return _answer(403, {"message": f"{PREFIX} wants the token of this start"})
        name = path.removeprefix(PREFIX)
        verb = VERBS.get(name)
        if verb is None:
            known = ", ".join(sorted(VERBS))
            return _answer(404, {"message": f"{path} does not exist; known: {known}"})
        try:
            fields = Fields(name, _request(body), self._emulator)
            fields.check(verb.members)
            return _answer(200, verb.carry_out(fields))
        except EmulatorError as error:
            return _answer(400, {"message": error.message})
        except ValueError as error:  # a shard that is closed already
            return _answer(400, {"message": str(error)})


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
