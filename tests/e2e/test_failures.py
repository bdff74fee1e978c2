"""`failures ls` and `failures show`, as a user meets them."""

from __future__ import annotations

import json

import pytest
from e2e.harness import Place, Tables

USAGE, FAILED = 2, 12
APP = """\
from triggerkit import Triggers
handlers = Triggers("shop", maximum_retry_attempts=0, on_failure="file:given-up.jsonl")

@handlers.on("dynamodb://orders", batch_size=1)
def bill(event, context):
    raise ValueError(event["Records"][0]["dynamodb"]["Keys"]["id"]["S"])
"""


@pytest.fixture
def failed(shop: Place, tables: Tables) -> Place:
    """A folder with two failure records in `given-up.jsonl`."""
    shop.write("app.py", APP)
    tables.put("orders", "a", "b")
    assert shop.run("run", "app:handlers", "--state", "memory:", "--burst").code == FAILED
    return shop


def test_what_was_given_up_is_listed_shown_and_run_again(failed: Place) -> None:
    head, *rows = failed.run("failures", "ls", "given-up.jsonl").stdout.splitlines()
    assert head.split() == ["N", "UTC", "TRIGGER", "CONDITION", "CALLS", "RECORDS", "REQUEST"]
    assert [row.split()[0] for row in rows] == ["1", "2"]
    assert {row.split()[3] for row in rows} == {"bill"}
    request_id = rows[1].split()[-1]
    listed = failed.run("failures", "ls", "app:handlers", "--json").json
    assert [one["number"] for one in listed] == [1, 2]
    assert listed[1]["request_id"] == request_id
    shown = failed.run("failures", "show", request_id, "given-up.jsonl")
    assert (shown.code, shown.stderr) == (0, "")
    assert "INSERT  id=b  n=1" in shown.stdout
    assert "RetryAttemptsExhausted after 1 call" in shown.stdout
    again = "triggerkit failures show 2 given-up.jsonl --event | triggerkit invoke TARGET -t bill"
    assert again in shown.stdout
    shown = failed.run("failures", "show", request_id, "app:handlers")
    assert "  triggerkit invoke app:handlers --failure 2\n" in shown.stdout
    event = failed.run("failures", "show", "2", "given-up.jsonl", "--event").stdout
    done = failed.run("invoke", "app:handlers", "-t", "bill", "-e", "-", stdin=event)
    assert (done.code, "ValueError: b" in done.stderr) == (FAILED, True)
    for which in ("2", request_id):
        done = failed.run("invoke", "app:handlers", "--failure", which)
        assert (done.code, "ValueError: b" in done.stderr) == (FAILED, True)
    for part in (request_id[:8], request_id[-8:]):
        whole = failed.run("failures", "show", part, "given-up.jsonl", "--json").json
        assert whole["requestContext"]["requestId"] == request_id


def test_the_log_of_run_has_the_command_that_shows_the_record(shop: Place, tables: Tables) -> None:
    shop.write("app.py", APP)
    tables.put("orders", "a")
    done = shop.run("run", "app:handlers", "--state", "memory:", "--burst")
    (entry,) = [entry for entry in done.logs if entry["event"] == "records_discarded"]
    assert entry["show"].startswith("triggerkit failures show ")
    shown = shop.run(*entry["show"].split()[1:])
    assert (shown.code, "id=a" in shown.stdout) == (0, True)
    assert entry["request_id"] in shown.stdout


def test_damaged_lines_are_told_and_passed_over(failed: Place) -> None:
    good = (failed.folder / "given-up.jsonl").read_text()
    failed.write("given-up.jsonl", '{"cut\n' + good + '{"requestContext": {')
    done = failed.run("failures", "ls", "given-up.jsonl", "--json")
    assert (done.code, [one["number"] for one in done.json]) == (0, [2, 3])
    first, second = done.stderr.splitlines()
    assert "given-up.jsonl, line 1 is left out: it is not JSON" in first
    assert "line 4 is left out" in second
    assert failed.run("failures", "show", "1", "given-up.jsonl").code == USAGE
    assert failed.run("failures", "show", "2", "given-up.jsonl").code == 0


