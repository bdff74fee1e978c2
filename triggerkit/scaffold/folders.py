"""Writes the files of a new folder: all of them or none, and nothing that exists is changed.

A folder that does not exist is made under another name and renamed. An empty one that exists is kept (it may be
the working directory or a mount point): the files are made inside it and renamed one level up. Signals are blocked
meanwhile, for some milliseconds.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from triggerkit.errors import UsageError

_SHOWN_NAMES = 5
_ELSEWHERE = "name a folder that does not exist or is empty"


def check_free(folder: Path) -> None:
    """Check that `folder` does not exist, or is an empty folder.

    Raises:
        UsageError: naming what is there, or why it cannot be read.
    """
    try:
        if folder.is_dir():
            names = sorted(entry.name for entry in folder.iterdir())
            if names:
                raise UsageError(f"{folder} is not empty: it has {_listed(names)}", hint=_ELSEWHERE)
            return
        for place in (folder, *folder.parents):
            if place.is_symlink() or place.exists():
                if not place.is_dir():
                    what = "a broken link" if not place.exists() else "a file"
                    raise UsageError(f"{place} is {what}", hint=_ELSEWHERE)
                return
    except OSError as error:
        raise _refused(folder, error) from error


def write_folder(files: Mapping[str, bytes], folder: Path) -> None:
    """Write `files` (path with `/` relative to `folder`, and content) into a free folder.

    Missing parent folders are made.

    Raises:
        UsageError: the folder is not free, or the disk or its permissions refuse; nothing is left.
    """
    check_free(folder)
    with _signals_blocked():
        try:
            if folder.is_dir():
                _fill(files, folder)
            else:
                _create(files, folder)
        except OSError as error:
            raise _refused(folder, error) from error


def _create(files: Mapping[str, bytes], folder: Path) -> None:
    missing = [parent for parent in folder.parents if not parent.exists()]
    made: list[Path] = []
    half = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        for parent in reversed(missing):
            parent.mkdir()
            made.append(parent)
        _write(files, half)
        half.rename(folder)  # the system refuses it when something has appeared there
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        for parent in reversed(made):
            with suppress(OSError):  # something else is in it now
                parent.rmdir()
        raise


def _fill(files: Mapping[str, bytes], folder: Path) -> None:
    half = folder / f".{secrets.token_hex(4)}"
    moved: list[Path] = []
    try:
        _write(files, half)
        for source in sorted(half.iterdir()):
            _move(source, folder / source.name)
            moved.append(folder / source.name)
        half.rmdir()
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        for place in moved:
            if place.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink(missing_ok=True)
        raise


def _move(source: Path, place: Path) -> None:
    if place.exists() or place.is_symlink():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
    source.rename(place)


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    folder.mkdir()
    for place, content in files.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    waiting = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _refused(folder: Path, error: OSError) -> UsageError:
    place = error.filename if isinstance(error.filename, str | os.PathLike) else folder
    return UsageError(
        f"cannot write {folder}: {error.strerror or error} ({Path(place)})",
        hint="nothing was written; name a folder that this user may write",
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
