"""SELECT: a page of items, by partition key or by a scan.

Rule: with the partition key named, its partitions are read one after another, in the order of their sort
keys; without it the whole range is. A page ends as those of Query and Scan do.
Source: DynamoDB guide, PartiQL select statements.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from triggerkit.emulator.errors import invalid_parameter, validation
from triggerkit.emulator.expressions.evaluate import holds, value_at
from triggerkit.emulator.expressions.nodes import Path
from triggerkit.emulator.keys import key_text
from triggerkit.emulator.partiql.keys import asked_partitions, conjuncts, joined, narrows
from triggerkit.emulator.partiql.statements import Select
from triggerkit.emulator.queries import PAGE_BYTES
from triggerkit.emulator.ranges import Range, absent_names, asked_range
from triggerkit.emulator.site import Site
from triggerkit.emulator.sizes import item_size_bytes
from triggerkit.emulator.values import Item, normalise


@dataclass(frozen=True, slots=True)
class Page:
    """Items as the statement shows them, where to go on, and what was read."""

    items: list[Item]
    token: str | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Position:
    """After which item of which partition a page begins."""

    partition: int
    after: Item | None

    def token(self, statement: str) -> str:
        """Return the NextToken of a statement's next page."""
        content = [_digest(statement), self.partition, self.after]
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def read_position(token: str | None, statement: str) -> Position:
    """Return what a NextToken says.

    Raises:
        EmulatorError: ValidationException when it is none of this statement's.
    """
    if token is None:
        return Position(0, None)
    try:
        digest, partition, after = json.loads(base64.urlsafe_b64decode(token))
        if digest != _digest(statement):
            raise validation("Given NextToken does not match the original request")
        return Position(int(partition), {name: normalise(after[name]) for name in after})
    except (ValueError, TypeError, binascii.Error):
        raise validation("Invalid NextToken") from None


def selected(
    site: Site, statement: Select, text: str, limit: int | None, start: Position, strongly: bool
) -> Page:
    """Return one page; `text` is the statement as it was given, `strongly` asks for ConsistentRead.

    Raises:
        EmulatorError: ValidationException, ResourceNotFoundException.
    """
    named = {} if statement.index is None else {"IndexName": statement.index}
    range_ = asked_range(site, {"TableName": statement.table, "ConsistentRead": strongly, **named})
    _check_projection(range_, statement)
    token, scanned, size_bytes = None, 0, 0
    items: list[Item] = []
    last: tuple[int, Item] | None = None
    for partition, item in _read(range_, statement, start):
        if size_bytes > PAGE_BYTES or scanned == limit:
            token = _next(range_, last, text)
            break
        part = range_.shown(item)
        scanned, size_bytes, last = (
            scanned + 1,
            size_bytes + item_size_bytes(part),
            (partition, item),
        )
        if statement.where is None or holds(statement.where, item):
            items.append(_shown(item if _fetches(range_, statement) else part, statement.paths))
    else:
        if scanned == limit:
            token = _next(range_, last, text)
    return Page(items, token, size_bytes)


def _next(range_: Range, last: tuple[int, Item] | None, text: str) -> str | None:
    if last is None:
        return None
    partition, item = last
    return Position(partition, {name: item[name] for name in range_.place_names()}).token(text)


def _read(range_: Range, statement: Select, start: Position) -> Iterator[tuple[int, Item]]:
    """Yield the items that a page may read, each with the number of its partition."""
    parts = conjuncts(statement.where)
    partitions = asked_partitions(parts, range_.hash_key)
    _check_order(range_, statement, partitions is not None)
    if partitions is None:
        placed = sorted(((range_.scan_position(item), item) for item in range_.all_items()),
                        key=lambda pair: pair[0])  # fmt: skip
        edge = None if start.after is None else range_.scan_position(start.after)
        yield from ((0, item) for position, item in placed if edge is None or position > edge)
        return
    narrowing = joined(each for each in parts if narrows(each, range_.sort_key))
    for number, value in enumerate(partitions):
        if number < start.partition or range_.key_types[range_.hash_key] not in value:
            continue
        found = [
            item
            for item in range_.partition(key_text(value))
            if narrowing is None or holds(narrowing, item)
        ]
        found.sort(key=range_.position, reverse=statement.descending)
        if number == start.partition and start.after is not None:
            edge = range_.position(start.after)
            found = [
                item
                for item in found
                if (range_.position(item) < edge if statement.descending
                    else range_.position(item) > edge)
            ]  # fmt: skip
        yield from ((number, item) for item in found)


def _check_order(range_: Range, statement: Select, has_partition: bool) -> None:
    if statement.order_by is None:
        return
    if statement.where is None:
        raise validation("Must have WHERE clause in the statement when using ORDER BY clause.")
    if not has_partition:
        raise validation(
            "Must have at least one non-optional hash key condition in WHERE clause when using "
            "ORDER BY clause."
        )
    if statement.order_by not in range_.key_names():
        raise validation(
            f"Variable reference {statement.order_by} in ORDER BY clause must be part of the "
            "primary key"
        )


def _check_projection(range_: Range, statement: Select) -> None:
    if not range_.is_global or range_.index is None:
        return
    absent = absent_names(range_, (str(path[0]) for path in statement.paths or ()))
    if absent:
        raise invalid_parameter(
            f"Global secondary index {range_.index.name} does not project [{', '.join(absent)}]"
        )


def _fetches(range_: Range, statement: Select) -> bool:
    names = (str(path[0]) for path in statement.paths or ())
    return bool(absent_names(range_, names))


def _shown(item: Item, paths: Sequence[Path] | None) -> Item:
    if paths is None:
        return item
    found = {_label(path): value_at(item, path) for path in paths}
    return {name: value for name, value in found.items() if value is not None}


def _label(path: Path) -> str:
    """Return the name of a selected path: its last attribute, with the indexes behind it."""
    last = max(at for at, step in enumerate(path) if isinstance(step, str))
    return str(path[last]) + "".join(f"[{index}]" for index in path[last + 1 :])


def _digest(statement: str) -> str:
    return hashlib.sha256(statement.encode()).hexdigest()[:16]