def test_f4_a_trigger_without_failure_records_gets_the_nearest_that_has_some(failed: Place) -> None:
    done = failed.run("failures", "ls", "given-up.jsonl", "-t", "bil")
    told = "no failure records of bil in given-up.jsonl; did you mean bill?\n"
    assert (done.code, done.stdout) == (0, told)


def test_nothing_given_up_yet_is_no_error(place: Place) -> None:
    place.write("app.py", APP)
    before = place.files
    done = place.run("failures", "ls", "app:handlers")
    assert (done.code, done.stdout) == (0, "no failure records in given-up.jsonl\n")
    assert place.run("failures", "ls", "app:handlers", "--json").json == []
    assert place.files == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ls",), "no FILE and no TARGET"),
        (("ls", "no.jsonl"), "'no.jsonl' cannot be read: No such file"),
        (("ls", "nosuch:handlers"), "no module 'nosuch'"),
        (("ls", "app:handlers"), "no trigger of app:handlers has a file: destination"),
        (("show", "7", "app.jsonl"), "no failure record '7' in app.jsonl"),
        (("show", "7", "-t", "x", "app.jsonl"), "no failure record '7'"),
        (("show",), "Missing argument 'N|REQUEST_ID'"),
        (("lst", "app.jsonl"), "No such command 'lst'"),
    ],
)
def test_wrong_input_is_named_with_its_fix(
    arguments: tuple[str, ...], says: str, place: Place
) -> None:
    place.write("app.jsonl", "")
    done = place.run("failures", *arguments)
    assert (done.code, done.stdout) == (USAGE, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_number_and_an_event_must_be_of_one_record(place: Place) -> None:
    both = "".join(f"    on_failure='file:{name}.jsonl',\n" for name in ("one",))
    place.write(
        "app.py",
        "from triggerkit import Triggers\nhandlers = Triggers('shop')\n"
        f"@handlers.on('dynamodb://orders',\n{both})\ndef one(event, context): pass\n"
        "@handlers.on('dynamodb://orders', on_failure='file:two.jsonl')\n"
        "def two(event, context): pass\n",
    )
    record = json.dumps({"requestContext": {"requestId": "abc"}, "trigger": "one"}) + "\n"
    place.write("one.jsonl", record * 2)
    place.write("two.jsonl", record)
    done = place.run("failures", "show", "1", "app:handlers")
    assert (done.code, "name one of the files" in done.stderr) == (USAGE, True)
    shown = place.run("failures", "show", "2", "app:handlers").stdout
    assert "triggerkit failures show 2 one.jsonl --event | triggerkit invoke app:handlers" in shown
    done = place.run("failures", "show", "abc", "one.jsonl", "--event")
    assert (done.code, "choose one: 1, 2" in done.stderr) == (USAGE, True)
    done = place.run("failures", "show", "2", "one.jsonl", "--event")
    assert (done.code, "has no event in it" in done.stderr) == (USAGE, True)
    assert place.run("failures", "ls", "app:handlers").stdout.count(".jsonl:") == 2


def test_a_request_id_of_several_failure_records_is_said_to_be_ambiguous(place: Place) -> None:
    records = [
        {
            "requestContext": {"requestId": "abc", "condition": condition},
            "trigger": "one",
        }
        for condition in ("RetryAttemptsExhausted", "RecordAgeExceeded")
    ]
    place.write("one.jsonl", "".join(f"{json.dumps(record)}\n" for record in records))
    done = place.run("failures", "show", "abc", "one.jsonl")
    assert done.code == 0
    assert done.stdout.startswith("abc names 2 failure records: 1, 2\n")
    for number, condition in enumerate(("RetryAttemptsExhausted", "RecordAgeExceeded"), start=1):
        assert f"failure record {number} of one.jsonl" in done.stdout
        assert condition in done.stdout
    assert "names" not in place.run("failures", "show", "1", "one.jsonl").stdout
    assert place.run("failures", "show", "abc", "one.jsonl", "--json").json == records


def test_invoke_takes_an_event_or_one_failure_record(failed: Place) -> None:
    for words, says in (
        (("--failure", "9"), "no failure record '9' in given-up.jsonl"),
        (("--failure", "1", "-e", "-"), "--event and --failure contradict each other"),
        ((), "no --event and no --failure"),
    ):
        done = failed.run("invoke", "app:handlers", *words)
        assert (done.code, done.stdout, says in done.stderr) == (USAGE, "", True), done.stderr
