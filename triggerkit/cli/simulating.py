"""The worlds of `triggerkit simulate`. Rule: the first world that fails is told, with what repeats it."""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import click

from triggerkit.cli.output import print_json
from triggerkit.configuration import load_configuration
from triggerkit.errors import SimulationError, UsageError
from triggerkit.runtime.item_json import read_items, to_wire
from triggerkit.runtime.logs import LogSettings, configure_logging
from triggerkit.runtime.sandbox import sandboxed
from triggerkit.runtime.target import load_target
from triggerkit.testing.cassettes import Cassette, load_cassette
from triggerkit.testing.faults import read_faults
from triggerkit.testing.plans import read_plans
from triggerkit.testing.storm import Storm, Tally

NOWHERE = "http://127.0.0.1:9"
"""Nobody listens there: a handler that calls AWS is told so at once."""


def simulate(given: Mapping[str, Any]) -> None:
    """Run the worlds that the flags name, and tell what went through them.

    Raises:
        SimulationError: a promise was broken, or a world came to no rest; names the seed.
        TriggerkitError: the target, the configuration or the flags are wrong.
    """
    seeds = range(given["seeds"]) if given["seed"] is None else [given["seed"]]
    with ExitStack() as restoring:
        quiet = LogSettings(level="critical")
        logging = LogSettings() if given["verbose"] else quiet
        restoring.callback(configure_logging(logging, sys.stderr))
        restoring.enter_context(_away_from_aws())
        if not given["verbose"]:
            restoring.enter_context(redirect_stdout(io.StringIO()))
        target = _target(given["target"])
        storm = _storm(target, given)
        tally = Tally()
        with _bar(seeds) as passing:
            for seed in passing:
                try:
                    tally += storm.world(seed)
                except SimulationError as error:
                    raise _named(error, seed, target, given) from error
    _tell(tally, as_json=given["as_json"])


def _target(given: str | None) -> str:
    target = given or load_configuration(None, folder=Path.cwd()).target
    if not target:
        raise UsageError("no TARGET", hint="name one, such as app:handlers")
    return target


def _storm(target: str, given: Mapping[str, Any]) -> Storm:
    handlers = load_target(target, folder=Path.cwd())
    plans = read_plans(handlers, {})
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
                hint='give each table a seed = "FILE" under [dev.tables.NAME]',
            )
        items[next(iter(sources))] = _read(Path(given["items"]))
    faults = read_faults(given["faults"])
    cassettes = [_played(Path(file), sorted(sources)) for file in given["cassette"]]
    if cassettes and given["items"]:
        raise UsageError("--cassette and --items contradict each other", hint="give one of them")
    return Storm(handlers, faults, given["writes"], given["workers"] or 0, items, cassettes)


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
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--items {str(file)!r} cannot be read: {error}", hint="name a JSON file"
        ) from None
    return [to_wire(item) for item in read_items(text, str(file))]


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
        f"world {seed}: {error.message}", hint=f"{error.hint}; the same again: {shlex.join(again)}"
    )


def _tell(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        names = ("worlds", "records", "calls", "again", "discarded")
        print_json({name: getattr(tally, name) for name in names})
        return
    click.echo(
        f"{tally.worlds:,} worlds: {tally.records:,} records in {tally.calls:,} calls, nothing lost, "
        f"each item in order; {tally.again:,} came again, {tally.discarded:,} were given up"
    )


@contextmanager
def _away_from_aws() -> Iterator[None]:
    """Dummy credentials and an endpoint that is none, for the user's module and its handlers."""
    before = dict(os.environ)
    _replace_environment(sandboxed(before, NOWHERE))
    try:
        yield
    finally:
        _replace_environment(before)


def _replace_environment(variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


@contextmanager
def _bar(seeds: Sequence[int]) -> Iterator[Iterator[int]]:
    """A progress bar in a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield iter(seeds)
        return
    with click.progressbar(seeds, label="worlds", file=sys.stderr, show_pos=True) as bar:
        yield iter(bar)
