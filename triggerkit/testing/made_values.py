"""Values of a type, drawn from a seed, as an item of DynamoDB would hold them.

The type is read from the schema that pydantic makes of it, so models, dataclasses, TypedDicts, constraints,
aliases, generics and recursion are one thing here. The same seed makes the same value everywhere. What is made
fits the schema's limits; whether it passes the validators of a user's model is for the caller to try.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, localcontext
from enum import Enum
from random import Random
from typing import Any, Final, TypeAlias
from uuid import UUID

from pydantic_core import SchemaError, SchemaValidator

from triggerkit.testing.patterns import matching_text

Schema: TypeAlias = Mapping[str, Any]
"""One node of a schema of pydantic-core."""

MOST_NESTED = 3
"""How often a recursive type is entered within itself."""
MOST_DIGITS = 38
"""Source: DynamoDB developer guide, naming rules and data types: numbers."""
_DRAWS = 30
_OPTIONAL_LEFT_OUT = 0.25
_NULL = 0.2
_YEAR_SECONDS = 365 * 24 * 3600
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
_FAR_AWAY: Final = datetime(2100, 1, 1, tzinfo=UTC)
_WORDS: Final = ("amber", "birch", "cedar", "delta", "ember", "frost", "grove", "harbor")
_CANDIDATES: Final[tuple[object, ...]] = (
    *("1", "alpha", "a@example.com", "https://example.com/1", "2026-01-31", "2026-01-31T12:00:00Z"),
    *("10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32", "photos/a.png", "12:30", "PT5M", "#ffffff"),
    *("+4915112345678", "00112233445566778899aabbccddeeff", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    *("9d3f5a0e-7d0b-4c55-8f9e-1c2f3a4b5c6d", "UTC", "DE", "DEU", "EUR", "de", "ABC", "A-1"),
    *("1.0.0", "1GB", "a" * 12, "postgres://user:secret@localhost:5432/db", "4242424242424242"),
    *(Decimal(1), Decimal(42), Decimal("0.5"), Decimal(1_767_225_600), True, b"\x00\x01"),
    *({}, [], None),
)
"""What is tried where a schema says nothing but "ask this function": the usual texts and numbers."""
_INNER: Final = {
    "model": "schema",
    "dataclass": "schema",
    "custom-error": "schema",
    "json-or-python": "python_schema",
    "lax-or-strict": "lax_schema",
}


class NotBuildableError(Exception):
    """A type for which no value can be made; `path` leads to it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.path: list[str] = []

    def __str__(self) -> str:
        place = ".".join(reversed(self.path))
        return f"{place}: {self.why}" if place else self.why


class _TooDeepError(NotBuildableError):
    """A recursive type was entered often enough: it ends where it may be empty."""


