"""What the demo shows: a line for each event that matters there."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec
from rich.console import Console
from rich.markup import escape

from triggerkit.core import events
from triggerkit.core.model import Batch, Record
from triggerkit.core.outcome import (
    Failed,
    GivenUp,
    NotInvoked,
    Outcome,
    PartlyFailed,
    RecordsEnded,
    Succeeded,
)


class DemoShow:
    """An observer of the worker that speaks to a person."""

    def __init__(self, console: Console, endpoint_url: str, code: str) -> None:
        self._console = console
        self._endpoint_url = endpoint_url
        self._code = code
        self.done = 0
        self.discarded = 0
        self.shards_finished = 0
        self._calls = 0
        self._saves = 0

    def opening(self) -> None:
        """Where we are, and the code that runs."""
        say = self._console.print
        say(
            f"\n[bold]triggerkit demo[/]  the real worker on an embedded DynamoDB at {self._endpoint_url}"
        )
        say("Table [bold]orders[/], stream on with NEW_AND_OLD_IMAGES. This is app.py:\n")
        for line in self._code.splitlines():
            say(f"    [cyan]{escape(line)}[/]")

    def scene(self, title: str) -> None:
        """A heading."""
        self._console.print(f"\n[bold]{escape(title)}[/]")

    def observe(self, event: events.Event) -> None:
        """One line for an event that matters here."""
        match event:
            case events.BatchDone(batch=batch, outcome=outcome):
                self._show_call(batch, outcome)
            case events.BatchFailed(batch=batch, outcome=outcome):
                self._show_call(batch, outcome)
            case events.RecordsDiscarded(batch=batch, condition=condition):
                self.discarded += len(batch)
                self._line("red", "given up", f"{_keys(batch)}: {condition.value}")
            case events.ShardFinished(children=children):
                self.shards_finished += 1
                count = len(children or ())
                self._line("blue", "shard end", f"everything of it is done; {count} child follows")
            case events.ShardTaken() if not self.shards_finished:
                self._line("blue", "lease", "this worker reads the stream's shard")
            case events.CheckpointSaved():
                self._saves += 1
            case _:
                pass

    def failure_record(self, document: dict[str, Any]) -> None:
        """What the on-failure file holds."""
        context = document["requestContext"]
        place = document["DDBStreamBatchInfo"]
        self._line(
            "red",
            "on_failure",
            f"failures.jsonl: condition {context['condition']}, "
            f"{context['approximateInvokeCount']} calls, {place['batchSize']} record, "
            "with the event itself as payload",
        )

    def closing(self) -> None:
        """What happened in all, and how to go on."""
        say = self._console.print
        say(
            f"\n[bold]{self.done} changes done, {self.discarded} given up, none lost[/]: "
            f"{self._calls} calls, {self._saves} checkpoints, {self.shards_finished} rollover."
        )
        say("\nGo on with a trigger of your own, on this machine:")
        for line in (
            "triggerkit init                         choose a blueprint, name a table",
            "triggerkit dev                          run it here, reloaded when you edit",
            """triggerkit put orders '{"id": "1"}'      write an item, see it arrive""",
        ):
            say(f"  [cyan]{escape(line)}[/]")
        say("Or with a table on AWS:")
        for line in (
            "triggerkit check app:handlers --aws     what would stop a start",
            "triggerkit run app:handlers             run it; Ctrl-C drains and releases",
        ):
            say(f"  [cyan]{escape(line)}[/]")

    def _show_call(self, batch: Batch, outcome: Outcome) -> None:
        self._calls += 1
        attempt = f"  (attempt {batch.attempts + 1})" if batch.attempts else ""
        match outcome:
            case Succeeded():
                self.done += len(batch)
                self._line("green", "done", f"{_keys(batch)}{attempt}")
            case PartlyFailed(index=index):
                self.done += index
                self._line("yellow", "partly failed", f"{_keys(batch)}{attempt}")
            case RecordsEnded(done=done):
                self.done += len(done)
                self._line("yellow", "partly failed", f"{_keys(batch)}{attempt}")
            case Failed(failure=failure) | GivenUp(failure=failure):
                why = f"{failure.error_type}: {failure.error_message}"
                self._line("yellow", "failed", f"{_keys(batch)}{attempt}  {why}")
            case NotInvoked(reason=reason):
                self._line("yellow", "not invoked", f"{_keys(batch)}  {reason}")
            case _:
                assert_never(outcome)

    def _line(self, colour: str, what: str, text: str) -> None:
        self._console.print(f"  [{colour}]{what:<10}[/] {escape(text)}")


def _keys(batch: Batch) -> str:
    return "[" + ", ".join(_key(record) for record in batch.records) + "]"


def _key(record: Record) -> str:
    change: dict[str, Any] = msgspec.json.decode(record.raw)
    name = change["dynamodb"]["Keys"]["id"]["S"]
    return f"{change['eventName']} {name}"
