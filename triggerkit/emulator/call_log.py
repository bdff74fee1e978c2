"""All calls in order: who asked for what, and what they were told.

Rule: no item's contents are kept, neither keys nor values: of a request only the members that name a
place in a table or stream, of an answer only how it ended. The newest calls are kept, a fixed number.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from triggerkit.emulator.errors import EmulatorError
from triggerkit.emulator.reading import read_token

KEPT_CALLS = 10_000
UNDER_WAY = "under way"
OK = "ok"
_LONGEST_VALUE = 1024
"""Longer than any token of ours."""
_ITERATOR = "ShardIterator"
_PLACES = frozenset(
    {
        "TableName",
        "IndexName",
        "StreamName",
        "StreamArn",
        "StreamARN",
        "ShardId",
        "ShardIteratorType",
        "SequenceNumber",
        "StartingSequenceNumber",
        "Timestamp",
        "Limit",
        "MaxResults",
        "ExclusiveStartShardId",
        "ShardToSplit",
        "ShardToMerge",
        "AdjacentShardToMerge",
        "ShardFilter",
        _ITERATOR,
    }
)


@dataclass(slots=True)
class LoggedCall:
    """One call. `outcome` is `ok`, the type of the error, `under way`, or what spoiled the answer."""

    number: int
    at_seconds: float
    operation: str
    asked: dict[str, str]
    outcome: str = UNDER_WAY

    def as_json(self) -> dict[str, Any]:
        """Return it as `/_sim/log` answers it."""
        return {
            "number": self.number,
            "at_seconds": self.at_seconds,
            "operation": self.operation,
            "asked": self.asked,
            "outcome": self.outcome,
        }


class CallLog:
    """The newest calls of one emulator. All methods come under its lock."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._calls: deque[LoggedCall] = deque(maxlen=KEPT_CALLS)

    def begin(self, at_seconds: float, operation: str, request: Mapping[str, Any]) -> LoggedCall:
        """Note a call that arrived; its outcome is told later."""
        # Every call passes here: what was asked is kept as it is, and made readable when it is read.
        asked = {name: _short(value) for name, value in request.items() if name in _PLACES}
        call = LoggedCall(next(self._numbers), at_seconds, operation, asked)
        self._calls.append(call)
        return call

    def calls(self, operation: str = "", after: int = 0) -> list[LoggedCall]:
        """Return calls in the order in which they arrived; `after` is the number of one seen before."""
        return [
            replace(call, asked=_readable(call.asked))
            for call in self._calls
            if call.number > after and operation in ("", call.operation)
        ]


def _short(value: object) -> str:
    """Return a value as text, without what an odd request may hide in it."""
    if isinstance(value, str):
        return value[:_LONGEST_VALUE]
    if isinstance(value, Mapping):
        return str(value.get("Type"))[:_LONGEST_VALUE]
    return str(value) if isinstance(value, (int, float)) else "?"


def _readable(asked: Mapping[str, str]) -> dict[str, str]:
    """Return what a request asks about; an iterator is shown as its place."""
    found = dict(asked)
    token = found.pop(_ITERATOR, None)
    if token is not None:
        try:
            place = read_token(token)
        except EmulatorError:
            found[_ITERATOR] = "not one of ours"
        else:
            found |= {"ShardId": place.shard_id, "after": str(place.after)}
    return found


def shard_of(request: Mapping[str, Any]) -> str:
    """Return the shard that a request is about, "" when it is about none."""
    token = request.get("ShardIterator")
    if isinstance(token, str):
        try:
            return read_token(token).shard_id
        except EmulatorError:
            return ""
    shard_id = request.get("ShardId")
    return shard_id if isinstance(shard_id, str) else ""
