"""Three real workers, two tables, triggers of every kind, and the books that are compared in the end.

A writer gives each change of an item a version, so the chain of changes of each key is known. Every call of
a handler appends two lines to one book: what it was given, and how it ended. The checker rebuilds from the
book, the files of failure records and the logs of all processes what was delivered, by which worker, and
why anything came twice.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from e2e.harness import ROOT

from triggerkit.emulator import Emulator
from triggerkit.emulator.http import Head, Server
from triggerkit.emulator.wire import CONTENT_TYPE, Answer

PATIENCE_SECONDS = 180.0
"""How long any single thing may take that takes a moment on an idle machine."""
KEYS = 60
MOST_BEHIND = 600
"""The writer waits while any trigger has more to do: the soak goes as fast as the machine does."""
POISON_SHARE = 0.003
REMOVED_SHARE = 0.1

APP = '''
import asyncio, json, os, time
from hashlib import blake2b
from triggerkit import Change, Discard, Retry, Triggers

handlers = Triggers("soak", maximum_retry_attempts=-1)
book = os.open(os.environ["BOOK"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
seed, pid = os.environ["SEED"], os.getpid()

def note(trigger, what, changes, done=0):
    line = {"at": time.monotonic(), "pid": pid, "trigger": trigger, "what": what, "done": done,
            "changes": [change[:2] for change in changes]}
    os.write(book, json.dumps(line).encode() + b"\\n")

def read(record):
    """Key, token (W and the version written, or R and the version removed), and whether it is poison."""
    change = record["dynamodb"]
    image = change.get("NewImage") or change["OldImage"]
    token = ("R" if record["eventName"] == "REMOVE" else "W") + image["v"]["N"]
    return change["Keys"]["id"]["S"], token, token[0] == "W" and "poison" in image

def draw(trigger, change):
    text = "|".join((seed, trigger, *change[:2]))
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest()) / 2**32

def fails(trigger, change, attempt):
    """One change in a hundred fails at the first attempt, three in a thousand also at the second."""
    return draw(trigger, change) < {1: 0.01, 2: 0.003}.get(attempt, 0)

def ends(trigger, changes, fault):
    if fault is None:
        note(trigger, "done", changes, len(changes))
    else:
        note(trigger, "failed", changes)
        raise fault

def begins(trigger, event):
    changes = [read(record) for record in event["Records"]]
    note(trigger, "begun", changes)
    time.sleep(0.01)
    return changes

@handlers.on("dynamodb://orders", batch_size=20)
def flaky(event, context):
    changes = begins("flaky", event)
    bad = any(fails("flaky", change, context.attempt) for change in changes)
    ends("flaky", changes, RuntimeError("a bad moment") if bad else None)

@handlers.on("dynamodb://orders", batch_size=20, maximum_retry_attempts=1,
             bisect_batch_on_function_error=True, on_failure="file:bisected.jsonl")
def bisected(event, context):
    changes = begins("bisected", event)
    bad = any(poison for _, _, poison in changes)
    ends("bisected", changes, ValueError("poison") if bad else None)

@handlers.on("dynamodb://orders", batch_size=20, parallelization_factor=3,
             report_batch_item_failures=True)
def partial(event, context):
    changes = begins("partial", event)
    for place, change in enumerate(changes):
        if fails("partial", change, context.attempt):
            note("partial", "partly", changes, place)
            number = event["Records"][place]["dynamodb"]["SequenceNumber"]
            return {"batchItemFailures": [{"itemIdentifier": number}]}
    note("partial", "done", changes, len(changes))
    return {"batchItemFailures": []}

@handlers.on("dynamodb://users", batch_size=10)
def late(event, context):
    changes = begins("late", event)
    bad = [change for change in changes if fails("late", change, context.attempt)]
    ends("late", changes, Retry(after=2 * draw("after", bad[0])) if bad else None)

@handlers.each("dynamodb://users", parallelization_factor=4, on_failure="file:single.jsonl")
async def single(change: Change, context):
    changes = [read(change.raw)]
    note("single", "begun", changes)
    await asyncio.sleep(0.005)
    bad = fails("single", changes[0], context.attempt)
    fault = Discard("poison") if changes[0][2] else RuntimeError("a bad moment") if bad else None
    ends("single", changes, fault)
'''

TRIGGERS = {
    "flaky": "orders",
    "bisected": "orders",
    "partial": "orders",
    "late": "users",
    "single": "users",
}
"""Each trigger and its table."""
WITH_LANES = frozenset({"partial", "single"})
"""Triggers whose later changes may be done while an earlier one waits: a hand-over brings them again."""
GIVING_UP = frozenset({"bisected", "single"})
"""The triggers that give poison up; each has a file of failure records."""

Token = str
Change = tuple[str, Token]


# --- the endpoint -------------------------------------------------------------------------------------


class Gate:
    """Which access key id the endpoint takes; the credentials file is what the workers read."""

    def __init__(self, credentials: Path) -> None:
        self._credentials = credentials
        self._number = 0
        self.accepted = "AKIA0"
        self.refused = 0
        self.publish()

    def invalidate(self) -> None:
        """From now on the old key is refused; the new one is not published yet."""
        self._number += 1
        self.accepted = f"AKIA{self._number}"

    def publish(self) -> None:
        """The new key can be had."""
        text = f"[default]\naws_access_key_id = {self.accepted}\naws_secret_access_key = secret\n"
        fresh = self._credentials.with_suffix(".fresh")
        fresh.write_text(text)
        fresh.replace(self._credentials)

    def refusal(self, authorization: str) -> Answer | None:
        """The answer to a request that was signed with another key."""
        found = re.search(r"Credential=([^/]+)/", authorization)
        if found is not None and found[1] == self.accepted:
            return None
        self.refused += 1
        body = {"__type": "soak#UnrecognizedClientException", "message": "The key is unknown."}
        return Answer(400, (("Content-Type", CONTENT_TYPE),), json.dumps(body).encode())


class GuardedServer(Server):
    """Serves the emulator to requests that are signed with the key of the gate."""

    def __init__(self, emulator: Emulator, gate: Gate) -> None:
        self._gate = gate
        super().__init__(emulator)

    def refusal(self, request: Head) -> Answer | None:
        """Ask the gate first."""
        refused = self._gate.refusal(request.headers.get("authorization", ""))
        return refused or super().refusal(request)


# --- writes -------------------------------------------------------------------------------------------


class Writer:
    """One thread that changes items of both tables; what each stream must carry is in `chains`."""

    def __init__(self, emulator: Emulator, seed: int, behind: Callable[[], int]) -> None:
        self.chains: dict[str, dict[str, list[Token]]] = {
            "orders": defaultdict(list),
            "users": defaultdict(list),
        }
        self.poison: dict[str, set[Change]] = {"orders": set(), "users": set()}
        self.writes: Counter[str] = Counter()
        self.unseen: Counter[str] = Counter()
        self._emulator = emulator
        self._behind = behind
        self._rng = random.Random(f"{seed}:writer")
        self._off: set[str] = set()
        self._alive: dict[Change, int] = {}
        self._versions: Counter[Change] = Counter()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._guarded, daemon=True)

    def start(self) -> None:
        """Write until `end`."""
        self._thread.start()

    def end(self) -> None:
        """Stop writing."""
        self._over.set()
        self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise what stopped the writer."""
        if self._error is not None:
            raise self._error

    def switch_stream(self, table: str, *, on: bool) -> None:
        """What is written while a stream is off is in no stream."""
        specification: dict[str, Any] = {"StreamEnabled": on}
        if on:
            specification["StreamViewType"] = "NEW_AND_OLD_IMAGES"
        with self._lock:
            request = {"TableName": table, "StreamSpecification": specification}
            self._emulator.call("UpdateTable", request)
            (self._off.discard if on else self._off.add)(table)

    def _guarded(self) -> None:
        try:
            while not self._over.wait(self._rng.uniform(0.02, 0.2)):
                for _ in range(self._rng.randrange(1, 12)):
                    if self._behind() < MOST_BEHIND:
                        with self._lock:
                            self._write()
        except BaseException as error:  # noqa: BLE001 - raised by check
            self._error = error

    def _write(self) -> None:
        rng = self._rng
        table = rng.choice(sorted(self.chains))
        key = f"key-{rng.randrange(KEYS)}"
        item = (table, key)
        poison = rng.random() < POISON_SHARE
        if item in self._alive and rng.random() < REMOVED_SHARE:
            self._emulator.call("DeleteItem", {"TableName": table, "Key": {"id": {"S": key}}})
            token = f"R{self._alive.pop(item)}"
            poison = False
        else:
            version = self._alive[item] = self._versions[item] = self._versions[item] + 1
            attributes = {"id": {"S": key}, "v": {"N": str(version)}}
            if poison:
                attributes["poison"] = {"S": "yes"}
            self._emulator.call("PutItem", {"TableName": table, "Item": attributes})
            token = f"W{version}"
        if table in self._off:
            self.unseen[table] += 1
            return
        self.chains[table][key].append(token)
        self.writes[table] += 1
        if poison:
            self.poison[table].add((key, token))


