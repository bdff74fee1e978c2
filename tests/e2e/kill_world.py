"""Writers, workers that get `kill -9`, and the books that are compared afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WRITERS = 4
KEYS = 500

APP = """
import json, os
from triggerkit import Triggers
handlers = Triggers("kill")
book = os.open(os.environ["BOOK"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

@handlers.on("dynamodb://orders", maximum_retry_attempts=-1)
def note(event, context):
    lines = []
    for record in event["Records"]:
        change = record["dynamodb"]
        image = change.get("NewImage") or change["OldImage"]
        lines.append([change["Keys"]["id"]["S"], record["eventName"], int(image["v"]["N"]),
                      change["SequenceNumber"], os.getpid()])
    os.write(book, b"".join(json.dumps(line).encode() + b"\\n" for line in lines))
"""

Token = tuple[str, int]
"""What tells one change of an item from all others: eventName, and the version it left or removed."""


@dataclass
class Writers:
    """Four threads; each owns its keys, so that the order of every key's changes is known."""

    make_client: Callable[[], Any]
    table: str
    writes: int
    seed: int
    expected: dict[str, list[Token]] = field(default_factory=lambda: defaultdict(list))
    _threads: list[threading.Thread] = field(default_factory=list)
    _errors: list[BaseException] = field(default_factory=list)

    def start(self) -> None:
        for number in range(WRITERS):
            thread = threading.Thread(target=self._guarded, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _guarded(self, number: int) -> None:
        try:
            self._write(number)
        except BaseException as error:  # noqa: BLE001 - told by join
            self._errors.append(error)

    def _write(self, number: int) -> None:
        rng = random.Random(f"{self.seed}:{number}")
        client = self.make_client()
        versions: dict[str, int] = defaultdict(int)
        alive: dict[str, int] = {}
        for _ in range(self.writes // WRITERS):
            key = f"key-{number + WRITERS * rng.randrange(KEYS // WRITERS)}"
            if key in alive and rng.random() < 0.2:
                client.delete_item(TableName=self.table, Key={"id": {"S": key}})
                self.expected[key].append(("REMOVE", alive.pop(key)))
                continue
            versions[key] += 1
            client.update_item(
                TableName=self.table,
                Key={"id": {"S": key}},
                UpdateExpression="SET v = :v, filler = :p",
                ExpressionAttributeValues={
                    ":v": {"N": str(versions[key])},
                    ":p": {"S": "x" * 100},
                },
            )
            kind = "MODIFY" if key in alive else "INSERT"
            alive[key] = versions[key]
            self.expected[key].append((kind, versions[key]))


def create_table(client: Any, table: str) -> None:
    client.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


@dataclass(frozen=True)
class Line:
    """One delivery of one change."""

    key: str
    token: Token
    sequence_number: int
    pid: int


@dataclass
class KilledWorker:
    """`triggerkit run` in a process of its own, killed and started again."""

    folder: Path
    name: str
    endpoint_url: str
    lanes: int
    batch_size: int
    checkpoint_interval_seconds: float | None = 0.0
    """None for the default."""
    kills: int = 0
    behind: list[int] = field(default_factory=list)
    """At each kill: changes delivered behind the confirmed checkpoint; one shard only."""
    distinct: set[tuple[str, str, int]] = field(default_factory=set)
    _lines: list[Line] = field(default_factory=list)
    _read_bytes: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def book(self) -> Path:
        return self.folder / f"{self.name}.book"

    @property
    def state(self) -> Path:
        return self.folder / f"{self.name}.db"

    def start(self, *more: str) -> None:
        app = self.folder / "app.py"
        if not app.exists():  # another worker of this folder may be importing it
            app.write_text(APP)
        command = [
            *(sys.executable, "-m", "triggerkit", "run", "app:handlers", "-q", *more),
            *("--state", f"sqlite:///{self.state}"),
            *("--set", f"note.parallelization_factor={self.lanes}"),
            *("--set", f"note.batch_size={self.batch_size}"),
        ]
        if self.checkpoint_interval_seconds is not None:
            command += [
                "--set",
                f"note.checkpoint_interval_seconds={self.checkpoint_interval_seconds}",
            ]
        environ = os.environ | {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
            "BOOK": str(self.book),
        }
        log = (self.folder / f"{self.name}.log").open("ab")
        self._process = subprocess.Popen(command, cwd=self.folder, env=environ, stderr=log)
        log.close()

    def kill(self) -> None:
        """`kill -9`, and note how many deliveries lie behind the checkpoint that was confirmed."""
        assert self._process is not None
        assert self._process.poll() is None, f"it ended by itself: {self.log_tail()}"
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.kills += 1
        checkpoint = self.checkpoint()
        numbers = {line.sequence_number for line in self.lines()}
        self.behind.append(sum(1 for number in numbers if number > checkpoint))

    def end(self) -> None:
        """Whatever it does: a test that failed leaves no process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(300)

    def lines(self) -> list[Line]:
        """All deliveries so far, in the order in which they were noted."""
        if not self.book.exists():
            return []
        with self.book.open("rb") as stream:
            stream.seek(self._read_bytes)
            text = stream.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for row in whole.splitlines():
            key, kind, version, number, pid = json.loads(row)
            self._lines.append(Line(key, (kind, version), int(number), pid))
            self.distinct.add((key, kind, version))
        return self._lines

    def checkpoint(self) -> int:
        """The confirmed sequence number of the only shard; -1 before there is one."""
        if not self.state.exists():
            return -1
        with closing(sqlite3.connect(self.state)) as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
            if "lease" not in names:
                return -1
            rows = connection.execute("SELECT checkpoint FROM lease").fetchall()
        return max((int(row[0]) for row in rows if str(row[0]).isdigit()), default=-1)

    def log_tail(self) -> str:
        return (self.folder / f"{self.name}.log").read_text()[-3000:]


def until(reached: Callable[[], bool], what: Callable[[], str], limit_seconds: float) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + limit_seconds
    while not reached():
        assert time.monotonic() < deadline, f"not within {limit_seconds:.0f} s: {what()}"
        time.sleep(0.05)


def check_book(lines: list[Line], expected: dict[str, list[Token]], seed: int) -> int:
    """Everything at least once and in order per key; the number of duplicates.

    A key may go back after a kill, but it never skips a change that it has not had.
    """
    index = {
        (key, token): place
        for key, tokens in expected.items()
        for place, token in enumerate(tokens)
    }
    highest: dict[str, int] = defaultdict(lambda: -1)
    in_life: dict[tuple[int, str], int] = {}
    for line in lines:
        place = index[line.key, line.token]
        assert place <= highest[line.key] + 1, f"seed {seed}: {line.key} skips to {place}"
        before = in_life.get((line.pid, line.key))
        assert before is None or place == before + 1, f"seed {seed}: {line.key} out of order"
        in_life[line.pid, line.key] = place
        highest[line.key] = max(highest[line.key], place)
    missing = {
        key: tokens[highest[key] + 1 :]
        for key, tokens in expected.items()
        if highest[key] + 1 < len(tokens)
    }
    assert not missing, f"seed {seed}: never delivered: {dict(list(missing.items())[:3])}"
    return len(lines) - len(index)
