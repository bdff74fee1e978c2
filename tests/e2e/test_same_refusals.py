"""`check`, `run` and `dev` take the same inputs: what one of them refuses, all refuse with the same words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from e2e.harness import DUMMY_ACCESS, CommandServer, Done, Place
from emulator.kit import TABLE, stream_on
from sources.scripted_server import Misbehaviour, ScriptedServer

from triggerkit.emulator import Emulator

NO_TRIGGERS = 5
USAGE = 2
SOURCE = 3
STATE = 4
KEPT_NOWHERE = "state = 'memory:'\n"
TRIGGERS = "from triggerkit import Triggers\nhandlers = Triggers('shop')\n"


def app(options: str = "", source: str = "dynamodb://orders", more: str = "") -> str:
    return (
        "from triggerkit import Change, Triggers\nhandlers = Triggers('shop')\n"
        f"@handlers.on('{source}', {options})\ndef bill(event, context): pass\n{more}"
    )


@dataclass(frozen=True)
class Case:
    """One bad input: the files that differ from a good project, more words, and what is said."""

    name: str
    said: str
    code: str = field(default_factory=app)
    toml: str = ""
    pyproject: str = ""
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    exit_code: int = USAGE


def trigger(table: str) -> str:
    return f"[triggers.bill]\n{table}\n"


CASES = (
    Case("an unknown key at the top", "unknown key 'targe'", toml="targe = 'app'\n"),
    Case("an unknown table", "unknown key 'trigger'", toml="[trigger.bill]\nbatch_size = 1\n"),
    Case("an unknown option", "unknown option 'batchsize'", toml=trigger("batchsize = 1")),
    Case("a value out of range", "batch_size=0", toml=trigger("batch_size = 0")),
    Case("a value of a wrong type", "batch_size='ten'", toml=trigger("batch_size = 'ten'")),
    Case("a value of another world", "on_invalid='skip'", toml=trigger("on_invalid = 'skip'")),
    Case("an option of another version", "is not supported yet", toml=trigger("filters = ['{}']")),
    Case("a trigger that does not exist", "no such trigger", toml="[triggers.bil]\nbatch_size = 1\n"),
    Case("defaults that are wrong", "unknown option 'x'", toml="[defaults]\nx = 1\n"),
    Case("an unknown key of dev", "[dev]: unknown key 'table'", toml="[dev.table.orders]\nkey = 'id:S'\n"),
    Case("an unknown key of a dev table", "unknown key 'keys'",
         toml="[dev.tables.orders]\nkey = 'id:S'\nkeys = 'id:S'\n"),
    Case("a key of a dev table", "key 'id' cannot be read", toml="[dev.tables.orders]\nkey = 'id'\n"),
    Case("a view type of a dev table", "view_type 'ALL'",
         toml="[dev.tables.orders]\nkey = 'id:S'\nview_type = 'ALL'\n"),
    Case("a name of a dev table", "[dev.tables.", toml="[dev.tables.ab]\nkey = 'id:S'\n"),
    Case("an unknown scheme of a source", "no source has the scheme 'dynamo'", app(source="dynamo://orders")),
    Case("an unknown key of a source", "unknown key 'regoin'", app(source="dynamodb://orders?regoin=x")),
    Case("a transport that does not exist", "transport 'quick'", app(source="dynamodb://orders?transport=quick")),
    Case("an endpoint that is no URL", "endpoint_url='localhost:8000'",
         app(source="dynamodb://orders?endpoint_url=localhost:8000")),
    Case("a Region that is none", "region='eu west'", app(source="dynamodb://orders?region=eu%20west")),
    Case("a role that is none", "role_arn='admin'", app(source="dynamodb://orders?role_arn=admin")),
    Case("an external id alone", "external_id without role_arn", app(source="dynamodb://orders?external_id=x")),
    Case("a Region beside an ARN", "differs from the ARN's",
         app(source="arn:aws:dynamodb:eu-west-1:111111111111:table/orders?region=us-east-1")),
    Case("an ARN of something else", "no source has the scheme 'ec2'",
         app(source="arn:aws:ec2:eu-west-1:1:instance/i-1")),
    Case("a source without a scheme", "has no scheme", app(source="orders")),
    Case("a variable that is not set", "${PREFIX} is not set", app(source="dynamodb://${PREFIX}orders")),
    Case("a variable that is not set, in on_failure", "${PREFIX} is not set",
         app("on_failure='file:${PREFIX}x'")),
    Case("a variable that is not set, in the state", "${PREFIX} is not set",
         toml="state = 'sqlite:///${PREFIX}.db'\n"),
    Case("an on_failure of no kind", "no on_failure destination has the scheme 'fil'", app("on_failure='fil:x'")),
    Case("an on_failure with keys", "unknown key 'mode'", app("on_failure='file:x?mode=1'")),
    Case("an unknown scheme of the state", "no state has the scheme 'postgres'", toml="state = 'postgres://db'\n"),
    Case("an unknown key of the state", "unknown key 'wal'", toml="state = 'sqlite:///state.db?wal=1'\n"),
    Case("a value of a key of the state", "synchronous='never'",
         toml="state = 'sqlite:///state.db?synchronous=never'\n"),
    Case("a state of one trigger", "no state has the scheme 'redis'", app("state='redis://x'")),
    Case("a state of a trigger that is disabled", "no state has the scheme 'redis'",
         app("state='redis://x', enabled=False",
             more="@handlers.on('dynamodb://users')\ndef other(event, context): pass\n")),
    *(
        Case(f"a table name that is {name}", "is no name of a table", app(source=f"dynamodb://{table}"))
        for name, table in {"empty": "", "too short": "ab", "too long": "a" * 256, "of two words": "or%20ders",
                            "a path": "or/ders", "not ASCII": "ordérs"}.items()
    ),
    Case("a table name of an ARN", "'ab' is no name of a table",
         app(source="arn:aws:dynamodb:eu-west-1:111111111111:table/ab")),
    Case("an ARN of an index", "is no ARN of a DynamoDB stream",
         app(source="arn:aws:dynamodb:eu-west-1:111111111111:table/orders/index/x")),
    Case("a variable that is cut off", "${orders", app(source="dynamodb://${orders")),
    Case("a source twice", "is given twice", app(source="dynamodb://orders', 'dynamodb://orders")),
    Case("a source that is no text", "source 5 is not text",
         f"{TRIGGERS}@handlers.on(5)\ndef bill(event, context): pass\n"),
    Case("no source", "has no source", f"{TRIGGERS}@handlers.on()\ndef bill(event, context): pass\n"),
    Case("sources that are no list", "sources", toml=trigger("sources = 5")),
    Case("an option of pyproject.toml", "[tool.triggerkit.triggers.bill]: unknown option 'batchsize'",
         pyproject="[tool.triggerkit.triggers.bill]\nbatchsize = 1\n"),
    Case("a value of pyproject.toml", "batch_size='x' (from pyproject.toml",
         pyproject="[tool.triggerkit.triggers.bill]\nbatch_size = 'x'\n"),
    Case("a pyproject.toml that is no TOML", "pyproject.toml is not TOML", pyproject="[tool.triggerkit\n"),
    Case("a pyproject.toml with a number for our table", "triggerkit is not a table",
         pyproject="[tool]\ntriggerkit = 5\n"),
    Case("two configurations", "hold configuration",
         toml="app = 'a'\n", pyproject="[tool.triggerkit]\napp = 'b'\n"),
    Case("a triggerkit.toml that is no TOML", "triggerkit.toml is not TOML", toml="app = \n"),
    Case("an option that no --set has", "--set bill: not NAME.OPTION=VALUE", flags=("--set", "bill")),
    Case("a --set of another trigger", "no trigger is named 'bil'", flags=("--set", "bil.batch_size=1")),
    Case("a --set out of range", "batch_size=0 (from --set", flags=("--set", "bill.batch_size=0")),
    Case("a true for a number", "batch_size=True", app("batch_size=True")),
    Case("a starting position that does not exist", "starting_position='NOW'", app("starting_position='NOW'")),
    Case("a starting position without its time", "needs starting_position_timestamp",
         app("starting_position='AT_TIMESTAMP'")),
    Case("a name that cannot be kept", "trigger name 'a b' is not allowed", app("name='a b'")),
    Case("a handler that is no function", "5 is not a function",
         f"{TRIGGERS}handlers.on('dynamodb://orders')(5)\n"),
    Case("a handler that is a class", "cannot be called as handler(event, context)",
         f"{TRIGGERS}@handlers.on('dynamodb://orders')\nclass bill: pass\n"),
    Case("a handler without parameters", "cannot be called as handler(event, context)",
         f"{TRIGGERS}@handlers.on('dynamodb://orders')\ndef bill(): pass\n"),
    Case("a handler that is a generator", "is a generator",
         f"{TRIGGERS}@handlers.on('dynamodb://orders')\nasync def bill(event, context): yield 1\n"),
    Case("a decorator without its sources", "declares nothing",
         f"{TRIGGERS}@handlers.on\ndef bill(event, context): pass\n"),
    Case("on_failure that is a folder", "it is a folder, not a file",
         app("on_failure='file:.'"), toml=KEPT_NOWHERE),
    Case("on_failure under a file", "is a file, not a folder",
         app("on_failure='file:app.py/x'"), toml=KEPT_NOWHERE),
    Case("on_failure in a queue", "has the scheme 'sqs'", app("on_failure='arn:aws:sqs:eu-west-1:111111111111:q'")),
    Case("a state that is a folder", "it is a folder, not a file", toml="state = 'sqlite:///.'\n", exit_code=STATE),
    Case("a state under a file", "is a file, not a folder",
         toml="state = 'sqlite:///app.py/x.db'\n", exit_code=STATE),
    Case("a state without a path", "has no path of a file", toml="state = 'sqlite://'\n"),
    Case("a state that is no text", "state is not text", toml="state = 5\n"),
    Case("two triggers of one name", "two triggers are named 'bill'",
         app(more="@handlers.on('dynamodb://users')\ndef bill(event, context): pass\n")),
    Case("a type that does not exist", "cannot be resolved",
         app(more="@handlers.each('dynamodb://users')\ndef typed(change: 'Change[Missing]'): pass\n")),
    Case("a type that nothing can be read into", "cannot be read from an item",
         app(more="from dataclasses import dataclass\n@dataclass\nclass Bad:\n    x: Triggers\n"
                  "@handlers.each('dynamodb://users')\ndef typed(change: Change[Bad]): pass\n")),
    Case("a timeout on a sync handler", "timeout=5", app("timeout=5.0")),
    Case("an option of the decorator", "unknown option 'batchsize'", app("batchsize=5")),
    Case("an environment that has no table", "no [env.prod]", toml="[env.staging]\napp = 's'\n",
         flags=("--env", "prod")),
    Case("all triggers disabled", "every selected trigger is disabled", app("enabled=False"),
         exit_code=NO_TRIGGERS),
    Case("no trigger", "declares no trigger", "from triggerkit import Triggers\nhandlers = Triggers('x')\n",
         exit_code=NO_TRIGGERS),
    Case("a module that raises", "importing app raised", "1 / 0\n"),
    Case("a module that is no Python", "importing app raised SyntaxError", "def (:\n"),
    Case("a module that exits", "importing app raised SystemExit", "raise SystemExit(3)\n"),
    Case("a module that is not installed", "needs the module 'nosuchmodule'", "import nosuchmodule\n"),
    Case("a target that is something else", "handlers is a int, not a Triggers", "handlers = 5\n"),
    Case("a target that is not there", "has no attribute 'handlers'", "x = 5\n"),
    Case("an app that is no name", "app 'a:b' is not allowed", toml="app = 'a:b'\n"),
)  # fmt: skip


@pytest.fixture(scope="module")
def commands() -> Iterator[CommandServer]:
    """One for all cases."""
    server = CommandServer()
    yield server
    server.close()


def error_of(done: Done) -> list[str]:
    """The error and its hint, as every command shows them."""
    return [
        line for line in done.stderr.splitlines() if line.startswith(("triggerkit: ", "  fix: "))
    ]


def ways(place: Place, case: Case) -> dict[str, Done]:
    commands = {
        "check": ("check", "app:handlers"),
        "run": ("run", "app:handlers", "--burst"),
        "dev": ("dev", "app:handlers", "--port", "0", "--no-reload"),
    }
    environment = {"AWS_REGION": "eu-west-1", **case.environment}
    return {
        name: place.run(*words, *case.flags, environment=environment)
        for name, words in commands.items()
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_d3_what_one_of_them_refuses_all_refuse_with_the_same_words(
    case: Case, tmp_path: Path, commands: CommandServer
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    place = Place(folder, commands)
    place.write("app.py", case.code)
    if case.toml or not case.pyproject:
        place.write("triggerkit.toml", case.toml)
    if case.pyproject:
        place.write("pyproject.toml", case.pyproject)
    before = set(place.files)
    seen = ways(place, case)
    for name, done in seen.items():
        assert case.said in done.stderr, (name, done.code, done.stderr)
        assert error_of(done) == error_of(seen["run"]), name
    assert {name: done.code for name, done in seen.items()} == dict.fromkeys(seen, case.exit_code)
    of_dev = {".triggerkit/dev.db", ".triggerkit/dev.lock"}
    assert set(place.files) - of_dev == before


# --- endpoints ------------------------------------------------------------------------------------

OTHER_SERVICE = {"Buckets": [], "Owner": {"DisplayName": "me"}}


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("DescribeTable", Misbehaviour.HTML),
        ("DescribeStream", Misbehaviour.HTML),
        ("ListStreams", Misbehaviour.HTML),
        ("ListStreams", Misbehaviour.STATUS_401),
        ("ListStreams", Misbehaviour.STATUS_404),
        ("ListStreams", Misbehaviour.EMPTY_BODY),
        ("ListStreams", Misbehaviour.JSON_LIST),
        ("ListStreams", Misbehaviour.REDIRECT),
        ("ListStreams", OTHER_SERVICE),
    ],
    ids=lambda one: one.name if isinstance(one, Misbehaviour) else one,
)
def test_d3_an_endpoint_that_answers_otherwise_is_refused_by_check_and_run_alike(
    operation: str, answer: Misbehaviour | dict[str, object], place: Place
) -> None:
    """`dev` asks no endpoint but its own."""
    emulator = Emulator(seed=1)
    emulator.call("CreateTable", {**TABLE, **stream_on()})
    place.write("app.py", app())
    with ScriptedServer(emulator) as server:
        if isinstance(answer, Misbehaviour):
            server.misbehave(answer, operation)
        else:
            server.reply(operation, answer, times=None)
        place.environment |= {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": server.endpoint_url}
        before = place.files
        seen = {
            name: place.run(*words, "app:handlers", "--state", place.state)
            for name, words in {"check": ("check", "--aws"), "run": ("run", "--burst")}.items()
        }
        for name, done in seen.items():
            assert done.code == SOURCE, (name, done.stderr)
            assert operation in done.stderr
            assert "orders" in done.stderr
            assert "endpoint" in done.stderr.partition("  fix: ")[2]
            assert "Traceback" not in done.stderr
        assert error_of(seen["check"]) == error_of(seen["run"])
        assert place.files == before
