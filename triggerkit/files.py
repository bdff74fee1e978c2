"""Reads files that a user names, within limits; what is wrong with one is an error that names it.

It may be a folder, an endless device, a pipe without a writer, bytes that are no text, or JSON and TOML that is
nested too deeply. Reading takes at most as much memory as its limit says.
"""

from __future__ import annotations

import errno
import io
import json
import os
import select
import stat
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import IO, Any, Final

from triggerkit.errors import UsageError

MIB: Final = 1024 * 1024
SETTINGS_BYTES: Final = 4 * MIB
"""Of a configuration, a blueprint or an env file."""
DOCUMENT_BYTES: Final = 64 * MIB
"""Of a JSON document; an event of Lambda has 6 MiB at most."""
DEEPEST: Final = 200
"""Levels of JSON; an item of DynamoDB has 32, which are 64 in its JSON, and an event some more around it."""
WRITER_SECONDS: Final = 2.0
"""How long a pipe may have no writer."""
_SKIPPED_BYTES: Final = 1024 * MIB
"""A line that is longer than this has no end."""


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line that was too long and was skipped."""

    limit_bytes: int

    def __str__(self) -> str:
        return f"it is longer than {self.limit_bytes // MIB} MiB"


def open_file(path: str | os.PathLike[str], what: str, *, hint: str) -> IO[bytes]:
    """Open a file, a pipe or a device for reading; `what` names it in errors. Raises UsageError."""
    try:
        return _opened(path)
    except OSError as error:
        raise _unreadable(what, error.strerror or str(error), hint) from None
    except ValueError as error:  # a NUL character in the name
        raise _unreadable(what, str(error), hint) from None


def unfit_to_write(path: str | os.PathLike[str]) -> str:
    """Why no file can be written at `path`, as far as a look shows; empty when one may be."""
    try:
        mode = os.stat(path).st_mode
    except NotADirectoryError:
        return "a part of the path is a file, not a folder"
    except OSError:
        return ""  # it is created, or refused then
    if stat.S_ISREG(mode):
        return ""
    kind = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
    return f"it is {kind}, not a file"


def open_input(name: str, what: str, *, hint: str) -> IO[bytes]:
    """The same; `-` is stdin, which stays open. Raises UsageError."""
    return os.fdopen(os.dup(0), "rb") if name == "-" else open_file(name, what, hint=hint)


def open_twice(name: str, what: str, limit_bytes: int, *, hint: str) -> IO[bytes]:
    """The same, of a file that can be read more than once: a pipe or device is copied to the disk first.

    The copy ends in a line that is longer than `DOCUMENT_BYTES`.

    Raises:
        UsageError: it cannot be read, or is no file and longer than `limit_bytes`.
    """
    stream = open_input(name, what, hint=hint)
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    line_bytes = 0
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    with stream:
        try:
            while piece := stream.read(MIB):
                copy.write(piece)
                line_bytes = (
                    len(piece) - piece.rfind(b"\n") - 1 + (0 if b"\n" in piece else line_bytes)
                )
                if line_bytes > DOCUMENT_BYTES:
                    break  # no reader takes a line like that, and the rest of it may have no end
                if copy.tell() > limit_bytes:
                    raise UsageError(
                        f"{what} is longer than {limit_bytes // MIB} MiB", hint="write it in pieces"
                    )
        except OSError as error:
            raise _unreadable(what, error.strerror or str(error), hint) from None
    copy.seek(0)
    return copy


def read_bytes(stream: IO[bytes], what: str, limit_bytes: int) -> bytes:
    """Read to the end. Raises UsageError: it is longer than `limit_bytes`, or cannot be read."""
    try:
        data = stream.read(limit_bytes + 1)
    except OSError as error:
        raise _unreadable(what, error.strerror or str(error), "name a file") from None
    if len(data) > limit_bytes:
        raise UsageError(
            f"{what} is longer than {limit_bytes // MIB} MiB", hint="name a smaller file"
        )
    return data


def read_text(path: str | os.PathLike[str], what: str, limit_bytes: int, *, hint: str) -> str:
    """The text of a file, without its byte order mark. Raises UsageError."""
    with open_file(path, what, hint=hint) as stream:
        return decoded(read_bytes(stream, what, limit_bytes), what)


def decoded(data: bytes, what: str) -> str:
    """UTF-8 bytes as text, without a byte order mark. Raises UsageError: they are no UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(
            what, f"byte {error.start} is not UTF-8 text", "it must be UTF-8 text"
        ) from None


