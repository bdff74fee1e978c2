"""`triggerkit init`: all is asked and checked before the first byte is written.

It asks where stdin and stderr are a terminal and `--yes` is not given, and only for what no flag has said.
Questions go to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from triggerkit.cli.flags import change_flags, flag, json_flag
from triggerkit.commands.output import print_json, print_table, say
from triggerkit.core.safe_text import safe, shell_word
from triggerkit.errors import UsageError

if TYPE_CHECKING:
    from triggerkit.scaffold import Blueprint, Shelf, Variable

FIRST = "dynamodb-process-stream"
"""What a newcomer gets who just presses return."""
_FLAGS = {
    "table": "--table",
    "batch_size": "--batch-size",
    "starting_position": "--starting-position",
    "enabled": "--enabled",
}


@click.command(
    "init",
    epilog="""\b
Examples:
  triggerkit init                                        (asks)
  triggerkit init --list
  triggerkit init dynamodb-process-stream orders-log
  triggerkit init enforce-rules rules --table orders --batch-size 10 --var action=flag -y
  triggerkit init --list outbox-relay                    (what can be --var)""",
)
@click.argument("blueprint", required=False)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path())
@click.option("--list", "listing", is_flag=True, help="Show the blueprints and make nothing.")
@flag("--table", metavar="NAME", help="The table whose changes are read.")
@flag("--batch-size", metavar="N", help="Records a batch, 1 to 10000.")
@flag("--starting-position", metavar="P", help="TRIM_HORIZON or LATEST.")
@click.option("--enabled/--disabled", default=None, help="Whether the trigger runs.")
@flag("--var", multiple=True, metavar="NAME=VALUE", help="Another variable of the blueprint.")
@change_flags
@json_flag
def command(
    blueprint: str | None, folder: str | None, *, listing: bool, as_json: bool, **given: Any
) -> None:
    """Make a project from BLUEPRINT in the folder DIR, which must not exist or be empty.

    In a terminal it asks for what is not given; elsewhere, and with --yes, defaults stand.
    """
    from triggerkit.scaffold import find_blueprints

    shelf = find_blueprints()
    for fault in shelf.faults:
        say(f"triggerkit: warning: {fault.message}", err=True)
        say(f"  fix: {fault.hint}", err=True)
    if listing:
        show_list(shelf, blueprint, as_json=as_json)
        return
    asking = sys.stdin.isatty() and sys.stderr.isatty() and not given["yes"]
    chosen, place, said = settle(shelf, blueprint, folder, given, asking=asking)
    make(chosen, place, said, dry_run=given["dry_run"], as_json=as_json)


def settle(
    shelf: Shelf,
    blueprint: str | None,
    folder: str | None,
    given: Mapping[str, Any],
    *,
    asking: bool,
) -> tuple[Blueprint, Path, dict[str, str]]:
    """Check what was given, then ask for the rest or leave it to the defaults.

    Returns:
        The blueprint, the folder, and the variables that somebody gave.

    Raises:
        UsageError: a bad value, no blueprint, or something is in the way.
        click.Abort: Ctrl-C or the end of input at a question.
    """
    from triggerkit.scaffold import check_free

    if blueprint is None and not asking:
        names = ", ".join(one.name for one in shelf.blueprints)
        raise UsageError("no BLUEPRINT", hint=f"name one: {names}")
    chosen = shelf.find(blueprint) if blueprint is not None else ask_blueprint(shelf)
    said = read_said(chosen, given)
    if folder is None and asking:
        folder = click.prompt("Folder", default=chosen.name, err=True, value_proc=free_folder)
    folder = chosen.name if folder is None else folder
    _check_name_of(folder)
    place = Path(folder)
    check_free(place)
    if asking:
        for variable in chosen.variables:
            if variable.name not in said and variable.matters(said):
                said[variable.name] = ask(variable)
    return chosen, place, said


def read_said(blueprint: Blueprint, given: Mapping[str, Any]) -> dict[str, str]:
    """What the flags say of the blueprint's variables, checked. Raises UsageError naming the flag."""
    said = {name: given[name] for name in _FLAGS if given.get(name) is not None}
    for text in given["var"]:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--var {text!r} is not NAME=VALUE", hint="write --var NAME=VALUE")
        if said.setdefault(name, value) != value:
            raise UsageError(f"{name} is given twice", hint="give it once")
    return {name: blueprint.variable(name).read(_text_of(value)) for name, value in said.items()}


