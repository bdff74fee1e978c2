"""Every command's flags and help, looked at by walking the commands."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from typing import get_args

import click
import pytest
from click.core import ParameterSource
from click.testing import CliRunner

from triggerkit.cli import flags
from triggerkit.cli.main import COMMANDS, cli
from triggerkit.invokers.calls import ShownRecords
from triggerkit.runtime.colours import choose_colours, chosen_colours
from triggerkit.runtime.logs import LogFormat, LogLevel

ARGUMENTS = {
    "enable-stream": ["orders", "KEYS_ONLY"],
    "failures show": ["1"],
    "fault damage": ["cut"],
    "fault delay": ["1"],
    "fault hide": ["shardId-1"],
    "fault lag": ["1"],
    "fault latency": ["1"],
    "fault merge": ["clicks"],
    "fault roll": ["orders"],
    "fault show": ["shardId-1"],
    "fault split": ["orders"],
    "fault trim": ["orders"],
    "fault ttl": ["orders", "{}"],
    "generate-event dynamodb": ["insert"],
    "put": ["orders", "{}"],
    "invoke": ["app", "-e", "event.json"],
    "record": ["dynamodb://orders", "-o", "orders.jsonl.gz"],
    "rename": ["old", "new"],
    "tail": ["dynamodb://orders"],
}
HEAVY = (
    "asyncio",
    "httptools",
    "boto3",
    "botocore",
    "msgspec",
    "pydantic",
    "rich",
    "sqlite3",
    "structlog",
)
CPU_SECONDS = 0.15


TYPED_ONLY = {
    ("enable-stream", "--off"),
    ("dev", "--aws"), ("dev", "--fresh"), ("put", "--aws"), ("put", "--delete"), ("tail", "--aws"),
    ("init", "--list"), ("init", "--enabled"), ("record", "--aws"), ("record", "--force"),
    ("record", "--output"),
}  # fmt: skip
"""These have no variable: one that is forgotten in a shell would reach AWS or throw data away, or
say what `init` is to do where it was typed for something else; `--output` of `tail` is a form."""


def command_of(name: str) -> click.Command:
    """A command, or with a blank in its name one of a group."""
    found: click.Command | None = cli
    for part in name.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), part)
    assert found is not None
    return found


def every_name() -> list[str]:
    names = []
    for name in sorted(COMMANDS):
        found = command_of(name)
        names.append(name)
        if isinstance(found, click.Group):
            names += [f"{name} {inner}" for inner in found.list_commands(click.Context(found))]
    return names


def options_of(name: str) -> list[click.Option]:
    return [param for param in command_of(name).params if isinstance(param, click.Option)]


@pytest.fixture(autouse=True)
def same_colours() -> Iterator[None]:
    """What `--color` says holds for a process."""
    yield
    choose_colours("auto")


NAMES = every_name()
EVERY_OPTION = [(name, option) for name in NAMES for option in options_of(name)]


@pytest.mark.parametrize(
    ("name", "option"),
    EVERY_OPTION,
    ids=lambda value: value.name if hasattr(value, "name") else value,
)
def test_a_flag_can_be_given_by_its_variable(
    name: str, option: click.Option, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = max(option.opts, key=len)
    assert long.startswith("--")
    variable = "TRIGGERKIT_" + long[2:].replace("-", "_").upper()
    if long == "--set":  # the settings read it, so that a mistake is told with the variable's name
        assert "[env var: TRIGGERKIT_SET]" in (option.help or "")
        return
    if (name, long) in TYPED_ONLY:
        assert option.envvar is None
        return
    assert option.envvar == variable
    value, expected = sample(option)
    monkeypatch.setenv(variable, value)
    given = [part for part in ARGUMENTS.get(name, []) if part not in {"-e", "event.json"}]
    if name == "invoke" and long != "--event":
        given += ["--event", "event.json"]
    context = command_of(name).make_context(name, given)
    assert option.name is not None
    assert context.get_parameter_source(option.name) is ParameterSource.ENVIRONMENT
    if long == "--color":  # no parameter of the command: it holds for the whole process
        assert chosen_colours() == expected
        return
    assert context.params[option.name] == expected


def sample(option: click.Option) -> tuple[str, object]:
    """What the variable may hold, and what the command gets."""
    if option.is_flag:
        return "1", True
    if option.multiple:
        return "one two", ("one", "two")
    if isinstance(option.type, click.Choice):
        return option.type.choices[-1], option.type.choices[-1]
    if isinstance(option.type, click.FloatRange):
        return "2.5", 2.5
    if isinstance(option.type, click.IntRange):
        return "3", 3
    return "text", "text"


def test_a_variable_means_the_same_for_every_command() -> None:
    kinds: dict[str, set[tuple[bool, bool]]] = {}
    for _, option in EVERY_OPTION:
        kinds.setdefault(max(option.opts, key=len), set()).add((option.is_flag, option.multiple))
    assert {name: kind for name, kind in kinds.items() if len(kind) > 1} == {}


def test_the_choices_are_those_of_the_code_behind_them() -> None:
    assert get_args(LogFormat) == flags.LOG_FORMATS
    assert get_args(LogLevel) == flags.LOG_LEVELS
    assert get_args(ShownRecords) == flags.SHOWN_RECORDS


@pytest.mark.parametrize("name", NAMES)
def test_help_is_one_screen_wide_and_ends_with_examples_that_can_be_run(name: str) -> None:
    shown = CliRunner().invoke(cli, [*name.split(), "--help"], prog_name="triggerkit")
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= 100
    examples = shown.output.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert len(examples) >= 2 or " " in name  # those of the group are enough
    for line in examples:
        for part in line.split("|"):
            words = part.split("   ")[0].strip() if part.strip().startswith("tr") else ""
            if words:
                assert_it_parses(words.split()[1:])
    for option in options_of(name):
        assert option.help, option.opts


def assert_it_parses(arguments: list[str]) -> None:
    name, *rest = arguments
    command_of(name).make_context(name, rest)


def test_the_first_page_names_every_command_in_a_line() -> None:
    shown = CliRunner().invoke(cli, ["--help"], prog_name="triggerkit").output
    section = shown.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in section] == sorted(COMMANDS)
    assert "Exit codes:" in shown


@pytest.mark.parametrize("arguments", [["--help"], *([*name.split(), "--help"] for name in NAMES)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    probe = (
        "import sys\nfrom triggerkit.cli.main import cli\n"
        f"cli.main({arguments!r}, standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_help_costs_little() -> None:
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "triggerkit", "--help"],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONWARNINGS": ""},
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(spent) < CPU_SECONDS, spent