# --- what the handlers did ----------------------------------------------------------------------------


class Line(NamedTuple):
    """A call of a handler begins or ends; `at` is in monotonic seconds."""

    at: float
    pid: int
    trigger: str
    what: str
    done: int
    changes: tuple[Change, ...]


class Book:
    """The lines that all handlers of all workers wrote, in their order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[Line] = []
        self.done: dict[str, set[Change]] = defaultdict(set)
        self.last_begun: dict[int, Line] = {}
        self.begun: Counter[int] = Counter()
        self._read_bytes = 0

    def refresh(self) -> None:
        """Read what was written since."""
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            stream.seek(self._read_bytes)
            text = stream.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for row in whole.splitlines():
            given = json.loads(row)
            changes = tuple((key, token) for key, token in given.pop("changes"))
            line = Line(**given, changes=changes)
            self.lines.append(line)
            self.done[line.trigger].update(changes[: line.done])
            if line.what == "begun":
                self.last_begun[line.pid] = line
                self.begun[line.pid] += 1

    @property
    def calls(self) -> int:
        """How many calls have begun."""
        return self.begun.total()


# --- workers ------------------------------------------------------------------------------------------


class Life:
    """One process of `triggerkit run`; what it writes goes to a file of its own."""

    def __init__(self, folder: Path, number: int, environment: dict[str, str]) -> None:
        self.log = folder / f"life-{number}.log"
        command = [
            *(sys.executable, "-m", "triggerkit", "run", "app:handlers"),
            *("--state", "sqlite:///state.db", "--log-format", "json"),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.asked = False
        self.killed_at: float | None = None
        self.frozen_at: list[float] = []
        self.thaw_at: float | None = None
        self.expired = False
        """Whether the others took it for dead before anything was done to it: the machine was too busy."""
        self._started = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def started(self) -> bool:
        """Whether it has come as far as reading."""
        if not self._started:
            self._started = b'"event":"started"' in self.log.read_bytes()
        return self._started

    @property
    def refused_to_start(self) -> bool:
        """Whether the trouble came so thick that a start ended with an error, as it may."""
        return self.process.returncode == 3 and not self.started

    @property
    def logs(self) -> list[dict[str, Any]]:
        """What it logged so far; a last line that is not whole is left out, other text is refused."""
        lines = self.log.read_text().split("\n")[:-1]
        if self.refused_to_start:  # the error is text, with a fix below
            lines = [line for line in lines if not line.startswith(("triggerkit: ", "  fix: "))]
        stray = [line for line in lines if not line.startswith("{")]
        assert not stray, f"{self.log.name}: not a log line: {stray[:30]}"
        return [json.loads(line) for line in lines]

    def tail(self) -> str:
        """The end of its log."""
        return f"{self.log.name}:\n{self.log.read_text()[-3000:]}"


@dataclass
class World:
    """All of it; `folder` keeps the state, the book, the failure records and the logs."""

    folder: Path
    endpoint_url: str
    emulator: Emulator
    gate: Gate
    seed: int
    workers: int = 3
    lives: list[Life] = field(default_factory=list)
    places: list[Life | None] = field(init=False)
    book: Book = field(init=False)
    writer: Writer = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "app.py").write_text(APP)
        self.book = Book(self.folder / "book")
        self.places = [None] * self.workers
        self.writer = Writer(self.emulator, self.seed, lambda: max(self.behind().values()))

    def behind(self) -> dict[str, int]:
        """How many changes each trigger still has to be done with, but for poison."""
        missing = {}
        for trigger, table in TRIGGERS.items():
            given_up = len(self.writer.poison[table]) if trigger in GIVING_UP else 0
            missing[trigger] = self.writer.writes[table] - given_up - len(self.book.done[trigger])
        return missing

    def missing(self) -> dict[str, list[Change]]:
        """The first changes that each trigger is not done with."""
        found = {}
        for trigger, table in TRIGGERS.items():
            all_of = {
                (key, token) for key, chain in self.writer.chains[table].items() for token in chain
            }
            poison = self.writer.poison[table] if trigger in GIVING_UP else set()
            found[trigger] = sorted(all_of - self.book.done[trigger] - poison)[:3]
        return found

    def start_missing(self) -> None:
        """Start a worker in every place that has none."""
        for place, life in enumerate(self.places):
            ended = life is not None and not life.running
            if life is None or (ended and (life.killed_at or life.asked or life.refused_to_start)):
                self.places[place] = self._start()

    def live(self) -> list[Life]:
        """The workers that run and are not frozen."""
        return [life for life in self.places if life and life.running and life.thaw_at is None]

    def until(
        self, reached: Callable[[], bool], what: str, limit_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait for an event; no worker may end meanwhile unless it was asked to."""
        deadline = time.monotonic() + limit_seconds
        while True:
            self.book.refresh()
            self.thaw_due()
            self.writer.check()
            for place, life in enumerate(self.places):
                if life is None or life.running or life.killed_at or life.asked:
                    continue
                assert life.refused_to_start, (
                    f"seed {self.seed}: a worker ended with {life.process.returncode}\n{life.tail()}"
                )
                self.places[place] = self._start()
            if reached():
                return
            assert time.monotonic() < deadline, (
                f"seed {self.seed}: not within {limit_seconds:.0f} s: {what}; behind: {self.behind()},"
                f" such as {self.missing()}\n"
                + "\n".join(life.tail() for life in self.places if life)
            )
            time.sleep(0.01)

    def until_started(self) -> None:
        """All workers read, so that what happens next does not meet a start."""
        self.until(lambda: all(life.started for life in self.live()), "all have started")

    def freeze(self, life: Life, seconds: float) -> bool:
        """SIGSTOP, but not within a transaction: that would stop everybody, and expire nobody."""
        for _ in range(100):
            frozen_at = time.monotonic()
            life.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, life.pid, os.WSTOPPED)  # until its last thread stands still
            if self._write_lock_is_free():
                life.frozen_at.append(frozen_at)
                life.thaw_at = time.monotonic() + seconds
                return True
            life.process.send_signal(signal.SIGCONT)
        return False

    def thaw_due(self) -> None:
        """SIGCONT for those whose time has come."""
        for life in self.places:
            if life and life.thaw_at is not None and time.monotonic() >= life.thaw_at:
                life.process.send_signal(signal.SIGCONT)
                life.thaw_at = None

    def note_expiry(self, life: Life) -> None:
        """See whether the others take it for dead, before it can no longer say so itself."""
        with closing(sqlite3.connect(self.folder / "state.db", timeout=30)) as file:
            states = file.execute("SELECT st FROM session WHERE pid = ?", (life.pid,)).fetchall()
        life.expired = ("DEAD",) in states

    def failures(self, trigger: str) -> Iterator[dict[str, Any]]:
        """The failure records of one trigger."""
        path = self.folder / f"{trigger}.jsonl"
        for row in path.read_text().splitlines() if path.exists() else ():
            try:
                yield json.loads(row)
            except ValueError:  # a worker was killed while it appended; it is delivered again
                continue

    def given_up(self, trigger: str) -> list[list[Change]]:
        """The changes in each failure record of one trigger."""
        return [
            [change_of(record) for record in json.loads(failure["payload"])["Records"]]
            for failure in self.failures(trigger)
        ]

    def owed_failures(self) -> int:
        """How many poisonous changes have no failure record yet."""
        owed = 0
        for trigger in GIVING_UP:
            found = {change for changes in self.given_up(trigger) for change in changes}
            owed += len(self.writer.poison[TRIGGERS[trigger]] - found)
        return owed

    def end_all(self) -> None:
        """Kill whatever still runs."""
        for life in self.lives:
            if life.running:
                life.process.kill()
            life.process.wait()

    def _start(self) -> Life:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "credentials"),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "BOOK": str(self.book.path),
            "SEED": str(self.seed),
        }
        life = Life(self.folder, len(self.lives), environment)
        self.lives.append(life)
        return life

    def _write_lock_is_free(self) -> bool:
        state = self.folder / "state.db"
        with closing(sqlite3.connect(state, isolation_level=None, timeout=0.5)) as file:
            try:
                file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            file.execute("ROLLBACK")
        return True


