"""Every command of every page is typed, line by line, and what it is shown to print is compared.

Transcripts are played by test_transcripts.py, and the page on tests by tests/testing/test_page.py. A command
that does not end (`dev`, `run`) is stopped with Ctrl-C: `run` as soon as it runs, `dev` at the end of its page.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pytest
from architecture.blocks import Block, all_blocks, blocks, prompts
from e2e.harness import DUMMY_ACCESS, CommandServer, Place, Running, Tables

from triggerkit.dev.local_services import LocalServices
from triggerkit.emulator import Emulator, serve

STATE = "sqlite:///.triggerkit/state.db"
"""Said to `check` and `run`, which ask for it in a container; these tests may run in one."""
ELSEWHERE = {"docs/testing.md"}
"""Its commands need a recorded stream; tests/testing/test_page.py runs them."""
TYPED = [
    block
    for language in ("console", "bash")
    for block in blocks(language)
    if not block.transcript and block.page not in ELSEWHERE
]
PROJECT = ("init", "dynamodb-process-stream", "first", "--yes")


@dataclass(slots=True)
class Terminal:
    """Where somebody types what a page says."""

    place: Place
    stack: ExitStack
    home: Path
    dev: Running | None = None
    dev_access: dict[str, str] = field(default_factory=dict)
    """The variables that `dev` prints, for other programs."""

    def type(self, line: str) -> str:
        """Type a line; what the last command of it printed. Fails where one of them does."""
        printed = ""
        for words in parts_of(line):
            where = words.index(">") if ">" in words else len(words)
            printed = self._run(words[:where])
            if words[where:]:
                self.place.write(words[where + 1], printed)
        return printed

    def _run(self, words: list[str]) -> str:
        match words:
            case ["cd", folder]:
                self.place.folder = self.home if folder == "~" else self.place.folder / folder
                assert self.place.folder.is_dir(), folder
                return ""
            case ["export", *assignments]:
                self.place.environment |= dict(one.split("=", 1) for one in assignments)
                return ""
            case ["pip", "install", *needed]:  # it is there already, since these tests need it
                assert all(version(one.partition("[")[0]) for one in needed)
                return ""
            case ["pytest"] | ["python", *_]:
                return self._python(words)
            case ["triggerkit", "dev"]:
                self._start_dev()
                return ""
            case ["triggerkit", "run"]:
                self._run_and_stop()
                return ""
            case ["triggerkit", *rest]:
                state = {"TRIGGERKIT_STATE": STATE} if rest[0] == "check" else {}
                done = self.place.run(*rest, environment=state)
                assert done.code == 0, f"{shlex.join(words)}\n{done.stderr}"
                return done.stdout
        raise AssertionError(f"{shlex.join(words)}: mark the block as not run, with a reason")

    def _python(self, words: list[str]) -> str:
        arguments = words[1:] if words[0] == "python" else ["-m", *words]
        plain = ["-q", "-p", "no:cacheprovider"] if words[0] == "pytest" else []
        done = subprocess.run(
            [sys.executable, *arguments, *plain],
            cwd=self.place.folder,
            env=self.place.environ(self.dev_access),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _start_dev(self) -> None:
        self.dev = self.stack.enter_context(
            self.place.running("dev", "--port", "0", "--log-format", "json")
        )
        self.dev.until_logged("lease_taken")
        link = json.loads((self.place.folder / ".triggerkit/dev.json").read_text())
        self.dev_access = {
            "AWS_ENDPOINT_URL": link["endpoint_url"],
            "AWS_ACCESS_KEY_ID": "triggerkit",
            "AWS_SECRET_ACCESS_KEY": "triggerkit",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def _run_and_stop(self) -> None:
        with self.place.running("run", "--state", STATE, "--log-format", "json") as running:
            running.until_logged("lease_taken")
            running.signal(signal.SIGINT)
            done = running.wait()
            assert done.code == 0, done.stderr

    def leave(self) -> None:
        """Stop what still runs."""
        if self.dev is not None:
            self.dev.signal(signal.SIGINT)
            assert self.dev.wait().code == 0, "".join(self.dev.err)


def parts_of(line: str) -> Iterator[list[str]]:
    """The words of each command of a line."""
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word == "&&":
            yield words
            words = []
        else:
            words.append(word)


def prepare(page: str, terminal: Terminal, tables: Tables) -> None:
    """What a reader of that page has when its first command comes."""
    place = terminal.place
    if page.startswith("blueprints/"):
        name = page.split("/")[1]
        terminal.type(f"triggerkit init {name} project --yes && cd project")
        table = "outbox" if name == "outbox-relay" else "orders"
        tables.create(table, None)
        return
    view_type = None if page == "README.md" else "NEW_AND_OLD_IMAGES"
    tables.create("orders", view_type)
    if page == "README.md":
        terminal.type(shlex.join(["triggerkit", *PROJECT]))
        return
    for block in blocks("python", page)[:1]:
        place.write("app.py", block.text)
    for block in blocks("toml", page):
        place.write("pyproject.toml", block.text)
    tables.put("orders", "1", "2")


@pytest.mark.parametrize("page", sorted({block.page for block in TYPED}))
def test_f1_what_a_page_says_to_type_works(
    page: str, tmp_path: Path, commands: CommandServer
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    place = Place(home, commands)
    others = LocalServices()
    with ExitStack() as stack:
        stack.callback(others.close)
        server = stack.enter_context(serve(Emulator(), others=others))
        tables = Tables(server)
        stack.callback(tables.client.close)
        place.environment = {
            **DUMMY_ACCESS,
            "AWS_ENDPOINT_URL": server.endpoint_url,
            "TRIGGERKIT_YES": "1",
        }
        terminal = Terminal(place, stack, home)
        prepare(page, terminal, tables)
        for block in (one for one in TYPED if one.page == page):
            type_block(block, terminal)
        terminal.leave()


def type_block(block: Block, terminal: Terminal) -> None:
    """Type its commands; compare what is shown."""
    for line, shown in prompts(block.text):
        printed = terminal.type(line)
        assert shown in ("", printed), f"{block.place}: {line}\n{printed}"


def test_f1_the_page_on_tests_runs_elsewhere() -> None:
    text = (Path(__file__).parents[1] / "testing/test_page.py").read_text()
    for page in ELSEWHERE:
        for block in all_blocks():
            if block.page == page and block.language == "console":
                for line, _ in prompts(block.text):
                    assert f'commands("{shlex.split(line)[1]}")' in text, block.place
