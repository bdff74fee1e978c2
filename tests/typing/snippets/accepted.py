"""What passes `mypy --strict`: exact types come back, resources are typed, groups are included."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, assert_type

from triggerkit import Context, Discard, Options, Retry, Triggers, Worker, events


class Resources:
    """What handlers share."""


@asynccontextmanager
async def lifespan() -> AsyncIterator[Resources]:
    yield Resources()


@contextmanager
def numbers() -> Iterator[int]:
    yield 7


shop = Triggers("shop")
orders = Triggers("orders", lifespan=lifespan, maximum_retry_attempts=5)
users = Triggers(lifespan=numbers)
shop.include(orders, users, prefix="all.")
assert_type(shop, Triggers[None])
assert_type(orders, Triggers[Resources])
assert_type(users, Triggers[int])

shared: Options = {"batch_size": 10, "starting_position": "LATEST"}


@orders.on("dynamodb://${PREFIX}orders", batch_size=100, on_failure="file:failures.jsonl")
async def notify(event: dict[str, Any], context: Context[Resources]) -> None:
    assert_type(context.resources, Resources)
    assert_type(context.attempt, int)
    if context.get_remaining_time_in_millis() < 10:
        raise Retry(after=30)
    raise Discard("why")


@users.on("dynamodb://users", "dynamodb://old-users", name="project", **shared)
def project(event: dict[str, Any], context: Context[int]) -> dict[str, int]:
    return {"resources": context.resources}


@shop.on("dynamodb://orders")
def first(event: dict[str, Any], context: Any) -> str:
    return "exact"


async def call(context: Context[Resources], other: Context[int]) -> None:
    await notify({}, context)
    assert_type(project({}, other), dict[str, int])
    assert_type(first({}, None), str)


def observe(event: events.Event) -> None:
    if isinstance(event, events.BatchDone):
        assert_type(event.duration_seconds, float)


async def beside() -> None:
    async with Worker(shop, users, state="memory:", observers=[observe], burst=False) as worker:
        assert_type(worker, Worker)
        assert_type(worker.snapshot().app, str)
