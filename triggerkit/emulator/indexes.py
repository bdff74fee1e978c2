"""Secondary indexes: which items one holds, and what it shows of them.

An index holds the items that have all of its key attributes with the right types; it shows what it projects and
always the keys of the table. Entries follow the writes at once: there is no lag here.
Source: DynamoDB guide, secondary indexes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from triggerkit.emulator.values import Item

_Partitions: TypeAlias = dict[str, dict[tuple[str, str], Item]]


@dataclass(frozen=True, slots=True)
class Index:
    """One secondary index; `included` are the attributes that INCLUDE names."""

    name: str
    is_local: bool
    hash_key: str
    sort_key: str | None
    key_types: tuple[str, ...]
    projection: str
    included: tuple[str, ...] = ()
    read_units: int = 0
    write_units: int = 0

    def key_names(self) -> tuple[str, ...]:
        """Return the names of the index's key attributes, partition key first."""
        return (self.hash_key,) if self.sort_key is None else (self.hash_key, self.sort_key)

    def holds(self, item: Item) -> bool:
        """Return whether an item has what the index needs."""
        return all(
            item.get(name, {}).get(kind)
            for name, kind in zip(self.key_names(), self.key_types, strict=True)
        )

    def projected_names(self, table_keys: Sequence[str]) -> frozenset[str] | None:
        """Return the names of the attributes that the index shows, None for all."""
        if self.projection == "ALL":
            return None
        return frozenset((*table_keys, *self.key_names(), *self.included))

    def described(self, table_arn: str, entries: Sequence[int]) -> dict[str, Any]:
        """Return the index as DescribeTable shows it; `entries` are the sizes of what it holds."""
        projection: dict[str, Any] = {"ProjectionType": self.projection}
        if self.included:
            projection["NonKeyAttributes"] = list(self.included)
        description: dict[str, Any] = {
            "IndexName": self.name,
            "KeySchema": key_schema(self.hash_key, self.sort_key),
            "Projection": projection,
            "IndexSizeBytes": sum(entries),
            "ItemCount": len(entries),
            "IndexArn": f"{table_arn}/index/{self.name}",
        }
        if not self.is_local:
            description["IndexStatus"] = "ACTIVE"
            description["ProvisionedThroughput"] = {
                "NumberOfDecreasesToday": 0,
                "ReadCapacityUnits": self.read_units,
                "WriteCapacityUnits": self.write_units,
            }
        return description


def key_schema(hash_key: str, sort_key: str | None) -> list[dict[str, str]]:
    """Return the KeySchema of a table or index as the wire has it."""
    schema = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    if sort_key is not None:
        schema.append({"AttributeName": sort_key, "KeyType": "RANGE"})
    return schema


def projected(item: Item, names: frozenset[str] | None) -> Item:
    """Return the attributes of an item that an index shows; `names` as `projected_names` gives."""
    if names is None:
        return item
    return {name: value for name, value in item.items() if name in names}


@dataclass(slots=True)
class IndexEntries:
    """The items of all indexes, by the partition key of the index."""

    _tables: dict[str, dict[str, _Partitions]] = field(default_factory=dict)

    def keep(
        self, table: str, indexes: Iterable[Index], items: Iterable[tuple[tuple[str, str], Item]]
    ) -> None:
        """Keep exactly the given indexes of a table; those that are new are filled with `items`."""
        kept = self._tables.pop(table, {})
        fresh = [index for index in indexes if index.name not in kept]
        now = {index.name: kept.get(index.name, {}) for index in indexes}
        if now:
            self._tables[table] = now
        for key, item in items if fresh else ():
            self.replace(table, fresh, key, (None, item))

    def replace(
        self,
        table: str,
        indexes: Iterable[Index],
        key: tuple[str, str],
        change: tuple[Item | None, Item | None],
    ) -> None:
        """Follow the change of one item, from its old to its new state."""
        for index in indexes:
            partitions = self._tables[table][index.name]
            for item, arrives in ((change[0], False), (change[1], True)):
                if item is None or not index.holds(item):
                    continue
                (content,) = item[index.hash_key].values()
                if arrives:
                    partitions.setdefault(content, {})[key] = item
                elif content in partitions:
                    partitions[content].pop(key, None)
                    if not partitions[content]:
                        del partitions[content]

    def items(self, table: str, index: str, partition: str | None) -> Iterable[Item]:
        """Return the items of one partition of an index, or of all of them."""
        partitions = self._tables.get(table, {}).get(index, {})
        if partition is not None:
            return partitions.get(partition, {}).values()
        return (item for entries in partitions.values() for item in entries.values())
