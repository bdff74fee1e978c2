"""`triggerkit record`: a stream into a cassette. Values are redacted before they are written anywhere.

Whatever ends a recording, its file is whole and says why it ended; it has every record that was read.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_never

import msgspec
from rich.status import Status

from triggerkit import __version__
from triggerkit.cassettes.lines import (
    Ended,
    Ending,
    Header,
    Recorded,
    ShardBegun,
    ShardClosed,
)
from triggerkit.cassettes.reading import without_account
from triggerkit.cassettes.redaction import SALT_BYTES, Redaction, Redactor, read_redaction
from triggerkit.cassettes.writing import CassetteFile
from triggerkit.commands.arguments import SoughtKey, read_duration, read_key, read_since
from triggerkit.commands.output import live_console, say
from triggerkit.commands.tail import (
    POLL_SECONDS,
    Closed,
    Following,
    Idle,
    Read,
    Started,
    Step,
    opened,
)
from triggerkit.core.locators import parse
from triggerkit.core.model import LATEST, TRIM_HORIZON, Record, ShardId
from triggerkit.core.snapshot import PAGES_AT_TIP
from triggerkit.core.words import counted
from triggerkit.errors import TriggerkitError, UsageError
from triggerkit.ports import Source
from triggerkit.runtime.clock import SystemClock
from triggerkit.sources.dynamodb.source import describe_stream
from triggerkit.sources.dynamodb.streams_api import StreamShape

TIP_POLL_SECONDS = 0.2
ROUNDS_IN_DOUBT = 150
"""Rounds without a record, a shard refusing or its children not listed yet, that are taken for the tip."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is recorded, where to, and what ends it; without `for_seconds` and `follow` the tip does."""

    output: Path
    force: bool
    from_start: bool
    since: str | None
    for_seconds: float | None
    follow: bool
    count: int | None
    key: SoughtKey | None
    redaction: Redaction

    @property
    def waits(self) -> bool:
        """Whether it waits for records that are still to come."""
        return self.follow or self.for_seconds is not None

    @property
    def from_tip(self) -> bool:
        """Whether it leaves out what is there already."""
        return self.waits and not self.from_start and self.since is None

    @property
    def span(self) -> str:
        """Which records, in words."""
        if self.from_tip:
            return "what comes from now on"
        return "what is there and what comes" if self.waits else "what is there"


def read_wanted(given: Mapping[str, Any]) -> Wanted:
    """What the flags of `record` ask for.

    Raises:
        UsageError: two of them contradict each other, or one cannot be read.
    """
    if given["from_start"] and given["since"] is not None:
        raise UsageError("--from-start and --since contradict each other", hint="give one of them")
    if given["follow"] and given["for_"] is not None:
        raise UsageError("--follow and --for contradict each other", hint="give one of them")
    if given["since"] is not None:
        read_since(given["since"], SystemClock().now().service_seconds)
    return Wanted(
        output=Path(given["output"]),
        force=given["force"],
        from_start=given["from_start"],
        since=given["since"],
        for_seconds=None if given["for_"] is None else read_duration(given["for_"], "--for"),
        follow=given["follow"],
        count=given["lines"],
        key=None if given["key"] is None else read_key(given["key"]),
        redaction=read_redaction(given["redact"], given["redact_all_but"], given["keep_prefix"]),
    )


def record(source: str, wanted: Wanted, access: Mapping[str, str]) -> None:
    """Record until the end that is wanted, Ctrl-C or SIGTERM.

    Raises:
        LocatorError, SourceError: the stream cannot be used. CassetteError: the file cannot.
    """
    with CassetteFile(wanted.output, force=wanted.force) as file:
        redactor = Redactor(wanted.redaction, secrets.token_bytes(SALT_BYTES))
        recording = Recording(source, wanted, file, redactor)
        failure: TriggerkitError | None = None
        try:
            asyncio.run(recording.run(access))
        except KeyboardInterrupt:
            recording.ending = "interrupted"
        except TriggerkitError as error:
            recording.ending, failure = "failed", error
        finally:
            recording.progress.clear()
        if file.has_header:
            size_bytes = file.finish(Ended(recording.ending))
            recording.progress.end(size_bytes, redactor)
        if failure is not None:
            raise failure
        if not file.has_header:
            say(f"nothing was recorded: {_why_nothing(wanted)}", err=True)


def _why_nothing(wanted: Wanted) -> str:
    what = (
        "no record came" if wanted.waits else "the stream has no such record that can still be read"
    )
    return f"{what}; {wanted.output} was not written"


@dataclass(slots=True)
class Progress:
    """What stderr shows: a count while it goes on, in a terminal; and how it ended."""

    source: str
    output: Path
    records: int = 0
    shards: set[str] = field(default_factory=set)
    _status: Status | None = None

    def begin(self, wanted: Wanted) -> None:
        """That it has begun, where somebody looks, and that contents are written."""
        if not wanted.redaction.is_any:
            say("nothing is redacted: the file will hold item contents; see --redact", err=True)
        if sys.stderr.isatty():
            say(f"recording {wanted.span} of {self.source}; Ctrl-C ends", err=True)
            self._status = Status(self._counts(), console=live_console(), spinner="line")
            self._status.start()

    def went_on(self) -> None:
        """Show the count."""
        if self._status is not None:
            self._status.update(self._counts())

    def clear(self) -> None:
        """Take the count away."""
        if self._status is not None:
            self._status.stop()

    def end(self, size_bytes: int, redactor: Redactor) -> None:
        """What was recorded, and the paths that nothing had."""
        say(
            f"recorded {self._counts()} of {self.source} in {self.output} ({size_bytes:,} bytes)",
            err=True,
        )
        flag = "--redact" if redactor.redaction.keep is None else "--redact-all-but"
        for path in redactor.unmet:
            say(f"warning: {flag} {path}: no record has it; is it misspelt?", err=True)

    def _counts(self) -> str:
        return f"{counted(self.records, 'record')} of {counted(len(self.shards), 'shard')}"


