"""A stage for handlers: a source that decodes JSON, real handler threads, and a log that is a list."""

from __future__ import annotations

import asyncio
import inspect
import io
import itertools
import json
import math
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import structlog

from triggerkit.core.model import Batch, Children, LastFailure, Listing, Record, ShardId
from triggerkit.core.outcome import Failed, Outcome
from triggerkit.invokers.calls import Handler, HandlerSettings
from triggerkit.invokers.capture import capture_streams
from triggerkit.invokers.inprocess import InProcessInvoker
from triggerkit.invokers.lifespan import Lifespan, LifespanFactory
from triggerkit.invokers.places import Places
from triggerkit.ports import Event, Invocation, ShardReader
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.pools import HandlerThreads
from triggerkit.sources.dynamodb.service import TRAITS
from triggerkit.testing.inline import InlineHandlers

T = TypeVar("T")
SHARD = ShardId("2025:shardId-1")
_numbers = itertools.count()


class StageSource:
    """Raw records are JSON of whole event elements."""

    traits = TRAITS
    arn = "arn:aws:dynamodb:us-east-1:111111111111:table/t/stream/2025"
    name = "t"
    iam_actions: tuple[str, ...] = ()

    async def prepare(self) -> None: ...

    async def close(self) -> None: ...

    async def list_shards(self) -> Listing:
        raise NotImplementedError

    async def children(self, shard: ShardId) -> Children:
        raise NotImplementedError

    def open(self, shard: ShardId) -> ShardReader:
        raise NotImplementedError

    def shard_name(self, shard: ShardId) -> str:
        return shard.partition(":")[2]

    def shard_arn(self, shard: ShardId) -> str:
        return self.arn

    def to_event(self, raw: bytes, stream_arn: str) -> Event:
        event: Event = json.loads(raw)
        return event


def element(number: str, **image: object) -> Event:
    return {
        "eventID": number,
        "eventSource": "aws:dynamodb",
        "dynamodb": {"Keys": {"id": {"S": f"key-{number}"}}, "SequenceNumber": number, **image},
    }


def batch_of(numbers: Sequence[str], attempts: int = 0) -> Batch:
    records = tuple(Record(n, 0.0, b"k", json.dumps(element(n)).encode()) for n in numbers)
    return Batch(0, records, range(len(records)), attempts=attempts)


def invocation(*numbers: str, **changes: Any) -> Invocation:
    given: dict[str, Any] = {
        "request_id": f"request-{next(_numbers)}",
        "trigger": "notify",
        "source": StageSource(),
        "shard": SHARD,
        "batch": batch_of(numbers or ("1",)),
        "deadline": lambda: math.inf,
        "function_arn": "arn:aws:lambda:us-east-1:111111111111:function:notify",
    }
    return Invocation(**{**given, **changes})


@dataclass
class ListedLog:
    """What was logged: entries with the fields of the call, `level` included."""

    entries: list[MutableMapping[str, Any]] = field(default_factory=list)

    def logger(self) -> structlog.typing.FilteringBoundLogger:
        return structlog.wrap_logger(
            None,
            processors=[structlog.contextvars.merge_contextvars, self._keep],
            wrapper_class=structlog.make_filtering_bound_logger(0),
            context_class=dict,
        )

    def named(self, event: str) -> list[MutableMapping[str, Any]]:
        return [entry for entry in self.entries if entry["event"] == event]

    def printed(self) -> list[str]:
        return [entry["message"] for entry in self.named("handler_printed")]

    def _keep(self, _: object, level: str, entry: MutableMapping[str, Any]) -> NoReturn:
        self.entries.append({**entry, "level": level})
        raise structlog.DropEvent


@dataclass
class Stage:
    """One engine loop with handler places, and what was logged."""

    places: Places
    log: ListedLog = field(default_factory=ListedLog)

    def invoker(
        self,
        handler: Handler,
        *,
        lifespan: Lifespan | None = None,
        name: str = "notify",
        **settings: Any,
    ) -> InProcessInvoker:
        settings.setdefault("is_async", inspect.iscoroutinefunction(handler))
        return InProcessInvoker(
            name,
            handler,
            HandlerSettings(**settings),
            lifespan=lifespan,
            places=self.places,
            clock=SystemClock(),
            log=self.log.logger(),
        )

    def lifespan(self, factory: LifespanFactory) -> Lifespan:
        return Lifespan("shop", factory, self.log.logger())


def on_stage(scene: Callable[[Stage], Awaitable[T]], *, inline: bool = False) -> T:
    """Play `scene` on an engine loop and close its threads."""

    async def play() -> T:
        threads = InlineHandlers() if inline else HandlerThreads()
        try:
            return await scene(Stage(threads))
        finally:
            await threads.close()

    return asyncio.run(play())


def outcome_of(handler: Handler, call: Invocation | None = None, **settings: Any) -> Outcome:
    """Call `handler` once on a stage of its own."""

    async def scene(stage: Stage) -> Outcome:
        invoker = stage.invoker(handler, **settings)
        await invoker.start()
        outcome = await invoker.invoke(call or invocation())
        await invoker.close()
        return outcome

    return on_stage(scene)


def failure_of(outcome: Outcome) -> LastFailure:
    assert isinstance(outcome, Failed)
    return outcome.failure


@contextmanager
def own_streams() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Stdout and stderr of our own, captured; the test runner's come back."""
    before = sys.stdout, sys.stderr
    out, err = io.StringIO(), io.StringIO()
    sys.stdout, sys.stderr = out, err
    restore = capture_streams()
    try:
        yield out, err
        restore()
        assert (sys.stdout, sys.stderr) == (out, err)
    finally:
        sys.stdout, sys.stderr = before
