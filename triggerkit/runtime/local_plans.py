"""Settings for `dev` and simulations: every source is a table of this machine, whatever the trigger says.

ARNs, Regions, profiles, roles and endpoints of sources and destinations are left out, and all state goes
to the file of `dev`: the code that runs in production runs here unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import urlencode

from triggerkit.core.locators import SHARED_KEYS, Locator, parse
from triggerkit.runtime.logs import get_logger
from triggerkit.settings import MappingPlan, Settings
from triggerkit.sources.dynamodb.opening import target_of

log = get_logger()

DYNAMODB = "dynamodb"


def localized(settings: Settings, state: Locator) -> Settings:
    """The same triggers on local tables; a trigger that names one table twice reads it once."""
    return replace(settings, state=state, mappings=tuple(_plans(settings.mappings, state)))


def tables_named(plans: Sequence[MappingPlan]) -> tuple[str, ...]:
    """The tables that localized sources name, each once."""
    names = (plan.source_locator.name for plan in plans if plan.source_locator.scheme == DYNAMODB)
    return tuple(dict.fromkeys(names))


def _plans(plans: Sequence[MappingPlan], state: Locator) -> Iterator[MappingPlan]:
    seen: set[tuple[str, str, str]] = set()
    for plan in plans:
        source = _local_source(plan.source_locator)
        if source.text != plan.source_locator.text:
            log.info(
                "source_localized",
                trigger=plan.name,
                source=source.text,
                message=f"{plan.source_locator} is {source} here",
            )
        place = (plan.name, source.scheme, source.name)
        if place in seen:
            continue
        seen.add(place)
        on_failure = None if plan.on_failure is None else _without_access(plan.on_failure)
        yield replace(plan, source_locator=source, on_failure=on_failure, state=state)


def _local_source(locator: Locator) -> Locator:
    if locator.scheme != DYNAMODB or not locator.is_arn:
        return _without_access(locator)
    return _with_keys(f"{DYNAMODB}://{target_of(locator).table}", locator)


def _without_access(locator: Locator) -> Locator:
    if not SHARED_KEYS & locator.keys.keys():
        return locator
    return _with_keys(locator.text.partition("?")[0], locator)


def _with_keys(body: str, locator: Locator) -> Locator:
    kept = {key: value for key, value in locator.keys.items() if key not in SHARED_KEYS}
    return parse(f"{body}?{urlencode(kept)}" if kept else body)
