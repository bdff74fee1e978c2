"""`triggerkit check`: finds what would stop a start; without `--aws` it opens no connection."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import click

from triggerkit.cli.flags import configuration_flags, json_flag, switch
from triggerkit.commands.flags import read_flags
from triggerkit.commands.output import print_json, print_table, say

if TYPE_CHECKING:
    from triggerkit.commands.loading import Loaded

CONTROL_PLANE_THREADS = 4


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
def command(**given: Any) -> None:
    """Check TARGET, the configuration and every locator; touch nothing."""
    import asyncio

    from triggerkit.commands.validating import load_to_run
    from triggerkit.runtime.dev_tables import read_tables
    from triggerkit.settings import container_sign, refuse_implicit_state

    loaded = load_to_run(read_flags(given))
    read_tables(loaded.configuration, os.environ)  # with the seeds, which `run` does not need
    refuse_implicit_state(loaded.settings, container_sign(os.environ))
    found = asyncio.run(check(loaded, ask=given["aws"]))
    if given["as_json"]:
        print_json(found)
        return
    print_table(("ok", row["name"], "<-", row["source"], row["arn"]) for row in found["triggers"])
    say()
    say("A worker's role needs:")
    for action in found["iam_actions"]:
        say(f"  {action}")


async def check(loaded: Loaded, *, ask: bool) -> dict[str, Any]:
    """Open every adapter; with `ask` prepare the sources, as a start does.

    Raises:
        LocatorError, HandlerSignatureError, SourceError: the first thing that would stop a start.
    """
    from triggerkit.commands.validating import open_all
    from triggerkit.runtime.pools import ThreadRunner

    run, settings = ThreadRunner("control-plane", CONTROL_PLANE_THREADS), loaded.settings
    rows: list[dict[str, str]] = []
    actions: set[str] = set()
    async with AsyncExitStack() as closing:
        closing.callback(run.close)
        sources = await open_all(loaded, run, closing)
        for plan in settings.mappings:
            source = sources[plan.source_locator.text]
            if ask:
                await source.prepare()
            actions.update(source.iam_actions)
            arn = source.arn if ask else ""
            rows.append({"name": plan.name, "source": plan.source_locator.shown, "arn": arn})
    return {"app": settings.namespace, "triggers": rows, "iam_actions": sorted(actions)}
