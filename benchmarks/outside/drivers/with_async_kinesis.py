"""async-kinesis, as its README says: `async for` in a `while True`, with the checkpointer for DynamoDB.

Its time runs faster than the machine's, evenly: loop, timers and `time.time`.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import time

from line import ENDPOINT, PACE, POSITION, TABLE, Line, main

START = time.time()
_monotonic = time.monotonic
_BEGAN = _monotonic()
time.time = lambda: START + (_monotonic() - _BEGAN) * PACE


class PacedSelector(selectors.DefaultSelector):
    """Waits as much shorter as the subject's time is faster."""

    def select(self, timeout=None):
        """Wait for what is registered."""
        return super().select(None if timeout is None else timeout / PACE)


class PacedLoop(asyncio.SelectorEventLoop):
    """A loop in the subject's time."""

    def __init__(self):
        super().__init__(PacedSelector())

    def time(self):
        """Monotonic seconds of the subject."""
        return super().time() * PACE


from kinesis import Consumer, MemoryCheckPointer  # noqa: E402 (they are to see the paced time)

try:
    from kinesis import DynamoDBCheckPointer
except ImportError:  # before 2.2 there is none
    DynamoDBCheckPointer = None


def checkpointer():
    if DynamoDBCheckPointer is None:
        return MemoryCheckPointer(name="stage")
    # A lease is told by the machine's clock, in whole seconds; and so is the end of a row's life, which
    # would be over at once where the engine's time is a day ahead.
    return DynamoDBCheckPointer(
        name="stage",
        session_timeout=3,
        heartbeat_frequency=int(PACE),
        ttl_hours=240,
        endpoint_url=ENDPOINT,
    )


async def consume(line: Line) -> None:
    consumer = Consumer(
        stream_name=TABLE,
        endpoint_url=ENDPOINT,
        region_name="us-east-1",
        iterator_type=POSITION,
        checkpointer=checkpointer(),
        max_queue_size=100,
    )
    reader, _ = await asyncio.open_connection(sock=line.socket)
    async with consumer:
        if POSITION == "LATEST" and hasattr(consumer, "wait_ready"):
            await consumer.wait_ready(timeout=300)
        line.ready()
        while True:
            async for item in consumer:
                line.say(**item)
                if not await reader.readline():
                    return


async def stoppable(line: Line) -> None:
    """SIGTERM cancels the consumer's task, so that it leaves `async with` and closes in good order."""
    consuming = asyncio.ensure_future(consume(line))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consuming.cancel)
    try:
        await consuming
    except asyncio.CancelledError:
        print("stopped")


def run(line: Line) -> None:
    loop = PacedLoop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(stoppable(line))


if __name__ == "__main__":
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    main(run)
