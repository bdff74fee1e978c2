"""`triggerkit dev` as a person uses it: real processes, files that change, signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import APP
from cli.stage import endpoint_of_dev, folder_of
from components import DynamoDBLocal, dummy_client
from e2e.harness import PATIENCE_SECONDS, Place, Running, serving

USAGE, STATE, NO_TRIGGERS, INTERRUPTED = 2, 4, 5, 130
FREE_PORT = ("--port", "0", "--log-format", "json")


class Dev:
    """A running `triggerkit dev`."""

    def __init__(self, place: Place, running: Running) -> None:
        self.place = place
        self.running = running

    @property
    def link(self) -> dict[str, Any]:
        """What it has told other commands."""
        found: dict[str, Any] = json.loads((folder_of(self.place) / "dev.json").read_text())
        return found

    @property
    def url(self) -> str:
        """Its endpoint."""
        return str(self.link["endpoint_url"])

    def put(self, table: str, item: str) -> None:
        """Put an item by the command."""
        done = self.place.run("put", table, item)
        assert done.code == 0, done.stderr

    def until_printed(self, *lines: str) -> None:
        """Wait until the handler has printed each of these lines."""
        for line in lines:
            self.running.until(lambda line=line: self.printed(line) > 0, line)  # type: ignore[misc]

    def printed(self, line: str) -> int:
        """How often the handler has printed it."""
        return sum(line in (entry.get("message") or "") for entry in self.running.logs)

    def until_ready(self, times: int = 1) -> None:
        """Wait for so many starts of a worker."""
        self.running.until_logged("started", times)

    def change(self, name: str, old: str, new: str) -> None:
        """Edit a file as an editor does: a new file takes its place."""
        path = self.place.folder / name
        text = path.read_text()
        assert old in text
        draft = path.with_suffix(".draft")
        draft.write_text(text.replace(old, new))
        draft.replace(path)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to end; its exit code."""
        self.running.signal(number)
        return self.running.wait().code


@contextmanager
def developing(place: Place, *arguments: str) -> Iterator[Dev]:
    """Start it; ended with its worker on the way out."""
    with place.running("dev", *FREE_PORT, *arguments) as running:
        try:
            yield Dev(place, running)
        finally:
            if running.process.poll() is None:
                running.signal(signal.SIGTERM)
                running.process.wait(PATIENCE_SECONDS)


def client(dev: Dev, service: str = "dynamodb") -> Any:
    return dummy_client(service, dev.url)


@contextmanager
def held_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_code_is_loaded_again_and_position_and_tables_stay(project: Place) -> None:
    with developing(project) as dev:
        dev.until_ready()
        assert dev.running.logged("table_made", table="orders", key="id:S")
        dev.put("orders", '{"id": "1"}')
        dev.until_printed("billed 1")
        dev.change("app.py", "billed", "charged")
        dev.running.until_logged("reloading")
        dev.put("orders", '{"id": "2"}')
        dev.until_printed("charged 2")
        assert dev.printed("charged 1") == 0
        assert dev.end() == 0
    with developing(project) as again:
        again.until_ready()
        assert not again.running.logged("table_made")
        items = client(again).scan(TableName="orders")["Items"]
        assert sorted(item["id"]["S"] for item in items) == ["1", "2"]
        again.put("orders", '{"id": "3"}')
        again.until_printed("charged 3")
        assert again.printed("charged 1") + again.printed("charged 2") == 0
        assert again.end(signal.SIGTERM) == 0
    with developing(project, "--fresh") as fresh:
        fresh.until_ready()
        assert client(fresh).scan(TableName="orders")["Count"] == 0
    assert not (folder_of(project) / "dev.json").exists()


def test_a_module_that_fails_shows_its_traceback_and_waits(project: Place) -> None:
    project.write("app.py", "import json\nraise ValueError('not yet')\n")
    with developing(project) as dev:
        dev.running.until_logged("waiting_for_change")
        shown = "".join(dev.running.err)
        assert "Traceback" in shown
        assert "line 2" in shown
        assert "ValueError: not yet" in shown
        assert "importlib" not in shown
        project.write("app.py", APP)
        dev.until_ready()
        project.write("app.py", "def (\n")
        dev.running.until_logged("waiting_for_change", 2)
        assert "SyntaxError" in "".join(dev.running.err)
        dev.put("orders", '{"id": "1"}')  # the endpoint is there all the time
        project.write("app.py", APP.replace("batch_size", "batchsize"))
        dev.running.until_logged("waiting_for_change", 3)
        assert "unknown option 'batchsize'" in "".join(dev.running.err)
        project.write("app.py", APP)
        dev.until_printed("billed 1")
        assert dev.end() == 0


