"""`triggerkit demo`: no account, no configuration, no file left behind."""

from __future__ import annotations

import click

from triggerkit.cli.flags import switch
from triggerkit.runtime.colours import choose_colours


@click.command(
    "demo",
    epilog="""\b
Examples:
  triggerkit demo
  triggerkit demo --color never""",
)
@switch("--no-color", hidden=True, help="The same as --color never.")
def command(*, no_color: bool) -> None:
    """Watch triggers at work, on this machine alone.

    Batches, a retry, a bisect, a record that is given up, and a shard rollover, in a few seconds.
    """
    from triggerkit.dev.demo import demo

    if no_color:
        choose_colours("never")
    demo()
