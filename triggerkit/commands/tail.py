"""`triggerkit tail`, and reading a stream without a lease: parents before their children.

Records that were trimmed before they were read are announced, never passed over in silence.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from triggerkit.commands.arguments import SoughtKey, read_key, read_since
from triggerkit.commands.digest import digest
from triggerkit.commands.loading import CONTROL_PLANE_THREADS
from triggerkit.commands.output import print_json_text, say, show_line
from triggerkit.core.lineage import ShardGraph
from triggerkit.core.locators import parse
from triggerkit.core.model import (
    LATEST,
    TRIM_HORIZON,
    Page,
    Position,
    Record,
    Shard,
    ShardId,
    after,
)
from triggerkit.errors import PositionTrimmedError, ShardGoneError, ThrottledError, UsageError
from triggerkit.ports import Event, Services, Source
from triggerkit.registry import open_source
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.colours import wants_colours
from triggerkit.runtime.pools import ThreadRunner

POLL_SECONDS = 0.5
PAGE_LIMIT = 1000


def tail(source: str, given: Mapping[str, Any], access: Mapping[str, str]) -> None:
    """Print records until the count is reached or Ctrl-C: a digest a line, JSON a line, or one event.

    Raises:
        UsageError: flags contradict each other, or one cannot be read.
        LocatorError, SourceError: the stream cannot be used.
    """
    if given["from_start"] and given["since"] is not None:
        raise UsageError("--from-start and --since contradict each other", hint="give one of them")
    if given["as_json"] and given["output"] == "text":
        raise UsageError("--json and -o text contradict each other", hint="give one of them")
    if given["since"] is not None:
        read_since(given["since"], SystemClock().now().service_seconds)
    key = None if given["key"] is None else read_key(given["key"])
    kept: list[Event] = []
    show: Callable[[Event], None] = (
        _print_json if given["as_json"] or given["output"] == "json" else _print_digest
    )
    if given["as_event"]:
        show = kept.append
    elif not (given["output"] or sys.stdout.isatty()):
        show = _print_json
    try:
        asyncio.run(_show_events(source, given, key, access, show))
    except KeyboardInterrupt:
        say(err=True)
    if given["as_event"]:
        print_json_text(json.dumps({"Records": kept}))


async def _show_events(
    text: str,
    given: Mapping[str, Any],
    key: SoughtKey | None,
    access: Mapping[str, str],
    show: Callable[[Event], None],
) -> None:
    async with opened(text, access) as (source, _, now_seconds):
        since_seconds = 0.0 if given["from_start"] else None
        if given["since"] is not None:
            since_seconds = read_since(given["since"], now_seconds)
        if since_seconds is None and sys.stdout.isatty():
            say(f"changes of {text} from now on; Ctrl-C ends", err=True)
        left = given["lines"] or sys.maxsize
        async with aclosing(events(source, since_seconds)) as found:
            async for event in found:
                if key is None or key.fits(event):
                    show(event)
                    left -= 1
                    if not left:
                        return


@asynccontextmanager
async def opened(
    text: str, access: Mapping[str, str]
) -> AsyncIterator[tuple[Source, Services, float]]:
    """A source that can be read, what it was opened with, and the service's time in UNIX seconds."""
    run, clock = ThreadRunner("control-plane", CONTROL_PLANE_THREADS), SystemClock()
    services = Services(run, clock, access)
    source = open_source(parse(text), services)
    try:
        await source.prepare()  # from here on the clock is that of the service
        yield source, services, clock.now().service_seconds
    finally:
        await source.close()
        run.close()


def _print_json(event: Event) -> None:
    print_json_text(json.dumps(event))


def _print_digest(event: Event) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    show_line(digest(event, width, colours=wants_colours(sys.stdout)))


async def events(source: Source, since_seconds: float | None) -> AsyncGenerator[Event, None]:
    """All records from then on, parents before their children, over shards in no order; None: from now."""
    following = Following(source, LATEST if since_seconds is None else TRIM_HORIZON, "tail")
    async with aclosing(following.steps(POLL_SECONDS)) as steps:
        async for step in steps:
            if isinstance(step, Read):
                arn = source.shard_arn(step.shard)
                for record in step.records:
                    if record.at_seconds >= (since_seconds or 0.0):
                        yield source.to_event(record.raw, arn)


