"""BatchWriteItem and BatchGetItem.

Rule: a batch is checked whole before its first write; its writes are single commits in the order of
the request. Source: DynamoDB API reference, BatchWriteItem and BatchGetItem.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.changes import commit
from triggerkit.emulator.errors import validation
from triggerkit.emulator.expressions.placeholders import read_placeholders
from triggerkit.emulator.expressions.projections import projected, read_projection
from triggerkit.emulator.items import Write, plan_delete, plan_put, refuse_legacy
from triggerkit.emulator.keys import given_key, item_key, table_of
from triggerkit.emulator.model import Table
from triggerkit.emulator.requests import (
    Request,
    mistyped,
    optional_list,
    optional_text,
    required_map,
)
from triggerkit.emulator.site import Site
from triggerkit.emulator.sizes import consumed_by_all, item_size_bytes, read_units, write_units
from triggerkit.emulator.values import Item

MAX_WRITES = 25
MAX_READS = 100
ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
_DUPLICATES = "Provided list of item keys contains duplicates"


@dataclass(frozen=True, slots=True)
class BatchesApi:
    """Batches over one site."""

    site: Site

    def operations(self) -> dict[str, Callable[[Request], dict[str, Any]]]:
        """Return the operations by name."""
        return {
            "BatchWriteItem": self.batch_write_item,
            "BatchGetItem": self.batch_get_item,
        }

    def batch_write_item(self, request: Request) -> dict[str, Any]:
        """Answer BatchWriteItem; nothing is left unprocessed."""
        asked = list(_requests(required_map(request, "RequestItems")))
        if len(asked) > MAX_WRITES:
            raise validation("Too many items requested for the BatchWriteItem call")
        writes = [self._write(name, entry) for name, entry in asked]
        if len({(write.table.name, write.key) for write in writes}) < len(writes):
            raise validation(_DUPLICATES)
        units: Counter[str] = Counter()
        for write in writes:
            new = write.result(None)
            old = commit(self.site, write.table, write.key, new)
            units[write.table.name] += int(write_units(old, new))
        return {"UnprocessedItems": {}, **consumed_by_all(request, units)}

    def batch_get_item(self, request: Request) -> dict[str, Any]:
        """Answer BatchGetItem; what exceeds 16 MB is left unprocessed."""
        asked = required_map(request, "RequestItems")
        if not asked:
            raise _no_requests()
        if sum(len(optional_list(_entry(entry), "Keys") or ()) for entry in asked.values()) > (
            MAX_READS
        ):
            raise validation("Too many items requested for the BatchGetItem call")
        reads = [self._read(name, _entry(entry)) for name, entry in asked.items()]
        answer = _Answer()
        for name, read in zip(asked, reads, strict=True):
            answer.add(self.site, name, read)
        return {
            "Responses": answer.responses,
            "UnprocessedKeys": answer.unprocessed,
            **consumed_by_all(request, answer.units),
        }

    def _write(self, name: str, entry: Request) -> Write:
        table = table_of(self.site, {"TableName": name})
        given = [key for key in ("PutRequest", "DeleteRequest") if entry.get(key) is not None]
        if len(given) != 1:
            raise validation(
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one "
                "of the supported datatypes"
                if given
                else "Supplied AttributeValue is empty, must contain exactly one of the supported "
                "datatypes"
            )
        inner = required_map(entry, given[0])
        # A request in a batch has no condition; members that belong to single writes are not read.
        if given[0] == "PutRequest":
            return plan_put(table, {"Item": inner.get("Item")})
        return plan_delete(table, {"Key": inner.get("Key")})

    def _read(self, name: str, entry: Request) -> _Read:
        refuse_legacy(entry)
        table = table_of(self.site, {"TableName": name})
        projection = optional_text(entry, "ProjectionExpression")
        placeholders = read_placeholders(entry, {"ProjectionExpression": projection})
        paths = None if projection is None else read_projection(projection, placeholders)
        placeholders.require_all_used()
        listed = optional_list(entry, "Keys")
        if not listed:
            raise _no_requests()
        keys = [given_key(table, {"Key": key}) for key in listed]
        if len({item_key(table, key) for key in keys}) < len(keys):
            raise validation(_DUPLICATES)
        show = (lambda item: item) if paths is None else (lambda item: projected(item, paths))
        return _Read(table, entry, keys, show)


@dataclass(frozen=True, slots=True)
class _Read:
    """The checked keys of one table and how its items are shown."""

    table: Table
    entry: Request
    keys: list[Item]
    show: Callable[[Item], Item]


class _Answer:
    __slots__ = ("responses", "size_bytes", "units", "unprocessed")

    def __init__(self) -> None:
        self.responses: dict[str, list[Item]] = {}
        self.unprocessed: dict[str, dict[str, Any]] = {}
        self.units: dict[str, float] = {}
        self.size_bytes = 0

    def add(self, site: Site, name: str, read: _Read) -> None:
        """Put the items of one table into the answer as long as they fit."""
        found = self.responses.setdefault(name, [])
        for index, key in enumerate(read.keys):
            item = site.store.item(read.table.name, item_key(read.table, key))
            size_bytes = item_size_bytes(item or {})
            units = read_units(size_bytes, read.entry)
            self.units[read.table.name] = self.units.get(read.table.name, 0.0) + units
            if item is None:
                continue
            self.size_bytes += size_bytes
            if self.size_bytes > ANSWER_LIMIT_BYTES:
                self.unprocessed[name] = {**read.entry, "Keys": read.keys[index:]}
                return
            found.append(read.show(item))


def _requests(asked: Mapping[str, Any]) -> Iterator[tuple[str, Request]]:
    if not asked:
        raise _no_requests()
    for name, entries in asked.items():
        if not isinstance(entries, list):
            raise mistyped("RequestItems", entries, "List")
        if not entries:
            raise _no_requests()
        for entry in entries:
            yield name, _entry(entry)


def _entry(entry: object) -> Request:
    if not isinstance(entry, Mapping):
        raise mistyped("RequestItems", entry, "Map")
    return entry


def _no_requests() -> Exception:
    return validation(
        "1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1"
    )