def change_of(record: dict[str, Any]) -> Change:
    """Key and token of a record, as the handlers read it."""
    change = record["dynamodb"]
    image = change.get("NewImage") or change["OldImage"]
    kind = "R" if record["eventName"] == "REMOVE" else "W"
    return change["Keys"]["id"]["S"], f"{kind}{image['v']['N']}"


# --- the checker --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disturbed:
    """What happened to one process; times are in monotonic seconds."""

    frozen_at: tuple[float, ...] = ()
    since: float = float("inf")
    """What it had done by then may be done again from then on."""

    def explains(self, again_at: float) -> bool:
        """Whether another worker may have done again by then what this one had done."""
        return self.since <= again_at

    def ends_late(self, begun_at: float, ended_at: float) -> bool:
        """Whether the worker stood still within a call, so that another may have done it meanwhile."""
        return self.since == 0 or any(begun_at <= at <= ended_at for at in self.frozen_at)


def disturbances(lives: Iterable[Life], *, with_lanes: bool) -> dict[int, Disturbed]:
    """By process, for triggers with or without lanes."""
    found = {}
    for life in lives:
        moments = [*life.frozen_at, *([life.killed_at] if life.killed_at else [])]
        events = {entry["event"] for entry in life.logs}
        lost = life.expired or not events.isdisjoint({"session_lost", "lease_lost"})
        if (
            life.process.returncode == 14
            or (lost and not life.frozen_at)
            or (with_lanes and "lease_released" in events)
        ):
            moments = [0.0]
        found[life.pid] = Disturbed(tuple(life.frozen_at), min(moments, default=float("inf")))
    return found


