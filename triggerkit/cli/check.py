"""`triggerkit check`. Rule: it finds what would stop a start; without `--aws` it opens no connection."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import click

from triggerkit.cli.flags import configuration_flags, json_flag, read_flags, switch
from triggerkit.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from triggerkit.cli.loading import Loaded

CONTROL_PLANE_THREADS = 4


@click.command(
    "check",
    epilog="""\b
Examples:
  triggerkit check app:handlers
  triggerkit check app:handlers --aws     (asks the streams, too; still changes nothing)""",
)
@configuration_flags
@switch("--aws", help="Ask for every stream: credentials, permission, on or off.")
@json_flag
def command(**given: Any) -> None:
    """Check TARGET, the configuration and every locator; touch nothing."""
    import asyncio

    from triggerkit.cli.loading import load
    from triggerkit.settings import container_sign, refuse_implicit_state

    loaded = load(read_flags(given))
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
    """Open every adapter, which reads its locator; with `ask` prepare the sources.

    Raises:
        LocatorError, HandlerSignatureError, SourceError: the first thing that would stop a start.
    """
    from triggerkit.ports import Services
    from triggerkit.registry import open_destination, open_lease_store, open_source
    from triggerkit.runtime.clock import SystemClock
    from triggerkit.runtime.handlers import callable_of
    from triggerkit.runtime.pools import ThreadRunner

    run = ThreadRunner("control-plane", CONTROL_PLANE_THREADS)
    clock, settings = SystemClock(), loaded.settings
    services = Services(run, clock, loaded.locator_defaults, settings.base_path)
    rows: list[dict[str, str]] = []
    actions: set[str] = set()
    async with AsyncExitStack() as closing:
        closing.callback(run.close)
        for plan in settings.mappings:
            callable_of(plan.trigger)
            source = open_source(plan.source_locator, services)
            closing.push_async_callback(source.close)
            closing.push_async_callback(open_lease_store(plan.state, services).close)
            if plan.on_failure is not None:
                closing.push_async_callback(open_destination(plan.on_failure, services).close)
            if ask:
                await source.prepare()
            actions.update(source.iam_actions)
            arn = source.arn if ask else ""
            rows.append({"name": plan.name, "source": plan.source_locator.text, "arn": arn})
    return {"app": settings.namespace, "triggers": rows, "iam_actions": sorted(actions)}
