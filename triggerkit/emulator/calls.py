"""Calls on their way through the emulator, and the log of all of them.

A call is carried out once, whole, under the emulator's lock, and held at barriers outside of it: in process in the
caller's own thread, over HTTP without a thread. The log keeps no contents of items, neither keys nor values: of a
request only the members that name a place in a table or stream, of an answer only how it ended.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from triggerkit.emulator.barriers import LONGEST_HOLD_SECONDS, Barrier
from triggerkit.emulator.errors import EmulatorError
from triggerkit.emulator.plans import Damage
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
        """Add a call that arrived; its outcome is set later."""
        # Every call passes here, so iterators are decoded only when the log is read.
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
    """Return a value as short text; of a structure its type only."""
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


_FAULT = "fault of the emulator"


class Call:
    """A call that has arrived. `before` and `behind` are the barriers that hold it, if any."""

    __slots__ = ("_answer", "_entry", "_error", "_perform", "before", "behind")

    def __init__(
        self,
        perform: Callable[[], str],
        entry: LoggedCall,
        before: Barrier | None = None,
        behind: Barrier | None = None,
    ) -> None:
        self.before = before
        self.behind = behind
        self._perform = perform
        self._entry = entry
        self._answer = ""
        self._error: Exception | None = None

    @property
    def operation(self) -> str:
        """The operation that was called for."""
        return self._entry.operation

    def run(self) -> None:
        """Carry the call out in this thread, waiting at its barriers.

        Raises:
            UsageError: this thread made a barrier that holds the call.
        """
        if self.before is not None and not self.before.hold():
            self.abandon()
            return
        self.carry_out()
        if self.behind is not None and not self.behind.hold():
            self.abandon()

    def carry_out(self) -> None:
        """Do what the call asks for; `answer` has the outcome, also where the emulator itself fails."""
        try:
            self._answer = self._perform()
            self._entry.outcome = OK
        except EmulatorError as error:
            self._refuse(error)
        except Exception as error:  # noqa: BLE001 (`answer` raises it)
            self._error = error
            self._entry.outcome = _FAULT

    def abandon(self) -> None:
        """Give the call up at a barrier that nobody released; it is not carried out any more."""
        self._refuse(
            EmulatorError(
                "InternalServerError",
                f"The call was held at a barrier for {LONGEST_HOLD_SECONDS:g} s and nobody released it.",
                500,
            )
        )

    def spoil(self, damage: Damage) -> None:
        """Record how the answer is damaged."""
        self._entry.outcome += f", {damage.value}"

    def answer(self) -> str:
        """Return the answer as JSON text.

        Raises:
            EmulatorError: the answer is an error. Other exceptions are faults of the emulator.
        """
        if self._error is not None:
            raise self._error
        return self._answer

    def _refuse(self, error: EmulatorError) -> None:
        self._error = error
        self._entry.outcome = error.type
