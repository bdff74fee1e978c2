"""`triggerkit run`."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import SHOWN_RECORDS, configuration_flags, flag, logging_flags, switch


@click.command(
    "run",
    epilog="""\b
Examples:
  triggerkit run app:handlers
  triggerkit run app:handlers -t orders --log-level debug
  triggerkit run app:handlers --set orders.batch_size=10
  triggerkit run app:handlers --burst          (to the tip of every stream, then exit)
  triggerkit run                               (the target of pyproject.toml)

\b
Exit codes:
  0 drained   2 usage   3 stream   4 state   5 no triggers
  12 records were discarded or cannot be handled (--burst)
  14 the drain ran out of time   130 interrupted twice""",
)
@configuration_flags
@switch("--burst", help="Read to the tip of every stream, or to what is blocked; save, and exit.")
@flag(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=25.0,
    show_default=True,
    help="What running handlers get at a stop.",
)
@flag(
    "--accept-orphaned",
    multiple=True,
    metavar="NAME",
    help="Start although the state knows NAME, which is no longer declared, beside a new trigger.",
)
@flag(
    "--log-records",
    type=click.Choice(SHOWN_RECORDS),
    default="none",
    show_default=True,
    help="What the log of a failed call shows of its records.",
)
@switch("--no-gc-tuning", help="Leave the garbage collector as Python sets it.")
@logging_flags
def command(**given: Any) -> int:
    """Run the triggers of TARGET until stopped.

    TARGET is module:attribute, a module with one Triggers in it, or a .py file. The first Ctrl-C (or
    SIGTERM) lets running handlers end, saves and releases; the second ends the process at once.
    """
    from triggerkit.commands.signals import run_stoppable

    def work() -> int:
        from triggerkit.commands.run import run

        return run(given)

    return run_stoppable(work)
