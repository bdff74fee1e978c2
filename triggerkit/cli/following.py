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
from typing import Any, Literal, TypeAlias, assert_never

import click

from triggerkit.cli.digest import digest
from triggerkit.cli.item_keys import SoughtKey, read_key
from triggerkit.cli.output import has_colours
from triggerkit.cli.since import read_since
from triggerkit.core.lineage import ShardGraph
from triggerkit.core.locators import parse
from triggerkit.core.model import LATEST, TRIM_HORIZON, Page, Position, ShardId, after
from triggerkit.errors import PositionTrimmedError, SourceNotFoundError, ThrottledError, UsageError
from triggerkit.ports import Event, Services, Source
from triggerkit.registry import open_source
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.pools import ThreadRunner

POLL_SECONDS = 0.5
PAGE_LIMIT = 1000
CONTROL_PLANE_THREADS = 4


Form: TypeAlias = Literal["text", "json", "event"]


@dataclass(frozen=True, slots=True)
class Shown:
    """Which records, and in which form: a digest, a JSON line, or one event with all of them."""

    count: int | None
    from_start: bool
    since: str | None
    key: SoughtKey | None
    form: Form


def read_shown(given: Mapping[str, Any]) -> Shown:
    """What the flags of `tail` ask for.

    Raises:
        UsageError: two of them contradict each other, or one cannot be read.
    """
    if given["from_start"] and given["since"] is not None:
        raise UsageError("--from-start and --since contradict each other", hint="give one of them")
    if given["as_json"] and given["output"] == "text":
        raise UsageError("--json and -o text contradict each other", hint="give one of them")
    if given["since"] is not None:
        read_since(given["since"], SystemClock().now().service_seconds)
    form: Form = "text" if sys.stdout.isatty() else "json"
    if given["as_event"]:
        form = "event"
    elif given["as_json"] or given["output"]:
        form = given["output"] or "json"
    return Shown(
        count=given["count"],
        from_start=given["from_start"],
        since=given["since"],
        key=None if given["key"] is None else read_key(given["key"]),
        form=form,
    )


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
    if shown.form == "event":
        click.echo(json.dumps({"Records": kept}))


async def _print_events(
    text: str, shown: Shown, access: Mapping[str, str], kept: list[Event]
) -> None:
    run, clock = ThreadRunner("control-plane", CONTROL_PLANE_THREADS), SystemClock()
    source = open_source(parse(text), Services(run, clock, access))
    left = shown.count or sys.maxsize
    try:
        await source.prepare()  # from here on the clock is that of the service
        now_seconds = clock.now().service_seconds
        since_seconds = None if shown.since is None else read_since(shown.since, now_seconds)
        if shown.from_start:
            since_seconds = 0.0
        if since_seconds is None and sys.stdout.isatty():
            click.echo(f"changes of {text} from now on; Ctrl-C ends", err=True)
        async with aclosing(events(source, since_seconds)) as found:
            async for event in found:
                if shown.key is not None and not shown.key.fits(event):
                    continue
                _print(event, shown.form, kept)
                left -= 1
                if not left:
                    return
    finally:
        await source.close()
        run.close()


def _print(event: Event, form: Form, kept: list[Event]) -> None:
    match form:
        case "event":
            kept.append(event)
        case "json":
            click.echo(json.dumps(event))
        case "text":
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            click.echo(digest(event, width, colours=has_colours(sys.stdout)))
        case _:
            assert_never(form)


async def events(source: Source, since_seconds: float | None) -> AsyncGenerator[Event, None]:
    """All records from then on, parents before their children, over shards in no order; None: from now."""
    following = Following(source, LATEST if since_seconds is None else TRIM_HORIZON)
    await following.begin()
    while True:
        found = False
        for shard in list(following.positions):
            page = await following.read(shard)
            found = found or bool(page.records)
            for record in page.records:
                if record.at_seconds >= (since_seconds or 0.0):
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
