"""`POST /_sim/VERB`: the controls of a running emulator, for the commands of this machine's user.

Without the token nothing is said and nothing is done; it is made anew at each start and lies in a file that only
its owner can read. A verb does what one method of `Emulator` or `Faults` does. A member that is missing, mistyped,
out of range or not known is named with its value and the fix, before anything is done.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.engine import Emulator
from triggerkit.emulator.errors import EmulatorError, not_found, validation
from triggerkit.emulator.plans import Damage
from triggerkit.emulator.wire import Answer
from triggerkit.errors import nearest

PREFIX = "/_sim/"
TOKEN_HEADER = "x-triggerkit-token"  # noqa: S105 (the header's name)
MOST_TIMES = 10_000
MOST_SECONDS = 366 * 24 * 3600.0
_READ = "GetRecords"
_MOST_LOGGED = 1000
_RATES = (
    "reads_per_second",
    "bytes_read_per_second",
    "records_per_second",
    "bytes_written_per_second",
)


class Control:
    """What `/_sim/` can do to one emulator."""

    def __init__(self, emulator: Emulator, token: str) -> None:
        self._emulator = emulator
        self._token = token.encode()

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Carry out the control that `path` names; nothing is raised."""
        given = headers.get(TOKEN_HEADER, "").encode()
        if not hmac.compare_digest(given, self._token):
            return _answer(403, {"message": f"{PREFIX} needs the token in .triggerkit/dev.json"})
        name = path.removeprefix(PREFIX)
        verb = VERBS.get(name)
        if verb is None:
            known = ", ".join(sorted(VERBS))
            return _answer(404, {"message": f"{path} does not exist; known: {known}"})
        try:
            fields = Fields(name, _request(body), self._emulator)
            fields.check(verb.members)
            return _answer(200, verb.carry_out(fields))
        except EmulatorError as error:
            return _answer(400, {"message": error.message})
        except ValueError as error:  # a shard that is closed already
            return _answer(400, {"message": str(error)})


