"""Real processes on one state file: racing, and killed in the middle of writes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import triggerkit
from triggerkit.core.locators import parse
from triggerkit.core.model import Now, Session
from triggerkit.lease_stores import sqlite
from triggerkit.ports import LeaseStore, Services

WRITER = Path(__file__).with_name("sqlite_writer.py")
SHARDS = 3


class NoClock:
    def now(self) -> Now:
        return Now(0.0, 0.0)

    def observe_service_time(self, service_seconds: float) -> None:
        del service_seconds


class Inline:
    async def __call__(self, call, /):  # type: ignore[no-untyped-def]
        return call()


@contextmanager
def writer(path: Path, *extra: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(Path(triggerkit.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(WRITER), str(path), str(SHARDS), *extra],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        lines_of(process).close()


def lines_of(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def confirmed_until_killed(process: subprocess.Popen[str], lines: int) -> dict[str, int]:
    """Read so many lines, kill -9, read the rest; the last confirmed sequence number a shard."""
    last: dict[str, int] = {}
    output = lines_of(process)
    for _ in range(lines):
        note(last, output.readline())
    process.send_signal(signal.SIGKILL)
    for line in output:
        note(last, line)
    return last


def note(last: dict[str, int], line: str) -> None:
    name, _, value = line.strip().partition(" ")
    if line.endswith("\n") and name != "session":
        last[name] = int(value)


def opened(path: Path) -> LeaseStore:
    store = sqlite.open(parse(f"sqlite:///{path}"), Services(run=Inline(), clock=NoClock()))
    asyncio.run(store.prepare())
    return store


def sessions_of(path: Path) -> tuple[Session, ...]:
    store = opened(path)
    sessions = asyncio.run(store.read_sessions())
    asyncio.run(store.close())
    return sessions


def test_20_kills_in_the_middle_of_writes_leave_every_confirmed_checkpoint_readable(
    tmp_path: Path,
) -> None:
    seed = 8108
    dice = random.Random(seed)
    path = tmp_path / "state.db"
    confirmed: dict[str, int] = {}
    for kill in range(20):
        with writer(path) as process:
            confirmed |= confirmed_until_killed(process, dice.randint(1, 400))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        store = opened(path)
        rows = asyncio.run(store.read(""))
        asyncio.run(store.close())
        assert len(rows) == SHARDS, f"seed {seed}, kill {kill}"
        for row in rows:
            saved = int(row.checkpoint.sequence_number or 0)
            last = confirmed.get(row.shard, 0)
            # the write under way at the kill may have been applied and not confirmed, in each tenure
            assert last <= saved <= last + 1 + kill, f"seed {seed}, kill {kill}: {row}"
        assert all(session.gone for session in sessions_of(path)), f"seed {seed}, kill {kill}"


def test_a_killed_process_is_gone_at_once_and_a_running_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with writer(path) as process:
        session_id = lines_of(process).readline().split()[1]
        (running,) = sessions_of(path)
        assert (running.id, running.gone) == (session_id, False)
        store = opened(path)
        behind = Session(running.id, running.beat - 1)
        assert asyncio.run(store.expire(behind)) is False
        process.send_signal(signal.SIGKILL)
        # it has ended and stays a zombie, because nobody has waited for it yet
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        (killed,) = sessions_of(path)
        assert killed.gone is True
        assert asyncio.run(store.expire(behind)) is True
        asyncio.run(store.close())


def test_processes_that_race_for_the_same_rows_write_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with writer(path) as first, writer(path) as second, ThreadPoolExecutor(2) as readers:
        written = tuple(
            readers.map(lambda process: steps_until_killed(process, 600), (first, second))
        )
    every = [step for steps in written for step in steps]
    # who takes over goes on from the authoritative checkpoint, so nothing is written twice
    assert len(every) == len(set(every))
    for name in {name for name, _ in every}:
        numbers = [number for shard, number in every if shard == name]
        # each kill may leave one write a shard that was applied and not confirmed
        assert max(numbers) - len(numbers) <= len(written)


def steps_until_killed(process: subprocess.Popen[str], lines: int) -> list[tuple[str, int]]:
    """All confirmed (shard, sequence number) of a writer that is killed after so many lines."""
    output = lines_of(process)
    read = [output.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    read += list(output)
    steps: list[tuple[str, int]] = []
    for line in read:
        confirmed: dict[str, int] = {}
        note(confirmed, line)
        steps += confirmed.items()
    return steps


def test_processes_that_open_a_missing_file_together_agree_on_who_made_it(tmp_path: Path) -> None:
    path = tmp_path / "fresh" / "state.db"
    script = (
        "import asyncio, sys\n"
        f"sys.path.insert(0, {str(WRITER.parent)!r})\n"
        "from sqlite_writer import NoClock, inline\n"
        "from triggerkit.core.locators import parse\n"
        "from triggerkit.lease_stores import sqlite\n"
        "from triggerkit.ports import Services\n"
        "sys.stdin.read()\n"
        f"store = sqlite.open(parse('sqlite:///{path}'), Services(run=inline, clock=NoClock()))\n"
        "print(asyncio.run(store.prepare()))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(triggerkit.__file__).parents[1])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    answers = [lines_of(process).read().strip() for process in processes]
    for process in processes:
        process.wait()
        lines_of(process).close()
    assert sorted(answers) == ["False"] * 3 + ["True"]
