"""`triggerkit check`."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import configuration_flags, json_flag, switch
from triggerkit.commands.output import print_json, print_table, say


@click.command(
    "check",
    epilog="""\b
Examples:
  triggerkit check app:handlers
  triggerkit check app:handlers --aws     (asks the streams, too; still changes nothing)""",
)
@configuration_flags
@switch(
    "--aws",
    help="Ask for every stream: credentials, every permission that reading needs, on or off.",
)
@json_flag
def command(*, aws: bool, as_json: bool, **given: Any) -> None:
    """Check TARGET, the configuration and every locator; touch nothing."""
    from triggerkit.commands.check import check

    found = check(given, ask=aws)
    if as_json:
        print_json(found)
        return
    print_table(("ok", row["name"], "<-", row["source"], row["arn"]) for row in found["triggers"])
    say()
    say("A worker's role needs:")
    for action in found["iam_actions"]:
        say(f"  {action}")
