"""`triggerkit put` against the endpoint of a running `dev`."""

from __future__ import annotations

import json

import pytest
from cli.stage import Endpoint, endpoint_of_dev
from e2e.harness import DUMMY_ACCESS, Place, serving


def test_a_plain_item_is_put_with_every_digit(endpoint: Endpoint) -> None:
    text = (
        '{"id": "1", "total": 12345678901234567890.12345678901234567, "n": -1e-5, "yes": true, '
        '"no": null, "list": [1, "a"], "map": {"in": 0.10}}'
    )
    done = endpoint.place.run("put", "orders", text)
    assert (done.code, done.stdout) == (0, "put 1 item into orders\n"), done.stderr
    (item,) = endpoint.items("orders")
    assert item == {
        "id": {"S": "1"},
        "total": {"N": "12345678901234567890.12345678901234567"},
        "n": {"N": "-0.00001"},
        "yes": {"BOOL": True},
        "no": {"NULL": True},
        "list": {"L": [{"N": "1"}, {"S": "a"}]},
        "map": {"M": {"in": {"N": "0.1"}}},
    }


def test_dynamodb_json_is_understood_with_binary_values_and_sets(endpoint: Endpoint) -> None:
    item = {"id": {"S": "1"}, "b": {"B": "AP8="}, "ns": {"NS": ["1", "2"]}, "n": {"N": "1"}}
    done = endpoint.place.run("put", "orders", json.dumps(item))
    assert done.code == 0, done.stderr
    (stored,) = endpoint.items("orders")
    assert stored["b"] == {"B": "AP8="}
    assert sorted(stored["ns"]["NS"]) == ["1", "2"]


def test_an_item_that_is_the_same_already_is_said_to_make_no_record(endpoint: Endpoint) -> None:
    assert endpoint.place.run("put", "orders", '{"id": "1", "n": 1}').code == 0
    done = endpoint.place.run("put", "orders", '{"id": "1", "n": 1.0}')
    assert done.stdout == "put 1 item into orders (1 already like that: no stream record)\n"
    assert endpoint.records("orders") == 1


@pytest.mark.parametrize(
    "text",
    [
        '[{"id": "1"}, {"id": "2"}]',
        '{"id": "1"}\n\n{"id": "2"}\n',
        '[\n  {"id": "1"},\n  {"id": "2"}\n]\n',
    ],
)
def test_a_file_holds_an_array_or_an_item_a_line(endpoint: Endpoint, text: str) -> None:
    endpoint.place.write("orders.json", text)
    done = endpoint.place.run("put", "orders", "--file", "orders.json")
    assert (done.code, done.stdout) == (0, "put 2 items into orders\n"), done.stderr
    assert len(endpoint.items("orders")) == 2


def test_items_come_from_stdin_too(endpoint: Endpoint) -> None:
    done = endpoint.place.run("put", "orders", "--file", "-", stdin='{"id": "1"}')
    assert (done.code, len(endpoint.items("orders"))) == (0, 1), done.stderr


def test_an_item_is_deleted_by_its_key_once(endpoint: Endpoint) -> None:
    assert endpoint.place.run("put", "orders", '{"id": "1", "n": 1}').code == 0
    done = endpoint.place.run("put", "orders", "--delete", '{"id": "1"}')
    assert done.stdout == "deleted the item with that key from orders\n", done.stderr
    again = endpoint.place.run("put", "orders", "--delete", '{"id": "1"}')
    assert (again.code, again.stdout) == (
        0,
        "orders has no item with that key: nothing to delete\n",
    )


