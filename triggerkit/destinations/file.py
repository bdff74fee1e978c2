"""On-failure destination `file:PATH`: one JSON line a failure record, on the disk once it is sent.

A line is Lambda's document with the event as a JSON string behind `version`, as S3 gets it (D-13),
and the trigger's name at the end. Several processes may append to one file: each line is one write to
the end of the file under a lock, flushed to the disk before `send` answers.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import msgspec

from triggerkit.core.locators import Locator
from triggerkit.core.payloads import with_payload
from triggerkit.errors import DestinationError, DestinationUnusableError, LocatorError
from triggerkit.files import unfit_to_write
from triggerkit.ports import FailureRecord, Services

_FILE_MODE = 0o600  # item contents: for the owner only (decision 24)
_FOLDER_MODE = 0o700
_NEEDS_REPAIR = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ELOOP}
    | {errno.ENAMETOOLONG}
)
"""Waiting does not help; a disk gets room again."""


def open(locator: Locator, services: Services) -> FileDestination:
    """The destination behind `file:name`, `file://name` (both under the base path) or `file:///abs`.

    Raises:
        LocatorError: the locator names no file, or has keys; a file takes none.
        DestinationUnusableError: the path is that of a folder, a device or a pipe, or leads through a file.
    """
    if not locator.name:
        raise LocatorError(f"locator {locator.shown!r} names no file", hint="write file:PATH")
    if locator.keys:
        key = next(iter(locator.keys))
        raise LocatorError(
            f"locator {locator.shown!r}: unknown key {key!r}", hint="file:PATH takes no keys"
        )
    path = Path(services.base_path) / locator.name
    _refuse_unfit(path)
    return FileDestination(path, services)


class FileDestination:
    """Implements `ports.Destination` by appending to `path`."""

    def __init__(self, path: Path, services: Services) -> None:
        self._path = path
        self._run = services.run

    async def prepare(self) -> None:
        """Create the folder (0700) and the file (0600) where missing, and open it for appending.

        Raises:
            DestinationError: the path is refused; the message names it.
        """
        await self._run(lambda: self._append(b""))

    async def send(self, record: FailureRecord) -> None:
        """Append the record as one line and flush it to the disk.

        Raises:
            DestinationError: nothing was appended, or it may not have reached the disk.
        """
        await self._run(lambda: self._append(record_line(record)))

    async def close(self) -> None:
        """Nothing is kept open between two records."""

    def _append(self, line: bytes) -> None:
        try:
            _create_folder(self._path.parent)
            created = not self._path.exists()
            _refuse_unfit(self._path)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            handle = os.open(self._path, flags, _FILE_MODE)
            try:
                _append_whole(handle, line)
            finally:
                os.close(handle)
            if created:
                _flush_folder(self._path.parent)
        except OSError as error:
            kind = DestinationUnusableError if error.errno in _NEEDS_REPAIR else DestinationError
            raise kind(
                f"cannot append to {str(self._path)!r}: {error.strerror or error}",
                hint="give a file that this user may write, as in on_failure='file:failures.jsonl'",
            ) from error


def record_line(record: FailureRecord) -> bytes:
    """The record as one line of JSON, with its newline."""
    stored = with_payload(record.document, record.payload())
    stored["trigger"] = record.trigger
    return msgspec.json.encode(stored) + b"\n"


def _refuse_unfit(path: Path) -> None:
    """Raises DestinationUnusableError: a folder, a device or a pipe keeps no failure record."""
    if why := unfit_to_write(path):
        raise DestinationUnusableError(
            f"cannot append to {str(path)!r}: {why}",
            hint="name a file, as in on_failure='file:failures.jsonl'",
        )


def _append_whole(handle: int, line: bytes) -> None:
    """Write all of `line` or none of it; the lock keeps other writers of ours out meanwhile."""
    fcntl.flock(handle, fcntl.LOCK_EX)  # released when the handle is closed
    if not line:
        return
    size_bytes = os.fstat(handle).st_size
    if size_bytes and os.pread(handle, 1, size_bytes - 1) != b"\n":
        line = b"\n" + line  # a writer died in the middle of its line: leave that line alone
    try:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size_bytes)
        raise


def _create_folder(folder: Path) -> None:
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def _flush_folder(folder: Path) -> None:
    """Make the new file's name durable too."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