@dataclass(frozen=True, slots=True)
class Started:
    """These shards are followed from now on."""

    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """Records of one shard, oldest first."""

    shard: ShardId
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """A shard was read to its end."""

    shard: ShardId
    children: tuple[ShardId, ...]


@dataclass(frozen=True, slots=True)
class Idle:
    """No shard had anything. `is_certain`: each was asked, none refused, and no child is still to be listed."""

    is_certain: bool


Step: TypeAlias = Started | Read | Closed | Idle


class Following:
    """Where each shard was read to; a shard is followed when its parents are read.

    `command` begins the line that says that records were trimmed.
    """

    def __init__(self, source: Source, start: Position, command: str) -> None:
        self._source = source
        self._start = start
        self._command = command
        self._begun: set[ShardId] = set()
        self.positions: dict[ShardId, Position] = {}

    async def steps(self, poll_seconds: float) -> AsyncGenerator[Step, None]:
        """What happens, for ever; `poll_seconds` pass after each round that found nothing."""
        yield Started(await self._begin())
        while True:
            moved, refused = False, False
            for shard in list(self.positions):
                page = await self._read(shard)
                if page is None:
                    refused = True
                elif page.records:
                    moved = True
                    yield Read(shard, page.records)
                if page is not None and page.ended and shard in self.positions:
                    steps = await self._follow_children(shard)
                    moved, refused = moved or bool(steps), refused or not steps
                    for step in steps:
                        yield step
            if not moved:
                yield Idle(is_certain=not refused)
                await asyncio.sleep(poll_seconds)

    def leave(self, shard: ShardId) -> None:
        """Read no more of a shard."""
        self.positions.pop(shard, None)

    async def _begin(self) -> tuple[Shard, ...]:
        """Start at the roots, or at the leaves for LATEST."""
        graph = ShardGraph((await self._source.list_shards()).shards)
        if self._start == LATEST:
            shards = [graph[shard] for shard in graph.leaves() if not graph[shard].closed]
        else:
            shards = [shard for shard in graph if not graph.listed_parents(shard.id)]
        self.positions = {shard.id: self._start for shard in shards}
        self._begun.update(self.positions)
        return tuple(shards)

    async def _read(self, shard: ShardId) -> Page | None:
        """The next page; None: not now."""
        position = self.positions[shard]
        try:
            page = await self._source.open(shard).fetch(position, PAGE_LIMIT)
        except PositionTrimmedError:
            name = self._source.shard_name(shard)
            say(f"{self._command}: records of {name} were trimmed", err=True)
            self.positions[shard] = TRIM_HORIZON
            return None
        except ThrottledError:
            return None
        except ShardGoneError:
            page = Page(ended=True)
        if page.records:
            self.positions[shard] = after(page.records[-1])
        elif page.pinned_seconds is not None:
            self.positions[shard] = Position(LATEST.kind, at_seconds=page.pinned_seconds)
        return page

    async def _follow_children(self, shard: ShardId) -> tuple[Step, ...]:
        """Go on in the children whose parents are all read; nothing while they are not listed yet."""
        try:
            found = await self._source.children(shard)
            begun = [child for child in found.shards if await self._is_next(child, shard)]
        except ThrottledError:
            return ()
        if not found.shards and not found.final:
            return ()  # the next read of the ended shard asks again
        del self.positions[shard]
        self.positions |= {child.id: TRIM_HORIZON for child in begun}
        self._begun.update(child.id for child in begun)
        closed = Closed(shard, tuple(child.id for child in found.shards))
        return (closed, Started(tuple(begun))) if begun else (closed,)

    async def _is_next(self, child: Shard, read: ShardId) -> bool:
        """Whether with `read` everything before a shard is read: a stream that was made again has many parents."""
        if child.id in self._begun:
            return False
        unread = self.positions.keys() - {read}
        if len(child.parents) < 2 or not unread:
            return True
        graph = ShardGraph((await self._source.list_shards()).shards)
        parents = frozenset(child.parents)
        return unread.isdisjoint(parents | graph.ancestors_of(parents))
