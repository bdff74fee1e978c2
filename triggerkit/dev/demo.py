"""`triggerkit demo`: the real worker on the embedded endpoint; what is shown has happened.

Nothing leaves this machine: one loopback port, dummy credentials, state in memory, files in a temporary
folder that is removed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from triggerkit import Triggers
from triggerkit.commands.streams import silence
from triggerkit.configuration import Configuration
from triggerkit.dev.demo_show import DemoShow
from triggerkit.dev.sandbox import environment, sandboxed
from triggerkit.emulator import Emulator, RealClock, Server, serve
from triggerkit.errors import InternalError
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.colours import wants_colours
from triggerkit.runtime.logs import LogSettings, configure_logging
from triggerkit.runtime.process import worker_pools
from triggerkit.runtime.worker import RunFlags, RunningWorker
from triggerkit.settings import Flags, build_settings

TABLE = "orders"
POISON = "order-6"
LIMIT_SECONDS = 60.0

HANDLER = """\
handlers = Triggers("demo")

@handlers.on("dynamodb://orders", batch_size=4, maximum_retry_attempts=1,
             bisect_batch_on_function_error=True, on_failure="file:failures.jsonl")
def bill(event, context):
    for record in event["Records"]:
        order = record["dynamodb"].get("NewImage", {})
        if "total" not in order and record["eventName"] != "REMOVE":
            raise ValueError("an order without a total")
"""


def demo() -> None:
    """Play the demo on stdout.

    Raises:
        InternalError: the worker stopped by itself. TimeoutError: something never happened.
    """
    console = console_of(sys.stdout)
    own = {name: text for name, text in os.environ.items() if not name.startswith("TRIGGERKIT_")}
    with (
        tempfile.TemporaryDirectory(prefix="triggerkit-demo-") as folder,
        serve(Emulator(clock=RealClock())) as server,
        environment(sandboxed(own, server.endpoint_url)),
    ):
        restore = configure_logging(LogSettings("json", "critical"), StringIO())
        try:
            asyncio.run(asyncio.wait_for(play(server, Path(folder), console), LIMIT_SECONDS))
        finally:
            restore()


def console_of(stream: TextIO) -> Console:
    """Where the demo is shown; a reader that has seen enough does not end it in the middle."""
    colours = wants_colours(stream)
    return _PatientConsole(
        file=stream,
        color_system="standard" if colours else None,
        force_terminal=colours,
        highlight=False,
        soft_wrap=True,
    )


class _PatientConsole(Console):
    def on_broken_pipe(self) -> None:
        """Show nothing any more."""
        self.quiet = True
        silence(sys.stdout)


def make_handlers() -> Triggers[None]:
    """What the demo shows as `app.py`, for real."""
    names: dict[str, Any] = {"Triggers": Triggers}
    exec(compile(HANDLER, "app.py", "exec"), names)  # noqa: S102 - our own text, shown and run alike
    handlers = names["handlers"]
    assert isinstance(handlers, Triggers)
    return handlers


async def play(server: Server, folder: Path, console: Console) -> None:
    """The whole demo."""
    table = Table()
    await asyncio.to_thread(table.create)
    show = DemoShow(console, server.endpoint_url, HANDLER)
    show.opening()
    flags = Flags(app="demo", state="memory:")
    settings = build_settings(make_handlers(), Configuration(folder=folder), flags, os.environ)
    with worker_pools() as pools:
        worker = RunningWorker(settings, RunFlags(), pools, SystemClock(), (show.observe,))
        running = asyncio.ensure_future(worker.run())
        try:
            scenes = asyncio.ensure_future(play_scenes(server, table, show, folder))
            await asyncio.wait({scenes, running}, return_when=asyncio.FIRST_COMPLETED)
            if not scenes.done():
                scenes.cancel()
                await running  # it failed: raise what stopped it
                raise InternalError("the worker stopped", hint="run it again and report it")
            await scenes
        finally:
            worker.stop()
            await running
    show.closing()


async def play_scenes(server: Server, table: Table, show: DemoShow, folder: Path) -> None:
    """Write, fail, roll; each scene waits for what it is to show."""
    show.scene("1  Five orders are written; the handler is called with batches of up to four")
    await asyncio.to_thread(table.put, range(1, 6))
    await until(lambda: show.done >= 5)

    show.scene("2  One order in four is broken: retried, bisected, given up; its neighbours go on")
    await asyncio.to_thread(table.put, range(7, 10), before=[{"id": {"S": POISON}}])
    await until(lambda: show.done >= 8 and show.discarded == 1)
    show.failure_record(json.loads((folder / "failures.jsonl").read_text().splitlines()[0]))

    show.scene(
        "3  The stream's shard rolls over, as it does every few hours: parent first, then child"
    )
    await asyncio.to_thread(table.put, range(10, 12))
    server.emulator.roll(TABLE)
    await asyncio.to_thread(table.change, 11)
    await until(lambda: show.done >= 11 and show.shards_finished == 1)


async def until(reached: Callable[[], bool]) -> None:
    """Wait for what the observer sees."""
    while not reached():
        await asyncio.sleep(0.02)


class Table:
    """The demo's table, by boto3 as any program would use it."""

    def __init__(self) -> None:
        import boto3

        self._client = boto3.client("dynamodb")

    def create(self) -> None:
        """Create it with a stream."""
        self._client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )

    def put(self, numbers: range, before: list[dict[str, Any]] | None = None) -> None:
        """Write `before` as it is, then one whole order a number; all appear at once."""
        items = (before or []) + [
            {"id": {"S": f"order-{n}"}, "total": {"N": str(10 * n)}} for n in numbers
        ]
        requests: Any = [{"PutRequest": {"Item": item}} for item in items]
        self._client.batch_write_item(RequestItems={TABLE: requests})

    def change(self, number: int) -> None:
        """Change an order that exists."""
        self._client.update_item(
            TableName=TABLE,
            Key={"id": {"S": f"order-{number}"}},
            UpdateExpression="SET #s = :s",
            ExpressionAttributeNames={"#s": "status"},
            ExpressionAttributeValues={":s": {"S": "paid"}},
        )
