"""`triggerkit failures`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from triggerkit.cli.flags import F, SuggestingGroup, flag, json_flag, place_flags, switch, variable


def place_argument(command: F) -> F:
    """FILE or TARGET, and the flags that bear on it."""
    argument = click.argument(
        "place", required=False, envvar=variable("--target"), metavar="[FILE|TARGET]"
    )
    trigger = flag("--trigger", "-t", multiple=True, metavar="GLOB", help="Only these triggers.")
    decorate: tuple[Callable[[F], F], ...] = (json_flag, place_flags, trigger, argument)
    for one in decorate:
        command = one(command)
    return command


@click.group(
    "failures",
    cls=SuggestingGroup,
    epilog="""\b
Examples:
  triggerkit failures ls failures.jsonl
  triggerkit failures show 1 failures.jsonl
  triggerkit failures show 1 app:handlers
  triggerkit invoke app:handlers --failure 1      (runs it again)""",
)
def command() -> None:
    """Show the records that were given up, from a `file:` destination.

    FILE is what on_failure="file:PATH" appends to. With TARGET it is the on_failure of its triggers, and
    with neither that of the configuration's target.
    """


@command.command(
    "ls",
    epilog="""\b
Examples:
  triggerkit failures ls failures.jsonl
  triggerkit failures ls app:handlers -t bill
  triggerkit failures ls --json               (the target of pyproject.toml)""",
)
@place_argument
def list_failures(**given: Any) -> None:
    """List failure records, oldest first, one a line."""
    from triggerkit.commands.failures import list_all

    list_all(given)


@command.command(
    "show",
    epilog="""\b
Examples:
  triggerkit failures show 1 failures.jsonl
  triggerkit failures show 9edb5dc3 app:handlers --json
  triggerkit failures show 1 failures.jsonl --event > event.json""",
)
@click.argument("which", metavar="N|REQUEST_ID")
@place_argument
@switch("--as-event", "--event", help="Print the event itself: what `invoke -e -` reads.")
def show(which: str, **given: Any) -> None:
    """Show one failure record: why it was given up, and the changes in it.

    N is its number in `failures ls`. REQUEST_ID is in the log of `run`; its first or last letters are enough.
    """
    from triggerkit.commands.failures import show_one

    show_one(which, given)
