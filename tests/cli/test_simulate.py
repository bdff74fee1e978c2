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

calm = Triggers("calm")

@calm.on("dynamodb://orders")
def take(event, context):
    pass

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


def test_a_world_without_rest_is_named_with_what_repeats_it(folder: Path) -> None:
    done = run(folder, "shop:broken", "--seeds", "2", "--faults", "roll", "--workers", "1")
    assert done.returncode == 12  # nothing ever succeeded: the handler is at fault, not a promise
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
    done = run(folder, "shop:calm", "--cassette", "orders.jsonl", *more)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["records"] == 18
    tape(folder / "other.jsonl", *lines, first=header(table="prod-orders"))
    done = run(folder, "shop:calm", "--cassette", "other.jsonl", *more)
    assert json.loads(done.stdout)["records"] == 18  # by the one table that is read
    broken = run(folder, "shop:broken", "--cassette", "orders.jsonl", "--seeds", "1")
    assert broken.returncode == 12
    assert "--cassette orders.jsonl --writes 40 -v" in broken.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shop:handlers", "--cassette", "nosuch.jsonl"], "nosuch.jsonl cannot be read"),
        (["shop:strict", "--cassette", "triggerkit.toml"], "is not a cassette"),
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


# --- false green ----------------------------------------------------------------------------------

TYPED = """
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from triggerkit import Batch, Change, Discard, Inserted, Modified, Removed, Triggers


class Line(BaseModel):
    sku: str = Field(pattern=r"^[A-Z]{3}-\\d+$")
    price: Decimal = Field(gt=0, decimal_places=2)


class Order(BaseModel):
    id: str
    status: Literal["new", "paid"]
    lines: list[Line] = Field(min_length=1)
    placed: datetime = Field(alias="placedAt")


@dataclass
class Parcel:
    id: str
    weight: Annotated[int, Field(ge=1, le=5)]


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Odd(BaseModel, arbitrary_types_allowed=True):
    id: str
    secret: complex | Triggers


class Strange:
    pass


class Unmade(BaseModel, arbitrary_types_allowed=True):
    id: str
    inner: list[Strange] = Field(min_length=1)


good = Triggers("good", maximum_retry_attempts=0)

@good.each("dynamodb://orders")
def new(change: Inserted[Order]) -> None:
    assert change.new.lines[0].price > 0

@good.each("dynamodb://orders")
async def changed(change: Modified[Order]) -> None:
    assert change.new.placed and change.old.placed

@good.batch("dynamodb://orders")
def gone(batch: Batch[Removed[Parcel]]) -> None:
    assert all(1 <= change.old.weight <= 5 for change in batch)

bad = Triggers("bad", maximum_retry_attempts=1)

@bad.each("dynamodb://orders")
def never(change: Change[Order]) -> None:
    raise LookupError(f"no such order \\x1b]0;gotcha\\x07 {change.keys['id']}")

@bad.each("dynamodb://orders")
def fine(change: Change[Order]) -> None:
    pass

drops = Triggers("drops")

@drops.each("dynamodb://orders")
def refuse(change: Inserted[Order]) -> None:
    if change.new.status == "paid":
        raise Discard("paid already")

pets = Triggers("pets")

@pets.each("dynamodb://pets")
def cat(change: Change[Cat]) -> None: ...

@pets.each("dynamodb://pets")
def dog(change: Change[Dog]) -> None: ...

unmade = Triggers("unmade")

@unmade.each("dynamodb://things")
def thing(change: Change[Unmade]) -> None: ...

removals = Triggers("removals")

@removals.each("dynamodb://orders")
def removed(change: Removed[Order]) -> None: ...

tip = Triggers("tip")

@tip.each("dynamodb://orders", starting_position="LATEST")
def latest(change: Inserted[Order]) -> None: ...

reports = Triggers("reports", report_batch_item_failures=True, maximum_retry_attempts=0)

@reports.on("dynamodb://orders", batch_size=1)
def refuses(event, context):
    number = event["Records"][0]["dynamodb"]["SequenceNumber"]
    return {"batchItemFailures": [{"itemIdentifier": number}]}
"""


@pytest.fixture
def typed(folder: Path) -> Path:
    (folder / "typed.py").write_text(TYPED)
    (folder / "triggerkit.toml").write_text('[dev.tables.orders]\nkey = "id:S"\n')
    return folder


def test_d1_items_are_made_as_the_handlers_are_annotated(typed: Path) -> None:
    done = run(typed, "typed:good", "--seeds", "6", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["discarded"], told["raised"]) == (0, [])
    assert {name: one["succeeded"] for name, one in told["triggers"].items()} == {
        "new": True,
        "changed": True,
        "gone": True,
    }


