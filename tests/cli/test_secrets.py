"""Secrets in locators, URLs and messages about them: no command and no log line shows one."""

from __future__ import annotations

import time

import pytest
from cli.stage import Endpoint
from cli.test_safe_output import LEAVES
from e2e.harness import Done, Place

from triggerkit.core.locators import parse, resolve
from triggerkit.core.masking import masked, masked_locator, masked_value
from triggerkit.errors import LocatorError

SECRET = "s3cr3t"
WITH_USER = f"http://me:{SECRET}@127.0.0.1:9"
CODED = f"http%3A%2F%2Fme%3A{SECRET}%40127.0.0.1%3A9%2F%3Ftoken%3D{SECRET}"
ROLE = f"region=us-east-1&role_arn=arn:aws:iam::123456789012:role/x&external_id={SECRET}"
LOCATORS = (
    f"dynamodb://orders?endpoint_url={WITH_USER}&region=us-east-1",
    f"dynamodb://orders?endpoint_url={CODED}&region=us-east-1",
    f"dynamodb://orders?{ROLE}",
)
APP = """\
import logging
from triggerkit import Triggers
handlers = Triggers("shop", maximum_retry_attempts=0)
URL = {url!r}

@handlers.on({locator!r}, on_failure={failure!r})
def bill(event, context):
    raise ConnectionError("cannot reach " + URL)
"""
ACCESS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
ARGUMENTS = {
    "fault damage": ["cut"],
    "generate-event dynamodb": ["insert"],
    "failures show": ["1"],
}


def app(place: Place, locator: str) -> None:
    """A user's module that reads from there."""
    failure = f"file:failed.jsonl?external_id={SECRET}"
    place.write("app.py", APP.format(url=WITH_USER, locator=locator, failure=failure))


def assert_kept(done: Done) -> None:
    """Nothing of the secret is shown, and it is no fault of ours."""
    assert SECRET not in done.stdout
    assert SECRET not in done.stderr
    assert "internal error" not in done.stderr


@pytest.mark.parametrize("locator", LOCATORS)
def test_e3_commands_that_read_a_target_show_none_of_its_secrets(
    locator: str, project: Place
) -> None:
    app(project, locator)
    project.write("good.py", APP.format(url=WITH_USER, locator=locator, failure="file:f.jsonl"))
    run = ("run", "--burst", "--state", "memory:")
    for target in ("app:handlers", "good:handlers"):
        for command in (
            ("list", target),
            ("list", target, "-v", "--json"),
            ("check", target, "--state", "memory:"),
            ("check", target, "--state", "memory:", "--json"),
            ("list", target, "--state", f"sqlite:///x.db?password={SECRET}"),
            (*run, target, "--set", f"bill.on_failure=file:x?external_id={SECRET}"),
            (*run, target, "--endpoint-url", f"ftp://me:{SECRET}@host"),
            ("simulate", target, "--seeds", "1", "--writes", "1", "-v"),
        ):
            assert_kept(project.run(*command, environment=ACCESS))
    shown = project.run("list", "good:handlers").stdout
    assert "***" in shown
    assert "dynamodb://orders?" in shown


@pytest.mark.parametrize("log_format", ["json", "pretty"])
@pytest.mark.parametrize("level", ["info", "debug"])
def test_e3_a_worker_logs_none(log_format: str, level: str, endpoint: Endpoint) -> None:
    place = endpoint.place
    endpoint.emulator.call("PutItem", {"TableName": "orders", "Item": {"id": {"S": "a"}}})
    url = endpoint.link.endpoint_url.replace("http://", f"http://me:{SECRET}@")
    place.write(
        "app.py",
        APP.format(
            url=WITH_USER,
            locator=f"dynamodb://orders?endpoint_url={url}&region=us-east-1",
            failure="file:f.jsonl",
        ),
    )
    flags = ("--log-format", log_format, "--log-level", level, "--state", "memory:", "--burst")
    done = place.run("run", "app:handlers", *flags, environment=ACCESS)
    assert_kept(done)
    assert "***@127.0.0.1" in done.stderr


@pytest.mark.parametrize("name", LEAVES)
def test_e3_no_command_shows_a_secret_of_its_arguments_or_its_environment(
    name: str, project: Place
) -> None:
    words = [*name.split(), *ARGUMENTS.get(name, [])]
    environment = {**ACCESS, "AWS_ENDPOINT_URL": WITH_USER, "AWS_REGION": "us-east-1"}
    for more in (
        [f"--{WITH_USER}"],
        [f"--config=http://me:{SECRET}@host"],
        [LOCATORS[0]],
        [LOCATORS[0], "x"],
        [LOCATORS[1]],
        [LOCATORS[2], "x", LOCATORS[2]],
        ["x", "y", "z", LOCATORS[0]],
    ):
        if name == "demo" and not more[0].startswith("-"):
            continue  # it takes no argument
        assert_kept(project.run(*words, *more, environment=environment))