def test_ctrl_c_while_it_waits_for_a_change_ends_it(project: Place) -> None:
    project.write("app.py", "1 / 0\n")
    with developing(project) as dev:
        dev.running.until_logged("waiting_for_change")
        assert dev.end() == 0


def test_configured_tables_are_made_with_key_view_type_and_seed(project: Place) -> None:
    project.write("seed.jsonl", '{"pk": "a", "sk": 1}\n{"pk": "a", "sk": 2}\n')
    project.write(
        "triggerkit.toml",
        'target = "app:handlers"\n[vars]\nPREFIX = "dev-"\n'
        '[dev.tables."${PREFIX}events"]\nkey = "pk:S, sk:N"\nview_type = "KEYS_ONLY"\n'
        'seed = "seed.jsonl"\n[dev.tables.orders]\nkey = "id:S"\n',
    )
    with developing(project) as dev:
        dev.until_ready()
        database = client(dev)
        table = database.describe_table(TableName="dev-events")["Table"]
        assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]
        assert table["StreamSpecification"]["StreamViewType"] == "KEYS_ONLY"
        assert database.scan(TableName="dev-events")["Count"] == 2
        database.close()
        # A change of the configuration is a change, too.
        dev.change(
            "triggerkit.toml",
            "[dev.tables.orders]",
            "[dev.tables.users]\nkey = 'id:S'\n[dev.tables.orders]",
        )
        dev.running.until_logged("table_made", table="users")
        dev.until_ready(2)
        dev.change("triggerkit.toml", 'key = "pk:S, sk:N"', 'key = "pk:S"')
        dev.running.until_logged("waiting_for_change")
        shown = "".join(dev.running.err)
        assert "table 'dev-events' exists with the key pk:S,sk:N, not pk:S" in shown
        assert "--fresh" in shown


def test_handlers_cannot_reach_aws(project: Place) -> None:
    project.environment |= {
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1",
        "AWS_CONFIG_FILE": "/somewhere",
    }
    project.write(".env", "AWS_ROLE_ARN=arn:aws:iam::1:role/real\nCOLOUR=blue\n")
    project.write(
        "app.py",
        "import boto3, json, os\nfrom triggerkit import Triggers\nhandlers = Triggers('shop')\n"
        "SOURCE = 'arn:aws:dynamodb:eu-west-1:123456789012:table/orders?profile=production'\n"
        "@handlers.on(SOURCE, maximum_retry_attempts=0)\n"
        "def look(event, context):\n"
        "    found = {k: v for k, v in os.environ.items() if k.startswith(('AWS_', 'COLOUR'))"
        " and not k.startswith('AWS_LAMBDA_')}\n"
        "    print('env ' + json.dumps(found))\n"
        "    try:\n        boto3.client('sts').get_caller_identity()\n"
        "    except Exception as error:\n        print(f'sts said {error}')\n",
    )
    with developing(project, "--env-file", ".env") as dev:
        dev.until_ready()
        dev.put("orders", '{"id": "1"}')
        dev.until_printed("sts said")
        lines = [entry["message"] for entry in dev.running.logs if entry.get("message")]
        (told,) = [line for line in lines if line.startswith("env ")]
        (said,) = [line for line in lines if line.startswith("sts said")]
        assert json.loads(told.removeprefix("env ")) == {
            "AWS_ENDPOINT_URL": dev.url,
            "AWS_ACCESS_KEY_ID": "triggerkit",
            "AWS_SECRET_ACCESS_KEY": "triggerkit",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "COLOUR": "blue",
        }
        assert "'sts' is not served" in said
        assert "triggerkit dev --aws" in said


