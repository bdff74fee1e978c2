"""Workers that share one state file, a handler that misbehaves on command, and the book of what they did.

The handler notes a batch when it is done with it, as an effect on the world would show; begin and end of
its calls are on the monotonic clock, which all processes of a host share.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components import dummy_client
from e2e.harness import ROOT, Running
from e2e.kill_world import Token, create_table, until

SEED = 20_261
PATIENCE_SECONDS = 120.0
KEYS = 100

APP = '''
import ctypes, json, os, time
from triggerkit import Triggers

handlers = Triggers("faults")
book = os.open(os.environ["BOOK"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
pace_seconds = float(os.environ.get("PACE_SECONDS", "0"))

@handlers.on(os.environ["SOURCE"], maximum_retry_attempts=-1, checkpoint_interval_seconds=0)
def note(event, context):
    begun = time.monotonic()
    time.sleep(pace_seconds)
    fault = ordered()
    if fault == "exit":
        write(event["Records"][: len(event["Records"]) // 2], begun)
        os._exit(77)
    if fault == "spin":  # Python code: other threads get the GIL now and then
        while time.monotonic() < begun + 8:
            pass
    if fault == "hold":  # C code that never lets go of the GIL
        ctypes.PyDLL(None).sleep(8)
    write(event["Records"], begun)

def ordered():
    """A fault strikes one call of one worker: whoever can take the order away."""
    try:
        with open("fault") as order:
            fault = order.read()
        os.unlink("fault")
    except FileNotFoundError:
        return ""
    return fault

def write(records, begun):
    rows = []
    for record in records:
        change = record["dynamodb"]
        image = change.get("NewImage") or change["OldImage"]
        rows.append([change["Keys"]["id"]["S"], record["eventName"], int(image["v"]["N"]),
                     int(change["SequenceNumber"]), os.getpid(), begun, time.monotonic()])
    os.write(book, b"".join(json.dumps(row).encode() + b"\\n" for row in rows))
'''


@dataclass(frozen=True)
class Delivery:
    """One delivery of one change; `begun` and `noted` are monotonic seconds."""

    key: str
    token: Token
    sequence_number: int
    pid: int
    begun: float
    noted: float


class Writer:
    """One thread that changes items at random, in turns: it may be started again when a turn ended."""

    def __init__(self, table: str) -> None:
        self.expected: dict[str, list[Token]] = defaultdict(list)
        self._table = table
        self._rng = random.Random(SEED)
        self._alive: dict[str, int] = {}
        self._versions: dict[str, int] = defaultdict(int)
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, writes: int, endpoint_url: str) -> None:
        """So many changes, from now on."""
        self._thread = threading.Thread(
            target=self._guarded, args=(writes, endpoint_url), daemon=True
        )
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of the turn."""
        assert self._thread is not None
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _guarded(self, writes: int, endpoint_url: str) -> None:
        try:
            client = dummy_client("dynamodb", endpoint_url)
            for _ in range(writes):
                self._write(client)
            client.close()
        except BaseException as error:  # noqa: BLE001 - told by join
            self._error = error

    def _write(self, client: Any) -> None:
        key = f"key-{self._rng.randrange(KEYS)}"
        if key in self._alive and self._rng.random() < 0.2:
            client.delete_item(TableName=self._table, Key={"id": {"S": key}})
            self.expected[key].append(("REMOVE", self._alive.pop(key)))
            return
        version = self._versions[key] = self._versions[key] + 1
        item = {"id": {"S": key}, "v": {"N": str(version)}, "filler": {"S": "x" * 100}}
        client.put_item(TableName=self._table, Item=item)
        self.expected[key].append(("MODIFY" if key in self._alive else "INSERT", version))
        self._alive[key] = version


