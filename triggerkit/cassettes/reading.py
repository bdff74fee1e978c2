"""Recorded streams: what `triggerkit record` wrote, for tests. A file is read as it is used, never whole.

What is damaged, cut off or newer is an error that says so, where it is met. Importing this loads no boto3.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import IO, TypeAlias, cast

from triggerkit.cassettes.lines import (
    VERSION,
    Ended,
    Header,
    Line,
    Recorded,
    ShardClosed,
    read_header,
    read_line,
)
from triggerkit.errors import CassetteError, DamagedReplyError, LocatorError, UsageError
from triggerkit.files import MIB, open_file
from triggerkit.ports import Event
from triggerkit.sources.dynamodb.change_events import to_event
from triggerkit.sources.dynamodb.service import StreamArn, parse_stream_arn

FilePath: TypeAlias = str | os.PathLike[str]

LAMBDA_BATCH_SIZE = 100
LINE_BYTES = 16 * MIB
"""A record has two images of 400 KB at most; every character of them may be escaped."""
MOST_BYTES = 2048 * MIB
_GZIP = b"\x1f\x8b"
_AGAIN = "record it again: triggerkit record dynamodb://TABLE -o FILE"


@dataclass(frozen=True, slots=True)
class Cassette:
    """A recorded stream in a file. Get one by `load_cassette`; `sim.play` replays it."""

    path: Path
    header: Header = field(repr=False)
    allow_cut: bool = field(default=False, repr=False)

    @property
    def table(self) -> str:
        """The table whose stream it is."""
        return self.header.table

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """Name and type of each key attribute, partition key first."""
        return self.header.keys

    @property
    def view_type(self) -> str:
        """Which images its records carry."""
        return self.header.view_type

    @property
    def recorded_at(self) -> datetime:
        """When the recording began."""
        return datetime.fromisoformat(self.header.recorded_at)

    def records(self) -> Iterator[Event]:
        """Every record as Lambda gets it, in the order in which it was read.

        Raises:
            CassetteError: the file is damaged or cut off; what stands before that was given.
        """
        for line in self.lines():
            if isinstance(line, Recorded):
                yield self._event(line)

    def events(self, batch_size: int = LAMBDA_BATCH_SIZE) -> Iterator[Event]:
        """Lambda's events: at most `batch_size` records of one shard each, parents before children.

        `for event in load_cassette("orders.jsonl.gz").events(10): handler(event, make_context())`

        Raises:
            UsageError: `batch_size` is less than 1. CassetteError: as `records`.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}", hint="it is 1 or more")
        waiting: dict[str, list[Event]] = {}
        for line in self.lines():
            batch: list[Event] | None = None
            match line:
                case Recorded(shard=shard):
                    waiting.setdefault(shard, []).append(self._event(line))
                    if len(waiting[shard]) == batch_size:
                        batch = waiting.pop(shard)
                case ShardClosed(shard=shard):
                    batch = waiting.pop(shard, None)
                case _:
                    pass
            if batch:
                yield {"Records": batch}
        for batch in waiting.values():
            yield {"Records": batch}

    def lines(self) -> Iterator[Line]:
        """Everything between header and end, as `cassettes.lines` describes it.

        Raises:
            CassetteError: as `records`.
        """
        number, ended, whole = 1, False, False
        with _opened(self.path) as stream:
            try:
                lines = _lines(self.path, stream)
                next(lines)
                for number, text in enumerate(lines, start=2):
                    line = None if ended else self._line(text, number)
                    if line is None:
                        break
                    ended = isinstance(line, Ended)
                    if not isinstance(line, Ended):
                        yield line
                else:  # and gzip's checksum was right
                    whole = ended
            except EOFError:
                pass  # gzip's own end is missing
            except (OSError, zlib.error) as error:
                raise _damaged(self.path, f"after line {number}: {error}") from error
        if not whole and not self.allow_cut:
            raise CassetteError(
                f"{self.path} was cut off after line {number}: its recording was killed",
                hint="load_cassette(path, allow_cut=True) takes what is there",
            )

    def _line(self, text: bytes, number: int) -> Line | Ended | None:
        """One line; None: the last, cut in its midst."""
        try:
            return read_line(text)
        except ValueError as error:
            if not text.endswith(b"\n"):
                return None
            raise _damaged(self.path, f"line {number}: {error}") from None

    def _event(self, line: Recorded) -> Event:
        try:
            return to_event(bytes(line.record), self._arn_of(line.shard))
        except (
            DamagedReplyError,
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ):
            raise _damaged(self.path, f"in a record of {line.shard}, which is none") from None

    def _arn_of(self, shard: str) -> str:
        label = shard.partition(":")[0].replace("_", ":")
        return self.header.stream_arn.rpartition("/")[0] + f"/{label}"


