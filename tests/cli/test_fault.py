"""`triggerkit fault` against the endpoint of a running `dev`, and `tail` that finds it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import chdir
from copy import deepcopy

import pytest
from cli.stage import Endpoint, endpoint_of_dev
from click.testing import CliRunner
from e2e.harness import CommandServer, Place, serving

from triggerkit.cli.fault import DAMAGES, FAULTS
from triggerkit.cli.main import cli
from triggerkit.emulator import Damage, EmulatorError
from triggerkit.emulator.control import VERBS
from triggerkit.errors import TriggerkitError


def test_roll_goes_on_in_one_child(endpoint: Endpoint) -> None:
    (parent,) = endpoint.emulator.open_shards("orders")
    done = endpoint.place.run("fault", "roll", "orders")
    (child,) = endpoint.emulator.open_shards("orders")
    assert child != parent
    assert (done.code, done.stdout) == (0, f"rolled orders: its stream goes on in {child}\n")


def test_split_goes_on_in_two_children_and_takes_one_shard(endpoint: Endpoint) -> None:
    assert endpoint.place.run("fault", "split", "orders").code == 0
    first, second = endpoint.emulator.open_shards("orders")
    assert endpoint.place.run("fault", "split", "orders", "--shard", first).code == 0
    assert len(endpoint.emulator.open_shards("orders")) == 3
    again = endpoint.place.run("fault", "roll", "orders", "--shard", first)
    assert (again.code, "closed already" in again.stderr) == (2, True)
    assert second in endpoint.emulator.open_shards("orders")


def test_expire_and_throttle_and_ttl_say_what_they_did(endpoint: Endpoint) -> None:
    before = endpoint.emulator.faults.iterator_generation
    assert endpoint.place.run("fault", "expire").stdout.startswith("expired all shard iterators")
    assert endpoint.emulator.faults.iterator_generation == before + 1
    done = endpoint.place.run("fault", "throttle", "--times", "2")
    assert done.stdout == "the next 2 GetRecords calls will be throttled\n"
    assert endpoint.emulator.faults.calls.error("GetRecords") is not None
    endpoint.emulator.call("PutItem", {"TableName": "orders", "Item": {"id": {"S": "1"}}})
    done = endpoint.place.run("fault", "ttl", "orders", '{"id": "1"}')
    assert done.stdout == "removed the item from orders as Time to Live does\n", done.stderr
    assert endpoint.items("orders") == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, commands: CommandServer) -> Iterator[Endpoint]:
    """One endpoint for tests that leave its tables as they are."""
    place = Place(tmp_path_factory.mktemp("project"), commands)
    place.write("app.py", "")
    with endpoint_of_dev(place) as found:
        found.create("orders", id="S")
        found.emulator.call("CreateStream", {"StreamName": "clicks", "ShardCount": 2})
        yield found


def run(endpoint: Endpoint, *arguments: str) -> tuple[int, str, str]:
    """A command in this process, in the project's folder."""
    with chdir(endpoint.place.folder):
        done = CliRunner().invoke(cli, ["fault", *arguments], catch_exceptions=True)
    if isinstance(done.exception, TriggerkitError):
        return 2, done.stdout, str(done.exception)
    return done.exit_code, done.stdout, done.stderr


COMMANDS = (
    ("roll", "orders"),
    ("split", "orders"),
    ("merge", "clicks"),
    ("trim", "orders"),
    ("expire",),
    ("ttl", "orders", '{"id": "1"}'),
    ("throttle",),
    ("damage", "reset"),
    ("latency", "0.1"),
    ("empty",),
    ("duplicate",),
    ("delay", "2"),
    ("hide", "SHARD"),
    ("lag", "5"),
    ("stale",),
    ("clear",),
)


