"""Query and Scan of tables and indexes.

A range is ordered by sort key, then by the place of the item in the table: every item has one position, also where
an index gives many items the same keys. A page ends after Limit items or 1 MB of items read, before the filter;
the key it ends at is the whole position, so nothing is kept between pages. A key condition is one equality on
the partition key and at most one comparison of the sort key; everything else is refused before the table is read.
Source: DynamoDB API reference, Query and Scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.errors import EmulatorError, invalid_parameter, validation
from triggerkit.emulator.expressions.conditions import read_condition
from triggerkit.emulator.expressions.evaluate import holds, paths_of
from triggerkit.emulator.expressions.nodes import (
    Among,
    Attribute,
    Between,
    Both,
    Call,
    Comparison,
    Condition,
    Either,
    Literal,
    Operand,
    Path,
    Size,
)
from triggerkit.emulator.expressions.placeholders import Placeholders, read_placeholders
from triggerkit.emulator.expressions.projections import projected, read_projection
from triggerkit.emulator.indexes import Index
from triggerkit.emulator.indexes import projected as index_entry
from triggerkit.emulator.items import refuse_legacy
from triggerkit.emulator.keys import empty_key, item_key, key_text, table_of
from triggerkit.emulator.model import Table
from triggerkit.emulator.requests import (
    Request,
    chosen,
    flag,
    optional_text,
    positive,
    required_map,
    violated,
)
from triggerkit.emulator.shards import key_hash
from triggerkit.emulator.site import Site
from triggerkit.emulator.sizes import consumed, item_size_bytes, read_units
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
        return index_entry(item, self.projected_names())

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


@dataclass(frozen=True, slots=True)
class _View:
    """What a page shows of the items that it reads."""

    filter: Condition | None
    paths: tuple[Path, ...] | None
    counts_only: bool
    limit: int | None
    fetches_whole: bool
    """Whether a local index is asked for attributes that only the table has."""


@dataclass(frozen=True, slots=True)
class QueriesApi:
    """Query and Scan over one site."""

    site: Site

    def operations(self) -> dict[str, Callable[[Request], dict[str, Any]]]:
        """Return the operations by name."""
        return {"Query": self.query, "Scan": self.scan}

    def query(self, request: Request) -> dict[str, Any]:
        """Answer Query."""
        range_, placeholders = self._opened(request, _KEY_MEMBER)
        text = optional_text(request, _KEY_MEMBER)
        if text is None:
            raise validation(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in "
                "the request."
            )
        condition = read_condition(_KEY_MEMBER, text, placeholders)
        partition = asked_partition(range_, condition)
        view = _view(range_, request, placeholders)
        _check_filter(range_, view.filter)
        items = [item for item in range_.partition(partition) if holds(condition, item)]
        forward = request.get("ScanIndexForward") is not False
        items.sort(key=range_.position, reverse=not forward)
        start = _start(range_, request)
        if start is not None:
            if key_text(start[range_.hash_key]) != partition:
                raise validation("The provided starting key does not match the range key predicate")
            edge = range_.position(start)
            if forward:
                items = [item for item in items if range_.position(item) > edge]
            else:
                items = [item for item in items if range_.position(item) < edge]
        return _page(range_, items, view, request)

    def scan(self, request: Request) -> dict[str, Any]:
        """Answer Scan, also in parallel segments."""
        range_, placeholders = self._opened(request, None)
        segment, total = _segments(request)
        view = _view(range_, request, placeholders)
        placed = [
            (range_.scan_position(item), item)
            for item in range_.all_items()
            if total == 1 or key_hash(key_text(item[range_.hash_key])) % total == segment
        ]
        placed.sort(key=lambda pair: pair[0])
        start = _start(range_, request)
        if start is not None:
            edge = range_.scan_position(start)
            placed = [pair for pair in placed if pair[0] > edge]
        return _page(range_, [item for _, item in placed], view, request)

    def _opened(self, request: Request, key_member: str | None) -> tuple[Range, Placeholders]:
        refuse_legacy(request)
        range_ = asked_range(self.site, request)
        members = ("FilterExpression", "ProjectionExpression", key_member)
        given = {name: optional_text(request, name) for name in members if name is not None}
        return range_, read_placeholders(request, given)


def _view(range_: Range, request: Request, placeholders: Placeholders) -> _View:
    filter_text = optional_text(request, "FilterExpression")
    projection = optional_text(request, "ProjectionExpression")
    select = chosen(request, "Select", _SELECTS)
    condition = None
    if filter_text is not None:
        condition = read_condition("FilterExpression", filter_text, placeholders)
    paths = None if projection is None else read_projection(projection, placeholders)
    _check_select(range_, select, paths)
    placeholders.require_all_used()
    fetches_whole = _reaches_beyond(range_, select, paths)
    return _View(condition, paths, select == "COUNT", positive(request, "Limit"), fetches_whole)


def _check_select(range_: Range, select: str | None, paths: tuple[Path, ...] | None) -> None:
    if select == "ALL_PROJECTED_ATTRIBUTES" and range_.index is None:
        raise validation(f"{select} can be used only when Querying using an IndexName")
    if paths is None and select == "SPECIFIC_ATTRIBUTES":
        raise validation(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get "
            "SPECIFIC_ATTRIBUTES"
        )
    if paths is not None and select not in (None, "SPECIFIC_ATTRIBUTES"):
        noun = "only the Count" if select == "COUNT" else select
        raise validation(f"Cannot specify the ProjectionExpression when choosing to get {noun}")


def _reaches_beyond(range_: Range, select: str | None, paths: tuple[Path, ...] | None) -> bool:
    """Return whether a local index must fetch from the table; a global one cannot, and refuses."""
    index = range_.index
    if index is None:
        return False
    asked = absent_names(range_, (str(path[0]) for path in paths or ()))
    whole = select == "ALL_ATTRIBUTES" and index.projection != "ALL"
    if whole and not index.is_local:
        raise invalid_parameter(
            f"Select type ALL_ATTRIBUTES is not supported for global secondary index {index.name} "
            "because its projection type is not ALL"
        )
    if asked and not index.is_local:
        raise invalid_parameter(
            f"Global secondary index {index.name} does not project [{', '.join(asked)}]"
        )
    return bool(asked) or whole


def _check_filter(range_: Range, condition: Condition | None) -> None:
    names = [] if condition is None else [str(path[0]) for path in paths_of(condition)]
    for name in names:
        if name in range_.key_names():
            raise validation(
                "Filter Expression can only contain non-primary key attributes: Primary key "
                f"attribute: {name}"
            )
    absent = absent_names(range_, names)
    if absent and range_.index is not None:
        raise invalid_parameter(
            f"Secondary index {range_.index.name} does not project one or more filter attributes: "
            f"[{', '.join(sorted(absent))}]"
        )


def _start(range_: Range, request: Request) -> Item | None:
    if request.get("ExclusiveStartKey") is None:
        return None
    given = required_map(request, "ExclusiveStartKey")
    names = range_.place_names()
    invalid = validation("The provided starting key is invalid")
    try:
        start = {name: normalise(value) for name, value in given.items()}
    except EmulatorError:
        raise invalid from None
    if set(start) != set(names):
        raise invalid
    if not all(start[name].get(range_.key_types[name]) for name in names):
        raise invalid
    return start


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


def _page(range_: Range, items: Iterable[Item], view: _View, request: Request) -> dict[str, Any]:
    shown: list[Item] = []
    scanned, size_bytes = 0, 0
    last: Item | None = None
    more = False
    for item in items:
        if scanned == view.limit or size_bytes > PAGE_BYTES:
            more = True
            break
        scanned, last = scanned + 1, item
        seen = item if view.fetches_whole else range_.shown(item)
        size_bytes += item_size_bytes(seen)
        if view.filter is None or holds(view.filter, item):
            shown.append(seen if view.paths is None else projected(seen, view.paths))
    capacity = consumed(request, range_.table.name, read_units(size_bytes, request))
    answer: dict[str, Any] = {"Count": len(shown), "ScannedCount": scanned, **capacity}
    if not view.counts_only:
        answer["Items"] = shown
    # DynamoDB names a position whenever Limit was reached, even if nothing follows.
    if last is not None and (more or scanned == view.limit):
        answer["LastEvaluatedKey"] = {name: last[name] for name in range_.place_names()}
    return answer


# --- key conditions ---------------------------------------------------------------------------------


def asked_partition(range_: Range, condition: Condition) -> str:
    """Return the one partition key (canonical text) that a key condition asks for.

    Raises:
        EmulatorError: ValidationException when the condition is no key condition of this table.
    """
    parts = _parts(condition)
    asked: dict[str, Condition] = {}
    for part in parts:
        name = _key_name(part)
        if name in asked:
            raise validation("KeyConditionExpressions must only contain one condition per key")
        asked[name] = part
    equality = asked.pop(range_.hash_key, None)
    if equality is None or any(name != range_.sort_key for name in asked):
        missed = range_.hash_key if equality is None else range_.sort_key or range_.hash_key
        raise validation(f"Query condition missed key schema element: {missed}")
    if not isinstance(equality, Comparison) or equality.operator != "=":
        raise validation("Query key condition not supported")
    for part in parts:
        _check_types(range_, part)
    literal = equality.right if isinstance(equality.left, Attribute) else equality.left
    assert isinstance(literal, Literal)
    return key_text(literal.value)


def _parts(condition: Condition) -> list[Condition]:
    if isinstance(condition, Both):
        return [*_parts(condition.left), *_parts(condition.right)]
    return [condition]


def _operands(part: Condition) -> tuple[Operand, ...]:
    match part:
        case Comparison("<>"):
            raise _wrong_operator("<>")
        case Comparison(_, left, right):
            return left, right
        case Between(operand, low, high):
            return operand, low, high
        case Call("begins_with", operands):
            return operands
        case Call(function):
            raise _wrong_operator(function)
        case Either():
            raise _wrong_operator("OR")
        case Among():
            raise _wrong_operator("IN")
        case _:
            raise _wrong_operator("NOT")


def _wrong_operator(operator: str) -> EmulatorError:
    return validation(f"Invalid operator used in KeyConditionExpression: {operator}")


def _key_name(part: Condition) -> str:
    operands = _operands(part)
    if any(isinstance(each, Size) for each in operands):
        raise validation("KeyConditionExpressions cannot contain nested operations")
    paths = [each.path for each in operands if isinstance(each, Attribute)]
    if len(paths) != 1:
        number = "Multiple" if paths else "No"
        raise validation(
            f"Invalid condition in KeyConditionExpression: {number} attribute names used in one "
            "condition"
        )
    name = str(paths[0][0])
    if len(paths[0]) > 1:
        raise validation(
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not "
            f"allowed: Key: {name}"
        )
    return name


def _check_types(range_: Range, part: Condition) -> None:
    name = _key_name(part)
    kind = range_.key_types[name]
    if kind == "N" and isinstance(part, Call):
        raise invalid_parameter("Condition parameter type does not match schema type")
    for operand in _operands(part):
        if not isinstance(operand, Literal):
            continue
        if kind not in operand.value:
            raise invalid_parameter("Condition parameter type does not match schema type")
        if not operand.value[kind]:
            raise empty_key(name, kind)
