"""`triggerkit fault`. Rule: it tells a running `dev` what to do to its streams; AWS cannot be reached by it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from triggerkit.cli.flags import flag, switch

_CONFIG = flag("--config", type=click.Path(), help="The configuration file, whose `dev` runs.")
_DRY_RUN = switch("--dry-run", help="Say what would be done, and do nothing.")
_SHARD = flag("--shard", metavar="ID", help="One shard; else every open one, for split the first.")


def _examples(*lines: str) -> str:
    return "\n".join(("\b", "Examples:", *(f"  triggerkit fault {line}" for line in lines)))


@click.group(
    "fault",
    epilog="""\b
Examples:
  triggerkit fault roll orders         (what every stream does every few hours)
  triggerkit fault split orders
  triggerkit fault expire              (what happens to an iterator after 15 minutes)
  triggerkit fault throttle --times 20
  triggerkit fault ttl orders '{"id": "1"}'""",
)
def command() -> None:
    """Let the running `dev` do what streams do to a worker, now and then."""


@command.command("roll", epilog=_examples("roll orders", "roll orders --dry-run"))
@click.argument("table")
@_SHARD
@_CONFIG
@_DRY_RUN
def roll(table: str, *, shard: str | None, **given: Any) -> None:
    """Close the open shards of TABLE's stream; each goes on in a child."""
    what = f"roll {shard or 'the open shards'} of {table}"
    told = _ask(given, "roll", _stream(table, shard), what)
    if told is not None:
        click.echo(f"rolled {table}: its stream goes on in {', '.join(told['children'])}")


@command.command(
    "split",
    epilog=_examples("split orders", "split orders --shard shardId-00000001795416179332-d8307f0b"),
)
@click.argument("table")
@_SHARD
@_CONFIG
@_DRY_RUN
def split(table: str, *, shard: str | None, **given: Any) -> None:
    """Close a shard of TABLE's stream; it goes on in two children."""
    what = f"split {shard or 'a shard'} of {table}"
    told = _ask(given, "split", _stream(table, shard), what)
    if told is not None:
        click.echo(f"split {table}: its stream goes on in {' and '.join(told['children'])}")


@command.command("expire", epilog=_examples("expire", "expire --dry-run"))
@_CONFIG
@_DRY_RUN
def expire(**given: Any) -> None:
    """Let every shard iterator that was handed out so far be expired."""
    if _ask(given, "expire", {}, "expire all shard iterators") is not None:
        click.echo("expired all shard iterators that were handed out so far")


@command.command(
    "throttle", epilog=_examples("throttle --times 20", "throttle --operation PutItem")
)
@flag("--operation", metavar="NAME", default="GetRecords", show_default=True, help="Which calls.")
@flag("--times", type=click.IntRange(1, 10_000), default=5, show_default=True, help="How many.")
@_CONFIG
@_DRY_RUN
def throttle(*, operation: str, times: int, **given: Any) -> None:
    """Refuse the next calls of an operation, as a service that is too busy does."""
    request = {"operation": operation, "times": times}
    if _ask(given, "throttle", request, f"throttle {operation} {times} times") is not None:
        click.echo(f"the next {times} calls of {operation} are throttled")


@command.command(
    "ttl", epilog=_examples("""ttl orders '{"id":"1"}'""", """ttl orders '{"pk":"a","sk":1}'""")
)
@click.argument("table")
@click.argument("key", metavar="JSON")
@_CONFIG
@_DRY_RUN
def ttl(table: str, key: str, **given: Any) -> None:
    """Remove the item with that key as Time to Live does."""
    from triggerkit.runtime.item_json import read_item, to_wire

    request = {"table": table, "key": to_wire(read_item(key, "the key"))}
    if _ask(given, "ttl", request, f"expire an item of {table}") is not None:
        click.echo(f"removed the item from {table} as Time to Live does")


def _stream(table: str, shard: str | None) -> dict[str, str]:
    return {"stream": table} | ({"shard": shard} if shard else {})


def _ask(
    given: Mapping[str, Any], verb: str, request: Mapping[str, Any], what: str
) -> dict[str, Any] | None:
    """What the running `dev` says; None where nothing was to be done. Raises UsageError."""
    from triggerkit.cli.dev_link import control, require_dev
    from triggerkit.configuration import load_configuration

    folder = load_configuration(given["config"], folder=Path.cwd()).folder
    link = require_dev(folder)
    if given["dry_run"]:
        click.echo(f"would {what} at {link.endpoint_url}")
        return None
    return control(link, verb, request)