@pytest.mark.parametrize("verb", COMMANDS, ids=lambda verb: verb[0])
def test_a_dry_run_does_nothing(shared: Endpoint, verb: tuple[str, ...]) -> None:
    emulator = shared.emulator
    before = deepcopy(emulator.faults), emulator.open_shards("orders"), emulator.calls.copy()
    code, said, _ = run(shared, *verb, "--dry-run")
    assert (code, said.startswith("would ")) == (0, True)
    assert said.rstrip().endswith(shared.server.endpoint_url)
    assert (emulator.faults, emulator.open_shards("orders"), emulator.calls) == before


def test_every_fault_has_its_verb_and_a_dry_run() -> None:
    rows = {fault.name for fault in FAULTS}
    assert rows <= set(VERBS)
    assert rows - {"show"} == {verb[0] for verb in COMMANDS}
    assert tuple(damage.value for damage in Damage) == DAMAGES


def test_merge_and_trim_change_the_graph(shared: Endpoint) -> None:
    code, said, _ = run(shared, "merge", "clicks")
    (child,) = shared.emulator.open_shards("clicks")
    assert (code, said) == (0, f"merged clicks: its stream goes on in {child}\n")
    shared.emulator.call("PutItem", {"TableName": "orders", "Item": {"id": {"S": "1"}}})
    assert run(shared, "trim", "orders")[1] == "forgot records of orders\n"
    (shard,) = shared.emulator.open_shards("orders")
    said = f"forgot records of shard {shard} of orders\n"
    assert run(shared, "trim", "orders", "--shard", shard)[1] == said
    assert shared.records("orders") == 0


def test_each_plan_says_what_will_happen_and_clear_ends_it(shared: Endpoint) -> None:
    (shard,) = shared.emulator.open_shards("orders")
    said = [
        run(shared, *arguments)[1].rstrip()
        for arguments in (
            ("throttle", "--shard", shard),
            ("damage", "reset", "--operation", "UpdateItem"),
            ("latency", "0.5"),
            ("latency", "3", "--operation", "PutItem", "--times", "2"),
            ("empty", "--times", "1"),
            ("duplicate", "--records", "2"),
            ("delay", "2"),
            ("hide", shard),
            ("show", shard),
            ("latency", "0"),
            ("delay", "0"),
            ("lag", "0"),
            ("lag", "0", "--spread-seconds", "5"),
            ("lag", "1", "--spread-seconds", "20"),
            ("stale", "30"),
        )
    ]
    assert said == [
        f"the next 5 GetRecords calls of shard {shard} will be throttled",
        "the next UpdateItem response will be reset",
        "every GetRecords response will be 0.5 s late",
        "the next 2 PutItem responses will be 3 s late",
        "the next read will return no records",
        "the next page will begin with 2 records of the page before it",
        "records can be read 2 s after they were written",
        f"no listing shows {shard}",
        f"listings show {shard} again",
        "GetRecords responses are not delayed",
        "records can be read as soon as they are written",
        "shards are listed as soon as they are made",
        "shards are listed 0 to 5 s after they were made",
        "shards are listed 1 to 21 s after they were made",
        "the next 3 listings will show the shards of 30 s ago",
    ]
    faults = shared.emulator.faults
    assert faults.listings.lag_spread_seconds == 20
    assert faults.calls.damage("UpdateItem") is Damage.RESET
    assert run(shared, "clear")[1] == "nothing is planned, hidden or held any more\n"
    assert (faults.listings.lag_seconds, faults.reads.empty) == (0, {})
    assert faults.calls.error("GetRecords", shard) is None


