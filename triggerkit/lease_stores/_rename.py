"""Moving rows under other key prefixes: all of them or none, and never under a live owner."""

from __future__ import annotations

from dataclasses import replace

from triggerkit.core.model import LeaseKey
from triggerkit.errors import StateError
from triggerkit.lease_stores._rows import Row, Table
from triggerkit.lease_stores._sessions import IsGone, SessionTable


def rename(
    table: Table, sessions: SessionTable, moves: tuple[tuple[str, str], ...], is_gone: IsGone
) -> int:
    """Move all rows and pins from the first key prefix of each pair to the second; how many rows moved.

    Raises:
        StateError: a row belongs to a session that lives, a new prefix has rows, or they overlap.
    """
    found = [(move, _movable(table, sessions, move, is_gone)) for move in moves]
    for (old, new), rows in found:
        for row in rows:
            table.delete(row.lease.key)
            key = LeaseKey(new + row.lease.key.removeprefix(old))
            table.put(replace(row, lease=replace(row.lease, key=key)))
        if table.pins(new):
            continue
        for prefix, service_seconds in table.pins(old).items():
            table.delete_pin(prefix)
            table.put_pin(new + prefix.removeprefix(old), service_seconds)
    return sum(len(rows) for _, rows in found)


def _movable(
    table: Table, sessions: SessionTable, move: tuple[str, str], is_gone: IsGone
) -> tuple[Row, ...]:
    """The rows under the old prefix. Raises StateError when they cannot be moved."""
    old, new = move
    if old.startswith(new) or new.startswith(old):
        raise StateError(
            f"state cannot be renamed from {old!r} to {new!r}: one contains the other",
            hint="rename by way of a third name",
        )
    rows = table.rows(old)
    if rows and table.rows(new):
        raise StateError(
            f"state cannot be renamed from {old!r} to {new!r}: there is state under the new name",
            hint="choose another name, or remove the rows that are there",
        )
    for row in rows:
        owner = None if row.lease.owner is None else sessions.session(row.lease.owner)
        if owner is not None and not owner.is_dead and not is_gone(owner):
            raise StateError(
                f"state cannot be renamed: lease {row.lease.key} is held by {owner.session.id}",
                hint="stop that worker first",
            )
    return rows
