"""`triggerkit list`."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import configuration_flags, json_flag, verbose_flag
from triggerkit.commands.output import print_json, print_table, say
from triggerkit.core.masking import masked_value


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
def command(*, verbose: bool, as_json: bool, **given: Any) -> None:
    """List the triggers of TARGET, their sources and options, and where each value came from."""
    from triggerkit.commands.loading import load
    from triggerkit.settings import BUILT_IN

    settings = load(given).settings
    places = {"app": settings.namespace, "state": settings.state.shown}
    if as_json:
        triggers = [
            {
                "name": plan.name,
                "source": plan.source_locator.shown,
                "handler": plan.trigger.origin,
                "options": masked_value(plan.options.model_dump()),
                "provenance": dict(plan.provenance),
            }
            for plan in settings.mappings
        ]
        print_json({**places, "origins": dict(settings.origins), "triggers": triggers})
        return
    print_table((name, value, settings.origins[name]) for name, value in places.items())
    for plan in settings.mappings:
        off = "" if plan.options.enabled else "   (disabled)"
        say()
        say(f"{plan.name}  <-  {plan.source_locator.shown}   {plan.trigger.origin}{off}")
        print_table(
            (
                (option, _as_text(value), plan.provenance[option])
                for option, value in plan.options.model_dump().items()
                if verbose or plan.provenance[option] != BUILT_IN
            ),
            indent="  ",
        )


def _as_text(value: object) -> str:
    """A value as the configuration would spell it; a dash where there is none."""
    if value is None or value == ():
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
