"""`triggerkit simulate`: the flags. Handlers run, and nothing leaves this process.

What handlers print is not shown, and every service of AWS is at an address where nobody listens.
"""

from __future__ import annotations

import os
from typing import Any

import click

from triggerkit.cli.flags import flag, json_flag, switch, variable, verbose_flag


@click.command(
    "simulate",
    epilog="""\b
Examples:
  triggerkit simulate app:handlers
  triggerkit simulate app:handlers --seeds 1000 --faults all
  triggerkit simulate app:handlers --items orders.json
  triggerkit simulate app:handlers --cassette orders.jsonl.gz
  triggerkit simulate app:handlers --seed 17 -v      (one world again, with its log)

\b
Faults: expire, fail, freeze, kill, late, lose, outage, roll, skew, split,
stale, stall, throttle; all.

\b
Exit codes:
  0 every trigger has done records, and none was given up
  2 usage, or no item can be made   5 no triggers
  12 a trigger never succeeded, or records were given up   13 a promise was broken""",
)
@click.argument("target", required=False, envvar=variable("--target"))
@flag("--seeds", type=click.IntRange(1), default=200, show_default=True, help="How many worlds.")
@flag("--seed", type=click.IntRange(0), metavar="N", help="Only the world of this seed.")
@flag(
    "--faults",
    metavar="NAMES",
    default="split,kill,throttle,expire",
    show_default=True,
    help="What goes wrong in them.",
)
@flag("--workers", type=click.IntRange(1), help="How many run; else one to three.")
@flag("--writes", type=click.IntRange(1), default=40, show_default=True, help="A world's writes.")
@flag(
    "--items",
    type=click.Path(),
    help="JSON items to write; else they are made as handlers are annotated.",
)
@switch("--allow-discards", help="Records that are given up are no failure.")
@flag("--cassette", multiple=True, metavar="FILE", help="Play what `record` wrote instead.")
@verbose_flag("the log, and what handlers print")
@json_flag
def command(**given: Any) -> None:
    """Run the triggers of TARGET through random worlds, on virtual tables and in virtual time.

    Shards split, workers crash, calls are refused. Each record must be done or given up in the end, and
    those of an item in their order. A world that breaks a promise ends with exit code 13, and its seed.
    Items are made from the types that handlers are annotated with; a trigger that never succeeds, and records
    that are given up, end with exit code 12. What handlers raised is shown.
    """
    from triggerkit.dev.sandbox import NOWHERE, environment, sandboxed
    from triggerkit.testing.simulate import simulate

    with environment(sandboxed(os.environ, NOWHERE)):
        simulate(given)
