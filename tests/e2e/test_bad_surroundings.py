"""What is wrong around a worker: streams, access, endpoints, state files, failing handlers."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from components import free_port
from e2e.harness import DUMMY_ACCESS, Place, Tables, serving

from triggerkit.emulator import Emulator, EmulatorError

USAGE, SOURCE, STATE, FAILED = 2, 3, 4, 12


def source_name(tables: Tables) -> str:
    return f"dynamodb/orders/000000000000/us-east-1/127.0.0.1_{tables.server.port}"


DENIED = EmulatorError("AccessDeniedException", "User: me is not authorized")


def on_table(place: Place, table: str) -> None:
    place.write("triggerkit.toml", f'[triggers.bill]\nsources = ["dynamodb://{table}"]\n')


def with_failures(place: Place) -> None:
    """So that a start which goes too far would leave a file of failures."""
    place.write("triggerkit.toml", '[triggers.bill]\non_failure = "file:failures.jsonl"\n')


# --- the stream ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("run", "--burst"), ("check", "--aws")])
@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("order", ("table 'order' does not exist", "did you mean orders?")),
        (
            "zzzzzz",
            ("table 'zzzzzz' does not exist", "known: ", "check the Region and endpoint_url"),
        ),
        (
            "plain",
            ("table 'plain'", "no stream", "triggerkit enable-stream plain NEW_AND_OLD_IMAGES"),
        ),
    ],
)
def test_a_stream_that_is_not_there_is_named_with_its_fix(
    table: str, says: tuple[str, ...], command: tuple[str, ...], shop: Place
) -> None:
    on_table(shop, table)
    before = shop.files
    done = shop.run(command[0], "app:handlers", *command[1:], "--state", shop.state)
    assert done.code == SOURCE
    assert not [words for words in says if words not in done.stderr], done.stderr
    assert "Traceback" not in done.stderr
    assert shop.files == before


def test_missing_credentials_are_told_before_anything_is_touched(shop: Place) -> None:
    del shop.environment["AWS_ACCESS_KEY_ID"], shop.environment["AWS_SECRET_ACCESS_KEY"]
    before = shop.files
    done = shop.run("run", "app:handlers", "--state", shop.state)
    assert done.code == SOURCE
    assert "redentials" in done.stderr
    assert "fix: set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    assert shop.files == before


@pytest.mark.parametrize("command", [("run", "--burst"), ("check", "--aws")], ids=str)
@pytest.mark.parametrize(
    "operation",
    ["DescribeTable", "DescribeStream", "ListStreams", "GetShardIterator", "GetRecords"],
)
def test_d2_a_missing_permission_is_named_by_action_and_thing(
    operation: str, command: tuple[str, ...], shop: Place, tables: Tables
) -> None:
    tables.emulator.faults.fail(operation, DENIED, times=100)
    before = shop.files
    done = shop.run(command[0], "app:handlers", *command[1:], "--state", shop.state)
    assert done.code == SOURCE
    assert f"allow dynamodb:{operation} on " in done.stderr
    assert "AccessDeniedException" in done.stderr
    assert shop.files == before


def test_a_missing_region_and_a_missing_profile_are_told(shop: Place) -> None:
    del shop.environment["AWS_DEFAULT_REGION"]
    done = shop.run("run", "app:handlers", "--state", "memory:", "--burst")
    assert done.code == 2
    assert "?region=eu-west-1" in done.stderr
    done = shop.run("check", "app:handlers", "--state", "memory:", "--aws", "--profile", "nobody")
    assert done.code == SOURCE
    assert "nobody" in done.stderr


def test_an_endpoint_that_is_down_at_the_start_is_told_quickly(place: Place) -> None:
    port = free_port()
    place.environment |= {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    before, begun = place.files, time.monotonic()
    done = place.run("run", "app:handlers", "--state", place.state)
    assert time.monotonic() - begun < 60, "botocore's own tries take minutes"
    assert done.code == SOURCE
    assert str(port) in done.stderr
    assert (
        "fix: check endpoint_url, AWS_ENDPOINT_URL_DYNAMODB and that the server runs" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert place.files == before


def test_an_endpoint_that_goes_down_later_is_told_once_and_found_again(place: Place) -> None:
    emulator = Emulator()
    with ExitStack() as ending:
        with serving(emulator) as tables:
            tables.create("orders")
            port = tables.server.port
            place.environment |= {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": tables.server.endpoint_url}
            tables.put("orders", "before")
            worker = ending.enter_context(
                place.running("run", "app:handlers", "--state", "memory:")
            )
            worker.until_logged("handler_printed", message="billed before")
        worker.until_logged("will_retry", operation="Fetch")
        emulator.call("PutItem", {"TableName": "orders", "Item": {"id": {"S": "meanwhile"}}})
        with serving(emulator, port=port):
            worker.until_logged("handler_printed", message="billed meanwhile")
            worker.until_logged("recovered", operation="Fetch")
            worker.signal(signal.SIGTERM)
            done = worker.wait()
    assert done.code == 0
    told = [entry for entry in done.logs if entry.get("operation") == "Fetch"]
    assert [entry["event"] for entry in told] == ["will_retry", "recovered"]
    assert str(port) in told[0]["error_message"]


# --- the state -----------------------------------------------------------------------------------


def test_a_state_file_of_a_newer_format_is_left_alone(shop: Place) -> None:
    with_failures(shop)
    assert shop.run("run", "app:handlers", "--state", shop.state, "--burst").code == 0
    (shop.folder / "failures.jsonl").unlink()
    with closing(sqlite3.connect(shop.folder / "state.db")) as file:
        file.execute("PRAGMA user_version = 99")
    before = shop.files["state.db"]
    done = shop.run("run", "app:handlers", "--state", shop.state, "--burst")
    assert done.code == STATE
    assert "state.db has format 99" in done.stderr
    assert "upgrade triggerkit" in done.stderr
    assert "Traceback" not in done.stderr
    assert shop.files["state.db"] == before
    assert "failures.jsonl" not in shop.files


def test_a_state_file_that_is_no_database_is_left_alone(shop: Place) -> None:
    with_failures(shop)
    shop.write("state.db", "a diary, not a database, and longer than a header of one " * 20)
    before = shop.files
    done = shop.run("run", "app:handlers", "--state", shop.state, "--burst")
    assert done.code == STATE
    assert "state.db is not a SQLite database" in done.stderr
    assert "--state sqlite:///PATH" in done.stderr
    assert "Traceback" not in done.stderr
    assert shop.files == before


def test_the_database_of_another_program_is_left_alone(shop: Place) -> None:
    with closing(sqlite3.connect(shop.folder / "state.db")) as file:
        file.execute("CREATE TABLE theirs (a)")
    before = shop.files
    done = shop.run("run", "app:handlers", "--state", shop.state, "--burst")
    assert done.code == STATE
    assert "is a SQLite database of another program" in done.stderr
    assert shop.files == before


@pytest.mark.parametrize("locator", ["sqlite:///app.py/state.db", "sqlite:////proc/state.db"])
def test_a_state_folder_that_cannot_be_written_is_named(locator: str, shop: Place) -> None:
    before = shop.files
    done = shop.run("run", "app:handlers", "--state", locator, "--burst")
    assert done.code == STATE
    assert "state.db cannot be opened" in done.stderr
    assert "make the folder writable" in done.stderr
    assert "Traceback" not in done.stderr
    assert shop.files == before


def test_a_state_file_that_cannot_be_written_is_named(shop: Place) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    folder = shop.folder / "locked"
    folder.mkdir(mode=0o500)
    done = shop.run("run", "app:handlers", "--state", "sqlite:///locked/state.db", "--burst")
    assert done.code == STATE
    assert "make the folder writable" in done.stderr


def test_a_write_lock_of_another_program_at_the_start_is_told(shop: Place) -> None:
    assert shop.run("run", "app:handlers", "--state", shop.state, "--burst").code == 0
    with closing(sqlite3.connect(shop.folder / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = shop.run(
            "run", "app:handlers", "--burst", "--state", f"{shop.state}?busy_timeout_seconds=0.3"
        )
    assert done.code == STATE, done.stderr
    assert "another program has held its write lock for over 0.3 s" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_write_lock_while_running_pauses_the_worker_and_it_goes_on_with_its_leases(
    shop: Place, tables: Tables
) -> None:
    shop.write(
        "app.py",
        "from triggerkit import Triggers\nhandlers = Triggers('shop')\n"
        "@handlers.on('dynamodb://orders', 'dynamodb://users', batch_size=1)\n"
        "def bill(event, context):\n"
        "    print(event['Records'][0]['dynamodb']['Keys']['id']['S'])\n",
    )
    with shop.running("run", "app:handlers", "--state", shop.state) as worker:
        worker.until_logged("lease_taken", times=2)
        with closing(sqlite3.connect(shop.folder / "state.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            held_since = time.monotonic()
            worker.until_logged(
                "will_retry", operation="Beat"
            )  # five seconds later: past the deadline
            assert time.monotonic() - held_since > 4
            tables.put("orders", "a", "b", "c")
            tables.put("users", "a", "b", "c")
            worker.until(lambda: time.monotonic() - held_since > 7, "seven seconds")
            assert printed(worker.logs) == []
            other.execute("ROLLBACK")
        worker.until(lambda: len(set(printed(worker.logs))) == 6, "all six")
        worker.signal(signal.SIGTERM)
        done = worker.wait()
    assert done.code == 0
    assert "lease_lost" not in done.events
    assert done.events.count("lease_taken") == 2
    assert len(printed(done.logs)) == 6


def printed(logs: list[dict[str, object]]) -> list[str]:
    return [
        f"{entry['source']}{str(entry['message']).split()[0]}"
        for entry in logs
        if entry["event"] == "handler_printed"
    ]


class Garbage:
    """Something writes over the state and its log; a copy is restored."""

    def __init__(self, folder: Path) -> None:
        self._copies = {folder / name: b"" for name in ("state.db", "state.db-wal")}

    def strike(self) -> None:
        self._copies = {path: path.read_bytes() for path in self._copies}
        for path, copy in self._copies.items():
            self._write(path, b"x" * len(copy))

    def heal(self) -> None:
        for path, copy in self._copies.items():
            self._write(path, copy)

    def _write(self, path: Path, content: bytes) -> None:
        with path.open("r+b") as stream:
            stream.write(content)


class Removed:
    """The state is moved away, and back."""

    def __init__(self, folder: Path) -> None:
        self._path, self._away = folder / "state.db", folder / "away.db"

    def strike(self) -> None:
        self._path.rename(self._away)

    def heal(self) -> None:
        self._away.rename(self._path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [(Garbage, "is not a SQLite database"), (Removed, "was removed or replaced while in use")],
)
def test_b6_a_state_file_that_is_spoilt_under_a_worker_blocks_it_until_it_is_repaired(
    damage: type[Garbage | Removed], says: str, shop: Place, tables: Tables
) -> None:
    with shop.running("run", "app:handlers", "--state", shop.state) as worker:
        tables.put("orders", "before")
        worker.until_logged("handler_printed", message="billed before")
        spoilt = damage(shop.folder)
        spoilt.strike()
        (told,) = worker.until_logged("blocked", operation="Beat")
        assert told["level"] == "error"
        assert says in told["error_message"]
        assert told["error_type"] == "state_unusable"
        assert told["hint"]
        spoilt.heal()
        worker.until_logged("recovered", operation="Beat")
        tables.put("orders", "after")
        worker.until_logged("handler_printed", message="billed after")
        worker.signal(signal.SIGTERM)
        done = worker.wait()
    assert done.code == 0
    assert not [entry for entry in done.logs if "Traceback" in str(entry)]


@pytest.mark.parametrize("operation", ["GetRecords", "DescribeStream"])
def test_b6_a_permission_that_is_taken_away_blocks_a_worker_at_once(
    operation: str, shop: Place, tables: Tables
) -> None:
    with shop.running("run", "app:handlers", "--state", shop.state) as worker:
        tables.put("orders", "before")
        worker.until_logged("handler_printed", message="billed before")
        tables.emulator.faults.fail(operation, DENIED, times=10**6)
        tables.emulator.roll("orders")  # so that the shards have to be listed
        (told,) = worker.until_logged("blocked")
        assert told["level"] == "error"
        assert "AccessDeniedException" in told["error_message"]
        assert f"allow dynamodb:{operation} on " in told["hint"]
        worker.signal(signal.SIGTERM)
        assert worker.wait().code == 0


# --- names in the state --------------------------------------------------------------------------


def test_an_orphaned_name_beside_a_new_one_stops_the_start_until_it_is_settled(
    shop: Place, tables: Tables
) -> None:
    tables.put("orders", "first")
    state = ("--state", shop.state)
    assert shop.run("run", "app:handlers", *state, "--burst").code == 0
    app = (shop.folder / "app.py").read_text()
    shop.write("app.py", app.replace("def bill", "def charge"))
    with_failures_of_charge = '[triggers.charge]\non_failure = "file:failures.jsonl"\n'
    shop.write("triggerkit.toml", with_failures_of_charge)
    before = shop.files

    done = shop.run("run", "app:handlers", *state, "--burst")
    assert done.code == 2
    assert "'bill'" in done.stderr
    assert "'charge' on the same source is new and would start over" in done.stderr
    rename = f"triggerkit rename bill charge --app shop --state {shop.state}"
    assert rename in done.stderr
    assert "--accept-orphaned bill" in done.stderr
    assert shop.files == before

    assert shop.run(*rename.split()[1:], "--yes").code == 0
    tables.put("orders", "second")
    done = shop.run("run", "app:handlers", *state, "--burst")
    assert (done.code, printed(done.logs)) == (
        0,
        [f"{source_name(tables)}billed"],
    )  # the second only


def test_an_orphaned_name_may_be_accepted_and_is_announced(shop: Place, tables: Tables) -> None:
    tables.put("orders", "first")
    state = ("--state", shop.state)
    assert shop.run("run", "app:handlers", *state, "--burst").code == 0
    app = (shop.folder / "app.py").read_text()
    shop.write("app.py", app.replace("def bill", "def charge"))
    done = shop.run("run", "app:handlers", *state, "--burst", "--accept-orphaned", "bill")
    assert (done.code, printed(done.logs)) == (
        0,
        [f"{source_name(tables)}billed"],
    )  # from the start
    assert [e["trigger"] for e in done.logs if e["event"] == "state_orphaned"] == ["bill"]


def test_rename_of_a_name_that_is_not_there_tells_the_ones_that_are(shop: Place) -> None:
    state = ("--app", "shop", "--state", shop.state)
    done = shop.run("rename", "bill", "charge", *state, "--yes")
    assert done.code == STATE
    assert "there is no file" in done.stderr
    assert "state.db" not in shop.files
    assert shop.run("run", "app:handlers", *state, "--burst").code == 0
    done = shop.run("rename", "bil", "charge", *state, "--yes")
    assert done.code == STATE
    assert "it knows: bill" in done.stderr
    done = shop.run("rename", "bill", "a:b", *state, "--yes")
    assert done.code == 2
    assert "'a:b' is not allowed" in done.stderr


# --- records -------------------------------------------------------------------------------------


def test_a_record_that_cannot_be_processed_is_retried_and_given_up_into_the_file(
    shop: Place, tables: Tables
) -> None:
    shop.write(
        "app.py",
        "from triggerkit import Triggers\n"
        "handlers = Triggers('shop', maximum_retry_attempts=1)\n"
        "@handlers.on('dynamodb://orders', batch_size=1, on_failure='file:failures.jsonl')\n"
        "def bill(event, context):\n"
        "    if event['Records'][0]['dynamodb']['Keys']['id']['S'] == 'bad':\n"
        "        raise ValueError('no total')\n",
    )
    tables.put("orders", "good", "bad", "better")
    done = shop.run("run", "app:handlers", "--state", shop.state, "--burst")
    assert done.code == FAILED
    failed = [entry for entry in done.logs if entry["event"] == "batch_failed"]
    assert [(e["attempt"], e["error_type"]) for e in failed] == [
        (1, "ValueError"),
        (2, "ValueError"),
    ]
    (stopped,) = [entry for entry in done.logs if entry["event"] == "stopped"]
    assert (stopped["records_done"], stopped["records_discarded"]) == (2, 1)
    (line,) = (shop.folder / "failures.jsonl").read_text().splitlines()
    failure = json.loads(line)
    assert failure["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert json.loads(failure["payload"])["Records"][0]["dynamodb"]["Keys"]["id"]["S"] == "bad"
    traceback = next(e["exception"] for e in done.logs if e["event"] == "handler_failed")
    assert 'app.py", line 6' in traceback
    assert "triggerkit/" not in traceback
    again = shop.run("run", "app:handlers", "--state", shop.state, "--burst")
    assert (again.code, printed(again.logs)) == (0, [])


def test_a_failures_file_that_cannot_be_written_stops_the_start(shop: Place) -> None:
    place = Path("app.py/failures.jsonl")
    done = shop.run(
        "run", "app:handlers", "--state", "memory:", "--set", f"bill.on_failure=file:{place}"
    )
    assert done.code == USAGE
    assert str(place) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lifespan_that_fails_stops_the_start_with_the_users_traceback(shop: Place) -> None:
    shop.write(
        "app.py",
        "from contextlib import contextmanager\nfrom triggerkit import Triggers\n"
        "@contextmanager\ndef pool():\n    raise OSError('no database')\n    yield\n"
        "handlers = Triggers('shop', lifespan=pool)\n"
        "@handlers.on('dynamodb://orders')\ndef bill(event, context): pass\n",
    )
    done = shop.run("run", "app:handlers", "--state", "memory:", "--burst")
    assert done.code == FAILED
    assert "lifespan of 'pool' failed: OSError: no database" in done.stderr
    assert 'app.py\\", line 5' in done.stderr
    assert done.stderr.count("Traceback") == 1
