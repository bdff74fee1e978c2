"""Snippets 2, 3, 5 and 7: typed changes, exhaustive matches, exact types back, a test as a plain call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar, assert_never, assert_type

from triggerkit import (
    Batch,
    Change,
    Context,
    Discard,
    Inserted,
    Modified,
    Removed,
    Retry,
    Triggers,
)


@dataclass
class Order:
    id: str
    status: str


class Row(TypedDict):
    id: str


class Http:
    async def post(self, url: str, json: object) -> int:
        return 200


@dataclass
class Resources:
    http: Http


@asynccontextmanager
async def lifespan() -> AsyncIterator[Resources]:
    yield Resources(Http())


handlers = Triggers("orders", lifespan=lifespan, maximum_retry_attempts=5)


@handlers.each("dynamodb://${PREFIX}orders", on_failure="sqs://${PREFIX}orders-failed?payload=full")
async def notify(change: Modified[Order], context: Context[Resources]) -> None:
    assert_type(change.new, Order)
    assert_type(change.old, Order)
    status = await context.resources.http.post("https://example.org", json=change.diff())
    if status == 429:
        raise Retry(after=30)
    if status == 422:
        raise Discard("refused")


def upsert(order: Order) -> None: ...
def delete(key: str) -> None: ...


@handlers.each("dynamodb://orders")
def mirror(change: Change[Order]) -> str:
    match change:
        case Inserted(new=order) | Modified(new=order):
            upsert(order)
        case Removed(old=order):
            delete(order.id)
        case _:
            assert_never(change)
    return change.sequence_number


@handlers.each("dynamodb://orders", name="kinds")
def returns(change: Change[Order]) -> Order:
    match change:
        case Inserted(new=order):
            return order
        case Modified(old=order):
            return order
        case Removed(old=order, expired=True):
            return order
        case Removed(new=nothing, old=order):
            assert_type(nothing, None)
            return order


@handlers.batch("dynamodb://orders", batch_size=500)
def project(batch: Batch[Change[Order]], context: Context[Resources]) -> None:
    for change in batch:
        if change.changed("status", "address.city"):
            batch.fail(change, ValueError("no"))
    assert_type(batch[0], Inserted[Order] | Modified[Order] | Removed[Order])
    assert_type(len(batch), int)


@handlers.each("dynamodb://rows")
def row(change: Inserted[Row] | Removed[Row]) -> None:
    print(change.keys["id"], change.at.year, change.event_id, change.shard_id, change.raw["x"])


@handlers.each("dynamodb://plain")
def plain(change: Inserted[dict[str, Any]]) -> None:
    print(change.new["anything"])


@handlers.batch("dynamodb://plain", name="plain-batch")
async def plain_batch(batch: Batch[Modified[dict[str, Any]]], context: Context[Resources]) -> None:
    batch.fail(batch[0])


T = TypeVar("T")


class Testing(Generic[T]):
    """As builders of changes for tests are typed."""

    def modified(self, old: T, new: T) -> Modified[T]:
        raise NotImplementedError


async def test_notify(fake: Context[Resources]) -> None:
    await notify(Testing[Order]().modified(Order("1", "a"), Order("1", "b")), fake)
    assert_type(mirror(Inserted({}, *_facts())), str)


def _facts() -> tuple[Any, Any, Any, Any, Any, Any]:
    raise NotImplementedError
