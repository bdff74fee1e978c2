"""Flags that several commands share.

The variable of a flag is its name in capitals after `TRIGGERKIT_`, for every command the same:
`--log-level` is `TRIGGERKIT_LOG_LEVEL`. Nothing heavy is imported here: `--help` needs flags only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import click

from triggerkit.errors import nearest
from triggerkit.runtime.colours import COLOUR_CHOICES, ColourChoice, choose_colours, forced_colours

F = TypeVar("F", bound=Callable[..., Any])
Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

MOST_LINES = 10_000
LOG_FORMATS = ("auto", "pretty", "json")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
SHOWN_RECORDS = ("none", "keys", "full")


def variable(flag: str) -> str:
    """The environment variable of a flag such as `--log-level`."""
    return "TRIGGERKIT_" + flag.lstrip("-").replace("-", "_").upper()


def flag(name: str, *more: str, **settings: Any) -> Callable[[F], F]:
    """A click option with its variable; `name` is the long form."""
    return click.option(name, *more, envvar=variable(name), show_envvar=True, **settings)


def switch(name: str, *more: str, **settings: Any) -> Callable[[F], F]:
    """A flag that is on or off."""
    return flag(name, *more, is_flag=True, **settings)


def typed_switch(name: str, **settings: Any) -> Callable[[F], F]:
    """A switch without a variable: it does harm when it stands somewhere and is forgotten."""
    return click.option(name, is_flag=True, **settings)


def lines_flag(what: str, default: int | None = None) -> Callable[[F], F]:
    """`-n`: how many of what a command prints; all of it without a default."""
    return flag(
        "--lines",
        "-n",
        type=click.IntRange(1, MOST_LINES if default else None),
        metavar="N",
        default=default,
        show_default=default is not None,
        help=what,
    )


def verbose_flag(what: str) -> Callable[[F], F]:
    """`-v`: show more."""
    return switch("--verbose", "-v", help=f"Show more: {what}.")


def config_of_dev_flag(command: F) -> F:
    """Give a command that talks to a running `dev` the flag that says which one."""
    return flag("--config", type=click.Path(), help="The configuration file, whose `dev` runs.")(
        command
    )


def source_argument(name: str) -> Callable[[F], F]:
    """An argument that names a source: a locator, or the bare name of a table; the command gets a locator."""
    return click.argument(name, callback=lambda _context, _parameter, said: as_locator(said))


def table_argument(name: str) -> Callable[[F], F]:
    """The argument TABLE: a name, `dynamodb://NAME` or the table's ARN; the command gets the name."""
    return click.argument(
        name, metavar="TABLE", callback=lambda _context, _parameter, said: as_table(said)
    )


def as_locator(said: str) -> str:
    """A locator as it is; a bare name, also with `?key=value` behind it, is a table."""
    is_bare = re.fullmatch(r"[A-Za-z0-9_.-]+(\?.*)?", said) is not None
    return f"dynamodb://{said}" if is_bare else said


def as_table(said: str) -> str:
    """The name of the table that is meant.

    Raises:
        LocatorError: it is a locator of something else, or has keys.
    """
    from triggerkit.core.locators import parse
    from triggerkit.errors import LocatorError

    locator = parse(as_locator(said))
    kind, _, name = locator.name.rpartition(":")[2].partition("/")
    if not locator.is_arn:
        kind, name = "table", locator.name
    if locator.scheme != "dynamodb" or kind != "table" or "/" in name:
        raise LocatorError(
            f"{said!r} is not a DynamoDB table", hint="write its name or dynamodb://NAME"
        )
    if locator.keys:
        raise LocatorError(
            f"{said!r}: a table has no keys here", hint="write them as flags, such as --region"
        )
    return name


