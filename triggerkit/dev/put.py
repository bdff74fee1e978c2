"""`triggerkit put`: everything is read and checked before anything is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from triggerkit.commands.loading import access_of
from triggerkit.commands.output import confirm, say
from triggerkit.core.words import counted
from triggerkit.dev.link import OR_AWS, require_dev
from triggerkit.dev.sandbox import replace_environment, sandboxed
from triggerkit.dev.tables import asking, keys_of
from triggerkit.errors import SourceNotFoundError, TriggerkitError, UsageError, nearest
from triggerkit.files import MIB, open_twice
from triggerkit.runtime.item_json import Item, read_item, read_items, same_item
from triggerkit.runtime.tables import check_keys_of

ATTEMPTS = 3
LONGEST_COPY_BYTES = 1024 * MIB
"""Of what comes through a pipe: it is read twice, so that all is checked before anything is written."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be written: items, read again in each iteration, or one key to delete."""

    table: str
    items: Iterable[Item]
    count: int = 1
    deletes: bool = False

    @property
    def described(self) -> str:
        """What is done, after a verb."""
        if self.deletes:
            return f"the item with that key from {self.table}"
        return f"{counted(self.count, 'item')} into {self.table}"


class ItemsOfFile:
    """The items of a file, of which one is in memory at a time unless they are one JSON document."""

    def __init__(self, file: str) -> None:
        self._what = "stdin" if file == "-" else file
        hint = "name a file of JSON, or - for stdin"
        self._stream = open_twice(file, f"{file!r}", LONGEST_COPY_BYTES, hint=hint)

    def __iter__(self) -> Iterator[Item]:
        self._stream.seek(0)
        yield from read_items(self._stream, self._what)


def put(table: str, item: str | None, given: Mapping[str, Any]) -> None:
    """Write; `given` are the command's parameters.

    Raises:
        UsageError: no JSON, no item, no such key, no running `dev`. SourceError: no such table, refused.
    """
    order = read_order(table, item, given)
    client, where = connect(given)
    try:
        table_arn = check(client, order, where)
        if given["aws"]:
            where = f"{where}, account {table_arn.split(':')[4]}"
        verb = "delete" if order.deletes else "put"
        if given["dry_run"]:
            say(f"would {verb} {order.described} of {where}")
            return
        if given["aws"] and not given["yes"]:
            confirm(f"{verb.capitalize()} {order.described} of {where}?")
        say(delete(client, order) if order.deletes else write(client, order))
    finally:
        client.close()


def read_order(table: str, item: str | None, given: Mapping[str, Any]) -> Order:
    """Read what is to be written. Raises UsageError: not exactly one thing, or not JSON."""
    file, key = given["file"], given["delete"]
    said = [one for one in (item, file, key) if one is not None]
    if len(said) != 1:
        what = "nothing to write" if not said else "more than one of JSON, --file and --delete"
        raise UsageError(what, hint="give JSON, or --file FILE, or --delete JSON")
    if item is not None:
        return Order(table, [read_item(item, "the item")])
    if key is not None:
        return Order(table, [read_item(key, "the key")], deletes=True)
    items = ItemsOfFile(file)
    return Order(table, items, count=sum(1 for _ in items))


def connect(given: Mapping[str, Any]) -> tuple[Any, str]:
    """A client of DynamoDB, and the place in words.

    Raises:
        UsageError: no `dev` runs, or a flag about AWS is given without --aws. SourceError.
    """
    from triggerkit.aws.clients import AwsSession
    from triggerkit.aws.sessions import Access

    access = Access(**access_of(given))
    if given["aws"]:
        client = AwsSession(access).client("dynamodb", attempts=ATTEMPTS)
        return client, f"AWS ({client.meta.region_name}, {client.meta.endpoint_url})"
    if access != Access():
        raise UsageError(
            "--profile, --region and --endpoint-url are for AWS",
            hint="add --aws, or leave them out",
        )
    link = require_dev(given["config"], hint=OR_AWS)
    replace_environment(sandboxed(os.environ, link.endpoint_url))
    client = AwsSession(access).client("dynamodb", attempts=ATTEMPTS)
    return client, f"dev at {link.endpoint_url}"


def check(client: Any, order: Order, where: str) -> str:
    """Compare every item with the table's key; the table's ARN.

    Raises:
        SourceNotFoundError: no such table. UsageError: a key that does not fit.
    """
    described = _described(client, order.table, where)
    keys = keys_of(described)
    for number, item in enumerate(order.items, start=1):
        check_keys_of(item, keys, f"item {number}" if order.count > 1 else "the item")
        more = [name for name in item if name not in dict(keys)] if order.deletes else []
        if more:
            raise UsageError(
                f"the key has {more[0]!r}, which is no key of {order.table}",
                hint=f"the table's key is {','.join(map(':'.join, keys))}",
            )
    return str(described["TableArn"])


def write(client: Any, order: Order) -> str:
    """Put the items in their order; what happened, in words. Raises UsageError, SourceError."""
    same = 0
    for number, item in enumerate(order.items):
        try:
            with asking("dynamodb:PutItem", order.table):
                found = client.put_item(TableName=order.table, Item=item, ReturnValues="ALL_OLD")
        except TriggerkitError as error:
            if number:
                error.add_note(f"the first {number} of {order.count} items were written")
            raise
        same += same_item(found.get("Attributes", {}), item)
    unchanged = f" ({same} already like that: no stream record)" if same else ""
    return f"put {order.described}{unchanged}"


def delete(client: Any, order: Order) -> str:
    """Delete the item; what happened, in words. Raises UsageError, SourceError."""
    with asking("dynamodb:DeleteItem", order.table):
        (key,) = order.items
        found = client.delete_item(TableName=order.table, Key=key, ReturnValues="ALL_OLD")
    if "Attributes" not in found:
        return f"{order.table} has no item with that key: nothing to delete"
    return f"deleted {order.described}"


def _described(client: Any, table: str, where: str) -> Mapping[str, Any]:
    try:
        with asking("dynamodb:DescribeTable", table):
            described: Mapping[str, Any] = client.describe_table(TableName=table)["Table"]
    except SourceNotFoundError:
        with asking("dynamodb:ListTables", table):
            names = client.list_tables()["TableNames"]
        hint = nearest(table, names) if names else "it has no tables yet"
        raise SourceNotFoundError(f"{where} has no table {table!r}", hint=hint) from None
    return described
