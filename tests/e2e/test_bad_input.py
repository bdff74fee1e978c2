"""Bad input: the message names the thing and the fix, the code is the listed one, nothing is touched."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from e2e.harness import Place

from triggerkit.core.options import OPTION_NAMES, MappingOptions

USAGE, SOURCE, STATE, NO_TRIGGERS = 2, 3, 4, 5
HEAD = "from triggerkit import Triggers\nhandlers = Triggers('shop')\n"


def trigger(options: str = "", source: str = "dynamodb://orders", body: str = "pass") -> str:
    return (
        f"{HEAD}@handlers.on({source!r}{', ' + options if options else ''})\n"
        f"def bill(event, context): {body}\n"
    )


@dataclass(frozen=True)
class Case:
    """One mistake: files over the usual `app.py`, a command, and what has to be said."""

    name: str
    says: tuple[str, ...]
    arguments: tuple[str, ...] = ("run", "app:handlers")
    code: int = USAGE
    files: dict[str, str] = field(default_factory=dict)
    silent: tuple[str, ...] = ("Traceback",)


TARGETS = (
    Case("a missing module", ("no module 'ap'", "did you mean app?"), ("run", "ap:handlers")),
    Case(
        "a missing attribute",
        ("module app has no attribute 'handler'", "did you mean handlers?"),
        ("run", "app:handler"),
    ),
    Case("an attribute of another kind", ("is a str", "Triggers"), ("run", "app:__name__")),
    Case("a missing file", ("sub/app.py does not exist",), ("run", "sub/app.py")),
    Case("a module without triggers", ("has no Triggers",), files={"app.py": "x = 1\n"}, arguments=("run", "app")),
    Case("a template", ("not available in this version",), ("run", "template.yaml")),
    Case("no target", ("no TARGET", "app:handlers"), ("run",)),
    Case(
        "a module that needs another",
        ("app.py, line 1 needs the module 'not_there_either'", "install it"),
        files={"app.py": "import not_there_either\n"},
    ),
    Case(
        "a module that raises",
        ('app.py", line 2', "RuntimeError: no database", "importing app raised", "correct the module"),
        files={"app.py": "def connect():\n    raise RuntimeError('no database')\nconnect()\n"},
        silent=("triggerkit/", "importlib"),
    ),
    Case(
        "a module that is no Python",
        ("SyntaxError", 'app.py", line 1', "importing app raised"),
        files={"app.py": "def :\n"},
        silent=("triggerkit/", "importlib"),
    ),
    Case(
        "a module that exits",
        ("importing app raised SystemExit: 3",),
        files={"app.py": "raise SystemExit(3)\n"},
        silent=("triggerkit/",),
    ),
    Case("no trigger", ("declares no trigger", "@handlers.on"), code=NO_TRIGGERS, files={"app.py": HEAD}),
    Case("a glob without a match", ("-t 'bil' matches no trigger", "did you mean bill?"),
         ("run", "app:handlers", "-t", "bil"), NO_TRIGGERS),
    Case("everything excluded", ("leave no trigger", "bill"),
         ("run", "app:handlers", "--exclude", "b*"), NO_TRIGGERS),
    Case("everything disabled", ("every selected trigger is disabled", "enabled = true"),
         ("run", "app:handlers", "--state", "memory:", "--set", "bill.enabled=false"), NO_TRIGGERS),
    Case(
        "a handler with a wrong signature",
        ("app.bill", "handler(event, context)", "def NAME(event, context)", "app.py, line 3"),
        files={"app.py": f"{HEAD}@handlers.on('dynamodb://orders')\ndef bill(event): pass\n"},
    ),
    Case(
        "a handler that is a generator",
        ("is a generator", "return instead of yield"),
        files={"app.py": trigger(body="yield 1")},
    ),
    Case(
        "two triggers with one name",
        ("two triggers are named 'bill'", "name=...", "app.py, line 5"),
        files={"app.py": trigger() + "@handlers.on('dynamodb://users')\ndef bill(event, context): pass\n"},
    ),
    Case(
        "a name that no key may have",
        ("trigger name 'a:b' is not allowed", "letters"),
        files={"app.py": trigger("name='a:b'")},
    ),
    Case(
        "a timeout on a sync handler",
        ("trigger 'bill': timeout=5 on a sync handler", "async def"),
        files={"app.py": trigger("timeout=5.0")},
    ),
)  # fmt: skip

LOCATORS = (
    Case("an unknown scheme of a source", ("no source has the scheme 'dynamo'", "did you mean dynamodb?"),
         ("run", "app:handlers", "--state", "memory:"), files={"app.py": trigger(source="dynamo://orders")}),
    Case("an unknown scheme of the state", ("no state has the scheme 'postgres'", "known: memory, sqlite"),
         ("run", "app:handlers", "--state", "postgres://db")),
    Case("an unknown key of a locator", ("unknown key 'regoin'", "region"),
         ("run", "app:handlers", "--state", "memory:"), files={"app.py": trigger(source="dynamodb://orders?regoin=x")}),
    Case("an unknown key of the state", ("unknown key 'wal'", "busy_timeout_seconds"),
         ("run", "app:handlers", "--state", "sqlite:///state.db?wal=1")),
    Case("a variable that is not set", ("trigger 'bill'", "${PREFIX} is not set", "export PREFIX="),
         files={"app.py": trigger(source="dynamodb://${PREFIX}orders")}),
    Case("a dollar that begins no variable", ("a $ that begins no variable",),
         files={"app.py": trigger(source="dynamodb://$PREFIX")}),
    Case("a source without a scheme", ("'orders' has no scheme", "dynamodb://orders"),
         files={"app.py": trigger(source="orders")}),
    Case("an ARN of something else", ("no source has the scheme",),
         files={"app.py": trigger(source="arn:aws:ec2:eu-west-1:1:instance/i-1")}),
    Case("one source twice", ("is the same source as",),
         ("run", "app:handlers", "--state", "memory:"),
         files={"triggerkit.toml": "[triggers.bill]\nsources = ['dynamodb://orders', 'dynamodb://orders?transport=fast']\n"}),
)  # fmt: skip

CONFIGURATION = (
    Case("a file that is not TOML", ("triggerkit.toml is not TOML", "line 1"),
         files={"triggerkit.toml": "a = = 1"}),
    Case("an unknown key", ("triggerkit.toml: unknown key 'targe'", "did you mean target?"),
         files={"triggerkit.toml": "targe = 'app'\n"}),
    Case("an unknown option in a table", ("[triggers.bill]: unknown option 'batchsize'", "batch_size"),
         files={"triggerkit.toml": "[triggers.bill]\nbatchsize = 1\n"}),
    Case("a table of no trigger", ("[triggers.bil]: no such trigger", "did you mean bill?"),
         files={"triggerkit.toml": "[triggers.bil]\nbatch_size = 1\n"}),
    Case("an option of a wrong type, with its table", ("batch_size='ten' (from triggerkit.toml [triggers.bill])",),
         files={"triggerkit.toml": "[triggers.bill]\nbatch_size = 'ten'\n"}),
    Case("an environment that has no table", ("no [env.prod] for --env prod", "known: staging"),
         ("run", "app:handlers", "--env", "prod"), files={"triggerkit.toml": "[env.staging]\napp = 's'\n"}),
    Case("a file that is missing", ("no.toml does not exist", "--config"),
         ("run", "app:handlers", "--config", "no.toml")),
    Case("two files", ("hold configuration", "--config FILE"),
         files={"triggerkit.toml": "app = 'a'\n", "pyproject.toml": "[tool.triggerkit]\napp = 'b'\n"}),
    Case("an env file that is missing", (".env does not exist", "--env-file"),
         ("run", "app:handlers", "--env-file", ".env")),
    Case("an env file with a bad line", (".env, line 2: not NAME=value",),
         ("run", "app:handlers", "--env-file", ".env"), files={".env": "A=1\nB\n"}),
    Case("an app name that no key may have", ("app 'a:b' is not allowed",),
         ("run", "app:handlers", "--app", "a:b")),
)  # fmt: skip

FLAGS = (
    Case("an unknown flag", ("No such option", "--brust", "--burst"), ("run", "app:handlers", "--brust")),
    Case("an unknown command", ("No such command 'runn'", "did you mean run?"), ("runn",)),
    Case("a flag of another version", ("No such option", "--workers"), ("run", "app:handlers", "--workers", "4")),
    Case("a bad choice", ("'loud' is not one of", "debug"), ("run", "app:handlers", "--log-level", "loud")),
    Case("a negative drain timeout", ("--drain-timeout", "x>=0"), ("run", "app:handlers", "--drain-timeout", "-1")),
    Case("a --set that is no assignment", ("--set bill: not NAME.OPTION=VALUE", "notify.batch_size=10"),
         ("run", "app:handlers", "--set", "bill")),
    Case("a --set of no trigger", ("--set bil.batch_size=1: no trigger is named 'bil'", "did you mean bill?"),
         ("run", "app:handlers", "--set", "bil.batch_size=1")),
    Case("a --set of no option", ("unknown option 'batchsize'", "did you mean"),
         ("run", "app:handlers", "--set", "bill.batchsize=1")),
    Case("an option in the decorator that does not exist",
         ("trigger 'bill': unknown option 'batch'", "app.py, line"),
         files={"app.py": trigger("batch=1")}),
    Case("a view type that does not exist", ("'EVERYTHING' is not one of", "NEW_AND_OLD_IMAGES"),
         ("enable-stream", "orders", "EVERYTHING")),
    Case("a stream of something else", ("is not a DynamoDB table", "dynamodb://NAME"),
         ("enable-stream", "kinesis://orders", "KEYS_ONLY")),
)  # fmt: skip

EVENTS = (
    Case("an event file that is missing", ("event file 'no.json' cannot be read: No such file", "stdin"),
         ("invoke", "app:handlers", "-e", "no.json")),
    Case("an event file that is not JSON", ("event file 'bad.json' is not JSON", "line 1 column 2"),
         ("invoke", "app:handlers", "-e", "bad.json"), files={"bad.json": "{"}),
    Case("a stdin that is not JSON", ("event file stdin is not JSON",), ("invoke", "app:handlers", "-e", "-")),
    Case("no event file", ("no --event and no --failure", "-e FILE"), ("invoke", "app:handlers")),
    Case("no such trigger", ("-t 'bil' matches no trigger", "did you mean bill?"),
         ("invoke", "app:handlers", "-t", "bil", "-e", "-"), NO_TRIGGERS),
    Case("no name where there are several", ("several triggers", "bill, greet"),
         ("invoke", "app:handlers", "-e", "-"),
         files={"app.py": trigger() + "@handlers.on('dynamodb://users')\ndef greet(event, context): pass\n"}),
)  # fmt: skip

OUT_OF_RANGE = {
    "batch_size": ("0", "10001"),
    "maximum_batching_window_in_seconds": ("-1", "301"),
    "starting_position": ("NOW",),
    "starting_position_timestamp": ("-1",),
    "parallelization_factor": ("0", "11"),
    "maximum_retry_attempts": ("-2", "10001"),
    "maximum_record_age_in_seconds": ("-2", "59", "604801"),
    "bisect_batch_on_function_error": ("1",),
    "report_batch_item_failures": ("'yes'",),
    "on_failure": ("''", "1"),
    "enabled": ("'no'",),
    "timeout": ("0", "-1"),
    "maximum_concurrency": ("0", "1001"),
    "state": ("''",),
    "on_invalid": ("skip", "3"),
    "idle_poll_seconds": ("0.2", "301"),
    "checkpoint_interval_seconds": ("-1", "301"),
}
"""Values just outside of what an option may be, for every option."""


@pytest.mark.parametrize(
    "case",
    [*TARGETS, *LOCATORS, *CONFIGURATION, *FLAGS, *EVENTS],
    ids=lambda case: case.name.replace(" ", "_"),
)
def test_a_mistake_is_named_with_its_fix_and_nothing_is_touched(case: Case, place: Place) -> None:
    for name, text in case.files.items():
        place.write(name, text)
    before = place.files
    done = place.run(*case.arguments)
    assert done.code == case.code, done.stderr
    missing = [words for words in case.says if words not in done.stderr]
    assert not missing, done.stderr
    assert not [words for words in case.silent if words in done.stderr], done.stderr
    assert "fix: " in done.stderr or "Usage: " in done.stderr or "Error: " in done.stderr
    assert done.stdout == ""
    assert place.files == before


@pytest.mark.parametrize("option", OPTION_NAMES)
def test_an_option_out_of_its_range_is_refused_with_the_range(option: str, place: Place) -> None:
    before = place.files
    for value in OUT_OF_RANGE[option]:
        done = place.run("run", "app:handlers", "--set", f"bill.{option}={value}")
        assert done.code == USAGE, (value, done.stderr)
        assert f"trigger 'bill': {option}=" in done.stderr, (value, done.stderr)
        assert f"(from --set bill.{option}={value})" in done.stderr
        assert f"fix: {option}: {MappingOptions.model_fields[option].description}" in done.stderr
    assert place.files == before


def test_a_start_at_a_time_is_refused_where_the_source_has_none(place: Place) -> None:
    assignments = ["starting_position=AT_TIMESTAMP", "starting_position_timestamp=1000"]
    flags = [word for each in assignments for word in ("--set", f"bill.{each}")]
    for command in ("run", "check"):
        done = place.run(command, "app:handlers", *flags)
        assert done.code == USAGE
        assert "trigger 'bill': starting_position='AT_TIMESTAMP' (from --set bill." in done.stderr
        assert "fix: use LATEST or TRIM_HORIZON" in done.stderr


@pytest.mark.parametrize(
    "option", ["filters", "tumbling_window_in_seconds", "FilterCriteria", "Topics"]
)
def test_what_lambda_has_and_this_version_has_not_is_refused(option: str, place: Place) -> None:
    done = place.run("run", "app:handlers", "--set", f"bill.{option}=5")
    assert done.code == USAGE
    assert f"{option} is not supported yet" in done.stderr
    assert f"fix: leave {option} out" in done.stderr


@pytest.mark.parametrize("scheme", ["sqs", "sns", "s3"])
def test_a_destination_that_this_version_does_not_have_is_refused(
    scheme: str, place: Place
) -> None:
    done = place.run("run", "app:handlers", "--set", f"bill.on_failure={scheme}://failures")
    assert done.code == USAGE
    assert f"no on_failure destination has the scheme '{scheme}'" in done.stderr
    assert "known: file" in done.stderr


def test_state_that_would_die_with_its_container_is_refused(place: Place) -> None:
    before = place.files
    for command in ("run", "check"):
        done = place.run(
            command, "app:handlers", environment={"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
        )
        assert done.code == STATE
        assert "inside a container (KUBERNETES_SERVICE_HOST is set)" in done.stderr
        assert "--state sqlite:////MOUNTED/state.db" in done.stderr
    assert place.files == before


def test_the_same_words_come_from_a_process_that_starts_from_nothing(place: Place) -> None:
    done = place.python_m("run", "ap:handlers")
    assert (done.code, done.stdout) == (USAGE, "")
    assert "did you mean app?" in done.stderr
