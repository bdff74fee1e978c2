"""Whether a process of this host still exists. In doubt it does; a silent one expires by time.

A process is named by host, boot, pid namespace, pid and start time, so that neither a reboot nor a pid
used again can make a dead process look alive. One state file is assumed to belong to one host: two
machines that share a file system and a host name are told apart by nothing here.
"""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """What tells one process from every other on a host, ever.

    Fields that a system does not tell are empty (`started` None: ticks since boot); a process whose
    namespace is unknown is never called gone.
    """

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    started: int | None


def current() -> ProcessIdentity:
    """This process."""
    pid = os.getpid()
    return ProcessIdentity(
        host=platform.node() or "localhost",
        boot_id=_boot_id(),
        pid_namespace=_pid_namespace(pid),
        pid=pid,
        started=_stat(pid)[1],
    )


def is_gone(process: ProcessIdentity, here: ProcessIdentity) -> bool:
    """Whether `process` certainly runs no more, as seen by the process `here`.

    Containers share the host's boot id and not its pids: a process of another pid namespace, or of
    another host name, is never called gone. Seen from the same one, an earlier boot is.
    """
    if process.host != here.host or process.pid_namespace != here.pid_namespace:
        return False
    if not process.pid_namespace:
        return False
    if process.boot_id and here.boot_id and process.boot_id != here.boot_id:
        return True
    return not _is_running(process)


def _is_running(process: ProcessIdentity) -> bool:
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's process: it exists, and /proc may hide the rest
    state, started = _stat(process.pid)
    if state in ("Z", "X"):
        return False
    return started is None or process.started is None or started == process.started


def _stat(pid: int) -> tuple[str, int | None]:
    """State and start time of a process, from Linux' /proc; empty and None where it is not told."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", None
    # the second field is the program's name in brackets and may hold anything, brackets too
    fields = text.rpartition(")")[2].split()
    if len(fields) < 20:
        return "", None
    return fields[0], int(fields[19])


def _boot_id() -> str:
    with suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _pid_namespace(pid: int) -> str:
    if not sys.platform.startswith("linux"):
        return "none"
    with suppress(OSError):
        # a /proc of another namespace shows this process under another number: trust nothing then
        if os.readlink(_PROC / "self") == str(pid):
            return os.readlink(_PROC / "self/ns/pid")
    return ""
