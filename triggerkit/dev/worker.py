"""The worker of `triggerkit dev`, a process that lives until code changes; started by `dev` only.

Its environment is the sandbox already; its one argument holds the flags as JSON. It makes missing tables,
loads the user's code and runs it as `triggerkit run` does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, assert_never

from triggerkit.commands.loading import load_to_run, read_configuration
from triggerkit.commands.output import set_up_logging, show_error, show_fault
from triggerkit.commands.run import run_worker
from triggerkit.commands.signals import SIGNALS
from triggerkit.commands.streams import safe_streams
from triggerkit.core.locators import parse
from triggerkit.core.words import counted
from triggerkit.dev.child import ParentConnection
from triggerkit.dev.reload import WAITS_FOR_CHANGE
from triggerkit.dev.tables import Made, ensure_table
from triggerkit.errors import (
    EXIT_INTERRUPTED,
    HandlerError,
    HandlerSignatureError,
    InternalError,
    TargetError,
    TriggerkitError,
)
from triggerkit.runtime.colours import choose_colours
from triggerkit.runtime.local_plans import localized, tables_named
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.process import announce
from triggerkit.runtime.state_names import ANY_NAME
from triggerkit.runtime.tables import DevTable, read_tables
from triggerkit.runtime.worker import RunFlags, RunningWorker

log = get_logger()


def main() -> int:
    """Run until the parent wants an end; the exit code."""
    given = json.loads(sys.argv[1])
    choose_colours(given.pop("color"))
    line = ParentConnection(given.pop("line"))
    with safe_streams():
        return run(given, line)


def run(given: Mapping[str, Any], line: ParentConnection) -> int:
    """The same with its arguments read and its streams safe."""
    try:
        return work(given, line)
    except TriggerkitError as error:
        show_error(error)
        waits = is_in_code(error) and not given["no_reload"]
        return WAITS_FOR_CHANGE if waits else error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - shown whole
        show_fault(error)
        return InternalError.exit_code
    finally:
        line.close()


def is_in_code(error: TriggerkitError) -> bool:
    """Whether the user's code is at fault, so that a change of it can help."""
    raised = isinstance(error, TargetError) and error.__cause__ is not None
    of_code = isinstance(error, HandlerError | HandlerSignatureError)
    return raised or of_code or bool(getattr(error, "__notes__", ()))


def work(given: Mapping[str, Any], line: ParentConnection) -> int:
    """Make tables, load the code, run it.

    Raises:
        TriggerkitError: the code, the configuration or the tables are not as they must be.
    """
    set_up_logging(given)
    runs = not given["no_triggers"]
    configuration = read_configuration(given)
    if not (runs or given["target"] or configuration.target):
        make_tables(read_tables(configuration, os.environ))
        return asyncio.run(serve_tables(line))
    # as `run`: its own state and destinations; `dev` has read the env file
    shipped = load_to_run({**given, "env_file": None, "state": None}, some_enabled=runs)
    declared = read_tables(configuration, os.environ)
    make_tables(declared)
    loaded = replace(shipped, settings=localized(shipped.settings, parse(given["state"])))
    known = {table.name for table in declared}
    named = tables_named(loaded.settings.mappings)
    make_tables(DevTable(name) for name in named if name not in known)
    set_up_logging(given, loaded.settings)
    if not runs:
        return asyncio.run(serve_tables(line))
    announce(loaded.settings.mappings)
    worker_flags = RunFlags(
        drain_timeout_seconds=given["drain_timeout"],
        accept_orphaned=frozenset({ANY_NAME}),  # renaming is part of writing code
        declared_triggers=loaded.declared,
        shown_records=given["log_records"],
        locator_defaults={"endpoint_name": "dev"},  # the port may change, the streams stay
    )
    return asyncio.run(run_worker(loaded, worker_flags, lambda worker: follow(worker, line)))


async def serve_tables(line: ParentConnection) -> int:
    """Run no trigger until the parent wants an end; the exit code."""
    stop = asyncio.Event()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    line.begin(stop.set)
    log.info("started", message="the tables are there; no trigger runs; Ctrl-C ends")
    line.ready()
    await stop.wait()
    return 0


def follow(worker: RunningWorker, line: ParentConnection) -> None:
    """Stop the worker when the parent wants it; report to the parent when the worker reads."""
    log_ready = worker.on_ready

    def on_ready() -> None:
        log_ready()
        line.ready()

    worker.on_ready = on_ready
    line.begin(worker.stop)


def make_tables(tables: Iterable[DevTable]) -> None:
    """Create what is missing, and say so. Raises UsageError, SourceError."""
    import boto3

    client: Any = None
    try:
        for table in tables:
            client = client or boto3.client("dynamodb")
            log_made(table, ensure_table(client, table))
    finally:
        if client is not None:
            client.close()


def log_made(table: DevTable, made: Made) -> None:
    """One line for a table that was made or changed."""
    seeded = f", {counted(len(table.items), 'item')} of its seed" if table.items else ""
    match made:
        case Made.CREATED:
            message = f"table {table.name} created: key {table.key_text}, {table.view_type}{seeded}"
        case Made.STREAM_ON:
            message = f"table {table.name}: stream turned on, {table.view_type}"
        case Made.KEPT:
            return
        case _:
            assert_never(made)
    log.info("table_made", table=table.name, key=table.key_text, message=message)


if __name__ == "__main__":
    sys.exit(main())
