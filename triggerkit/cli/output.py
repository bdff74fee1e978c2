"""What a command writes where. Rule: logs to stderr, what was asked for to stdout."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from triggerkit.errors import UsageError

if TYPE_CHECKING:
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
    told = {name: value for name, value in fields.items() if value}
    return configure_logging(LogSettings(given["log_format"], level, live, told), sys.stderr)


def has_colours(stream: TextIO) -> bool:
    """Whether colours may be written there: a terminal, and no NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def print_json(value: object) -> None:
    """One JSON document to stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def print_table(rows: Iterable[Sequence[str]], indent: str = "") -> None:
    """Rows in columns, each as wide as its widest cell; to stdout."""
    lines = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        click.echo(indent + "  ".join(cells).rstrip())


def confirm(question: str) -> None:
    """Ask on stderr; the command ends here unless the answer is yes. Never call it on a running loop.

    Raises:
        click.exceptions.Exit: the answer is no or Ctrl-C, or nobody can be asked.
    """
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        agreed = False
    if not agreed:
        click.echo("nothing was done (--yes answers where nobody can be asked)", err=True)
        raise click.exceptions.Exit(UsageError.exit_code)
