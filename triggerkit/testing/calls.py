"""What handlers were called with, and calls that fail on purpose."""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, overload

from triggerkit.core.changes import Batch
from triggerkit.core.item_json import Wire, value_of
from triggerkit.core.outcome import Outcome
from triggerkit.handlers import is_async
from triggerkit.invokers.endings import fault_of
from triggerkit.testing.raised import Raised, failures_in, together, traceback_of


class SimulatedFailure(Exception):  # noqa: N818 - what a handler would raise, no error of ours
    """Raised in place of the handler by `fail_next`."""


@dataclass(slots=True)
class Call:
    """One call of a handler. `keys` are those of its records, in stream order.

    `event` is what the handler got: Lambda's event, a change, or a batch. `records` are the elements of
    `event["Records"]` behind it. `error` is what it raised; None when it returned.
    """

    trigger: str
    worker: str
    at_seconds: float
    event: Any = field(repr=False)
    records: tuple[Mapping[str, Any], ...] = field(repr=False)
    keys: tuple[object, ...]
    error: BaseException | None = None
    returned: bool = False


class Calls(Sequence[Call]):
    """Calls in the order in which they began."""

    __slots__ = ("_calls",)

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = tuple(calls)

    @property
    def keys(self) -> list[object]:
        """The key of each record of each call: `["1", "2", "1"]`; tuples where tables have a sort key."""
        return [key for call in self._calls for key in call.keys]

    @property
    def events(self) -> list[Any]:
        """What each call got."""
        return [call.event for call in self._calls]

    @property
    def failed(self) -> Calls:
        """Those that raised."""
        return Calls([call for call in self._calls if call.error is not None])

    @overload
    def __getitem__(self, index: int) -> Call: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Call]: ...

    def __getitem__(self, index: int | slice) -> Call | Sequence[Call]:
        return self._calls[index]

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        return f"Calls({list(self._calls)})"


class CallBook:
    """Keeps the calls of all workers, and which of the next ones fail.

    Args:
        now_seconds: service time.
        key_names: a table's key attributes, partition key first.
    """

    def __init__(
        self, now_seconds: Callable[[], float], key_names: Callable[[str], Sequence[str]]
    ) -> None:
        self._now_seconds = now_seconds
        self._key_names = key_names
        self._calls: list[Call] = []
        self._failing: Counter[str] = Counter()
        self._failing_late: Counter[str] = Counter()
        self._failures: list[Raised] = []

    def of(self, triggers: frozenset[str]) -> Calls:
        """The calls of these triggers."""
        return Calls([call for call in self._calls if call.trigger in triggers])

    def ended(self, trigger: str, outcome: Outcome) -> None:
        """A call ended so, or ended before the handler was reached."""
        self._failures += [
            Raised(trigger, failure.error_type, failure.error_message)
            for failure in failures_in(outcome)
            if failure.error_type != SimulatedFailure.__name__
        ]

    @property
    def raised(self) -> tuple[Raised, ...]:
        """The distinct errors of all calls; what `fail_next` raised is left out."""
        where: dict[tuple[str, str, str], str] = {}
        for call in self._calls:
            if call.error is None:
                continue
            type_name, text = fault_of(call.error, "")
            kind = Raised(call.trigger, type_name, text).kind
            if kind not in where:
                where[kind] = traceback_of(call.error)
        return tuple(
            replace(one, where=where.get(one.kind, "")) for one in together(self._failures)
        )

    def fail_next(self, trigger: str, times: int, *, late: bool = False) -> None:
        """Let the next calls fail: before the handler is called, or `late`, after its return."""
        (self._failing_late if late else self._failing)[trigger] += times

    def heal(self) -> None:
        """No call fails on purpose any more."""
        self._failing.clear()
        self._failing_late.clear()

    def watched(
        self, function: Callable[..., Any], trigger: str, worker: str
    ) -> Callable[..., Any]:
        """The same function, sync or async as it is, whose calls are kept here."""
        if is_async(function):

            @functools.wraps(function)
            async def call_async(*given: Any) -> Any:
                call = self._begin(trigger, worker, given[0])
                try:
                    result = await function(*given)
                    return self._returned(call, result)
                except BaseException as error:
                    call.error = error
                    raise

            return call_async

        @functools.wraps(function)
        def call_sync(*given: Any) -> Any:
            call = self._begin(trigger, worker, given[0])
            try:
                return self._returned(call, function(*given))
            except BaseException as error:
                call.error = error
                raise

        return call_sync

    def _begin(self, trigger: str, worker: str, argument: Any) -> Call:
        if self._failing[trigger] > 0:
            self._failing[trigger] -= 1
            raise SimulatedFailure(f"the simulation lets {trigger} fail")
        records = _records_of(argument)
        keys = tuple(self._key_of(record) for record in records)
        seen = copy.deepcopy(argument) if isinstance(argument, dict) else argument
        if isinstance(seen, dict):
            records = _records_of(seen)
        call = Call(trigger, worker, self._now_seconds(), seen, records, keys)
        self._calls.append(call)
        return call

    def _returned(self, call: Call, result: Any) -> Any:
        if self._failing_late[call.trigger] > 0:
            self._failing_late[call.trigger] -= 1
            raise SimulatedFailure(f"the simulation lets {call.trigger} fail after its return")
        call.returned = True
        return result

    def _key_of(self, record: Mapping[str, Any]) -> object:
        table = table_of(record.get("eventSourceARN", ""))
        return shown_key(record["dynamodb"]["Keys"], self._key_names(table))


def table_of(stream_arn: str) -> str:
    """The table in `arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL`."""
    return stream_arn.partition(":table/")[2].partition("/")[0]


def _records_of(argument: Any) -> tuple[Mapping[str, Any], ...]:
    match argument:
        case Batch():
            return tuple(change.raw for change in argument)
        case dict():
            return tuple(argument["Records"])
        case _:
            return (argument.raw,)


def shown_key(wire: Mapping[str, Wire], names: Sequence[str] = ()) -> object:
    """A key as tests compare it: the value itself, or a tuple where there is a sort key.

    `names` is the order, partition key first; as given unless told. Whole numbers are int.
    """
    values = tuple(_plain(value_of(wire[name])) for name in names or wire)
    return values[0] if len(values) == 1 else values


def _plain(value: object) -> object:
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return value
