"""`triggerkit check`. Rule: it finds what would stop a start; without `--aws` it opens no connection."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Any

import click

from triggerkit.cli.flags import Loaded, configuration_flags, load, read_flags, target_argument
from triggerkit.cli.output import print_json
from triggerkit.ports import Services, Source
from triggerkit.registry import open_destination, open_lease_store, open_source
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.pools import ThreadRunner
from triggerkit.settings import container_sign, refuse_implicit_state


@click.command(
    "check",
    epilog="""\b
Examples:
  triggerkit check app:handlers
  triggerkit check app:handlers --aws     (asks the streams, too; still changes nothing)""",
)
@target_argument
@configuration_flags
@click.option(
    "--aws", is_flag=True, help="Ask for every stream: credentials, permission, on or off."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(**given: Any) -> None:
    """Check TARGET, the configuration and every locator."""
    loaded = load(read_flags(given))
    refuse_implicit_state(loaded.settings, container_sign(os.environ))
    found = asyncio.run(check(loaded, ask=given["aws"]))
    if given["as_json"]:
        print_json(found)
        return
    for mapping in found["triggers"]:
        asked = f"  {mapping['arn']}" if mapping["arn"] else ""
        click.echo(f"ok  {mapping['name']}  <-  {mapping['source']}{asked}")
    click.echo(f"needs  {', '.join(found['iam_actions'])}")


async def check(loaded: Loaded, *, ask: bool) -> dict[str, Any]:
    """Open every adapter, which reads its locator; with `ask` prepare the sources.

    Raises:
        LocatorError, SourceError: the first thing that would stop a start.
    """
    run = ThreadRunner("control-plane", 4)
    clock, settings = SystemClock(), loaded.settings
    services = Services(run, clock, loaded.locator_defaults, settings.base_path)
    rows: list[dict[str, str]] = []
    actions: set[str] = set()
    async with AsyncExitStack() as closing:
        closing.callback(run.close)
        for plan in settings.mappings:
            source: Source = open_source(plan.source_locator, services)
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
