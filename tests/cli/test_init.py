"""`triggerkit init`: by flags, by questions in a real terminal, and with everything wrong that can be."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from e2e.harness import PATIENCE_SECONDS, CommandServer, Place

from triggerkit.cli.main import cli
from triggerkit.dev.local_services import INSTALL_LOCAL, LocalServices
from triggerkit.scaffold import find_blueprints

PROCESS = "dynamodb-process-stream"
QUESTIONS = (
    f"Blueprint [{PROCESS}]: ",
    "Folder [dynamodb-archive-s3]: ",
    "Table [orders]: ",
    "Batch size [1000]: ",
    "Starting position (TRIM_HORIZON, LATEST) [TRIM_HORIZON]: ",
    "Enable the trigger [yes]: ",
    "Bucket [change-archive]: ",
)
"""When the first is answered with dynamodb-archive-s3; the others with nothing."""
FIRST_ANSWER = "1\n"


@pytest.fixture
def place(tmp_path: Path, commands: CommandServer) -> Place:
    """An empty folder."""
    folder = tmp_path / "user"
    folder.mkdir()
    return Place(folder, commands)


def below(folder: Path) -> list[str]:
    """Everything in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


class TestFlags:
    def test_defaults_stand_where_nobody_is_asked(self, place: Place) -> None:
        done = place.run("init", PROCESS)
        assert done.code == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f"next: cd {PROCESS} && triggerkit dev"
        app = (place.folder / PROCESS / "app.py").read_text()
        assert '"dynamodb://orders",\n    batch_size=100,' in app
        assert 'starting_position="TRIM_HORIZON"' in app
        assert done.stderr == ""

    def test_flags_say_it_all(self, place: Place) -> None:
        done = place.run(
            "init", PROCESS, "a/log", "--table", "users", "--batch-size", "7",
            "--starting-position", "latest", "--disabled",
        )  # fmt: skip
        assert done.code == 0, done.stderr
        folder = place.folder / "a/log"
        app = (folder / "app.py").read_text()
        assert 'Triggers(\n    "log"' in app
        assert '"dynamodb://users",\n    batch_size=7,\n    starting_position="LATEST"' in app
        tool = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["triggerkit"]
        assert tool["triggers"]["process_changes"]["enabled"] is False
        assert list(tool["dev"]["tables"]) == ["users"]
        assert "set enabled = true in pyproject.toml" in done.stdout

    def test_other_variables_are_set_by_name(self, place: Place) -> None:
        done = place.run("init", "enforce-rules", "--var", "action=flag")
        assert done.code == 0, done.stderr
        assert '"ENFORCE_ACTION", "flag"' in (place.folder / "enforce-rules/app.py").read_text()

    def test_a_choice_takes_its_own_files(self, place: Place) -> None:
        done = place.run(
            "init", "outbox-relay", "--var", "destination=eventbridge", "--var", "bus=shop"
        )
        assert done.code == 0, done.stderr
        policy = (place.folder / "outbox-relay/iam-policy.json").read_text()
        assert "event-bus/shop" in policy
        assert "sqs" not in policy

    def test_where_one_stands_is_a_folder_like_others(self, place: Place) -> None:
        done = place.run("init", PROCESS, ".")
        assert done.code == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "next: triggerkit dev"
        assert (place.folder / "app.py").exists()

    def test_a_folder_with_blanks_is_quoted_in_the_next_command(self, place: Place) -> None:
        done = place.run("init", PROCESS, "my log")
        assert done.stdout.splitlines()[-1] == "next: cd 'my log' && triggerkit dev"
        assert 'app = "my-log"' in (place.folder / "my log/pyproject.toml").read_text()

    def test_a_dry_run_says_what_and_writes_nothing(self, place: Place) -> None:
        done = place.run("init", PROCESS, "--dry-run")
        assert done.code == 0
        assert done.stdout.startswith(f"would write {PROCESS}: .gitignore, README.md, app.py")
        assert below(place.folder) == []

    def test_json_is_one_document(self, place: Place) -> None:
        made = place.run("init", PROCESS, "log", "--json").json
        assert made["next"] == ["cd log", "triggerkit dev"]
        assert sorted(made["files"]) == below(place.folder / "log")