def test_with_aws_handlers_keep_their_credentials_for_all_but_dynamodb(project: Place) -> None:
    project.environment |= {
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    project.write(
        "app.py",
        APP.replace("from triggerkit", "import os\nfrom triggerkit")
        + "    print('keys', os.environ['AWS_ACCESS_KEY_ID'], os.environ.get('AWS_ENDPOINT_URL'))\n",
    )
    with developing(project, "--aws") as dev:
        dev.until_ready()
        dev.put("orders", '{"id": "1"}')
        dev.until_printed("billed 1", "keys AKIAREAL None")
        assert any("--aws" in line for line in dev.running.out)


def test_it_prints_what_other_programs_need(project: Place) -> None:
    with developing(project) as dev:
        dev.until_ready()
        shown = "".join(dev.running.out)
        assert f"export AWS_ENDPOINT_URL={dev.url}\n" in shown
        assert "export AWS_ACCESS_KEY_ID=triggerkit\n" in shown
        assert str(dev.link["token"]) not in shown + "".join(dev.running.err)
        for name in ("dev.json", "dev.lock", "dev.db", "dev-state.db"):
            mode = stat.S_IMODE((folder_of(project) / name).stat().st_mode)
            assert (name, mode) == (name, 0o600)
        assert stat.S_IMODE(folder_of(project).stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"x-triggerkit-token": "guess"}, 403),
        ({}, 403),
    ],
)
def test_strangers_are_refused(project: Place, headers: dict[str, str], status: int) -> None:
    with endpoint_of_dev(project) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.server.port, timeout=10)
        connection.request("POST", "/_sim/expire", b"{}", headers)
        assert connection.getresponse().status == status
        connection.close()
        assert running.emulator.faults.iterator_generation == 0


def test_a_worker_does_not_outlive_a_dev_that_is_killed(project: Place) -> None:
    with developing(project) as dev:
        dev.until_ready()
        dev.running.process.kill()
        dev.running.process.wait(PATIENCE_SECONDS)
        # Its worker holds our pipe open until it has ended.
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not dev.running.logged("stopped"):
            assert time.monotonic() < deadline, "".join(dev.running.err)
            time.sleep(0.02)
    assert "no `triggerkit dev` runs" in project.run("put", "orders", '{"id": "1"}').stderr
    with developing(project) as again:
        again.until_ready()
        again.put("orders", '{"id": "1"}')
        again.until_printed("billed 1")


def test_a_handler_that_hangs_does_not_hold_up_a_reload(project: Place) -> None:
    project.write(
        "app.py",
        APP.replace("    for", "    print('hangs'); import time; time.sleep(600)\n    for"),
    )
    with developing(project, "--drain-timeout", "0.1") as dev:
        dev.until_ready()
        dev.put("orders", '{"id": "1"}')
        dev.until_printed("hangs")
        project.write("app.py", APP)
        dev.until_printed("billed 1")
        assert dev.end() == 0


def test_a_second_ctrl_c_ends_at_once(project: Place) -> None:
    project.write(
        "app.py",
        APP.replace("    for", "    print('hangs'); import time; time.sleep(600)\n    for"),
    )
    with developing(project, "--drain-timeout", "600") as dev:
        dev.until_ready()
        dev.put("orders", '{"id": "1"}')
        dev.until_printed("hangs")
        dev.running.signal(signal.SIGINT)
        dev.running.until_logged("draining")
        assert dev.end() == INTERRUPTED
        assert not (folder_of(project) / "dev.json").exists()


