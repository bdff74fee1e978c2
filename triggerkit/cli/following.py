"""Reading a stream without a lease. Rule: parents before their children; a shard is left when it is read.

Records that were trimmed before they were read are announced, never passed over in silence.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import click

from triggerkit.cli.digest import digest
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
CONTROL_PLANE_THREADS = 4


@dataclass(frozen=True, slots=True)
class Shown:
    """How many records, from where, and in which form; `as_event` wins over `as_json`."""

    count: int | None
    from_start: bool
    as_json: bool
    as_event: bool


def tail(source: str, shown: Shown, access: Mapping[str, str]) -> None:
    """Print records until the count is reached or Ctrl-C.

    Raises:
        LocatorError, SourceError: the stream cannot be used.
    """
    kept: list[Event] = []
    try:
        asyncio.run(_print_events(source, shown, access, kept))
    except KeyboardInterrupt:
        click.echo(err=True)
    if shown.as_event:
        click.echo(json.dumps({"Records": kept}))


async def _print_events(
    text: str, shown: Shown, access: Mapping[str, str], kept: list[Event]
) -> None:
    run = ThreadRunner("control-plane", CONTROL_PLANE_THREADS)
    source = open_source(parse(text), Services(run, SystemClock(), access))
    as_json = shown.as_json or not sys.stdout.isatty()
    left = shown.count or sys.maxsize
    try:
        await source.prepare()
        async with aclosing(events(source, shown.from_start)) as found:
            async for event in found:
                if shown.as_event:
                    kept.append(event)
                elif as_json:
                    click.echo(json.dumps(event))
                else:
                    click.echo(digest(event, shutil.get_terminal_size().columns))
                left -= 1
                if not left:
                    return
    finally:
        await source.close()
        run.close()


async def events(source: Source, from_start: bool) -> AsyncGenerator[Event, None]:
    """All records, parents before their children; over shards in no order."""
    following = Following(source, TRIM_HORIZON if from_start else LATEST)
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
        if page.records:
            self.positions[shard] = after(page.records[-1])
        elif page.pinned_seconds is not None:
            self.positions[shard] = Position(LATEST.kind, at_seconds=page.pinned_seconds)
        if page.ended:
            await self._follow_children(shard)
        return page

    async def _follow_children(self, shard: ShardId) -> None:
        found = await self._source.children(shard)
        if not found.shards and not found.final:
            return  # not listed yet: the next read of the ended shard asks again
        del self.positions[shard]
        for child in found.shards:
            if not set(child.parents) & self.positions.keys():
                self.positions.setdefault(child.id, TRIM_HORIZON)