def load_cassette(path: FilePath, *, allow_cut: bool = False) -> Cassette:
    """Open what `triggerkit record` wrote; only the header is read now.

    Args:
        path: the file, in gzip or, unpacked to be edited, as plain JSON lines.
        allow_cut: take what there is of a file whose recording was killed.

    Raises:
        CassetteError: there is no such file, it is not a cassette, or a newer triggerkit wrote it.
    """
    file = Path(path)
    with _opened(file) as stream:
        try:
            header = read_header(next(_lines(file, stream), b""))
        except EOFError:
            header = None
        except (OSError, zlib.error) as error:
            raise _damaged(file, str(error)) from error
    match header:
        case Header(stream_arn=arn) if _stream_of(arn) is not None:
            return Cassette(file, header, allow_cut)
        case int():
            raise CassetteError(
                f"{file} has format {header}, and this triggerkit reads {VERSION}",
                hint="update triggerkit, or record it again with this version",
            )
        case _:
            raise CassetteError(
                f"{file} is not a cassette: its first line is not a header", hint=_AGAIN
            )


def find_cassette(path: FilePath, folder: Path) -> Path:
    """The file beside the tests in `folder`, or else from the current folder. Raises CassetteError."""
    for place in (folder / path, Path(path)):
        if place.is_file():
            return place
    looked = dict.fromkeys(str(place.resolve()) for place in (folder / path, Path(path)))
    raise CassetteError(
        f"there is no cassette {' or '.join(looked)}",
        hint="make one: triggerkit record dynamodb://TABLE -o FILE",
    )


def _stream_of(arn: str) -> StreamArn | None:
    try:
        return parse_stream_arn(arn)
    except LocatorError:
        return None


def without_account(arn: str) -> str:
    """The same ARN of a stream in the account 000000000000."""
    found = parse_stream_arn(arn)
    return replace(found, text=arn.replace(f":{found.account}:", f":{'0' * 12}:", 1)).text


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    what, hint = f"the cassette {path}", "name a file that is there"
    if path.exists() and not (path.is_file() or path.is_dir()):  # it is read more than once
        raise CassetteError(f"{what} is not a file", hint=hint)
    try:
        stream = open_file(path, what, hint=hint)
    except UsageError as error:
        raise CassetteError(error.message, hint=hint) from None
    with stream:
        packed = stream.read(len(_GZIP)) == _GZIP
        stream.seek(0)
        if not packed:
            yield stream
            return
        with gzip.GzipFile(fileobj=stream) as unpacked:  # which does not close what it reads
            yield cast(IO[bytes], unpacked)


def _lines(path: Path, stream: IO[bytes]) -> Iterator[bytes]:
    """The lines, of which none and not all together may be longer than a recording is.

    Raises:
        CassetteError: they are. OSError, EOFError, zlib.error: gzip is damaged.
    """
    left_bytes, number = MOST_BYTES, 0
    while text := stream.readline(LINE_BYTES + 1):
        number += 1
        left_bytes -= len(text)
        if len(text) > LINE_BYTES:
            raise _damaged(path, f"line {number} is longer than {LINE_BYTES // MIB} MiB")
        if left_bytes < 0:
            raise CassetteError(
                f"{path} has more than {MOST_BYTES // MIB:,} MiB, unpacked",
                hint="record less of the stream: --since, --for, --lines or --key",
            )
        yield text


def _damaged(path: Path, how: str) -> CassetteError:
    return CassetteError(
        f"{path} is damaged {how}", hint=f"take it from version control again, or {_AGAIN}"
    )