@contextmanager
def in_a_terminal(place: Place) -> Iterator[Running]:
    """Start it as the leader of a group: what is typed in its terminal reaches its worker as well."""
    process = subprocess.Popen(
        [sys.executable, "-m", "triggerkit", "dev", *FREE_PORT],
        cwd=place.folder,
        env=place.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    running = Running(process)
    try:
        yield running
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        running.end()


def test_ctrl_c_in_a_terminal_reaches_both_and_still_drains(project: Place) -> None:
    with in_a_terminal(project) as running:
        running.until_logged("lease_taken")
        os.killpg(running.process.pid, signal.SIGINT)
        done = running.wait()
    assert done.code == 0
    assert "lease_released" in done.events
    assert "stopped" in done.events
    assert "waiting_for_change" not in done.events


def test_ctrl_c_while_code_is_imported_shows_no_traceback(project: Place) -> None:
    project.write("app.py", "import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    with in_a_terminal(project) as running:
        running.until(lambda: "importing\n" in running.err, "importing")
        os.killpg(running.process.pid, signal.SIGINT)
        done = running.wait()
    assert done.code == 0
    assert "Traceback" not in done.stderr


def test_without_reload_the_end_of_the_worker_is_the_end(project: Place) -> None:
    with developing(project, "--no-reload") as dev:
        dev.until_ready()
        project.write("app.py", "1 / 0\n")
        dev.put("orders", '{"id": "1"}')
        dev.until_printed("billed 1")
        assert not dev.running.logged("reloading")
    with developing(project, "--no-reload") as broken:
        assert broken.running.wait().code != 0


def test_another_endpoint_can_be_underneath(project: Place) -> None:
    with (
        serving() as underneath,
        developing(project, "--backend", underneath.server.endpoint_url) as dev,
    ):
        dev.until_ready()
        dev.put("orders", '{"id": "1"}')
        dev.until_printed("billed 1")
        assert underneath.emulator.call("Scan", {"TableName": "orders"})["Count"] == 1
        refused = project.run("fault", "roll", "orders")
        assert (refused.code, "--backend" in refused.stderr) == (USAGE, True)
        assert not (folder_of(project) / "dev.db").exists()
        assert dev.end() == 0


@pytest.mark.real
def test_dynamodb_local_can_be_underneath(project: Place, dynamodb_local: DynamoDBLocal) -> None:
    project.write("app.py", APP.replace("//orders", "//dev_orders"))
    project.write(
        "triggerkit.toml",
        'target = "app:handlers"\n[dev.tables.dev_orders]\nkey = "id:S"\nseed = "seed.json"\n',
    )
    project.write("seed.json", '[{"id": "seeded"}]')
    with developing(project, "--backend", dynamodb_local.endpoint_url) as dev:
        dev.until_printed("billed seeded")
        dev.put("dev_orders", '{"id": "1", "n": 1.50, "b": [true, null]}')
        dev.until_printed("billed 1")
        dev.change("app.py", "billed", "charged")
        dev.until_ready(2)
        dev.put("dev_orders", '{"id": "2"}')
        dev.until_printed("charged 2")
        assert dev.printed("charged 1") == 0
        database = client(dev)
        database.delete_table(TableName="dev_orders")
        database.close()
        assert dev.end() == 0


def test_a_handler_can_send_to_local_queues_and_buckets(project: Place) -> None:
    pytest.importorskip("flask")
    project.write(
        "app.py",
        APP + "    import boto3\n    queues = boto3.client('sqs')\n"
        "    url = queues.create_queue(QueueName='billed')['QueueUrl']\n"
        "    queues.send_message(QueueUrl=url, MessageBody='one more')\n    print('sent')\n",
    )
    with developing(project) as dev:
        dev.until_ready()
        dev.put("orders", '{"id": "1"}')
        dev.until_printed("sent")
        queues = client(dev, "sqs")
        url = queues.get_queue_url(QueueName="billed")["QueueUrl"]
        assert url.startswith(dev.url)
        (letter,) = queues.receive_message(QueueUrl=url)["Messages"]
        assert letter["Body"] == "one more"
        queues.close()


def test_a2_the_port_of_dev_is_no_part_of_the_names_of_positions(project: Place) -> None:
    with developing(project) as dev:
        dev.until_ready()
        dev.put("orders", '{"id": "1"}')
        dev.until_printed("billed 1")
        assert dev.end() == 0
    with closing(sqlite3.connect(folder_of(project) / "dev-state.db")) as state:
        keys = [key for (key,) in state.execute("SELECT leaseKey FROM lease")]
    assert keys
    assert [key for key in keys if "/dev:" not in key] == []


def test_a_renamed_trigger_starts_anew_without_questions(project: Place) -> None:
    with developing(project) as dev:
        dev.until_ready()
        dev.put("orders", '{"id": "1"}')
        dev.until_printed("billed 1")
        dev.change("app.py", "def bill", "def invoice")
        dev.running.until(lambda: dev.printed("billed 1") == 2, "billed 1 again")


# --- wrong input: an exit code, the thing named, and nothing left behind ---------------------------


def refused(project: Place, *arguments: str, code: int = USAGE) -> str:
    """Run it where it must refuse; what it said."""
    before = project.files
    done = project.run("dev", *FREE_PORT, *arguments)
    assert done.code == code, done.stderr
    assert "  fix: " in done.stderr or "Usage:" in done.stderr
    assert project.files == before
    assert done.stdout == ""
    return done.stderr


def test_a_port_that_is_taken_is_refused_with_the_way_out(project: Place) -> None:
    with held_port() as port:
        said = refused(project, "--port", str(port))
    assert f"port {port} of 127.0.0.1 cannot be used: Address already in use" in said
    assert "--port 0" in said


def test_one_project_has_one_dev(project: Place) -> None:
    with endpoint_of_dev(project) as running:
        said = refused(project)
    assert f"runs for {project.folder} already at {running.link.endpoint_url}" in said
    assert str(os.getpid()) in said


def test_without_a_target_it_says_how_to_name_one(project: Place) -> None:
    (project.folder / "triggerkit.toml").unlink()
    assert "no TARGET" in refused(project)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[dev.tables.orders]\nkey = 'id:X'", "[dev.tables.orders]: key 'id:X' cannot be read"),
        ("[dev.tables.orders]\nkey = 'id'", "key 'id' cannot be read"),
        ("[dev.tables.orders]\nkey = 'a:S,b:S,c:S'", "cannot be read"),
        ("[dev.tables.orders]\nkey = 'a:S,a:S'", "cannot be read"),
        ("[dev.tables.orders]", "[dev.tables.orders]: key is missing"),
        ("[dev.tables.orders]\nkeys = 'id:S'", "unknown key 'keys'"),
        ("[dev.tables.orders]\nkey = 7", "key is not text"),
        ("[dev.tables.orders]\nkey = 'id:S'\nview_type = 'ALL'", "view_type 'ALL' does not exist"),
        ("[dev.tables.'a b']\nkey = 'id:S'", "'a b' is no name of a table"),
        ("[dev.tables.'${NONE}']\nkey = 'id:S'", "${NONE} is not set"),
        ("[dev.tables.orders]\nkey = 'id:S'\nseed = 'none.json'", "none.json' cannot be read"),
        ("[dev.tables.orders]\nkey = 'id:S'\nseed = 'bad.json'", "bad.json, item 1: the key id"),
        ("[dev]\ntables = 7", "tables is not a table"),
        ("[dev.tables]\norders = 7", "[dev.tables.orders] is not a table"),
        ("[dev]\nport = 7", "unknown key 'port'"),
        ("[dev", "is not TOML"),
    ],
)
def test_a_wrong_table_of_the_configuration_is_named(project: Place, toml: str, said: str) -> None:
    project.write("bad.json", '{"pk": 1}')
    project.write("triggerkit.toml", f'target = "app:handlers"\n{toml}\n')
    assert said in refused(project)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("dynamodb", "is not an endpoint URL"),
        ("http://", "is not an endpoint URL"),
        ("ftp://x", "is not an endpoint URL"),
        ("http://127.0.0.1:99999", "is not an endpoint URL"),
        ("https://dynamodb.eu-west-1.amazonaws.com", "is AWS itself"),
    ],
)
def test_a_backend_must_be_an_endpoint_that_is_not_aws(project: Place, url: str, said: str) -> None:
    assert said in refused(project, "--backend", url)


