"""Whether a process still exists: a table of what is and is not certain."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from triggerkit.lease_stores import _processes
from triggerkit.lease_stores._processes import ProcessIdentity, current, is_gone

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="start times come from Linux' /proc"
)


def ended_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_this_process_is_not_gone() -> None:
    here = current()
    assert here.pid == os.getpid()
    assert not is_gone(here, here)


@linux_only
def test_this_process_is_fully_known() -> None:
    here = current()
    assert here.boot_id
    assert here.pid_namespace.startswith("pid:[")
    assert here.started is not None


def test_a_process_that_ended_is_gone() -> None:
    here = current()
    assert is_gone(replace(here, pid=ended_pid()), here)


@linux_only
def test_a_pid_that_was_used_again_is_gone() -> None:
    here = current()
    assert here.started is not None
    assert is_gone(replace(here, started=here.started - 1), here)


@linux_only
def test_a_zombie_is_gone() -> None:
    here = current()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(replace(here, pid=process.pid, started=None), here)


def test_a_process_of_an_earlier_boot_of_this_host_is_gone() -> None:
    here = replace(current(), boot_id="boot-2")
    assert is_gone(replace(here, boot_id="boot-1"), here)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"pid_namespace": "pid:[1]"},
        {"pid_namespace": "pid:[1]", "boot_id": "other"},
        {"pid_namespace": ""},
        {"host": "another"},
        {"host": "another", "boot_id": "other"},
    ],
)
def test_a_process_that_cannot_be_seen_from_here_is_never_gone(elsewhere: dict[str, str]) -> None:
    here = current()
    process = ProcessIdentity(
        host=elsewhere.get("host", here.host),
        boot_id=elsewhere.get("boot_id", here.boot_id),
        pid_namespace=elsewhere.get("pid_namespace", here.pid_namespace),
        pid=ended_pid(),
        started=1,
    )
    assert not is_gone(process, here)


def test_without_knowing_the_namespace_nobody_is_gone() -> None:
    here = replace(current(), pid_namespace="")
    assert not is_gone(replace(here, pid=ended_pid()), here)


def test_without_a_start_time_a_process_that_exists_is_not_gone() -> None:
    here = current()
    assert not is_gone(replace(here, started=None), here)
    assert not is_gone(here, replace(here, boot_id=""))


@linux_only
def test_a_program_name_with_brackets_does_not_shift_the_fields() -> None:
    script = (
        "import ctypes, sys\n"
        "ctypes.CDLL(None).prctl(15, b'a) Z 1 (b', 0, 0, 0)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        state, started = _processes._stat(process.pid)
        assert state in ("S", "R", "D")
        assert started is not None
        process.kill()
