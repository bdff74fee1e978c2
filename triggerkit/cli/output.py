"""What a command writes where. Rule: logs to stderr, what was asked for to stdout."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import click

from triggerkit.cli.flags import flag
from triggerkit.runtime.logs import LogFormat, LogLevel, LogSettings, configure_logging

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class LoggingFlags:
    """How loud, and in which form."""

    format: LogFormat
    level: LogLevel
    app: str = ""
    env: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> LoggingFlags:
        """Out of a command's parameters; `-v` and `-q` win over `--log-level`."""
        level: LogLevel = given["log_level"]
        if given["verbose"]:
            level = "debug"
        elif given["quiet"]:
            level = "warning"
        app, env = given.get("app") or "", given.get("env") or ""
        return cls(given["log_format"], level, app, env)


def logging_flags(command: F) -> F:
    """Give a command `--log-format`, `--log-level`, `-v` and `-q`."""
    for decorate in (
        click.option("-q", "--quiet", is_flag=True, help="Warnings and errors only."),
        click.option("-v", "--verbose", is_flag=True, help="Everything."),
        flag(
            "--log-level",
            type=click.Choice(get_args(LogLevel)),
            default="info",
            show_default=True,
            help="The least level that is written.",
        ),
        flag(
            "--log-format",
            type=click.Choice(get_args(LogFormat)),
            default="auto",
            show_default=True,
            help="auto: pretty in a terminal, JSON lines elsewhere.",
        ),
    ):
        command = decorate(command)
    return command


def set_up_logging(flags: LoggingFlags) -> None:
    """Send all logs to stderr, before the user's module is imported."""
    fields = {"app": flags.app, "env": flags.env, "worker": f"{socket.gethostname()}:{os.getpid()}"}
    told = {name: value for name, value in fields.items() if value}
    configure_logging(LogSettings(flags.format, flags.level, told), sys.stderr)


def print_json(value: object) -> None:
    """One JSON document to stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))