def ask_blueprint(shelf: Shelf) -> Blueprint:
    """Show the blueprints and ask for one, by number or name."""
    rows = [(str(n), one.name, one.sentence) for n, one in enumerate(shelf.blueprints, start=1)]
    print_table(rows, indent="  ", err=True)

    def read(said: str) -> Blueprint:
        number = int(said) if said.isdecimal() else 0
        if 1 <= number <= len(shelf.blueprints):
            return shelf.blueprints[number - 1]
        with _asked_again():
            return shelf.find(said.strip())

    names = [one.name for one in shelf.blueprints]
    default = FIRST if FIRST in names else names[0]
    chosen: Blueprint = click.prompt("Blueprint", default=default, err=True, value_proc=read)
    return chosen


def ask(variable: Variable) -> str:
    """Ask for one variable until the answer is allowed."""

    def read(said: str) -> str:
        with _asked_again():
            return variable.read(said)

    default = {"true": "yes", "false": "no"}.get(variable.default, variable.default)
    prompt = variable.ask
    if variable.kind == "choice":
        prompt += f" ({', '.join(variable.choices)})"
    answer: str = click.prompt(prompt, default=default, err=True, value_proc=read)
    return answer


def free_folder(said: str) -> str:
    """An answer that names a free folder."""
    from triggerkit.scaffold import check_free

    with _asked_again():
        _check_name_of(said)
        check_free(Path(said))
    return said


def _check_name_of(folder: str) -> None:
    if not folder.strip() or not folder.isprintable():  # it could not be shown
        raise UsageError(
            f"DIR {folder!r} is not a usable folder name", hint="use printable characters"
        )


def make(
    blueprint: Blueprint, folder: Path, said: Mapping[str, str], *, dry_run: bool, as_json: bool
) -> None:
    """Render and write, and say what to type next."""
    from triggerkit.scaffold import project_name, render, write_folder

    files = render(blueprint, said, project=project_name(folder.resolve()))
    if not dry_run:
        write_folder(files, folder)
    installs = install_commands(blueprint.extras)
    is_here = folder.resolve() == Path.cwd()
    enter = [] if is_here else [f"cd {shell_word(os.fspath(folder))}"]
    commands = [*installs, *enter, "triggerkit dev"]
    if as_json:
        print_json(
            {
                "blueprint": blueprint.name,
                "folder": str(folder),
                "files": list(files),
                "dry_run": dry_run,
                "next": commands,
            }
        )
        return
    say(f"{'would write' if dry_run else 'wrote'} {folder}: {', '.join(files)}")
    if dry_run:
        return
    if installs:
        say("it needs the extra `local` of triggerkit, which is not installed: see next")
    defaults = {one.name: one.default for one in blueprint.variables}
    if {**defaults, **said}.get("enabled") == "false":
        say("its trigger is disabled: set enabled = true in pyproject.toml to run it")
    say(f"next: {' && '.join(commands)}")


def install_commands(extras: Sequence[str]) -> list[str]:
    """What installs those of triggerkit's `extras` that are missing; `local` is the only one for users."""
    from triggerkit.dev.local_services import INSTALL_LOCAL, has_local

    return [INSTALL_LOCAL] if "local" in extras and not has_local() else []


def show_list(shelf: Shelf, name: str | None, *, as_json: bool) -> None:
    """The blueprints with a sentence each; of one that is named, its variables."""
    shown = shelf.blueprints if name is None else (shelf.find(name),)
    if as_json:
        facts = ("name", "title", "sentence", "origin", "extras")
        of_variable = ("name", "ask", "default", "rule")
        print_json(
            [
                {name: getattr(one, name) for name in facts}
                | {
                    "variables": [
                        {name: getattr(variable, name) for name in of_variable}
                        for variable in one.variables
                    ]
                }
                for one in shown
            ]
        )
        return
    print_table((one.name, one.sentence) for one in shown)
    if name is not None:
        say()
        rows = [
            (_spelt(one), f"[{one.default}]", f"{one.ask}: {one.rule}")
            for one in shown[0].variables
        ]
        print_table(rows, indent="  ")


def _spelt(variable: Variable) -> str:
    return _FLAGS.get(variable.name, f"--var {variable.name}=")


def _text_of(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def _asked_again() -> Iterator[None]:
    """Around the reading of an answer: what is wrong with it is shown, and the question comes again."""
    try:
        yield
    except UsageError as error:
        raise click.BadParameter(safe(f"{error.message} ({error.hint})")) from None