def _request(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        raise validation("the request is not JSON") from None
    if not isinstance(request, dict):
        raise validation("the request is not a JSON object")
    return request


def _answer(status: int, body: Mapping[str, Any]) -> Answer:
    return Answer(status, (("Content-Type", "application/json"),), json.dumps(body).encode())


@dataclass(frozen=True, slots=True)
class Fields:
    """The members of one request. All methods raise EmulatorError: a ValidationException that says why."""

    verb: str
    given: Mapping[str, Any]
    emulator: Emulator

    def check(self, known: Sequence[str]) -> None:
        """Refuse members that this verb does not have."""
        for name in self.given:
            if name not in known:
                raise validation(f"{self.verb} has no member {name!r}; {nearest(name, known)}")

    def has(self, name: str) -> bool:
        """Return whether a member is given and not null."""
        return self.given.get(name) is not None

    def text(self, name: str) -> str:
        """Return a required text."""
        value = self.optional_text(name)
        if not value:
            raise validation(f"{self.verb} needs {name!r}: a text")
        return value

    def optional_text(self, name: str) -> str:
        """Return a text, "" when absent."""
        value = self.given.get(name)
        if value is not None and not isinstance(value, str):
            raise validation(f"{name} is {value!r}; write a text")
        return value or ""

    def count(self, name: str, otherwise: int = 1, most: int = MOST_TIMES) -> int:
        """Return a whole number of at least 1, `otherwise` when absent."""
        value = self.given.get(name)
        if value is None:
            return otherwise
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise validation(f"{name} is {value!r}; write a whole number from 1 to {most}")
        if value > most:
            raise validation(f"{name} is {value}, at most {most}")
        return value

    def optional_count(self, name: str) -> int | None:
        """Return a whole number of at least 1, None when absent or null."""
        return self.count(name) if self.has(name) else None

    def seconds(self, name: str = "seconds", otherwise: float | None = None) -> float:
        """Return a number of seconds; required unless there is an `otherwise`."""
        return self.number(name, otherwise, MOST_SECONDS)

    def number(
        self, name: str, otherwise: float | None = None, most: float = float(2**63)
    ) -> float:
        """Return a number of at least 0; required unless there is an `otherwise`."""
        value = self.given.get(name)
        if value is None and otherwise is not None:
            return otherwise
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most:
            return float(value)
        shown = "missing" if value is None else repr(value)
        raise validation(f"{name} is {shown}; write a number from 0 to {most:.0f}")

    def switch(self, name: str, otherwise: bool) -> bool:
        """Return true or false."""
        value = self.given.get(name, otherwise)
        if not isinstance(value, bool):
            raise validation(f"{name} is {value!r}; write true or false")
        return value

    def operation(self, otherwise: str = "") -> str:
        """Return the name of an operation that the emulator has."""
        name = self.optional_text("operation") or otherwise
        if not name:
            raise validation(f"{self.verb} needs 'operation', such as PutItem")
        if not self.emulator.knows(name):
            raise validation(f"there is no operation {name!r}; write one such as GetRecords")
        return name

    def stream(self) -> str:
        """Return a table whose stream is on, or a stream of Kinesis."""
        name = self.text("stream")
        self.emulator.open_shards(name)  # says what is wrong
        return name

    def shard(self) -> str:
        """Return the id of a shard of any stream, "" for all of them."""
        shard_id = self.optional_text("shard")
        if shard_id and not self.emulator.knows_shard(shard_id):
            raise validation(
                f"shard is {shard_id!r}, which no stream has; "
                "`DescribeStream` and `ListShards` show their ids"
            )
        return shard_id


@dataclass(frozen=True, slots=True)
class Verb:
    """One control. `members` are those of its request."""

    members: tuple[str, ...]
    carry_out: Callable[[Fields], dict[str, Any]]


# --- the graph ----------------------------------------------------------------------------------------


def _roll(fields: Fields) -> dict[str, Any]:
    return {"children": fields.emulator.roll(fields.stream(), _shard_or_none(fields))}


def _split(fields: Fields) -> dict[str, Any]:
    return {"children": fields.emulator.split(fields.stream(), _shard_or_none(fields))}


def _merge(fields: Fields) -> dict[str, Any]:
    adjacent = fields.optional_text("adjacent") or None
    child = fields.emulator.merge(fields.stream(), _shard_or_none(fields), adjacent)
    return {"children": [child]}


def _trim(fields: Fields) -> dict[str, Any]:
    through = fields.optional_text("through") or None
    if through is not None and not (through.isascii() and through.isdigit()):
        raise validation(f"through is {through!r}; write a sequence number")
    fields.emulator.trim(fields.stream(), _shard_or_none(fields), through)
    return {}


def _drop(fields: Fields) -> dict[str, Any]:
    fields.emulator.drop_shard(fields.stream(), fields.text("shard"))
    return {}


def _expire(fields: Fields) -> dict[str, Any]:
    fields.emulator.expire_iterators()
    return {}


def _advance(fields: Fields) -> dict[str, Any]:
    fields.emulator.advance(fields.seconds())
    return {"now_seconds": fields.emulator.clock.now_seconds()}


def _ttl(fields: Fields) -> dict[str, Any]:
    table, key = fields.text("table"), fields.given.get("key")
    if not isinstance(key, Mapping):
        raise validation("ttl needs 'key': a JSON object")
    found = fields.emulator.peek("GetItem", {"TableName": table, "Key": key})
    if "Item" not in found:
        raise not_found(f"table {table!r} has no item with that key")
    fields.emulator.expire_item(table, key)
    return {}


# --- calls --------------------------------------------------------------------------------------------


def _throttle(fields: Fields) -> dict[str, Any]:
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


def _fail(fields: Fields) -> dict[str, Any]:
    operation, times, shard = fields.operation(), fields.count("times"), fields.shard()
    status = fields.count("status", 400, 599)
    if status < 400:
        raise validation(f"status is {status}; write one from 400 to 599")
    message = fields.optional_text("message") or "Planned."
    error = EmulatorError(fields.text("type"), message, status)
    fields.emulator.faults.fail(operation, error, times, shard)
    return {"operation": operation, "times": times}


def _damage(fields: Fields) -> dict[str, Any]:
    operation, times, how = fields.operation(_READ), fields.count("times"), fields.text("how")
    allowed = [damage.value for damage in Damage]
    if how not in allowed:
        raise validation(f"how is {how!r}; write one of {', '.join(map(repr, allowed))}")
    fields.emulator.faults.damage(operation, Damage(how), times)
    return {"operation": operation, "times": times, "how": how}


def _latency(fields: Fields) -> dict[str, Any]:
    operation, seconds = fields.operation(_READ), fields.seconds()
    fields.emulator.faults.latency(operation, seconds, fields.optional_count("times"))
    return {"operation": operation, "seconds": seconds}


def _barrier(fields: Fields) -> dict[str, Any]:
    operation, behind = fields.operation(), fields.switch("behind", otherwise=False)
    barrier = fields.emulator.faults.barrier(operation, behind=behind, shard=fields.shard())
    return {"barrier": barrier.number}


def _barriers(fields: Fields) -> dict[str, Any]:
    waiting = [
        {
            "barrier": barrier.number,
            "operation": barrier.operation,
            "behind": barrier.behind,
            "reached": barrier.reached,
        }
        for barrier in fields.emulator.faults.calls.barriers
        if not barrier.released
    ]
    return {"barriers": waiting}


def _release(fields: Fields) -> dict[str, Any]:
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


def _empty(fields: Fields) -> dict[str, Any]:
    times = fields.count("times")
    fields.emulator.faults.empty_pages(times, fields.shard())
    return {"times": times}


def _pages(fields: Fields) -> dict[str, Any]:
    records, shards = fields.optional_count("records"), fields.optional_count("shards")
    fields.emulator.faults.page_size(records)
    fields.emulator.faults.listing_page_size(shards)
    return {"records": records, "shards": shards}


def _duplicate(fields: Fields) -> dict[str, Any]:
    times, records = fields.count("times"), fields.count("records")
    fields.emulator.faults.duplicate(times, records, fields.shard())
    return {"times": times, "records": records}


def _delay(fields: Fields) -> dict[str, Any]:
    seconds = fields.seconds()
    fields.emulator.faults.visibility_delay(seconds)
    return {"seconds": seconds}


def _limits(fields: Fields) -> dict[str, Any]:
    readers = fields.optional_count("readers")
    rates = {name: fields.number(name) if fields.has(name) else None for name in _RATES}
    faults = fields.emulator.faults
    faults.limit_readers(readers)
    faults.limit_reads(rates["reads_per_second"], rates["bytes_read_per_second"])
    faults.limit_writes(rates["records_per_second"], rates["bytes_written_per_second"])
    return {"readers": readers, **rates}


# --- listings -----------------------------------------------------------------------------------------


def _hide(fields: Fields) -> dict[str, Any]:
    fields.text("shard")
    fields.emulator.faults.hide(fields.shard())
    return {}


def _show(fields: Fields) -> dict[str, Any]:
    shard = fields.text("shard")
    if shard not in fields.emulator.faults.listings.hidden:
        raise validation(f"shard is {shard!r}, which is not hidden")
    fields.emulator.faults.show(shard)
    return {}


def _lag(fields: Fields) -> dict[str, Any]:
    seconds, spread_seconds = fields.seconds(), fields.seconds("spread_seconds", 0.0)
    fields.emulator.faults.describe_lag(seconds, spread_seconds)
    return {"seconds": seconds, "spread_seconds": spread_seconds}


def _stale(fields: Fields) -> dict[str, Any]:
    times, seconds = fields.count("times"), fields.seconds("seconds", 60.0)
    fields.emulator.faults.stale_listings(times, seconds)
    return {"times": times, "seconds": seconds}


def _reorder(fields: Fields) -> dict[str, Any]:
    on = fields.switch("on", otherwise=True)
    fields.emulator.faults.reorder_listings(on)
    return {"on": on}


# --- all ----------------------------------------------------------------------------------------------


def _clear(fields: Fields) -> dict[str, Any]:
    fields.emulator.faults.clear()
    return {}


def _log(fields: Fields) -> dict[str, Any]:
    operation = fields.operation() if fields.has("operation") else ""
    after = fields.count("after", 0, 2**53) if fields.given.get("after") else 0
    calls = fields.emulator.log(operation, after)
    limit = fields.count("limit", _MOST_LOGGED, MOST_TIMES)
    return {"calls": [call.as_json() for call in calls[-limit:]]}


def _ping(_fields: Fields) -> dict[str, Any]:
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