@dataclass
class FaultWorld:
    """A table, its writer, one state file, one book; any number of workers."""

    folder: Path
    endpoint_url: str
    table: str
    source: str = ""
    """The locator; `dynamodb://TABLE` when empty."""
    batch_size: int = 10
    pace_seconds: float = 0.0
    state: Path = Path()
    """The file; one in the folder when it is not given."""
    _deliveries: list[Delivery] = field(default_factory=list)
    _read_bytes: int = 0
    _writer: Writer = field(init=False)

    def __post_init__(self) -> None:
        if self.state == Path():
            self.state = self.folder / "state.db"
        self._writer = Writer(self.table)
        (self.folder / "app.py").write_text(APP)

    @property
    def book(self) -> Path:
        return self.folder / "book"

    @property
    def total(self) -> int:
        """How many changes there are."""
        return sum(len(tokens) for tokens in self._writer.expected.values())

    @property
    def distinct(self) -> int:
        """How many of them were delivered."""
        return len({(each.key, each.token) for each in self.deliveries()})

    def create_table(self, endpoint_url: str = "") -> None:
        """`endpoint_url` where the writers go another way than the workers."""
        create_table(dummy_client("dynamodb", endpoint_url or self.endpoint_url), self.table)

    def write(self, writes: int, endpoint_url: str = "") -> Writer:
        """Start to write; `join` what comes back before the next turn."""
        self._writer.start(writes, endpoint_url or self.endpoint_url)
        return self._writer

    def order(self, fault: str) -> None:
        """The next call of any worker suffers this."""
        order = self.folder / "order"
        order.write_text(fault)
        order.rename(self.folder / "fault")

    @property
    def ordered(self) -> bool:
        """Whether an order still waits for a call."""
        return (self.folder / "fault").exists()

    @contextmanager
    def running(self) -> Iterator[Running]:
        """A worker; killed on the way out when it still runs."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "BOOK": str(self.book),
            "SOURCE": self.source or f"dynamodb://{self.table}",
            "PACE_SECONDS": str(self.pace_seconds),
        }
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "triggerkit", "run", "app:handlers"),
                *("--state", f"sqlite:///{self.state}"),
                *("--set", f"note.batch_size={self.batch_size}"),
            ],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running = Running(process)
        try:
            yield running
        finally:
            running.end()

    def deliveries(self) -> list[Delivery]:
        """All so far, in the order in which they were noted."""
        if not self.book.exists():
            return []
        with self.book.open("rb") as stream:
            stream.seek(self._read_bytes)
            text = stream.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for row in whole.splitlines():
            key, kind, version, number, pid, begun, noted = json.loads(row)
            self._deliveries.append(Delivery(key, (kind, version), number, pid, begun, noted))
        return self._deliveries

    def by(self, worker: Running) -> list[Delivery]:
        """What one worker delivered."""
        return [each for each in self.deliveries() if each.pid == worker.process.pid]

    def until_delivered(self, *workers: Running, all_of: int = 0) -> None:
        """Until so many changes were delivered at least once; all of them when 0."""
        wanted = all_of or self.total

        def reached() -> bool:
            for worker in workers:
                code = worker.process.poll()
                assert not code, f"a worker ended with {code}\n{tails(worker)}"
            return self.distinct >= wanted

        until(
            reached,
            lambda: f"{self.distinct} of {wanted} changes\n{tails(*workers)}",
            PATIENCE_SECONDS,
        )

    def sessions(self) -> dict[int, list[str]]:
        """States of the sessions of each process."""
        found: dict[int, list[str]] = defaultdict(list)
        with closing(sqlite3.connect(self.state)) as file:
            for pid, state in file.execute("SELECT pid, st FROM session ORDER BY dead_at IS NULL"):
                found[pid].append(state)
        return found

    def write_lock_is_free(self) -> bool:
        """Whether anybody could write to the state file now."""
        with closing(sqlite3.connect(self.state, isolation_level=None, timeout=0.5)) as file:
            try:
                file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            file.execute("ROLLBACK")
        return True

    def check(self) -> int:
        """Everything at least once and in order per key; the number of duplicates.

        No delivery skips a change that its key has not had. A worker goes back in a key only where
        another worker, or another life of the program, was in between: a frozen call ends late.
        """
        index = {
            (key, token): place
            for key, tokens in self._writer.expected.items()
            for place, token in enumerate(tokens)
        }
        highest: dict[str, int] = defaultdict(lambda: -1)
        last: dict[str, Delivery] = {}
        for each in self.deliveries():
            place, before = index[each.key, each.token], last.get(each.key)
            told = f"seed {SEED}: {each} behind {before}"
            assert place <= highest[each.key] + 1, f"{told}: left something out"
            if place <= highest[each.key] and before is not None and before.pid == each.pid:
                assert place == index[before.key, before.token] + 1, f"{told}: out of order"
            last[each.key] = each
            highest[each.key] = max(highest[each.key], place)
        missing = {
            key: tokens[highest[key] + 1 :]
            for key, tokens in self._writer.expected.items()
            if highest[key] + 1 < len(tokens)
        }
        assert not missing, f"seed {SEED}: never delivered: {dict(list(missing.items())[:3])}"
        return len(self.deliveries()) - len(index)


def tails(*workers: Running) -> str:
    """The end of what each worker wrote."""
    return "\n---\n".join("".join(worker.err[-15:]) for worker in workers)


def wait_seconds(
    reached: Callable[[], bool], what: Callable[[], str], limit_seconds: float = PATIENCE_SECONDS
) -> float:
    """Wait with a deadline; how long it took."""
    since = time.monotonic()
    until(reached, what, limit_seconds)
    return time.monotonic() - since
