"""Every blueprint is a project that works: its own tests pass, it is clean, and `dev` runs it at once.

Processes are real, and what a reader of its README types is typed here.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from components import dummy_client
from e2e.harness import CommandServer, Done, Place, Running, Tables

from triggerkit.scaffold import find_blueprints

CASES = {
    "dynamodb-process-stream": (),
    "enforce-rules": (),
    "dynamodb-archive-s3": (),
    "outbox-relay": (),
    "outbox-relay to EventBridge": ("--var", "destination=eventbridge", "--var", "bus=shop"),
}
"""What is made, and how."""
OTHER_ACTIONS = {
    "dynamodb-process-stream": set[str](),
    "enforce-rules": {"dynamodb:GetItem", "dynamodb:UpdateItem"},
    "dynamodb-archive-s3": {"s3:PutObject"},
    "outbox-relay": {"sqs:GetQueueUrl", "sqs:SendMessage"},
    "outbox-relay to EventBridge": {"events:PutEvents"},
}
"""What each does beside reading the stream."""
GIVEN_UP = 12

every = pytest.mark.parametrize("case", CASES)


@pytest.fixture
def make(tmp_path: Path, commands: CommandServer) -> Callable[[str], Place]:
    """Makes the project of a case, by the command."""

    def made(case: str, *more: str) -> Place:
        user = Place(tmp_path / "user", commands)
        user.folder.mkdir()
        done = user.run("init", case.partition(" ")[0], "project", *CASES[case], *more)
        assert done.code == 0, done.stderr
        return replace(user, folder=user.folder / "project")

    return made


def test_every_blueprint_is_run_here() -> None:
    names = {one.name for one in find_blueprints().blueprints if one.origin == "triggerkit"}
    assert names == {case.partition(" ")[0] for case in CASES}


def python(place: Place, *arguments: str, **environment: str) -> Done:
    """Run `python ARGUMENTS` in the project."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=place.folder,
        env=place.environ(environment),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@every
