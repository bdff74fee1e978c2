"""Tables and the switch of their streams. Errors name the table, its place, and the command that helps."""

from __future__ import annotations

import asyncio

from triggerkit.aws.errors import RESOURCE_NOT_FOUND, AwsError
from triggerkit.core.changes import VIEW_TYPES
from triggerkit.errors import (
    LocatorError,
    OptionError,
    SourceError,
    SourceNotFoundError,
    StreamDisabledError,
    TriggerkitError,
    nearest,
)
from triggerkit.sources.dynamodb.service import StreamArn, parse_stream_arn
from triggerkit.sources.dynamodb.streams_api import StreamsApi, Table

NAME_HINT = "a table has a name of 3 to 255 letters, digits, `_`, `-` and `.`"
ENABLING_SECONDS = 120.0
_LOOK_SECONDS = 0.5


async def find_stream(api: StreamsApi, name: str, arn: str) -> StreamArn:
    """The stream of a table; `arn` is the table's where the locator gave it.

    Raises:
        SourceNotFoundError: no such table there. StreamDisabledError: its stream is off.
        LocatorError: the ARN is of another account. AwsError, SourceError.
    """
    table = await find_table(api, name)
    if arn and table.arn and table.arn != arn:
        raise LocatorError(
            f"{arn} is not the table that these credentials see: {table.arn}",
            hint="add role_arn= for the other account, or give the stream's ARN",
        )
    if not table.view_type or not table.stream_arn:
        raise StreamDisabledError(
            f"table {name!r} in {api.place} has no stream",
            hint=f"turn it on: triggerkit enable-stream {name} NEW_AND_OLD_IMAGES",
        )
    return parse_stream_arn(table.stream_arn)


async def find_table(api: StreamsApi, name: str) -> Table:
    """Describe a table. Raises SourceNotFoundError, AwsError, SourceError."""
    try:
        return await api.describe_table(name)
    except AwsError as refusal:
        if refusal.code != RESOURCE_NOT_FOUND:
            raise
        names = await _table_names(api)
        raise SourceNotFoundError(
            f"table {name!r} does not exist in {api.place}",
            hint=f"{nearest(name, names) if names else 'correct the name'}; "
            "or check the Region and endpoint_url",
        ) from refusal


async def turn_on(api: StreamsApi, name: str, view_type: str) -> str:
    """Turn the stream of table `name` on; its ARN, once it can be read. On already is fine.

    Raises:
        OptionError: no such view type. SourceNotFoundError: no such table.
        SourceError: it is on with another view type, or is not on after two minutes. AwsError.
    """
    if view_type not in VIEW_TYPES:
        raise OptionError(
            f"view type {view_type!r} does not exist", hint=f"choose one of {', '.join(VIEW_TYPES)}"
        )
    table = await find_table(api, name)
    refuse_other_view_type(api, name, table, view_type)
    if not table.view_type:
        table = await api.set_stream(name, view_type)
    return (await _active(api, name, table)).stream_arn


def refuse_other_view_type(api: StreamsApi, name: str, table: Table, view_type: str) -> None:
    """Raises SourceError: the stream of table `name` is on with another view type."""
    if table.view_type and table.view_type != view_type:
        raise SourceError(
            f"table {name!r} in {api.place} has a stream already, with {table.view_type}",
            hint="a view type is fixed: use it, or turn the stream off first: "
            f"triggerkit enable-stream {name} --off",
        )


async def turn_off(api: StreamsApi, name: str) -> None:
    """Turn the stream of table `name` off; off already is fine.

    Raises:
        SourceNotFoundError: no such table. SourceError: it is not off after two minutes. AwsError.
    """
    if (await find_table(api, name)).view_type:
        await _active(api, name, await api.set_stream(name, ""))


async def _active(api: StreamsApi, name: str, table: Table) -> Table:
    loop = asyncio.get_running_loop()
    until_seconds = loop.time() + ENABLING_SECONDS
    while table.status != "ACTIVE" or not table.stream_arn:
        if loop.time() > until_seconds:
            raise SourceError(
                f"table {name!r} in {api.place} is still {table.status} after two minutes",
                hint="look at the table; the change was asked for and may come yet",
            )
        await asyncio.sleep(_LOOK_SECONDS)
        table = await api.describe_table(name)
    return table


async def _table_names(api: StreamsApi) -> tuple[str, ...]:
    try:
        return await api.table_names()
    except (AwsError, TriggerkitError):
        return ()  # only a courtesy: without the permission there is no suggestion
