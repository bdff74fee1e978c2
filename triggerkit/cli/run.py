"""`triggerkit run`. Rule: the first signal drains and releases, the second ends the process at once."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from typing import Any, get_args

import click

from triggerkit.cli.flags import (
    Loaded,
    configuration_flags,
    flag,
    load,
    read_flags,
    target_argument,
)
from triggerkit.cli.main import EXIT_INTERRUPTED_TWICE
from triggerkit.cli.output import LoggingFlags, logging_flags, set_up_logging
from triggerkit.core.options import read_options
from triggerkit.errors import HandlerError, NoTriggersError
from triggerkit.invokers.calls import ShownRecords
from triggerkit.invokers.capture import capture_streams
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.pools import ThreadRunner
from triggerkit.runtime.worker import Pools, Worker, WorkerFlags
from triggerkit.settings import MappingPlan, container_sign, refuse_implicit_state

log = get_logger()

CONTROL_PLANE_THREADS = 8
"""DescribeStream and GetShardIterator wait on the network; a start with many shards asks for many."""
DESTINATION_THREADS = 4


@click.command(
    "run",
    epilog="""\b
Examples:
  triggerkit run app:handlers
  triggerkit run app:handlers -t orders --log-level debug
  triggerkit run app:handlers --set orders.batch_size=10
  triggerkit run app:handlers --burst          (to the tip of every stream, then exit)
  triggerkit run                               (the target of pyproject.toml)""",
)
@target_argument
@configuration_flags
@flag("--burst", is_flag=True, help="Read to the tip of every stream, save, and exit.")
@flag(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    default=25.0,
    show_default=True,
    help="Seconds that running handlers get at a stop.",
)
@flag(
    "--accept-orphaned",
    multiple=True,
    metavar="NAME",
    help="Start although the state knows NAME, which is no longer declared, beside a new trigger.",
)
@flag(
    "--log-records",
    type=click.Choice(get_args(ShownRecords)),
    default="none",
    show_default=True,
    help="What the log of a failed call shows of its records.",
)
@flag("--no-gc-tuning", is_flag=True, help="Leave the garbage collector as Python sets it.")
@logging_flags
def command(**given: Any) -> int:
    """Run the triggers of TARGET until stopped.

    TARGET is module:attribute, a module with one Triggers in it, or a .py file.
    """
    set_up_logging(LoggingFlags.of(given))
    loaded = load(read_flags(given))
    refuse_implicit_state(loaded.settings, container_sign(os.environ))
    if not given["no_gc_tuning"]:
        tune_garbage_collector()
    for plan in loaded.settings.mappings:
        announce(plan)
    flags = WorkerFlags(
        burst=given["burst"],
        drain_timeout_seconds=given["drain_timeout"],
        accept_orphaned=frozenset(given["accept_orphaned"]),
        declared_triggers=loaded.declared,
        shown_records=given["log_records"],
        locator_defaults=loaded.locator_defaults,
    )
    return asyncio.run(run_worker(loaded, flags))


async def run_worker(loaded: Loaded, flags: WorkerFlags) -> int:
    """Run one worker in this process; the exit code."""
    if not any(plan.options.enabled for plan in loaded.settings.mappings):
        raise NoTriggersError(
            "every selected trigger is disabled", hint="set enabled = true on one"
        )
    pools = (
        ThreadRunner("lease-store", 1),
        ThreadRunner("control-plane", CONTROL_PLANE_THREADS),
        ThreadRunner("destinations", DESTINATION_THREADS),
    )
    worker = Worker(loaded.settings, flags, Pools(*pools), SystemClock())
    restore_streams = capture_streams()
    stop_on_signals(worker)
    try:
        await worker.run()
    finally:
        restore_streams()
        for pool in pools:
            pool.close()
    discarded = sum(counts.records_discarded for counts in worker.counts)
    if flags.burst and discarded:
        log.error("burst_ended", records_discarded=discarded)
        return HandlerError.exit_code
    log.info("stopped", records_done=sum(counts.records_done for counts in worker.counts))
    return 0


def stop_on_signals(worker: Worker) -> None:
    """First SIGINT or SIGTERM: drain. Second: the process ends; its leases are free at once."""
    asked = False

    def on_signal() -> None:
        nonlocal asked
        if asked:
            os._exit(EXIT_INTERRUPTED_TWICE)
        asked = True
        worker.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)


def tune_garbage_collector() -> None:
    """Imported code is permanent; pages come and go by reference count (performance.md 2.2)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def announce(plan: MappingPlan) -> None:
    """What a trigger will do, as far as it differs from the defaults."""
    defaults = read_options({})
    changed = {
        name: value
        for name, value in plan.options.model_dump().items()
        if value != getattr(defaults, name)
    }
    log.info("trigger", trigger=plan.name, source=plan.source_locator.text, options=changed)
    if plan.options.maximum_retry_attempts < 0 and plan.options.maximum_record_age_in_seconds < 0:
        log.info(
            "unlimited_retries",
            trigger=plan.name,
            message="a batch that always fails blocks its lane until its records expire; "
            "set maximum_retry_attempts to give up earlier",
        )
