"""Query and Scan of a base table.

Rule: a page ends after Limit items or 1 MB of items read, before the filter; the key it ends at is the
whole position, so nothing is kept between pages. Secondary indexes are not here.
Source: DynamoDB API reference, Query and Scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.capacity import consumed, read_units
from triggerkit.emulator.errors import EmulatorError, validation
from triggerkit.emulator.expressions.conditions import read_condition
from triggerkit.emulator.expressions.evaluate import holds, paths_of
from triggerkit.emulator.expressions.nodes import (
    Condition,
    Path,
)
from triggerkit.emulator.expressions.paths import projected
from triggerkit.emulator.expressions.placeholders import Placeholders, read_placeholders
from triggerkit.emulator.expressions.projections import read_projection
from triggerkit.emulator.items import refuse_legacy
from triggerkit.emulator.key_conditions import asked_partition
from triggerkit.emulator.keys import given_key, item_key, table_of
from triggerkit.emulator.requests import (
    Request,
    chosen,
    optional_text,
    positive,
    required_map,
    violated,
)
from triggerkit.emulator.shards import key_hash
from triggerkit.emulator.site import Site
from triggerkit.emulator.sizes import item_size_bytes
from triggerkit.emulator.store import Table
from triggerkit.emulator.values import Item, comparable, normalise

PAGE_BYTES = 1024 * 1024
MAX_SEGMENTS = 1_000_000
_SELECTS = (
    "SPECIFIC_ATTRIBUTES",
    "COUNT",
    "ALL_ATTRIBUTES",
    "ALL_PROJECTED_ATTRIBUTES",
)
_KEY_MEMBER = "KeyConditionExpression"


@dataclass(frozen=True, slots=True)
class _View:
    """What a page shows of the items that it reads."""

    filter: Condition | None
    paths: tuple[Path, ...] | None
    counts_only: bool
    limit: int | None


@dataclass(frozen=True, slots=True)
class QueriesApi:
    """Query and Scan over one site."""

    site: Site

    def operations(self) -> dict[str, Callable[[Request], dict[str, Any]]]:
        """Return the operations by name."""
        return {"Query": self.query, "Scan": self.scan}

    def query(self, request: Request) -> dict[str, Any]:
        """Answer Query."""
        table, placeholders = self._opened(request, _KEY_MEMBER)
        text = optional_text(request, _KEY_MEMBER)
        if text is None:
            raise validation(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in "
                "the request."
            )
        condition = read_condition(_KEY_MEMBER, text, placeholders)
        partition = asked_partition(table, condition)
        view = _view(request, placeholders)
        _refuse_keys_in_filter(table, view.filter)
        items = [
            item
            for item in self.site.store.partition(table.name, partition)
            if holds(condition, item)
        ]
        forward = request.get("ScanIndexForward") is not False
        items.sort(key=lambda item: _sort_position(table, item), reverse=not forward)
        start = _start(table, request)
        if start is not None:
            if item_key(table, start)[0] != partition:
                raise validation("The provided starting key does not match the range key predicate")
            edge = _sort_position(table, start)
            items = [
                item
                for item in items
                if (_sort_position(table, item) > edge) == forward
                and _sort_position(table, item) != edge
            ]
        return _page(table, items, view, request)

    def scan(self, request: Request) -> dict[str, Any]:
        """Answer Scan, also in parallel segments."""
        table, placeholders = self._opened(request, None)
        segment, total = _segments(request)
        view = _view(request, placeholders)
        placed = [
            (_scan_position(table, item), item)
            for key, item in self.site.store.items(table.name)
            if total == 1 or key_hash(key[0]) % total == segment
        ]
        placed.sort(key=lambda pair: pair[0])
        start = _start(table, request)
        if start is not None:
            edge = _scan_position(table, start)
            placed = [pair for pair in placed if pair[0] > edge]
        return _page(table, [item for _, item in placed], view, request)

    def _opened(self, request: Request, key_member: str | None) -> tuple[Table, Placeholders]:
        refuse_legacy(request)
        if request.get("IndexName") is not None:
            raise validation(
                "The embedded endpoint of triggerkit does not have secondary indexes; use DynamoDB "
                "Local or AWS"
            )
        table = table_of(self.site, request)
        members = ("FilterExpression", "ProjectionExpression", key_member)
        given = {name: optional_text(request, name) for name in members if name is not None}
        return table, read_placeholders(request, given)


def _view(request: Request, placeholders: Placeholders) -> _View:
    filter_text = optional_text(request, "FilterExpression")
    projection = optional_text(request, "ProjectionExpression")
    select = chosen(request, "Select", _SELECTS)
    condition = None
    if filter_text is not None:
        condition = read_condition("FilterExpression", filter_text, placeholders)
    paths = None if projection is None else read_projection(projection, placeholders)
    _check_select(select, paths)
    placeholders.require_all_used()
    return _View(condition, paths, select == "COUNT", positive(request, "Limit"))


def _check_select(select: str | None, paths: tuple[Path, ...] | None) -> None:
    if select == "ALL_PROJECTED_ATTRIBUTES":
        raise validation(f"{select} can be used only when Querying using an IndexName")
    if paths is None and select == "SPECIFIC_ATTRIBUTES":
        raise validation(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get "
            "SPECIFIC_ATTRIBUTES"
        )
    if paths is not None and select in ("COUNT", "ALL_ATTRIBUTES"):
        noun = "only the Count" if select == "COUNT" else select
        raise validation(f"Cannot specify the ProjectionExpression when choosing to get {noun}")


def _refuse_keys_in_filter(table: Table, condition: Condition | None) -> None:
    for path in () if condition is None else paths_of(condition):
        if path[0] in table.key_names():
            raise validation(
                "Filter Expression can only contain non-primary key attributes: Primary key "
                f"attribute: {path[0]}"
            )


def _start(table: Table, request: Request) -> Item | None:
    if request.get("ExclusiveStartKey") is None:
        return None
    key = {
        name: normalise(value) for name, value in required_map(request, "ExclusiveStartKey").items()
    }
    try:
        return given_key(table, {"Key": key})
    except EmulatorError:
        raise validation("The provided starting key is invalid") from None


def _segments(request: Request) -> tuple[int, int]:
    total = positive(request, "TotalSegments")
    if total is not None and total > MAX_SEGMENTS:
        raise violated(
            total, "TotalSegments", f"Member must have value less than or equal to {MAX_SEGMENTS}"
        )
    segment = request.get("Segment")
    if total is None and segment is None:
        return 0, 1
    if total is None:
        raise validation(
            "The TotalSegments parameter is required but was not present in the request when "
            "Segment parameter is present"
        )
    if not isinstance(segment, int):
        raise validation(
            "The Segment parameter is required but was not present in the request when parameter "
            "TotalSegments is present"
        )
    if not 0 <= segment < total:
        raise validation(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {segment} is not less than TotalSegments: {total}"
        )
    return segment, total


def _page(table: Table, items: Iterable[Item], view: _View, request: Request) -> dict[str, Any]:
    shown: list[Item] = []
    scanned, size_bytes = 0, 0
    last: Item | None = None
    more = False
    for item in items:
        if scanned == view.limit or size_bytes > PAGE_BYTES:
            more = True
            break
        scanned, last = scanned + 1, item
        size_bytes += item_size_bytes(item)
        if view.filter is None or holds(view.filter, item):
            shown.append(item if view.paths is None else projected(item, view.paths))
    capacity = consumed(request, table.name, read_units(size_bytes, request))
    answer: dict[str, Any] = {"Count": len(shown), "ScannedCount": scanned, **capacity}
    if not view.counts_only:
        answer["Items"] = shown
    # DynamoDB names a position whenever Limit was reached, even if nothing follows.
    if last is not None and (more or scanned == view.limit):
        answer["LastEvaluatedKey"] = {name: last[name] for name in table.key_names()}
    return answer


def _sort_position(table: Table, item: Item) -> Any:
    return 0 if table.sort_key is None else comparable(item[table.sort_key])


def _scan_position(table: Table, item: Item) -> Any:
    partition = item_key(table, item)[0]
    return key_hash(partition), partition, _sort_position(table, item)
