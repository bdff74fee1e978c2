"""`triggerkit dev`."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import (
    SHOWN_RECORDS,
    flag,
    logging_flags,
    project_flags,
    switch,
    typed_switch,
)

DEFAULT_PORT = 8123


@click.command(
    "dev",
    epilog="""\b
Examples:
  triggerkit dev app:handlers
  triggerkit dev                            (the target of pyproject.toml)
  triggerkit dev --port 0                   (any free port)
  triggerkit dev --backend http://127.0.0.1:8000
  triggerkit dev --no-triggers              (an endpoint for a worker in another process)
  triggerkit put orders '{"id": "1"}'       (in another terminal)

\b
Tables come from the configuration:
  [tool.triggerkit.dev.tables.orders]
  key = "id:S"                              (or "pk:S,sk:N")
  view_type = "NEW_AND_OLD_IMAGES"
  seed = "orders.json"                      (items for a new table)

\b
Exit codes:
  0 stopped   2 usage   3 stream   4 files   5 no triggers
  14 the drain ran out of time   130 interrupted twice""",
)
@project_flags
@flag(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=DEFAULT_PORT,
    show_default=True,
    help="The port on 127.0.0.1; 0 takes a free one.",
)
@flag("--backend", metavar="URL", help="DynamoDB Local or another endpoint instead of our own.")
@typed_switch("--aws", help="Let handlers reach AWS, all but DynamoDB, with your credentials.")
@typed_switch("--fresh", help="Throw away the tables and positions of earlier runs.")
@switch("--no-triggers", help="Make the tables and run nothing: for a worker elsewhere.")
@switch("--no-reload", help="Do not start again when code changes.")
@flag(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=5.0,
    show_default=True,
    help="What running handlers get at a stop or reload.",
)
@flag(
    "--log-records",
    type=click.Choice(SHOWN_RECORDS),
    default="none",
    show_default=True,
    help="What the log of a failed call shows of its records.",
)
@logging_flags
def command(**given: Any) -> int:
    """Run the triggers of TARGET on this machine alone, against a DynamoDB of its own.

    Needs no account. Tables are made as the configuration says, code is loaded again when it changes, and
    tables and positions are there again at the next start. Handlers cannot reach AWS. Ctrl-C ends it.
    """
    from triggerkit.commands.signals import run_stoppable

    def work() -> int:
        from triggerkit.dev.endpoint import develop

        return develop(given)

    return run_stoppable(work)
