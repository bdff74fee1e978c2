"""The `triggerkit` command. A command is imported when it is run, so that `--help` stays fast.

Every error of the tree becomes one message with its hint on stderr and the exit code of its class.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from triggerkit import __version__
from triggerkit.cli.flags import SuggestingGroup, with_colour_flag
from triggerkit.commands.output import show_error, show_fault
from triggerkit.commands.streams import StdoutError, safe_streams, silence
from triggerkit.core.masking import masked
from triggerkit.core.safe_text import safe
from triggerkit.errors import (
    EXIT_CODES,
    EXIT_INTERRUPTED,
    InternalError,
    TriggerkitError,
    UsageError,
)

COMMANDS = {
    "check": ("check", "Check target, configuration and locators."),
    "demo": ("demo", "Watch triggers at work, on this machine alone."),
    "dev": ("dev", "Run triggers on this machine alone, reloading as code changes."),
    "enable-stream": ("enable_stream", "Turn a table's stream on or off."),
    "init": ("init", "Make a project from a blueprint."),
    "failures": ("failures", "Show the failure records of a `file:` destination."),
    "fault": ("fault", "Make a running `dev` split, roll, expire, throttle."),
    "generate-event": ("generate_event", "Print an event that `invoke` takes."),
    "invoke": ("invoke", "Call one handler with an event or a failure record."),
    "list": ("list", "List triggers, their sources and options."),
    "put": ("put", "Write items into a table of a running `dev`."),
    "record": ("record", "Record a stream in a file that tests replay."),
    "rename": ("rename", "Move the state of a renamed trigger to its new name."),
    "run": ("run", "Run the triggers of TARGET until stopped."),
    "simulate": ("simulate", "Run triggers through random worlds, in virtual time."),
    "tail": ("tail", "Print the records of a stream as they come."),
}
"""Name on the command line: module under `triggerkit.cli`, one line of help."""


class LazyGroup(SuggestingGroup):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import `triggerkit.cli.<module>` and take its `command`."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"triggerkit.cli.{COMMANDS[cmd_name][0]}").command
        assert isinstance(command, click.Command)
        return with_colour_flag(command)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that has seen enough (`| head`) ends it without a word."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # here, since click itself would call it a failure
            silence(sys.stdout)
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line a command, without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  triggerkit demo
  triggerkit run app:handlers
  triggerkit run app:handlers --burst --state memory:
  triggerkit list app:handlers -v
  triggerkit tail orders

\b
Exit codes:
"""
    + "\n".join(f"  {code:<4} {words}" for code, words in EXIT_CODES.items()),
)
@click.version_option(__version__, prog_name="triggerkit")
def cli() -> None:
    """Database triggers as plain Python functions."""


def main() -> NoReturn:
    """Run the command line; the process ends with an exit code of the table."""
    sys.exit(run_command())


def run_command() -> int:
    """Run the command that the process was given; its exit code."""
    with safe_streams():
        try:
            code = _run_command()
            sys.stdout.flush()
        except BrokenPipeError:
            silence(sys.stdout)
            return 0
        except StdoutError as error:
            silence(sys.stdout)
            full = UsageError(
                f"stdout cannot be written: {error.strerror}", hint="make room where it goes"
            )
            show_error(full)
            return full.exit_code
    return code


def _run_command() -> int:
    try:
        result = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("\ninterrupted", err=True)
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        show_usage(error)
        return error.exit_code
    except TriggerkitError as error:
        show_error(error)
        return error.exit_code
    except (BrokenPipeError, StdoutError):
        raise
    except Exception as error:  # noqa: BLE001 - shown whole
        show_fault(error)
        return InternalError.exit_code
    return result if isinstance(result, int) else 0


def show_usage(error: click.ClickException) -> None:
    """What click says of a wrong command line; its message repeats what was given."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        click.echo(context.get_usage(), err=True)
        if context.command.get_help_option(context) is not None:
            click.echo(f"Try '{context.command_path} --help' for help.\n", err=True)
    click.echo(f"Error: {safe(masked(error.format_message()))}", err=True)
