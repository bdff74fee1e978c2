"""`triggerkit put`: writes to a running `dev`, and to AWS only with --aws and a yes."""

from __future__ import annotations

from typing import Any

import click

from triggerkit.cli.flags import (
    access_flags,
    change_flags,
    config_of_dev_flag,
    flag,
    table_argument,
    typed_switch,
)


@click.command(
    "put",
    epilog="""\b
Examples:
  triggerkit put orders '{"id": "1", "total": 9.95}'
  triggerkit put orders '{"id": {"S": "1"}, "photo": {"B": "aGVsbG8="}}'
  triggerkit put orders --file orders.jsonl     (an item, an array, or an item a line; - is stdin)
  triggerkit put orders --delete '{"id": "1"}'
  triggerkit put orders '{"id": "1"}' --aws --region eu-west-1""",
)
@table_argument("table")
@click.argument("item", metavar="[JSON]", required=False)
@flag("--file", metavar="FILE", type=click.Path(), help="Read the items from a file; - is stdin.")
@click.option("--delete", metavar="JSON", help="Delete the item with this key instead.")
@config_of_dev_flag
@typed_switch("--aws", help="Write to AWS, with your credentials.")
@access_flags
@change_flags
def command(table: str, item: str | None, **given: Any) -> None:
    """Write an item into TABLE of the running `dev`.

    JSON is plain, or DynamoDB JSON where each value has its type. Numbers keep all their digits. All items
    are read and their keys compared with the table's before the first one is written.
    """
    from triggerkit.dev.put import put

    put(table, item, given)
