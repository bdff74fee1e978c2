"""`triggerkit simulate`: worlds without a test, and what they tell."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from testing.tapes import change, header, shard, tape

CHECKOUT = Path(__file__).parents[2]
APP = """
import os
from triggerkit import Change, Triggers

print("imported with", os.environ.get("AWS_ENDPOINT_URL"), os.environ.get("AWS_PROFILE"))
handlers = Triggers("shop")
strict = Triggers("strict", maximum_retry_attempts=1)

@handlers.on("dynamodb://orders", batch_size=3)
def notify(event, context):
    print("called")

@handlers.each("dynamodb://customers")
async def greet(change: Change):
    pass

@strict.on("dynamodb://orders")
def needs_status(event, context):
    for record in event["Records"]:
        if "NewImage" in record["dynamodb"]:
            record["dynamodb"]["NewImage"]["status"]

broken = Triggers("broken")

@broken.on("dynamodb://orders")
def never(event, context):
    raise LookupError("no such order")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "triggerkit.toml").write_text(
        'target = "shop:handlers"\n[dev.tables.customers]\nkey = "country:S,number:N"\n'
    )
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "triggerkit", "simulate", *words],
        cwd=folder,
        env={"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin", "AWS_PROFILE": "production"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_worlds_are_counted_and_handlers_keep_quiet(folder: Path) -> None:
    done = run(folder, "--seeds", "8", "--faults", "all")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("8 worlds: ")
    assert "nothing lost, each item in order" in done.stdout
    assert done.stdout.count("\n") == 1


def test_the_count_can_be_read_by_a_program_and_is_the_same_again(folder: Path) -> None:
    one, two = (run(folder, "--seeds", "3", "--writes", "20", "--json") for _ in range(2))
    told = json.loads(one.stdout)
    assert told["worlds"] == 3
    assert 30 < told["records"] <= 60
    assert one.stdout == two.stdout


def test_a_world_that_fails_is_named_with_what_repeats_it(folder: Path) -> None:
    done = run(folder, "shop:broken", "--seeds", "2", "--faults", "roll", "--workers", "1")
    assert done.returncode == 13
    assert "world 0: no rest after 1800 simulated seconds" in done.stderr
    assert "never raised LookupError: no such order" in done.stderr
    again = "triggerkit simulate shop:broken --seed 0 --faults roll --workers 1 --writes 40 -v"
    assert again in done.stderr


def test_one_world_is_shown_with_its_log_and_without_a_way_to_aws(folder: Path) -> None:
    done = run(folder, "--seed", "4", "-v", "--faults", "kill")
    assert done.returncode == 0, done.stderr
    assert "imported with http://127.0.0.1:9 None" in done.stdout
    assert "called" in done.stdout
    assert "batch_done" in done.stderr


def test_items_are_those_of_a_file(folder: Path) -> None:
    items = folder / "orders.json"
    items.write_text('[{"id": "1", "status": "new"}, {"id": "1", "status": "paid"}]')
    done = run(folder, "shop:strict", "--seeds", "3", "--items", str(items))
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("0 were given up")
    without = run(folder, "shop:strict", "--seeds", "1")
    assert not without.stdout.rstrip().endswith(" 0 were given up")


def test_a_cassette_is_played_in_every_world(folder: Path) -> None:
    lines = [shard("a"), *(change("a", str(number % 3)) for number in range(6))]
    tape(folder / "orders.jsonl", *lines)
    more = ("--seeds", "3", "--faults", "all", "--json")
    done = run(folder, "shop:strict", "--cassette", "orders.jsonl", *more)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["records"] == 18
    tape(folder / "other.jsonl", *lines, first=header(table="prod-orders"))
    done = run(folder, "shop:strict", "--cassette", "other.jsonl", *more)
    assert json.loads(done.stdout)["records"] == 18  # by the one table that is read
    broken = run(folder, "shop:broken", "--cassette", "orders.jsonl", "--seeds", "1")
    assert broken.returncode == 13
    assert "--cassette orders.jsonl --writes 40 -v" in broken.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shop:handlers", "--cassette", "nosuch.jsonl"], "nosuch.jsonl cannot be read"),
        (["shop:strict", "--cassette", "triggerkit.toml"], "is no cassette"),
        (["shop:handlers", "--faults", "splt"], "there is no fault 'splt'"),
        (["shop:handlers", "--items", "x.json"], "--items is for one table"),
        (["shop:strict", "--items", "x.json"], "cannot be read"),
        (["nothing:here"], "there is no module 'nothing'"),
    ],
)
def test_misuse_is_refused_with_the_way_out(folder: Path, words: list[str], said: str) -> None:
    done = run(folder, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "fix: " in done.stderr


def test_a_terminal_gets_a_progress_bar(folder: Path) -> None:
    mine, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "triggerkit", "simulate", "--seeds", "3"],
        cwd=folder,
        env={"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin", "TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(mine):
            shown += chunk
        assert process.wait(60) == 0
    os.close(mine)
    assert b"worlds" in shown
    assert b"3/3" in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""