@pytest.mark.parametrize("flags", [("--port", "70000"), ("--port", "x"), ("--state", "memory:")])
def test_wrong_flags_are_refused(project: Place, flags: tuple[str, ...]) -> None:
    assert flags[0] in refused(project, *flags)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(project: Place) -> None:
    project.folder.chmod(0o500)
    try:
        assert "cannot be written" in refused(project, code=STATE)
    finally:
        project.folder.chmod(0o700)


def test_a_file_in_the_place_of_the_folder_is_named(project: Place) -> None:
    project.write(".triggerkit", "")
    assert f"{folder_of(project)} cannot be written" in refused(project, code=STATE)


@pytest.mark.parametrize(
    ("target", "app", "code", "said"),
    [
        ("ap:handlers", APP, USAGE, "there is no module 'ap'"),
        ("app:handles", APP, USAGE, "has no attribute 'handles'"),
        ("app", "from triggerkit import Triggers\nh = Triggers('x')\n", NO_TRIGGERS, "no trigger"),
    ],
)
def test_a_wrong_target_ends_the_start(
    project: Place, target: str, app: str, code: int, said: str
) -> None:
    project.write("app.py", app)
    with developing(project, target) as dev:
        done = dev.running.wait()
    assert (done.code, said in done.stderr) == (code, True), done.stderr
    assert not (folder_of(project) / "dev.json").exists()


def test_a_backend_where_nobody_answers_ends_the_start(project: Place, tmp_path: Path) -> None:
    with held_port() as port:
        pass
    with developing(project, "--backend", f"http://127.0.0.1:{port}") as dev:
        done = dev.running.wait()
    assert done.code == 3, done.stderr
    assert "dynamodb could not be asked" in done.stderr
