"""`triggerkit check`: finds what would stop a start. Without `ask` no connection is opened."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from triggerkit.commands.loading import CONTROL_PLANE_THREADS, Loaded, load_to_run, open_all
from triggerkit.runtime.pools import ThreadRunner
from triggerkit.runtime.tables import read_tables
from triggerkit.settings import container_sign, refuse_implicit_state


def check(given: Mapping[str, Any], *, ask: bool) -> dict[str, Any]:
    """Check everything; the application, its triggers and the IAM actions that they need.

    Raises:
        TriggerkitError: the first thing that would stop a start.
    """
    loaded = load_to_run(given)
    read_tables(loaded.configuration, os.environ)  # with the seeds, which `run` does not need
    refuse_implicit_state(loaded.settings, container_sign(os.environ))
    return asyncio.run(_check_sources(loaded, ask=ask))


async def _check_sources(loaded: Loaded, *, ask: bool) -> dict[str, Any]:
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