class ValueMaker:
    """Makes values of one schema: text, Decimal, bytes, bool, None, sets of one kind, lists and dicts of these."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._definitions: dict[str, Schema] = {}
        if schema["type"] == "definitions":
            self._schema = schema["schema"]
            self._definitions = {each["ref"]: each for each in schema["definitions"]}
        self._entered: list[str] = []
        self._validators: dict[int, SchemaValidator | None] = {}
        self._accepted: dict[int, list[object]] = {}
        self._makers: Mapping[str, Callable[[Schema, Random], object]] = {
            "any": _anything,
            "bool": _truth,
            "bytes": _bytes,
            "chain": self._chain,
            "dataclass-args": self._fields,
            "date": _date,
            "datetime": _datetime,
            "decimal": _decimal,
            "default": self._default,
            "definition-ref": self._definition,
            "dict": self._map,
            "enum": _member,
            "float": _float,
            "frozenset": self._set,
            "function-after": self._checked,
            "function-before": self._checked,
            "function-wrap": self._checked,
            "generator": self._list,
            "int": _int,
            "json": self._json,
            "list": self._list,
            "literal": _member,
            "model-fields": self._fields,
            "multi-host-url": _database_url,
            "named-tuple": self._named_tuple,
            "none": _nothing,
            "nullable": self._nullable,
            "set": self._set,
            "str": _text,
            "tagged-union": self._union,
            "time": _time,
            "timedelta": _timedelta,
            "tuple": self._tuple,
            "typed-dict": self._fields,
            "union": self._union,
            "url": _url,
            "uuid": _uuid,
        }

    def make(self, rng: Random) -> object:
        """One value. Raises NotBuildableError."""
        self._entered.clear()
        return self._build(self._schema, rng)

    def _build(self, schema: Schema, rng: Random) -> object:
        while (inner := _INNER.get(schema["type"])) is not None:
            config = schema.get("config") or {}
            schema = schema[inner]
            if config.get("validate_by_alias") is False and "fields" in schema:
                return self._fields(schema, rng, by_alias=False)
        maker = self._makers.get(schema["type"], self._candidate)
        return maker(schema, rng)

    # --- types with parts ---------------------------------------------------------------------------

    def _fields(self, schema: Schema, rng: Random, *, by_alias: bool = True) -> dict[str, object]:
        fields = schema["fields"]
        named = fields.items() if isinstance(fields, Mapping) else ((f["name"], f) for f in fields)
        if (schema.get("config") or {}).get("validate_by_alias") is False:
            by_alias = False
        made: dict[str, object] = {}
        for name, field in named:
            if field.get("init") is False:
                continue
            has_default = field["schema"]["type"] == "default"
            may_lack = has_default or field.get("required") is False
            if may_lack and rng.random() < _OPTIONAL_LEFT_OUT:
                continue
            inner = field["schema"]["schema"] if has_default else field["schema"]
            try:
                with _at(name):
                    value = self._build(inner, rng)
            except NotBuildableError:
                if may_lack:
                    continue
                raise
            _place(made, _path_of(field, name) if by_alias else [name], value)
        return made

    def _named_tuple(self, schema: Schema, rng: Random) -> list[object]:
        return [self._build(field["schema"], rng) for field in schema["fields"]]

    def _list(self, schema: Schema, rng: Random) -> list[object]:
        least, most = _sizes(schema)
        made: list[object] = []
        try:
            with _at("*"):
                for _ in range(rng.randint(least, most)):
                    made.append(self._build(schema.get("items_schema") or {"type": "any"}, rng))  # noqa: PERF401
        except _TooDeepError:
            if len(made) < least:
                raise
        return made

    def _set(self, schema: Schema, rng: Random) -> object:
        """A set that DynamoDB can hold, which is never empty; a list where it has no set for it."""
        least, most = _sizes(schema)
        wanted, made = rng.randint(min(max(least, 1), most), most), dict[object, None]()
        for _ in range(_DRAWS * max(1, wanted)):
            if len(made) >= wanted:
                break
            with _at("*"):
                made[_hashable(self._build(schema.get("items_schema") or {"type": "str"}, rng))] = (
                    None
                )
        if len(made) < least:
            raise NotBuildableError(f"there are no {least} different values for a set")
        members = list(made)
        kinds = {type(member) for member in members}
        if len(kinds) == 1 and kinds <= {str, Decimal, bytes}:
            return set(members)
        return [list(each) if isinstance(each, tuple) else each for each in members]

    def _tuple(self, schema: Schema, rng: Random) -> list[object]:
        items, variadic = schema["items_schema"], schema.get("variadic_item_index")
        made: list[object] = []
        for index, inner in enumerate(items):
            if index != variadic:
                made.append(self._build(inner, rng))
                continue
            least, most = _sizes(schema)
            others = len(items) - 1
            for _ in range(rng.randint(max(0, least - others), max(0, most - others))):
                made.append(self._build(inner, rng))  # noqa: PERF401
        return made

    def _map(self, schema: Schema, rng: Random) -> dict[str, object]:
        least, most = _sizes(schema)
        wanted, made = rng.randint(least, most), dict[str, object]()
        try:
            with _at("*"):
                for _ in range(_DRAWS * max(1, wanted)):
                    if len(made) >= wanted:
                        break
                    name = self._build(schema.get("keys_schema") or {"type": "str"}, rng)
                    if not isinstance(name, str | Decimal) or name == "":
                        raise NotBuildableError("the names in a map of DynamoDB are text")
                    inner = schema.get("values_schema") or {"type": "any"}
                    made[str(name)] = self._build(inner, rng)
        except _TooDeepError:
            if least:
                raise
            return {}
        if len(made) < least:
            raise NotBuildableError(f"there are no {least} different names for a map")
        return made

    # --- types around others ------------------------------------------------------------------------

    def _default(self, schema: Schema, rng: Random) -> object:
        return self._build(schema["schema"], rng)

    def _nullable(self, schema: Schema, rng: Random) -> object:
        if rng.random() < _NULL:
            return None
        try:
            return self._build(schema["schema"], rng)
        except _TooDeepError:
            return None

    def _union(self, schema: Schema, rng: Random) -> object:
        given = schema["choices"]
        choices = list(given.values()) if isinstance(given, Mapping) else list(given)
        choices = [each for each in choices if not isinstance(each, str)]
        rng.shuffle(choices)
        problem: NotBuildableError | None = None
        for choice in choices:
            try:
                return self._build(choice[0] if isinstance(choice, tuple) else choice, rng)
            except NotBuildableError as error:
                problem = problem if isinstance(error, _TooDeepError) and problem else error
        raise problem or NotBuildableError("an empty union")

    def _definition(self, schema: Schema, rng: Random) -> object:
        name = schema["schema_ref"]
        if self._entered.count(name) >= MOST_NESTED:
            raise _TooDeepError("it contains itself without an end")
        self._entered.append(name)
        try:
            return self._build(self._definitions[name], rng)
        finally:
            self._entered.pop()

    def _chain(self, schema: Schema, rng: Random) -> object:
        return self._build(schema["steps"][-1], rng)

    def _json(self, schema: Schema, rng: Random) -> object:
        inner = schema.get("schema")
        value = Decimal(1) if inner is None else self._build(inner, rng)
        return json.dumps(value, default=_for_json)

    def _checked(self, schema: Schema, rng: Random) -> object:
        """A validator of the user's, or of pydantic's: draw until it takes one."""
        value: object = None
        problem: NotBuildableError | None = None
        for _ in range(_DRAWS):
            try:
                value = self._build(schema["schema"], rng)
            except _TooDeepError:
                raise
            except NotBuildableError as error:
                problem = error
                break
            if self._takes(schema, value):
                return value
        if found := self._taken(schema):
            return rng.choice(found)
        if problem is not None:
            raise problem
        return value  # it may want to see the other fields: the whole item will tell

    def _candidate(self, schema: Schema, rng: Random) -> object:
        """Whatever of the usual values is taken."""
        if found := self._taken(schema):
            return rng.choice(found)
        raise NotBuildableError(
            f"{_told(schema)} is made by code that takes none of the usual values"
        )

    def _taken(self, schema: Schema) -> list[object]:
        if id(schema) not in self._accepted:
            found = [value for value in _CANDIDATES if self._takes(schema, value)]
            texts: list[object] = [value for value in found if isinstance(value, str)]
            self._accepted[id(schema)] = texts or found
        return self._accepted[id(schema)]

    def _takes(self, schema: Schema, value: object) -> bool:
        if id(schema) not in self._validators:
            self._validators[id(schema)] = self._validator(schema)
        validator = self._validators[id(schema)]
        if validator is None:
            return False
        try:
            validator.validate_python(value)
        except Exception:  # noqa: BLE001 - validators are code of the user
            return False
        return True

    def _validator(self, schema: Schema) -> SchemaValidator | None:
        whole: Any = {
            "type": "definitions",
            "schema": schema,
            "definitions": list(self._definitions.values()),
        }
        try:
            return SchemaValidator(whole)
        except SchemaError:
            return None


# --- places -------------------------------------------------------------------------------------------


@contextmanager
def _at(name: str) -> Iterator[None]:
    """Errors from inside tell that they came from here."""
    try:
        yield
    except NotBuildableError as error:
        error.path.append(name)
        raise


def _path_of(field: Schema, name: str) -> list[str | int]:
    """Where a field is read from: its name, its alias, or the first path of its aliases."""
    alias = field.get("validation_alias", name)
    if isinstance(alias, str):
        return [alias]
    first = alias[0]
    return list(first) if isinstance(first, list) else list(alias)


def _place(made: dict[str, object], path: Sequence[str | int], value: object) -> None:
    """Put a value where a path leads, making what is on the way."""
    here: Any = made
    for step, following in zip(path, [*path[1:], None], strict=True):
        if isinstance(step, int):
            here.extend([None] * (step + 1 - len(here)))
        if following is None:
            here[step] = value
            return
        below = here[step] if isinstance(step, int) else here.get(step)
        if below is None:
            below = here[step] = [] if isinstance(following, int) else {}
        here = below


def _sizes(schema: Schema) -> tuple[int, int]:
    least = schema.get("min_length") or 0
    most = schema.get("max_length")
    return least, least + 2 if most is None else min(most, least + 2)


def _told(schema: Schema) -> str:
    named = schema.get("cls") or schema.get("function")
    while isinstance(named, Mapping):
        named = named.get("function")
    return getattr(named, "__qualname__", None) or str(schema["type"])


def _hashable(value: object) -> object:
    match value:
        case list():
            return tuple(map(_hashable, value))
        case dict() | set():
            raise NotBuildableError("DynamoDB has no sets of maps or of sets")
        case _:
            return value


def _for_json(value: object) -> object:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case set():
            return sorted(value)
        case bytes():
            return value.decode("latin-1")
        case _:
            return str(value)


# --- single values ------------------------------------------------------------------------------------


def _anything(_: Schema, rng: Random) -> object:
    return rng.choice(_WORDS)


def _nothing(_: Schema, __: Random) -> None:
    return None


def _truth(_: Schema, rng: Random) -> bool:
    return rng.random() < 0.5


def _text(schema: Schema, rng: Random) -> str:
    least, most = schema.get("min_length") or 0, schema.get("max_length")
    pattern = schema.get("pattern")
    if pattern is None:
        text = f"{rng.choice(_WORDS)}-{rng.randrange(10)}"
        text += "x" * (least - len(text))
        return text if most is None else text[:most]
    try:
        for _ in range(_DRAWS):
            text = matching_text(str(getattr(pattern, "pattern", pattern)), rng)
            if least <= len(text) and (most is None or len(text) <= most):
                return text
    except ValueError as error:
        raise NotBuildableError(str(error)) from None
    raise NotBuildableError(f"no text of that length was found for the pattern {pattern!r}")


def _bytes(schema: Schema, rng: Random) -> bytes:
    least, most = schema.get("min_length") or 0, schema.get("max_length")
    size = max(least, 4)
    return rng.randbytes(size if most is None else min(size, most))


def _int(schema: Schema, rng: Random) -> Decimal:
    return _number(schema, rng, Decimal(1), can_be_finer=False)


def _float(schema: Schema, rng: Random) -> Decimal:
    return _number(schema, rng, Decimal("0.25"), can_be_finer=True)


def _decimal(schema: Schema, rng: Random) -> Decimal:
    digits, places = schema.get("max_digits"), schema.get("decimal_places")
    used = 2 if places is None else places
    if digits is not None:
        used = min(used, digits)
        limit = Decimal(10) ** (digits - used)
        schema = {**schema, "lt": min(schema.get("lt", limit), limit)}
        schema["gt"] = max(schema.get("gt", -limit), -limit)
    return _number(schema, rng, Decimal(1).scaleb(-used), can_be_finer=places is None)


def _number(schema: Schema, rng: Random, step: Decimal, *, can_be_finer: bool) -> Decimal:
    """A multiple of `step`, or of what the schema asks for, within its limits."""
    with localcontext() as context:
        context.prec = 200
        if schema.get("multiple_of") is not None:
            step, can_be_finer = abs(_exact(schema["multiple_of"])), False
        lowest, highest = _steps(schema, step)
        for _ in range(30 if can_be_finer else 0):
            if lowest <= highest:
                break
            step /= 10
            lowest, highest = _steps(schema, step)
        if lowest > highest:
            raise NotBuildableError("no number is within its limits")
        drawn = step * rng.randint(lowest, highest)
        for number in (drawn, step * lowest, step * highest):
            if len(number.normalize().as_tuple().digits) <= MOST_DIGITS:
                return Decimal(format(number.normalize(), "f"))
    raise NotBuildableError(f"numbers of DynamoDB have at most {MOST_DIGITS} digits")


def _steps(schema: Schema, step: Decimal) -> tuple[int, int]:
    """The first and the last multiple of `step` to draw from."""
    least: list[int] = []
    most: list[int] = []
    for name, found in (("ge", least), ("gt", least), ("le", most), ("lt", most)):
        limit = schema.get(name)
        if limit is None or (isinstance(limit, float) and math.isinf(limit)):
            continue
        steps = _exact(limit) / step
        whole = steps == steps.to_integral_value()
        match name:
            case "ge" | "gt":
                found.append(math.ceil(steps) + (1 if name == "gt" and whole else 0))
            case _:
                found.append(math.floor(steps) - (1 if name == "lt" and whole else 0))
    if not least and not most:
        return 0, 999
    if not least:
        highest = min(most)
        return (max(0, highest - 999) if highest >= 0 else highest - 999), highest
    lowest = max(least)
    if lowest < 0 <= min(most, default=0):
        lowest = 0  # the usual numbers, where they are allowed
    return lowest, min([*most, lowest + 999])


def _exact(number: float | Decimal) -> Decimal:
    return Decimal(str(number))


def _member(schema: Schema, rng: Random) -> object:
    return _plain(
        rng.choice(list(schema["members"] if "members" in schema else schema["expected"]))
    )


def _plain(value: object) -> object:
    """A member of an enum or a Literal as an item holds it. Raises NotBuildableError."""
    match value:
        case Enum():
            return _plain(value.value)
        case None | bool() | str() | bytes() | Decimal():
            return value
        case int() | float():
            return Decimal(str(value))
        case tuple() | list():
            return [_plain(each) for each in value]
        case datetime() | date() | time():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            raise NotBuildableError(f"no item can hold a {type(value).__name__}")


def _datetime(schema: Schema, rng: Random) -> str:
    least, most = _limits(schema)
    zone = schema.get("tz_constraint")
    if isinstance(zone, int):
        shift: timezone | None = timezone(timedelta(seconds=zone))
    else:
        shift = None if zone == "naive" else UTC
    given = least or most
    if given is not None and zone is None:
        shift = given.tzinfo
    first, last = _between(_zoned(least, shift), _zoned(most, shift), schema, shift)
    span = (last - first).total_seconds()
    moment = first + timedelta(seconds=int(span * rng.uniform(0.1, 0.9)) if span > 10 else span / 2)
    return moment.isoformat()


def _date(schema: Schema, rng: Random) -> str:
    least, most = _limits(schema)
    first, last = _between(_midnight(least), _midnight(most), schema, UTC)
    days = (last - first).days
    lowest = 1 if schema.get("gt") is not None and days > 0 else 0
    highest = days - 1 if schema.get("lt") is not None and days > lowest else days
    return (first + timedelta(days=rng.randint(lowest, highest))).date().isoformat()


def _limits(schema: Schema) -> tuple[Any, Any]:
    return schema.get("ge", schema.get("gt")), schema.get("le", schema.get("lt"))


def _between(
    least: datetime | None, most: datetime | None, schema: Schema, shift: Any
) -> tuple[datetime, datetime]:
    year = timedelta(seconds=_YEAR_SECONDS)
    past, future = _LONG_AGO.astimezone(shift or UTC), _FAR_AWAY.astimezone(shift or UTC)
    if shift is None:
        past, future = past.replace(tzinfo=None), future.replace(tzinfo=None)
    if schema.get("now_op") == "past":
        most = most or past
    if schema.get("now_op") == "future":
        least = least or future
    if least is None and most is None:
        least = _START.astimezone(shift) if shift else _START.replace(tzinfo=None)
    if least is None:
        assert most is not None
        least = most - year
    if most is None:
        most = least + year
    if most < least:
        raise NotBuildableError("no time is within its limits")
    return least, most


def _zoned(moment: datetime | None, shift: Any) -> datetime | None:
    if moment is None or (moment.tzinfo is None) == (shift is None):
        return moment
    return moment.replace(tzinfo=shift)


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)


def _time(schema: Schema, rng: Random) -> str:
    least, most = _limits(schema)
    first = 0 if least is None else least.hour * 3600 + least.minute * 60 + least.second
    last = 86_399 if most is None else most.hour * 3600 + most.minute * 60 + most.second
    if last < first:
        raise NotBuildableError("no time is within its limits")
    seconds = first + int((last - first) * rng.uniform(0.1, 0.9))
    zone = "Z" if schema.get("tz_constraint") == "aware" else ""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{zone}"


def _timedelta(schema: Schema, rng: Random) -> str:
    least, most = _limits(schema)
    first = timedelta(0) if least is None else least
    if least is None and most is not None:
        first = min(first, most - timedelta(hours=1))
    last = first + timedelta(hours=1) if most is None else most
    if last < first:
        raise NotBuildableError("no duration is within its limits")
    seconds = (first + (last - first) * rng.uniform(0.1, 0.9)).total_seconds()
    sign = "-" if seconds < 0 else ""
    return f"{sign}PT{abs(seconds):.3f}S"


def _uuid(schema: Schema, rng: Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=schema.get("version") or 4))


def _url(schema: Schema, rng: Random) -> str:
    scheme = (schema.get("allowed_schemes") or ["https"])[0]
    return f"{scheme}://example.com/{rng.randrange(10)}"


def _database_url(schema: Schema, rng: Random) -> str:
    scheme = (schema.get("allowed_schemes") or ["postgres"])[0]
    return f"{scheme}://user:secret@db{rng.randrange(10)}.example.com:5432/app"
