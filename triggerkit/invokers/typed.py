"""A typed handler, ready to be called: one record becomes one change, and each image is decoded at most once.

The new image is read before the handler is called, so that a record that does not fit the handler's type
fails before anything is done for it; the old image is read on first use.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from triggerkit.core.changes import Batch, Change, EventName, Inserted, Modified, Removed
from triggerkit.core.item_json import decoded
from triggerkit.errors import ImageMismatchError
from triggerkit.invokers.annotations import HandlerAnnotation, Unit
from triggerkit.invokers.images import StreamImages
from triggerkit.invokers.models import Reader, reader_of
from triggerkit.ports import Invocation

AnyChange: TypeAlias = Change[Any]


def is_misfit(change: AnyChange, error: BaseException | None) -> bool:
    """Whether `error` is that an image of `change` does not fit the type of its item."""
    images = change.images
    return (
        isinstance(error, ImageMismatchError)
        and isinstance(images, StreamImages)
        and images.misfit is error
    )


_CLASSES: dict[EventName, Callable[..., AnyChange]] = {
    "INSERT": Inserted,
    "MODIFY": Modified,
    "REMOVE": Removed,
}


class _Kind(msgspec.Struct, rename="camel", gc=False):
    event_name: str


_KIND = msgspec.json.Decoder(_Kind)


@dataclass(frozen=True, slots=True)
class TypedHandler:
    """A function of `.each` or `.batch`, with what makes its argument.

    `readers`: the kinds of change that it wants, each with what makes its items.
    """

    function: Callable[..., Any]
    unit: Unit
    is_async: bool
    takes_context: bool
    readers: Mapping[EventName, Reader]

    def __call__(self, argument: object, context: object) -> Any:
        """Call the function, with the context if it takes one."""
        return self.function(argument, context) if self.takes_context else self.function(argument)

    def wants(self, raw: bytes) -> bool:
        """Whether the handler may want a stream record; only its kind of change is looked at."""
        if len(self.readers) == len(_CLASSES):
            return True
        try:
            name = _KIND.decode(raw).event_name
        except (ValueError, RecursionError):
            return True  # reading it says what is wrong
        return name in self.readers or name not in _CLASSES

    def reader_for(self, invocation: Invocation) -> Callable[[bytes], AnyChange | None]:
        """What makes changes of the call's raw records; see `read`."""
        source, shard = invocation.source, invocation.shard
        to_event, arn, name = source.to_event, source.shard_arn(shard), source.shard_name(shard)
        return lambda raw: self.read(to_event(raw, arn), name)

    def read(self, event: dict[str, Any], shard_name: str) -> AnyChange | None:
        """The change that one element of `Records` tells; None when the handler does not want it.

        Raises:
            ImageMismatchError: the new image does not fit the handler's type.
            ValueError, KeyError: it is no record of a DynamoDB stream.
        """
        name = event["eventName"]
        make = _CLASSES.get(name)
        if make is None:
            raise ValueError(f"eventName {name!r} is none of {', '.join(_CLASSES)}")
        read = self.readers.get(name)
        if read is None:
            return None
        part = event["dynamodb"]
        images = StreamImages(
            part,
            read,
            stream_arn=event.get("eventSourceARN", ""),
            inserted=name == "INSERT",
            removed=name == "REMOVE",
        )
        if name != "REMOVE" and images.carries("NewImage"):
            _ = images.new
        return make(
            decoded(part.get("Keys") or {}),
            datetime.fromtimestamp(part.get("ApproximateCreationDateTime", 0.0), UTC),
            event.get("eventID", ""),
            part.get("SequenceNumber", ""),
            shard_name,
            event,
            images,
        )

    def changes(self, event: Any) -> Iterator[AnyChange]:
        """Those of a whole event that the handler wants, outside of any stream."""
        for element in event["Records"]:
            change = self.read(element, "")
            if change is not None:
                yield change

    def as_event_handler(self) -> Callable[[Any, Any], Any]:
        """The same handler as one that takes an event and a context, sync or async as it is itself.

        For one call without a stream: the first record that fails ends it. A batch that reports failures
        answers them as Lambda's `batchItemFailures`.
        """
        return self._answer_async if self.is_async else self._answer

    def _answer(self, event: Any, context: Any) -> Any:
        if self.unit == "batch":
            batch = Batch(tuple(self.changes(event)))
            return _reported(batch, self(batch, context) if batch else None)
        for change in self.changes(event):
            result = self(change, context)
            if inspect.iscoroutine(result):
                return result  # nobody awaits it: the caller says so
        return None

    async def _answer_async(self, event: Any, context: Any) -> Any:
        if self.unit == "batch":
            batch = Batch(tuple(self.changes(event)))
            return _reported(batch, await self(batch, context) if batch else None)
        for change in self.changes(event):
            await self(change, context)
        return None


def typed_handler(
    annotation: HandlerAnnotation,
    function: Callable[..., Any],
    *,
    is_async: bool,
    takes_context: bool,
) -> TypedHandler:
    """The handler with its types resolved and its models built.

    Raises:
        HandlerSignatureError: the annotation or a model in it cannot be used.
    """
    models = annotation.checked_models()
    readers = {name: reader_of(model, annotation.where) for name, model in models.items()}
    return TypedHandler(function, annotation.unit, is_async, takes_context, readers)


def _reported(batch: Batch[AnyChange], result: object) -> object:
    if not batch.failed:
        return result
    numbers = [batch[index].sequence_number for index in batch.failed]
    return {"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}