LOCAL = {"dynamodb-archive-s3", "outbox-relay"}
"""Blueprints that need the extra `local`."""


class TestExtras:
    @pytest.fixture
    def without_local(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "moto", None)
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize("name", [one.name for one in find_blueprints().blueprints])
    def test_f1_a_missing_extra_is_installed_by_the_next_command(
        self, name: str, without_local: None
    ) -> None:
        shown = CliRunner().invoke(cli, ["init", name, "made"]).stdout.splitlines()
        missing = "it needs the extra `local` of triggerkit, which is not installed: see next"
        assert (missing in shown) is (name in LOCAL)
        install = f"{INSTALL_LOCAL} && " if name in LOCAL else ""
        assert shown[-1] == f"next: {install}cd made && triggerkit dev"

    def test_f1_the_command_installs_what_the_extra_is_and_readmes_and_docs_say_it(self) -> None:
        root = Path(__file__).parents[2]
        project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
        [needed] = project["optional-dependencies"]["local"]
        assert f"pip install '{needed}'" == INSTALL_LOCAL
        shelf = find_blueprints().blueprints
        assert {one.name for one in shelf if "local" in one.extras} == LOCAL
        page = (root / "docs/blueprints.md").read_text()
        for one in shelf:
            readme = (one.folder / "README.md.template").read_text()
            assert (f"$ {INSTALL_LOCAL}\n" in readme) is (one.name in LOCAL), one.name
            row = re.search(rf"^\| `{one.name}` \| .* \| (.*) \| .*$", page, re.M)
            assert row is not None
            assert row[1] == ("`local`" if one.name in LOCAL else ""), row[0]

    def test_f1_a_service_of_the_extra_is_refused_with_the_command(
        self, without_local: None
    ) -> None:
        services = LocalServices()
        assert INSTALL_LOCAL in services.advice("s3")
        assert "s3" not in services.served
        services.close()