def test_d1_a_trigger_that_never_succeeded_fails_the_command_and_what_it_raised_is_shown(
    typed: Path,
) -> None:
    done = run(typed, "typed:bad", "--seeds", "4", "--allow-discards")
    assert done.returncode == 12
    assert "trigger 'never' never succeeded: " in done.stderr
    assert "'fine'" not in done.stderr
    assert done.stdout.count("Traceback (most recent call last)") == 1
    (line,) = [line for line in done.stdout.splitlines() if " x never: LookupError" in line]
    assert int(line.split()[0].replace(",", "")) > 100
    assert 'raise LookupError(f"no such order' in done.stdout
    assert "\x1b" not in done.stdout


def test_d1_given_up_records_fail_the_command_unless_they_are_meant(typed: Path) -> None:
    done = run(typed, "typed:drops", "--seeds", "3")
    assert done.returncode == 12
    assert "records were given up" in done.stderr
    assert "--allow-discards" in done.stderr
    assert " x refuse: Discard: paid already" in done.stdout
    meant = run(typed, "typed:drops", "--seeds", "3", "--allow-discards")
    assert meant.returncode == 0, meant.stderr


def test_d1_types_that_no_item_can_fit_together_are_named(typed: Path) -> None:
    done = run(typed, "typed:pets", "--seeds", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "table 'pets': no item was found" in done.stderr
    assert "all of Cat (cat), Dog (dog)" in done.stderr
    assert "--items FILE" in done.stderr


def test_items_for_several_tables_belong_to_the_configuration_as_it_spells_its_tables(
    folder: Path,
) -> None:
    (folder / "items.json").write_text('{"id": "1"}')
    words = ("--items", "items.json", "--seeds", "1")
    done = run(folder, "shop:handlers", *words)
    assert done.returncode == 2
    assert "--items is for one table" in done.stderr
    assert "under [dev.tables.NAME]" in done.stderr
    (folder / "triggerkit.toml").rename(folder / "pyproject.toml")
    text = (folder / "pyproject.toml").read_text()
    inner = text.replace("[dev.", "[tool.triggerkit.dev.")
    (folder / "pyproject.toml").write_text(f"[tool.triggerkit]\n{inner}")
    done = run(folder, "shop:handlers", *words)
    assert "under [tool.triggerkit.dev.tables.NAME]" in done.stderr


def test_d1_a_type_that_cannot_be_built_is_named_with_its_field(typed: Path) -> None:
    done = run(typed, "typed:unmade", "--seeds", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "trigger 'thing': Unmade: inner.*: Strange" in done.stderr
    assert "--items FILE" in done.stderr


def test_d1_a_trigger_that_no_record_was_for_is_not_green(typed: Path) -> None:
    done = run(typed, "typed:removals", "--seeds", "1", "--writes", "1", "--faults", "")
    assert done.returncode == 12
    assert "trigger 'removed' was never called" in done.stderr
    assert "of the kind REMOVE" in done.stderr


def test_d1_a_trigger_that_starts_at_the_tip_gets_what_is_written(typed: Path) -> None:
    done = run(typed, "typed:tip", "--seeds", "2", "--faults", "")
    assert done.returncode == 0, done.stderr


def test_d1_a_handler_that_reports_every_record_as_failed_never_succeeded(typed: Path) -> None:
    done = run(typed, "typed:reports", "--seeds", "2", "--allow-discards")
    assert done.returncode == 12
    assert "trigger 'refuses' never succeeded" in done.stderr


def test_d1_a_seed_makes_the_same_items_alone_and_among_others(typed: Path) -> None:
    seen = typed / "seen.txt"
    (typed / "watched.py").write_text(
        TYPED.replace("change.new.lines[0].price > 0", "see(change)")
        + f"\ndef see(change):\n    open({str(seen)!r}, 'a').write(change.new.model_dump_json() + '\\n')\n"
        "    return True\n"
    )
    flags = ("watched:good", "--faults", "", "--workers", "1")
    run(typed, *flags, "--seeds", "3")
    several = seen.read_text().splitlines()
    seen.unlink()
    for seed in ("0", "1", "2"):
        run(typed, *flags, "--seed", seed)
    assert several
    assert several == seen.read_text().splitlines()


@pytest.mark.parametrize("key", ["id:N", "tenant:S,number:N", "raw:B"])
def test_d1_items_have_the_keys_of_the_configuration(typed: Path, key: str) -> None:
    (typed / "triggerkit.toml").write_text(f'[dev.tables.orders]\nkey = "{key}"\n')
    done = run(typed, "typed:good", "--seeds", "2")
    if key == "id:N":  # both types say that the key is text
        assert done.returncode == 2
        assert "has the key id:N" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
