"""What `/_sim/` can do: one row a verb, with the members that it takes.

Rule: a verb does what one method of `Emulator` or `Faults` does, and answers what that returns; there is
no fault that only one of the two can plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.control_fields import MOST_TIMES, Fields
from triggerkit.emulator.errors import EmulatorError, not_found, validation
from triggerkit.emulator.plans import Damage

Answer = dict[str, Any]
_READ = "GetRecords"
_MOST_LOGGED = 1000
_RATES = (
    "reads_per_second",
    "bytes_read_per_second",
    "records_per_second",
    "bytes_written_per_second",
)


@dataclass(frozen=True, slots=True)
class Verb:
    """One control. `members` are those of its request."""

    members: tuple[str, ...]
    carry_out: Callable[[Fields], Answer]


# --- the graph ----------------------------------------------------------------------------------------


def _roll(fields: Fields) -> Answer:
    return {"children": fields.emulator.roll(fields.stream(), _shard_or_none(fields))}


def _split(fields: Fields) -> Answer:
    return {"children": list(fields.emulator.split(fields.stream(), _shard_or_none(fields)))}


def _merge(fields: Fields) -> Answer:
    adjacent = fields.optional_text("adjacent") or None
    child = fields.emulator.merge(fields.stream(), _shard_or_none(fields), adjacent)
    return {"children": [child]}


def _trim(fields: Fields) -> Answer:
    through = fields.optional_text("through") or None
    if through is not None and not (through.isascii() and through.isdigit()):
        raise validation(f"through is {through!r}; write a sequence number")
    fields.emulator.trim(fields.stream(), _shard_or_none(fields), through)
    return {}


def _drop(fields: Fields) -> Answer:
    fields.emulator.drop_shard(fields.stream(), fields.text("shard"))
    return {}


def _expire(fields: Fields) -> Answer:
    fields.emulator.expire_iterators()
    return {}


def _advance(fields: Fields) -> Answer:
    fields.emulator.advance(fields.seconds())
    return {"now_seconds": fields.emulator.clock.now_seconds()}


def _ttl(fields: Fields) -> Answer:
    table, key = fields.text("table"), fields.mapping("key")
    found = fields.emulator.peek("GetItem", {"TableName": table, "Key": key})
    if "Item" not in found:
        raise not_found(f"table {table!r} has no item with that key")
    fields.emulator.expire_item(table, key)
    return {}


# --- calls --------------------------------------------------------------------------------------------


def _throttle(fields: Fields) -> Answer:
    operation, error_type = fields.operation(_READ), fields.optional_text("type")
    times, shard = fields.count("times"), fields.shard()
    faults = fields.emulator.faults
    if fields.has("per_second"):
        if fields.has("times") or shard:
            raise validation("per_second is a rate of all calls; leave times and shard out")
        per_second = fields.number("per_second")
        faults.throttle_above(operation, per_second, error_type)
        return {"operation": operation, "per_second": per_second}
    faults.throttle(operation, times, error_type, shard)
    return {"operation": operation, "times": times}


def _fail(fields: Fields) -> Answer:
    operation, times, shard = fields.operation(), fields.count("times"), fields.shard()
    status = fields.count("status", 400, 599)
    if status < 400:
        raise validation(f"status is {status}; write one from 400 to 599")
    message = fields.optional_text("message") or "Planned."
    error = EmulatorError(fields.text("type"), message, status)
    fields.emulator.faults.fail(operation, error, times, shard)
    return {"operation": operation, "times": times}


def _damage(fields: Fields) -> Answer:
    operation, times = fields.operation(_READ), fields.count("times")
    how = fields.chosen("how", [damage.value for damage in Damage])
    fields.emulator.faults.damage(operation, Damage(how), times)
    return {"operation": operation, "times": times, "how": how}


def _latency(fields: Fields) -> Answer:
    operation, seconds = fields.operation(_READ), fields.seconds()
    fields.emulator.faults.latency(operation, seconds, fields.optional_count("times"))
    return {"operation": operation, "seconds": seconds}


def _barrier(fields: Fields) -> Answer:
    operation, behind = fields.operation(), fields.switch("behind", otherwise=False)
    barrier = fields.emulator.faults.barrier(operation, behind=behind, shard=fields.shard())
    return {"barrier": barrier.number}


def _barriers(fields: Fields) -> Answer:
    told = [
        {
            "barrier": barrier.number,
            "operation": barrier.operation,
            "behind": barrier.behind,
            "reached": barrier.reached,
        }
        for barrier in fields.emulator.faults.calls.barriers
        if not barrier.released
    ]
    return {"barriers": told}


def _release(fields: Fields) -> Answer:
    number = fields.optional_count("barrier")
    held = [each for each in fields.emulator.faults.calls.barriers if not each.released]
    found = [each for each in held if number in (None, each.number)]
    if number is not None and not found:
        known = ", ".join(str(each.number) for each in held) or "there is none"
        raise validation(f"barrier is {number}, which is not there; not released yet: {known}")
    for barrier in found:
        barrier.release()
    return {"released": [each.number for each in found]}


# --- reads --------------------------------------------------------------------------------------------


def _empty(fields: Fields) -> Answer:
    times = fields.count("times")
    fields.emulator.faults.empty_pages(times, fields.shard())
    return {"times": times}


def _pages(fields: Fields) -> Answer:
    records, shards = fields.optional_count("records"), fields.optional_count("shards")
    fields.emulator.faults.page_size(records)
    fields.emulator.faults.listing_page_size(shards)
    return {"records": records, "shards": shards}


def _duplicate(fields: Fields) -> Answer:
    times, records = fields.count("times"), fields.count("records")
    fields.emulator.faults.duplicate(times, records, fields.shard())
    return {"times": times, "records": records}


def _delay(fields: Fields) -> Answer:
    seconds = fields.seconds()
    fields.emulator.faults.visibility_delay(seconds)
    return {"seconds": seconds}


def _limits(fields: Fields) -> Answer:
    readers = fields.optional_count("readers")
    rates = {name: fields.number(name) if fields.has(name) else None for name in _RATES}
    faults = fields.emulator.faults
    faults.limit_readers(readers)
    faults.limit_reads(rates["reads_per_second"], rates["bytes_read_per_second"])
    faults.limit_writes(rates["records_per_second"], rates["bytes_written_per_second"])
    return {"readers": readers, **rates}


# --- listings -----------------------------------------------------------------------------------------


def _hide(fields: Fields) -> Answer:
    fields.text("shard")
    fields.emulator.faults.hide(fields.shard())
    return {}


def _show(fields: Fields) -> Answer:
    shard = fields.text("shard")
    if not fields.emulator.faults.hides(shard):
        raise validation(f"shard is {shard!r}, which is not hidden")
    fields.emulator.faults.show(shard)
    return {}


def _lag(fields: Fields) -> Answer:
    seconds, spread_seconds = fields.seconds(), fields.seconds("spread_seconds", 0.0)
    fields.emulator.faults.describe_lag(seconds, spread_seconds)
    return {"seconds": seconds, "spread_seconds": spread_seconds}


def _stale(fields: Fields) -> Answer:
    times, seconds = fields.count("times"), fields.seconds("seconds", 60.0)
    fields.emulator.faults.stale_listings(times, seconds)
    return {"times": times, "seconds": seconds}


def _reorder(fields: Fields) -> Answer:
    on = fields.switch("on", otherwise=True)
    fields.emulator.faults.reorder_listings(on)
    return {"on": on}


# --- all ----------------------------------------------------------------------------------------------


def _clear(fields: Fields) -> Answer:
    fields.emulator.faults.clear()
    return {}


def _log(fields: Fields) -> Answer:
    operation = fields.operation() if fields.has("operation") else ""
    after = fields.count("after", 0, 2**53) if fields.given.get("after") else 0
    calls = fields.emulator.log(operation, after)
    limit = fields.count("limit", _MOST_LOGGED, MOST_TIMES)
    return {"calls": [call.as_json() for call in calls[-limit:]]}


def _ping(_fields: Fields) -> Answer:
    return {}


def _shard_or_none(fields: Fields) -> str | None:
    return fields.optional_text("shard") or None


VERBS = {
    "advance": Verb(("seconds",), _advance),
    "barrier": Verb(("operation", "behind", "shard"), _barrier),
    "barriers": Verb((), _barriers),
    "clear": Verb((), _clear),
    "damage": Verb(("operation", "how", "times"), _damage),
    "delay": Verb(("seconds",), _delay),
    "drop": Verb(("stream", "shard"), _drop),
    "duplicate": Verb(("times", "records", "shard"), _duplicate),
    "empty": Verb(("times", "shard"), _empty),
    "expire": Verb((), _expire),
    "fail": Verb(("operation", "type", "message", "status", "times", "shard"), _fail),
    "hide": Verb(("shard",), _hide),
    "lag": Verb(("seconds", "spread_seconds"), _lag),
    "latency": Verb(("operation", "seconds", "times"), _latency),
    "limits": Verb(("readers", *_RATES), _limits),
    "log": Verb(("operation", "after", "limit"), _log),
    "merge": Verb(("stream", "shard", "adjacent"), _merge),
    "pages": Verb(("records", "shards"), _pages),
    "ping": Verb((), _ping),
    "release": Verb(("barrier",), _release),
    "reorder": Verb(("on",), _reorder),
    "roll": Verb(("stream", "shard"), _roll),
    "show": Verb(("shard",), _show),
    "split": Verb(("stream", "shard"), _split),
    "stale": Verb(("times", "seconds"), _stale),
    "throttle": Verb(("operation", "times", "type", "shard", "per_second"), _throttle),
    "trim": Verb(("stream", "shard", "through"), _trim),
    "ttl": Verb(("table", "key"), _ttl),
}
"""Verb to what it does. A number or list that is left out of `pages` or `limits` is no limit."""
