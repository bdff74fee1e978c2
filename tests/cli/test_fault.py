"""`triggerkit fault` against the endpoint of a running `dev`, and `tail` that finds it."""

from __future__ import annotations

import json

import pytest
from cli.stage import Endpoint, endpoint_of_dev
from e2e.harness import Place, serving


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
    assert done.stdout == "the next 2 calls of GetRecords are throttled\n"
    assert endpoint.emulator.faults.planned_error("GetRecords") is not None
    endpoint.emulator.call("PutItem", {"TableName": "orders", "Item": {"id": {"S": "1"}}})
    done = endpoint.place.run("fault", "ttl", "orders", '{"id": "1"}')
    assert done.stdout == "removed the item from orders as Time to Live does\n", done.stderr
    assert endpoint.items("orders") == []


@pytest.mark.parametrize("verb", [("roll", "orders"), ("split", "orders"), ("expire",)])
def test_a_dry_run_does_nothing(endpoint: Endpoint, verb: tuple[str, ...]) -> None:
    before = endpoint.emulator.open_shards("orders"), endpoint.emulator.faults.iterator_generation
    done = endpoint.place.run("fault", *verb, "--dry-run")
    assert (done.code, done.stdout.startswith("would ")) == (0, True)
    after = endpoint.emulator.open_shards("orders"), endpoint.emulator.faults.iterator_generation
    assert after == before


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
    assert "stands on http://127.0.0.1:8000" in done.stderr


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
