"""`triggerkit list`. Rule: it shows what would run and why, and touches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from triggerkit.cli.flags import configuration_flags, json_flag, verbose_flag
from triggerkit.commands.flags import read_flags
from triggerkit.commands.output import print_json, print_table, say
from triggerkit.core.masking import masked_value

if TYPE_CHECKING:
    from triggerkit.commands.loading import Loaded
    from triggerkit.settings import MappingPlan


@click.command(
    "list",
    epilog="""\b
Examples:
  triggerkit list app:handlers
  triggerkit list app:handlers -v        (every option, and where its value came from)
  triggerkit list --env prod --json""",
)
@configuration_flags
@verbose_flag("every option, also those at their default")
@json_flag
def command(**given: Any) -> None:
    """List the triggers of TARGET, their sources and options, and where each value came from."""
    from triggerkit.commands.loading import load

    loaded = load(read_flags(given))
    if given["as_json"]:
        print_json(as_document(loaded))
        return
    settings = loaded.settings
    print_table(
        (
            ("app", settings.namespace, settings.origins["app"]),
            ("state", settings.state.shown, settings.origins["state"]),
        )
    )
    for plan in settings.mappings:
        off = "" if plan.options.enabled else "   (disabled)"
        say()
        say(f"{plan.name}  <-  {plan.source_locator.shown}   {plan.trigger.origin}{off}")
        print_table(
            (
                (option, as_text(value), plan.provenance[option])
                for option, value in shown_options(plan, everything=given["verbose"]).items()
            ),
            indent="  ",
        )


def as_text(value: object) -> str:
    """A value as the configuration would spell it; a dash where there is none."""
    match value:
        case None | ():
            return "-"
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def shown_options(plan: MappingPlan, *, everything: bool) -> Mapping[str, object]:
    """The options of a mapping: all, or those that somebody has set."""
    from triggerkit.settings import BUILT_IN

    return {
        option: value
        for option, value in plan.options.model_dump().items()
        if everything or plan.provenance[option] != BUILT_IN
    }


def as_document(loaded: Loaded) -> dict[str, object]:
    """The same as JSON."""
    settings = loaded.settings
    return {
        "app": settings.namespace,
        "state": settings.state.shown,
        "origins": dict(settings.origins),
        "triggers": [
            {
                "name": plan.name,
                "source": plan.source_locator.shown,
                "handler": plan.trigger.origin,
                "options": masked_value(shown_options(plan, everything=True)),
                "provenance": dict(plan.provenance),
            }
            for plan in settings.mappings
        ],
    }
