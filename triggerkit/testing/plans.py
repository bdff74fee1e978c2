"""From triggers to what a simulation runs. The code that runs in production runs here unchanged.

Options and names are resolved as by `run`. Regions, profiles and endpoints of sources are left
out, state is in memory, and every destination is one in memory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from triggerkit.configuration import Configuration, load_configuration
from triggerkit.core.locators import parse
from triggerkit.errors import LocatorError
from triggerkit.runtime.local_plans import DYNAMODB, localized
from triggerkit.runtime.tables import DevTable, read_tables
from triggerkit.runtime.target import load_target
from triggerkit.settings import Flags, MappingPlan, build_settings
from triggerkit.triggers import Triggers

APP = "simulation"
STATE = "memory:"


@dataclass(frozen=True, slots=True)
class Plans:
    """What runs, and the tables that the configuration describes, by name."""

    mappings: tuple[MappingPlan, ...]
    tables: Mapping[str, DevTable]

    def triggers_of(self, handler: object) -> frozenset[str]:
        """The names of the triggers that call `handler`, or the name itself."""
        return frozenset(
            plan.name for plan in self.mappings if handler in (plan.name, plan.trigger.handler)
        )

    @property
    def names(self) -> list[str]:
        """Of the triggers, each once."""
        return list(dict.fromkeys(plan.name for plan in self.mappings))


def read_plans(handlers: Triggers[Any] | str, variables: Mapping[str, str]) -> Plans:
    """Settle everything; the configuration is that of the current folder.

    Args:
        handlers: the triggers, or TARGET as `run` takes it.
        variables: values for `${VAR}`; they win over the environment.

    Raises:
        TriggerkitError: what `triggerkit check` would refuse; LocatorError for a source that
            cannot be simulated.
    """
    folder = Path.cwd()
    configuration = load_configuration(None, folder=folder)
    environ = {**os.environ, **variables}
    if isinstance(handlers, str):
        triggers = load_target(handlers, folder=folder, project=configuration.folder)
    else:
        triggers = handlers
        configuration = _only_of(triggers, configuration)
    flags = Flags(app=APP, state=STATE, target=handlers if isinstance(handlers, str) else None)
    settings = build_settings(triggers, configuration, flags, environ)
    settings = localized(settings, parse(STATE))
    mappings = tuple(plan for plan in settings.mappings if plan.options.enabled)
    for plan in mappings:
        if plan.source_locator.scheme != DYNAMODB:
            raise LocatorError(
                f"trigger {plan.name!r}: {plan.source_locator} cannot be simulated",
                hint="simulations have DynamoDB tables; test other triggers with make_event",
            )
    tables = {table.name: table for table in read_tables(configuration, environ)}
    return Plans(mappings, tables)


def _only_of(triggers: Triggers[Any], configuration: Configuration) -> Configuration:
    """A test may make triggers of its own, which the project's configuration does not know."""
    names = {trigger.name for trigger in triggers.triggers}
    known = {name: layers for name, layers in configuration.triggers.items() if name in names}
    return replace(configuration, triggers=known)