def test_e3_commands_that_reach_an_endpoint_show_none(project: Place) -> None:
    environment = {**ACCESS, "AWS_REGION": "us-east-1"}
    at = ("--endpoint-url", WITH_USER)
    for command in (
        ("tail", "dynamodb://orders", *at),
        ("tail", LOCATORS[0]),
        ("tail", LOCATORS[2]),
        ("record", "dynamodb://orders", "-o", "x.jsonl", *at),
        ("record", LOCATORS[1], "-o", "x.jsonl"),
        ("put", "orders", '{"id": "1"}', "--aws", "--yes", *at),
        ("enable-stream", "orders", "KEYS_ONLY", "--yes", *at),
        ("enable-stream", LOCATORS[0], "KEYS_ONLY", "--dry-run"),
        ("dev", "app:handlers", "--backend", WITH_USER, "--port", "0"),
        ("invoke", "app:handlers", "-e", "event.json"),
    ):
        project.write("event.json", "{}")
        app(project, "dynamodb://orders")
        assert_kept(project.run(*command, environment=environment))


@pytest.mark.parametrize(
    "text",
    [
        f"dynamodb://t?external_id={SECRET} {SECRET}'{SECRET}&region=eu",
        f"dynamodb://t?EXTERNAL%5FID={SECRET}",
        f"dynamodb://t?endpoint_url=http://me:{SECRET}/{SECRET}'@h",
        f"dynamodb://me:{SECRET}@t",
        f"sqs://q?a=https://h/%3FX-Amz-Security-Token%3D{SECRET}",
        f"file:x?session_token={SECRET}",
    ],
)
def test_e3_a_locator_is_shown_without_its_secrets_whatever_is_wrong_with_it(text: str) -> None:
    assert SECRET not in masked_locator(text)
    assert SECRET not in str(parse(text))
    assert SECRET not in repr(parse(text))
    assert parse(text).text == text
    for broken in (
        f" {text}",
        f"{text}&{text}",
        f"{text}&x",
        f"{text}${{NO}}",
        f"{text}$",
        text[8:],
    ):
        for read in (parse, lambda one: resolve(one, {})):
            try:
                read(broken)
            except LocatorError as error:
                said = f"{error.message} {error.hint}"
                assert SECRET not in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://h:8000/a@b", "http://h:8000/a@b"),
        ("http://h/?q=a@b", "http://h/?q=a@b"),
        ("see http://h/x and mail a@b", "see http://h/x and mail a@b"),
        ("sqlite:///a@b/c.db", "sqlite:///a@b/c.db"),
        ("a page token that repeats", "a page token that repeats"),
        ("key=id:S keys=kcl", "key=id:S keys=kcl"),
        ('"http://me:pw@h/"', '"http://***@h/"'),
        ("http://me:p@w@h/", "http://***@h/"),
        ("https://ghp_x@h", "https://***@h"),
        (
            "Credential=A/b, SignedHeaders=c, Signature=d",
            "Credential=***, SignedHeaders=c, Signature=***",
        ),
        ("{'external_id': 'x', 'region': 'eu'}", "{'external_id': '***', 'region': 'eu'}"),
        ("?password=a%26b&c=d", "?password=***&c=d"),
    ],
)
def test_e3_only_secrets_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_e3_members_with_the_name_of_a_secret_are_masked_at_every_depth() -> None:
    value = {"a": [{"external_id": SECRET, "region": "eu"}], "n": 1, "token": None}
    assert masked_value(value) == {
        "a": [{"external_id": "***", "region": "eu"}],
        "n": 1,
        "token": None,
    }


@pytest.mark.parametrize(
    "text", ["://a:b", "a_", "token", "'", "?", "%3f", "://", "=:@%", "'token':", '"token":"', "@"]
)
def test_e3_a_long_text_is_masked_in_linear_time(text: str) -> None:
    def seconds(length: int) -> float:
        given = f"http://{text * (length // len(text))}=@%:"
        began = time.process_time()
        masked(given)
        return time.process_time() - began

    seconds(20_000)
    assert seconds(400_000) < 40 * max(seconds(20_000), 0.01)