class TestList:
    def test_each_blueprint_has_a_sentence(self, place: Place) -> None:
        lines = place.run("init", "--list").stdout.splitlines()
        assert [line.split()[0] for line in lines] == [
            "dynamodb-archive-s3",
            PROCESS,
            "enforce-rules",
            "outbox-relay",
        ]
        assert all(line.endswith(".") for line in lines)

    def test_as_json_with_what_can_be_set(self, place: Place) -> None:
        listed = {one["name"]: one for one in place.run("init", "--list", "--json").json}
        names = [one["name"] for one in listed["enforce-rules"]["variables"]]
        assert names == ["table", "batch_size", "starting_position", "enabled", "action"]
        assert listed["outbox-relay"]["extras"] == ["local"]

    def test_of_one_blueprint_what_can_be_set_is_shown(self, place: Place) -> None:
        shown = place.run("init", "--list", "outbox-relay").stdout
        assert "--batch-size" in shown
        assert "--var queue=" in shown
        assert below(place.folder) == []


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "told", "fix"),
        [
            ((), "no BLUEPRINT", "dynamodb-process-stream, enforce-rules"),
            (("enforce-rule",), "no blueprint 'enforce-rule'", "did you mean enforce-rules?"),
            (("--list", "nothing"), "no blueprint 'nothing'", "known: "),
            ((PROCESS, "--table", "a b"), "table 'a b' is not allowed", "3 to 255"),
            ((PROCESS, "--table", 'x"; import os; "'), "is not allowed", "3 to 255"),
            ((PROCESS, "--table", ""), "table '' is not allowed", "3 to 255"),
            ((PROCESS, "--batch-size", "0"), "batch_size '0'", "from 1 to 10000"),
            ((PROCESS, "--batch-size", "10001"), "batch_size '10001'", "from 1 to 10000"),
            ((PROCESS, "--batch-size", "many"), "batch_size 'many'", "from 1 to 10000"),
            ((PROCESS, "--starting-position", "NOW"), "starting_position 'NOW'", "LATEST"),
            ((PROCESS, "--var", "tabel=x"), "no variable 'tabel'", "did you mean table?"),
            ((PROCESS, "--var", "table"), "is not NAME=VALUE", "--var NAME=VALUE"),
            ((PROCESS, "--table", "a-1", "--var", "table=b-2"), "table is given twice", "once"),
            ((PROCESS, ""), "DIR '' is not a usable folder name", "printable characters"),
            ((PROCESS, "a\nb"), r"DIR 'a\nb' is not a usable folder name", "printable characters"),
            ((PROCESS, "taken"), "taken is not empty: it has mine", "does not exist or is empty"),
            ((PROCESS, "file"), "file is a file", "does not exist or is empty"),
            ((PROCESS, "file/below"), "file is a file", "does not exist or is empty"),
            ((PROCESS, "/proc/log"), "cannot write /proc/log", "this user may write"),
            ((PROCESS, "x" * 300), "cannot write xxx", "this user may write"),
        ],
    )
    def test_it_is_told_with_its_fix_and_leaves_nothing(
        self, place: Place, arguments: tuple[str, ...], told: str, fix: str
    ) -> None:
        place.write("taken/mine", "mine")
        place.write("file", "mine")
        before = place.files
        done = place.run("init", *arguments)
        assert done.code == 2, done.stdout
        message, hint = done.stderr.splitlines()
        assert told in message
        assert fix in hint
        assert done.stdout == ""
        assert (place.files, below(place.folder)) == (before, ["file", "taken", "taken/mine"])

    def test_a_blueprint_of_others_that_is_broken_is_a_warning(self, place: Place) -> None:
        place.write("site/acme-1.dist-info/METADATA", "Name: acme\nVersion: 1\n")
        place.write(
            "site/acme-1.dist-info/entry_points.txt", "[triggerkit.blueprints]\nacme = gone\n"
        )
        place.environment["PYTHONPATH"] = os.pathsep.join(
            [str(place.folder / "site"), *filter(None, [place.environ()["PYTHONPATH"]])]
        )
        done = place.python_m("init", "--list")
        assert done.code == 0
        assert "warning: blueprints 'acme' of acme cannot be found" in done.stderr
        assert PROCESS in done.stdout


