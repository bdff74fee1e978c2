"""The tables that the configuration describes for `dev`, `put` and simulations.

`[dev.tables.NAME]` has `key = "id:S"` or `"pk:S,sk:N"`, `view_type` and `seed`. A table that only a trigger names
has the key `id:S`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from triggerkit.configuration import Configuration
from triggerkit.core.changes import VIEW_TYPES
from triggerkit.core.locators import resolve
from triggerkit.errors import UsageError, nearest
from triggerkit.files import open_file
from triggerkit.runtime.item_json import Item, read_items

DEFAULT_VIEW_TYPE: Final = "NEW_AND_OLD_IMAGES"
IMPLIED_KEY: Final = (("id", "S"),)
_KEYS: Final = ("key", "view_type", "seed")
_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_KEY_HINT: Final = 'write key = "id:S", or "pk:S,sk:N" with a sort key; types are S, N and B'


@dataclass(frozen=True, slots=True)
class DevTable:
    """One table; `keys` are name and type, partition key first; `items` are put when it is created."""

    name: str
    keys: tuple[tuple[str, str], ...] = IMPLIED_KEY
    view_type: str = DEFAULT_VIEW_TYPE
    items: tuple[Item, ...] = field(default=(), repr=False)

    @property
    def key_text(self) -> str:
        """The key as the configuration writes it."""
        return ",".join(f"{name}:{kind}" for name, kind in self.keys)

    def request(self) -> dict[str, Any]:
        """The parameters of CreateTable."""
        kinds = ("HASH", "RANGE")
        return {
            "TableName": self.name,
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": kind} for name, kind in self.keys
            ],
            "KeySchema": [
                {"AttributeName": name, "KeyType": kind}
                for (name, _), kind in zip(self.keys, kinds, strict=False)
            ],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": self.view_type},
        }


def read_tables(configuration: Configuration, environ: Mapping[str, str]) -> tuple[DevTable, ...]:
    """Read `[dev.tables]`, and the items that it names.

    `${VAR}` in a table's name is resolved as in a source.

    Raises:
        UsageError, LocatorError: naming the table of the configuration and the key that is wrong.
    """
    return tuple(
        _seeded(table, given, where, configuration)
        for table, given, where in _described(configuration, environ)
    )


def check_tables(configuration: Configuration, environ: Mapping[str, str]) -> None:
    """The same without the items, which are not shipped with a program. Raises as `read_tables`."""
    for _ in _described(configuration, environ):
        pass


def _described(
    configuration: Configuration, environ: Mapping[str, str]
) -> Iterator[tuple[DevTable, Mapping[str, Any], str]]:
    """Each table without its items, what the configuration says about it, and where."""
    file = configuration.path.name if configuration.path else "the configuration"
    dev = f"{configuration.prefix}dev"
    for key in configuration.dev:
        if key != "tables":
            raise UsageError(f"{file} [{dev}]: unknown key {key!r}", hint=nearest(key, ("tables",)))
    tables = configuration.dev.get("tables", {})
    if not isinstance(tables, Mapping):
        raise UsageError(
            f"{file} [{dev}]: tables is not a table", hint=f"write [{dev}.tables.NAME]"
        )
    variables = {**configuration.vars, **environ}
    for name, given in tables.items():
        where = f"{file} [{dev}.tables.{name}]"
        yield _read_table(resolve(name, variables), given, where), given, where


def check_keys_of(item: Item, keys: Sequence[tuple[str, str]], what: str) -> None:
    """Raises UsageError: `item` has not the key attributes, or of another type."""
    for name, kind in keys:
        value = item.get(name)
        if value is None or kind not in value:
            has = "is missing" if value is None else f"is of type {next(iter(value))}"
            raise UsageError(
                f"{what}: the key {name} {has}, it must be of type {kind}",
                hint=f"the table's key is {','.join(map(':'.join, keys))}",
            )


def _read_table(name: str, given: object, where: str) -> DevTable:
    if not isinstance(given, Mapping):
        raise UsageError(
            f"{where} is not a table", hint=f'write {where.partition(" ")[2]} and key = "id:S"'
        )
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{where}: {name!r} is no name of a table",
            hint="3 to 255 letters, digits, `_`, `-` and `.`",
        )
    for key, value in given.items():
        if key not in _KEYS:
            raise UsageError(f"{where}: unknown key {key!r}", hint=nearest(key, _KEYS))
        if not isinstance(value, str):
            raise UsageError(f"{where}: {key} is not text", hint=f'write {key} = "..."')
    view_type = given.get("view_type", DEFAULT_VIEW_TYPE)
    if view_type not in VIEW_TYPES:
        raise UsageError(
            f"{where}: view_type {view_type!r} does not exist", hint=nearest(view_type, VIEW_TYPES)
        )
    return DevTable(name, read_key(given.get("key", ""), where), view_type)


def _seeded(
    table: DevTable, given: Mapping[str, Any], where: str, configuration: Configuration
) -> DevTable:
    if "seed" not in given:
        return table
    items = _read_seed(configuration.folder / given["seed"], table, where)
    return replace(table, items=items)


def read_key(text: str, where: str) -> tuple[tuple[str, str], ...]:
    """Read `id:S` or `pk:S,sk:N`; `where` names the place in errors. Raises UsageError."""
    keys = []
    for part in text.split(","):
        name, _, kind = part.strip().partition(":")
        if not name or kind not in ("S", "N", "B"):
            shown = f"key {text!r} cannot be read" if text else "key is missing"
            raise UsageError(f"{where}: {shown}", hint=_KEY_HINT)
        keys.append((name, kind))
    if len(keys) > 2 or len({name for name, _ in keys}) < len(keys):
        raise UsageError(f"{where}: key {text!r} cannot be read", hint=_KEY_HINT)
    return tuple(keys)


def _read_seed(file: Path, table: DevTable, where: str) -> tuple[Item, ...]:
    with open_file(file, f"{where}: seed {str(file)!r}", hint="name a JSON file") as stream:
        items = tuple(read_items(stream, str(file)))
    for number, item in enumerate(items, start=1):
        check_keys_of(item, table.keys, f"{file}, item {number}")
    return items
