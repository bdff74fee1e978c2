"""`triggerkit tail`. Rule: it reads a stream without any lease, so it disturbs no worker's position."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import click

from triggerkit.cli.flags import flag
from triggerkit.core.lineage import ShardGraph
from triggerkit.core.locators import parse
from triggerkit.core.model import LATEST, TRIM_HORIZON, Page, Position, ShardId, after
from triggerkit.errors import PositionTrimmedError, SourceNotFoundError, ThrottledError
from triggerkit.ports import Event, Services, Source
from triggerkit.registry import open_source
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.pools import ThreadRunner

POLL_SECONDS = 0.5
PAGE_LIMIT = 1000


@click.command(
    "tail",
    epilog="""\b
Examples:
  triggerkit tail dynamodb://orders
  triggerkit tail dynamodb://orders --from-start -n 10
  triggerkit tail dynamodb://orders --json | jq .dynamodb.Keys""",
)
@click.argument("source")
@click.option("--from-start", is_flag=True, help="From the trim horizon, not from now on.")
@click.option("-n", "--count", type=click.IntRange(min=1), help="Stop after so many records.")
@click.option("--json", "as_json", is_flag=True, help="One record a line, as a handler gets it.")
@click.option("--event", "as_event", is_flag=True, help="One event with all records, at the end.")
@flag("--profile", help="The AWS profile.")
@flag("--region", help="The AWS Region.")
@flag("--endpoint-url", help="Another endpoint, such as http://127.0.0.1:8000.")
def command(**given: Any) -> None:
    """Print the records of SOURCE as they come, until interrupted."""
    defaults = {key: given[key] for key in ("profile", "region", "endpoint_url") if given[key]}
    try:
        asyncio.run(tail(given, defaults))
    except KeyboardInterrupt:
        click.echo(err=True)


async def tail(given: dict[str, Any], defaults: dict[str, str]) -> None:
    """Print until the count is reached."""
    run = ThreadRunner("control-plane", 4)
    source = open_source(parse(given["source"]), Services(run, SystemClock(), defaults))
    as_json = given["as_json"] or not sys.stdout.isatty()
    kept: list[Event] = []
    try:
        await source.prepare()
        start = TRIM_HORIZON if given["from_start"] else LATEST
        left = given["count"] or sys.maxsize
        async for event in events(source, start):
            if given["as_event"]:
                kept.append(event)
            else:
                click.echo(json.dumps(event) if as_json else in_words(event))
            left -= 1
            if not left:
                break
    finally:
        await source.close()
        run.close()
    if given["as_event"]:
        click.echo(json.dumps({"Records": kept}))


async def events(source: Source, start: Position) -> AsyncIterator[Event]:
    """All records, parents before their children; over shards in no order."""
    following = Following(source, start)
    await following.begin()
    while True:
        found = False
        for shard in list(following.positions):
            page = await following.read(shard)
            found = found or bool(page.records)
            for record in page.records:
                yield source.to_event(record.raw, shard)
        if not found:
            await asyncio.sleep(POLL_SECONDS)


class Following:
    """Where each shard was read to; a shard is followed when its parents are read."""

    def __init__(self, source: Source, start: Position) -> None:
        self._source = source
        self._start = start
        self._ended: set[ShardId] = set()
        self.positions: dict[ShardId, Position] = {}

    async def begin(self) -> None:
        """Start at the roots, or at the leaves for LATEST."""
        graph = ShardGraph((await self._source.list_shards()).shards)
        if self._start == LATEST:
            shards = [shard for shard in graph.leaves() if not graph[shard].closed]
        else:
            shards = [shard.id for shard in graph if not graph.listed_parents(shard.id)]
        self.positions = dict.fromkeys(shards, self._start)

    async def read(self, shard: ShardId) -> Page:
        """The next page; at the end of a shard its children are followed."""
        position = self.positions[shard]
        try:
            page = await self._source.open(shard).fetch(position, PAGE_LIMIT)
        except PositionTrimmedError:
            click.echo(f"tail: records of {self._source.shard_name(shard)} were trimmed", err=True)
            self.positions[shard] = TRIM_HORIZON
            return Page()
        except ThrottledError:
            return Page()
        except SourceNotFoundError:
            page = Page(ended=True)
        if page.pinned_seconds is not None:
            self.positions[shard] = Position(LATEST.kind, at_seconds=page.pinned_seconds)
        elif page.records:
            self.positions[shard] = after(page.records[-1])
        if page.ended:
            await self._follow_children(shard)
        return page

    async def _follow_children(self, shard: ShardId) -> None:
        found = await self._source.children(shard)
        if not found.shards and not found.final:
            return  # not listed yet: the next read of the ended shard asks again
        del self.positions[shard]
        self._ended.add(shard)
        for child in found.shards:
            if not set(child.parents) & self.positions.keys():
                self.positions.setdefault(child.id, TRIM_HORIZON)


def in_words(event: Event) -> str:
    """One line for a person: when, what, which item; new and old where they are there."""
    change = event.get("dynamodb")
    if not isinstance(change, dict):
        return json.dumps(event)
    parts = [f"{event.get('eventName', ''):<6}", json.dumps(change.get("Keys"))]
    for name, image in (("new", "NewImage"), ("old", "OldImage")):
        if image in change:
            parts.append(f"{name} {json.dumps(change[image])}")
    return "  ".join(parts)
