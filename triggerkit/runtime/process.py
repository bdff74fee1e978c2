"""The pools of a worker, and the first and last lines that it logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from triggerkit import __version__
from triggerkit.core.options import read_options
from triggerkit.core.words import counted
from triggerkit.runtime.counts import Counts
from triggerkit.runtime.log_writer import lines_dropped
from triggerkit.runtime.logs import get_logger, settle
from triggerkit.runtime.opening import Pools
from triggerkit.runtime.pools import ThreadRunner
from triggerkit.settings import MappingPlan, Settings

log = get_logger()

CONTROL_PLANE_THREADS = 8
"""DescribeStream and GetShardIterator wait on the network; a start with many shards asks for many."""
DESTINATION_THREADS = 4


@contextmanager
def worker_pools() -> Iterator[Pools]:
    """The pools of one worker, closed after it."""
    pools = (
        ThreadRunner("lease-store", 1),
        ThreadRunner("control-plane", CONTROL_PLANE_THREADS),
        ThreadRunner("destinations", DESTINATION_THREADS),
    )
    try:
        yield Pools(*pools)
    finally:
        for pool in pools:
            pool.close()


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


def log_ready(settings: Settings, *, burst: bool) -> None:
    """The start is over."""
    how = "reading to the tip of every stream" if burst else "running; Ctrl-C drains and stops"
    log.info("started", state=settings.state.shown, message=how)


def log_stopped(counts: Counts) -> None:
    """The last line: what was done since the start."""
    done, discarded, dropped = counts.records_done, counts.records_discarded, lines_dropped()
    log.info(
        "stopped",
        message=f"stopped: {counted(done, 'record')} done"
        + (f", {discarded:,} given up" if discarded else "")
        + (f", {counted(dropped, 'log line')} dropped" if dropped else ""),
        records_done=done,
        records_discarded=discarded,
        **({"gaps": counts.gaps} if counts.gaps else {}),
        **({"log_lines_dropped": dropped} if dropped else {}),
    )
    settle()


def _never_gives_up(plan: MappingPlan) -> bool:
    options = plan.options
    return (
        options.enabled
        and options.maximum_retry_attempts < 0
        and options.maximum_record_age_in_seconds < 0
    )
