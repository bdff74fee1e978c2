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
  triggerkit invoke app:handlers --failure 1
  triggerkit tail orders -n 1 --as-event | triggerkit invoke app:handlers -e -

\b
Exit codes:
  0 done   2 usage   12 the handler raised or reported failed records""",
)
@configuration_flags
@flag("--event", "-e", metavar="FILE", help="A JSON file; - is stdin.")
@flag("--failure", metavar="N|REQUEST_ID", help="A failure record of `failures ls` instead.")
@switch("--pdb", help="In a terminal: open the debugger where the handler raised.")
@logging_flags
def command(**given: Any) -> int:
    """Call the handler of one trigger with the event of a file or of a failure record; prints what it returns.

    -t names the trigger, unless there is only one, or the failure record names it. What the handler prints and
    logs goes to stderr, its result as JSON to stdout.
    """
    from triggerkit.commands.invoke import invoke

    return invoke(given)
