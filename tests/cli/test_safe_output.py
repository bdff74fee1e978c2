"""What reaches a terminal: no command lets control characters of its input, of items or of files through."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from cli.stage import Endpoint
from cli.test_flags import NAMES, command_of
from e2e.harness import Done
from terminal import NASTY, assert_harmless, forged, unsafe

from triggerkit.core.safe_text import safe, safe_block, safe_lines, safe_with_colours, shell_word

APP = f"""\
import logging
from triggerkit import Triggers

NASTY = {NASTY!r}
handlers = Triggers("shop", maximum_retry_attempts=0, on_failure={f"file:{NASTY}.jsonl"!r})

@handlers.on("dynamodb://orders", batch_size=1)
def bill(event, context):
    print(NASTY.replace("\\n", " "))
    logging.getLogger(NASTY).error(NASTY, extra={{NASTY: NASTY}})
    raise ValueError(NASTY)
"""
PRINTS = """\
from triggerkit import Triggers
handlers = Triggers("shop")

@handlers.on("dynamodb://orders")
def bill(event, context):
    print({!r})
"""
RAISES = f"raise RuntimeError({NASTY!r})\n"
FAILURE = {
    "requestContext": {"requestId": NASTY, "condition": NASTY, "approximateInvokeCount": 1},
    "timestamp": NASTY,
    "DDBStreamBatchInfo": {"shardId": NASTY, "startSequenceNumber": NASTY, "streamArn": NASTY},
    "trigger": NASTY,
    "payload": json.dumps(
        {
            "Records": [
                {"eventName": NASTY, "dynamodb": {"Keys": {NASTY: {"S": NASTY}}}},
                {NASTY: NASTY},
            ]
        }
    ),
}


class Stage:
    """A folder with nasty files, and an endpoint with a nasty item."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.place = endpoint.place
        item = {"id": {"S": NASTY}, NASTY: {"M": {NASTY: {"N": "1"}}}}
        endpoint.emulator.call("PutItem", {"TableName": "orders", "Item": item})
        self.place.write("app.py", APP)
        self.place.write("raises.py", RAISES)
        self.place.write("failures.jsonl", f"{json.dumps(FAILURE)}\n{NASTY}\n")
        self.place.write("event.json", json.dumps({"Records": [{NASTY: NASTY}]}))
        self.place.write("bad.toml", f"[{json.dumps(NASTY)}]\n")
        self.place.write("items.json", f'{{"id": {NASTY!r}')
        self.access = {
            "AWS_ENDPOINT_URL": endpoint.link.endpoint_url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def __call__(self, *words: str) -> Done:
        """Run a command."""
        return self.place.run(*words, environment=self.access)


Case = Callable[[Stage], Iterator[Done]]
BURST = ("--burst", "--state", "memory:", "app:handlers")


def targets(*command: str) -> Case:
    """Commands that read a target and its configuration."""

    def case(run: Stage) -> Iterator[Done]:
        for target in (f"app:{NASTY}", NASTY, f"./{NASTY}.py", "raises"):
            yield run(*command, target)
        yield run(*command, "app:handlers", "--config", "bad.toml")
        yield run(*command, "app:handlers", "--set", f"bill.batch_size={NASTY}")
        yield run(*command, "app:handlers", "-t", NASTY)

    return case


def words(*command: str) -> Case:
    """Commands whose arguments are the only way in."""

    def case(run: Stage) -> Iterator[Done]:
        yield run(*command)

    return case


def _run(run: Stage) -> Iterator[Done]:
    yield from targets("run")(run)
    for log_format in ("pretty", "json"):
        yield run("run", *BURST, "--log-format", log_format, "--log-records", "full")


def _tail(run: Stage) -> Iterator[Done]:
    for form in ("text", "json"):
        yield run("tail", "dynamodb://orders", "--from-start", "--lines", "1", "-o", form)
    yield run("tail", f"dynamodb://{NASTY}")
    yield run("tail", "dynamodb://orders", "--key", f'{{"id": "{NASTY}')


def _invoke(run: Stage) -> Iterator[Done]:
    yield from targets("invoke", "-e", "event.json")(run)
    yield run("invoke", "app:handlers", "-e", "event.json")
    yield run("invoke", "app:handlers", "-e", NASTY)
    yield run("invoke", "app:handlers", "-e", "items.json")


def _failures(*command: str) -> Case:
    def case(run: Stage) -> Iterator[Done]:
        yield run(*command, "failures.jsonl")
        yield run(*command, "failures.jsonl", "--json")
        yield run(*command, f"{NASTY}.jsonl")
        yield run(*command, "app:handlers")

    return case


def _show(run: Stage) -> Iterator[Done]:
    yield from _failures("failures", "show", "1")(run)
    yield run("failures", "show", "1", "failures.jsonl", "--event")
    yield run("failures", "show", NASTY, "failures.jsonl")


def _put(run: Stage) -> Iterator[Done]:
    yield run("put", "orders", json.dumps({"id": NASTY, NASTY: NASTY}))
    yield run("put", "orders", json.dumps({NASTY: {"S": NASTY}}))
    yield run("put", "orders", NASTY)
    yield run("put", NASTY, '{"id": "1"}')
    yield run("put", "orders", "--file", "items.json")
    yield run("put", "orders", "--file", NASTY)
    yield run("put", "orders", "--delete", json.dumps({"id": "1", NASTY: "1"}))


def _record(run: Stage) -> Iterator[Done]:
    yield run("record", "dynamodb://orders", "-o", f"{NASTY}.jsonl")
    yield run("record", "dynamodb://orders", "-o", "orders.jsonl", "--redact", f"{NASTY},x")
    yield run("record", f"dynamodb://{NASTY}", "-o", "other.jsonl")
    yield run("record", "dynamodb://orders", "-o", f"no/{NASTY}/x.jsonl")


def _rename(run: Stage) -> Iterator[Done]:
    run("run", *BURST[:1], "--state", "sqlite:///state.db", "app:handlers")
    flags = ("--app", "shop", "--state", "sqlite:///state.db", "--yes")
    yield run("rename", NASTY, "new", *flags)
    yield run("rename", "bill", NASTY, *flags)
    yield run("rename", "bill", "new", "--app", NASTY, "--state", "sqlite:///state.db", "--yes")
    yield run("rename", "bill", "new", "--app", "shop", "--state", f"sqlite:///{NASTY}.db")


def _init(run: Stage) -> Iterator[Done]:
    yield run("init", "dynamodb-process-stream", NASTY, "-y")
    yield run("init", NASTY, "made", "-y")
    yield run("init", "dynamodb-process-stream", "made", "-y", "--table", NASTY)
    yield run("init", "dynamodb-process-stream", "made", "-y", "--var", f"{NASTY}={NASTY}")
    yield run("init", "--list", NASTY)


def _simulate(run: Stage) -> Iterator[Done]:
    few = ("--seeds", "1", "--writes", "2")
    yield run("simulate", "app:handlers", "-v", *few)
    for target in (f"app:{NASTY}", NASTY, "raises"):
        yield run("simulate", target, *few)
    yield run("simulate", "app:handlers", "--items", "items.json", *few)
    yield run("simulate", "app:handlers", "--cassette", "failures.jsonl", *few)
    yield run("simulate", "app:handlers", "--cassette", NASTY, *few)
    yield run("simulate", "app:handlers", "--faults", NASTY, *few)


def _generate(*command: str, flag: str) -> Case:
    def case(run: Stage) -> Iterator[Done]:
        yield run(*command, flag, NASTY)
        yield run(*command, flag, json.dumps({"id": NASTY, NASTY: NASTY}))
        yield run(*command, flag, json.dumps({NASTY: NASTY}))

    return case


def _enable(run: Stage) -> Iterator[Done]:
    for flag in ("--yes", "--dry-run"):
        yield run("enable-stream", NASTY, "KEYS_ONLY", flag)
        yield run("enable-stream", f"dynamodb://{NASTY}", "KEYS_ONLY", flag)


CASES: dict[str, Case] = {
    "check": targets("check"),
    "demo": words("demo", NASTY),
    "dev": targets("dev", "--backend", "http://127.0.0.1:9"),
    "enable-stream": _enable,
    "failures ls": _failures("failures", "ls"),
    "failures show": _show,
    "fault clear": words("fault", "clear"),
    "fault damage": words("fault", "damage", "cut", "--operation", NASTY),
    "fault delay": words("fault", "delay", NASTY),
    "fault duplicate": words("fault", "duplicate", "--shard", NASTY),
    "fault empty": words("fault", "empty", "--shard", NASTY),
    "fault expire": words("fault", "expire"),
    "fault hide": words("fault", "hide", NASTY),
    "fault lag": words("fault", "lag", NASTY),
    "fault latency": words("fault", "latency", "1", "--operation", NASTY),
    "fault log": words("fault", "log", "--operation", NASTY),
    "fault merge": words("fault", "merge", NASTY),
    "fault roll": words("fault", "roll", NASTY),
    "fault show": words("fault", "show", NASTY),
    "fault split": words("fault", "split", "orders", "--shard", NASTY),
    "fault stale": words("fault", "stale", NASTY),
    "fault throttle": words("fault", "throttle", "--operation", NASTY),
    "fault trim": words("fault", "trim", "orders", "--through", NASTY),
    "fault ttl": words("fault", "ttl", "orders", json.dumps({NASTY: NASTY})),
    "generate-event dynamodb": _generate("generate-event", "dynamodb", "insert", flag="--keys"),
    "generate-event kinesis": _generate("generate-event", "kinesis", flag="--partition-key"),
    "init": _init,
    "invoke": _invoke,
    "list": targets("list", "-v"),
    "put": _put,
    "record": _record,
    "rename": _rename,
    "run": _run,
    "simulate": _simulate,
    "tail": _tail,
}
LEAVES = [name for name in NAMES if not isinstance(command_of(name), click.Group)]


@pytest.fixture
def stage(endpoint: Endpoint) -> Stage:
    return Stage(endpoint)


def test_e1_every_command_has_a_case() -> None:
    assert sorted(CASES) == sorted(LEAVES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_e1_nothing_that_a_command_shows_acts_on_a_terminal(name: str, stage: Stage) -> None:
    shown = list(CASES[name](stage))
    assert shown
    for done in (*shown, stage(*name.split(), f"--{NASTY}"), stage(*name.split(), NASTY, NASTY)):
        assert_harmless(done.stdout)
        assert_harmless(done.stderr)
        assert "internal error" not in done.stderr, done.stderr
        assert "Fatal Python error" not in done.stderr


def test_e1_what_is_shown_still_says_what_it_was(stage: Stage) -> None:
    shown = stage("tail", "dynamodb://orders", "--from-start", "--lines", "1", "-o", "text").stdout
    assert "id=a\\u001b]0;pwned\\u0007\\u001b[31mred\\nforged" in shown
    event = stage("tail", "dynamodb://orders", "--from-start", "--lines", "1", "-o", "json").json
    assert event["dynamodb"]["Keys"]["id"]["S"] == NASTY
    record = json.loads(stage("failures", "show", "1", "failures.jsonl", "--json").stdout)
    assert record == FAILURE


def test_e1_a_traceback_has_its_lines_and_each_is_indented(stage: Stage) -> None:
    done = stage("run", *BURST, "--log-format", "pretty")
    begin = done.stderr.index("Traceback (most recent call last):")
    trace = done.stderr[done.stderr.rindex("\n", 0, begin) + 1 :].splitlines()
    assert trace[0].startswith("  ")
    assert [line for line in trace[1:4] if line.startswith("   ")] == trace[1:4]
    assert any(line.strip() == "forged" for line in trace)


def test_e1_colours_that_a_handler_prints_stay_where_colours_are_wanted_and_end_with_their_line(
    stage: Stage,
) -> None:
    stage.place.write("app.py", PRINTS.format("\x1b[35mpink\x1b[2J"))
    flags = ("--log-format", "pretty")
    coloured = stage("run", *BURST, *flags, "--color", "always").stderr
    assert "\x1b[35mpink\\u001b[2J\x1b[0m\n" in coloured
    plain = stage("run", *BURST, *flags).stderr
    assert "pink\\u001b[2J\n" in plain
    assert not unsafe(plain)


def test_e1_each_line_that_a_handler_prints_has_its_clock_and_trigger(stage: Stage) -> None:
    stage.place.write("app.py", PRINTS.format("one\n12:00:00  bill  forged\nthree"))
    shown = stage("run", *BURST, "--log-format", "pretty").stderr
    (line,) = [line for line in shown.splitlines() if line.endswith("bill  forged")]
    assert line.count("bill") == 2


def test_e1_a_command_for_copying_is_one_that_a_shell_reads_back(stage: Stage) -> None:
    import subprocess

    for text in (NASTY, "a b", "it's", "$(touch pwned)", "-n", "é", "a\udcffb", ""):
        word = shell_word(text)
        assert not unsafe(word)
        said = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
        assert said.stdout == text.encode("utf-8", "surrogateescape")
    name = "a b; touch pwned.jsonl"
    stage.place.write(name, stage.place.files["failures.jsonl"].decode())
    shown = stage("failures", "show", "1", name).stdout
    assert f"show 1 '{name}' --event" in shown
    assert not forged(shown)


@pytest.mark.parametrize(
    "text", [NASTY, "\ud800", "\U000e0041", "é\u00a0日本 👍", "\r\n", "\\u001b"]
)
def test_e1_json_that_was_made_safe_is_the_same_document(text: str) -> None:
    document = json.dumps({text: [text]}, ensure_ascii=False)
    assert json.loads(safe_lines(document)) == {text: [text]}
    assert not unsafe(safe_lines(document))


@pytest.mark.parametrize("text", [NASTY, "plain", "é\u00a0日本 👍", "a\\u001bb"])
def test_e1_what_is_safe_stays_as_it_is(text: str) -> None:
    once = safe(text)
    assert safe(once) == once == safe_lines(once)
    assert not unsafe(once)
    assert "\n" not in once
    assert not unsafe(safe_block(text))
    assert all(line.startswith("  ") for line in safe_block(text).split("\n"))
    assert not unsafe(safe_with_colours(text, colours=False))


def test_e1_commands_write_through_the_functions_that_make_text_safe() -> None:
    own = {"output.py", "main.py"}
    folder = Path(command_of.__globals__["flags"].__file__).parent
    bad = [
        f"{file.name}:{node.lineno}"
        for file in sorted(folder.glob("*.py"))
        if file.name not in own
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"click.echo", "click.secho", "print"}
    ]
    assert not bad
