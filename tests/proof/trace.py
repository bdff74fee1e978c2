"""Decisions, reports and writes in a line each, the same in every run of a seed."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from proof.facts import Write
from proof.plan import Event, as_text

from triggerkit.core.model import (
    Batch,
    Children,
    Lease,
    Listing,
    Page,
    Position,
    Session,
    Shard,
)
from triggerkit.core.outcome import NotInvoked, PartlyFailed, RecordFailure, RecordsEnded

_LEFT_OUT = {
    *("mapping", "tenure", "failure", "deadline_seconds", "limit", "request_id", "records"),
    *("iterator_age_seconds", "since_seconds"),
}


def in_short(what: object) -> str:
    """What matters of it."""
    match what:
        case str():
            return what
        case Event():
            return as_text(what)
        case Write(verb=verb, before=before, after=after):
            shown = "" if before is None else _position(before.checkpoint) + " "
            return f"{verb} {shown}-> {_part(after)}"
    if not is_dataclass(what) or isinstance(what, type):
        return repr(what)
    parts = [
        f"({in_short(value)})" if each.name == "decision" else _part(value)
        for each in fields(what)
        if each.name not in _LEFT_OUT and (value := getattr(what, each.name)) is not None
    ]
    return " ".join([type(what).__name__, *parts])


def _part(value: object) -> str:
    match value:
        case Lease(shard=shard, checkpoint=checkpoint, owner=owner, counter=counter):
            return f"{_tail(shard)}@{_position(checkpoint)} of {owner or 'nobody'}#{counter}"
        case Position():
            return _position(value)
        case Batch() | Page():
            return _records(value)
        case Listing(shards=shards) | Children(shards=shards):
            return " ".join(_part(shard) for shard in shards) or "no shard"
        case Shard(id=shard, parents=parents, closed=closed):
            below = f"<{','.join(map(_tail, parents))}" if parents else ""
            return f"{_tail(shard)}{below}{' closed' * closed}"
        case Session(id=session, beat=beat, state=state):
            return f"{session}:{beat}{'' if state.value == 'LIVE' else state.value}"
        case str() | float():
            return _tail(value) if isinstance(value, str) else f"{value:.3f}"
        case _:
            return _other(value)


def _records(value: Batch | Page) -> str:
    numbers = [record.sequence_number[-5:] for record in value.records]
    shown = ",".join(numbers if len(numbers) < 5 else [numbers[0], "...", numbers[-1]])
    if isinstance(value, Batch):
        return f"[{shown}] attempts={value.attempts}"
    pin = "" if value.pinned_seconds is None else f" pin {value.pinned_seconds}"
    return f"[{shown}]{' end' * value.ended}{pin}"


def _other(value: object) -> str:
    match value:
        case NotInvoked(reason=reason):
            return f"NotInvoked: {reason}"
        case PartlyFailed(index=index):
            return f"PartlyFailed from {index}"
        case RecordsEnded(done=done, failed=failed, discarded=discarded, invalid=invalid):
            given_up = f"given up {_indexes(discarded)} invalid {_indexes(invalid)}"
            return f"done {done} failed {_indexes(failed)} {given_up}"
        case tuple():
            return " ".join(_part(each) for each in value) or "nothing"
        case frozenset():
            return ",".join(sorted(map(str, value)))
        case _:
            return type(value).__name__ if is_dataclass(value) else str(value)


def _indexes(failures: tuple[RecordFailure, ...]) -> tuple[int, ...]:
    return tuple(failure.index for failure in failures)


def _position(position: Position) -> str:
    if position.sequence_number:
        return position.sequence_number[-5:]
    return position.kind.value + (f" {position.at_seconds:.1f}" if position.at_seconds else "")


def _tail(shard: str) -> str:
    """`…-1a2b` is enough to tell the shards of a world apart."""
    return shard[-4:] if "shardId-" in shard else shard
