"""`check`, `run` and `dev` take the same inputs: what one of them refuses, all refuse with the same words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from e2e.harness import CommandServer, Done, Place

NO_TRIGGERS = 5
USAGE = 2


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
    place.write("triggerkit.toml", case.toml)
    seen = ways(place, case)
    for name, done in seen.items():
        assert case.said in done.stderr, (name, done.code, done.stderr)
        assert error_of(done) == error_of(seen["run"]), name
    assert {name: done.code for name, done in seen.items()} == dict.fromkeys(seen, case.exit_code)
    of_dev = {".triggerkit/dev.db", ".triggerkit/dev.lock"}
    assert set(place.files) - of_dev == {"app.py", "triggerkit.toml"}