def check_order_and_loss(
    lines: Iterable[Line],
    chains: Mapping[str, list[Token]],
    poison: Container[Change],
    disturbed: Mapping[int, Disturbed],
) -> int:
    """Check the lines of one trigger against the true chains of all keys; how many changes came again.

    Every change is done, or has failed as poison, after all earlier ones of its key. What comes again was
    done before by a worker that was killed or stood still, or is a call that ends late.
    """
    place_of = {
        (key, token): place for key, chain in chains.items() for place, token in enumerate(chain)
    }
    settled: Counter[str] = Counter()  # how many changes of each key are done or given up
    done_by: dict[Change, int] = {}
    begun_at: dict[tuple[int, tuple[Change, ...]], float] = {}
    again = 0
    for line in lines:
        for change in line.changes:
            assert change in place_of, f"{change} is in no stream: {line}"
        call = (line.pid, line.changes)
        if line.what == "begun":
            begun_at[call] = line.at
        for change in line.changes if line.what == "failed" else ():
            # nothing that follows in its key may be done before this
            settled[change[0]] += change in poison and place_of[change] == settled[change[0]]
        for change in line.changes[: line.done]:
            key, place = change[0], place_of[change]
            assert change not in poison, f"poison {change} was done: {line}"
            assert place <= settled[key], (
                f"{change} was done before {chains[key][settled[key]]}: {line}"
            )
            settled[key] = max(settled[key], place + 1)
            if change in done_by:
                again += 1
                before, now = disturbed[done_by[change]], disturbed[line.pid]
                assert before.explains(line.at) or now.ends_late(begun_at[call], line.at), (
                    f"{change} was done again without a cause, before by {done_by[change]}: {line}"
                )
            done_by[change] = line.pid
    lost = {
        key: chain[settled[key] :] for key, chain in chains.items() if settled[key] < len(chain)
    }
    assert not lost, f"lost: {dict(list(lost.items())[:3])}"
    return again


