"""Real processes: the engine over HTTP here, a subject's workers there.

A worker gets an endpoint on loopback, dummy keys and a folder for its state, and no other
settings of this machine; so no request can leave it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from outside.book import Book
from outside.judge import Record
from outside.scenarios import Scenario
from outside.subjects import DRIVERS, OURS, Subject
from triggerkit.emulator import Emulator, serve

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 5.0
READ_SECONDS = 10.0
SETTLING_SECONDS = 12.0


class PacedClock:
    """The engine's time: as fast as the subject's, and forward on command."""

    def __init__(self, pace: float) -> None:
        self._began = time.monotonic()
        self._start = time.time()
        self._pace = pace
        self._ahead = 0.0

    def now_seconds(self) -> float:
        """Return the present, in UNIX seconds."""
        return self._start + (time.monotonic() - self._began) * self._pace + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the present forward."""
        self._ahead += seconds


class ProcessCrew:
    """The workers of one subject in one scenario."""

    def __init__(self, subject: Subject, interpreter: Path, scenario: Scenario, seed: int) -> None:
        self.emulator = Emulator(PacedClock(subject.pace), seed=seed, shards=scenario.shards)
        self._subject = subject
        self._interpreter = interpreter
        self._scenario = scenario
        self._server = serve(self.emulator)
        self._book = Book()
        self._folder = Path(tempfile.mkdtemp(prefix="outside-"))
        self._workers: list[subprocess.Popen[bytes]] = []
        self._log = (self._folder / "log").open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._book.close()
        self._server.close()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def log(self) -> str:
        """What the workers printed."""
        return (self._folder / "log").read_text(errors="replace")

    def begin(self) -> None:
        """Start the workers, and wait until they have their places."""
        reads = self.emulator.calls["GetRecords"]
        workers = self._scenario.workers
        self._workers = [self._start() for _ in range(workers)]
        self._book.wait_ready(workers, START_SECONDS)
        if self._scenario.position == "LATEST":
            self._wait_reading(reads + self._scenario.shards)

    def next_delivery(self, *, is_settling: bool = False) -> Record | None:
        """Let a handler take one more record."""
        seconds = self._subject.patience_seconds
        return self._book.next_record(min(seconds, SETTLING_SECONDS) if is_settling else seconds)

    def busy(self, seconds: float) -> None:
        """Let the subject's time pass."""
        time.sleep(seconds / self._subject.pace)

    def stop(self) -> None:
        """Send SIGTERM, and wait."""
        for worker in self._workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self._workers:
            try:
                worker.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self._workers = []
        self._book.forget()

    def kill(self, worker: int | None = None) -> None:
        """Send SIGKILL to one, or all."""
        ending = self._workers if worker is None else self._workers[worker : worker + 1]
        for each in ending:
            each.kill()
            each.wait()
        if worker is None:
            self._workers = []
            self._book.forget()

    def freeze(self) -> None:
        """Send SIGSTOP."""
        for worker in self._workers:
            worker.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT."""
        for worker in self._workers:
            worker.send_signal(signal.SIGCONT)

    def failures(self) -> list[str]:
        """Return what was raised since this was last asked."""
        failures, self._book.failures = self._book.failures, []
        return failures

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command(),
            cwd=DRIVERS,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def _command(self) -> list[str]:
        if self._subject.project != OURS:
            return [str(self._interpreter), str(DRIVERS / self._subject.driver)]
        command = [sys.executable, "-m", "triggerkit", "run", "with_triggerkit:handlers"]
        return [*command, "--state", f"sqlite:///{self._folder}/state.db", "--drain-timeout", "1"]

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "PYTHONPATH": str(ROOT) if self._subject.project == OURS else "",
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ENDPOINT_URL": self._server.endpoint_url,
            "OUTSIDE_CATCHES": str(int(self._scenario.catches)),
            "OUTSIDE_BOOK": str(self._book.port),
            "OUTSIDE_ENDPOINT": self._server.endpoint_url,
            "OUTSIDE_PACE": str(self._subject.pace),
            "OUTSIDE_POSITION": self._scenario.position,
            "OUTSIDE_SERVICE": self._subject.service.name,
            "OUTSIDE_STATE": str(self._folder),
        }

    def _wait_reading(self, reads: int) -> None:
        """Wait until the shards are read: only then a reader at the tip has its place."""
        deadline = time.monotonic() + READ_SECONDS
        while self.emulator.calls["GetRecords"] < reads and time.monotonic() < deadline:
            time.sleep(0.02)
