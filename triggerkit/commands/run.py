"""`triggerkit run`: one worker in this process. The first signal drains and releases, the second ends at once."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Mapping
from typing import Any

from triggerkit.commands.loading import Loaded, load_to_run
from triggerkit.commands.output import set_up_logging
from triggerkit.commands.signals import SIGNALS, early_stop
from triggerkit.errors import EXIT_DRAIN_EXPIRED, EXIT_INTERRUPTED, HandlerError
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.logs import own_streams, settle
from triggerkit.runtime.process import announce, log_ready, log_stopped, worker_pools
from triggerkit.runtime.worker import RunFlags, RunningWorker
from triggerkit.settings import container_sign, refuse_implicit_state


def run(given: Mapping[str, Any]) -> int:
    """Run the triggers until stopped; the exit code. `given` are the command's parameters."""
    set_up_logging(given)
    loaded = load_to_run(given)
    settings = loaded.settings
    refuse_implicit_state(settings, container_sign(os.environ))
    set_up_logging(given, settings, live=True)
    if not given["no_gc_tuning"]:
        tune_garbage_collector()
    announce(settings.mappings, settings)
    flags = RunFlags(
        burst=given["burst"],
        drain_timeout_seconds=given["drain_timeout"],
        accept_orphaned=frozenset(given["accept_orphaned"]),
        declared_triggers=loaded.declared,
        shown_records=given["log_records"],
        locator_defaults=loaded.access,
    )
    return asyncio.run(run_worker(loaded, flags))


async def run_worker(
    loaded: Loaded, flags: RunFlags, begin: Callable[[RunningWorker], None] | None = None
) -> int:
    """Run one worker in this process; the exit code. `begin` gets it before it runs."""
    with worker_pools() as pools:
        worker = RunningWorker(loaded.settings, flags, pools, SystemClock())
        worker.on_ready = lambda: log_ready(loaded.settings, burst=flags.burst)
        with own_streams():
            stop_on_signals(worker)
            if begin is not None:
                begin(worker)
            await worker.run()
    log_stopped(worker.counts)
    if worker.drain_expired:
        return EXIT_DRAIN_EXPIRED
    if flags.burst and worker.counts.records_discarded:
        return HandlerError.exit_code
    return worker.burst.exit_code


def stop_on_signals(worker: RunningWorker) -> None:
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