def test_a_dry_run_writes_nothing(endpoint: Endpoint) -> None:
    done = endpoint.place.run("put", "orders", '{"id": "1"}', "--dry-run")
    assert done.code == 0
    assert done.stdout == (f"would put 1 item into orders of dev at {endpoint.link.endpoint_url}\n")
    assert endpoint.items("orders") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["orders"], "nothing to write"),
        (["orders", "{}", "--file", "x"], "more than one of JSON, --file and --delete"),
        (["orders", "{bad"], "the item is not JSON: Expecting property name"),
        (["orders", ""], "the item is not JSON"),
        (["orders", "{}"], "the item is an empty object, not an item"),
        (["orders", "[1]"], "the item is a JSON array, not an item"),
        (["orders", "7"], "the item is a JSON number, not an item"),
        (["orders", '{"id": "1", "id": "2"}'], "'id' is given twice"),
        (["orders", '{"id": "1", "n": NaN}'], "NaN is no number of DynamoDB"),
        (["orders", '{"n": 1}'], "the key id is missing, it must be of type S"),
        (["orders", '{"id": 1}'], "the key id is of type N, it must be of type S"),
        (["orders", '{"id": {"S": "1"}, "m": {"M": {"a": 1}}}'], "m.a is not DynamoDB JSON"),
        (["orders", '{"id": {"S": "1"}, "b": {"B": "a?"}}'], "b is not base64"),
        (["orders", '{"id": {"S": ""}}'], "empty"),
        (["orders", '{"id": "1", "n": 1e400}'], "Number"),
        (["orders", "--delete", '{"id": "1", "n": 1}'], "'n', which is no key of orders"),
        (["orders", "--delete", "{bad"], "the key is not JSON"),
        (["orders", "--file", "absent.json"], "'absent.json' cannot be read: No such file"),
        (["orders", '{"id": "1"}', "--region", "eu-west-1"], "are for AWS"),
    ],
)
def test_wrong_input_is_named_and_nothing_is_written(
    endpoint: Endpoint, arguments: list[str], said: str
) -> None:
    done = endpoint.place.run("put", *arguments)
    assert done.code == 2, done.stderr
    assert said in done.stderr
    assert "  fix: " in done.stderr
    assert endpoint.items("orders") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "1"}\n{"id": "2"\n', "orders.json, line 2 is not JSON"),
        ('{"id": "1"}\n[]\n', "orders.json, line 2 is a JSON array"),
        ('[{"id": "1"}, 7]', "orders.json, item 2 is a JSON number"),
        ('[{"id": "1"}, {"n": 7}]', "item 2: the key id is missing"),
        ('{\n "id": \n}', "orders.json is not JSON: Expecting value: line 3"),
        ("\n", "orders.json is empty"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_wrong_item_in_a_file_stops_all_of_it(endpoint: Endpoint, text: str, said: str) -> None:
    endpoint.place.write("orders.json", text)
    done = endpoint.place.run("put", "orders", "--file", "orders.json")
    assert done.code == 2, done.stderr
    assert said in done.stderr
    assert endpoint.items("orders") == []


def test_a_wrong_table_suggests_the_right_one(endpoint: Endpoint) -> None:
    done = endpoint.place.run("put", "ordrs", '{"id": "1"}')
    assert done.code == 3
    assert f"dev at {endpoint.link.endpoint_url} has no table 'ordrs'" in done.stderr
    assert "did you mean orders?" in done.stderr


def test_without_a_running_dev_it_says_how_to_start_one(project: Place) -> None:
    before = project.files
    done = project.run("put", "orders", '{"id": "1"}')
    assert done.code == 2
    assert f"no `triggerkit dev` runs for {project.folder}" in done.stderr
    assert "triggerkit dev" in done.stderr.splitlines()[-1]
    assert project.files == before


def test_a_dev_that_was_killed_is_not_spoken_to(project: Place) -> None:
    with endpoint_of_dev(project):
        left = (project.folder / ".triggerkit/dev.json").read_text()
    project.write(".triggerkit/dev.json", left)  # as a killed one leaves it
    assert "no `triggerkit dev` runs" in project.run("put", "orders", '{"id": "1"}').stderr


def test_the_environment_of_the_shell_does_not_lead_elsewhere(endpoint: Endpoint) -> None:
    lost = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1",
        "AWS_PROFILE": "production",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    done = endpoint.place.run("put", "orders", '{"id": "1"}', environment=lost)
    assert done.code == 0, done.stderr
    assert len(endpoint.items("orders")) == 1


def test_aws_is_written_to_only_when_asked_and_answered(project: Place) -> None:
    with serving() as tables:
        project.environment |= {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": tables.server.endpoint_url}
        item = '{"id": "1"}'
        asked = project.run("put", "orders", item, "--aws")
        assert asked.code == 2
        assert "Put 1 item into orders of AWS (us-east-1" in asked.stderr
        assert "), account 000000000000?" in asked.stderr
        assert tables.emulator.call("Scan", {"TableName": "orders"})["Count"] == 0
        done = project.run("put", "orders", item, "--aws", "--yes")
        assert done.code == 0, done.stderr
        assert tables.emulator.call("Scan", {"TableName": "orders"})["Count"] == 1


def test_aws_without_credentials_is_refused(project: Place) -> None:
    done = project.run("put", "orders", '{"id": "1"}', "--aws", "--region", "us-east-1", "--yes")
    assert done.code == 3
    assert "credentials" in done.stderr
