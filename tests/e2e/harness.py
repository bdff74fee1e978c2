"""Commands as a user runs them: real processes in a folder of their own, against an endpoint on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components import dummy_client

from triggerkit.emulator import Emulator, Server, serve

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120.0
DUMMY_ACCESS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The JSON lines of stderr."""
        return [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]

    @property
    def events(self) -> list[str]:
        """What was logged, by its word."""
        return [entry["event"] for entry in self.logs]

    @property
    def json(self) -> Any:
        """What was printed."""
        return json.loads(self.stdout)


class CommandServer:
    """Runs short commands in forks of one process; see `command_server`."""

    def __init__(self) -> None:
        ask_read, self._ask = os.pipe()
        self._answer, answer_write = os.pipe()
        script = Path(__file__).with_name("command_server.py")
        source, sink = (3, 4)

        def place() -> None:  # exactly these two numbers in the child
            os.dup2(ask_read, 60)
            os.dup2(answer_write, 61)
            os.dup2(60, source)
            os.dup2(61, sink)

        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            preexec_fn=place,
            close_fds=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
        )
        os.close(ask_read)
        os.close(answer_write)

    def run(self, question: Mapping[str, object]) -> int:
        """Run one command; its exit code."""
        os.write(self._ask, json.dumps(question).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            piece = os.read(self._answer, 64)
            if not piece:
                raise RuntimeError("the command server has ended")
            answer += piece
        return int(answer)

    def close(self) -> None:
        """End it."""
        os.close(self._ask)
        os.close(self._answer)
        self._process.wait(PATIENCE_SECONDS)


@dataclass(slots=True)
class Place:
    """A folder with a user's files, and the environment of the commands that run in it."""

    folder: Path
    commands: CommandServer
    environment: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def write(self, name: str, text: str) -> Path:
        """Write a file of the user's."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    @property
    def files(self) -> dict[str, bytes]:
        """Every file of the folder with what is in it."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }

    @property
    def state(self) -> str:
        """The locator of a state file in this folder."""
        return "sqlite:///state.db"

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a command: nothing of the machine's AWS or triggerkit settings."""
        clean = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder.parent),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        return clean | self.environment | dict(more or {})

    def run(
        self, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None
    ) -> Done:
        """Run a short command to its end."""
        self._count += 1
        streams = {
            name: self.folder.parent / f"{self._count}.{name}"
            for name in ("stdin", "stdout", "stderr")
        }
        for path in streams.values():
            path.write_text("")
        streams["stdin"].write_text(stdin)
        code = self.commands.run(
            {
                "folder": str(self.folder),
                "environment": self.environ(environment),
                "arguments": arguments,
                **{name: str(path) for name, path in streams.items()},
            }
        )
        return Done(code, streams["stdout"].read_text(), streams["stderr"].read_text())

    def python_m(self, *arguments: str, stdin: str = "") -> Done:
        """Run `python -m triggerkit` to its end, in a process that has imported nothing yet."""
        done = subprocess.run(
            [sys.executable, "-m", "triggerkit", *arguments],
            cwd=self.folder,
            env=self.environ(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[Running]:
        """Start `python -m triggerkit`; killed on the way out when it still runs."""
        process = subprocess.Popen(
            [sys.executable, "-m", "triggerkit", *arguments],
            cwd=self.folder,
            env=self.environ(),
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


class Running:
    """A command under way; what it writes is collected as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        self._threads = [
            threading.Thread(target=lambda: self.out.extend(process.stdout), daemon=True),
            threading.Thread(target=lambda: self._collect(process.stderr), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The JSON lines of stderr so far."""
        return [json.loads(line) for line in list(self.err) if line.startswith("{")]

    def logged(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The entries of that event with these fields."""
        return [
            entry
            for entry in self.logs
            if entry["event"] == event and all(entry.get(k) == v for k, v in fields.items())
        ]

    def until_logged(self, event: str, times: int = 1, **fields: object) -> list[dict[str, Any]]:
        """Wait for so many entries of that event; they."""
        self.until(lambda: len(self.logged(event, **fields)) >= times, f"{times} x {event}")
        return self.logged(event, **fields)

    def until(
        self, reached: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait for `reached`; fails with what was written when it never is."""
        deadline = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > deadline or self.process.poll() is not None:
                if reached():
                    return
                raise AssertionError(f"never: {what}\n{''.join(self.err)}")
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> Done:
        """Wait for the end."""
        code = self.process.wait(PATIENCE_SECONDS)
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        return Done(code, "".join(self.out), "".join(self.err))

    def end(self) -> None:
        """Kill it when it still runs, and close its pipes."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()

    def _collect(self, stream: Any) -> None:
        self.err.extend(stream)


class Tables:
    """The emulator behind HTTP, and a client to write with."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = dummy_client("dynamodb", server.endpoint_url)

    @property
    def emulator(self) -> Emulator:
        """The engine behind the endpoint."""
        return self.server.emulator

    def create(self, name: str, view_type: str | None = "NEW_AND_OLD_IMAGES") -> None:
        """Create a table with the key `id`; without a view type its stream is off."""
        stream = {"StreamEnabled": True, "StreamViewType": view_type}
        self.client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            **({"StreamSpecification": stream} if view_type else {}),
        )

    def put(self, table: str, *names: str) -> None:
        """Put one item a name."""
        for name in names:
            self.client.put_item(TableName=table, Item={"id": {"S": name}, "n": {"N": "1"}})


@contextmanager
def serving(emulator: Emulator | None = None, port: int = 0) -> Iterator[Tables]:
    """The emulator over HTTP, with the tables `orders` and `users` (streams on) and `plain` (off)."""
    with serve(emulator or Emulator(), port=port) as server:
        tables = Tables(server)
        if emulator is None:
            for name in ("orders", "users"):
                tables.create(name)
            tables.create("plain", None)
        yield tables
        tables.client.close()