def check_failures(world: World) -> int:
    """There are failure records of poison and of nothing else, one change in each; how many."""
    count = 0
    for trigger in GIVING_UP:
        given_up = world.given_up(trigger)
        count += len(given_up)
        assert all(len(changes) == 1 for changes in given_up), f"seed {world.seed}: {given_up}"
        found = {change for changes in given_up for change in changes}
        poison = world.writer.poison[TRIGGERS[trigger]]
        assert found == poison, (
            f"seed {world.seed}: {trigger}: not poison {found - poison}, not given up {poison - found}"
        )
    return count


def check_logs(world: World) -> None:
    """No log tells of lost records, or has a traceback but of a handler; every life ended as it was asked to."""
    for life in world.lives:
        for entry in life.logs:
            told = f"seed {world.seed}: {life.log.name}: {entry}"
            assert entry["event"] != "records_lost", told
            assert "exception" not in entry or entry["event"] == "handler_failed", told
        if not life.killed_at and not life.refused_to_start:
            # one that is still importing when it is asked to stop simply ends by the signal
            codes = (0, 14) if life.started else (0, 14, -signal.SIGTERM)
            assert life.process.returncode in codes, f"seed {world.seed}: {life.tail()}"


def stalls(life: Life) -> list[dict[str, Any]]:
    """The lines that tell of something that does not move, and that nothing has taken back."""
    open_stalls: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in life.logs:
        about = (entry.get("trigger"), entry.get("source"))
        match entry["event"]:
            case "waiting" | "blocked":
                open_stalls[*about, entry.get("operation")] = entry
            case "recovered":
                open_stalls.pop((*about, entry.get("operation")), None)
            case "lease_lost" | "lease_released" | "shard_finished" | "session_lost":
                shard = entry.get("shard")
                for key, stall in list(open_stalls.items()):
                    if entry["event"] == "session_lost" or (
                        key[:2] == about and stall.get("shard") == shard
                    ):
                        del open_stalls[key]
    return list(open_stalls.values())
