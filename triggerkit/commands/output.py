"""What a command writes where: logs go to stderr, what was asked for to stdout."""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from triggerkit import __version__
from triggerkit.core.masking import masked
from triggerkit.core.safe_text import safe, safe_block, safe_lines
from triggerkit.errors import InternalError, TargetError, TriggerkitError, UsageError
from triggerkit.runtime.colours import is_terminal, wants_colours

if TYPE_CHECKING:
    from rich.console import Console

    from triggerkit.runtime.logs import LogLevel
    from triggerkit.settings import Settings


def set_up_logging(
    given: Mapping[str, Any], settings: Settings | None = None, *, live: bool = False
) -> Callable[[], None]:
    """Send all logs to stderr; before the user's module is imported, and again when its app is known.

    `given` are a command's parameters; `-v` and `-q` win over `--log-level`. `live` allows a status line.

    Returns:
        What brings the former configuration back.
    """
    from triggerkit.runtime.logs import LogSettings, configure_logging

    level: LogLevel = given["log_level"]
    if given["verbose"]:
        level = "debug"
    elif given["quiet"]:
        level = "warning"
    fields = {
        "app": settings.app if settings else given.get("app"),
        "env": settings.env if settings else given.get("env"),
        "worker": f"{socket.gethostname()}:{os.getpid()}",
    }
    bound = {name: value for name, value in fields.items() if value}
    return configure_logging(LogSettings(given["log_format"], level, live, bound), sys.stderr)


def say(line: str = "", *, err: bool = False) -> None:
    """One line of text to stdout or stderr: control characters are shown, secrets are masked."""
    click.echo(safe(masked(line)), err=err)


def say_bold(line: str) -> None:
    """The same on stdout, in bold where colours are wanted."""
    shown = safe(masked(line))
    click.echo(click.style(shown, bold=True) if wants_colours(sys.stdout) else shown)


def say_block(text: str) -> None:
    """Several lines to stderr, a traceback say, each of them indented."""
    click.echo(safe_block(masked(text)), err=True)


def show_line(line: str) -> None:
    """A line that is safe already, with colours of ours in it, to stdout."""
    click.echo(line)


def say_bytes(data: bytes) -> None:
    """Bytes that somebody else made, to stdout: text is made safe where a terminal would show it."""
    if not is_terminal(sys.stdout):
        click.echo(data)
    else:
        click.echo(safe_lines(data.decode("utf-8", "replace")))


def live_console() -> Console:
    """For what moves: a status line or a progress bar in the terminal that stderr is."""
    from rich.console import Console

    from triggerkit.invokers.capture import real_stream

    stream = real_stream(sys.stderr)
    return Console(file=stream, no_color=not wants_colours(stream), highlight=False)


def print_json(value: object) -> None:
    """One JSON document to stdout, which holds no control characters."""
    print_json_text(json.dumps(value, ensure_ascii=False, default=str))


def print_json_text(text: str) -> None:
    """A JSON document that is text already."""
    click.echo(safe_lines(text))


def print_table(rows: Iterable[Sequence[str]], indent: str = "", *, err: bool = False) -> None:
    """Rows in columns, a line each, so that every cell can be copied. Cells are made safe, secrets masked."""
    from rich.cells import cell_len

    lines = [[safe(masked(cell)) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)
        )
        click.echo(indent + "  ".join(cells).rstrip(), err=err)


def confirm(question: str) -> None:
    """Ask on stderr; the command ends here unless the answer is yes. Never call it on a running loop.

    Raises:
        click.exceptions.Exit: the answer is no or Ctrl-C, or nobody can be asked.
    """
    try:
        agreed = click.confirm(safe(masked(question)), err=True)
    except click.Abort:
        click.echo(err=True)
        agreed = False
    if not agreed:
        say("nothing was done (--yes answers where nobody can be asked)", err=True)
        raise click.exceptions.Exit(UsageError.exit_code)


def show_error(error: TriggerkitError) -> None:
    """The message, the user's own traceback where there is one, and the hint."""
    if isinstance(error, InternalError):
        show_fault(error)
        return
    if isinstance(error, TargetError):
        from triggerkit.runtime.target import user_traceback

        if shown := user_traceback(error):
            click.echo(safe_block(masked(shown)), err=True)
    click.echo(f"triggerkit: {_shown(error.message)}", err=True)
    for note in getattr(error, "__notes__", ()):
        click.echo(f"  {_shown(note)}", err=True)
    if error.hint:
        click.echo(f"  fix: {_shown(error.hint)}", err=True)


def show_fault(error: Exception) -> None:
    """A fault of ours: all that helps to find it."""
    trace = "".join(traceback.format_exception(error))
    click.echo(safe_block(masked(trace)), err=True)
    click.echo(
        f"triggerkit: internal error: {_shown(str(error))}\n"
        f"  fix: please report it with the lines above, version {__version__} and the command",
        err=True,
    )


def _shown(text: str) -> str:
    """A message that may repeat what came from outside."""
    return safe_lines(masked(text), "    ")
