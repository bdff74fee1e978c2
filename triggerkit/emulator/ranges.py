"""What Query and Scan read: a table, or one of its indexes, in its own order.

Rule: a range is ordered by sort key, then by the place of the item in the table, so that every item has
one position, also where an index gives many items the same keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.errors import validation
from triggerkit.emulator.indexes import Index, projected
from triggerkit.emulator.keys import item_key, key_text, table_of
from triggerkit.emulator.requests import Request, flag, optional_text
from triggerkit.emulator.shards import key_hash
from triggerkit.emulator.site import Site
from triggerkit.emulator.store import Table
from triggerkit.emulator.values import Item, comparable


@dataclass(frozen=True, slots=True)
class Range:
    """The items of a table (`index` is None) or of an index."""

    site: Site
    table: Table
    index: Index | None

    @property
    def hash_key(self) -> str:
        """The partition key's name."""
        return self.table.hash_key if self.index is None else self.index.hash_key

    @property
    def sort_key(self) -> str | None:
        """The sort key's name, None when there is none."""
        return self.table.sort_key if self.index is None else self.index.sort_key

    @property
    def key_types(self) -> Mapping[str, str]:
        """The types of all key attributes, by name."""
        return self.table.key_types

    @property
    def is_global(self) -> bool:
        """Tell whether this is a global secondary index."""
        return self.index is not None and not self.index.is_local

    def key_names(self) -> tuple[str, ...]:
        """Return the names of the range's own keys."""
        return self.table.key_names() if self.index is None else self.index.key_names()

    def place_names(self) -> tuple[str, ...]:
        """Return the names of all attributes that a LastEvaluatedKey has."""
        return tuple(dict.fromkeys((*self.table.key_names(), *self.key_names())))

    def projected_names(self) -> frozenset[str] | None:
        """Return the attributes that the range has, None for all."""
        return None if self.index is None else self.index.projected_names(self.table.key_names())

    def shown(self, item: Item) -> Item:
        """Return what the range has of an item."""
        return projected(item, self.projected_names())

    def partition(self, partition: str) -> Iterable[Item]:
        """Return the whole items of one partition (canonical text), in no order."""
        if self.index is None:
            return self.site.store.partition(self.table.name, partition)
        return self.site.store.indexed(self.table.name, self.index.name, partition)

    def all_items(self) -> Iterable[Item]:
        """Return all whole items of the range, in no order."""
        if self.index is None:
            return (item for _, item in self.site.store.items(self.table.name))
        return self.site.store.indexed(self.table.name, self.index.name, None)

    def position(self, item: Item) -> tuple[Any, ...]:
        """Return what orders the items of one partition."""
        own = () if self.sort_key is None else (comparable(item[self.sort_key]),)
        if self.index is None:
            return own
        partition, _ = item_key(self.table, item)
        if self.table.sort_key is None:
            return (*own, partition)
        return (*own, partition, comparable(item[self.table.sort_key]))

    def scan_position(self, item: Item) -> tuple[Any, ...]:
        """Return what orders all items of the range."""
        partition = key_text(item[self.hash_key])
        return (key_hash(partition), partition, *self.position(item))


def asked_range(site: Site, request: Request) -> Range:
    """Return the table or index that a request names.

    Raises:
        EmulatorError: there is no such table or index, or it cannot be read as asked.
    """
    table = table_of(site, request)
    name = optional_text(request, "IndexName")
    if name is None:
        return Range(site, table, None)
    found = next((index for index in table.indexes if index.name == name), None)
    if found is None:
        raise validation(f"The table does not have the specified index: {name}")
    if flag(request, "ConsistentRead") and not found.is_local:
        raise validation("Consistent reads are not supported on global secondary indexes")
    return Range(site, table, found)


def absent_names(range_: Range, names: Iterable[str]) -> Sequence[str]:
    """Return those of `names` that the range has not."""
    held = range_.projected_names()
    return [] if held is None else [name for name in dict.fromkeys(names) if name not in held]
