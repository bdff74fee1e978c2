"""`triggerkit fault`. Rule: it tells a running `dev` what to do to its streams; AWS cannot be reached by it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from triggerkit.cli.fault_verbs import FAULTS, Fault, written
from triggerkit.cli.flags import config_of_dev_flag, flag, lines_flag, switch
from triggerkit.cli.groups import SuggestingGroup
from triggerkit.commands.output import print_json, say, show_line
from triggerkit.core.safe_text import safe

_DRY_RUN = switch("--dry-run", help="Say what would be done, and do nothing.")


@click.group(
    "fault",
    cls=SuggestingGroup,
    epilog="""\b
Examples:
  triggerkit fault roll orders         (what every stream does every few hours)
  triggerkit fault split orders
  triggerkit fault expire              (what happens to an iterator after 15 minutes)
  triggerkit fault throttle --times 20
  triggerkit fault ttl orders '{"id": "1"}'
  triggerkit fault lag 10              (children are listed late)
  triggerkit fault log --operation GetRecords
  triggerkit fault clear""",
)
def command() -> None:
    """Let the running `dev` do what streams do to a worker, now and then."""


def _examples(*lines: str) -> str:
    return "\n".join(("\b", "Examples:", *(f"  triggerkit fault {line}" for line in lines)))


def _add(fault: Fault) -> None:
    """Make the command of one row."""

    def run(*, config: str | None, dry_run: bool, **given: Any) -> None:
        request = fault.asked(given)
        if dry_run:
            say(f"would {written(fault.what, given)} at {_dev(config).endpoint_url}")
        else:
            told = _ask(config, fault.name, request)
            say(written(fault.said, {**given, **told}))

    for decorate in reversed((*fault.parameters, config_of_dev_flag, _DRY_RUN)):
        run = decorate(run)
    epilog = _examples(*fault.examples)
    command.add_command(click.command(fault.name, help=fault.help, epilog=epilog)(run))


for _fault in FAULTS:
    _add(_fault)


@command.command("log", epilog=_examples("log", "log --operation GetRecords -n 5", "log --json"))
@flag("--operation", metavar="NAME", help="Calls of one operation only.")
@lines_flag("The newest calls.", default=20)
@switch("--json", "as_json", help="One JSON document a call.")
@config_of_dev_flag
def log(*, operation: str | None, lines: int, as_json: bool, config: str | None) -> None:
    """Show the newest calls that came, and how they ended."""
    request = {"operation": operation, "limit": lines}
    calls = _ask(config, "log", request)["calls"]
    for call in calls:
        if as_json:
            print_json(call)
        else:
            show_line(safe(_line(call)))
    if not calls:
        say("no calls yet", err=True)


def _line(call: Mapping[str, Any]) -> str:
    at = datetime.fromtimestamp(call["at_seconds"], UTC).strftime("%H:%M:%S.%f")[:-3]
    asked = " ".join(f"{name}={value}" for name, value in call["asked"].items())
    return (
        f"{call['number']:>6} {at} {call['operation']:<20} {call['outcome']:<12} {asked}".rstrip()
    )


def _dev(config: str | None) -> Any:
    from triggerkit.dev.link import require_dev

    return require_dev(config)


def _ask(config: str | None, verb: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """What the running `dev` says. Raises UsageError: there is none, or it refused."""
    from triggerkit.dev.link import control

    return control(_dev(config), verb, request)
