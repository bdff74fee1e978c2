"""Connections live where handlers live: a lifespan opens them once, `context.resources` hands them out.

The handler is async, so lanes and shards run concurrently on one loop; `timeout` cancels a slow call.

    triggerkit run examples/resources.py
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from triggerkit import Context, Triggers


class Mailer:
    """Stands for a client with a pool of connections."""

    async def send(self, who: str, what: str) -> None:
        await asyncio.sleep(0)
        print(f"to {who}: {what}")


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mailer]:
    yield Mailer()


handlers = Triggers("mail", lifespan=lifespan, maximum_retry_attempts=5)


@handlers.on("dynamodb://users", parallelization_factor=4, timeout=30)
async def greet(event: dict[str, Any], context: Context[Mailer]) -> None:
    for record in event["Records"]:
        if record["eventName"] == "INSERT":
            user = record["dynamodb"]["NewImage"]
            await context.resources.send(user["email"]["S"], "welcome")
