"""BatchWriteItem and BatchGetItem.

A batch is checked whole before its first write; its writes are single commits in the order of the request.
Source: DynamoDB API reference, BatchWriteItem and BatchGetItem.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.changes import commit
from triggerkit.emulator.errors import EmulatorError, validation
from triggerkit.emulator.expressions.projections import asked_view
from triggerkit.emulator.items import Write, plan_delete, plan_put, refuse_legacy
from triggerkit.emulator.keys import given_key, item_key, table_of
from triggerkit.emulator.model import Table
from triggerkit.emulator.requests import (
    Request,
    mistyped,
    optional_list,
    required_map,
    violated,
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
        reads = {name: self._read(name, _entry(entry)) for name, entry in asked.items()}
        responses: dict[str, list[Item]] = {name: [] for name in reads}
        unprocessed: dict[str, Request] = {}
        units: defaultdict[str, float] = defaultdict(float)
        size_bytes = 0
        for name, read in reads.items():
            for index, key in enumerate(read.keys):
                item = self.site.store.item(read.table.name, item_key(read.table, key))
                item_bytes = item_size_bytes(item or {})
                units[read.table.name] += read_units(item_bytes, read.entry)
                if item is None:
                    continue
                size_bytes += item_bytes
                if size_bytes > ANSWER_LIMIT_BYTES:
                    unprocessed[name] = {**read.entry, "Keys": read.keys[index:]}
                    break
                responses[name].append(read.view(item))
        return {
            "Responses": responses,
            "UnprocessedKeys": unprocessed,
            **consumed_by_all(request, units),
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
        view = asked_view(entry)
        listed = optional_list(entry, "Keys")
        if not listed:
            raise _no_requests()
        keys = [given_key(table, {"Key": key}) for key in listed]
        if len({item_key(table, key) for key in keys}) < len(keys):
            raise validation(_DUPLICATES)
        return _Read(table, entry, keys, view)


@dataclass(frozen=True, slots=True)
class _Read:
    """The checked keys of one table and how its items are shown."""

    table: Table
    entry: Request
    keys: list[Item]
    view: Callable[[Item], Item]


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


def _no_requests() -> EmulatorError:
    return violated("{}", "RequestItems", "Member must have length greater than or equal to 1")