_TRIGGER_FLAGS = (
    flag("--trigger", "-t", multiple=True, metavar="GLOB", help="Only these triggers."),
    flag("--exclude", multiple=True, metavar="GLOB", help="Not these triggers."),
    click.option(
        "--set",
        "set_",
        multiple=True,
        metavar="NAME.OPTION=VALUE",
        # read by the settings, which name the variable where it is wrong
        help="Set one option of one trigger.  [env var: TRIGGERKIT_SET]",
    ),
)
_PROJECT_FLAGS = (
    flag("--env", default="", metavar="NAME", help="An overlay of the configuration."),
    flag("--env-file", type=click.Path(), help="Read environment variables from this file."),
    flag("--config", type=click.Path(), help="The configuration file."),
    flag("--app", metavar="NAME", help="The application: prefix of its state's names."),
)
_STATE_FLAGS = (
    *_PROJECT_FLAGS,
    flag("--state", metavar="LOCATOR", help="Where state lives: memory:, sqlite:///FILE."),
)
_ACCESS_FLAGS = (
    flag("--profile", metavar="NAME", help="The AWS profile."),
    flag("--region", metavar="NAME", help="The AWS Region."),
    flag("--endpoint-url", metavar="URL", help="Another endpoint, as http://127.0.0.1:8000."),
)


def state_flags(command: F) -> F:
    """Give a command the flags that say which configuration, application and state."""
    return _decorated(command, _STATE_FLAGS)


def access_flags(command: F) -> F:
    """Give a command the flags that say how AWS is reached."""
    return _decorated(command, _ACCESS_FLAGS)


def configuration_flags(command: F) -> F:
    """Give a command all flags that bear on which triggers run, and how; and TARGET."""
    decorated = _decorated(command, (*_STATE_FLAGS, *_TRIGGER_FLAGS, *_ACCESS_FLAGS))
    return click.argument("target", required=False, envvar=variable("--target"))(decorated)


def place_flags(command: F) -> F:
    """Give a command the flags that say which configuration; it names its TARGET itself."""
    return _decorated(command, _PROJECT_FLAGS)


def project_flags(command: F) -> F:
    """Give a command the flags that say which code and configuration; and TARGET."""
    decorated = _decorated(command, (*_PROJECT_FLAGS, *_TRIGGER_FLAGS))
    return click.argument("target", required=False, envvar=variable("--target"))(decorated)


def logging_flags(command: F) -> F:
    """Give a command `--log-format`, `--log-level`, `-v` and `-q`."""
    return _decorated(
        command,
        (
            flag(
                "--log-format",
                type=click.Choice(LOG_FORMATS),
                default="auto",
                show_default=True,
                help="auto: pretty in a terminal, JSON lines elsewhere.",
            ),
            flag(
                "--log-level",
                type=click.Choice(LOG_LEVELS),
                default="info",
                show_default=True,
                help="The least level that is written.",
            ),
            verbose_flag("--log-level debug"),
            switch("--quiet", "-q", help="Warnings and errors only."),
        ),
    )


def json_flag(command: F) -> F:
    """Give a command `--json`."""
    return switch("--json", "as_json", help="One JSON document.")(command)


def change_flags(command: F) -> F:
    """Give a command that changes something `--dry-run` and `--yes`."""
    return _decorated(
        command,
        (
            switch("--dry-run", help="Say what would be done, and do nothing."),
            switch("--yes", "-y", help="Do not ask."),
        ),
    )


def with_colour_flag(command: click.Command) -> click.Command:
    """The command with `--color`; of a group, each of its commands."""
    if isinstance(command, click.Group):
        for one in command.commands.values():
            with_colour_flag(one)
    elif all(param.name != _COLOUR for param in command.params):
        command.params.append(
            click.Option(
                ["--color", _COLOUR],
                type=click.Choice(COLOUR_CHOICES),
                default="auto",
                show_default=True,
                envvar=variable("--color"),
                show_envvar=True,
                expose_value=False,
                is_eager=True,
                callback=_choose_colours,
                help="auto: in a terminal, unless NO_COLOR or FORCE_COLOR is set.",
            )
        )
    return command


_COLOUR = "color_choice"


def _choose_colours(context: click.Context, _: click.Parameter, choice: ColourChoice) -> None:
    choose_colours(choice)
    context.color = forced_colours()


def _decorated(command: F, flags: tuple[Callable[[F], F], ...]) -> F:
    for decorate in reversed(flags):
        command = decorate(command)
    return command


class SuggestingGroup(click.Group):
    """A group that answers a mistyped command with the one that was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click. Raises click.UsageError: no such command; says the nearest one."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(f"No such command {name!r}: {nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)
