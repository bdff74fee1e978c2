"""`triggerkit simulate`: the first world that breaks a promise ends the command and is named.

When all have passed, it tells what handlers raised, and fails where a trigger did nothing.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from triggerkit.cassettes.reading import Cassette, load_cassette
from triggerkit.commands.loading import find_target, import_target
from triggerkit.commands.output import live_console, print_json, say, show_line
from triggerkit.configuration import Configuration, load_configuration
from triggerkit.core.masking import masked, masked_value
from triggerkit.core.safe_text import safe_block, shell_word
from triggerkit.core.words import counted
from triggerkit.errors import HandlerError, SimulationError, UsageError
from triggerkit.files import open_file
from triggerkit.invokers.environment import offered
from triggerkit.runtime.colours import is_terminal
from triggerkit.runtime.handlers import variables_of
from triggerkit.runtime.item_json import read_items, to_wire
from triggerkit.runtime.logs import LogSettings, configure_logging
from triggerkit.testing.faults import read_faults
from triggerkit.testing.plans import APP, read_plans
from triggerkit.testing.raised import condensed
from triggerkit.testing.random_worlds import RandomWorlds, Tally

SHOWN_ERRORS = 10
_IDLE_HINT = "correct the handler; more --writes or --seeds bring more kinds of changes, --items FILE other items"


def simulate(given: Mapping[str, Any]) -> None:
    """Run the worlds that the flags name, and tell what went through them and what handlers raised.

    Raises:
        SimulationError: a promise was broken, or a world came to no rest; names the seed.
        HandlerError: a trigger never succeeded, or records were given up that may not be.
        TriggerkitError: the target, the configuration or the flags are wrong.
    """
    seeds = range(given["seeds"]) if given["seed"] is None else [given["seed"]]
    with ExitStack() as restoring:
        quiet = LogSettings(level="critical")
        logging = LogSettings() if given["verbose"] else quiet
        restoring.callback(configure_logging(logging, sys.stderr))
        if not given["verbose"]:
            restoring.enter_context(redirect_stdout(io.StringIO()))
        configuration = load_configuration(None, folder=Path.cwd())
        target = find_target(given["target"], configuration)
        worlds = _random_worlds(configuration, given)
        tally = Tally()
        with Progress(
            "{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=live_console(),
            disable=given["verbose"] or not is_terminal(sys.stderr),
            redirect_stdout=False,
            redirect_stderr=False,
        ) as progress:
            for seed in progress.track(seeds, description="worlds"):
                try:
                    tally += worlds.world(seed)
                except SimulationError as error:
                    raise _named(error, seed, target, given) from error
                if tally.stuck is not None:
                    break
    if tally.stuck is not None and not tally.unsuccessful:
        raise _named(tally.stuck, seed, target, given) from tally.stuck
    _report(tally, as_json=given["as_json"])
    if tally.stuck is not None:
        stuck = _named(tally.stuck, seed, target, given)
        raise HandlerError(f"{stuck.message}; {_idle(worlds, tally)}", hint=stuck.hint)
    if tally.unsuccessful:
        raise HandlerError(_idle(worlds, tally), hint=_IDLE_HINT)
    if tally.discarded and not given["allow_discards"]:
        raise HandlerError(
            f"{counted(tally.discarded, 'record')} were given up",
            hint="correct the handler, or say that this is meant: --allow-discards",
        )


def _random_worlds(configuration: Configuration, given: Mapping[str, Any]) -> RandomWorlds:
    handlers = import_target(given["target"], configuration)
    plans = read_plans(handlers, {})
    offered.offer(variables_of(plans.mappings, APP), os.environ)
    sources = {plan.source_locator.name for plan in plans.mappings}
    items: dict[str, Sequence[Mapping[str, Any]]] = {
        name: [to_wire(item) for item in table.items]
        for name, table in plans.tables.items()
        if name in sources
    }
    if given["items"]:
        if len(sources) != 1:
            raise UsageError(
                f"--items is for one table, and the triggers read {', '.join(sorted(sources))}",
                hint=f'give each table a seed = "FILE" under [{configuration.prefix}dev.tables.NAME]',
            )
        items[next(iter(sources))] = _read(Path(given["items"]))
    faults = read_faults(given["faults"])
    cassettes = [_played(Path(file), sorted(sources)) for file in given["cassette"]]
    if cassettes and given["items"]:
        raise UsageError("--cassette and --items contradict each other", hint="give one of them")
    return RandomWorlds(
        handlers,
        plans.mappings,
        faults,
        given["writes"],
        given["workers"] or 0,
        items,
        cassettes,
    )


def _played(file: Path, sources: Sequence[str]) -> tuple[str, Cassette]:
    """A cassette and the table that plays it: that of its name, or the only one there is."""
    cassette = load_cassette(file)
    if cassette.table in sources:
        return cassette.table, cassette
    if len(sources) == 1:
        return sources[0], cassette
    raise UsageError(
        f"--cassette {file}: no trigger reads the table {cassette.table!r}",
        hint=f"they read {', '.join(sources)}",
    )


def _read(file: Path) -> list[dict[str, Any]]:
    with open_file(file, f"--items {str(file)!r}", hint="name a JSON file") as stream:
        return [to_wire(item) for item in read_items(stream, str(file))]


def _named(
    error: SimulationError, seed: int, target: str, given: Mapping[str, Any]
) -> SimulationError:
    again = ["triggerkit", "simulate", target, "--seed", str(seed), "--faults", given["faults"]]
    for name in ("workers", "items"):
        if given[name]:
            again += [f"--{name}", str(given[name])]
    for file in given["cassette"]:
        again += ["--cassette", file]
    again += ["--writes", str(given["writes"]), "-v"]
    return SimulationError(
        f"world {seed}: {error.message}",
        hint=f"{error.hint}; the same again: {' '.join(map(shell_word, again))}",
    )


def _report(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        names = ("worlds", "records", "calls", "again", "discarded")
        triggers = {name: asdict(one) for name, one in tally.triggers.items()}
        every = [asdict(one) for one in tally.raised]
        totals = {name: getattr(tally, name) for name in names}
        print_json({**totals, "triggers": triggers, "raised": masked_value(every)})
        return
    kept = "" if tally.stuck else ", nothing lost, each item in order"
    say(
        f"{counted(tally.worlds, 'world')}: {tally.records:,} records in {tally.calls:,} calls{kept}; "
        f"{tally.again:,} came again, {tally.discarded:,} were given up"
    )
    if tally.raised:
        say()
        say("What handlers raised:")
    raised = condensed(tally.raised)
    for one in raised[:SHOWN_ERRORS]:
        say()
        say(f"{one.times:,} x {one.trigger}: {one.error_type}: {one.error_message}")
        show_line(safe_block(masked(one.where), "    "))
    if len(raised) > SHOWN_ERRORS:
        say()
        say(f"and {len(raised) - SHOWN_ERRORS:,} other errors; --json has them all")


def _idle(worlds: RandomWorlds, tally: Tally) -> str:
    """The triggers that have done nothing, each with why."""
    return "; ".join(
        _why_idle(worlds, name, tally.triggers[name].calls) for name in tally.unsuccessful
    )


def _why_idle(worlds: RandomWorlds, name: str, calls: int) -> str:
    if calls:
        return f"trigger {name!r} never succeeded: {counted(calls, 'call')}, and none did a record"
    plans = [plan for plan in worlds.plans if plan.name == name]
    typing = plans[0].trigger.typing
    kinds = (
        "" if typing is None else f" of the kind {' or '.join(typing.annotation.checked_models())}"
    )
    tables = ", ".join(plan.source_locator.name for plan in plans)
    return (
        f"trigger {name!r} was never called: it got no record of {tables}{kinds} that it can read"
    )
