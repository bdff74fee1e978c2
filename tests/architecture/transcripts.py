"""What terminals show, for the documentation. Every line was printed by a command of this checkout.

Run this file to write the transcripts into the pages: `python tests/architecture/transcripts.py`. Times, ports,
shard ids and folders differ from run to run; `alike` leaves them out where a test compares.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3

from triggerkit.emulator import Emulator, serve

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0
ROWS, COLUMNS = 40, 110
BEGIN = "<!-- transcript: {} -->"
END = "<!-- /transcript -->"
PAGES = {
    "README.md": ("run", "init", "dev", "put", "seen", "tail"),
    "docs/failures.md": ("failures",),
    "docs/transcript.md": ("demo",),
}
HOME = "/home/you"
DEFAULT_PORT = 8123
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
DIFFERS = (
    (re.compile(r"\d{4}-\d\d-\d\d"), "DATE"),
    (re.compile(r"\d\d:\d\d:\d\d(\.\d+)?"), "TIME"),
    (re.compile(r"\d+(\.\d+)? ?m?s\b"), "SECONDS"),
    (re.compile(r"127\.0\.0\.1:\d+"), "PLACE"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "REQUEST"),
    (re.compile(r"shardId-\d+-[0-9a-f]{8}|~[0-9a-f]{8}"), "SHARD"),
    (re.compile(r"\d{21,40}"), "NUMBER"),
    (re.compile(r"\d+ checkpoints?"), "CHECKPOINTS"),  # saves are gathered for a moment
    (re.compile(r" +"), " "),
)


def alike(text: str) -> str:
    """`text` without what differs from run to run."""
    for pattern, word in DIFFERS:
        text = pattern.sub(word, text)
    return text


class Screen:
    """One command in a terminal of its own."""

    def __init__(self, command: str, folder: Path, environ: Mapping[str, str]) -> None:
        self._command = command
        self._raw = ""
        self._terminal, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        words = [sys.executable, "-m", *shlex.split(command)]
        self._process = subprocess.Popen(
            words,
            cwd=folder,
            env=environ,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inner)

    @property
    def text(self) -> str:
        """What a reader sees, without colours; a line that was taken back is not there."""
        rows = (row.rpartition("\r")[2] for row in self._raw.replace("\r\n", "\n").split("\n"))
        return "\n".join(CONTROL.sub("", row).rstrip() for row in rows)

    def until(self, *words: str) -> None:
        """Wait until all of `words` stand there."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(word in self.text for word in words):
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"{self._command}: never {words}\n{self.text}")

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._terminal, keys.encode())

    def end(self) -> str:
        """Wait for the end of the command; the prompt and all that it showed."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._read():
            if time.monotonic() > deadline:
                raise AssertionError(f"{self._command}: never ended\n{self.text}")
        self._process.wait(PATIENCE_SECONDS)
        return f"$ {self._command}\n{self.text.rstrip()}\n"

    def close(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE_SECONDS)
        os.close(self._terminal)

    def _read(self) -> bool:
        if not select.select([self._terminal], [], [], 0.1)[0]:
            return self._process.poll() is None
        try:
            piece = os.read(self._terminal, 65536)
        except OSError:  # the other side is closed
            return False
        self._raw += piece.decode()
        return bool(piece)


@dataclass(slots=True)
class Seat:
    """A new user: an empty home, no account, a terminal."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def screen(self, command: str) -> Iterator[Screen]:
        """Start a command."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TERM": "xterm",
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        screen = Screen(command, self.folder, environ | self.environment)
        try:
            yield screen
        finally:
            screen.close()

    def type(self, command: str) -> str:
        """Run a command to its end; what the terminal shows."""
        with self.screen(command) as screen:
            return screen.end()


def demo(seat: Seat) -> dict[str, str]:
    """The demo, whole."""
    return {"demo": seat.type("triggerkit demo")}


def run(seat: Seat) -> dict[str, str]:
    """The program of the README, and three changes."""
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    program = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert program is not None
    (seat.folder / "app.py").write_text(program[1], encoding="utf-8")
    with serve(Emulator()) as server:
        seat.environment = {
            "AWS_ENDPOINT_URL": server.endpoint_url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "TRIGGERKIT_STATE": "sqlite:///.triggerkit/state.db",
        }
        client = boto3.client(
            "dynamodb",
            endpoint_url=server.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        client.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        for name, status in (("o-1", "placed"), ("o-2", "placed"), ("o-1", "paid")):
            client.put_item(TableName="orders", Item={"id": {"S": name}, "status": {"S": status}})
        with seat.screen("triggerkit run app:handlers") as screen:
            screen.until("3 records done")
            screen.press("\x03")
            shown = screen.end()
        client.close()
    return {"run": shown}


FIRST_ITEM = """triggerkit put orders '{"id": "o-1", "status": "placed"}'"""
CHANGED_ITEM = """triggerkit put orders '{"id": "o-1", "status": "paid"}'"""


def first_hour(seat: Seat) -> dict[str, str]:
    """Init, dev, put, see it; then a handler that fails, and what was given up."""
    init = "triggerkit init dynamodb-process-stream first"
    with seat.screen(init) as screen:
        for question in ("Table [", "Batch size [", "Starting position (", "Enable the trigger ["):
            screen.until(question)
            screen.press("\n")
        shown = {"init": screen.end()}
    home, seat.folder = seat.folder, seat.folder / "first"
    seat.environment = {"TRIGGERKIT_PORT": "0"}
    with seat.screen("triggerkit dev") as screen:
        screen.until("Ctrl-C", "reads shard")
        started = screen.text.rstrip()
        shown["dev"] = f"$ triggerkit dev\n{started}\n"
        shown["put"] = seat.type(FIRST_ITEM)
        screen.until("record done in")
        shown["seen"] = f"{screen.text.removeprefix(started).strip()}\n"
        tail = "triggerkit tail orders --from-start -n 2"
        shown["tail"] = seat.type(CHANGED_ITEM) + seat.type(tail)
        screen.press("\x03")
        screen.end()
    shown["failures"] = failures(seat)
    port = re.compile(r"127\.0\.0\.1:\d+")
    return {
        name: port.sub(f"127.0.0.1:{DEFAULT_PORT}", text.replace(str(home), HOME))
        for name, text in shown.items()
    }


def failures(seat: Seat) -> str:
    """A batch that is given up, and the commands that show it."""
    seat.environment = {"TRIGGERKIT_PORT": "0"}
    app = seat.folder / "app.py"
    text = app.read_text(encoding="utf-8")
    fails = "    raise ValueError('no')\n    for record in"
    app.write_text(text.replace("    for record in", fails, 1), encoding="utf-8")
    setting = "triggerkit dev --set process_changes.maximum_retry_attempts=1"
    with seat.screen(setting) as screen:
        screen.until("Ctrl-C")
        seat.type("""triggerkit put orders '{"id": "o-2", "status": "placed"}'""")
        screen.until("failures show")
        screen.press("\x03")
        screen.end()
    return seat.type("triggerkit failures ls") + seat.type("triggerkit failures show 1")


SCENES: tuple[Callable[[Seat], dict[str, str]], ...] = (demo, run, first_hour)


def play() -> dict[str, str]:
    """All transcripts, by name."""
    found: dict[str, str] = {}
    for scene in SCENES:
        with tempfile.TemporaryDirectory(prefix="triggerkit-transcript-") as folder:
            found |= scene(Seat(Path(folder).resolve()))
    return found


def transcript_in(page: str, name: str) -> str:
    """What stands in a page under that name."""
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    _, _, rest = text.partition(BEGIN.format(name))
    block, end, _ = rest.partition(END)
    assert end, f"{page} has no transcript {name!r}"
    return f"{block.strip()}\n"


def fenced(shown: str) -> str:
    """A block; one without a prompt is no console."""
    return f"```{'console' if shown.startswith('$ ') else 'text'}\n{shown}```\n"


def main() -> None:
    """Write the transcripts into the pages."""
    found = play()
    for page, names in PAGES.items():
        text = (CHECKOUT / page).read_text(encoding="utf-8")
        for name in names:
            before, begin, rest = text.partition(BEGIN.format(name))
            _, end, after = rest.partition(END)
            assert end, f"{page} has no transcript {name!r}"
            text = f"{before}{begin}\n{fenced(found[name])}{end}{after}"
        (CHECKOUT / page).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{page}\n")


if __name__ == "__main__":
    main()