def test_its_own_tests_pass(make: Callable[[str], Place], case: str) -> None:
    done = python(make(case), "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.code == 0, done.stdout + done.stderr


def test_f1_the_readmes_event_command_does_not_break_the_blueprints_own_test(
    make: Callable[[str], Place],
) -> None:
    place = make("dynamodb-process-stream")
    event = place.run("generate-event", "dynamodb", "modify")
    place.write("event.json", event.stdout)
    assert place.run("invoke", "-e", "event.json").code == 0
    done = python(place, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.code == 0, done.stdout + done.stderr


@every
def test_it_is_clean(make: Callable[[str], Place], case: str) -> None:
    place = make(case)
    for words in (("check", "--isolated"), ("format", "--check")):
        done = python(place, "-m", "ruff", *words, "--no-cache", ".")
        assert done.code == 0, done.stdout
    for file in place.folder.rglob("*"):
        assert "@{" not in file.read_text(), file


@pytest.fixture(scope="session")
def types_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy knows of boto3 and triggerkit is the same for all."""
    return tmp_path_factory.mktemp("mypy")


@every
def test_its_types_are_strict(make: Callable[[str], Place], case: str, types_cache: Path) -> None:
    done = python(make(case), "-m", "mypy", "--strict", "--cache-dir", str(types_cache), ".")
    assert done.code == 0, done.stdout


@every
def test_its_policy_allows_what_it_does_and_no_more(
    make: Callable[[str], Place], case: str
) -> None:
    place = make(case)
    checked = place.run("check", "--state", "memory:", "--json")
    assert checked.code == 0, checked.stderr
    statements = json.loads((place.folder / "iam-policy.json").read_text())["Statement"]
    allowed: list[str] = []
    for statement in statements:
        actions = statement["Action"]
        allowed += [actions] if isinstance(actions, str) else actions
    assert sorted(allowed) == sorted({*checked.json["iam_actions"], *OTHER_ACTIONS[case]})
    open_to_all = [one["Action"] for one in statements if one["Resource"] == "*"]
    assert open_to_all == ["dynamodb:ListStreams"]


@every
def test_its_retries_are_finite_and_what_is_given_up_is_kept(
    make: Callable[[str], Place], case: str
) -> None:
    place = make(case)
    [trigger] = place.run("list", "-v", "--json").json["triggers"]
    assert trigger["options"]["maximum_retry_attempts"] == 5
    assert trigger["options"]["on_failure"] == "file:failures.jsonl"


@dataclass(frozen=True, slots=True)
class Dev:
    """The project under `triggerkit dev`."""

    place: Place
    running: Running

    @property
    def url(self) -> str:
        """Where it listens."""
        link = json.loads((self.place.folder / ".triggerkit/dev.json").read_text())
        return str(link["endpoint_url"])

    def printed(self, pattern: str) -> list[re.Match[str]]:
        """The lines that the handler has printed which match."""
        lines = [entry["message"] for entry in self.running.logged("handler_printed")]
        return [match for line in lines if (match := re.fullmatch(pattern, line))]

    def until_printed(self, pattern: str) -> re.Match[str]:
        """Wait for such a line."""
        self.running.until(lambda: bool(self.printed(pattern)), pattern)
        return self.printed(pattern)[0]

    def client(self, service: str) -> Any:
        """A client of a user's program."""
        return dummy_client(service, self.url)


@contextmanager
def developing(place: Place) -> Iterator[Dev]:
    """Type `triggerkit dev`, and in another terminal what the README says to put."""
    with place.running("dev", "--port", "0", "--log-format", "json") as running:
        running.until_logged("lease_taken")
        puts = re.findall(
            r"^\$ triggerkit (put .*)$", (place.folder / "README.md").read_text(), re.M
        )
        assert puts
        for words in puts:
            done = place.run(*shlex.split(words))
            assert done.code == 0, done.stderr
        yield Dev(place, running)


def test_dynamodb_process_stream_under_dev(make: Callable[..., Place]) -> None:
    with developing(make("dynamodb-process-stream")) as dev:
        dev.until_printed(r'INSERT \{"id": \{"S": "o-1"\}\}')
        dev.until_printed("1 handled")


def test_enforce_rules_under_dev(make: Callable[..., Place]) -> None:
    with developing(make("enforce-rules")) as dev:
        dev.until_printed("reverted .* status must not go from placed to shipped")
        client = dev.client("dynamodb")
        item = client.get_item(TableName="orders", Key={"id": {"S": "o-1"}})["Item"]
        assert item["status"] == {"S": "placed"}
        dev.running.until(lambda: records_done(dev) == 3, "two puts and the revert are done")
        assert len(dev.printed("reverted .*")) == 1
        client.close()


def records_done(dev: Dev) -> int:
    return sum(entry["records"] for entry in dev.running.logged("batch_done"))


def test_dynamodb_archive_s3_under_dev(make: Callable[..., Place]) -> None:
    with developing(make("dynamodb-archive-s3")) as dev:
        name = r"1 changes in s3://change-archive/changes/orders/(\d{4}/\d\d/\d\d/\d\d)/shardId-.*"
        hour = dev.until_printed(name)[1]
        access = {"AWS_ENDPOINT_URL": dev.url, "AWS_DEFAULT_REGION": "us-east-1"}
        keys = {"AWS_ACCESS_KEY_ID": "triggerkit", "AWS_SECRET_ACCESS_KEY": "triggerkit"}
        done = python(dev.place, "read.py", hour, **access, **keys)
        assert done.code == 0, done.stderr
        assert done.json["dynamodb"]["NewImage"]["id"] == {"S": "o-1"}


def test_outbox_relay_under_dev(make: Callable[..., Place]) -> None:
    with developing(make("outbox-relay")) as dev:
        dev.until_printed("sent o-1 1 OrderPaid")
        client = dev.client("sqs")
        url = client.get_queue_url(QueueName="events.fifo")["QueueUrl"]
        [message] = client.receive_message(QueueUrl=url)["Messages"]
        assert json.loads(message["Body"]) == {
            "aggregate": "o-1",
            "number": 1,
            "type": "OrderPaid",
            "body": {"cents": 100},
        }
        client.close()


def test_outbox_relay_to_eventbridge_under_dev(make: Callable[..., Place]) -> None:
    with developing(make("outbox-relay to EventBridge")) as dev:
        dev.until_printed("sent o-1 1 OrderPaid")


def test_a_disabled_trigger_says_how_to_enable_it(make: Callable[..., Place]) -> None:
    place = make("dynamodb-process-stream", "--disabled")
    done = place.run("dev", "--port", "0")
    assert done.code == 5
    assert "set enabled = true" in done.stderr


def burst(place: Place, tables: Tables, *flags: str) -> Done:
    """`triggerkit run --burst` against an endpoint that is there already."""
    access = {
        "AWS_ENDPOINT_URL": tables.server.endpoint_url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    flags = ("--state", "memory:", "--log-format", "json", *flags)
    return place.run("run", "--burst", *flags, environment=access)


def printed(done: Done) -> list[str]:
    return [entry["message"] for entry in done.logs if entry["event"] == "handler_printed"]


def test_a_worker_without_dev_enforces_rules(make: Callable[..., Place], tables: Tables) -> None:
    place = make("enforce-rules", "--starting-position", "TRIM_HORIZON")
    for status in ("placed", "paid", "placed"):
        item = {"id": {"S": "o-1"}, "status": {"S": status}}
        tables.client.put_item(TableName="orders", Item=item)
    done = burst(place, tables)
    assert done.code == 0, done.stderr
    [line] = printed(done)
    assert line == "reverted {'id': 'o-1'} status must not go from paid to placed"
    item = tables.client.get_item(TableName="orders", Key={"id": {"S": "o-1"}})["Item"]
    assert item["status"] == {"S": "paid"}
    again = burst(place, tables)  # without state, so every record comes a second time
    assert again.code == 0, again.stderr
    assert printed(again) == []
    assert item == tables.client.get_item(TableName="orders", Key={"id": {"S": "o-1"}})["Item"]


def test_a_record_that_cannot_be_done_is_kept_with_its_event(
    make: Callable[..., Place], tables: Tables
) -> None:
    place = make("dynamodb-process-stream")
    app = place.folder / "app.py"
    app.write_text(app.read_text().replace('change["Keys"]', 'change["NewImage"]["status"]'))
    tables.put("orders", "o-1")
    done = burst(place, tables, "--set", "process_changes.maximum_retry_attempts=0")
    assert done.code == GIVEN_UP, done.stderr
    [line] = (place.folder / "failures.jsonl").read_text().splitlines()
    [record] = json.loads(json.loads(line)["payload"])["Records"]
    assert record["dynamodb"]["Keys"] == {"id": {"S": "o-1"}}


def test_the_sample_event_is_one_that_invoke_takes(make: Callable[..., Place]) -> None:
    place = make("dynamodb-process-stream")
    done = place.run("invoke", "-t", "process_changes", "-e", "event.json")
    assert done.code == 0, done.stderr
    assert "2 handled" in done.stderr + done.stdout
