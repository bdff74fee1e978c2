"""One SQLite file that several processes share: short IMMEDIATE transactions, errors that name the file.

The file is in WAL mode, so readers never wait. A commit survives kill -9 at every level of
`synchronous`; FULL also survives a power cut and costs an fsync. `transact` is told which one a write
needs: see `Durability`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from triggerkit.errors import (
    InternalError,
    StateError,
    StateFormatError,
    StateLockedError,
    StateUnusableError,
)
from triggerkit.lease_stores._sqlite_table import PIN_TABLE, SCHEMA, SqliteTable

T = TypeVar("T")

OTHER_FILE = "make the folder writable, or name another file with --state sqlite:///PATH"
FORMAT_VERSION = 1
"""Kept in `PRAGMA user_version`; raised when an older triggerkit could not read the file."""
APPLICATION_ID = 0x74726B74
"""`trkt`, in `PRAGMA application_id`: tells our file from any other program's."""


class Durability(Enum):
    """What a commit survives."""

    POWER_CUT = "FULL"
    """fsync at commit: for writes that decide where reading starts or who owns a shard."""
    KILL = "NORMAL"
    """The operating system has it: for checkpoints, which a power cut may set back by some batches."""


class SqliteFile:
    """The connection to one state file, opened by `prepare`.

    Calls may come from any thread and run one at a time: the lock makes a runner with many threads slow
    and not wrong.
    """

    def __init__(self, path: Path, busy_timeout_seconds: float) -> None:
        self.path = path
        self._busy_timeout_seconds = busy_timeout_seconds
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._durability = Durability.POWER_CUT
        self._identity: tuple[tuple[int, int] | None, ...] = ()

    def prepare(self) -> bool:
        """Open the file, creating folder, file and tables as needed; whether the tables are new.

        Raises:
            StateFormatError: the file has a newer format.
            StateLockedError: another program holds the write lock.
            StateUnusableError: the file cannot be created or written, or is something else.
            StateError: it cannot be used at present, such as on a full disk.
        """
        with self._lock, self._errors_named():
            if self._connection is not None:
                return False
            _create_file(self.path)
            connection = sqlite3.connect(
                self.path,
                timeout=self._busy_timeout_seconds,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                is_new = self._set_up(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self._identity = _identity(self.path)
            return is_new

    def look(self, work: Callable[[SqliteTable], T]) -> T:
        """Read with one statement, outside any transaction. Raises StateError."""
        with self._lock, self._errors_named():
            return work(SqliteTable(self._open_connection()))

    def transact(self, work: Callable[[SqliteTable], T], durability: Durability) -> T:
        """Run `work` in a transaction that holds the write lock from its start; all of it or nothing.

        Raises:
            StateLockedError: the write lock was not to be had within the busy timeout.
            StateError: the file cannot be written; the commit may have happened all the same.
        """
        with self._lock, self._errors_named():
            connection = self._open_connection()
            if durability is not self._durability:
                connection.execute(f"PRAGMA synchronous = {durability.value}")
                self._durability = durability
            with _write_lock(connection):
                return work(SqliteTable(connection))

    def check_in_place(self) -> None:
        """Refuse to go on with a file or WAL that was removed or replaced: others would open another one.

        Raises:
            StateUnusableError: the path leads to another file, or to none.
        """
        with suppress(OSError):
            if _identity(self.path) == self._identity:
                return
        raise StateUnusableError(
            f"state file {self.path} was removed or replaced while in use",
            hint="restart triggerkit; never remove the state file under a running worker",
        )

    def check_readable(self) -> None:
        """Refuse to go on with a file that no new process could open: this connection has its pages in memory.

        Raises:
            StateUnusableError: something else wrote over the file.
        """
        if self.path.stat().st_size == 0:  # SQLite would take it for a new file, and delete the WAL
            raise StateUnusableError(
                f"state file {self.path} was emptied while in use", hint="restore it from a copy"
            )
        try:
            with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True)) as fresh:
                _pragma(fresh, "application_id")
        except sqlite3.Error as error:
            if _primary_code(error) in _DAMAGED:
                raise _state_error(self.path, error, self._busy_timeout_seconds) from error

    def close(self) -> None:
        """Close the file; the last process to do so folds the WAL into it."""
        with self._lock, self._errors_named():
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise InternalError(f"state file {self.path} is not open; prepare it first")
        return self._connection

    def _set_up(self, connection: sqlite3.Connection) -> bool:
        # look before changing anything: the file may belong to another program
        is_ours = self._check_format(connection)
        self._use_wal(connection)
        connection.execute(f"PRAGMA synchronous = {self._durability.value}")
        with _write_lock(connection):  # also for our own file: what cannot be written shows now
            if is_ours or self._check_format(connection):
                connection.execute(PIN_TABLE)
                return False  # or another process was faster
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        return True

    def _check_format(self, connection: sqlite3.Connection) -> bool:
        """Whether the file has our tables; False when it is empty."""
        application_id = _pragma(connection, "application_id")
        if application_id == 0 and _pragma(connection, "schema_version") == 0:
            return False
        if application_id != APPLICATION_ID:
            raise StateUnusableError(
                f"{self.path} is a SQLite database of another program",
                hint="name another file with --state sqlite:///PATH",
            )
        version = _pragma(connection, "user_version")
        if version > FORMAT_VERSION:
            raise StateFormatError(
                f"state file {self.path} has format {version}; this triggerkit reads up to"
                f" {FORMAT_VERSION}",
                hint="upgrade triggerkit, or name another file with --state sqlite:///PATH",
            )
        return True

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Switch to WAL once. A file system without shared memory keeps its journal: slower, as safe."""
        if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            return
        # this switch wants the file for itself and SQLite does not wait for that by itself
        for attempt in Retrying(
            retry=retry_if_exception(_is_locked),
            stop=stop_after_delay(self._busy_timeout_seconds),
            wait=wait_fixed(0.02),
            reraise=True,
        ):
            with attempt:
                connection.execute("PRAGMA journal_mode = WAL").fetchone()

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _state_error(self.path, error, self._busy_timeout_seconds) from error
        except OSError as error:
            raise StateUnusableError(
                f"state file {self.path} cannot be opened: {error.strerror}: {error.filename}",
                hint=OTHER_FILE,
            ) from error


@contextmanager
def _write_lock(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _create_file(path: Path) -> None:
    """Make folder and file for this user only; what exists keeps its mode.

    SQLite gives its -wal and -shm files the mode of the file that it finds.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    # a file that exists is not opened here: to close it would drop the locks of this process's other connections
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _identity(path: Path) -> tuple[tuple[int, int] | None, ...]:
    """Which files stand at the path and at that of its WAL; None for one that is not there."""
    found: list[tuple[int, int] | None] = []
    for each in (path, path.with_name(f"{path.name}-wal")):
        try:
            status = each.stat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_dev, status.st_ino))
    return tuple(found)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _primary_code(error: BaseException) -> int | None:
    """SQLite's primary result code, without the extension in the higher bits."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _is_locked(error: BaseException) -> bool:
    return _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


_EXPLANATIONS = {
    sqlite3.SQLITE_NOTADB: (
        "is not a SQLite database",
        "name another file with --state sqlite:///PATH, or move this one away",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "is damaged",
        "restore it from a copy, or move it away: reading then begins at the starting position",
    ),
    sqlite3.SQLITE_READONLY: ("cannot be written", "make the file and its folder writable"),
    sqlite3.SQLITE_PERM: ("cannot be written", "make the file and its folder writable"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "make the file and its folder writable"),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "free some space on that disk"),
}
_DAMAGED = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
_NEEDS_REPAIR = _DAMAGED | {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
"""Waiting does not help; a disk gets room again, and a process may have files to open again."""


def _state_error(path: Path, error: sqlite3.Error, busy_timeout_seconds: float) -> StateError:
    if _is_locked(error):
        return StateLockedError(
            f"state file {path}: another program has held its write lock for over"
            f" {busy_timeout_seconds:g} s",
            hint="end that program's transaction (a sqlite3 shell, a backup, a viewer);"
            " triggerkit goes on by itself then",
        )
    code = _primary_code(error) or 0
    what, hint = _EXPLANATIONS.get(code, ("cannot be used", "look at the disk and the file's mode"))
    kind = StateUnusableError if code in _NEEDS_REPAIR else StateError
    return kind(f"state file {path} {what}: {error}", hint=hint)
