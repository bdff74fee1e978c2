"""`triggerkit list`. Rule: it shows what would run and why, and touches nothing."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import Loaded, configuration_flags, load, read_flags, target_argument
from triggerkit.cli.output import print_json
from triggerkit.core.options import read_options
from triggerkit.settings import MappingPlan


@click.command(
    "list",
    epilog="""\b
Examples:
  triggerkit list app:handlers
  triggerkit list app:handlers -v        (every option, and where its value came from)
  triggerkit list --env prod --json""",
)
@target_argument
@configuration_flags
@click.option("-v", "--verbose", is_flag=True, help="Every option, and where its value came from.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(**given: Any) -> None:
    """List the triggers of TARGET, their sources and options."""
    loaded = load(read_flags(given))
    if given["as_json"]:
        print_json(as_document(loaded))
        return
    settings = loaded.settings
    click.echo(f"app    {settings.namespace}   ({settings.origins['app']})")
    click.echo(f"state  {settings.state}   ({settings.origins['state']})")
    for plan in settings.mappings:
        click.echo()
        click.echo(f"{plan.name}  <-  {plan.source_locator}   ({plan.trigger.origin})")
        for option, value in shown_options(plan, everything=given["verbose"]).items():
            origin = f"   ({plan.provenance[option]})" if option in plan.provenance else ""
            click.echo(f"  {option} = {value!r}{origin}")


def shown_options(plan: MappingPlan, *, everything: bool) -> dict[str, object]:
    """The options of a mapping: all, or those that differ from the defaults."""
    defaults = read_options({})
    return {
        option: value
        for option, value in plan.options.model_dump().items()
        if everything or value != getattr(defaults, option)
    }


def as_document(loaded: Loaded) -> dict[str, object]:
    """The same as JSON."""
    settings = loaded.settings
    return {
        "app": settings.namespace,
        "state": settings.state.text,
        "origins": dict(settings.origins),
        "triggers": [
            {
                "name": plan.name,
                "source": plan.source_locator.text,
                "handler": plan.trigger.origin,
                "options": shown_options(plan, everything=True),
                "provenance": dict(plan.provenance),
            }
            for plan in settings.mappings
        ],
    }
