"""A source, a lease store and a destination of another package, which `examples/adapters` is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from e2e.harness import ROOT, Done

PACKAGE = ROOT / "examples" / "adapters"
USAGE = 2
STARTUP = 3
APP = """
from triggerkit import Discard, Triggers

handlers = Triggers("shop", maximum_retry_attempts=0)


@handlers.on("lines://inbox", on_failure="folder:failed", batch_size=1{options})
def note(event, context):
    [line] = event["Records"]
    if line["text"] == "bad":
        raise Discard("it is bad")
    with open("done.txt", "a") as done:
        done.write(f"{{line['file']}} {{line['number']}} {{line['text']}} {{line['eventSource']}}\\n")
"""


class Shop:
    """A folder with an app, on a machine where the package is installed."""

    def __init__(self, folder: Path, installed: Path) -> None:
        self.folder = folder
        self._path = os.pathsep.join(str(each) for each in (ROOT, PACKAGE, installed))

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def run(self, *words: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "triggerkit", *words],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": self._path},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def burst(self) -> Done:
        return self.run("run", "app:handlers", "--burst", "--state", "pickled:state.pickle")

    @property
    def done(self) -> list[str]:
        file = self.folder / "done.txt"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def failures(self) -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in (self.folder / "failed").glob("*.json")]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """What `pip install examples/adapters` leaves behind: the code, and the names of its entry points."""
    described = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    installed = tmp_path / "installed"
    metadata = installed / "outside_adapters-1.0.dist-info"
    metadata.mkdir(parents=True)
    name = described["name"]
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, entries in described["entry-points"].items():
        lines += [f"[{group}]", *(f"{scheme} = {place}" for scheme, place in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    folder = tmp_path / "shop"
    folder.mkdir()
    made = Shop(folder, installed)
    made.write("app.py", APP.format(options=""))
    made.write("inbox/a.txt", "100 one\n200 bad\n300 three\n")
    made.write("inbox/b.txt", "150 other\n")
    return made


def test_a_worker_reads_saves_and_gives_up_with_adapters_of_another_package(shop: Shop) -> None:
    done = shop.burst()
    assert done.code == 12, done.stderr  # one record was given up
    assert sorted(shop.done) == ["a 1 one lines", "a 3 three lines", "b 1 other lines"]
    [failure] = shop.failures
    assert failure["trigger"] == "note"
    assert failure["requestContext"]["condition"] == "DiscardedByHandler"
    assert failure["LinesBatchInfo"]["shardId"] == "a"
    assert failure["LinesBatchInfo"]["startSequenceNumber"] == "2"
    first = failure["LinesBatchInfo"]["approximateArrivalOfFirstRecord"]
    assert first == "1970-01-01T00:03:20.000Z"
    shop.write("inbox/a.txt", "100 one\n200 bad\n300 three\n400 four\n")
    assert shop.burst().code == 0
    assert shop.done[3:] == ["a 4 four lines"], "its checkpoint was kept by the other store"


def test_a_source_that_knows_times_starts_at_one(shop: Shop) -> None:
    start = ', starting_position="AT_TIMESTAMP", starting_position_timestamp=300.0'
    shop.write("app.py", APP.format(options=start))
    assert shop.burst().code == 0
    assert shop.done == ["a 3 three lines"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (', starting_position="LATEST"', USAGE, "lines://inbox does not have it"),
        (', on_failure="folder:x?y=1"', USAGE, "unknown key 'y'"),
        (', state="pickled:x?y=1"', USAGE, "unknown key 'y'"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_the_adapters_refuse_what_they_do_not_have(
    command: str, options: str, code: int, said: str, shop: Shop
) -> None:
    text = APP.format(options=options)
    if "on_failure" in options:
        text = text.replace(', on_failure="folder:failed"', "", 1)
    shop.write("app.py", text)
    done = shop.run(command, "app:handlers", "--state", "memory:")
    assert done.code == code, done.stderr
    assert said in done.stderr
    assert shop.done == []


def test_a_folder_that_is_missing_stops_the_start_as_the_adapter_says(shop: Shop) -> None:
    shop.write("app.py", APP.format(options="").replace("lines://inbox", "lines://outbox"))
    done = shop.burst()
    assert done.code == STARTUP
    assert "is no folder" in done.stderr
    assert "fix: make it" in done.stderr


def test_a_check_finds_adapters_of_another_package(shop: Shop) -> None:
    done = shop.run("check", "app:handlers", "--state", "pickled:x")
    assert done.code == 0, done.stderr
    assert "lines://inbox" in done.stdout
