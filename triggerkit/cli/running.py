"""The life of `triggerkit run`. Rule: the first signal drains and releases, the second ends at once."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from triggerkit import __version__
from triggerkit.cli.flags import read_flags
from triggerkit.cli.loading import Loaded
from triggerkit.cli.output import set_up_logging
from triggerkit.cli.stopping import SIGNALS, early_stop
from triggerkit.cli.validating import load_to_run
from triggerkit.core.options import read_options
from triggerkit.errors import (
    EXIT_DRAIN_EXPIRED,
    EXIT_INTERRUPTED,
    HandlerError,
)
from triggerkit.invokers.capture import capture_streams
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.log_writer import lines_dropped
from triggerkit.runtime.logs import get_logger, settle, share_terminal
from triggerkit.runtime.pools import ThreadRunner
from triggerkit.runtime.worker import Pools, Worker, WorkerFlags
from triggerkit.settings import MappingPlan, Settings, container_sign, refuse_implicit_state

log = get_logger()

CONTROL_PLANE_THREADS = 8
"""DescribeStream and GetShardIterator wait on the network; a start with many shards asks for many."""
DESTINATION_THREADS = 4


def run(given: Mapping[str, Any]) -> int:
    """Run the triggers until stopped; the exit code. `given` are the command's parameters."""
    set_up_logging(given)
    loaded = load_to_run(read_flags(given))
    settings = loaded.settings
    refuse_implicit_state(settings, container_sign(os.environ))
    set_up_logging(given, settings, live=True)
    if not given["no_gc_tuning"]:
        tune_garbage_collector()
    announce(settings.mappings, settings)
    flags = WorkerFlags(
        burst=given["burst"],
        drain_timeout_seconds=given["drain_timeout"],
        accept_orphaned=frozenset(given["accept_orphaned"]),
        declared_triggers=loaded.declared,
        shown_records=given["log_records"],
        locator_defaults=loaded.locator_defaults,
    )
    return asyncio.run(run_worker(loaded, flags))


async def run_worker(
    loaded: Loaded, flags: WorkerFlags, begin: Callable[[Worker], None] | None = None
) -> int:
    """Run one worker in this process; the exit code. `begin` gets it before it runs."""
    pools = (
        ThreadRunner("lease-store", 1),
        ThreadRunner("control-plane", CONTROL_PLANE_THREADS),
        ThreadRunner("destinations", DESTINATION_THREADS),
    )
    worker = Worker(loaded.settings, flags, Pools(*pools), SystemClock())
    worker.on_ready = lambda: tell_ready(loaded.settings, burst=flags.burst)
    restore_terminal = share_terminal()
    restore_streams = capture_streams(log)
    stop_on_signals(worker)
    if begin is not None:
        begin(worker)
    try:
        await worker.run()
    finally:
        settle()
        restore_streams()
        restore_terminal()
        for pool in pools:
            pool.close()
    counts = worker.counts
    log.info(
        "stopped",
        records_done=counts.records_done,
        records_discarded=counts.records_discarded,
        **({"gaps": counts.gaps} if counts.gaps else {}),
        **({"log_lines_dropped": lost} if (lost := lines_dropped()) else {}),
    )
    settle()
    if worker.drain_expired:
        return EXIT_DRAIN_EXPIRED
    return HandlerError.exit_code if flags.burst and counts.records_discarded else 0


def stop_on_signals(worker: Worker) -> None:
    """First SIGINT or SIGTERM: drain. Second: the process ends; its leases are free at once."""
    asked = False

    def on_signal() -> None:
        nonlocal asked
        if asked:
            settle()
            os._exit(EXIT_INTERRUPTED)
        asked = True
        worker.stop()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    if early_stop.asked:
        on_signal()


def tune_garbage_collector() -> None:
    """Imported code is permanent; pages come and go by reference count."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def announce(plans: Sequence[MappingPlan], settings: Settings | None = None) -> None:
    """What was found: each trigger, and its options as far as they differ from the defaults.

    With `settings` also the application and where its state lives.
    """
    if settings is not None:
        log.info(
            "starting",
            version=__version__,
            app=settings.app,
            **({"env": settings.env} if settings.env else {}),
            state=settings.state.shown,
            triggers=list(dict.fromkeys(plan.name for plan in plans)),
        )
    defaults = read_options({})
    for plan in plans:
        changed = {
            name: value
            for name, value in plan.options.model_dump().items()
            if value != getattr(defaults, name) and name != "enabled"
        }
        source = plan.source_locator.shown
        log.info(
            "trigger",
            trigger=plan.name,
            source=source,
            handler=plan.trigger.origin,
            enabled=plan.options.enabled,
            options=changed,
            message=f"reads {source}",
        )
    endless = sorted({plan.name for plan in plans if _never_gives_up(plan)})
    if endless:
        log.info(
            "unlimited_retries",
            triggers=endless,
            message="a batch that always fails is retried until its records expire, and holds up its "
            "shard; maximum_retry_attempts sets a limit",
        )


def tell_ready(settings: Settings, *, burst: bool) -> None:
    """The start is over."""
    how = "reading to the tip of every stream" if burst else "running; Ctrl-C drains and stops"
    log.info("started", state=settings.state.shown, message=how)


def _never_gives_up(plan: MappingPlan) -> bool:
    options = plan.options
    return (
        options.enabled
        and options.maximum_retry_attempts < 0
        and options.maximum_record_age_in_seconds < 0
    )
