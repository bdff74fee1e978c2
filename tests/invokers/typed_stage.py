"""Typed handlers on the stage: records of a DynamoDB stream, and the invoker that a worker would build."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from invokers.handler_stage import Stage, invocation, on_stage

from triggerkit import Triggers
from triggerkit.core.changes import EventName
from triggerkit.core.model import Batch, Record
from triggerkit.core.outcome import Outcome, Succeeded
from triggerkit.invokers.inprocess import InProcessInvoker
from triggerkit.ports import Event, Invocation
from triggerkit.runtime.handlers import callable_of

STREAM_ARN = "arn:aws:dynamodb:eu-west-1:111111111111:table/orders/stream/2026-01-01T00:00:00.000"
AT_SECONDS = 1_700_000_000
Image = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """One stream record in short: its number, key and images."""

    number: str
    key: str
    new: Image | None = None
    old: Image | None = None
    kind: EventName | None = None
    by_time_to_live: bool = False

    @property
    def event_name(self) -> EventName:
        if self.kind is not None:
            return self.kind
        if self.old is None:
            return "INSERT"
        return "MODIFY" if self.new is not None else "REMOVE"

    def element(self) -> Event:
        change: dict[str, Any] = {
            "ApproximateCreationDateTime": float(AT_SECONDS),
            "Keys": {"id": {"S": self.key}},
        }
        for name, image in (("NewImage", self.new), ("OldImage", self.old)):
            if image is not None:
                change[name] = {"id": {"S": self.key}, **image}
        view = "NEW_AND_OLD_IMAGES" if self.new or self.old else "KEYS_ONLY"
        change |= {"SequenceNumber": self.number, "SizeBytes": 9, "StreamViewType": view}
        identity = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
        return {
            "eventID": f"event-{self.number}",
            "eventName": self.event_name,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "eu-west-1",
            "dynamodb": change,
            **({"userIdentity": identity} if self.by_time_to_live else {}),
            "eventSourceARN": STREAM_ARN,
        }

    def record(self) -> Record:
        raw = json.dumps(self.element()).encode()
        return Record(self.number, float(AT_SECONDS), self.key.encode(), raw)


def status(value: object) -> Image:
    return {"status": {"S": value}}


def rows(keys: str) -> tuple[Row, ...]:
    """One insert a letter: `aba` is two of the item `a` around one of `b`, numbered from 0."""
    return tuple(Row(str(i), key, new=status(f"{key}{i}")) for i, key in enumerate(keys))


def batch_of(given: Sequence[Row], **changes: Any) -> Batch:
    return Batch(0, tuple(row.record() for row in given), range(len(given)), **changes)


def call_with(given: Sequence[Row], **changes: Any) -> Invocation:
    return invocation(**{"batch": batch_of(given), **changes})


def typed_invoker(
    stage: Stage, function: Callable[..., Any], unit: Literal["each", "batch"], **settings: Any
) -> InProcessInvoker:
    """Declared as a user would, and built as a worker would."""
    handlers = Triggers("shop")
    getattr(handlers, unit)("dynamodb://orders", name="notify")(function)
    (trigger,) = handlers.triggers
    settings.setdefault("is_async", trigger.is_async)
    return stage.invoker(callable_of(trigger), **settings)  # type: ignore[arg-type]


def outcome_of(
    function: Callable[..., Any],
    given: Sequence[Row],
    *,
    unit: Literal["each", "batch"] = "each",
    call: Invocation | None = None,
    **settings: Any,
) -> Outcome:
    """The outcome of one call for `given`, on a stage of its own."""

    async def scene(stage: Stage) -> Outcome:
        invoker = typed_invoker(stage, function, unit, **settings)
        await invoker.start()
        outcome = await invoker.invoke(call or call_with(given))
        await invoker.close()
        return outcome

    return on_stage(scene)


def received(function: Callable[..., Any], *given: Row) -> None:
    """Call `function` for each of `given`; none may fail."""
    assert outcome_of(function, given) == Succeeded()