class Terminal:
    """`triggerkit init` in a terminal; what it asks is read, what is typed is sent."""

    def __init__(self, place: Place, *arguments: str) -> None:
        self._terminal, inside = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "triggerkit", "init", *arguments],
            cwd=place.folder,
            env=place.environ({"TERM": "dumb"}),
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inside)
        self.shown = ""
        self._closed = False

    def until(self, text: str) -> None:
        """Wait until `text` was shown behind everything that was waited for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.shown:
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"never: {text!r}\n{self.shown}")
        self.shown = self.shown.partition(text)[2]

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._terminal, text.encode())

    def interrupt(self, key: str) -> int:
        """Press this key until the command ends; its exit code.

        Python can miss a Ctrl-C that comes at the very moment when it begins to wait for a line: a person
        presses it again.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self.type(key)
            while self._read(seconds=1.0):
                pass
            if self._closed:
                return self.process.wait(PATIENCE_SECONDS)
        raise AssertionError(f"it goes on\n{self.shown}")

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self.process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        """Kill it when it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_SECONDS)
        os.close(self._terminal)

    def _read(self, seconds: float = PATIENCE_SECONDS) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], seconds)
        try:
            piece = os.read(self._terminal, 65536) if ready else b""
        except OSError:  # the other end is closed: Linux tells it so
            piece, self._closed = b"", True
        self.shown += piece.decode().replace("\r\n", "\n")
        return bool(piece)


@contextmanager
def terminal(place: Place, *arguments: str) -> Iterator[Terminal]:
    opened = Terminal(place, *arguments)
    try:
        yield opened
    finally:
        opened.close()


def answer_all(user: Terminal, questions: tuple[str, ...]) -> None:
    """Wait for each and answer it."""
    for number, question in enumerate(questions):
        user.until(question)
        user.type("\n" if number else FIRST_ANSWER)


class TestQuestions:
    def test_it_asks_as_the_console_did_and_takes_defaults(self, place: Place) -> None:
        with terminal(place) as user:
            answer_all(user, QUESTIONS)
            assert user.end() == 0, user.shown
            assert "next: cd dynamodb-archive-s3 && triggerkit dev" in user.shown
        assert (place.folder / "dynamodb-archive-s3/app.py").exists()

    def test_answers_are_taken_and_bad_ones_asked_again(self, place: Place) -> None:
        with terminal(place) as user:
            for question, answer in (
                (f"Blueprint [{PROCESS}]: ", "9"),
                ("there is no blueprint '9'", ""),
                (f"Blueprint [{PROCESS}]: ", ""),
                (f"Folder [{PROCESS}]: ", "log"),
                ("Table [orders]: ", "my table"),
                ("table 'my table' is not allowed (3 to 255", ""),
                ("Table [orders]: ", "users"),
                ("Batch size [100]: ", "0"),
                ("a whole number from 1 to 10000", ""),
                ("Batch size [100]: ", "5"),
                ("Starting position (TRIM_HORIZON, LATEST) [TRIM_HORIZON]: ", "Latest"),
                ("Enable the trigger [yes]: ", "no"),
            ):
                user.until(question)
                if question.endswith("]: "):
                    user.type(answer + "\n")
            assert user.end() == 0, user.shown
        app = (place.folder / "log/app.py").read_text()
        assert '"dynamodb://users",\n    batch_size=5,\n    starting_position="LATEST"' in app
        assert "enabled = false" in (place.folder / "log/pyproject.toml").read_text()

    def test_what_flags_say_is_not_asked(self, place: Place) -> None:
        with terminal(
            place, PROCESS, "log", "--table", "users", "--batch-size", "5", "--enabled"
        ) as user:
            user.until("Starting position (TRIM_HORIZON, LATEST) [TRIM_HORIZON]: ")
            user.type("\n")
            assert user.end() == 0, user.shown

    def test_yes_asks_nothing(self, place: Place) -> None:
        with terminal(place, PROCESS, "--yes") as user:
            assert user.end() == 0, user.shown
        assert (place.folder / PROCESS / "app.py").exists()

    def test_what_belongs_to_another_choice_is_not_asked(self, place: Place) -> None:
        given = ("--table", "outbox", "--batch-size", "5", "--starting-position", "LATEST")
        with terminal(place, "outbox-relay", "log", *given, "--enabled") as user:
            user.until("Destination (sqs, eventbridge) [sqs]: ")
            user.type("eventbridge\n")
            user.until("Event bus [default]: ")
            user.type("\n")
            assert user.end() == 0, user.shown

    def test_a_folder_that_is_taken_is_asked_again(self, place: Place) -> None:
        place.write("taken/mine", "mine")
        with terminal(place, PROCESS) as user:
            user.until(f"Folder [{PROCESS}]: ")
            user.type("taken\n")
            user.until("taken is not empty: it has mine")
            user.until(f"Folder [{PROCESS}]: ")
            assert user.interrupt("\x03") == 130
        assert below(place.folder) == ["taken", "taken/mine"]

    @pytest.mark.parametrize("count", range(len(QUESTIONS)))
    @pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
    def test_an_interrupt_at_a_question_leaves_nothing(
        self, place: Place, count: int, key: str
    ) -> None:
        with terminal(place) as user:
            answer_all(user, QUESTIONS[:count])
            user.until(QUESTIONS[count])
            assert user.interrupt(key) == 130, user.shown
            assert "interrupted" in user.shown
            assert "Traceback" not in user.shown
        assert below(place.folder) == []
