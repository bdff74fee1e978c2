"""The writes of a lease table whose transactions are serial: check everything first, then write.

Each function is one transaction over a `Table` and implements one line of leases.md 6.3. The token of a
lease is (owner, counter); every write moves the counter by one and leaves a nonce that names the token it
was made under. A repeat of a write whose answer was lost finds that nonce and goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from triggerkit.core.model import (
    SHARD_END,
    Lease,
    LeaseKey,
    Position,
    PositionKind,
    SessionId,
    ShardId,
)
from triggerkit.errors import InternalError, LeaseLostError

_RANK = {
    PositionKind.AT_TIMESTAMP: 0,
    PositionKind.TRIM_HORIZON: 1,
    PositionKind.LATEST: 2,
    PositionKind.AFTER: 3,
    PositionKind.SHARD_END: 4,
}
"""The order of checkpoints (leases.md 1.3)."""


@dataclass(frozen=True, slots=True)
class Row:
    """A lease as stored, and the nonce of its last write (empty when only created)."""

    lease: Lease
    nonce: str = ""


class Table(Protocol):
    """Lease rows inside one transaction; nobody else writes until it ends."""

    def row(self, key: LeaseKey) -> Row | None:
        """The row of `key`."""
        ...

    def rows(self, prefix: str) -> tuple[Row, ...]:
        """All rows whose key starts with `prefix`, by key."""
        ...

    def put(self, row: Row) -> None:
        """Write the whole row."""
        ...

    def delete(self, key: LeaseKey) -> None:
        """Remove the row if it is there."""
        ...

    def pins(self, prefix: str) -> dict[str, float]:
        """The pins of all mappings whose own prefix starts with `prefix`, by that prefix."""
        ...

    def put_pin(self, prefix: str, service_seconds: float) -> None:
        """Write the pin of a mapping."""
        ...

    def delete_pin(self, prefix: str) -> None:
        """Remove the pin if it is there."""
        ...


def pin(table: Table, prefix: str, service_seconds: float) -> float:
    """Store the pin of a mapping unless it is stored; what is stored.

    Leases without a stored pin were written by a version that kept it in them alone.
    """
    stored = table.pins(prefix).get(prefix)
    if stored is not None:
        return stored
    rows = table.rows(prefix)
    if rows:
        checkpoints = [row.lease.checkpoint for row in rows]
        pins = [each.at_seconds for each in checkpoints if each.kind is PositionKind.LATEST]
        service_seconds = min(pins, default=0.0)
    table.put_pin(prefix, service_seconds)
    return service_seconds


def create(table: Table, leases: tuple[Lease, ...]) -> None:
    """Create rows in this order, unowned and with counter 0; an existing row is left alone."""
    for lease in leases:
        if table.row(lease.key) is None:
            table.put(Row(replace(lease, owner=None, counter=0, switches=0)))


def take(table: Table, lease: Lease, session: SessionId) -> Lease | None:
    """Own the row if owner and counter are as seen; the new row, or None."""
    row = table.row(lease.key)
    if row is None:
        return None
    nonce = _nonce(session, lease.counter, "take")
    if row.nonce == nonce:
        return row.lease
    if not _has_token(row, lease):
        return None
    switched = row.lease.owner != session
    taken = replace(
        row.lease,
        owner=session,
        counter=row.lease.counter + 1,
        switches=row.lease.switches + switched,
    )
    table.put(Row(taken, nonce))
    return taken


def advance(table: Table, lease: Lease, position: Position) -> Lease:
    """Write the checkpoint under the token; the new row.

    Raises:
        LeaseLostError: the token is not the row's any more.
        InternalError: `position` is before the stored checkpoint, or `lease` has no owner.
    """
    owner = _owner_of(lease)
    row, nonce = _held(table, lease, owner, "advance")
    if row.nonce == nonce and row.lease.checkpoint == position:
        return row.lease
    advanced = _with_checkpoint(row.lease, position)
    table.put(Row(advanced, nonce))
    return advanced


def release(table: Table, lease: Lease, position: Position) -> None:
    """Write the last checkpoint and drop the owner. Raises what `advance` raises."""
    owner = _owner_of(lease)
    row, nonce = _held(table, lease, owner, "release")
    if row.nonce == nonce and row.lease.checkpoint == position:
        return
    table.put(Row(replace(_with_checkpoint(row.lease, position), owner=None), nonce))


def finish(
    table: Table,
    lease: Lease,
    children: tuple[Lease, ...] | None,
    session: SessionId,
    take: frozenset[ShardId] | None = None,
) -> tuple[Lease, ...]:
    """End the shard: SHARD_END, children's ids and no owner on the parent, missing child rows created.

    A child of `take` (None: every child) that is created here is owned at once, as if created and then taken
    (counter 1), when none of its parents has an unfinished row. Any other is created unowned.
    `lease` may be an unowned finished row whose children were found late (leases.md 6.6 rule 4); its token is
    then (no owner, counter).

    Returns:
        The children that `session` got by this write, in the order given.

    Raises:
        LeaseLostError: the token is not the row's any more.
    """
    row, nonce = _held(table, lease, session, "finish")
    prefix = _key_prefix(lease)
    born = f"{session}|born of {lease.shard}|{lease.counter}"
    ids = row.lease.children if children is None else tuple(child.shard for child in children)
    if row.nonce != nonce or row.lease.children != ids:
        ended = replace(
            _with_checkpoint(row.lease, SHARD_END),
            children=ids,
            owner=None,
            lost_reason=lease.lost_reason or row.lease.lost_reason,
        )
        table.put(Row(ended, nonce))
        for child in children or ():
            if table.row(child.key) is None:
                table.put(Row(_newborn(table, prefix, child, session, take), born))
    rows = (table.row(child.key) for child in children or ())
    return tuple(
        row.lease
        for row in rows
        if row is not None and row.nonce == born and row.lease.owner == session
    )


def forget(table: Table, lease: Lease) -> bool:
    """Delete the row if it is finished and the counter is as seen; whether it is gone."""
    row = table.row(lease.key)
    if row is None:
        return True
    if not row.lease.finished or row.lease.counter != lease.counter:
        return False
    table.delete(lease.key)
    return True


def _newborn(
    table: Table,
    prefix: str,
    child: Lease,
    session: SessionId,
    take: frozenset[ShardId] | None,
) -> Lease:
    rows = (table.row(LeaseKey(prefix + parent)) for parent in child.parents)
    # a parent without a row may only be late: whoever surveys the listing decides then
    ready = all(row is not None and row.lease.finished for row in rows)
    if ready and (take is None or child.shard in take):
        return replace(child, owner=session, counter=1, switches=1)
    return replace(child, owner=None, counter=0, switches=0)


def _held(table: Table, lease: Lease, actor: SessionId, verb: str) -> tuple[Row, str]:
    """The row if `lease` holds its token, and the nonce for this write.

    The token is also held when the row's last write was this one, or an advance, made under it: that
    write was applied and its answer lost (I14). A take is none of these: it began another tenure.
    """
    row = table.row(lease.key)
    if row is None:
        raise _lost(lease, "the row is gone")
    nonce = _nonce(actor, lease.counter, verb)
    if _has_token(row, lease) or row.nonce in (nonce, _nonce(actor, lease.counter, "advance")):
        return row, nonce
    found = f"the row has {row.lease.owner or 'no owner'} and counter {row.lease.counter}"
    raise _lost(lease, found)


def _with_checkpoint(lease: Lease, position: Position) -> Lease:
    """The row one write later; a checkpoint that moved sets `switches` back (leases.md 1.1)."""
    _check_order(lease, position)
    switches = lease.switches if position == lease.checkpoint else 0
    return replace(lease, checkpoint=position, counter=lease.counter + 1, switches=switches)


def _check_order(lease: Lease, position: Position) -> None:
    """A checkpoint never goes back (I3). Only here are sequence numbers compared as integers."""
    stored = lease.checkpoint
    goes_back = _RANK[position.kind] < _RANK[stored.kind]
    if position.kind is stored.kind is PositionKind.AFTER:
        before, behind = stored.sequence_number, position.sequence_number
        goes_back = before.isdecimal() and behind.isdecimal() and int(behind) < int(before)
    elif position.kind is stored.kind is PositionKind.LATEST:
        # without its pin the shard would be opened at a later tip, and records skipped (I18)
        goes_back = position.at_seconds == 0.0 and stored.at_seconds != 0.0
    if goes_back:
        raise InternalError(
            f"lease {lease.key}: checkpoint {_shown(position)} is before {_shown(stored)}",
            hint="this is a fault of triggerkit; the stored checkpoint was kept",
        )


def _shown(position: Position) -> str:
    return f"{position.kind.value} {position.sequence_number or position.at_seconds}"


def _has_token(row: Row, lease: Lease) -> bool:
    return (row.lease.owner, row.lease.counter) == (lease.owner, lease.counter)


def _nonce(actor: SessionId, counter: int, verb: str) -> str:
    # unique without randomness: a session id is used once, and a token makes one row go on once
    return f"{actor}|{counter}|{verb}"


def _owner_of(lease: Lease) -> SessionId:
    if lease.owner is None:
        raise InternalError(f"lease {lease.key}: a write needs an owner; take the lease first")
    return lease.owner


def _key_prefix(lease: Lease) -> str:
    if not lease.key.endswith(lease.shard):
        raise InternalError(f"lease {lease.key}: the key does not end in its shard {lease.shard}")
    return lease.key.removesuffix(lease.shard)


def _lost(lease: Lease, found: str) -> LeaseLostError:
    return LeaseLostError(
        f"lease {lease.key}: {found}, not {lease.owner or 'no owner'} and counter {lease.counter}",
        hint="another worker took the shard over; it goes on from the saved checkpoint",
    )
