"""The source `lines://FOLDER`: each file `NAME.txt` in it is a shard, each line `SECONDS TEXT` a record."""

from __future__ import annotations

import json
from pathlib import Path

from triggerkit.errors import SourceNotFoundError
from triggerkit.ports import (
    Children,
    Event,
    Listing,
    Locator,
    Page,
    Position,
    PositionKind,
    Record,
    Services,
    Shard,
    ShardId,
    Source,
    SourceTraits,
    check_keys,
)

TRAITS = SourceTraits(
    kind="record",
    retention_seconds=7 * 24 * 3600.0,
    page_records=100,
    full_page_bytes=100_000,
    call_seconds=10.0,
    reply_bytes=2**20,
    starting_positions=frozenset({"TRIM_HORIZON", "AT_TIMESTAMP"}),
    batch_info="LinesBatchInfo",
    arrival_precision="milliseconds",
)


def open(locator: Locator, services: Services) -> Source:
    """Open `lines://FOLDER`, relative to the base path. Raises LocatorError: it has a key."""
    check_keys(locator, frozenset())
    return LinesSource(locator.name, Path(services.base_path, locator.name), services)


class LinesSource:
    """Implements `triggerkit.ports.Source`."""

    def __init__(self, name: str, folder: Path, services: Services) -> None:
        self.traits = TRAITS
        self.name = self.identity = f"lines/{name}"
        self.arn = name
        self.former_names: tuple[str, ...] = ()
        self.iam_actions: tuple[str, ...] = ()
        self._folder = folder
        self._services = services

    async def prepare(self) -> None:
        """Look whether the folder is there. Raises SourceNotFoundError."""
        if not await self._services.run(self._folder.is_dir):
            raise SourceNotFoundError(f"{self._folder} is no folder", hint="make it")

    async def list_shards(self) -> Listing:
        """Every file."""
        files = await self._services.run(lambda: sorted(self._folder.glob("*.txt")))
        now_seconds = self._services.clock.now().service_seconds
        shards = tuple(Shard(ShardId(file.stem)) for file in files)
        return Listing(shards, True, now_seconds, now_seconds - TRAITS.retention_seconds)

    async def children(self, shard: ShardId) -> Children:
        """None: a file does not end."""
        del shard
        return Children(())

    def open(self, shard: ShardId) -> LinesReader:
        """The reader of one file."""
        return LinesReader(self._folder / f"{shard}.txt", self._services)

    def shard_name(self, shard: ShardId) -> str:
        """The file's name."""
        return shard

    def shard_arn(self, shard: ShardId) -> str:
        """The names of folder and file."""
        return f"{self.arn}/{shard}"

    def to_event(self, raw: bytes, stream_arn: str) -> Event:
        """What a handler gets."""
        file = stream_arn.rpartition("/")[2]
        return {"eventSource": "lines", "file": file, **json.loads(raw)}

    async def close(self) -> None:
        """Nothing is open."""


class LinesReader:
    """Implements `triggerkit.ports.ShardReader`."""

    def __init__(self, file: Path, services: Services) -> None:
        self._file = file
        self._services = services

    async def fetch(self, position: Position, limit: int) -> Page:
        """The lines after `position`."""
        records = await self._services.run(self._read)
        match position.kind:
            case PositionKind.AFTER:
                records = records[int(position.sequence_number) :]
            case PositionKind.AT_TIMESTAMP:
                records = [one for one in records if one.at_seconds >= position.at_seconds]
        found = tuple(records[:limit])
        now_seconds = self._services.clock.now().service_seconds
        return Page(found, sum(len(one.raw) for one in found), service_seconds=now_seconds)

    async def close(self) -> None:
        """Nothing is open."""

    def _read(self) -> list[Record]:
        found = []
        for number, line in enumerate(self._file.read_text().splitlines(), start=1):
            seconds, _, text = line.partition(" ")
            raw = json.dumps({"number": number, "text": text}).encode()
            found.append(Record(str(number), float(seconds), text.encode(), raw))
        return found
