"""`triggerkit invoke`."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import configuration_flags, flag, logging_flags, switch


@click.command(
    "invoke",
    epilog="""\b
Examples:
  triggerkit invoke app:handlers -t process_user_table -e event.json
  triggerkit invoke app:handlers -e event.json --pdb
  triggerkit tail orders -n 1 --as-event | triggerkit invoke app:handlers -e -

\b
Exit codes:
  0 done   2 usage   12 the handler raised or reported failed records""",
)
@configuration_flags
@flag("--event", "-e", metavar="FILE", required=True, help="A JSON file; - is stdin.")
@switch("--pdb", help="In a terminal: open the debugger where the handler raised.")
@logging_flags
def command(event: str, **given: Any) -> int:
    """Call the handler of one trigger with the event of a file; prints what it returns.

    -t names the trigger, unless there is only one. What the handler prints and logs goes to
    stderr, its result as JSON to stdout.
    """
    from triggerkit.commands.invoke import invoke

    return invoke(event, given)