class Recording:
    """One run of `triggerkit record`."""

    def __init__(self, source: str, wanted: Wanted, file: CassetteFile, redactor: Redactor) -> None:
        self.ending: Ending = "tip"
        self.progress = Progress(source, wanted.output)
        self._wanted = wanted
        self._file = file
        self._redactor = redactor
        self._waiting: list[ShardBegun | ShardClosed] = []
        """What happened to shards before the first record; the header needs a record."""
        self._rests = 0.0
        self._started_seconds = 0.0
        self._shape: StreamShape | None = None

    async def run(self, access: Mapping[str, str]) -> None:
        """Read and write to the end. Raises LocatorError, SourceError, CassetteError."""
        this = asyncio.current_task()
        assert this is not None
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
        text = self.progress.source
        try:
            async with opened(text, access) as (source, services, now_seconds):
                if source.traits.kind != "change":
                    raise UsageError(
                        f"{text} has no changes of items",
                        hint="cassettes hold the streams of DynamoDB tables",
                    )
                self._shape = await describe_stream(parse(text), services)
                self._started_seconds = now_seconds
                self.progress.begin(self._wanted)
                limit = asyncio.timeout(self._wanted.for_seconds)
                try:
                    async with limit:
                        await self._follow(source)
                except TimeoutError:
                    if not limit.expired():
                        raise
                    self.ending = "time"
        except asyncio.CancelledError:  # Ctrl-C and SIGTERM
            self.ending = "interrupted"

    async def _follow(self, source: Source) -> None:
        wanted, since_seconds = self._wanted, 0.0
        start = LATEST if wanted.from_tip else TRIM_HORIZON
        if wanted.since is not None:
            since_seconds = read_since(wanted.since, self._started_seconds)
        following = Following(source, start, "record")
        poll_seconds = POLL_SECONDS if wanted.waits else TIP_POLL_SECONDS
        async with aclosing(following.steps(poll_seconds)) as steps:
            async for step in steps:
                self._take(step, following, since_seconds)
                if not isinstance(step, Idle):
                    self._file.flush()
                self.progress.went_on()
                if self._is_over(step, following):
                    return

    def _take(self, step: Step, following: Following, since_seconds: float) -> None:
        match step:
            case Started(shards=shards):
                for shard in shards:
                    self._write_shard(ShardBegun(shard.id, tuple(shard.parents)))
            case Read(shard=shard, records=records):
                for one in records:
                    if self._comes_after_the_start(one):
                        following.leave(shard)
                        break
                    if one.at_seconds >= since_seconds and not self._is_full:
                        self._write_record(shard, one)
            case Closed(shard=shard, children=children):
                self._write_shard(ShardClosed(shard, tuple(children)))
            case Idle():
                pass
            case _:
                assert_never(step)

    def _comes_after_the_start(self, one: Record) -> bool:
        """What is written while the tip is sought would keep it away for ever."""
        return not self._wanted.waits and one.at_seconds > self._started_seconds

    @property
    def _is_full(self) -> bool:
        return self._wanted.count is not None and self.progress.records >= self._wanted.count

    def _is_over(self, step: Step, following: Following) -> bool:
        if self._is_full:
            self.ending = "count"
            return True
        match step:
            case Idle(is_certain=is_certain):
                self._rests += 1 if is_certain else PAGES_AT_TIP / ROUNDS_IN_DOUBT
            case Started():
                pass
            case _:
                self._rests = 0
        at_tip = self._rests >= PAGES_AT_TIP and not self._wanted.waits
        return at_tip or not following.positions

    def _write_shard(self, line: ShardBegun | ShardClosed) -> None:
        self._waiting.append(line)
        if self._file.has_header:
            self._write_waiting()

    def _write_waiting(self) -> None:
        for line in self._waiting:
            self._file.write(line)
        self._waiting.clear()

    def _write_record(self, shard: ShardId, one: Record) -> None:
        wire = msgspec.json.decode(one.raw)
        if self._wanted.key is not None and not self._wanted.key.fits(wire):
            return
        if not self._file.has_header:
            self._file.begin(self._header(wire))
            self._write_waiting()
        raw = one.raw
        if self._wanted.redaction.is_any:
            raw = msgspec.json.encode(self._redactor.redacted(wire))
        self._file.write(Recorded(shard, msgspec.Raw(raw)))
        self.progress.records += 1
        self.progress.shards.add(shard)

    def _header(self, wire: Mapping[str, Any]) -> Header:
        """The first record has the types of the keys."""
        shape, redaction = self._shape, self._wanted.redaction
        assert shape is not None
        keys = wire["dynamodb"]["Keys"]
        names = shape.key_names or tuple(keys)
        at = datetime.fromtimestamp(int(self._started_seconds), UTC)
        return Header(
            triggerkit=__version__,
            table=shape.arn.table,
            keys=tuple((name, next(iter(keys[name]))) for name in names),
            view_type=shape.view_type or wire["dynamodb"].get("StreamViewType", ""),
            stream_arn=without_account(shape.arn.text) if redaction.is_any else shape.arn.text,
            recorded_at=at.isoformat(),
            redacted=redaction.redact,
            kept=redaction.keep,
            prefixes=redaction.prefixes,
        )
