"""Writes a cassette. A file with the name of a cassette is always complete, and readable by its owner only.

Lines go to `NAME.part` as soon as a page was read: a recording that is killed leaves a file that can be read up
to that point. At the end it is compressed again without a time stamp, so that the same records give the same
bytes, and renamed.
"""

from __future__ import annotations

import fcntl
import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from triggerkit.cassettes.lines import Ended, Header, Line, encoded
from triggerkit.errors import CassetteError

OWNER_ONLY = 0o600
_UNWRITABLE = "make its folder, with room in it, and yours to write to"
_COPIED_BYTES = 2**20
_QUICK, _SMALL = 1, 6
"""How hard gzip tries: while records come, and in the end."""


class CassetteFile:
    """Written line by line in a `with` block; without a header nothing is left of it.

    Raises:
        CassetteError: the file, or what a killed recording left, is there and `force` is not given; another
            recording writes it; or the folder cannot be written to.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        if path.is_dir():
            raise CassetteError(f"{path} is a folder", hint="name a file: -o orders.jsonl.gz")
        self.path = path
        self._part = path.with_name(f"{path.name}.part")
        _refuse_running(self._part)
        if not force:
            _refuse_existing(path, self._part)
        with _writing(path):
            plain = _created(self._part)
            fcntl.flock(plain, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lines = _packed(plain, _QUICK)
        self.has_header = False

    def begin(self, header: Header) -> None:
        """Write the header."""
        self._write(header)
        self.has_header = True

    def write(self, line: Line) -> None:
        """Write a line."""
        self._write(line)

    def flush(self) -> None:
        """What was written stays, whatever happens now."""
        with _writing(self.path):
            self._lines.flush()

    def finish(self, end: Ended) -> int:
        """Write the end, and give the file its name; its size in bytes."""
        self._write(end)
        final = self.path.with_name(f"{self.path.name}.new")
        kept = f"what was recorded is in {self._part}"
        with _writing(self.path, f"{kept}: load_cassette(path, allow_cut=True)"):
            self._lines.close()
            with suppress(FileNotFoundError):
                final.unlink()
            plain = _created(final)
            packs = self.path.suffix == ".gz"
            target = _packed(plain, _SMALL) if packs else plain
            with gzip.open(self._part) as source, target:
                while piece := source.read(_COPIED_BYTES):
                    target.write(piece)
            plain.close()
            final.replace(self.path)
            self._part.unlink()
            return self.path.stat().st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _writing(self.path):
            self._lines.close()
        if not self.has_header:
            with suppress(FileNotFoundError):
                self._part.unlink()

    def _write(self, line: Header | Line | Ended) -> None:
        with _writing(self.path):
            self._lines.write(encoded(line))


def _refuse_existing(path: Path, part: Path) -> None:
    if path.exists():
        raise CassetteError(f"{path} is there already", hint="--force replaces it")
    if part.exists():
        raise CassetteError(
            f"{part} is there: a recording was killed and left it",
            hint="it can be read: load_cassette(path, allow_cut=True); --force replaces it",
        )


def _refuse_running(part: Path) -> None:
    """A recording locks what it writes, and the lock dies with it."""
    try:
        with part.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CassetteError(
            f"{part} is being written by another recording", hint="let it end, or name another file"
        ) from None
    except OSError:
        pass  # not there; anything else shows when it is written


def _created(path: Path) -> IO[bytes]:
    """A new file for its owner alone, whatever lay there."""
    with suppress(FileNotFoundError):
        path.unlink()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY)
    return os.fdopen(handle, "wb")


class _PackedFile(gzip.GzipFile):
    """Closes what lies below it, too."""

    def __init__(self, plain: IO[bytes], level: int) -> None:
        super().__init__("", "wb", level, plain, 0)  # 0: no time
        self._plain = plain

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._plain.close()


def _packed(plain: IO[bytes], level: int) -> IO[bytes]:
    """In gzip, with neither a name nor a time in it."""
    return cast(IO[bytes], _PackedFile(plain, level))


@contextmanager
def _writing(path: Path, hint: str = _UNWRITABLE) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CassetteError(f"{path} cannot be written: {error.strerror}", hint=hint) from error
