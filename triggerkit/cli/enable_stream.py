"""`triggerkit enable-stream`. Rule: the one command that changes a table; a worker needs no UpdateTable."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from triggerkit.cli.flags import flag
from triggerkit.core.locators import parse
from triggerkit.errors import LocatorError
from triggerkit.ports import Services
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.pools import ThreadRunner

VIEW_TYPES = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")


@click.command(
    "enable-stream",
    epilog="""\b
Examples:
  triggerkit enable-stream orders NEW_AND_OLD_IMAGES
  triggerkit enable-stream dynamodb://orders KEYS_ONLY --region eu-west-1""",
)
@click.argument("table")
@click.argument("view_type", type=click.Choice(VIEW_TYPES))
@flag("--profile", help="The AWS profile.")
@flag("--region", help="The AWS Region.")
@flag("--endpoint-url", help="Another endpoint, such as http://127.0.0.1:8000.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def command(table: str, view_type: str, *, dry_run: bool, yes: bool, **given: Any) -> None:
    """Turn the stream of TABLE on; prints its ARN."""
    from triggerkit.sources.dynamodb import enable_stream

    locator = parse(table if "://" in table or table.startswith("arn:") else f"dynamodb://{table}")
    if locator.scheme != "dynamodb":
        raise LocatorError(
            f"{table!r} is no DynamoDB table", hint="write its name or dynamodb://NAME"
        )
    if dry_run:
        click.echo(f"would turn on the stream of {locator} with {view_type}")
        return
    if not yes:
        click.confirm(f"Turn on the stream of {locator} with {view_type}?", abort=True, err=True)
    defaults = {key: value for key, value in given.items() if value}
    run = ThreadRunner("control-plane", 1)
    services = Services(run, SystemClock(), defaults)
    click.echo(asyncio.run(enable_stream(locator, services, view_type)))
