"""What every command has in common: names that are nearly right, bare table names, flags that mean one thing."""

from __future__ import annotations

import json

import click
import pytest
from cli.stage import Endpoint
from cli.test_flags import EVERY_OPTION
from e2e.harness import DUMMY_ACCESS, Place, serving

from triggerkit.errors import EXIT_CODES, ending_in_words, nearest

USAGE, SOURCE = 2, 3


# --- names that are nearly right -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("runn",), "run"),
        (("tial", "orders"), "tail"),
        (("enable_stream", "orders"), "enable-stream"),
        (("fault", "splt", "orders"), "split"),
        (("failures", "lst"), "ls"),
        (("generate-event", "dynamo"), "dynamodb"),
        (("check", "--jsn"), "--json"),
        (("fault", "roll", "orders", "--shrad", "x"), "--shard"),
        (("list", "app:handlers", "-t", "bil"), "bill"),
        (("list", "app:handlers", "--set", "bill.batch_sise=1"), "batch_size"),
        (("invoke", "app:handlers", "-t", "bil", "-e", "-"), "bill"),
        (("init", "dynamodb-proces-stream", "new", "--yes"), "dynamodb-process-stream"),
        (("put", "order", '{"id": "1"}'), "orders"),
        (("tail", "order"), "orders"),
        (("record", "order", "-o", "x.jsonl"), "orders"),
        (("fault", "split", "order"), "orders"),
    ],
    ids=" ".join,
)
def test_f4_a_name_that_is_nearly_right_gets_the_right_one(
    arguments: tuple[str, ...], meant: str, endpoint: Endpoint
) -> None:
    done = endpoint.place.run(*arguments)
    assert done.code != 0
    hint = done.stderr.lower().partition("did you mean")[2]
    assert meant in hint, done.stderr
    assert "Traceback" not in done.stderr


def test_f4_a_name_like_no_other_gets_those_there_are() -> None:
    assert nearest("zzz", ["run", "tail"]) == "known: run, tail"
    assert nearest("zzz", []) == "known: none"
    assert nearest("zzz", [str(n) for n in range(60)]).endswith("48, 49 and 10 more")


# --- sources and tables ----------------------------------------------------------------------------

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders"


@pytest.mark.parametrize("said", ["orders", "dynamodb://orders", ARN])
def test_f4_a_bare_name_is_a_table_in_every_command_that_takes_one(
    said: str, endpoint: Endpoint
) -> None:
    run = endpoint.place.run
    assert run("put", said, '{"id": "1"}').code == 0
    tailed = run("tail", said, "--from-start", "-n", "1")
    assert (tailed.code, json.loads(tailed.stdout)["eventName"]) == (0, "INSERT"), tailed.stderr
    recorded = run("record", said, "-o", "orders.jsonl", "-n", "1")
    assert (recorded.code, "recorded 1 record" in recorded.stderr) == (0, True), recorded.stderr
    rolled = run("fault", "roll", said)
    assert (rolled.code, "rolled orders" in rolled.stdout) == (0, True), rolled.stderr
    address = {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": endpoint.server.endpoint_url}
    enabled = run("enable-stream", said, "NEW_AND_OLD_IMAGES", environment=address)
    assert (enabled.code, enabled.stdout.strip()) == (0, *endpoint.emulator.stream_arns("orders"))


@pytest.mark.parametrize("said", ["kinesis://orders", "sqlite:///orders", "arn:aws:sqs:r:1:orders"])
def test_f4_what_is_no_table_is_not_written_to(said: str, endpoint: Endpoint) -> None:
    done = endpoint.place.run("put", said, '{"id": "1"}')
    assert (done.code, "is not a DynamoDB table" in done.stderr) == (USAGE, True), done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("put", "orders", '{"id": "1"}'),
        ("tail", "orders"),
        ("tail", "dynamodb://orders", "--from-start"),
        ("record", "orders", "-o", "orders.jsonl"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("region", [{}, {"AWS_DEFAULT_REGION": "eu-west-1", **DUMMY_ACCESS}])
def test_f4_without_a_running_dev_its_absence_is_explained(
    arguments: tuple[str, ...], region: dict[str, str], project: Place
) -> None:
    done = project.run(*arguments, environment=region)
    assert (done.code, done.stdout) == (USAGE, "")
    assert f"no `triggerkit dev` runs for {project.folder}" in done.stderr
    assert "triggerkit dev" in done.stderr
    assert "--aws" in done.stderr
    assert "region" not in done.stderr.lower()


def test_f4_with_aws_a_stream_is_read_from_there_while_dev_runs(endpoint: Endpoint) -> None:
    with serving() as aws:
        aws.put("orders", "there")
        elsewhere = {**DUMMY_ACCESS, "AWS_ENDPOINT_URL_DYNAMODB": aws.server.endpoint_url}
        elsewhere["AWS_ENDPOINT_URL_DYNAMODB_STREAMS"] = aws.server.endpoint_url
        done = endpoint.place.run(
            "tail", "orders", "--aws", "--from-start", "-n", "1", environment=elsewhere
        )
    assert (done.code, "there" in done.stdout) == (0, True), done.stderr


# --- flags that mean one thing ---------------------------------------------------------------------


def test_f5_a_short_flag_means_the_same_in_every_command() -> None:
    meanings: dict[str, set[str]] = {}
    for _, option in EVERY_OPTION:
        for short in (one for one in option.opts if not one.startswith("--")):
            meanings.setdefault(short, set()).add(max(option.opts, key=len))
    assert meanings["-n"] == {"--lines"}
    assert meanings["-t"] == {"--trigger"}
    assert meanings["-v"] == {"--verbose"}
    assert {short: long for short, long in meanings.items() if len(long) > 1} == {}


def test_f5_lines_are_counts_and_triggers_are_names() -> None:
    for _, option in EVERY_OPTION:
        if "--lines" in option.opts:
            assert isinstance(option.type, click.IntRange)
        if "--trigger" in option.opts:
            assert (option.metavar, option.multiple) == ("GLOB", True)


# --- endings ---------------------------------------------------------------------------------------


def test_f5_the_exit_codes_are_those_that_are_promised() -> None:
    assert sorted(EXIT_CODES) == [0, 1, 2, 3, 4, 5, 12, 13, 14, 130]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "killed by signal 9 (SIGKILL)"),
        (-11, "killed by signal 11 (SIGSEGV)"),
        (-63, "killed by signal 63"),
        (
            3,
            "exit code 3: the stream cannot be used: credentials, permission, not there, not reachable",
        ),
        (77, "exit code 77"),
    ],
)
def test_f5_how_a_process_ended_is_said_in_words(code: int, words: str) -> None:
    assert ending_in_words(code) == words
