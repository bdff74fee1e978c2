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

from triggerkit.commands.digest import digest
from triggerkit.commands.item_keys import SoughtKey, read_key
from triggerkit.commands.output import print_json_text, say, show_line
from triggerkit.commands.since import read_since
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
from triggerkit.errors import PositionTrimmedError, SourceNotFoundError, ThrottledError, UsageError
from triggerkit.ports import Event, Services, Source
from triggerkit.registry import open_source
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.colours import wants_colours
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
        count=given["lines"],
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
        say(err=True)
    if shown.form == "event":
        print_json_text(json.dumps({"Records": kept}))


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
            say(f"changes of {text} from now on; Ctrl-C ends", err=True)
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
            print_json_text(json.dumps(event))
        case "text":
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            show_line(digest(event, width, colours=wants_colours(sys.stdout)))
        case _:
            assert_never(form)


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
class Begun:
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
class Rested:
    """No shard had anything. `surely`: each was asked, none refused, and no child is still to be listed."""

    surely: bool


Step: TypeAlias = Begun | Read | Closed | Rested


class Following:
    """Where each shard was read to; a shard is followed when its parents are read.

    `command` is who tells that records were trimmed.
    """

    def __init__(self, source: Source, start: Position, command: str) -> None:
        self._source = source
        self._start = start
        self._command = command
        self._begun: set[ShardId] = set()
        self.positions: dict[ShardId, Position] = {}

    async def steps(self, poll_seconds: float) -> AsyncGenerator[Step, None]:
        """What happens, for ever; `poll_seconds` pass behind each round that found nothing."""
        yield Begun(await self._begin())
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
                yield Rested(surely=not refused)
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
        except SourceNotFoundError:
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
        return (closed, Begun(tuple(begun))) if begun else (closed,)

    async def _is_next(self, child: Shard, read: ShardId) -> bool:
        """Whether with `read` all is read that comes before a shard: a stream made anew has many parents."""
        if child.id in self._begun:
            return False
        unread = self.positions.keys() - {read}
        if len(child.parents) < 2 or not unread:
            return True
        graph = ShardGraph((await self._source.list_shards()).shards)
        parents = frozenset(child.parents)
        return unread.isdisjoint(parents | graph.ancestors_of(parents))