def lines_of(stream: IO[bytes], limit_bytes: int) -> Iterator[bytes | LongLine]:
    """The lines with their ends; one that is too long is skipped without being kept.

    Raises:
        UsageError: a line has no end. OSError: the stream cannot be read.
    """
    while line := stream.readline(limit_bytes + 1):
        if len(line) <= limit_bytes:
            yield line
            continue
        skipped = len(line)
        while line and not line.endswith(b"\n"):
            line = stream.readline(MIB)
            skipped += len(line)
            if skipped > _SKIPPED_BYTES:
                raise UsageError("a line has no end", hint="name a file of lines")
        yield LongLine(limit_bytes)


def parse_json(text: str | bytes, what: str, *, hint: str, **readers: Callable[..., object]) -> Any:
    """A JSON document; `readers` are those of `json.loads`.

    Raises:
        UsageError: it is none, has a number that is too long, or is nested too deeply.
    """
    try:
        value = json.loads(text, **readers)  # type: ignore[arg-type]  # one type for all of them
    except RecursionError:
        raise _too_deep(what, hint) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{what} is not JSON: {error}", hint=hint) from None
    except (ValueError, ArithmeticError) as error:  # of Python's limit of digits, or of a reader
        said = (
            "it has a number of more digits than can be read" if "digits" in str(error) else error
        )
        raise UsageError(f"{what}: {said}", hint=hint) from None
    if is_deep(value):
        raise _too_deep(what, hint)
    return value


def is_deep(value: object) -> bool:
    """Whether a JSON value has more than `DEEPEST` levels."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            return True
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        level = inner
    return False


def parse_toml(text: str, what: str) -> dict[str, Any]:
    """A TOML document. Raises UsageError: it is none, or is nested too deeply."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _too_deep(what, "flatten it") from None
    except ValueError as error:  # also of Python's limit of digits
        raise UsageError(f"{what} is not TOML: {error}", hint="correct that line") from None


def _opened(path: str | os.PathLike[str]) -> IO[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        mode = os.fstat(descriptor).st_mode
        first = _first_of_pipe(descriptor) if stat.S_ISFIFO(mode) else b""
        os.set_blocking(descriptor, True)
        plain = os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise
    return io.BufferedReader(_After(first, plain))


def _first_of_pipe(descriptor: int) -> bytes:
    """What is in a pipe as soon as it has a writer."""
    deadline = monotonic() + WRITER_SECONDS
    while True:
        try:
            if data := os.read(descriptor, 65536):
                return data
        except BlockingIOError:  # it has one
            return b""
        if monotonic() > deadline:
            raise OSError(errno.ENXIO, "it is a pipe that nobody writes to")
        select.select([], [], [], 0.02)


class _After(io.RawIOBase):
    """Some bytes, and then a stream."""

    def __init__(self, first: bytes, rest: io.RawIOBase) -> None:
        self._first = first
        self._rest = rest

    def fileno(self) -> int:
        return self._rest.fileno()

    def seekable(self) -> bool:
        return self._rest.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._rest.seek(offset, whence)  # of a file, where nothing comes before

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if not self._first:
            return self._rest.readinto(buffer)
        piece = self._first[: len(buffer)]
        self._first = self._first[len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._rest.close()
        super().close()


def _unreadable(what: str, why: str, hint: str) -> UsageError:
    return UsageError(f"{what} cannot be read: {why}", hint=hint)


def _too_deep(what: str, hint: str) -> UsageError:
    return UsageError(f"{what} is nested too deeply", hint=hint)