def test_the_log_shows_the_newest_calls(shared: Endpoint) -> None:
    shared.emulator.call("GetItem", {"TableName": "orders", "Key": {"id": {"S": "secret"}}})
    with pytest.raises(EmulatorError):
        shared.emulator.call("Scan", {"TableName": "absent"})
    code, said, _ = run(shared, "log", "-n", "2")
    lines = [line.split() for line in said.splitlines()]
    assert code == 0
    assert [line[2:] for line in lines] == [
        ["GetItem", "ok", "TableName=orders"],
        ["Scan", "ResourceNotFoundException", "TableName=absent"],
    ]
    assert "secret" not in said
    one = json.loads(run(shared, "log", "--operation", "GetItem", "-n", "1", "--json")[1])
    assert (one["operation"], one["outcome"]) == ("GetItem", "ok")
    assert run(shared, "log", "--operation", "DeleteItem")[1:] == ("", "no calls yet\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["roll"], "Missing argument 'TABLE'"),
        (["roll", "ordrs"], "ordrs is neither a stream nor a table with a stream"),
        (["roll", "orders", "--shard", "none"], "Shard does not exist"),
        (["throttle", "--times", "0"], "--times"),
        (["throttle", "--operation", "GetRecord"], "no operation 'GetRecord'"),
        (["ttl", "orders", "{bad"], "the key is not JSON"),
        (["ttl", "orders", '{"id": "none"}'], "no item with that key"),
        (["hide", "shardId-none"], "which no stream has"),
        (["merge", "orders"], "whose shards never merge"),
        (["delay", "-1"], "-1"),
        (["log", "--operation", "Nonsense"], "there is no operation 'Nonsense'"),
        (["explode"], "No such command 'explode'"),
    ],
)
def test_wrong_input_is_named(endpoint: Endpoint, arguments: list[str], said: str) -> None:
    done = endpoint.place.run("fault", *arguments)
    assert (done.code, said in done.stderr) == (2, True), done.stderr


def test_without_a_running_dev_nothing_can_be_told_to_fail(project: Place) -> None:
    done = project.run("fault", "roll", "orders")
    assert (done.code, "no `triggerkit dev` runs" in done.stderr) == (2, True)


def test_another_endpoint_underneath_cannot_be_told_to_fail(project: Place) -> None:
    with endpoint_of_dev(project, backend="http://127.0.0.1:8000"):
        done = project.run("fault", "roll", "orders")
    assert done.code == 2
    assert "uses http://127.0.0.1:8000" in done.stderr


def test_a_wrong_token_is_refused(endpoint: Endpoint) -> None:
    link = endpoint.place.folder / ".triggerkit/dev.json"
    link.write_text(json.dumps({**json.loads(link.read_text()), "token": "another"}))
    done = endpoint.place.run("fault", "roll", "orders")
    assert (done.code, "token" in done.stderr) == (2, True)


def test_tail_finds_the_running_dev_by_itself_and_says_so(endpoint: Endpoint) -> None:
    endpoint.emulator.call("PutItem", {"TableName": "orders", "Item": {"id": {"S": "1"}}})
    done = endpoint.place.run("tail", "dynamodb://orders", "--from-start", "-n", "1", "--json")
    assert done.code == 0, done.stderr
    assert done.json["dynamodb"]["Keys"] == {"id": {"S": "1"}}
    assert f"from the running dev at {endpoint.link.endpoint_url}" in done.stderr


@pytest.mark.parametrize("how", ["flag", "environment", "locator", "aws"])
def test_tail_goes_where_the_user_says_although_a_dev_runs(endpoint: Endpoint, how: str) -> None:
    with serving() as other:
        other.put("users", "elsewhere")
        url = other.server.endpoint_url
        keys = {
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        source = "dynamodb://users" + (f"?endpoint_url={url}" if how == "locator" else "")
        more = {"flag": ["--endpoint-url", url], "aws": ["--aws"]}.get(how, [])
        if how in ("environment", "aws"):
            keys["AWS_ENDPOINT_URL"] = url
        arguments = ["tail", source, "--from-start", "-n", "1", "--json", *more]
        done = endpoint.place.run(*arguments, environment=keys)
    assert done.code == 0, done.stderr
    assert done.json["dynamodb"]["Keys"] == {"id": {"S": "elsewhere"}}
    assert "running dev" not in done.stderr
